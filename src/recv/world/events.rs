//! What happens in a simulated world besides its workers and its consumer.

use std::sync::Arc;
use std::task::Waker;

use super::socket::{Arrived, Socket};
use super::traffic::{Ending, Shipment};
use super::{MAX_STREAMS, World, lock};

/// The first heap of who joins late; all of its numbers fit the narrowest pointer used (40 bits).
const FARTHEST: u64 = 1 << 39;

/// Something that happens at its time.
pub(super) enum Event {
    /// A sender has its turn.
    Send(usize),
    Arrive(Shipment),
    Eof(usize),
    /// A callback that was in no mood calls back.
    Call(Waker),
}

impl World {
    /// The next event happens; false if there is none.
    pub(super) fn happen(&self) -> bool {
        self.happen_if(|_| true)
    }

    /// What is under way arrives, but nothing new is sent.
    pub(super) fn happen_but_sends(&self) -> bool {
        self.happen_if(|event| !matches!(event, Event::Send(_)))
    }

    fn happen_if(&self, which: impl Fn(&Event) -> bool) -> bool {
        let event = {
            let mut timeline = lock(&self.timeline);
            let next = timeline.events.iter().find(|(_, event)| which(event)).map(|(at, _)| *at);
            let Some(at) = next else { return false };
            timeline.nanos = timeline.nanos.max(at.0);
            timeline.events.remove(&at)
        };
        match event {
            Some(Event::Send(sender)) => self.send(sender),
            Some(Event::Arrive(shipment)) => self.arrive(shipment),
            Some(Event::Eof(socket)) => self.at_socket(socket, |socket| socket.eof = true),
            Some(Event::Call(waker)) => waker.wake(),
            None => return false,
        }
        true
    }

    fn send(&self, number: usize) {
        let (sent, ending, sockets) = {
            let mut senders = lock(&self.senders);
            let sender = &mut senders[number];
            let sent = sender.send(&mut lock(&self.choices), &self.plan);
            (sent, sender.ending, sender.sockets.clone())
        };
        self.note(|| format!("sender {number}: {:?} at {}", sent.heap, self.nanos()));
        for shipment in sent.shipments {
            self.after(shipment.after, Event::Arrive(shipment));
        }
        match sent.heap {
            Some(id) => {
                lock(&self.oracle).sent.insert(id);
                self.after(sent.pause, Event::Send(number));
            }
            None if ending == Ending::Eof => {
                for socket in sockets {
                    self.after(self.plan.faults.delay + 1, Event::Eof(socket));
                }
            }
            None => {}
        }
    }

    fn arrive(&self, shipment: Shipment) {
        let Shipment { socket, packet, damaged, .. } = shipment;
        let room = self.plan.socket.unwrap_or(usize::MAX);
        self.at_socket(socket, |socket| {
            if socket.closed || socket.eof {
                return;
            }
            if socket.queue.len() - socket.held >= room {
                socket.drops += 1;
                return;
            }
            socket.queue.push_back(Arrived::new(packet, damaged));
        });
    }

