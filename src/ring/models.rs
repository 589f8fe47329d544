//! Models of the ring: every interleaving, under the C11 memory model, of a few threads on a small
//! ring. A lost wake-up shows as a deadlock, which loom reports.
//!
//! Run by
//! `RUSTFLAGS="--cfg speadway_loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib ring::models`.

use super::park::block_on_event;
use super::{BurstPush, Closed, Ended, PollPush, Ring, TryPopError, Waiter};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

/// Explore every schedule of `model` with up to `preemptions` preemptions: as many as take seconds,
/// and enough to have found the bugs that were seeded in the ring to try the models.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

fn ring<T>(capacity: usize) -> Ring<T> {
    Ring::new(capacity).expect("a small ring")
}

/// Everything that comes until the ring ends, and then nothing more.
fn drain(ring: &Ring<u32>) -> Vec<u32> {
    let all = ring.iter().collect();
    assert_eq!(ring.try_pop(), Err(TryPopError::Ended));
    all
}

/// Not loom's atomics: what a model asserts must not order what it models.
#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_push_that_races_with_close_is_delivered_or_given_back() {
    explore(3, || {
        let ring = ring(1);
        let pusher = thread::spawn({
            let ring = ring.clone();
            move || ring.push(1)
        });
        let closer = thread::spawn({
            let ring = ring.clone();
            move || assert!(ring.close())
        });
        let delivered = drain(&ring);
        match pusher.join().unwrap() {
            Ok(()) => assert_eq!(delivered, [1]),
            Err(Closed(value)) => assert!(value == 1 && delivered.is_empty()),
        }
        closer.join().unwrap();
    });
}

#[test]
fn a_push_that_finds_it_full_while_closing_still_announces_the_end() {
    explore(3, || {
        let ring = ring(1);
        ring.try_push(1).unwrap();
        let pusher = thread::spawn({
            let ring = ring.clone();
            move || ring.try_push(2).is_ok()
        });
        let closer = thread::spawn({
            let ring = ring.clone();
            move || ring.close()
        });
        let delivered = drain(&ring);
        let second = pusher.join().unwrap();
        assert_eq!(delivered, if second { vec![1, 2] } else { vec![1] });
        closer.join().unwrap();
    });
}

#[test]
fn every_blocked_consumer_sees_the_end() {
    explore(2, || {
        let ring = ring(1);
        let consumers = [(); 2].map(|()| {
            let ring = ring.clone();
            thread::spawn(move || ring.pop())
        });
        ring.try_push(1).unwrap();
        ring.close();
        let mut got = consumers.map(|consumer| consumer.join().unwrap());
        got.sort_by_key(Result::is_err);
        assert_eq!(got, [Ok(1), Err(Ended)]);
    });
}

#[test]
fn blocked_consumers_are_released_by_close() {
    explore(2, || {
        let ring = ring::<u32>(1);
        let consumers = [(); 2].map(|()| {
            let ring = ring.clone();
            thread::spawn(move || ring.pop())
        });
        ring.close();
        for consumer in consumers {
            assert_eq!(consumer.join().unwrap(), Err(Ended));
        }
    });
}

#[test]
fn a_burst_wakes_a_consumer_when_it_is_over() {
    explore(3, || {
        let ring = ring(4);
        let consumer = thread::spawn({
            let ring = ring.clone();
            move || ring.pop()
        });
        let mut burst = BurstPush::new(&ring);
        assert!(matches!(burst.poll_push(1, Waker::noop()), PollPush::Done));
        burst.announce();
        assert_eq!(consumer.join().unwrap(), Ok(1));
    });
}

