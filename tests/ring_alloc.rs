//! In the steady state a ring allocates nothing, whether its users wait or not.

mod counting;

use std::thread;

use counting::{assert_counting, calls_so_far};
use speadway::ring::Ring;

/// How many times all threads allocated or freed while `f` ran.
fn calls(f: impl FnOnce()) -> usize {
    let before = calls_so_far();
    f();
    calls_so_far() - before
}

fn main() {
    assert_counting();

    let ring = Ring::new(8).unwrap();
    let without_waiting = || {
        for i in 0..10_000 {
            ring.try_push(i).unwrap();
            assert_eq!(ring.try_pop(), Ok(i));
        }
    };
    assert_eq!(calls(without_waiting), 0);

    // There and back again through rings of one: every value is waited for at both ends.
    let (there, back) = (Ring::new(1).unwrap(), Ring::new(1).unwrap());
    let (far_in, far_out) = (there.clone(), back.clone());
    let echo = thread::spawn(move || far_in.iter().for_each(|i: u32| far_out.push(i).unwrap()));
    let round_trips = |n| {
        for i in 0..n {
            there.push(i).unwrap();
            assert_eq!(back.pop(), Ok(i));
        }
    };
    round_trips(1_000); // both threads wait for the first time, which may allocate
    let waits_before = there.stats().empty_events + back.stats().empty_events;
    assert_eq!(calls(|| round_trips(10_000)), 0);
    let waits = there.stats().empty_events + back.stats().empty_events - waits_before;
    assert!(waits > 1_000, "the test is about waiting, and there were {waits} waits");
    there.close();
    echo.join().unwrap();
}
