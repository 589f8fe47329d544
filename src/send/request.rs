//! What is asked of a stream: heaps, singly or in lists, and what happens when they are sent.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::heap::Heap;
use crate::wire::EncodeError;

/// A heap and how to send it.
///
/// ```
/// use speadway::send::{Heap, HeapRef};
/// let heap = HeapRef::from(Heap::default()).cnt(17).substream(1).rate(1e9);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HeapRef {
    pub(crate) heap: Arc<Heap>,
    pub(crate) cnt: Option<u64>,
    pub(crate) substream: usize,
    pub(crate) rate: Option<f64>,
}

impl HeapRef {
    /// The heap's number; otherwise the stream numbers it.
    pub fn cnt(mut self, cnt: u64) -> Self {
        self.cnt = Some(cnt);
        self
    }

    /// Which of the stream's destinations it goes to (0).
    pub fn substream(mut self, substream: usize) -> Self {
        self.substream = substream;
        self
    }

    /// A rate of its own instead of the stream's, in bytes/s; 0 is unlimited.
    pub fn rate(mut self, bytes_per_second: f64) -> Self {
        self.rate = Some(bytes_per_second);
        self
    }
}

impl From<Arc<Heap>> for HeapRef {
    fn from(heap: Arc<Heap>) -> Self {
        Self { heap, cnt: None, substream: 0, rate: None }
    }
}

impl From<Heap> for HeapRef {
    fn from(heap: Heap) -> Self {
        Arc::new(heap).into()
    }
}

/// In which order the packets of a list's heaps are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupMode {
    /// One heap after the other.
    #[default]
    Serial,
    /// One packet of each heap in turn.
    RoundRobin,
}

/// Why a heap was not sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SendError {
    /// As many heaps as `max_heaps` allows wait already: try again later, or wait for space.
    QueueFull,
    /// The stream is closed.
    Closed,
    /// The stream has no such destination.
    Substream {
        /// The one asked for.
        substream: usize,
        /// How many there are.
        count: usize,
    },
    /// A list without heaps.
    EmptyList,
    /// A rate that is negative or no number.
    Rate(f64),
    /// The heap cannot be divided into packets.
    Encode(EncodeError),
    /// The transport refused a packet of it; what came before may have been sent.
    Transport(Arc<io::Error>),
    /// The stream was aborted before all of it was sent.
    Aborted,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::QueueFull => {
                f.write_str("the queue is full: wait for heaps to be sent, or raise max_heaps")
            }
            Self::Closed => f.write_str("the stream is closed"),
            Self::Substream { substream, count } => {
                write!(f, "there is no substream {substream}: the stream has {count}")
            }
            Self::EmptyList => f.write_str("a list of heaps to send needs at least one"),
            Self::Rate(rate) => write!(f, "a rate of {rate} B/s is impossible"),
            Self::Encode(error) => error.fmt(f),
            Self::Transport(error) => write!(f, "cannot send: {error}"),
            Self::Aborted => f.write_str("the stream was aborted before the heap was sent"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::Transport(error) => Some(&**error),
            _ => None,
        }
    }
}

/// Heaps that are sent, and completed, as one.
#[derive(Debug)]
pub(crate) enum Work {
    One(HeapRef),
    Many(Arc<[HeapRef]>, GroupMode),
    /// Nothing: completes when all before it has.
    Barrier,
}

impl Work {
    pub(crate) fn heaps(&self) -> &[HeapRef] {
        match self {
            Self::One(heap) => std::slice::from_ref(heap),
            Self::Many(heaps, _) => heaps,
            Self::Barrier => &[],
        }
    }

    pub(crate) fn is_interleaved(&self) -> bool {
        matches!(self, Self::Many(_, GroupMode::RoundRobin))
    }
}

/// One entry of a stream's queue.
pub(crate) struct Request {
    pub(crate) work: Work,
    /// The number of its first heap that has none of its own, and the step to the next.
    pub(crate) next_cnt: u64,
    pub(crate) step: u64,
    pub(crate) done: Completion,
}

/// What is done when a request has been carried out; with the bytes of packets sent.
pub(crate) enum Completion {
    Silent,
    Call(Box<dyn FnOnce(Result<u64, SendError>) + Send>),
    Ticket(Arc<Cell>),
}

impl Completion {
    pub(crate) fn complete(self, result: Result<u64, SendError>) {
        match self {
            Self::Silent => {}
            Self::Call(call) => call(result),
            Self::Ticket(cell) => cell.fill(result),
        }
    }
}

impl Drop for Request {
    /// A request that is dropped unsent says so.
    fn drop(&mut self) {
        // As of nearly all that was sent.
        if matches!(self.done, Completion::Silent) {
            return;
        }
        let done = std::mem::replace(&mut self.done, Completion::Silent);
        // Many are dropped together: a second panic on the way would take the process down, and
        // the first the worker, as this may happen where nothing catches it.
        let complete = AssertUnwindSafe(|| done.complete(Err(SendError::Aborted)));
        if catch_unwind(complete).is_err() {
            log::error!("a completion callback panicked while its stream ended");
        }
    }
}

/// Where a ticket's result arrives.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    state: Mutex<CellState>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct CellState {
    result: Option<Result<u64, SendError>>,
    waker: Option<Waker>,
    /// Whether a thread waits, as to call one costs a system call though there be none.
    waiting: bool,
}

impl Cell {
    fn lock(&self) -> MutexGuard<'_, CellState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, result: Result<u64, SendError>) {
        let mut state = self.lock();
        state.result = Some(result);
        let (waker, waiting) = (state.waker.take(), state.waiting);
        drop(state);
        if waiting {
            self.filled.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The completion of a heap or list that is being sent: wait for it, or await it. The result is
/// the bytes of packets sent. Dropping the ticket does not cancel anything.
#[derive(Debug)]
#[must_use = "a ticket is for waiting; use `send` if nobody waits"]
pub struct Ticket {
    pub(crate) cell: Arc<Cell>,
}

impl Ticket {
    /// Waits until the heap has been given to the kernel, or could not be.
    ///
    /// # Errors
    /// What went wrong.
    pub fn wait(self) -> Result<u64, SendError> {
        let mut state = self.cell.lock();
        loop {
            if let Some(result) = state.result.take() {
                return result;
            }
            state.waiting = true;
            state = self.cell.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the result is there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.cell.lock().result.is_some()
    }
}

impl Future for Ticket {
    type Output = Result<u64, SendError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.cell.lock();
        match state.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