    /// Something happens to a socket, and who reads it is told.
    pub(super) fn at_socket(&self, number: usize, what: impl FnOnce(&mut Socket)) {
        let socket = Arc::clone(&lock(&self.sockets)[number]);
        let (stream, watched, waker) = {
            let mut socket = lock(&socket);
            what(&mut socket);
            (socket.stream, socket.watched, socket.stir())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        if watched {
            let reader = self.readers_before(stream, number);
            lock(&self.jobs)[stream].events.push(reader);
        }
    }

    /// Readers of a stream are numbered as they are added.
    fn readers_before(&self, stream: usize, number: usize) -> usize {
        let sockets = lock(&self.sockets);
        sockets[..number].iter().filter(|socket| lock(socket).stream == stream).count()
    }

    /// Nothing can happen before the first of the streams' timers: time passes until then.
    pub(super) fn wait_for_a_timer(&self) -> bool {
        let jobs = lock(&self.jobs);
        let next = jobs.iter().filter(|job| !job.done).filter_map(|job| job.until).min();
        drop(jobs);
        let Some(next) = next else { return false };
        let nanos = next.saturating_duration_since(self.start).as_nanos() as u64;
        let mut timeline = lock(&self.timeline);
        let passes = nanos > timeline.nanos;
        timeline.nanos = timeline.nanos.max(nanos);
        passes
    }

    /// A user does something.
    pub(super) fn meddle(&self) {
        let streams = lock(&self.jobs).len();
        let stream = lock(&self.choices).below(streams as u64) as usize;
        let what = lock(&self.choices).below(16);
        self.note(|| format!("meddling {what} with stream {stream}"));
        match what {
            0 => self.stop(stream, false),
            1 => self.stop(stream, true),
            2 => lock(&self.jobs)[stream].control.clone().finish(),
            3 | 4 => {
                let sockets = lock(&self.sockets).len();
                let socket = lock(&self.choices).below(sockets as u64) as usize;
                self.at_socket(socket, |socket| socket.eof = true);
            }
            5..=7 => self.join(),
            8 if self.plan.open_ended => self.group.get().into_iter().for_each(|g| g.close()),
            9 => self.add_reader(stream),
            10 if self.chance(30) => self.stop_group(),
            11 if self.chance(20) => {
                lock(&self.troubles).closed = true;
                self.ring.close();
                self.heap_ring.close();
            }
            12 if self.chance(20) => {
                lock(&self.troubles).closed = true;
                self.pool.close();
            }
            _ => self.free_what_was_stopped(),
        }
    }

    pub(super) fn stop(&self, stream: usize, from_callback: bool) {
        // What a lone stream or a heap stream had not handed over is dropped.
        lock(&self.troubles).dropped |= !self.plan.is_group();
        let mut jobs = lock(&self.jobs);
        let job = &mut jobs[stream];
        job.stopping |= !job.done;
        let control = Arc::clone(&job.control);
        drop(jobs);
        control.request_stop(from_callback);
    }

    fn join(&self) {
        let streams = lock(&self.jobs).len();
        if !self.plan.open_ended || streams == MAX_STREAMS || !self.start_stream(streams) {
            return;
        }
        let tail = self.group.get().map_or(0, |group| group.stats().tail);
        let ahead = lock(&self.choices).below(3);
        // A damaged packet may have moved the window to where no number can be sent for.
        let first = (tail + ahead) * self.plan.heaps_per_chunk as u64;
        self.add_sender(streams, first.min(FARTHEST));
    }

    fn add_reader(&self, stream: usize) {
        let socket = lock(&self.sockets).len();
        let reader = self.new_reader(stream);
        let control = Arc::clone(&lock(&self.jobs)[stream].control);
        // The same sender may use it from now on.
        let mut senders = lock(&self.senders);
        let own = senders.iter_mut().find(|sender| sender.stream == stream);
        own.into_iter().for_each(|sender| sender.sockets.push(socket));
        drop(senders);
        control.add_reader(reader);
    }

    fn stop_group(&self) {
        let Some(group) = self.group.get() else { return };
        {
            let mut troubles = lock(&self.troubles);
            troubles.group_stopped = true;
            troubles.dropped = true;
        }
        group.mute();
        let streams = lock(&self.jobs).len();
        (0..streams).for_each(|stream| self.stop(stream, false));
    }

    /// Those who asked for a stop see that it is done, and free what is left.
    pub(super) fn free_what_was_stopped(&self) {
        let stack_is_empty = lock(&self.stack).is_empty();
        let mut freeing = Vec::new();
        let mut all_done = true;
        for job in lock(&self.jobs).iter_mut() {
            all_done &= job.done;
            if job.done && job.stopping && !job.freed {
                job.freed = true;
                freeing.push(Arc::clone(&job.control));
            }
        }
        freeing.iter().for_each(|control| control.abandon());
        let stopped = lock(&self.troubles).group_stopped;
        if let Some(group) = self.group.get().filter(|_| stopped && all_done && stack_is_empty) {
            group.abandon();
        }
    }
}
