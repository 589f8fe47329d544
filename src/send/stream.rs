//! The handle to a send stream.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::config::{Pacing, SendConfig, SendConfigError, SendThread, rate_is_valid};
use super::request::{Cell, Completion, GroupMode, HeapRef, Request, SendError, Ticket, Work};
use super::shared::{SendStats, Shared};
use super::task::SendTask;
use super::transport::Transport;
use super::turn::{OnWorker, TaskSeat, Turn};
use crate::recv::{Look, Worker};
use crate::ring::{Ring, TryPushError};
use crate::wire::EncodeError;

/// A stream that sends heaps, in the order they are given to it, from a worker or from the thread that
/// waits for them ([`SendThread`]).
///
/// Heaps wait in a queue of `max_heaps`. Closing or dropping the stream sends what waits first; a
/// transport that takes nothing any more holds up [`close`](Self::close), for a while
/// [`close_timeout`](Self::close_timeout) and dropping, and [`abort`](Self::abort) not at all.
///
/// ```
/// use speadway::recv::Worker;
/// use speadway::send::transport::BytesTransport;
/// use speadway::send::{Heap, SendConfig, SendStream};
/// use speadway::wire::Flavour;
///
/// let (transport, received) = BytesTransport::new();
/// let stream = SendStream::start(&Worker::new()?, transport, SendConfig::default())?;
/// let heap = Heap::new(Flavour::default()).item(0x3300, vec![7; 5000])?;
/// let bytes = stream.send_blocking(heap)?; // or `stream.ticket(heap)?.await`
/// assert_eq!(received.take().len() as u64, bytes);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SendStream {
    shared: Arc<Shared>,
    queue: Ring<Request>,
    seat: Arc<TaskSeat>,
    submit: Mutex<Submit>,
    waker: Waker,
    substreams: usize,
    drop_timeout: Duration,
    pacing: Pacing,
    thread: SendThread,
    /// For room in the queue, before a thread that waits for it sleeps.
    look: Mutex<Look>,
    /// Keeps the worker's thread alive.
    worker: Worker,
}

/// Gives out heap counts, and keeps the order of the queue.
#[derive(Debug)]
struct Submit {
    next_cnt: u64,
    step: u64,
}

impl SendStream {
    /// Starts a stream on `worker`.
    ///
    /// # Errors
    /// If the configuration is impossible, or the transport has no destination.
    pub fn start(
        worker: &Worker,
        transport: impl Transport + 'static,
        config: SendConfig,
    ) -> Result<Self, SendConfigError> {
        let flag = worker.task_waker();
        let waker = Waker::from(Arc::clone(&flag));
        let (stream, task) = Self::prepare(worker, waker, Box::new(transport), config)?;
        worker.add(Box::new(task), flag);
        Ok(stream)
    }

    /// A stream, and the task for its worker, which `waker` calls.
    pub(super) fn prepare(
        worker: &Worker,
        waker: Waker,
        mut transport: Box<dyn Transport>,
        mut config: SendConfig,
    ) -> Result<(Self, OnWorker), SendConfigError> {
        config.check()?;
        let substreams = transport.substreams();
        if substreams == 0 {
            return Err(SendConfigError::NoDestination);
        }
        if let Err(error) = set_pacing(&mut *transport, &mut config) {
            log::warn!("{error}; the worker keeps the rate instead");
            config.pacing = Pacing::Software;
        }
        let queue = Ring::new(config.max_heaps)
            .map_err(|_| SendConfigError::QueueTooLarge(config.max_heaps))?;
        let shared = Arc::new(Shared::new());
        let SendConfig { drop_timeout, pacing, thread, .. } = config;
        let task = SendTask::new(Arc::clone(&shared), queue.clone(), transport, config);
        let seat = Arc::new(TaskSeat::new(Some(task), waker.clone()));
        let on_worker = OnWorker::new(Arc::clone(&seat));
        let submit = Mutex::new(Submit { next_cnt: 1, step: 1 });
        let worker = worker.clone();
        let stream = Self {
            shared,
            queue,
            seat,
            submit,
            waker,
            substreams,
            drop_timeout,
            pacing,
            thread,
            look: Mutex::default(),
            worker,
        };
        Ok((stream, on_worker))
    }

