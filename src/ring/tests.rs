//! What one thread can see of a ring.

use super::{
    BurstPush, CapacityError, Closed, Ended, PollPush, Ring, TryPopError, TryPushError, Waiter,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Wake, Waker};

#[derive(Default)]
struct Alarm(AtomicUsize);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Alarm {
    fn new() -> (Arc<Self>, Waker) {
        let alarm = Arc::new(Self::default());
        (alarm.clone(), alarm.into())
    }

    fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_burst_wakes_once_for_several_values() {
    let ring = Ring::new(6).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiter = Waiter::default();
    let mut burst = BurstPush::new(&ring);
    let mut sleep = || assert!(ring.poll_pop(&mut waiter, &waker).is_pending());
    let mut push = |value| assert_eq!(burst.poll_push(value, Waker::noop()), PollPush::Done);
    sleep();
    push(1);
    push(2);
    assert_eq!((alarm.rung(), ring.len()), (0, 2));
    push(3); // half of the ring
    assert_eq!(alarm.rung(), 1);
    assert_eq!([ring.pop(), ring.pop(), ring.pop()], [Ok(1), Ok(2), Ok(3)]);
    sleep();
    push(4);
    assert_eq!(alarm.rung(), 1);
    burst.announce();
    assert_eq!(alarm.rung(), 2);
}

#[test]
fn a_burst_counts_what_is_left_in_the_ring() {
    let ring = Ring::new(6).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiter = Waiter::default();
    let mut burst = BurstPush::new(&ring);
    let mut push = |value| assert_eq!(burst.poll_push(value, Waker::noop()), PollPush::Done);
    push(1);
    push(2);
    assert_eq!([ring.pop(), ring.pop()], [Ok(1), Ok(2)]);
    assert!(ring.poll_pop(&mut waiter, &waker).is_pending());
    push(3);
    push(4);
    assert_eq!(alarm.rung(), 0);
    push(5);
    assert_eq!(alarm.rung(), 1);
    for value in 3..=5 {
        assert_eq!(ring.poll_pop(&mut waiter, &waker), Poll::Ready(Ok(value)));
    }
    push(6);
    assert_eq!(ring.pop(), Ok(6));
    assert!(ring.poll_pop(&mut waiter, &waker).is_pending());
    burst.announce();
    assert_eq!(alarm.rung(), 1, "what it was about has been taken");
}

/// Takes what there is as soon as it is woken, and waits again.
struct Eager {
    ring: Ring<u32>,
    waiter: Mutex<Waiter>,
    taken: Mutex<Vec<u32>>,
    rung: AtomicUsize,
}

impl Eager {
    fn take(self: &Arc<Self>) {
        let mut waiter = self.waiter.lock().unwrap();
        while let Poll::Ready(Ok(value)) = self.ring.poll_pop(&mut waiter, &self.clone().into()) {
            self.taken.lock().unwrap().push(value);
        }
    }
}

impl Wake for Eager {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.take();
    }
}

#[test]
fn a_burst_wakes_nobody_twice() {
    let ring = Ring::new(40).unwrap();
    let eager = Arc::new(Eager {
        ring: ring.clone(),
        waiter: Mutex::default(),
        taken: Mutex::default(),
        rung: AtomicUsize::new(0),
    });
    eager.take();
    let mut burst = BurstPush::new(&ring);
    for value in 0..9 {
        assert_eq!(burst.poll_push(value, Waker::noop()), PollPush::Done);
    }
    burst.announce();
    assert_eq!(eager.rung.load(Ordering::Relaxed), 1);
    assert_eq!(*eager.taken.lock().unwrap(), (0..9).collect::<Vec<_>>());
    eager.waiter.lock().unwrap().clear(); // it holds the ring, which holds its waker
}

/// Pushes all there is room for whenever it is woken, there and then.
struct Filler {
    ring: Ring<u32>,
    waiter: Mutex<Waiter>,
    rung: AtomicUsize,
}

impl Filler {
    fn fill(self: &Arc<Self>) {
        let mut waiter = self.waiter.lock().unwrap();
        while self.ring.poll_push(0, &mut waiter, &self.clone().into()) == PollPush::Done {}
    }
}

impl Wake for Filler {
    fn wake(self: Arc<Self>) {
        self.rung.fetch_add(1, Ordering::Relaxed);
        self.fill();
    }
}

