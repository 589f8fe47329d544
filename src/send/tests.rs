//! Streams whose worker is stepped by hand, so that what a thread and the worker do comes in every order
//! that a test asks for.

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

use super::transport::Transport;
use super::turn::OnWorker;
use super::{GroupMode, Heap, HeapRef, Pacing, SendConfig, SendError, SendStream, SendThread};
use crate::net::{Discipline, PacketParts, UdpSendConfig, UdpSender};
use crate::recv::{Polled, Task, TaskCx, Watch, Worker};
use crate::wire::{Flavour, Packet};

/// Whether the worker was called.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What the transport has room for, and what it was given.
#[derive(Default)]
struct Wire {
    room: usize,
    packets: Vec<Vec<u8>>,
    /// When it was given packets with departure times, and those.
    departures: Vec<(Instant, Vec<Instant>)>,
    /// Done once, in the middle of sending.
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// Whether some of what was taken is not on its way.
    undrained: bool,
    attached: usize,
    detached: usize,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Wire>>);

impl Transport for Scripted {
    fn substreams(&self) -> usize {
        1
    }

    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        self.0.lock().unwrap().attached += 1;
        Ok(())
    }

    fn detach(&mut self, _watch: &mut Watch<'_>) -> bool {
        self.0.lock().unwrap().detached += 1;
        true
    }

    fn send(&mut self, _substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        let meanwhile = self.0.lock().unwrap().meanwhile.take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let mut wire = self.0.lock().unwrap();
        let taken = packets.len().min(wire.room);
        wire.room -= taken;
        let whole = |packet: &PacketParts<'_>| [packet.header, packet.payload].concat();
        wire.packets.extend(packets[..taken].iter().map(whole));
        Ok(taken)
    }

    fn set_departure_times(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn send_at(
        &mut self,
        substream: usize,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        assert_eq!(packets.len(), departures.len());
        let sent = self.send(substream, packets)?;
        self.0.lock().unwrap().departures.push((Instant::now(), departures[..sent].to_vec()));
        Ok(sent)
    }

    fn drain(&mut self) -> io::Result<bool> {
        Ok(!self.0.lock().unwrap().undrained)
    }
}

/// A worker that runs when it is told to.
struct ByHand {
    task: Mutex<Option<OnWorker>>,
    events: mio::Poll,
    bell: Arc<Bell>,
}

impl ByHand {
    /// A quantum.
    fn poll(&self) -> Polled {
        let waker = Waker::from(Arc::clone(&self.bell));
        let registry = self.events.registry();
        let cx = TaskCx { waker: &waker, registry, token: 0, now: Instant::now(), woken: true };
        let mut task = self.task.lock().unwrap();
        let polled = task.as_mut().map_or(Polled::Done, |task| task.poll(&cx));
        if polled == Polled::Done {
            *task = None;
        }
        polled
    }

    /// Whether it was called since the last time.
    fn was_called(&self) -> bool {
        self.bell.0.swap(false, Ordering::SeqCst)
    }

    /// Runs as often as it is called or wants to go on.
    fn work(&self) {
        while self.was_called() {
            while self.poll() == Polled::Again {}
        }
    }
}

/// A stream, its worker and its transport. The task ends before the stream, which waits for that.
struct Scene {
    worker: Arc<ByHand>,
    wire: Arc<Mutex<Wire>>,
    stream: Arc<SendStream>,
}

impl Scene {
    /// A stream whose worker has found nothing to do yet.
    fn new(config: SendConfig) -> Self {
        let (transport, bell) = (Scripted::default(), Arc::<Bell>::default());
        transport.0.lock().unwrap().room = usize::MAX;
        let wire = Arc::clone(&transport.0);
        let (idle, waker) = (Worker::new().unwrap(), Waker::from(Arc::clone(&bell)));
        let (stream, task) =
            SendStream::prepare(&idle, waker, Box::new(transport), config.max_heaps(8)).unwrap();
        let (task, events) = (Mutex::new(Some(task)), mio::Poll::new().unwrap());
        let worker = Arc::new(ByHand { task, events, bell });
        assert_eq!(worker.poll(), Polled::Wait(None));
        Self { worker, wire, stream: Arc::new(stream) }
    }

    fn of(thread: SendThread) -> Self {
        Self::new(SendConfig::default().thread(thread))
    }

    fn set_room(&self, packets: usize) {
        self.wire.lock().unwrap().room = packets;
    }

    /// Has something done in the middle of the next send.
    fn meanwhile(&self, action: impl FnOnce(&SendStream, &ByHand) + Send + 'static) {
        let (stream, worker) = (Arc::downgrade(&self.stream), Arc::clone(&self.worker));
        let action = move || action(&stream.upgrade().expect("the scene holds it"), &worker);
        self.wire.lock().unwrap().meanwhile = Some(Box::new(action));
    }

