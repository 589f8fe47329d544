//! Models of groups: every interleaving, under the C11 memory model, of a few members, a consumer
//! and what they wait for. A wake-up that is lost shows as a member that is parked and was not
//! called.
//!
//! Run by
//! `RUSTFLAGS="--cfg speadway_loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib chunk::models`.
//!
//! The callbacks use the standard library's mutex, which loom does not see: what a model asserts
//! must not order what it models. It is never held across one of loom's operations.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Wake, Waker};
use std::time::Instant;

use loom::thread;

use super::exchange::{Allocation, Cx, Ready};
use super::gate::{Flush, Gate};
use super::group::{Eviction, Group, GroupParts, Laggard, MemberSupply, Units};
use super::window::{Supplied, Supply};
use super::{Chunk, ParkReason};

/// Explores every schedule with up to `preemptions` preemptions.
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[derive(Default)]
struct Alarm(AtomicBool);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The world outside the group: what is free, what was delivered, and who waits for it.
#[derive(Default)]
struct World {
    free: usize,
    room: usize,
    delivered: Vec<u64>,
    /// How many of the delivered consumers were told about.
    announced: usize,
    ends: usize,
    /// One place for both sides: no model waits at both.
    waker: Option<Waker>,
}

/// The world, and a place that everybody steps on who changes it or looks at it. Loom tries orders of
/// what it sees touching one place; relaxed, a step orders nothing itself.
#[derive(Clone)]
struct Outside(Arc<Mutex<World>>, Arc<loom::sync::atomic::AtomicUsize>);

impl Outside {
    fn new(free: usize, room: usize) -> Self {
        let world = World { free, room, ..World::default() };
        Self(Arc::new(Mutex::new(world)), Arc::default())
    }

    fn step(&self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }

    fn change(&self, change: impl FnOnce(&mut World)) {
        self.step();
        let waker = {
            let mut world = self.0.lock().unwrap();
            change(&mut world);
            world.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn delivered(&self) -> Vec<u64> {
        self.0.lock().unwrap().delivered.clone()
    }

    fn all_is_announced(&self) -> bool {
        let world = self.0.lock().unwrap();
        world.announced == world.delivered.len()
    }

    fn ends(&self) -> usize {
        self.0.lock().unwrap().ends
    }

    fn group(&self, eviction: Eviction, window: usize) -> Arc<Group> {
        let outside = self.clone();
        let allocate = move |_: u64, waker: &Waker| {
            outside.step();
            let mut world = outside.0.lock().unwrap();
            if world.free == 0 {
                world.waker = Some(waker.clone());
                return Allocation::NotYet;
            }
            world.free -= 1;
            Allocation::Chunk(Chunk::zeroed(1, 1, 0).unwrap())
        };
        Group::new(GroupParts {
            window,
            eviction,
            open_ended: false,
            max_age: None,
            allocate: Box::new(allocate),
            ready: Box::new(self.clone()),
        })
    }
}

impl Ready for Outside {
    fn ready(&mut self, chunk: Chunk, waker: &Waker) -> Result<(), Chunk> {
        self.step();
        let mut world = self.0.lock().unwrap();
        assert_eq!(world.ends, 0, "nothing follows the end");
        if world.room == 0 {
            world.waker = Some(waker.clone());
            return Err(chunk);
        }
        world.room -= 1;
        world.delivered.push(chunk.id());
        Ok(())
    }

    fn announce(&mut self) {
        self.step();
        let mut world = self.0.lock().unwrap();
        world.announced = world.delivered.len();
    }

    fn end(&mut self) {
        self.0.lock().unwrap().ends += 1;
    }
}

/// A member without an engine: the window's side of its supply.
struct Bare {
    supply: MemberSupply,
    head: u64,
    waker: Waker,
    alarm: Arc<Alarm>,
}

impl Bare {
    fn join(group: &Arc<Group>, number: usize) -> Self {
        let division = super::Layout::builder(0x1600, 1).build().unwrap().division();
        let units = Units { division, packet_presence: None };
        let (joined, head) = group.join(1, Some(units)).unwrap();
        assert_eq!(joined, number);
        let alarm = Arc::new(Alarm::default());
        let waker = Waker::from(alarm.clone());
        let supply = MemberSupply::new(group.clone(), number, number as u64, 2);
        Self { supply, head, waker, alarm }
    }

    /// Two members, connected.
    fn pair(group: &Arc<Group>) -> [Self; 2] {
        let pair = [0, 1].map(|number| Self::join(group, number));
        for (number, member) in pair.iter().enumerate() {
            let nobody: Weak<Never> = Weak::new();
            group.connect(number, member.waker.clone(), nobody);
        }
        pair
    }

    fn cx<'a>(waker: &'a Waker) -> Cx<'a> {
        Cx { waker, now: Instant::now() }
    }