#[test]
fn a_run_of_pops_wakes_nobody_twice_for_the_same_space() {
    let ring = Ring::new(8).unwrap();
    let (waiter, rung) = (Mutex::default(), AtomicUsize::new(0));
    let filler = Arc::new(Filler { ring: ring.clone(), waiter, rung });
    filler.fill();
    let pop = || assert_eq!(ring.try_pop_in_run(), Some(Ok(0)));
    (0..5).for_each(|_| pop());
    assert_eq!(filler.rung.load(Ordering::Relaxed), 0, "more than a quarter is left");
    pop();
    assert_eq!(filler.rung.load(Ordering::Relaxed), 1);
    assert!(ring.is_full());
    (0..6).for_each(|_| pop());
    assert_eq!(filler.rung.load(Ordering::Relaxed), 2);
    filler.waiter.lock().unwrap().clear(); // it holds the ring, which holds its waker
}

#[test]
fn a_burst_wakes_however_many_wait() {
    let ring = Ring::new(100).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiters: [Waiter; 20] = Default::default();
    for waiter in &mut waiters {
        assert!(ring.poll_pop(waiter, &waker).is_pending());
    }
    let mut burst = BurstPush::new(&ring);
    for value in 0..17 {
        assert_eq!(burst.poll_push(value, Waker::noop()), PollPush::Done);
    }
    burst.announce();
    assert_eq!(alarm.rung(), 17);
}

#[test]
fn a_burst_that_finds_no_room_or_is_dropped_is_announced() {
    let ring = Ring::new(8).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiter = Waiter::default();
    assert!(ring.poll_pop(&mut waiter, &waker).is_pending());
    let mut burst = BurstPush::new(&ring);
    assert_eq!(burst.poll_push(1, Waker::noop()), PollPush::Done);
    drop(burst);
    assert_eq!(alarm.rung(), 1);
    let mut burst = BurstPush::new(&ring);
    for value in 2..=8 {
        assert_eq!(burst.poll_push(value, Waker::noop()), PollPush::Done);
    }
    let (space, waker) = Alarm::new();
    assert_eq!(burst.poll_push(9, &waker), PollPush::Pending(9));
    assert_eq!(ring.pop(), Ok(1));
    assert_eq!(space.rung(), 1);
    assert_eq!(burst.poll_push(9, &waker), PollPush::Done);
    ring.close();
    assert_eq!(burst.poll_push(10, &waker), PollPush::Closed(10));
}

#[test]
fn impossible_capacities_are_refused() {
    assert_eq!(Ring::<u64>::new(0).unwrap_err(), CapacityError::Zero);
    for capacity in [usize::MAX, isize::MAX as usize, 1 << 60] {
        assert_eq!(
            Ring::<[u8; 64]>::new(capacity).unwrap_err(),
            CapacityError::TooLarge { capacity }
        );
        assert!(Ring::<()>::new(capacity).is_err());
    }
}

#[test]
fn handles_are_send_and_sync_for_send_values() {
    fn check<T: Send + Sync>() {}
    check::<Ring<std::cell::Cell<u8>>>();
    check::<super::Producer<std::cell::Cell<u8>>>();
    check::<Waiter>();
}

#[test]
fn close_is_true_once_and_gives_values_back() {
    let ring = Ring::new(2).unwrap();
    ring.push(1).unwrap();
    assert!(!ring.is_closed());
    assert!(ring.close());
    assert!(!ring.close());
    assert_eq!(ring.push(2), Err(Closed(2)));
    assert_eq!(ring.try_push(3), Err(TryPushError::Closed(3)));
    assert_eq!(ring.force_push(4), Err(Closed(4)));
    assert_eq!(ring.try_pop(), Ok(1));
    assert_eq!(ring.try_pop(), Err(TryPopError::Ended));
    assert_eq!(ring.pop(), Err(Ended));
}

#[test]
fn only_the_last_producer_closes() {
    let ring = Ring::<u8>::new(1).unwrap();
    let first = ring.producer();
    let second = first.clone();
    drop(first);
    assert!(!ring.is_closed());
    second.end();
    assert!(ring.is_closed());
    assert_eq!(ring.producer().push(1), Err(Closed(1)));
}

