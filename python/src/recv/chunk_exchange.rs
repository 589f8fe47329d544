//! The two ends of a stream's window: the free ring that its chunks come from, and the data ring that
//! they go to.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use speadway::chunk::{
    Allocate, Allocation, Chunk as Core, Ready, RingPolicy, WhenEmpty, WhenFull,
};
use speadway::ring::{BurstPush, PollPush, Producer, Ring, Waiter};

use super::chunk::{send_home, set_home};

/// The two ends for a stream or group between `free` and `data`. It is [registered](Registration)
/// with the data ring once it has been made.
pub(crate) fn exchange(
    free: &Ring<Core>,
    data: &Ring<Core>,
    policy: RingPolicy,
) -> (FromFree, ToData, Registration) {
    let allocate = FromFree {
        free: free.clone(),
        data: data.clone(),
        when_empty: policy.when_empty,
        waiter: Waiter::default(),
    };
    let producer = Arc::new(Mutex::new(None));
    let registration = Registration { producer: Arc::clone(&producer), data: data.clone() };
    let ready = ToData { producer, data: BurstPush::new(data), when_full: policy.when_full };
    (allocate, ready, registration)
}

/// Makes a stream or group a producer of its data ring. Not done at once, because the ring would end
/// with a stream that could not be made.
pub(crate) struct Registration {
    producer: Arc<Mutex<Option<Producer<Core>>>>,
    data: Ring<Core>,
}

impl Registration {
    /// To be called before the stream has anything to read.
    pub(crate) fn register(self) {
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.data.producer());
    }
}

/// Takes chunks from the free ring.
pub(crate) struct FromFree {
    free: Ring<Core>,
    data: Ring<Core>,
    when_empty: WhenEmpty,
    waiter: Waiter,
}

impl FromFree {
    /// A chunk that needs no waiting.
    fn at_once(&self) -> Option<Core> {
        let free = self.free.try_pop().ok();
        match self.when_empty {
            // The oldest that is finished and not fetched; it may belong to another ring.
            WhenEmpty::RecycleOldest => free.or_else(|| self.data.try_pop().ok()),
            _ => free,
        }
    }
}

impl Allocate for FromFree {
    fn allocate(&mut self, _id: u64, waker: &Waker) -> Allocation {
        let chunk = match self.at_once() {
            Some(chunk) => {
                // Not waiting any more: the next wake-up is for another stream of the ring.
                self.waiter.clear();
                Some(chunk)
            }
            None if self.when_empty == WhenEmpty::DropNewest => None,
            None => match self.free.poll_pop(&mut self.waiter, waker) {
                Poll::Ready(popped) => popped.ok(),
                Poll::Pending => return Allocation::NotYet,
            },
        };
        let Some(chunk) = chunk else { return Allocation::Refused };
        set_home(&chunk, &self.free);
        Allocation::Chunk(chunk)
    }

    fn end(&mut self) {
        self.waiter.clear();
    }
}

/// Puts finished chunks in the data ring, as one of its producers.
pub(crate) struct ToData {
    producer: Arc<Mutex<Option<Producer<Core>>>>,
    data: BurstPush<Core>,
    when_full: WhenFull,
}

impl Ready for ToData {
    fn ready(&mut self, chunk: Core, waker: &Waker) -> Result<(), Core> {
        // What a stopped ring refuses is dropped: nobody is there to take it.
        match self.when_full {
            WhenFull::Wait => match self.data.poll_push(chunk, waker) {
                PollPush::Pending(chunk) => return Err(chunk),
                PollPush::Done | PollPush::Closed(_) => {}
            },
            WhenFull::DropNewest => {
                if let Err(refused) = self.data.ring().try_push(chunk) {
                    send_home(refused.into_inner());
                }
            }
            WhenFull::RecycleOldest => {
                if let Ok(Some(oldest)) = self.data.ring().force_push(chunk) {
                    send_home(oldest);
                }
            }
        }
        Ok(())
    }

    fn announce(&mut self) {
        self.data.announce();
    }

    fn end(&mut self) {
        self.data.announce();
        self.data.clear();
        *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The names of the three things that can be done, and in which order.
const NAMES: [&str; 3] = ["wait", "drop_newest", "recycle_oldest"];
const EMPTY: [WhenEmpty; 3] = [WhenEmpty::Wait, WhenEmpty::DropNewest, WhenEmpty::RecycleOldest];
const FULL: [WhenFull; 3] = [WhenFull::Wait, WhenFull::DropNewest, WhenFull::RecycleOldest];

fn number(name: &Bound<'_, PyAny>, setting: &str) -> PyResult<usize> {
    let text = name.cast::<PyString>().map_err(|_| {
        PyTypeError::new_err(format!("{setting} must be one of the strings {NAMES:?}"))
    })?;
    let text = text.to_str()?;
    NAMES.iter().position(|&known| known == text).ok_or_else(|| {
        PyValueError::new_err(format!("{setting} cannot be {text:?}: it is one of {NAMES:?}"))
    })
}

pub(crate) fn when_empty(name: &Bound<'_, PyAny>) -> PyResult<WhenEmpty> {
    Ok(EMPTY[number(name, "when_empty")?])
}

pub(crate) fn when_full(name: &Bound<'_, PyAny>) -> PyResult<WhenFull> {
    Ok(FULL[number(name, "when_full")?])
}

pub(crate) fn name_of_empty(policy: WhenEmpty) -> &'static str {
    NAMES[EMPTY.iter().position(|&known| known == policy).unwrap_or(0)]
}

pub(crate) fn name_of_full(policy: WhenFull) -> &'static str {
    NAMES[FULL.iter().position(|&known| known == policy).unwrap_or(0)]
}
