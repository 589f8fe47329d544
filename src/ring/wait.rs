//! The ways of waiting for a ring: polled, blocking, for a while, as a future, as an iterator.

use super::event::{Waiter, poll_event};
use super::park::block_on_event;
use super::{Closed, Ended, Ring, Shared, TryPopError, TryPushError};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// What [`Ring::poll_push`] did with the value.
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "a value that was not pushed is in here"]
pub enum PollPush<T> {
    /// Pushed.
    Done,
    /// The ring is full; the waker will be called when to try again.
    Pending(T),
    /// The ring is closed: no later push will succeed either.
    Closed(T),
}

impl<T> fmt::Debug for PollPush<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "Done",
            Self::Pending(_) => "Pending(..)",
            Self::Closed(_) => "Closed(..)",
        })
    }
}

impl<T> Ring<T> {
    /// Push, or have `waker` called when it is worth trying again: for those who must not block, such
    /// as a worker with other streams to run.
    ///
    /// After `Pending`, keep the waiter and call again with it once woken; a call before that is
    /// harmless and replaces the waker. If you no longer want to push, drop or
    /// [`clear`](Waiter::clear) the waiter, so that the wake-up goes to somebody else. The waker is
    /// called by the thread that makes space or closes the ring, with no lock held.
    pub fn poll_push(&self, value: T, waiter: &mut Waiter, waker: &Waker) -> PollPush<T> {
        let mut held = Some(value);
        let attempt = || self.shared.offer_held(&mut held);
        match poll_event(&self.shared.space, waiter, waker, attempt) {
            Poll::Ready(Err(Closed(value))) => PollPush::Closed(value),
            Poll::Ready(Ok(())) | Poll::Pending => held.map_or(PollPush::Done, PollPush::Pending),
        }
    }

    /// Wait for space without having the value yet: ready when the ring has space or is closed.
    ///
    /// Another producer may take the space first, so go on with
    /// [`poll_push`](Self::poll_push) and the same waiter, whose place in the queue (and any
    /// wake-up) this keeps.
    pub fn poll_space(&self, waiter: &mut Waiter, waker: &Waker) -> Poll<()> {
        let ready = || self.shared.has_space();
        if !ready() {
            waiter.register(&self.shared.space, waker);
        }
        if ready() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Pop, or have `waker` called when it is worth trying again; otherwise as
    /// [`poll_push`](Self::poll_push).
    pub fn poll_pop(&self, waiter: &mut Waiter, waker: &Waker) -> Poll<Result<T, Ended>> {
        poll_event(&self.shared.data, waiter, waker, || self.shared.take_or_wait())
    }

    /// As [`poll_pop`](Self::poll_pop), for a consumer that goes on popping whenever it can: those who
    /// wait for space are woken only when no more than a quarter of the ring is left, so that one
    /// wake-up serves many pushes instead of one.
    pub(crate) fn poll_pop_in_run(
        &self,
        waiter: &mut Waiter,
        waker: &Waker,
    ) -> Poll<Result<T, Ended>> {
        poll_event(&self.shared.data, waiter, waker, || self.shared.take_in_run_or_wait())
    }

    /// As [`poll_pop_in_run`](Self::poll_pop_in_run), but `None` if there is nothing now: for a consumer
    /// that has something to do and comes back.
    pub(crate) fn try_pop_in_run(&self) -> Option<Result<T, Ended>> {
        self.shared.take_in_run_or_wait()
    }

    /// Push, blocking while the ring is full.
    ///
    /// # Errors
    /// [`Closed`], with the value, if the ring is closed before there is space.
    pub fn push(&self, value: T) -> Result<(), Closed<T>> {
        self.push_until(value, None).map_err(|e| Closed(e.into_inner()))
    }

    /// Push, blocking while the ring is full, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryPushError::Full`] if there was no space in that time, [`TryPushError::Closed`] if the ring
    /// was closed first; with the value.
    pub fn push_timeout(&self, value: T, timeout: Duration) -> Result<(), TryPushError<T>> {
        // A time too far to express is no limit.
        self.push_until(value, Instant::now().checked_add(timeout))
    }

    fn push_until(&self, value: T, deadline: Option<Instant>) -> Result<(), TryPushError<T>> {
        let mut held = Some(value);
        let attempt = || self.shared.offer_held(&mut held);
        if let Some(pushed) = block_on_event(&self.shared.space, deadline, attempt) {
            return Ok(pushed?);
        }
        held.map_or(Ok(()), |value| Err(TryPushError::Full(value)))
    }

    /// Block until there is space, which another producer may take first, or the ring is closed.
    pub(crate) fn wait_for_space(&self) {
        let ready = || self.shared.has_space().then_some(());
        // Without a deadline there is no other answer.
        let _ = block_on_event(&self.shared.space, None, ready);
    }

    /// Pop, blocking while the ring is empty.
    ///
    /// # Errors
    /// [`Ended`] if the ring is closed and everything has been taken.
    pub fn pop(&self) -> Result<T, Ended> {
        block_on_event(&self.shared.data, None, || self.shared.take_or_wait()).unwrap_or(Err(Ended))
    }

    /// Pop, blocking while the ring is empty, but no longer than `timeout`.
    ///
    /// # Errors
    /// [`TryPopError::Empty`] if nothing came in that time, [`TryPopError::Ended`] if the ring is
    /// closed and everything has been taken.
    pub fn pop_timeout(&self, timeout: Duration) -> Result<T, TryPopError> {
        let deadline = Instant::now().checked_add(timeout);
        match block_on_event(&self.shared.data, deadline, || self.shared.take_or_wait()) {
            Some(popped) => Ok(popped?),
            None => Err(TryPopError::Empty),
        }
    }

    /// Push as soon as there is space, on any executor.
    ///
    /// Dropping the future before it is done drops the value with it, and passes its turn on.
    pub fn push_async(&self, value: T) -> PushFuture<'_, T> {
        PushFuture { ring: self, value: Some(value), waiter: Waiter::default() }
    }

