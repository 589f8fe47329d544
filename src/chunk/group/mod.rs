//! The group window: one sequence of chunks filled by several streams.
//!
//! Every member has a [`Window`](super::window::Window) of its own whose chunks live here. A chunk
//! is finished when every live member's window has moved past it; the group's head is the smallest
//! of the members' heads. All bookkeeping is behind one mutex, taken once per chunk and member, held
//! for a few instructions, and never across a callback, a ring operation or another lock:
//!
//! * `allocate` is called by the one member that holds the *allocating* role,
//! * `ready` by the one that holds the *publishing* role, which keeps the order of ids,
//! * laggards are flushed through their [`Gate`](super::gate::Gate), which is only ever tried.
//!
//! A member that cannot go on parks: it is marked parked under the mutex in the same critical
//! section that found the obstacle, and whoever removes the obstacle does so under the mutex and
//! wakes the parked afterwards. So no wake-up is lost.

mod publish;
mod state;
mod supply;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::time::{Duration, Instant};

pub use self::state::GroupStats;
use self::state::{Member, State};
pub(crate) use self::supply::MemberSupply;
use super::exchange::{Allocate, Allocation, ParkReason, Ready};
use super::layout::Division;
use super::window::Supplied;
use crate::sync::{AtomicUsize, Mutex, MutexGuard};

/// What happens when the group's window has to move and a member still holds its oldest chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Eviction {
    /// The member loses its old chunks (lossy): nobody waits for a slow or silent member.
    #[default]
    Eager,
    /// The one ahead waits. A live but silent member holds all others back; a stopped one does not.
    Lossless,
}

/// What a group is made of.
pub(crate) struct GroupParts {
    /// The window, in chunks.
    pub(crate) window: usize,
    pub(crate) eviction: Eviction,
    /// Whether members may join once chunks were opened; such a group ends with `close`.
    pub(crate) open_ended: bool,
    pub(crate) max_age: Option<Duration>,
    pub(crate) allocate: Box<dyn Allocate>,
    pub(crate) ready: Box<dyn Ready>,
}

/// The group; shared by its members.
pub(crate) struct Group {
    window: usize,
    eviction: Eviction,
    open_ended: bool,
    max_age: Option<Duration>,
    state: Mutex<State>,
    /// Locked only by who holds the allocating role: never contended.
    allocate: Mutex<Box<dyn Allocate>>,
    /// Locked only by who holds the publishing role: never contended.
    ready: Mutex<Box<dyn Ready>>,
    /// Finished chunks that `ready` has not taken: the outbox's length, and one while a chunk is on
    /// its way. A hint that spares members the mutex; it is raised before `ready` is called.
    pending: AtomicUsize,
    /// Called by rings when there is space or a chunk again.
    waker: Waker,
}

/// A member as the others see it.
pub(crate) trait Laggard: Send + Sync {
    /// Releases everything before `target`, now or when the member's quantum ends.
    fn request_flush(&self, target: u64);
}

/// What a member claims before it writes. A claim names a unit by its index alone, so members that
/// claim must mean the same bytes by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Units {
    pub(crate) division: Division,
    pub(crate) packet_presence: Option<u64>,
}

/// Why a stream cannot join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinError {
    /// The member's window is larger than the group's.
    WindowTooLarge { member: usize, group: usize },
    /// Chunks were opened already and the group was not made for late members.
    Started,
    /// The group is closed or stopped.
    Closed,
    /// More members than claims can tell apart.
    TooMany,
    /// It would claim other units than the members before it.
    OtherUnits,
}

/// Wakes the members when a ring moved; holds the group weakly, because rings hold the waker.
struct GroupWaker(Weak<Group>);

impl Wake for GroupWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some(group) = self.0.upgrade() {
            group.exchange_moved();
        }
    }
}

impl Group {
    pub(crate) fn new(parts: GroupParts) -> Arc<Self> {
        let state = State {
            head: 0,
            tail: 0,
            slots: VecDeque::with_capacity(parts.window),
            spare: Vec::with_capacity(parts.window),
            members: Vec::new(),
            units: None,
            live: 0,
            outbox: VecDeque::with_capacity(2 * parts.window),
            allocating: false,
            publishing: false,
            publish_again: false,
            unannounced: false,
            announce: false,
            started: false,
            closed: !parts.open_ended,
            ended: false,
            told: false,
            stats: GroupStats::default(),
        };
        Arc::new_cyclic(|weak| Self {
            window: parts.window,
            eviction: parts.eviction,
            open_ended: parts.open_ended,
            max_age: parts.max_age,
            state: Mutex::new(state),
            allocate: Mutex::new(parts.allocate),
            ready: Mutex::new(parts.ready),
            pending: AtomicUsize::new(0),
            waker: Waker::from(Arc::new(GroupWaker(weak.clone()))),
        })
    }

