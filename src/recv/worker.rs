//! Workers: one thread each, running the streams that were given to it.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Wake, Waker};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use super::look::Look;
use super::timer::{self, TIMER, Timer};

/// Events fetched from the kernel in one call; more come with the next.
const EVENTS: usize = 256;

/// Readers that a stream may have: a token says which reader of which stream is readable.
pub(crate) const MAX_READERS: usize = 1 << 12;

/// The token of the worker's own wake-ups.
const WAKE: Token = Token(usize::MAX);

/// How a worker waits when none of its streams has anything to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// Sleeps in the kernel until a packet arrives. (If all that its streams wait for is another
    /// worker's member of a lossless group, it looks for up to 20 µs whether that has come, as long
    /// as this pays.)
    #[default]
    Sleep,
    /// Never sleeps: lowest latency, one core gone.
    Spin,
    /// Sleeps, and having been woken by a packet sleeps this much longer, so that more packets
    /// arrive and one call fetches them all. Costs this much latency; saves CPU at moderate rates.
    Coalesce(Duration),
}

/// How to make a [`Worker`]; from [`Worker::builder`].
#[derive(Clone, Debug, Default)]
pub struct WorkerBuilder {
    core: Option<usize>,
    wait: WaitStrategy,
    name: Option<String>,
}

/// A thread that runs receive streams, one after the other, each for a quantum.
///
/// Clones are handles to the same worker. It ends with its last handle; streams hold one.
///
/// ```
/// use speadway::recv::Worker;
/// let worker = Worker::builder().name("receive-0").start()?;
/// // Streams are started with `&worker`; `Worker::builder().pin(2)` puts it on core 2.
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Worker {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

struct Shared {
    waker: mio::Waker,
    /// Whether the worker sleeps or is about to; who sets something for it to see then wakes it.
    sleeping: AtomicBool,
    commands: Mutex<Vec<Command>>,
    has_commands: AtomicBool,
    streams: AtomicUsize,
}

enum Command {
    Add(Box<dyn Task>, Arc<TaskWaker>),
    Quit,
}

/// A stream as its worker sees it.
pub(crate) trait Task: Send {
    /// Works for up to a quantum.
    fn poll(&mut self, cx: &TaskCx<'_>) -> Polled;

    /// Reader `reader` may have something. Says whether the task wants to run because of that.
    fn readable(&mut self, reader: usize) -> bool;

    /// A callback of the user's panicked during `poll`; the task will be dropped.
    fn panicked(&mut self, message: &str);
}

/// What a task has to work with.
pub(crate) struct TaskCx<'a> {
    pub(crate) waker: &'a Waker,
    pub(crate) registry: &'a Registry,
    /// The token of the task's first reader.
    pub(crate) token: usize,
    pub(crate) now: Instant,
    /// Whether the waker was called since the last poll.
    pub(crate) woken: bool,
}

/// What a task wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polled {
    /// To go on when the others had their turn.
    Again,
    /// To wait for its waker, a readable reader, or the time given.
    Wait(Option<Instant>),
    /// The same, and somebody else is at work on what it waits for.
    WaitBriefly(Option<Instant>),
    /// Nothing: it has ended.
    Done,
}

/// Wakes a task. It also tells whether the task is asked for, so that waking costs no queue.
pub(crate) struct TaskWaker {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

thread_local! {
    static ON_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether the current thread is a worker, or does a worker's work, and must not wait for streams.
pub(crate) fn on_worker() -> bool {
    ON_WORKER.get()
}

/// Does a worker's work on the current thread.
pub(crate) fn as_worker<R>(work: impl FnOnce() -> R) -> R {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            ON_WORKER.set(self.0);
        }
    }
    let _before = Before(ON_WORKER.replace(true));
    work()
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a callback panicked").to_owned()
}

impl WorkerBuilder {
    /// Pins the worker to a core, numbered as the operating system does.
    #[must_use]
    pub fn pin(mut self, core: usize) -> Self {
        self.core = Some(core);
        self
    }

    /// Chooses how the worker waits.
    #[must_use]
    pub fn wait(mut self, wait: WaitStrategy) -> Self {
        self.wait = wait;
        self
    }