    /// Heaps without a number of their own get `next`, `next + step`, ... (1, 2, ...). They start
    /// over where the flavour's address bits end.
    pub fn set_cnt_sequence(&self, next: u64, step: u64) {
        *self.lock() = Submit { next_cnt: next, step };
    }

    /// Who keeps the rate: not the kernel, though asked to, if it cannot.
    #[must_use]
    pub fn pacing(&self) -> Pacing {
        self.pacing
    }

    /// How many destinations there are.
    #[must_use]
    pub fn substreams(&self) -> usize {
        self.substreams
    }

    /// Queues a heap; nobody waits for it, but [`flush`](Self::flush) and
    /// [`last_error`](Self::last_error) tell.
    ///
    /// # Errors
    /// If it cannot be sent as asked; [`SendError::QueueFull`] if there is no room now.
    pub fn send(&self, heap: impl Into<HeapRef>) -> Result<(), SendError> {
        self.submit(Work::One(heap.into()), Completion::Silent, self.sends_here())
    }

    /// Sends a heap, and returns the bytes of its packets when they have been given to the kernel. Waits
    /// while the queue is full.
    ///
    /// Unless configured [otherwise](SendThread), it is this thread that sends it if the stream has
    /// nothing else to do. It may not be called from a callback of the stream or of its worker, which
    /// would wait for itself.
    ///
    /// # Errors
    /// If it cannot be sent as asked, or what went wrong.
    pub fn send_blocking(&self, heap: impl Into<HeapRef>) -> Result<u64, SendError> {
        let heap = heap.into();
        self.submit_and_wait(|| Work::One(heap.clone()))
    }

    /// As [`send_blocking`](Self::send_blocking), for a list as
    /// [`send_list`](Self::send_list) takes it.
    ///
    /// # Errors
    /// As [`send_blocking`](Self::send_blocking), and if the list is empty.
    pub fn send_list_blocking(
        &self,
        heaps: &Arc<[HeapRef]>,
        mode: GroupMode,
    ) -> Result<u64, SendError> {
        self.submit_and_wait(|| Work::Many(Arc::clone(heaps), mode))
    }

    /// As [`send`](Self::send), and waits while the queue is full.
    ///
    /// # Errors
    /// If it cannot be sent as asked.
    pub fn send_waiting(&self, heap: impl Into<HeapRef>) -> Result<(), SendError> {
        let heap = heap.into();
        loop {
            match self.send(heap.clone()) {
                Err(SendError::QueueFull) => self.wait_for_space(),
                result => return result,
            }
        }
    }