#[test]
fn a_dropped_waiter_passes_its_wake_up_on() {
    let ring = Ring::new(2).unwrap();
    let (first, first_waker) = Alarm::new();
    let (second, second_waker) = Alarm::new();
    let (mut a, mut b) = (Waiter::default(), Waiter::default());
    assert!(ring.poll_pop(&mut a, &first_waker).is_pending());
    assert!(ring.poll_pop(&mut b, &second_waker).is_pending());
    ring.push(1).unwrap();
    assert_eq!((first.rung(), second.rung()), (1, 0));
    drop(a);
    assert_eq!((first.rung(), second.rung()), (1, 1));
    assert_eq!(ring.poll_pop(&mut b, &second_waker), Poll::Ready(Ok(1)));
}

#[test]
fn a_waiter_that_was_not_woken_leaves_the_queue_quietly() {
    let ring = Ring::new(2).unwrap();
    let (first, first_waker) = Alarm::new();
    let (second, second_waker) = Alarm::new();
    let (mut a, mut b) = (Waiter::default(), Waiter::default());
    assert!(ring.poll_pop(&mut a, &first_waker).is_pending());
    assert!(ring.poll_pop(&mut b, &second_waker).is_pending());
    a.clear();
    assert_eq!(second.rung(), 0);
    ring.push(1).unwrap();
    assert_eq!((first.rung(), second.rung()), (0, 1));
}

#[test]
fn each_push_wakes_another_waiter() {
    let ring = Ring::new(2).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiters = [Waiter::default(), Waiter::default(), Waiter::default()];
    for waiter in &mut waiters {
        assert!(ring.poll_pop(waiter, &waker).is_pending());
    }
    ring.push(1).unwrap();
    ring.push(2).unwrap();
    assert_eq!(alarm.rung(), 2);
    ring.close();
    assert_eq!(alarm.rung(), 3);
}

#[test]
fn a_woken_waiter_that_succeeds_wakes_nobody_else() {
    let ring = Ring::new(2).unwrap();
    let (_, first_waker) = Alarm::new();
    let (second, second_waker) = Alarm::new();
    let (mut a, mut b) = (Waiter::default(), Waiter::default());
    assert!(ring.poll_pop(&mut a, &first_waker).is_pending());
    assert!(ring.poll_pop(&mut b, &second_waker).is_pending());
    ring.push(1).unwrap();
    assert_eq!(ring.poll_pop(&mut a, &first_waker), Poll::Ready(Ok(1)));
    assert!(!a.is_waiting());
    assert_eq!(second.rung(), 0);
}

#[test]
fn one_who_was_overtaken_keeps_its_turn() {
    let ring = Ring::new(1).unwrap();
    let (first, first_waker) = Alarm::new();
    let (second, second_waker) = Alarm::new();
    let (mut a, mut b) = (Waiter::default(), Waiter::default());
    assert!(ring.poll_pop(&mut a, &first_waker).is_pending());
    assert!(ring.poll_pop(&mut b, &second_waker).is_pending());
    for turn in 1..4 {
        ring.push(1).unwrap();
        assert_eq!((first.rung(), second.rung()), (turn, 0));
        assert_eq!(ring.try_pop(), Ok(1), "someone else is quicker");
        assert!(ring.poll_pop(&mut a, &first_waker).is_pending());
    }
    a.clear();
    ring.push(2).unwrap();
    assert_eq!((first.rung(), second.rung()), (3, 1));
    assert_eq!(ring.poll_pop(&mut b, &second_waker), Poll::Ready(Ok(2)));
}

