//! Consumers of a group are woken for bursts of chunks, and for the last one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use super::units;
use crate::chunk::{
    Allocation, Chunk, Cx, Eviction, Group, GroupParts, Laggard, MemberSupply, ParkReason, Reach,
    Ready, Supply, Window,
};

/// Counts what it takes, what of that it announced, and how often.
#[derive(Clone, Default)]
struct Told(Arc<[AtomicUsize; 3]>);

impl Told {
    fn get(&self) -> [usize; 3] {
        std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed))
    }
}

impl Ready for Told {
    fn ready(&mut self, _: Chunk, _: &Waker) -> Result<(), Chunk> {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn announce(&mut self) {
        self.0[1].store(self.0[0].load(Ordering::Relaxed), Ordering::Relaxed);
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }
}

struct Never;

impl Laggard for Never {
    fn request_flush(&self, _: u64) {
        unreachable!("it cannot be upgraded")
    }
}

const CX: fn() -> Cx<'static> = || Cx { waker: Waker::noop(), now: Instant::now() };

/// A lossless group of two whose windows are one chunk: they keep step.
fn pair() -> (Told, Arc<Group>, [Window<MemberSupply>; 2]) {
    let told = Told::default();
    let core = Group::new(GroupParts {
        window: 1,
        eviction: Eviction::Lossless,
        open_ended: false,
        max_age: None,
        allocate: Box::new(|_, _: &Waker| {
            Allocation::Chunk(Chunk::zeroed(8, 1, 0).unwrap_or_else(|error| panic!("{error}")))
        }),
        ready: Box::new(told.clone()),
    });
    let members = [0, 1].map(|number| {
        assert_eq!(core.join(1, Some(units())), Ok((number, 0)));
        Window::new(1, 0, MemberSupply::new(Arc::clone(&core), number, 0, 1))
    });
    for number in 0..2 {
        core.connect(number, Waker::noop().clone(), Weak::<Never>::new());
    }
    (told, core, members)
}

fn rest(member: &mut Window<MemberSupply>) -> bool {
    Supply::pause(member.supply(), true)
}

const PARKED: Reach = Reach::Park(ParkReason::GroupWindow);

#[test]
fn members_in_step_announce_when_both_wait() {
    let (told, _core, [mut one, mut other]) = pair();
    assert_eq!((one.reach(0, &CX()), other.reach(0, &CX())), (Reach::Open, Reach::Open));
    for id in (1..9).step_by(2) {
        // Who is ahead waits, and the other will wake it: it may look again before it sleeps.
        assert_eq!(one.reach(id, &CX()), PARKED);
        assert!(rest(&mut one));
        assert_eq!(other.reach(id, &CX()), Reach::Open);
        assert_eq!(other.reach(id + 1, &CX()), PARKED);
        assert!(rest(&mut other));
        assert_eq!(one.reach(id, &CX()), Reach::Open);
        assert_eq!(one.reach(id + 1, &CX()), Reach::Open);
        assert_eq!(other.reach(id + 1, &CX()), Reach::Open);
    }
    assert_eq!(told.get(), [8, 0, 0]);
    rest(&mut one);
    assert_eq!(told.get(), [8, 0, 0], "the other is at work");
    assert!(!rest(&mut other));
    assert_eq!(told.get(), [8, 8, 1]);
}

#[test]
fn a_member_that_goes_on_announces_once_a_quantum() {
    let (told, _core, [mut one, mut other]) = pair();
    for id in 0..3 {
        assert_eq!(
            (one.reach(id, &CX()), other.reach(id, &CX())),
            match id {
                0 => (Reach::Open, Reach::Open),
                _ => (PARKED, Reach::Open),
            }
        );
        assert_eq!(one.reach(id, &CX()), Reach::Open);
    }
    assert_eq!(told.get(), [2, 0, 0]);
    Supply::pause(one.supply(), false);
    assert_eq!(told.get(), [2, 2, 1]);
}

#[test]
fn one_that_leaves_announces_for_those_that_wait() {
    let (told, core, [mut one, mut other]) = pair();
    assert_eq!((one.reach(0, &CX()), other.reach(0, &CX())), (Reach::Open, Reach::Open));
    assert_eq!(one.reach(1, &CX()), PARKED);
    assert!(rest(&mut one));
    core.leave(1);
    // It was woken, and is counted on.
    assert_eq!(told.get(), [1, 0, 0]);
    assert_eq!(one.reach(1, &CX()), Reach::Open);
    rest(&mut one);
    assert_eq!(told.get(), [1, 1, 1]);
}
