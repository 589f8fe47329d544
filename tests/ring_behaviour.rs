//! Rings between threads: blocking, for a while, async, by descriptor, many to many; and one ring
//! against a model, operation by operation.

use proptest::prelude::*;
use speadway::ring::{Closed, Ended, Ring, TryPopError, TryPushError};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

fn ring<T>(capacity: usize) -> Ring<T> {
    Ring::new(capacity).unwrap()
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Wait until something holds, such as that threads wait for the ring, as its counters tell.
fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

#[test]
fn a_blocked_pop_gets_the_next_value() {
    let ring = ring(1);
    thread::scope(|scope| {
        let popper = scope.spawn(|| ring.pop());
        until(|| ring.stats().empty_events == 1);
        ring.push(1).unwrap();
        assert_eq!(popper.join().unwrap(), Ok(1));
    });
    assert!(!ring.stats().consumer_wait.is_zero());
}

#[test]
fn a_blocked_push_goes_on_when_there_is_space() {
    let ring = ring(1);
    ring.push(1).unwrap();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| ring.push(2));
        until(|| ring.stats().full_events == 1);
        assert_eq!(ring.pop(), Ok(1));
        assert_eq!(pusher.join().unwrap(), Ok(()));
    });
    assert_eq!(ring.pop(), Ok(2));
    assert!(!ring.stats().producer_wait.is_zero());
}

#[test]
fn close_releases_everyone() {
    let (empty, full) = (ring::<u8>(1), ring(1));
    full.push(0).unwrap();
    thread::scope(|scope| {
        let poppers: Vec<_> = (0..4).map(|_| scope.spawn(|| empty.pop())).collect();
        let pushers: Vec<_> = (1..5)
            .map(|i| {
                scope.spawn({
                    let full = &full;
                    move || full.push(i)
                })
            })
            .collect();
        until(|| empty.stats().empty_events == 4 && full.stats().full_events == 4);
        empty.close();
        full.close();
        for popper in poppers {
            assert_eq!(popper.join().unwrap(), Err(Ended));
        }
        for (pusher, i) in pushers.into_iter().zip(1..) {
            assert_eq!(pusher.join().unwrap(), Err(Closed(i)));
        }
    });
    assert_eq!(full.iter().collect::<Vec<_>>(), [0]);
}

#[test]
fn timeouts_give_up_in_time_and_not_before() {
    let ring = ring(1);
    let wait = Duration::from_millis(20);
    let start = Instant::now();
    assert_eq!(ring.pop_timeout(wait), Err(TryPopError::Empty));
    assert!(start.elapsed() >= wait);
    assert_eq!(ring.push_timeout(1, wait), Ok(()));
    let start = Instant::now();
    assert_eq!(ring.push_timeout(2, wait), Err(TryPushError::Full(2)));
    assert!(start.elapsed() >= wait);
    assert_eq!(ring.pop_timeout(Duration::ZERO), Ok(1));
    ring.close();
    assert_eq!(ring.push_timeout(3, Duration::MAX), Err(TryPushError::Closed(3)));
    assert_eq!(ring.pop_timeout(Duration::MAX), Err(TryPopError::Ended));
}

#[test]
fn a_timed_wait_ends_when_something_comes() {
    let ring = ring(1);
    thread::scope(|scope| {
        let popper = scope.spawn(|| ring.pop_timeout(Duration::MAX));
        until(|| ring.stats().empty_events == 1);
        ring.push(1).unwrap();
        assert_eq!(popper.join().unwrap(), Ok(1));
    });
}

#[test]
fn futures_wait_for_the_other_side() {
    let ring = ring(1);
    thread::scope(|scope| {
        let producer = ring.producer();
        scope.spawn(move || {
            for i in 0..1000 {
                block_on(producer.push_async(i)).unwrap();
            }
        });
        for i in 0..1000 {
            assert_eq!(block_on(ring.pop_async()), Ok(i));
        }
        assert_eq!(block_on(ring.pop_async()), Err(Ended));
    });
    assert_eq!(block_on(ring.push_async(1)), Err(Closed(1)));
}

#[test]
fn a_cancelled_future_passes_its_turn_on() {
    let ring = ring(1);
    let mut first = Box::pin(ring.pop_async());
    assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    thread::scope(|scope| {
        let second = scope.spawn(|| ring.pop());
        until(|| ring.stats().empty_events == 2);
        ring.push(1).unwrap(); // wakes the first
        drop(first);
        assert_eq!(second.join().unwrap(), Ok(1));
    });
}