#[test]
fn waiters_may_leave_from_anywhere_in_the_queue() {
    for leaving in 0..4 {
        let ring = Ring::new(4).unwrap();
        let mut waiting: Vec<_> = (0..4)
            .map(|_| {
                let (alarm, waker) = Alarm::new();
                let mut waiter = Waiter::default();
                assert!(ring.poll_pop(&mut waiter, &waker).is_pending());
                (alarm, waiter)
            })
            .collect();
        drop(waiting.remove(leaving));
        for woken in 1..=3 {
            ring.push(0).unwrap();
            let rung: Vec<_> = waiting.iter().map(|(alarm, _)| alarm.rung()).collect();
            assert_eq!(rung, (0..3).map(|i| usize::from(i < woken)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_latest_waker_is_the_one_called() {
    let ring = Ring::new(1).unwrap();
    let (old, old_waker) = Alarm::new();
    let (new, new_waker) = Alarm::new();
    let mut waiter = Waiter::default();
    assert!(ring.poll_pop(&mut waiter, &old_waker).is_pending());
    assert!(ring.poll_pop(&mut waiter, &new_waker).is_pending());
    ring.push(1).unwrap();
    assert_eq!((old.rung(), new.rung()), (0, 1));
}

#[test]
fn a_waiter_may_change_rings() {
    let (one, other) = (Ring::new(1).unwrap(), Ring::<u8>::new(1).unwrap());
    let (alarm, waker) = Alarm::new();
    let mut waiter = Waiter::default();
    assert!(one.poll_pop(&mut waiter, &waker).is_pending());
    assert!(other.poll_pop(&mut waiter, &waker).is_pending());
    one.push(1).unwrap();
    assert_eq!(alarm.rung(), 0);
    other.push(2).unwrap();
    assert_eq!(alarm.rung(), 1);
}

#[test]
fn poll_push_gives_the_value_back_until_there_is_space() {
    let ring = Ring::new(1).unwrap();
    let (alarm, waker) = Alarm::new();
    let mut waiter = Waiter::default();
    assert_eq!(ring.poll_push(1, &mut waiter, &waker), PollPush::Done);
    assert_eq!(ring.poll_push(2, &mut waiter, &waker), PollPush::Pending(2));
    assert_eq!(ring.pop(), Ok(1));
    assert_eq!(alarm.rung(), 1);
    assert_eq!(ring.poll_push(2, &mut waiter, &waker), PollPush::Done);
    assert_eq!(ring.poll_push(3, &mut waiter, &waker), PollPush::Pending(3));
    ring.close();
    assert_eq!(alarm.rung(), 2);
    assert_eq!(ring.poll_push(3, &mut waiter, &waker), PollPush::Closed(3));
}

#[test]
fn poll_space_keeps_the_wake_up_for_the_push() {
    let ring = Ring::new(1).unwrap();
    ring.push(1).unwrap();
    let (_, waker) = Alarm::new();
    let (next, next_waker) = Alarm::new();
    let (mut a, mut b) = (Waiter::default(), Waiter::default());
    assert!(ring.poll_space(&mut a, &waker).is_pending());
    assert!(ring.poll_space(&mut b, &next_waker).is_pending());
    ring.pop().unwrap();
    assert!(ring.poll_space(&mut a, &waker).is_ready());
    assert_eq!(next.rung(), 0);
    drop(a);
    assert_eq!(next.rung(), 1, "space that is not used is offered to the next");
    assert_eq!(ring.poll_push(2, &mut b, &next_waker), PollPush::Done);
}

#[test]
fn a_waker_may_use_the_ring() {
    struct Popper(Ring<u8>, AtomicUsize);
    impl Wake for Popper {
        fn wake(self: Arc<Self>) {
            if self.0.poll_pop(&mut Waiter::default(), Waker::noop()).is_ready() {
                self.1.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    let ring = Ring::new(1).unwrap();
    let popper = Arc::new(Popper(ring.clone(), AtomicUsize::new(0)));
    let mut waiter = Waiter::default();
    assert!(ring.poll_pop(&mut waiter, &popper.clone().into()).is_pending());
    ring.push(1).unwrap();
    assert_eq!(popper.1.load(Ordering::Relaxed), 1);
    assert!(ring.is_empty());
}

#[test]
fn statistics_add_up() {
    let ring = Ring::new(2).unwrap();
    for i in 0..3 {
        let _ = ring.try_push(i);
    }
    assert_eq!(ring.force_push(3), Ok(Some(0)));
    assert_eq!(ring.pop(), Ok(1));
    let mut waiter = Waiter::default();
    ring.pop().unwrap();
    assert!(ring.poll_pop(&mut waiter, Waker::noop()).is_pending());
    assert!(ring.poll_pop(&mut waiter, Waker::noop()).is_pending());
    drop(waiter);
    let stats = ring.stats();
    assert_eq!((stats.pushed, stats.popped, stats.evicted, stats.len), (3, 2, 1, 0));
    assert_eq!((stats.full_events, stats.empty_events, stats.high_water), (2, 1, 2));
    assert!(!stats.consumer_wait.is_zero());
    assert!(stats.producer_wait.is_zero());
}

#[test]
fn values_left_in_a_ring_are_dropped_with_it() {
    let value = Arc::new(());
    let ring = Ring::new(2).unwrap();
    ring.push(value.clone()).unwrap();
    let clone = ring.clone();
    drop(ring);
    assert_eq!(Arc::strong_count(&value), 2);
    drop(clone);
    assert_eq!(Arc::strong_count(&value), 1);
}
