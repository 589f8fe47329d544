//! The workers of a simulated world, and what they may do next.
//!
//! A stream is polled only if its worker would poll it: it was called, its time has come, it asked
//! to go on, or a reader became readable while it was not parked. So a wake-up that is lost shows as
//! a stream that stands still. While a callback of one stream runs, streams of other workers may
//! have whole quanta ([`World::interlude`]): every order that threads could have at these points.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Instant;

use super::socket::PLANNED;
use super::streams::Handle;
use super::{World, lock};
use crate::chunk::ParkReason;
use crate::recv::stats::Counters;
use crate::recv::worker::{MAX_READERS, Polled, Task, TaskCx};

/// Quanta within quanta.
const NESTED: usize = 3;

/// Whether somebody was called.
pub(super) struct Flag(AtomicBool);

impl Flag {
    pub(super) fn new() -> Self {
        Self(AtomicBool::new(true))
    }

    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream on its worker.
pub(super) struct Job {
    /// Away while it is polled, gone when it is done.
    task: Option<Box<dyn Task>>,
    pub(super) control: Arc<dyn Handle>,
    pub(super) counters: Arc<Counters>,
    flag: Arc<Flag>,
    waker: Waker,
    parked: Arc<Mutex<Option<ParkReason>>>,
    pub(super) worker: usize,
    runnable: bool,
    pub(super) until: Option<Instant>,
    /// Readers whose descriptors became readable, and nobody looked yet.
    pub(super) events: Vec<usize>,
    pub(super) done: bool,
    /// A callback panicked.
    pub(super) broken: bool,
    /// A stop was asked for, from another thread.
    pub(super) stopping: bool,
    /// What it held was dropped by the one who asked.
    pub(super) freed: bool,
}

impl Job {
    pub(super) fn new(
        task: Box<dyn Task>,
        control: Arc<dyn Handle>,
        counters: Arc<Counters>,
        flag: Arc<Flag>,
        waker: Waker,
        parked: Arc<Mutex<Option<ParkReason>>>,
        worker: usize,
    ) -> Self {
        Self {
            task: Some(task),
            control,
            counters,
            flag,
            waker,
            parked,
            worker,
            runnable: true,
            until: None,
            events: Vec::new(),
            done: false,
            broken: false,
            stopping: false,
            freed: false,
        }
    }

    pub(super) fn parked(&self) -> Option<ParkReason> {
        *lock(&self.parked)
    }

    pub(super) fn was_called(&self) -> bool {
        self.flag.is_set()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// Something that a worker can do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// Look which of a stream's readers are readable.
    Look(usize),
    Poll(usize),
}

impl World {
    /// What idle workers can do now.
    pub(super) fn acts(&self) -> Vec<Act> {
        let stack = lock(&self.stack).clone();
        let now = self.now();
        let jobs = lock(&self.jobs);
        let busy: Vec<usize> = stack.iter().map(|&job| jobs[job].worker).collect();
        let mut acts = Vec::new();
        for (at, job) in jobs.iter().enumerate() {
            if job.done || busy.contains(&job.worker) {
                continue;
            }
            if !job.events.is_empty() {
                acts.push(Act::Look(at));
            }
            if job.runnable || job.was_called() || job.is_due(now) {
                acts.push(Act::Poll(at));
            }
        }
        acts
    }

    pub(super) fn act(&self, act: Act) {
        match act {
            Act::Look(at) => self.look(at),
            Act::Poll(at) => self.poll(at),
        }
        self.check();
    }

    /// As a worker that was told by the kernel.
    fn look(&self, at: usize) {
        let mut jobs = lock(&self.jobs);
        let job = &mut jobs[at];
        let Some(task) = &mut job.task else { return };
        for reader in job.events.drain(..) {
            job.runnable |= task.readable(reader);
        }
    }

    /// As a worker: a quantum.
    fn poll(&self, at: usize) {
        let (task, waker, woken, stopping) = {
            let mut jobs = lock(&self.jobs);
            let job = &mut jobs[at];
            let woken = job.flag.take();
            job.runnable = false;
            (job.task.take(), job.waker.clone(), woken, job.stopping)
        };
        let Some(mut task) = task else { return };
        self.note(|| format!("  stream {at} has a quantum at {}", self.nanos()));
        lock(&self.stack).push(at);
        let cx = TaskCx {
            waker: &waker,
            registry: self.poll.registry(),
            token: at * MAX_READERS,
            now: self.now(),
            woken,
        };
        let polled = catch_unwind(AssertUnwindSafe(|| task.poll(&cx)));
        let broken = polled.is_err();
        let polled = polled.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().copied();
            if message != Some(PLANNED) {
                std::panic::resume_unwind(panic);
            }
            lock(&self.troubles).dropped |= !self.plan.is_group();
            // The callbacks that this calls may panic too, and nothing may follow from it.
            let _ = catch_unwind(AssertUnwindSafe(|| task.panicked(PLANNED)));
            Polled::Done
        });
        lock(&self.stack).pop();
        self.note(|| {
            let what = match polled {
                Polled::Wait(until) | Polled::WaitBriefly(until) => {
                    format!("waits {:?}", until.map(|until| until - self.start))
                }
                other => format!("{other:?}"),
            };
            format!("  stream {at}: {what}{}", if broken { ", broken" } else { "" })
        });
        assert!(!stopping || polled == Polled::Done, "a stop takes one quantum");
        let mut jobs = lock(&self.jobs);
        let job = &mut jobs[at];
        job.broken |= broken;
        match polled {
            Polled::Again => job.runnable = true,
            Polled::Wait(until) | Polled::WaitBriefly(until) => job.until = until,
            Polled::Done => job.done = true,
        }
        if job.done {
            assert!(job.control.end().is_some(), "a task that is done has said how");
            drop(jobs);
            drop(task);
        } else {
            job.task = Some(task);
        }
    }

    /// Something else happens while a callback runs.
    pub(super) fn interlude(&self) {
        if lock(&self.stack).len() < NESTED && self.chance(self.plan.preempt) {
            self.note(|| "   meanwhile".to_owned());
            self.step();
        }
    }

    /// At every step: everything is accounted for, and nobody waits for nothing.
    pub(super) fn check(&self) {
        let stack = lock(&self.stack).clone();
        let jobs = lock(&self.jobs);
        for (at, job) in jobs.iter().enumerate().filter(|(at, _)| !stack.contains(at)) {
            let stats = job.counters.snapshot();
            assert!(stats.packets_balance() && stats.heaps_balance(), "stream {at}: {stats}");
            let sockets = lock(&self.sockets);
            let own = sockets.iter().filter(|socket| lock(socket).stream == at);
            let taken: u64 = own.map(|socket| lock(socket).taken).sum();
            // One more may have been begun, or who offered a train does not know how far it came.
            let unsure = if job.broken { self.plan.train as u64 } else { 1 };
            let received = stats.packets_received;
            assert!((taken..=taken + unsure).contains(&received), "{received} received of {taken}");
            let waits_for_others =
                job.parked() == Some(ParkReason::GroupWindow) && !job.done && !job.was_called();
            let eager = self.plan.is_eager() && stack.is_empty();
            assert!(!(eager && waits_for_others), "stream {at} waits for one in no quantum");
        }
        drop(jobs);
        self.chunks_are_somewhere();
    }
}