    fn open(&mut self, id: u64) -> Option<ParkReason> {
        match self.supply.open(id, &Self::cx(&self.waker)) {
            Supplied::Open(_) => None,
            Supplied::Missing => panic!("there is memory for all"),
            Supplied::Park(reason) => Some(reason),
        }
    }

    /// Leaves everything before `head`.
    fn advance(&mut self, head: u64) {
        self.release(head);
        self.supply.head_moved(head, &Self::cx(&self.waker));
    }

    fn release(&mut self, head: u64) {
        while self.head < head {
            self.supply.release(self.head, 1);
            self.head += 1;
        }
    }

    /// Its quantum is over, and it waits.
    fn rest(&mut self) -> bool {
        self.supply.pause(true)
    }

    fn end(&mut self) {
        self.supply.end(&Self::cx(&self.waker));
    }

    fn was_called(&self) -> bool {
        self.alarm.0.load(Ordering::SeqCst)
    }

    fn drain(&mut self) {
        self.supply.drain(&Self::cx(&self.waker)).unwrap();
    }
}

struct Never;

impl Laggard for Never {
    fn request_flush(&self, _: u64) {
        unreachable!("it cannot be upgraded")
    }
}

/// A member behind its gate, which others may flush.
struct Gated(Gate<Bare>);

impl Flush for Bare {
    type Rest = Option<Arc<Group>>;

    fn flush_until(&mut self, target: u64) -> Self::Rest {
        if target <= self.head {
            return None;
        }
        self.release(target);
        self.supply.head_moved_quietly(target)
    }

    fn finish(rest: Self::Rest) {
        rest.into_iter().for_each(|group| group.publish_outside_quanta());
    }
}

impl Laggard for Gated {
    fn request_flush(&self, target: u64) {
        self.0.request_flush(target);
    }
}

struct Level(u64, Arc<AtomicUsize>);

impl Flush for Level {
    type Rest = ();

    fn flush_until(&mut self, target: u64) {
        assert!(target > self.0, "nothing is flushed twice");
        self.0 = target;
        self.1.store(target as usize, Ordering::SeqCst);
    }

    fn finish((): ()) {}
}

#[test]
fn flush_requests_are_not_lost() {
    explore(4, || {
        let flushed = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Gate::new(Level(0, flushed.clone())));
        let owner = thread::spawn({
            let gate = gate.clone();
            move || {
                let mut guard = gate.lock();
                guard.serve();
            }
        });
        gate.request_flush(5);
        owner.join().unwrap();
        // Without another look.
        assert_eq!(flushed.load(Ordering::SeqCst), 5);
    });
}