    /// Queues a heap, whose completion can be waited for or awaited.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn ticket(&self, heap: impl Into<HeapRef>) -> Result<Ticket, SendError> {
        self.submit_with_ticket(Work::One(heap.into()), self.sends_here())
    }

    /// Queues a heap, and has `done` called on the worker (or here, with [`SendThread::Caller`]) when it
    /// has been sent (with the bytes of its packets) or could not be. By then the stream holds the
    /// heap no more. `done` may use the stream, but not wait for it: there closing is a request.
    ///
    /// # Errors
    /// As [`send`](Self::send); `done` is not called then.
    pub fn send_then(
        &self,
        heap: impl Into<HeapRef>,
        done: impl FnOnce(Result<u64, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let done = Completion::Call(Box::new(done));
        self.submit(Work::One(heap.into()), done, self.sends_here())
    }

    /// Queues a list of heaps, which is completed as one. The same list may be sent again and
    /// again, at no cost per heap.
    ///
    /// # Errors
    /// As [`send`](Self::send), and if the list is empty. None of the heaps is sent then.
    pub fn send_list(&self, heaps: &Arc<[HeapRef]>, mode: GroupMode) -> Result<Ticket, SendError> {
        self.submit_with_ticket(Work::Many(Arc::clone(heaps), mode), self.sends_here())
    }

    /// As [`send_list`](Self::send_list), and has `done` called as [`send_then`](Self::send_then)
    /// does. By then the stream holds the heaps no more.
    ///
    /// # Errors
    /// As [`send_list`](Self::send_list); `done` is not called then.
    pub fn send_list_then(
        &self,
        heaps: &Arc<[HeapRef]>,
        mode: GroupMode,
        done: impl FnOnce(Result<u64, SendError>) + Send + 'static,
    ) -> Result<(), SendError> {
        let done = Completion::Call(Box::new(done));
        self.submit(Work::Many(Arc::clone(heaps), mode), done, self.sends_here())
    }

    /// Waits until everything queued so far has been sent or has failed.
    ///
    /// # Errors
    /// If the stream is closed or was aborted.
    pub fn flush(&self) -> Result<(), SendError> {
        self.submit_and_wait(|| Work::Barrier).map(drop)
    }

    /// Blocks until there is room in the queue, or the stream is closed. Where experience says that it will
    /// not be long, the thread stays awake for up to 20 us.
    pub fn wait_for_space(&self) {
        let has_room = || !self.queue.is_full() || self.queue.is_closed();
        // One looks; if another does, that is as good as in vain.
        let look = || self.look.try_lock().is_ok_and(|mut look| look.keeping_the_core(has_room));
        if !has_room() && !look() {
            self.queue.wait_for_space();
        }
    }

    /// The error of the heap that failed last, since the last time this was asked.
    #[must_use]
    pub fn last_error(&self) -> Option<SendError> {
        self.shared.take_error()
    }

    /// The stream's counters.
    #[must_use]
    pub fn stats(&self) -> SendStats {
        self.shared.stats.read()
    }

    /// Takes no more heaps, sends those that wait, and returns when they are gone: never, if the
    /// other end of a TCP connection does not read. [`close_timeout`](Self::close_timeout) gives up,
    /// and [`abort`](Self::abort) from another thread ends the wait.
    pub fn close(&self) {
        self.queue.close();
        self.wait_for_end(Duration::MAX, || false);
    }

    /// As [`close`](Self::close), but waits no longer than `timeout`. True if all is gone; otherwise
    /// it goes on being sent.
    pub fn close_within(&self, timeout: Duration) -> bool {
        self.queue.close();
        let start = Instant::now();
        self.wait_for_end(timeout, || start.elapsed() >= timeout)
    }

    /// As [`close_within`](Self::close_within), and then as [`abort`](Self::abort): what is not sent
    /// by then is not sent. True if all is gone.
    pub fn close_timeout(&self, timeout: Duration) -> bool {
        let in_time = self.close_within(timeout);
        if !in_time {
            self.abort();
        }
        in_time
    }

    /// Ends the stream at once: heaps that are not sent yet complete with [`SendError::Aborted`].
    pub fn abort(&self) {
        self.queue.close();
        self.shared.abort();
        self.waker.wake_by_ref();
        self.wait_for_end(Duration::MAX, || false);
    }

    /// The worker that the stream runs on.
    #[must_use]
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// False if it was given up, which is considered whenever `look` has passed.
    fn wait_for_end(&self, look: Duration, give_up: impl Fn() -> bool) -> bool {
        if crate::recv::on_worker() {
            return true; // it might be this stream's own; there closing is a request
        }
        self.shared.wait_for_end(look, give_up)
    }

    fn lock(&self) -> MutexGuard<'_, Submit> {
        self.submit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn submit_and_wait(&self, work: impl Fn() -> Work) -> Result<u64, SendError> {
        let here = self.thread != SendThread::Worker;
        loop {
            match self.submit_with_ticket(work(), here) {
                Err(SendError::QueueFull) => self.wait_for_space(),
                result => return result?.wait(),
            }
        }
    }

    fn submit_with_ticket(&self, work: Work, here: bool) -> Result<Ticket, SendError> {
        let cell = Arc::new(Cell::default());
        self.submit(work, Completion::Ticket(Arc::clone(&cell)), here)?;
        Ok(Ticket { cell })
    }

    /// Queues `work`, or with `here` carries it out on this thread if the stream is at rest.
    fn submit(&self, work: Work, done: Completion, here: bool) -> Result<(), SendError> {
        let numbered = self.check(&work)?;
        let mut submit = self.lock();
        let (next_cnt, step) = (submit.next_cnt, submit.step);
        let after = next_cnt.wrapping_add(step.wrapping_mul(numbered));
        let request = Request { work, next_cnt, step, done };
        // Nothing is queued while the order is locked, so what comes now is next.
        if here
            && self.queue.is_empty()
            && !self.queue.is_closed()
            && let Some(turn) = Turn::take(&self.seat)
        {
            submit.next_cnt = after;
            drop(submit);
            turn.send(request);
            return Ok(());
        }
        match self.queue.try_push(request) {
            Ok(()) => {
                submit.next_cnt = after;
                Ok(())
            }
            Err(TryPushError::Full(request)) => Err(refuse(request, SendError::QueueFull)),
            Err(TryPushError::Closed(request)) => Err(refuse(request, SendError::Closed)),
        }
    }

    /// Whether threads that do not wait send themselves.
    fn sends_here(&self) -> bool {
        self.thread == SendThread::Caller
    }

    /// Checks what is asked for; says how many heaps the stream has to number.
    fn check(&self, work: &Work) -> Result<u64, SendError> {
        let heaps = work.heaps();
        if heaps.is_empty() && !matches!(work, Work::Barrier) {
            return Err(SendError::EmptyList);
        }
        let mut numbered = 0;
        for heap in heaps {
            if heap.substream >= self.substreams {
                let count = self.substreams;
                return Err(SendError::Substream { substream: heap.substream, count });
            }
            if let Some(rate) = heap.rate.filter(|&rate| !rate_is_valid(rate)) {
                return Err(SendError::Rate(rate));
            }
            let max = heap.heap.flavour().max_value();
            match heap.cnt {
                Some(heap_cnt) if heap_cnt > max => {
                    return Err(SendError::Encode(EncodeError::HeapCnt { heap_cnt, max }));
                }
                Some(_) => {}
                None => numbered += 1,
            }
        }
        Ok(numbered)
    }
}

