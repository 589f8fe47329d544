//! Blocking the calling thread until an attempt succeeds.

use super::event::{Event, Waiter, poll_event};
use crate::sync::{Condvar, Mutex, lock};
use std::sync::{Arc, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::time::Instant;

/// A thread's alarm clock. Its own rather than `std::thread::park`, whose one token per thread may
/// be in use by the caller.
struct Parker {
    woken: Mutex<bool>,
    change: Condvar,
}

impl Parker {
    fn with_waker() -> (Arc<Self>, Waker) {
        let parker = Arc::new(Self { woken: Mutex::new(false), change: Condvar::new() });
        let waker = Waker::from(parker.clone());
        (parker, waker)
    }

    /// Sleep until woken; false if `deadline` came first.
    fn park(&self, deadline: Option<Instant>) -> bool {
        let mut woken = lock(&self.woken);
        while !*woken {
            woken = match deadline {
                None => self.change.wait(woken).unwrap_or_else(PoisonError::into_inner),
                #[cfg(speadway_loom)]
                Some(_) => return false,
                #[cfg(not(speadway_loom))]
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return false;
                    }
                    let waited = self.change.wait_timeout(woken, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        *woken = false;
        true
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *lock(&self.woken) = true;
        self.change.notify_one();
    }
}

/// Attempt until it succeeds, blocking in between; `None` if `deadline` came first.
pub(super) fn block_on_event<R>(
    event: &Arc<Event>,
    deadline: Option<Instant>,
    mut attempt: impl FnMut() -> Option<R>,
) -> Option<R> {
    if let Some(result) = attempt() {
        return Some(result);
    }
    with_parker(|parker, waker| {
        let mut waiter = Waiter::default();
        loop {
            if let Poll::Ready(result) = poll_event(event, &mut waiter, waker, &mut attempt) {
                return Some(result);
            }
            if !parker.park(deadline) {
                // A wake-up that came at the last moment is passed on as the waiter drops.
                return attempt();
            }
        }
    })
}

/// Run `f` with this thread's parker, made once per thread so that waiting allocates nothing.
#[cfg(not(speadway_loom))]
fn with_parker<R>(f: impl FnOnce(&Parker, &Waker) -> R) -> R {
    thread_local! {
        static PARKER: (Arc<Parker>, Waker) = Parker::with_waker();
    }
    // The thread's own is gone while its locals are being destroyed.
    let (parker, waker) = PARKER.try_with(Clone::clone).unwrap_or_else(|_| Parker::with_waker());
    f(&parker, &waker)
}

#[cfg(speadway_loom)]
fn with_parker<R>(f: impl FnOnce(&Parker, &Waker) -> R) -> R {
    let (parker, waker) = Parker::with_waker();
    f(&parker, &waker)
}