#[test]
fn a_burst_wakes_as_many_consumers_as_it_has_values() {
    explore(2, || {
        let ring = ring(8);
        let consumers = [(); 2].map(|()| {
            let ring = ring.clone();
            thread::spawn(move || ring.pop())
        });
        let mut burst = BurstPush::new(&ring);
        for value in 1..=2 {
            assert!(matches!(burst.poll_push(value, Waker::noop()), PollPush::Done));
        }
        drop(burst);
        let mut got = consumers.map(|consumer| consumer.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn bursts_of_two_producers_reach_a_consumer_that_waits_between() {
    explore(2, || {
        let ring = ring(8);
        let other = thread::spawn({
            let ring = ring.clone();
            move || {
                let mut burst = BurstPush::new(&ring);
                assert!(matches!(burst.poll_push(1, Waker::noop()), PollPush::Done));
                burst.announce();
            }
        });
        let consumer = thread::spawn({
            let ring = ring.clone();
            move || ring.pop().unwrap() + ring.pop().unwrap()
        });
        let mut burst = BurstPush::new(&ring);
        assert!(matches!(burst.poll_push(2, Waker::noop()), PollPush::Done));
        burst.announce();
        assert_eq!(consumer.join().unwrap(), 3);
        other.join().unwrap();
    });
}

#[test]
fn two_pushes_wake_two_consumers() {
    explore(2, || {
        let ring = ring(2);
        let consumers = [(); 2].map(|()| {
            let ring = ring.clone();
            thread::spawn(move || ring.pop())
        });
        ring.try_push(1).unwrap();
        ring.try_push(2).unwrap();
        let mut got = consumers.map(|consumer| consumer.join().unwrap().unwrap());
        got.sort_unstable();
        assert_eq!(got, [1, 2]);
    });
}

#[test]
fn a_waiter_that_gives_up_passes_its_wake_up_on() {
    explore(3, || {
        let ring = ring(2);
        let fickle = thread::spawn({
            let ring = ring.clone();
            move || {
                let mut waiter = Waiter::default();
                if let Poll::Ready(value) = ring.poll_pop(&mut waiter, Waker::noop()) {
                    ring.try_push(value.unwrap()).unwrap();
                }
            }
        });
        let steady = thread::spawn({
            let ring = ring.clone();
            move || ring.pop()
        });
        ring.try_push(1).unwrap();
        assert_eq!(steady.join().unwrap(), Ok(1));
        fickle.join().unwrap();
    });
}

#[test]
fn a_blocked_producer_is_woken_by_a_pop() {
    explore(5, || {
        let ring = ring(1);
        ring.try_push(1).unwrap();
        let producer = thread::spawn({
            let ring = ring.clone();
            move || ring.push(2)
        });
        assert_eq!(ring.pop(), Ok(1));
        assert_eq!(ring.pop(), Ok(2));
        producer.join().unwrap().unwrap();
    });
}

#[test]
fn producers_blocked_behind_a_run_of_pops_are_woken() {
    explore(2, || {
        let ring = ring(2);
        ring.try_push(0).unwrap();
        ring.try_push(1).unwrap();
        let producers = [2, 3].map(|value| {
            let ring = ring.clone();
            thread::spawn(move || ring.push(value).unwrap())
        });
        let pop = || block_on_event(&ring.shared.data, None, || ring.shared.take_in_run_or_wait());
        let mut got: Vec<u32> = (0..4).map(|_| pop().unwrap().unwrap()).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2, 3]);
        producers.into_iter().for_each(|producer| producer.join().unwrap());
    });
}

#[test]
fn blocked_producers_are_released_by_close() {
    explore(3, || {
        let ring = ring(1);
        ring.try_push(0).unwrap();
        let producers = [1, 2].map(|value| {
            let ring = ring.clone();
            thread::spawn(move || ring.push(value))
        });
        ring.close();
        for (producer, value) in producers.into_iter().zip([1, 2]) {
            assert_eq!(producer.join().unwrap(), Err(Closed(value)));
        }
        assert_eq!(drain(&ring), [0]);
    });
}

#[test]
fn the_ring_ends_after_the_last_producer() {
    explore(2, || {
        let ring = ring(2);
        let first = ring.producer();
        let producers = [(1, first.clone()), (2, first)].map(|(value, producer)| {
            thread::spawn(move || {
                producer.push(value).unwrap();
                producer.end();
            })
        });
        let mut delivered = drain(&ring);
        delivered.sort_unstable();
        assert_eq!(delivered, [1, 2]);
        for producer in producers {
            producer.join().unwrap();
        }
    });
}

#[test]
fn a_poll_that_says_pending_is_followed_by_a_wake_up() {
    explore(5, || {
        let ring = ring(1);
        let pusher = thread::spawn({
            let ring = ring.clone();
            move || ring.try_push(1).unwrap()
        });
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(alarm.clone());
        let mut waiter = Waiter::default();
        let first = ring.poll_pop(&mut waiter, &waker);
        pusher.join().unwrap();
        if first.is_pending() {
            assert_eq!(alarm.0.load(Ordering::SeqCst), 1);
            assert_eq!(ring.poll_pop(&mut waiter, &waker), Poll::Ready(Ok(1)));
        } else {
            assert_eq!(first, Poll::Ready(Ok(1)));
        }
        assert!(!waiter.is_waiting());
    });
}

#[test]
fn a_poll_that_was_woken_for_nothing_is_woken_again() {
    explore(5, || {
        let ring = ring(2);
        let mut waiter = Waiter::default();
        assert!(ring.poll_pop(&mut waiter, Waker::noop()).is_pending());
        let other = thread::spawn({
            let ring = ring.clone();
            move || {
                ring.try_push(1).unwrap();
                let _ = ring.try_pop();
                ring.try_push(2).unwrap();
            }
        });
        let alarm = Arc::new(Alarm::default());
        let again = ring.poll_pop(&mut waiter, &Waker::from(alarm.clone()));
        other.join().unwrap();
        assert!(again.is_ready() || alarm.0.load(Ordering::SeqCst) > 0);
    });
}

#[test]
fn a_poll_for_space_that_says_pending_is_followed_by_a_wake_up() {
    explore(5, || {
        let ring = ring(1);
        ring.try_push(1).unwrap();
        let popper = thread::spawn({
            let ring = ring.clone();
            move || ring.try_pop().unwrap()
        });
        let alarm = Arc::new(Alarm::default());
        let mut waiter = Waiter::default();
        let ready = ring.poll_space(&mut waiter, &Waker::from(alarm.clone())).is_ready();
        popper.join().unwrap();
        assert!(ready || alarm.0.load(Ordering::SeqCst) == 1);
    });
}

#[test]
fn a_value_is_either_evicted_or_delivered() {
    explore(5, || {
        let ring = ring(1);
        ring.try_push(1).unwrap();
        let recycler = thread::spawn({
            let ring = ring.clone();
            move || ring.force_push(2).unwrap()
        });
        let mut seen: Vec<u32> = ring.pop().into_iter().collect();
        seen.extend(recycler.join().unwrap());
        ring.close();
        seen.extend(drain(&ring));
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
}