#[test]
fn of_two_flush_requests_the_larger_is_served() {
    explore(2, || {
        let flushed = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Gate::new(Level(0, flushed.clone())));
        let others = [3, 4].map(|target| {
            let gate = gate.clone();
            thread::spawn(move || gate.request_flush(target))
        });
        drop(gate.lock());
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(flushed.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn last_releasers_keep_the_order_and_end_once() {
    explore(2, || {
        let outside = Outside::new(2, 9);
        let group = outside.group(Eviction::Lossless, 2);
        let mut members = Bare::pair(&group);
        for member in &mut members {
            assert_eq!((member.open(0), member.open(1)), (None, None));
        }
        let threads = members.map(|mut member| {
            thread::spawn(move || {
                member.advance(1);
                member.advance(2);
                member.end();
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(outside.delivered(), [0, 1]);
        assert_eq!(outside.ends(), 1);
    });
}

#[test]
fn a_refused_chunk_is_offered_again() {
    explore(3, || {
        let outside = Outside::new(2, 0);
        let group = outside.group(Eviction::Lossless, 2);
        let mut members = Bare::pair(&group);
        assert_eq!((members[0].open(0), members[0].open(1)), (None, None));
        members[1].advance(2);
        let consumer = thread::spawn({
            let outside = outside.clone();
            move || outside.change(|world| world.room += 9)
        });
        members[0].advance(1);
        members[0].advance(2);
        consumer.join().unwrap();
        // As their workers would.
        for member in members.iter_mut().filter(|member| member.was_called()) {
            member.drain();
        }
        assert_eq!(outside.delivered(), [0, 1]);
        assert_eq!(outside.ends(), 0);
    });
}

#[test]
fn a_refused_chunk_is_delivered_after_the_last_member_left() {
    explore(3, || {
        let outside = Outside::new(1, 0);
        let group = outside.group(Eviction::Lossless, 2);
        let mut members = Bare::pair(&group);
        assert_eq!(members[0].open(0), None);
        members[1].end();
        let consumer = thread::spawn({
            let outside = outside.clone();
            move || outside.change(|world| world.room += 9)
        });
        members[0].advance(1);
        members[0].end();
        consumer.join().unwrap();
        assert_eq!(outside.delivered(), [0]);
        assert_eq!(outside.ends(), 1);
    });
}

#[test]
fn a_member_that_waits_for_the_window_is_called() {
    explore(3, || {
        let outside = Outside::new(9, 9);
        let group = outside.group(Eviction::Lossless, 1);
        let [mut ahead, mut behind] = Bare::pair(&group);
        assert_eq!((ahead.open(0), behind.open(0)), (None, None));
        ahead.advance(1);
        let other = thread::spawn(move || {
            behind.advance(1);
            behind
        });
        // For the window, or with it moved for the chunk that is being handed over.
        let parked = ahead.open(1);
        let behind = other.join().unwrap();
        if parked.is_some() {
            assert!(ahead.was_called());
            assert_eq!(ahead.open(1), None);
        }
        drop(behind);
        assert_eq!(outside.delivered(), [0]);
    });
}

#[test]
fn a_member_that_waits_for_one_that_leaves_is_called() {
    explore(3, || {
        let outside = Outside::new(9, 9);
        let group = outside.group(Eviction::Lossless, 1);
        let [mut ahead, mut behind] = Bare::pair(&group);
        assert_eq!(ahead.open(0), None);
        ahead.advance(1);
        let other = thread::spawn(move || behind.end());
        let parked = ahead.open(1);
        other.join().unwrap();
        if parked.is_some() {
            assert!(ahead.was_called());
            assert_eq!(ahead.open(1), None);
        }
        ahead.advance(2);
        ahead.end();
        assert_eq!(outside.delivered(), [0, 1]);
        assert_eq!(outside.ends(), 1);
    });
}

#[test]
fn an_eager_member_gets_on_once_a_quantum_ends() {
    explore(3, || {
        let outside = Outside::new(9, 9);
        let group = outside.group(Eviction::Eager, 1);
        let [mut ahead, mut behind] = [0, 1].map(|number| Bare::join(&group, number));
        assert_eq!((ahead.open(0), behind.open(0)), (None, None));
        behind.rest();
        let behind_waker = behind.waker.clone();
        let behind = Arc::new(Gated(Gate::new(behind)));
        let laggard: Arc<dyn Laggard> = behind.clone();
        group.connect(0, ahead.waker.clone(), Weak::<Never>::new());
        group.connect(1, behind_waker, Arc::downgrade(&laggard));
        ahead.advance(1);
        let quantum = thread::spawn({
            let behind = behind.clone();
            move || drop(behind.0.lock())
        });
        let parked = ahead.open(1);
        quantum.join().unwrap();
        if parked.is_some() {
            assert!(ahead.was_called());
            assert_eq!(ahead.open(1), None);
        }
        ahead.rest();
        assert_eq!(outside.delivered(), [0]);
        assert!(outside.all_is_announced());
    });
}

#[test]
fn what_is_handed_over_is_announced_once_all_wait() {
    explore(3, || {
        let outside = Outside::new(9, 9);
        let group = outside.group(Eviction::Lossless, 1);
        let mut members = Bare::pair(&group);
        for member in &mut members {
            assert_eq!(member.open(0), None);
        }
        let threads = members.map(|mut member| {
            thread::spawn(move || {
                member.advance(1);
                let parked = member.open(1).is_some();
                member.rest();
                (member, parked)
            })
        });
        let members = threads.map(|thread| thread.join().unwrap());
        // Who was woken may have been counted on; its worker polls it.
        for (mut member, _) in members.into_iter().filter(|(_, parked)| *parked) {
            assert!(member.was_called());
            assert_eq!(member.open(1), None);
            member.rest();
        }
        assert_eq!(outside.delivered(), [0]);
        assert!(outside.all_is_announced());
    });
}

#[test]
fn a_member_counts_only_on_one_that_announces() {
    explore(3, || {
        let outside = Outside::new(9, 9);
        let group = outside.group(Eviction::Lossless, 2);
        let [mut ahead, mut behind] = Bare::pair(&group);
        assert_eq!((ahead.open(0), behind.open(0)), (None, None));
        behind.advance(1);
        behind.rest();
        let other = thread::spawn(move || behind.end());
        ahead.advance(1);
        assert!(!ahead.rest(), "it is not parked");
        other.join().unwrap();
        assert_eq!(outside.delivered(), [0]);
        assert!(outside.all_is_announced());
    });
}

#[test]
fn members_that_wait_for_a_chunk_are_called() {
    explore(2, || {
        let outside = Outside::new(0, 9);
        let group = outside.group(Eviction::Lossless, 1);
        let members = Bare::pair(&group);
        let returns = thread::spawn({
            let outside = outside.clone();
            move || outside.change(|world| world.free += 1)
        });
        let threads = members.map(|mut member| {
            thread::spawn(move || {
                let parked = member.open(0).is_some();
                (member, parked)
            })
        });
        let members = threads.map(|thread| thread.join().unwrap());
        returns.join().unwrap();
        // Who has to wait was called; and the first that is gets the chunk for both.
        for (mut member, parked) in members {
            assert!(!parked || member.was_called());
            assert_eq!(member.open(0), None);
        }
    });
}

#[test]
fn a_stop_while_others_publish_tells_the_end_once() {
    explore(3, || {
        let outside = Outside::new(2, 9);
        let group = outside.group(Eviction::Lossless, 2);
        let [mut first, mut second] = Bare::pair(&group);
        assert_eq!((first.open(0), first.open(1)), (None, None));
        second.advance(2);
        let worker = thread::spawn(move || {
            first.advance(1);
            first.advance(2);
            first.end();
        });
        group.mute();
        second.end();
        worker.join().unwrap();
        group.abandon();
        assert!([&[][..], &[0], &[0, 1]].contains(&&outside.delivered()[..]));
        assert_eq!(outside.ends(), 1);
    });
}
