//! Waiting: a queue of wakers, first come first served.
//!
//! One mechanism for blocked threads, futures and parked streams: each is a [`Waker`] in the list.
//! Wakers are cloned, called and dropped with no lock held, as they are foreign code that may take
//! locks of its own (an interpreter's, a run queue's) or call the ring again.

use super::stats::Count;
use crate::sync::{AtomicUsize, Mutex, Ordering, fence, lock};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Something that is waited for. Each notification goes to one waiter, which either looks again or
/// passes it on.
pub(super) struct Event {
    /// How many waiters there are to notify: lets a notifier skip the lock.
    waiting: AtomicUsize,
    list: Mutex<List>,
    /// How often someone began to wait, and for how long in all (nanoseconds).
    pub(super) waits: Count,
    pub(super) waited: Count,
}

impl Event {
    pub(super) fn new() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            list: Mutex::new(List { slots: Vec::with_capacity(WAITERS), ..List::default() }),
            waits: Count::default(),
            waited: Count::default(),
        }
    }

    /// Wake the waiter that has waited longest, besides those already woken.
    ///
    /// No lock and no system call when nobody waits.
    pub(super) fn notify_one(&self) {
        if !self.anyone_waiting() {
            return;
        }
        if let Some(waker) = self.with_list(List::notify_next) {
            waker.wake();
        }
    }

    /// Wake up to `count` waiters, those that have waited longest.
    ///
    /// They are taken from the list before any is called: who is woken first, has taken all there was
    /// and waits again would otherwise be called once more, for nothing.
    pub(super) fn notify(&self, count: usize) {
        if count == 0 || !self.anyone_waiting() {
            return;
        }
        let mut left = count;
        while left > 0 {
            let mut wakers = [const { None }; WAITERS];
            let pass = left.min(WAITERS);
            self.with_list(|list| wakers[..pass].fill_with(|| list.notify_next()));
            left = if wakers[pass - 1].is_some() { left - pass } else { 0 };
            wakers.into_iter().flatten().for_each(Waker::wake);
        }
    }

    /// Wake everyone.
    pub(super) fn notify_all(&self) {
        if !self.anyone_waiting() {
            return;
        }
        let wakers: Vec<Waker> =
            self.with_list(|list| std::iter::from_fn(|| list.notify_next()).collect());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The notifier's half of the handshake: it changes the ring, fences, and looks for waiters; a
    /// waiter enters the list, fences, and looks at the ring ([`register`](Self::register)). One of
    /// the two sees the other.
    pub(super) fn anyone_waiting(&self) -> bool {
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) != 0
    }

    /// Have `waker` called at the next notification. The caller then looks at the ring again before
    /// it waits.
    fn register(&self, token: &mut Option<usize>, waker: &Waker, place: Place) {
        let waker = waker.clone();
        let replaced = self.with_list(|list| match *token {
            Some(slot) => list.rearm(slot, waker),
            None => {
                *token = Some(list.insert(waker, place));
                State::Free
            }
        });
        drop(replaced);
        fence(Ordering::SeqCst);
    }

    /// If `token` was notified, use that up: the caller is about to look at the ring.
    fn spend(&self, token: &mut Option<usize>) {
        let Some(slot) = *token else { return };
        let spent = self.with_list(|list| {
            let notified = matches!(list.slots[slot].state, State::Notified);
            if notified {
                list.release(slot);
            }
            notified
        });
        if spent {
            *token = None;
        }
    }

    /// Stop waiting, and pass a notification that was not used to the next waiter.
    fn cancel(&self, slot: usize) {
        let (released, next) = self.with_list(|list| {
            let released = list.release(slot);
            let notified = matches!(released, State::Notified);
            (released, if notified { list.notify_next() } else { None })
        });
        drop(released);
        if let Some(waker) = next {
            waker.wake();
        }
    }

    fn with_list<R>(&self, change: impl FnOnce(&mut List) -> R) -> R {
        let mut list = lock(&self.list);
        let result = change(&mut list);
        // Written under the lock, so its values follow one another as the list's do.
        self.waiting.store(list.waiting, Ordering::Relaxed);
        result
    }
}

/// Where in the queue.
#[derive(Clone, Copy)]
enum Place {
    /// For one whose turn it was, but who found that someone else had been quicker.
    Front,
    Back,
}

enum State {
    Free,
    Waiting(Waker),
    Notified,
}

struct Slot {
    state: State,
    prev: Option<usize>,
    /// The next waiting slot, or the next free one.
    next: Option<usize>,
}

/// Waiters that there is room for from the start, so that not even the first wait allocates. A ring
/// with more is rare.
const WAITERS: usize = 8;

/// The waiters in the order they came, linked by index in a vector that only grows: waiting again and
/// again allocates nothing.
#[derive(Default)]
struct List {
    slots: Vec<Slot>,
    head: Option<usize>,
    tail: Option<usize>,
    free: Option<usize>,
    waiting: usize,
}

impl List {
    fn insert(&mut self, waker: Waker, place: Place) -> usize {
        let slot = match self.free {
            Some(slot) => {
                self.free = self.slots[slot].next;
                slot
            }
            None => {
                self.slots.push(Slot { state: State::Free, prev: None, next: None });
                self.slots.len() - 1
            }
        };
        self.link(slot, waker, place);
        slot
    }