    /// Names the thread (`speadway` unless set).
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue, or refuses the core: an unpinned receive
    /// thread loses packets, so it is an error rather than a warning.
    pub fn start(self) -> io::Result<Worker> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            waker: mio::Waker::new(poll.registry(), WAKE)?,
            sleeping: AtomicBool::new(false),
            commands: Mutex::new(Vec::new()),
            has_commands: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
        });
        let (report, started) = mpsc::channel();
        let timer = Timer::new(poll.registry());
        let run = Run {
            shared: Arc::clone(&shared),
            poll,
            timer,
            wait: self.wait,
            look: Look::default(),
            expects: false,
            tasks: Vec::new(),
        };
        let core = self.core;
        let thread = std::thread::Builder::new()
            .name(self.name.unwrap_or_else(|| "speadway".to_owned()))
            .spawn(move || {
                ON_WORKER.set(true);
                timer::be_punctual();
                let pinned = core.map_or(Ok(()), pin_to);
                let go = pinned.is_ok();
                // The builder waits for this; it cannot be gone.
                let _ = report.send(pinned);
                if go {
                    run.run();
                }
            })?;
        let thread_id = thread.thread().id();
        started.recv().map_err(io::Error::other)??;
        let handle = Handle { shared, thread: Mutex::new(Some(thread)), thread_id };
        Ok(Worker { handle: Arc::new(handle) })
    }
}

fn pin_to(core: usize) -> io::Result<()> {
    let allowed: Vec<_> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    // Checked first: the system's set of cores has a fixed size.
    if allowed.contains(&core) && core_affinity::set_for_current(core_affinity::CoreId { id: core })
    {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("cannot pin a worker to core {core}: this process may use cores {allowed:?}"),
    ))
}

impl Worker {
    /// An unpinned worker that sleeps when it has nothing to do.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    pub fn new() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Starts with the defaults: unpinned, sleeping.
    #[must_use]
    pub fn builder() -> WorkerBuilder {
        WorkerBuilder::default()
    }

    /// How many streams run on it.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.handle.shared.streams.load(Ordering::Relaxed)
    }

    /// A waker for a task that is about to be [added](Self::add).
    pub(crate) fn task_waker(&self) -> Arc<TaskWaker> {
        let shared = Arc::clone(&self.handle.shared);
        Arc::new(TaskWaker { woken: AtomicBool::new(true), shared })
    }

    /// Runs `task` from now on.
    pub(crate) fn add(&self, task: Box<dyn Task>, waker: Arc<TaskWaker>) {
        self.handle.shared.streams.fetch_add(1, Ordering::Relaxed);
        self.handle.shared.command(Command::Add(task, waker));
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("streams", &self.streams()).finish_non_exhaustive()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.command(Command::Quit);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last handle may be dropped by a stream that ends on this very worker.
        if let Some(thread) = thread
            && std::thread::current().id() != self.thread_id
        {
            // It panics only if a task's destructor does, which has been reported then.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn command(&self, command: Command) {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).push(command);
        self.has_commands.store(true, Ordering::Relaxed);
        self.notify();
    }

    /// Makes sure that the worker sees what was just stored.
    fn notify(&self) {
        // Pairs with the fence in `Run::sleep`: either we see that it sleeps, or it sees what we
        // stored before it does.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed)
            && let Err(error) = self.waker.wake()
        {
            log::error!("cannot wake a worker: {error}");
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::AcqRel) {
            self.shared.notify();
        }
    }
}

/// Drops a task that has ended. What it held of the user's may panic at that; there are others to run.
fn drop_task(task: Option<Running>) {
    if catch_unwind(AssertUnwindSafe(|| drop(task))).is_err() {
        log::error!("something that a stream held panicked when it was dropped");
    }
}

/// Whether a task was woken, or the worker has commands.
fn is_asked(shared: &Shared, tasks: &[Option<Running>]) -> bool {
    shared.has_commands.load(Ordering::Relaxed)
        || tasks.iter().flatten().any(|task| task.flag.woken.load(Ordering::Relaxed))
}

/// The worker's own side.
struct Run {
    shared: Arc<Shared>,
    poll: Poll,
    timer: Timer,
    wait: WaitStrategy,
    look: Look,
    /// A task waits for somebody who is at work.
    expects: bool,
    tasks: Vec<Option<Running>>,
}

