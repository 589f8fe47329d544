//! Models of the seat: every interleaving, under the C11 memory model, of a worker and those who do
//! its work in its place. Work that is forgotten shows as something left that nobody was called for.
//!
//! Run by `make model`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool as Flag, Ordering::SeqCst};
use std::task::{Wake, Waker};

use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use super::seat::Seat;

/// Whether the worker was called. The worker's own flag and sleep are not what is modelled, and the
/// standard library's flag orders nothing that loom sees.
#[derive(Default)]
struct Bell(Flag);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// A queue of which only the length matters, and a seat of which only who has it does.
struct Stream {
    seat: Seat<()>,
    queued: AtomicUsize,
    bell: Arc<Bell>,
}

impl Stream {
    fn new() -> Arc<Self> {
        let bell = Arc::new(Bell::default());
        let seat = Seat::new((), Waker::from(Arc::clone(&bell)));
        Arc::new(Self { seat, queued: AtomicUsize::new(0), bell })
    }

    /// What the worker does when it is called.
    fn poll(&self) {
        if let Some(_guard) = self.seat.own() {
            self.queued.store(0, Ordering::Relaxed);
        }
    }

    /// Queues something and calls the worker, as who finds the seat taken does.
    fn queue(&self) {
        self.queued.fetch_add(1, Ordering::Relaxed);
        self.bell.0.store(true, SeqCst);
    }

    /// Nothing is forgotten: the worker, as often as it is called, leaves nothing undone.
    fn check(&self) {
        while self.bell.0.swap(false, SeqCst) {
            self.poll();
        }
        assert_eq!(self.queued.load(Ordering::Relaxed), 0, "forgotten");
    }
}

#[test]
fn a_worker_that_was_sent_away_is_called() {
    loom::model(|| {
        let stream = Stream::new();
        let guest = {
            let stream = Arc::clone(&stream);
            thread::spawn(move || {
                if let Some(_guest) = stream.seat.visit() {
                    // What is queued is not the guest's. Loom changes threads only where it sees
                    // something, though, so this is the middle of the visit.
                    stream.queued.load(Ordering::Relaxed);
                }
            })
        };
        stream.queue();
        if stream.bell.0.swap(false, SeqCst) {
            stream.poll();
        }
        guest.join().unwrap();
        stream.check();
    });
}

#[test]
fn what_a_guest_leaves_is_gone_on_with() {
    loom::model(|| {
        let stream = Stream::new();
        let guests: Vec<_> = (0..2)
            .map(|_| {
                let stream = Arc::clone(&stream);
                thread::spawn(move || match stream.seat.visit() {
                    Some(guest) => {
                        stream.queued.fetch_add(1, Ordering::Relaxed);
                        guest.leave_unfinished();
                    }
                    None => stream.queue(),
                })
            })
            .collect();
        if stream.bell.0.swap(false, SeqCst) {
            stream.poll();
        }
        guests.into_iter().for_each(|guest| guest.join().unwrap());
        stream.check();
    });
}