    /// Set the waker of a slot in use, in its place in the queue. Gives back what it held, to be
    /// dropped outside the lock.
    fn rearm(&mut self, slot: usize, waker: Waker) -> State {
        if let State::Notified = self.slots[slot].state {
            self.link(slot, waker, Place::Front);
            return State::Notified;
        }
        std::mem::replace(&mut self.slots[slot].state, State::Waiting(waker))
    }

    fn link(&mut self, slot: usize, waker: Waker, place: Place) {
        let (prev, next) = match place {
            Place::Front => (None, self.head),
            Place::Back => (self.tail, None),
        };
        self.slots[slot] = Slot { state: State::Waiting(waker), prev, next };
        self.join(prev, Some(slot));
        self.join(Some(slot), next);
        self.waiting += 1;
    }

    /// Make `next` follow `prev`; `None` is the end of the queue on that side.
    fn join(&mut self, prev: Option<usize>, next: Option<usize>) {
        match prev {
            Some(prev) => self.slots[prev].next = next,
            None => self.head = next,
        }
        match next {
            Some(next) => self.slots[next].prev = prev,
            None => self.tail = prev,
        }
    }

    fn unlink(&mut self, slot: usize) {
        let Slot { prev, next, .. } = self.slots[slot];
        self.join(prev, next);
        self.waiting -= 1;
    }

    fn notify_next(&mut self) -> Option<Waker> {
        let slot = self.head?;
        self.unlink(slot);
        match std::mem::replace(&mut self.slots[slot].state, State::Notified) {
            State::Waiting(waker) => Some(waker),
            State::Free | State::Notified => None,
        }
    }

    /// Free a slot in use and give back what it held.
    fn release(&mut self, slot: usize) -> State {
        if let State::Waiting(_) = self.slots[slot].state {
            self.unlink(slot);
        }
        let freed = Slot { state: State::Free, prev: None, next: self.free.replace(slot) };
        std::mem::replace(&mut self.slots[slot], freed).state
    }
}

/// A place in the queue of those who wait for a ring, kept between the polls of one who must not
/// block: see [`Ring::poll_pop`](super::Ring::poll_pop).
///
/// Empty until a poll answers "not yet". Dropping it gives the place up and passes a wake-up it may
/// have received on to the next in the queue, so drop it (or [`clear`](Self::clear) it) as soon as
/// you no longer want what you waited for. A waiter serves one side of one ring at a time; a poll of
/// another gives up the first place.
///
/// ```
/// use speadway::ring::{Ring, Waiter};
/// use std::task::{Poll, Waker};
///
/// let ring = Ring::new(1)?;
/// let mut waiter = Waiter::default();
/// assert!(ring.poll_pop(&mut waiter, Waker::noop()).is_pending());
/// assert!(waiter.is_waiting());
/// ring.push(7)?;
/// assert_eq!(ring.poll_pop(&mut waiter, Waker::noop()), Poll::Ready(Ok(7)));
/// assert!(!waiter.is_waiting());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Waiter {
    episode: Option<Episode>,
}

/// From the first "not yet" to success or surrender.
struct Episode {
    event: Arc<Event>,
    token: Option<usize>,
    since: Instant,
}

impl Waiter {
    /// Whether a place in a queue is held.
    pub fn is_waiting(&self) -> bool {
        self.episode.is_some()
    }

    /// Give up the place, passing an unused wake-up on.
    pub fn clear(&mut self) {
        self.episode = None;
    }

    fn spend(&mut self, event: &Arc<Event>) {
        if let Some(episode) = &mut self.episode {
            if Arc::ptr_eq(&episode.event, event) {
                event.spend(&mut episode.token);
            } else {
                self.episode = None;
            }
        }
    }

    pub(super) fn register(&mut self, event: &Arc<Event>, waker: &Waker) {
        // In an episode without a place the turn has come and gone.
        let place = if self.is_waiting() { Place::Front } else { Place::Back };
        let episode = self.episode.get_or_insert_with(|| {
            event.waits.add(1);
            Episode { event: event.clone(), token: None, since: Instant::now() }
        });
        event.register(&mut episode.token, waker, place);
    }
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiter").field("waiting", &self.is_waiting()).finish()
    }
}

impl Drop for Episode {
    fn drop(&mut self) {
        if let Some(slot) = self.token.take() {
            self.event.cancel(slot);
        }
        let waited = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.event.waited.add(waited);
    }
}

/// Attempt; if it cannot be, register and attempt once more, so that no notification falls between.
pub(super) fn poll_event<R>(
    event: &Arc<Event>,
    waiter: &mut Waiter,
    waker: &Waker,
    mut attempt: impl FnMut() -> Option<R>,
) -> Poll<R> {
    // Used up before the attempt: one that arrives after it is for another value and is passed on.
    waiter.spend(event);
    let mut done = attempt();
    if done.is_none() {
        waiter.register(event, waker);
        done = attempt();
    }
    match done {
        Some(result) => {
            waiter.clear();
            Poll::Ready(result)
        }
        None => Poll::Pending,
    }
}
