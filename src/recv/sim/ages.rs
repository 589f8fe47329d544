//! `max_age` in a group: chunks that nobody adds to any more are handed over, and no others.

use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::groups::Shim;
use super::lone::whole;
use super::{HEAP, HEAPS, Setup, units};
use crate::chunk::{
    Allocation, Chunk, Cx, Eviction, Gate, Group, GroupParts, Laggard, MemberSupply,
};
use crate::heap::HeapOutcome;

const AGE: Duration = Duration::from_millis(1000);

struct Sim {
    start: Instant,
    members: Vec<Arc<Shim>>,
    delivered: Arc<Mutex<Vec<u64>>>,
}

impl Sim {
    fn new(windows: [usize; 2]) -> Self {
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let allocate =
            |_, _: &Waker| Allocation::Chunk(Chunk::zeroed(HEAPS * HEAP, HEAPS, 0).unwrap());
        let ready = {
            let delivered = Arc::clone(&delivered);
            move |chunk: Chunk, _: &Waker| {
                delivered.lock().unwrap().push(chunk.id());
                Ok(())
            }
        };
        let group = Group::new(GroupParts {
            window: 4,
            eviction: Eviction::Eager,
            open_ended: false,
            max_age: Some(AGE),
            allocate: Box::new(allocate),
            ready: Box::new(ready),
        });
        let join = |window| {
            let (number, head) = group.join(window, Some(units())).unwrap();
            let supply = MemberSupply::new(Arc::clone(&group), number, 0, window);
            let mut setup = Setup { window, head, ..Setup::default() };
            setup.options.member = number;
            let (engine, counters) = setup.engine(supply);
            let shim = Arc::new(Shim { gate: Gate::new(engine), counters });
            let laggard: Arc<dyn Laggard> = Arc::clone(&shim) as _;
            group.connect(number, Waker::noop().clone(), Arc::downgrade(&laggard));
            shim
        };
        let members = windows.into_iter().map(join).collect();
        Self { start: Instant::now(), members, delivered }
    }

    fn cx(&self, millis: u64) -> Cx<'static> {
        Cx { waker: Waker::noop(), now: self.start + Duration::from_millis(millis) }
    }

    fn heap(&self, member: usize, chunk: u64, millis: u64) {
        let mut engine = self.members[member].gate.lock();
        let packet = &whole(chunk, self.placed(member) as usize + 2 * member).packets()[0];
        let _ = engine.datagram(packet, &Default::default(), &self.cx(millis));
    }

    fn tick(&self, member: usize, millis: u64) {
        self.members[member].gate.lock().tick(&self.cx(millis), true);
    }

    fn placed(&self, member: usize) -> u64 {
        self.members[member].counters.snapshot().outcome(HeapOutcome::Placed)
    }

    fn delivered(&self) -> Vec<u64> {
        self.delivered.lock().unwrap().clone()
    }
}

#[test]
fn a_member_that_is_ahead_keeps_what_is_not_old() {
    let sim = Sim::new([1, 4]);
    sim.heap(1, 0, 0);
    sim.heap(0, 1, 900);
    sim.tick(1, 1000);
    assert!(sim.delivered().is_empty(), "the other may still have something");
    // While the laggard is in its quantum, and when it is idle.
    let quantum = sim.members[1].gate.lock();
    sim.tick(0, 1000);
    sim.tick(0, 1001);
    assert!(sim.delivered().is_empty());
    drop(quantum);
    assert_eq!(sim.delivered(), [0]);
    sim.tick(0, 1002);
    sim.heap(0, 1, 1003);
    assert_eq!((sim.placed(0), sim.placed(1)), (2, 1));
    assert_eq!(sim.delivered(), [0]);
}

#[test]
fn a_silent_member_holds_no_old_chunk() {
    let sim = Sim::new([2, 2]);
    sim.heap(0, 0, 0);
    sim.tick(0, 999);
    sim.tick(1, 1000);
    assert!(sim.delivered().is_empty());
    sim.tick(0, 1000);
    assert_eq!(sim.delivered(), [0]);
    // The silent one may be the last to look.
    sim.heap(0, 1, 2000);
    sim.tick(0, 3000);
    sim.tick(1, 3000);
    assert_eq!(sim.delivered(), [0, 1]);
}