#[test]
fn many_to_many_delivers_everything_once() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 5_000;
    for capacity in [1, 3, 64] {
        let ring = ring(capacity);
        let mut got = thread::scope(|scope| {
            let registered = ring.producer();
            for p in 0..PRODUCERS {
                let producer = registered.clone();
                scope.spawn(move || {
                    for i in (p * EACH)..((p + 1) * EACH) {
                        match i % 3 {
                            0 => producer.push(i).unwrap(),
                            1 => block_on(producer.push_async(i)).unwrap(),
                            _ => producer.push_timeout(i, Duration::MAX).unwrap(),
                        }
                    }
                });
            }
            registered.end();
            let consumers: Vec<_> = (0..8)
                .map(|c| {
                    scope.spawn({
                        let ring = &ring;
                        move || consume(ring, c)
                    })
                })
                .collect();
            consumers.into_iter().flat_map(|c| c.join().unwrap()).collect::<Vec<_>>()
        });
        got.sort_unstable();
        assert!(got.iter().copied().eq(0..PRODUCERS * EACH));
        let stats = ring.stats();
        assert_eq!((stats.pushed, stats.popped), (got.len() as u64, got.len() as u64));
        assert!(stats.high_water <= capacity);
    }
}

/// Everything until the end, in order per producer.
fn consume(ring: &Ring<usize>, how: usize) -> Vec<usize> {
    let mut got = Vec::new();
    loop {
        let popped = match how % 3 {
            0 => ring.pop(),
            1 => block_on(ring.pop_async()),
            _ => ring.pop_timeout(Duration::MAX).map_err(|_| Ended),
        };
        match popped {
            Ok(value) => got.push(value),
            Err(Ended) => return got,
        }
    }
}

#[test]
fn recycling_loses_exactly_what_it_gives_back() {
    const N: usize = 20_000;
    let ring = ring(4);
    let (mut seen, evicted) = thread::scope(|scope| {
        let producer = ring.producer();
        let recycler = scope.spawn(move || {
            (0..N).filter_map(|i| producer.force_push(i).unwrap()).collect::<Vec<_>>()
        });
        let consumers: Vec<_> =
            (0..2).map(|_| scope.spawn(|| ring.iter().collect::<Vec<_>>())).collect();
        let seen: Vec<_> = consumers.into_iter().flat_map(|c| c.join().unwrap()).collect();
        (seen, recycler.join().unwrap())
    });
    assert_eq!(ring.stats().evicted, evicted.len() as u64);
    seen.extend(evicted);
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..N));
}

#[test]
fn close_under_load_neither_loses_nor_strands() {
    for _ in 0..200 {
        let ring = ring(2);
        thread::scope(|scope| {
            let pushers: Vec<_> = (0..3u64)
                .map(|p| {
                    scope.spawn({
                        let ring = &ring;
                        move || (0..).take_while(|i| ring.push((p, *i)).is_ok()).count()
                    })
                })
                .collect();
            let consumer = scope.spawn(|| ring.iter().count());
            until(|| ring.stats().popped > 20);
            assert!(ring.close());
            let pushed: usize = pushers.into_iter().map(|p| p.join().unwrap()).sum();
            assert_eq!(consumer.join().unwrap(), pushed);
        });
        assert!(ring.is_empty());
    }
}

#[cfg(all(unix, not(speadway_loom)))]
mod descriptors {
    use super::*;
    use speadway::ring::RingFd;
    use std::os::fd::AsRawFd;

    /// Whether it is readable within `timeout_ms` (-1: wait for ever).
    fn readable(fd: &RingFd, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd, for the length of the call.
        #[allow(unsafe_code)]
        let ready = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        assert!(ready >= 0, "poll: {}", std::io::Error::last_os_error());
        ready == 1
    }

    #[test]
    fn data_is_readable_exactly_while_there_is_some() {
        let ring = ring(2);
        let fd = ring.data_fd().unwrap();
        for _ in 0..3 {
            assert!(!readable(&fd, 0));
            ring.push(1).unwrap();
            assert!(readable(&fd, 0));
            ring.push(2).unwrap();
            ring.pop().unwrap();
            assert!(readable(&fd, 0));
            ring.pop().unwrap();
        }
        assert!(!readable(&fd, 0));
        ring.close();
        assert!(readable(&fd, 0));
        assert_eq!(ring.try_pop(), Err(TryPopError::Ended));
        assert!(readable(&fd, 0), "the end stays visible");
    }