    /// Pop as soon as there is a value, on any executor.
    ///
    /// Dropping the future before it is done loses nothing, and passes its turn on.
    ///
    /// ```
    /// # async fn consume(ring: speadway::ring::Ring<u8>) {
    /// while let Ok(value) = ring.pop_async().await {
    ///     println!("{value}");
    /// }
    /// # }
    /// ```
    pub fn pop_async(&self) -> PopFuture<'_, T> {
        PopFuture { ring: self, waiter: Waiter::default() }
    }

    /// Pop until the ring ends, blocking for each value.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { ring: self }
    }
}

impl<T> Shared<T> {
    /// Push what is held if there is space; `None` leaves it held.
    fn offer_held(&self, held: &mut Option<T>) -> Option<Result<(), Closed<T>>> {
        match self.offer(held.take()?) {
            Ok(()) => Some(Ok(())),
            Err(TryPushError::Closed(value)) => Some(Err(Closed(value))),
            Err(TryPushError::Full(value)) => {
                *held = Some(value);
                None
            }
        }
    }

    pub(super) fn take_in_run_or_wait(&self) -> Option<Result<T, Ended>> {
        match self.pop_silently() {
            Err(TryPopError::Empty) => None,
            Err(TryPopError::Ended) => Some(Err(Ended)),
            Ok(value) => {
                self.announce_run();
                Some(Ok(value))
            }
        }
    }

    fn take_or_wait(&self) -> Option<Result<T, Ended>> {
        match self.take() {
            Ok(value) => Some(Ok(value)),
            Err(TryPopError::Ended) => Some(Err(Ended)),
            Err(TryPopError::Empty) => None,
        }
    }
}

/// A push under way; from [`Ring::push_async`]. Resolves to an error, with the value, if the ring is
/// closed first. Polled again after it has resolved, it stays pending.
#[must_use = "futures do nothing unless awaited"]
pub struct PushFuture<'a, T> {
    ring: &'a Ring<T>,
    value: Option<T>,
    waiter: Waiter,
}

/// The value is held, never pinned.
impl<T> Unpin for PushFuture<'_, T> {}

impl<T> Future for PushFuture<'_, T> {
    type Output = Result<(), Closed<T>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(value) = this.value.take() else { return Poll::Pending };
        match this.ring.poll_push(value, &mut this.waiter, cx.waker()) {
            PollPush::Done => Poll::Ready(Ok(())),
            PollPush::Closed(value) => Poll::Ready(Err(Closed(value))),
            PollPush::Pending(value) => {
                this.value = Some(value);
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for PushFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushFuture").field("ring", self.ring).finish_non_exhaustive()
    }
}

/// A pop under way; from [`Ring::pop_async`]. Polled again after it has resolved, it pops again.
#[must_use = "futures do nothing unless awaited"]
pub struct PopFuture<'a, T> {
    ring: &'a Ring<T>,
    waiter: Waiter,
}

impl<T> Future for PopFuture<'_, T> {
    type Output = Result<T, Ended>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.ring.poll_pop(&mut this.waiter, cx.waker())
    }
}

impl<T> fmt::Debug for PopFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PopFuture").field("ring", self.ring).finish_non_exhaustive()
    }
}

/// Values of a ring until it ends; from [`Ring::iter`]. Each step blocks while the ring is empty.
pub struct Iter<'a, T> {
    ring: &'a Ring<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.ring.pop().ok()
    }
}

impl<T> std::iter::FusedIterator for Iter<'_, T> {}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Iter").field(self.ring).finish()
    }
}

impl<'a, T> IntoIterator for &'a Ring<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