struct Running {
    task: Box<dyn Task>,
    flag: Arc<TaskWaker>,
    waker: Waker,
    runnable: bool,
    until: Option<Instant>,
}

impl Run {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            if self.shared.has_commands.swap(false, Ordering::AcqRel) && self.obey() {
                return;
            }
            let busy = self.round(Instant::now());
            let result = if busy || self.wait == WaitStrategy::Spin {
                self.poll.poll(&mut events, Some(Duration::ZERO))
            } else {
                self.sleep(&mut events)
            };
            if let Err(error) = result
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("a worker cannot wait for events: {error}");
                std::thread::yield_now();
            }
            for event in &events {
                self.dispatch(event.token());
            }
        }
    }

    /// Carries out commands; true if the worker is to end.
    fn obey(&mut self) -> bool {
        let commands = {
            let mut commands = self.shared.commands.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *commands)
        };
        for command in commands {
            let Command::Add(task, flag) = command else { return true };
            let waker = Waker::from(Arc::clone(&flag));
            let running = Running { task, flag, waker, runnable: true, until: None };
            match self.tasks.iter_mut().find(|slot| slot.is_none()) {
                Some(slot) => *slot = Some(running),
                None => self.tasks.push(Some(running)),
            }
        }
        false
    }

    /// Gives every task that can work a quantum; true if one wants to go on.
    fn round(&mut self, now: Instant) -> bool {
        let mut busy = false;
        for (key, slot) in self.tasks.iter_mut().enumerate() {
            let Some(running) = slot else { continue };
            let woken = running.flag.woken.swap(false, Ordering::AcqRel);
            let due = running.until.is_some_and(|until| until <= now);
            if !(woken || due || running.runnable) {
                continue;
            }
            let registry = self.poll.registry();
            match running.poll(registry, key, now, woken) {
                Polled::Again => {
                    running.runnable = true;
                    busy = true;
                }
                Polled::Wait(until) => running.wait(until),
                Polled::WaitBriefly(until) => {
                    running.wait(until);
                    self.expects = true;
                }
                Polled::Done => {
                    drop_task(slot.take());
                    self.shared.streams.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        busy
    }

    /// Sleeps until something happens or a task's time has come.
    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        if std::mem::take(&mut self.expects) {
            self.look.again(|| is_asked(&self.shared, &self.tasks));
        }
        self.shared.sleeping.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let asked = is_asked(&self.shared, &self.tasks);
        let until = self.tasks.iter().flatten().filter_map(|task| task.until).min();
        let timeout = match (asked, until) {
            (true, _) => Some(Duration::ZERO),
            (false, until) => until.map(|at| self.timer.wake_at(at, Instant::now())),
        };
        let result = self.poll.poll(events, timeout);
        self.shared.sleeping.store(false, Ordering::Relaxed);
        if let WaitStrategy::Coalesce(extra) = self.wait
            && events.iter().any(|event| !matches!(event.token(), WAKE | TIMER))
        {
            // A task that waits for a time need not be late for the sake of others.
            let left = until.map(|at| at.saturating_duration_since(Instant::now()));
            std::thread::sleep(left.map_or(extra, |left| left.min(extra)));
        }
        result
    }

    fn dispatch(&mut self, token: Token) {
        if matches!(token, WAKE | TIMER) {
            return;
        }
        let (key, reader) = (token.0 / MAX_READERS, token.0 % MAX_READERS);
        if let Some(Some(running)) = self.tasks.get_mut(key) {
            running.runnable |= running.task.readable(reader);
        }
    }
}

impl Running {
    fn wait(&mut self, until: Option<Instant>) {
        self.runnable = false;
        self.until = until;
    }

    fn poll(&mut self, registry: &Registry, key: usize, now: Instant, woken: bool) -> Polled {
        let cx = TaskCx { waker: &self.waker, registry, token: key * MAX_READERS, now, woken };
        // A panic in a callback ends that stream and nothing else.
        let poll = AssertUnwindSafe(|| self.task.poll(&cx));
        match catch_unwind(poll) {
            Ok(polled) => polled,
            Err(panic) => {
                let message = panic_message(&*panic);
                // The worker has other streams to run, whatever else goes wrong in this one.
                let _ = catch_unwind(AssertUnwindSafe(|| self.task.panicked(&message)));
                Polled::Done
            }
        }
    }
}