    #[test]
    fn space_is_readable_exactly_while_there_is_some() {
        let ring = ring(1);
        let fd = ring.space_fd().unwrap();
        for _ in 0..3 {
            assert!(readable(&fd, 0));
            ring.push(1).unwrap();
            assert!(!readable(&fd, 0));
            assert_eq!(ring.force_push(2), Ok(Some(1)));
            assert!(!readable(&fd, 0));
            ring.pop().unwrap();
        }
        ring.push(1).unwrap();
        ring.close();
        assert!(readable(&fd, 0));
    }

    #[test]
    fn a_descriptor_made_late_starts_at_the_right_level() {
        let ring = ring(1);
        ring.push(1).unwrap();
        let data = ring.data_fd().unwrap();
        let space = ring.space_fd().unwrap();
        assert!(readable(&data, 0) && !readable(&space, 0));
        assert_eq!(ring.data_fd().unwrap().as_raw_fd(), data.as_raw_fd());
        drop(ring);
        assert!(readable(&data, 0) && readable(&space, 0));
    }

    #[test]
    fn polling_consumers_miss_nothing() {
        const N: usize = 20_000;
        let ring = ring(2);
        let got = thread::scope(|scope| {
            let producer = ring.producer();
            scope.spawn(move || {
                let space = producer.space_fd().unwrap();
                for i in 0..N {
                    while producer.try_push(i).is_err() {
                        assert!(readable(&space, -1));
                    }
                }
            });
            let consumers: Vec<_> = (0..2).map(|_| scope.spawn(|| poll_all(&ring))).collect();
            consumers.into_iter().map(|c| c.join().unwrap()).sum::<usize>()
        });
        assert_eq!(got, N);
    }

    fn poll_all(ring: &Ring<usize>) -> usize {
        let data = ring.data_fd().unwrap();
        let mut got = 0;
        loop {
            match ring.try_pop() {
                Ok(_) => got += 1,
                Err(TryPopError::Empty) => assert!(readable(&data, -1)),
                Err(TryPopError::Ended) => return got,
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Push,
    ForcePush,
    Pop,
    PushNow,
    PopNow,
    Close,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Push),
        2 => Just(Op::ForcePush),
        6 => Just(Op::Pop),
        2 => Just(Op::PushNow),
        2 => Just(Op::PopNow),
        1 => Just(Op::Close),
    ]
}

proptest! {
    #[test]
    fn behaves_as_a_bounded_queue_with_a_close(
        capacity in 1usize..5,
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let ring = ring(capacity);
        let mut model = VecDeque::new();
        let mut closed = false;
        for (i, op) in ops.into_iter().enumerate() {
            let full = model.len() == capacity;
            match op {
                Op::Push | Op::PushNow => {
                    let got = match op {
                        Op::Push => ring.try_push(i),
                        _ => ring.push_timeout(i, Duration::ZERO),
                    };
                    let expected = match (closed, full) {
                        (true, _) => Err(TryPushError::Closed(i)),
                        (false, true) => Err(TryPushError::Full(i)),
                        (false, false) => { model.push_back(i); Ok(()) }
                    };
                    prop_assert_eq!(got, expected);
                }
                Op::ForcePush => {
                    let expected = if closed {
                        Err(Closed(i))
                    } else {
                        let evicted = if full { model.pop_front() } else { None };
                        model.push_back(i);
                        Ok(evicted)
                    };
                    prop_assert_eq!(ring.force_push(i), expected);
                }
                Op::Pop | Op::PopNow => {
                    let got = match op {
                        Op::Pop => ring.try_pop(),
                        _ => ring.pop_timeout(Duration::ZERO),
                    };
                    let none = if closed { TryPopError::Ended } else { TryPopError::Empty };
                    prop_assert_eq!(got, model.pop_front().ok_or(none));
                }
                Op::Close => {
                    prop_assert_eq!(ring.close(), !closed);
                    closed = true;
                }
            }
            prop_assert_eq!(ring.len(), model.len());
            prop_assert_eq!(ring.is_empty(), model.is_empty());
            prop_assert_eq!(ring.is_full(), model.len() == capacity);
        }
    }
}