/// Has the kernel keep the rate, if it is to.
fn set_pacing(transport: &mut dyn Transport, config: &mut SendConfig) -> io::Result<()> {
    match config.pacing {
        Pacing::Kernel if config.rate > 0.0 => {
            transport.set_kernel_rate(config.rate)?;
            // The worker has none to keep.
            config.rate = 0.0;
        }
        // Heaps may have rates of their own.
        Pacing::DepartureTimes => {
            transport.set_departure_times()?;
            // What is handed over in one go does not leave in one go.
            config.burst_size = usize::MAX;
        }
        _ => {}
    }
    Ok(())
}

/// A request that was not queued: its completion is not called, the caller is told instead.
fn refuse(mut request: Request, error: SendError) -> SendError {
    request.done = Completion::Silent;
    error
}

impl Drop for SendStream {
    /// Sends what waits, as [`close`](Self::close) does, but gives up when the transport has taken
    /// nothing for [`drop_timeout`](SendConfig::drop_timeout). A low rate is no reason to give up.
    fn drop(&mut self) {
        self.queue.close();
        let timeout = self.drop_timeout;
        if !self.wait_for_end(timeout, || self.shared.is_stalled_for(timeout)) {
            log::warn!("a send stream is dropped unsent: for {timeout:?} nothing could be sent");
            self.abort();
        }
    }
}

impl fmt::Debug for SendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendStream").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