    /// Adds a member with a window of `window` chunks. Returns its number and the first chunk id
    /// that it may open. Others can reach it once it is [connected](Self::connect).
    pub(crate) fn join(
        &self,
        window: usize,
        claims: Option<Units>,
    ) -> Result<(usize, u64), JoinError> {
        if window > self.window {
            return Err(JoinError::WindowTooLarge { member: window, group: self.window });
        }
        let mut state = self.state();
        if state.ended || (self.open_ended && state.closed) {
            return Err(JoinError::Closed);
        }
        if state.started && !self.open_ended {
            return Err(JoinError::Started);
        }
        if state.members.len() >= usize::from(u16::MAX) {
            return Err(JoinError::TooMany);
        }
        let claiming = claims.is_some();
        if let Some(units) = claims
            && *state.units.get_or_insert_with(|| units.clone()) != units
        {
            return Err(JoinError::OtherUnits);
        }
        let head = state.tail;
        state.members.push(Member {
            head,
            live: true,
            parked: false,
            at_work: false,
            claims: claiming,
            drained: None,
            waker: None,
            laggard: None,
        });
        state.live += 1;
        Ok((state.members.len() - 1, head))
    }

    /// Tells how to wake member `member` and how to flush it.
    pub(crate) fn connect(&self, member: usize, waker: Waker, laggard: Weak<dyn Laggard>) {
        let mut state = self.state();
        state.members[member].waker = Some(waker);
        state.members[member].laggard = Some(laggard);
        drop(state);
        // Who asked for a flush before could not reach the member; now it can.
        self.wake_parked();
    }

