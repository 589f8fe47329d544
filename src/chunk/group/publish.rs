//! Finished chunks go to `ready`, in the order of their ids, and consumers are told of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state::State;
use super::{Group, LockIgnoringPoison};
use crate::chunk::Chunk;
use crate::chunk::exchange::Ready;
use crate::sync::{MutexGuard, Ordering};

impl Group {
    /// Hands finished chunks to `ready` in id order, unless somebody else is at it.
    pub(crate) fn publish(&self) {
        let mut state = self.state();
        if state.publishing {
            state.publish_again = true;
            return;
        }
        state.publishing = true;
        let role = PublishRole(self);
        loop {
            state.publish_again = false;
            if state.ended {
                // Told by who has the role, so that it is told once, after the last chunk, and by
                // whoever is last: a stop from a callback has no thread that waits for it.
                if state.live > 0 || std::mem::replace(&mut state.told, true) {
                    break;
                }
                let rest = (std::mem::take(&mut state.slots), std::mem::take(&mut state.outbox));
                drop(state);
                drop(rest);
                self.ready().end();
                self.allocate.lock_ignoring_poison().end();
                state = self.state();
            } else if let Some(chunk) = state.outbox.pop_front() {
                let was_full = state.outbox.len() + 1 >= self.window;
                self.pending.store(state.outbox.len() + 1, Ordering::Relaxed);
                drop(state);
                let refused = self.hand_over(chunk).err();
                state = self.state();
                // What is refused was announced with all before it.
                state.unannounced = refused.is_none();
                if refused.is_none() {
                    state.stats.chunks_delivered += 1;
                    self.pending.store(state.outbox.len(), Ordering::Relaxed);
                }
                if let Some(chunk) = refused {
                    state.outbox.push_front(chunk);
                    if !state.publish_again {
                        break;
                    }
                } else if was_full {
                    drop(state);
                    self.wake_parked();
                    state = self.state();
                }
            } else if state.closed && state.live == 0 && self.had_members(&state) {
                state.ended = true;
            } else if std::mem::take(&mut state.announce) {
                if std::mem::take(&mut state.unannounced) {
                    drop(state);
                    self.ready().announce();
                    state = self.state();
                }
            } else {
                break;
            }
        }
        state.publishing = false;
        drop(state);
        std::mem::forget(role);
    }

    /// Publishes once all members have ended. No stream is left that a callback's panic could end,
    /// and it is none of the caller's.
    pub(super) fn publish_the_rest(&self) {
        let publish = || {
            self.publish();
            self.announce();
        };
        // Ends, because what a callback panicked over is not offered again.
        while catch_unwind(AssertUnwindSafe(publish)).is_err() {
            log::error!("a callback panicked after its group's last member had ended");
        }
    }

    /// Gives a chunk to `ready`, with the publishing role held.
    fn hand_over(&self, chunk: Chunk) -> Result<(), Chunk> {
        let mut ready = self.ready();
        let taken = ready.ready(chunk, &self.waker);
        if taken.is_err() {
            ready.announce();
        }
        taken
    }

    /// Has what was handed over announced.
    ///
    /// Members that keep up with each other in a lossless group wait for each other once a chunk, so
    /// who waits leaves it to others [at work](Member::at_work): the last to wait announces, and
    /// whoever goes on for longer than a quantum. Otherwise consumers would be woken for every chunk.
    pub(super) fn announce(&self) {
        let mut state = self.state();
        if state.unannounced {
            state.announce = true;
            drop(state);
            self.publish();
        }
    }

    /// [Publishes](Self::publish), and has what was handed over announced unless a member is at work,
    /// which will see to it. For all who publish when no quantum of theirs ends after it.
    pub(crate) fn publish_outside_quanta(&self) {
        self.publish();
        if !self.state().any_at_work() {
            self.announce();
        }
    }

    /// Member `member` waits for packets, or for what it parked for. Says whether it is parked, and
    /// whether another member is at work.
    pub(super) fn rest(&self, member: usize) -> (bool, bool) {
        let mut state = self.state();
        let resting = &mut state.members[member];
        resting.at_work = false;
        let parked = resting.parked;
        let others = state.any_at_work();
        drop(state);
        if !others {
            self.announce();
        }
        (parked, others)
    }

    /// A group that is built with its members has not ended before the first has joined; one for
    /// members that come and go has, when it is closed.
    fn had_members(&self, state: &State) -> bool {
        self.open_ended || !state.members.is_empty()
    }

    fn ready(&self) -> MutexGuard<'_, Box<dyn Ready>> {
        self.ready.lock_ignoring_poison()
    }
}

/// Gives the role back if `ready` panics; forgotten otherwise.
struct PublishRole<'a>(&'a Group);

impl Drop for PublishRole<'_> {
    fn drop(&mut self) {
        self.0.state().publishing = false;
    }
}