    /// The counts of the heaps sent so far, once for the packets that follow one another.
    fn heaps_sent(&self) -> Vec<u64> {
        let wire = self.wire.lock().unwrap();
        let cnt = |packet: &Vec<u8>| Packet::decode_datagram(packet).unwrap().heap_cnt();
        let mut all: Vec<u64> = wire.packets.iter().map(cnt).collect();
        all.dedup();
        all
    }

    fn packets_sent(&self) -> usize {
        self.wire.lock().unwrap().packets.len()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        *self.worker.task.lock().unwrap() = None;
    }
}

fn heap(size: usize) -> Heap {
    Heap::new(Flavour::default()).item(0x3300, vec![1; size]).unwrap()
}

/// The packets that a heap of so many bytes has.
fn packets_of(size: usize) -> usize {
    Arc::new(heap(size)).packets(1, 1472).unwrap().count()
}

#[test]
fn a_thread_that_waits_sends_itself() {
    let scene = Scene::of(SendThread::Waiting);
    for _ in 0..3 {
        assert!(scene.stream.send_blocking(heap(5000)).unwrap() > 5000);
    }
    let list: Arc<[HeapRef]> = (0..3).map(|_| HeapRef::from(heap(100))).collect();
    scene.stream.send_list_blocking(&list, GroupMode::RoundRobin).unwrap();
    scene.stream.flush().unwrap();
    assert_eq!(scene.heaps_sent(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(scene.stream.stats().heaps, 6);
    assert!(!scene.worker.was_called());
}

#[test]
fn threads_that_do_not_wait_leave_it_to_the_worker() {
    let scene = Scene::of(SendThread::Waiting);
    scene.stream.send(heap(100)).unwrap();
    let ticket = scene.stream.ticket(heap(100)).unwrap();
    assert!(scene.packets_sent() == 0 && !ticket.is_done());
    scene.worker.work();
    assert!(ticket.wait().unwrap() > 100);
}

#[test]
fn a_stream_may_leave_everything_to_its_worker() {
    let scene = Scene::of(SendThread::Worker);
    let sending = {
        let stream = Arc::clone(&scene.stream);
        std::thread::spawn(move || stream.send_blocking(heap(100)))
    };
    while !scene.worker.was_called() {
        assert_eq!(scene.packets_sent(), 0);
        std::thread::yield_now();
    }
    assert_eq!(scene.packets_sent(), 0);
    assert_eq!(scene.worker.poll(), Polled::Wait(None));
    assert!(sending.join().unwrap().unwrap() > 100);
}

#[test]
fn what_is_queued_meanwhile_comes_next() {
    for worker_looks in [false, true] {
        let scene = Scene::of(SendThread::Caller);
        scene.meanwhile(move |stream, worker| {
            stream.send(heap(100)).unwrap();
            assert!(worker.was_called());
            if worker_looks {
                // Somebody else is at it: it is sent away, and called again.
                assert_eq!(worker.poll(), Polled::Wait(None));
                assert!(!worker.was_called());
            } else {
                worker.bell.0.store(true, Ordering::SeqCst);
            }
            stream.send(heap(100)).unwrap();
        });
        scene.stream.send(heap(5000)).unwrap();
        assert_eq!(scene.heaps_sent(), [1]);
        scene.worker.work();
        assert_eq!(scene.heaps_sent(), [1, 2, 3]);
    }
}

#[test]
fn nobody_overtakes_what_waits() {
    let scene = Scene::of(SendThread::Caller);
    scene.set_room(2);
    let first = scene.stream.ticket(heap(5000)).unwrap();
    assert!(scene.worker.was_called() && !first.is_done());
    assert_eq!(scene.packets_sent(), 2);
    // There is room, and the stream is not at rest.
    scene.set_room(usize::MAX);
    let second = scene.stream.ticket(heap(100)).unwrap();
    assert!(!second.is_done());
    while scene.worker.poll() == Polled::Again {}
    assert!(first.is_done() && second.is_done());
    assert_eq!(scene.heaps_sent(), [1, 2]);
    assert_eq!(scene.packets_sent(), packets_of(5000) + packets_of(100));
    // It is now.
    assert!(scene.stream.ticket(heap(100)).unwrap().is_done());
}

#[test]
fn a_thread_sends_no_more_than_a_quantum() {
    let scene = Scene::of(SendThread::Caller);
    let all = packets_of(4_000_000);
    let ticket = scene.stream.ticket(heap(4_000_000)).unwrap();
    let sent = scene.packets_sent();
    assert!((8 * 64..=8 * 128).contains(&sent), "{sent} of {all} packets");
    scene.worker.work();
    assert!(ticket.is_done());
    assert_eq!(scene.packets_sent(), all);
}

#[test]
fn what_has_to_wait_for_its_time_is_left_to_the_worker() {
    // The first burst goes at once, the second in minutes.
    let scene = Scene::new(SendConfig::default().rate(1e3).thread(SendThread::Caller));
    let ticket = scene.stream.ticket(heap(100_000)).unwrap();
    let sent = scene.packets_sent();
    assert!(sent > 0 && sent < packets_of(100_000));
    assert!(scene.worker.was_called() && !ticket.is_done());
    assert!(matches!(scene.worker.poll(), Polled::Wait(Some(_))));
    assert_eq!(scene.packets_sent(), sent);
}

#[test]
fn idle_time_is_not_made_up_for_by_whoever_sends() {
    let scene = Scene::new(SendConfig::default().rate(1e9).thread(SendThread::Caller));
    for _ in 0..3 {
        assert!(scene.stream.ticket(heap(1000)).unwrap().is_done());
        // The next may leave in a microsecond; whoever has to wait for it leaves it to the worker.
        while !scene.stream.ticket(heap(1000)).unwrap().is_done() {
            while !matches!(scene.worker.poll(), Polled::Wait(None)) {}
        }
    }
    assert_eq!(scene.stream.stats().errors, 0);
}

#[test]
fn closing_meanwhile_sends_what_was_begun() {
    let scene = Scene::of(SendThread::Caller);
    scene.meanwhile(|stream, _| stream.close());
    assert!(scene.stream.send_blocking(heap(5000)).unwrap() > 5000);
    assert!(matches!(scene.stream.send_blocking(heap(100)), Err(SendError::Closed)));
    scene.worker.work();
    assert_eq!(scene.worker.poll(), Polled::Done);
    assert!(matches!(scene.stream.send_blocking(heap(100)), Err(SendError::Closed)));
    assert_eq!(scene.heaps_sent(), [1]);
}

#[test]
fn aborting_meanwhile_ends_what_was_begun() {
    let scene = Scene::of(SendThread::Caller);
    scene.meanwhile(|stream, worker| {
        stream.abort();
        assert_eq!(worker.poll(), Polled::Wait(None));
    });
    let ticket = scene.stream.ticket(heap(4_000_000)).unwrap();
    assert!(!ticket.is_done());
    scene.worker.work();
    assert!(matches!(ticket.wait(), Err(SendError::Aborted)));
    assert!(scene.packets_sent() <= 128);
    assert!(matches!(scene.stream.ticket(heap(100)), Err(SendError::Closed)));
}

#[test]
fn a_transport_that_panics_ends_the_stream_and_not_the_thread() {
    let scene = Scene::of(SendThread::Waiting);
    scene.meanwhile(|_, _| panic!("wanted by the test"));
    assert!(matches!(scene.stream.send_blocking(heap(100)), Err(SendError::Aborted)));
    let error = scene.stream.last_error().unwrap().to_string();
    assert!(error.contains("wanted by the test"), "{error}");
    // What is queued before the worker has seen it ends as well.
    let late = scene.stream.ticket(heap(100)).unwrap();
    scene.worker.work();
    assert!(matches!(late.wait(), Err(SendError::Aborted)));
    assert!(matches!(scene.stream.send(heap(100)), Err(SendError::Closed)));
}

#[test]
fn callbacks_on_the_thread_that_sends_may_use_the_stream() {
    let scene = Scene::of(SendThread::Caller);
    let (called, calls) = mpsc::channel();
    let stream = Arc::downgrade(&scene.stream);
    let here = std::thread::current().id();
    let done = move |result: Result<u64, SendError>| {
        let stream = stream.upgrade().expect("the scene holds it");
        assert_eq!(std::thread::current().id(), here);
        let also_called = called.clone();
        stream.send_then(heap(100), move |_| also_called.send(2).unwrap()).unwrap();
        called.send(1).unwrap();
        // A request, as the stream is in the middle of something.
        stream.close();
        assert!(result.unwrap() > 100);
    };
    scene.stream.send_then(heap(100), done).unwrap();
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [1]);
    scene.worker.work();
    assert_eq!(calls.try_iter().collect::<Vec<_>>(), [2]);
    assert_eq!(scene.heaps_sent(), [1, 2]);
}

#[test]
fn refused_heaps_fail_alone() {
    let scene = Scene::of(SendThread::Waiting);
    let error = scene.stream.send_blocking(HeapRef::from(heap(1)).substream(7)).unwrap_err();
    assert!(matches!(error, SendError::Substream { substream: 7, count: 1 }));
    let none: Arc<[HeapRef]> = Arc::new([]);
    let error = scene.stream.send_list_blocking(&none, GroupMode::Serial).unwrap_err();
    assert!(matches!(error, SendError::EmptyList));
    assert!(scene.stream.send_blocking(heap(1)).is_ok());
    assert_eq!(scene.heaps_sent(), [1]);
}

#[test]
fn what_the_transport_keeps_is_left_to_the_worker() {
    let scene = Scene::of(SendThread::Waiting);
    scene.wire.lock().unwrap().undrained = true;
    scene.stream.send_blocking(heap(100)).unwrap();
    assert!(scene.worker.was_called());
    assert_eq!(scene.worker.poll(), Polled::Wait(None));
    assert_eq!(scene.wire.lock().unwrap().attached, 1);
}

#[test]
fn a_transport_with_room_is_watched_no_more() {
    let scene = Scene::of(SendThread::Caller);
    scene.set_room(0);
    scene.stream.send(heap(100)).unwrap();
    assert!(scene.worker.was_called());
    while scene.wire.lock().unwrap().attached == 0 {
        scene.worker.poll();
    }
    scene.set_room(usize::MAX);
    while scene.worker.poll() == Polled::Again {}
    // Now it is only ever this thread that sends, until the worker is called for this alone.
    let mut sent = 0;
    while !scene.worker.was_called() {
        scene.stream.send(heap(100)).unwrap();
        sent += 1;
        assert!(sent <= 256);
    }
    scene.worker.poll();
    assert_eq!(scene.wire.lock().unwrap().detached, 1);
    assert_eq!(scene.stream.stats().heaps, 1 + sent);
}

#[test]
fn packets_are_given_their_times_and_handed_over_before() {
    let config = SendConfig::default().rate(1e6).pacing(Pacing::DepartureTimes);
    let scene = Scene::new(config.thread(SendThread::Worker));
    assert_eq!(scene.stream.pacing(), Pacing::DepartureTimes);
    // 40 ms, then heaps with rates of their own.
    let slow = scene.stream.ticket(heap(40_000)).unwrap();
    let fast = scene.stream.ticket(HeapRef::from(heap(4000)).rate(1e9)).unwrap();
    let free = scene.stream.ticket(HeapRef::from(heap(4000)).rate(0.0)).unwrap();
    while !free.is_done() {
        assert_ne!(scene.worker.poll(), Polled::Done);
    }
    let slow = slow.wait().unwrap();
    assert!(fast.is_done());
    let wire = scene.wire.lock().unwrap();
    for (handed_over, times) in &wire.departures {
        let ahead = times[times.len() - 1].saturating_duration_since(*handed_over);
        assert!(ahead <= Duration::from_millis(8), "{ahead:?}");
    }
    let times: Vec<_> = wire.departures.iter().flat_map(|(_, times)| times).collect();
    assert!(times.is_sorted());
    assert_eq!(times.len(), packets_of(40_000) + 2 * packets_of(4000));
    let took = *times[packets_of(40_000)] - *times[0];
    assert!(took >= Duration::from_micros(slow) - Duration::from_nanos(1), "{took:?} for {slow} B");
}

/// A socket with departure times, whether or not its interface keeps them.
struct Timed(UdpSender);

impl Transport for Timed {
    fn substreams(&self) -> usize {
        1
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        watch.watch_writable(self.0.as_fd())
    }

    fn send(&mut self, _substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        self.0.send(None, packets)
    }

    fn set_departure_times(&mut self) -> io::Result<()> {
        self.0.set_departure_times(Discipline::Fq).map_err(io::Error::other)
    }

    fn send_at(
        &mut self,
        _substream: usize,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        self.0.send_at(None, packets, departures)
    }
}

#[test]
fn the_kernel_takes_departure_times_and_heaps_arrive_whole() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let destination = receiver.local_addr().unwrap();
    for gso in [true, false] {
        let config = UdpSendConfig::to(destination).connect(destination).gso(gso);
        let transport = Timed(UdpSender::open(&config).unwrap());
        let config = SendConfig::default().rate(1e6).pacing(Pacing::DepartureTimes);
        let stream = SendStream::start(&Worker::new().unwrap(), transport, config).unwrap();
        let linux = cfg!(target_os = "linux");
        let expected = if linux { Pacing::DepartureTimes } else { Pacing::Software };
        assert_eq!(stream.pacing(), expected);
        let heap = Arc::new(heap(30_000));
        stream.send_blocking(HeapRef::from(Arc::clone(&heap))).unwrap();
        for packet in heap.packets(1, 1472).unwrap() {
            let mut bytes = [0; 2000];
            let len = receiver.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..len], &packet[..]);
        }
    }
}