    /// Closes an open-ended group to further members: it ends with its last one.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.publish_outside_quanta();
    }

    /// From now on nothing is opened or delivered: the first half of a user's stop.
    pub(crate) fn mute(&self) {
        let mut state = self.state();
        state.closed = true;
        state.ended = true;
    }

    /// Drops whatever the group holds, in the caller's thread: the second half of a user's stop.
    /// All members have ended, so nobody writes to the chunks any more.
    pub(crate) fn abandon(&self) {
        debug_assert_eq!(self.state().live, 0, "members end before their chunks go");
        self.publish_the_rest();
    }

    pub(crate) fn stats(&self) -> GroupStats {
        let state = self.state();
        GroupStats {
            backlog: state.outbox.len(),
            head: state.head,
            tail: state.tail,
            live_members: state.live,
            ..state.stats
        }
    }

    /// A ring has space or a chunk again.
    fn exchange_moved(&self) {
        if self.state().live == 0 {
            // Everybody has left: whoever made the space hands over the rest.
            self.publish_the_rest();
        } else {
            self.wake_live();
        }
    }

    /// Wakes every member, parked or about to park: what it was told may be true no longer.
    fn wake_live(&self) {
        let mut member = 0;
        loop {
            let mut state = self.state();
            if member >= state.members.len() {
                return;
            }
            let waker = state.unpark(member);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            member += 1;
        }
    }

    /// Wakes the members that wait for the window, a chunk that another member allocates, or space
    /// in the outbox.
    fn wake_parked(&self) {
        let mut member = 0;
        loop {
            let mut state = self.state();
            let Some(at) = state.members.iter().skip(member).position(|m| m.parked) else { return };
            member += at;
            let waker = state.unpark(member);
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
            member += 1;
        }
    }

    /// Chunk `id` for member `member`, or why not yet.
    fn get(&self, member: usize, id: u64, stream_id: u64, now: Instant) -> Supplied {
        let mut asked = false;
        loop {
            let mut state = self.state();
            debug_assert!(id >= state.head, "a member's window is never behind the group's");
            state.members[member].at_work = true;
            if state.ended {
                return Supplied::Missing;
            }
            if id < state.tail {
                return state.view(id, member);
            }
            if id - state.head >= self.window as u64 {
                if self.eviction == Eviction::Lossless || asked {
                    return state.park(member, ParkReason::GroupWindow);
                }
                asked = true;
                drop(state);
                self.flush_laggards(member, id - (self.window as u64 - 1));
                continue;
            }
            if state.outbox.len() >= self.window {
                return state.park(member, ParkReason::DataRing);
            }
            if state.allocating {
                return state.park(member, ParkReason::FreeRing);
            }
            state.allocating = true;
            state.started = true;
            let id = state.tail;
            drop(state);
            if !self.allocate_one(id, stream_id, now) {
                let mut state = self.state();
                // A chunk that came back between the refusal and this line called the waker, which
                // found us not parked: the worker then polls us again in any case.
                return state.park(member, ParkReason::FreeRing);
            }
        }
    }

    /// Allocates chunk `id`, the group's next, with the allocating role held; lets go of the role.
    fn allocate_one(&self, id: u64, stream_id: u64, now: Instant) -> bool {
        let role = AllocateRole(self);
        let allocation = self.allocate.lock_ignoring_poison().allocate(id, &self.waker);
        let chunk = match allocation {
            Allocation::Chunk(mut chunk) => {
                chunk.open(id, stream_id);
                Some(chunk)
            }
            Allocation::Refused => None,
            Allocation::NotYet => return false,
        };
        let in_window = self.state().insert(id, chunk, now);
        drop(role);
        self.wake_parked();
        if !in_window {
            self.publish();
        }
        true
    }

    /// Asks every member whose window starts before `target` to move on.
    fn flush_laggards(&self, except: usize, target: u64) {
        let mut member = 0;
        loop {
            let laggard = {
                let state = self.state();
                let Some(m) = state.members.get(member) else { return };
                let behind = member != except && m.live && m.head < target;
                if behind { m.laggard.as_ref().and_then(Weak::upgrade) } else { None }
            };
            if let Some(laggard) = laggard {
                laggard.request_flush(target);
            }
            member += 1;
        }
    }

    /// Member `member` has moved its head and gives account of the chunks that it left. True if the
    /// group's head moved: the caller has to [publish](Self::publish) what that finished.
    fn head_moved(
        &self,
        member: usize,
        head: u64,
        stream_id: u64,
        left: &mut Vec<(u64, u64)>,
    ) -> bool {
        let mut state = self.state();
        for (id, units) in left.drain(..) {
            if let Some(chunk) = state.slot(id).and_then(|slot| slot.chunk.as_mut()) {
                chunk.contribute(stream_id, units);
            }
        }
        state.members[member].head = head;
        let moved = state.settle();
        drop(state);
        if moved {
            self.wake_parked();
        }
        moved
    }

    /// Member `member` is gone: it holds nobody back any more.
    pub(crate) fn leave(&self, member: usize) {
        let mut state = self.state();
        if std::mem::replace(&mut state.members[member].live, false) {
            state.members[member].parked = false;
            state.members[member].at_work = false;
            state.live -= 1;
            state.settle();
            let idle = !std::mem::replace(&mut state.allocating, true);
            drop(state);
            if idle {
                // It may have been the one that waits for a chunk; the pool may have others who do.
                // Who still wants one here is woken, even if it is only about to park, and asks
                // again.
                let role = AllocateRole(self);
                self.allocate.lock_ignoring_poison().end();
                drop(role);
            }
            self.wake_live();
        } else {
            drop(state);
        }
        // Again if it left before: a callback that panicked may have left something behind.
        self.publish_outside_quanta();
    }

    /// Whether the oldest chunk is over age and every live member has had the chance to fill it.
    /// The answer is the id that all windows should start at.
    fn expired(&self, member: usize, now: Instant, drained: bool) -> Option<u64> {
        let max_age = self.max_age?;
        let mut state = self.state();
        if drained {
            state.members[member].drained = Some(now);
        }
        let deadline = state.slots.front()?.opened?.checked_add(max_age)?;
        let waited =
            |m: &Member| !m.live || (!m.parked && m.drained.is_some_and(|t| t >= deadline));
        if now < deadline || !state.members.iter().all(waited) {
            return None;
        }
        let target = state.head + 1;
        drop(state);
        self.flush_laggards(member, target);
        Some(target)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock_ignoring_poison()
    }
}

/// Gives the role back if `allocate` panics.
struct AllocateRole<'a>(&'a Group);

impl Drop for AllocateRole<'_> {
    fn drop(&mut self) {
        self.0.state().allocating = false;
    }
}

/// Locking whose holders leave consistent state behind even if a callback panics.
trait LockIgnoringPoison<T: ?Sized> {
    fn lock_ignoring_poison(&self) -> MutexGuard<'_, T>;
}

impl<T> LockIgnoringPoison<T> for Mutex<T> {
    fn lock_ignoring_poison(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
