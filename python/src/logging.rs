//! What the library logs, as records of Python's logger `speadway`.
//!
//! Those who log never wait, least of all for the GIL: records go through a ring to a thread of ours,
//! which takes the GIL for a few at a time. What does not fit is dropped, and that is logged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use log::{Level, LevelFilter, Log, Metadata, Record};
use pyo3::prelude::*;
use pyo3::types::PyAny;
use speadway::ring::Ring;

/// Records that wait for Python: the reference's number.
const WAITING: usize = 1024;

/// Records that are handed over while the GIL is held.
const BATCH: usize = 32;

const OVERFLOW: &str = "Log ringbuffer was full - some log messages were dropped";

/// A record on its way.
struct Entry {
    level: Level,
    text: String,
}

/// The ring and thread of one process.
///
/// A forked child has neither its parent's thread nor locks that are sure to be free. It uses a link
/// of its own, which it adds on its first record; no link is ever removed.
#[derive(Default)]
struct Link {
    process: OnceLock<u32>,
    ring: OnceLock<Option<Ring<Entry>>>,
    thread: Mutex<Thread>,
    overflowed: AtomicBool,
    next: OnceLock<Box<Self>>,
}

#[derive(Default)]
enum Thread {
    #[default]
    NotNeeded,
    Running(JoinHandle<()>),
    Stopped,
}

static FIRST: Link = Link {
    process: OnceLock::new(),
    ring: OnceLock::new(),
    thread: Mutex::new(Thread::NotNeeded),
    overflowed: AtomicBool::new(false),
    next: OnceLock::new(),
};

/// The link of this process.
fn link() -> &'static Link {
    let process = std::process::id();
    let mut link = &FIRST;
    while *link.process.get_or_init(|| process) != process {
        link = link.next.get_or_init(Box::default);
    }
    link
}

impl Link {
    fn ring(&self) -> Option<&Ring<Entry>> {
        self.ring.get_or_init(|| Ring::new(WAITING).ok()).as_ref()
    }

    fn push(&'static self, entry: Entry) {
        let Some(ring) = self.ring() else { return };
        if let Err(refused) = ring.try_push(entry) {
            self.overflowed.fetch_or(refused.is_full(), Ordering::Relaxed);
        }
        // Whoever starts the thread holds the lock; others need not wait for it.
        if let Ok(mut thread) = self.thread.try_lock()
            && matches!(*thread, Thread::NotNeeded)
        {
            let builder = thread::Builder::new().name("speadway-log".to_owned());
            if let Ok(handle) = builder.spawn(move || self.run(ring)) {
                *thread = Thread::Running(handle);
            }
        }
    }

    /// Hands over records until the ring ends.
    fn run(&self, ring: &Ring<Entry>) {
        while let Ok(first) = ring.pop() {
            let mut entries = vec![first];
            while entries.len() < BATCH
                && let Ok(entry) = ring.try_pop()
            {
                entries.push(entry);
            }
            if self.overflowed.swap(false, Ordering::Relaxed) {
                entries.push(Entry { level: Level::Warn, text: OVERFLOW.to_owned() });
            }
            // Without an interpreter there is nobody to tell.
            let handed_over =
                Python::try_attach(|py| entries.iter().for_each(|one| one.hand_over(py)));
            if handed_over.is_none() {
                return;
            }
        }
    }

    /// Hands over what is there and ends the thread.
    fn stop(&self) {
        if let Some(ring) = self.ring() {
            ring.close();
        }
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Thread::Running(handle) = std::mem::replace(&mut *thread, Thread::Stopped) {
            // It does not panic; if it did there would be nothing to add.
            let _ = handle.join();
        }
    }
}

impl Entry {
    fn hand_over(&self, py: Python<'_>) {
        if let Err(error) = self.log(py) {
            error.write_unraisable(py, None);
        }
    }

    fn log(&self, py: Python<'_>) -> PyResult<()> {
        let logger = logger(py)?;
        logger.call_method1("log", (self.number(), &self.text))?;
        Ok(())
    }

    /// The level as Python numbers them.
    fn number(&self) -> u8 {
        match self.level {
            Level::Error => 40,
            Level::Warn => 30,
            Level::Info => 20,
            Level::Debug | Level::Trace => 10,
        }
    }
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("logging")?.call_method1("getLogger", ("speadway",))
}

struct ToPython;

impl Log for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            link().push(Entry { level: record.level(), text: record.args().to_string() });
        }
    }

    fn flush(&self) {}
}

/// Has the library log to Python. Once, when the module is made.
pub(crate) fn start() {
    if log::set_logger(&ToPython).is_ok() {
        // As the reference: debugging costs even where nobody looks at it.
        log::set_max_level(LevelFilter::Info);
    }
}

/// Hands over what was logged and ends the thread: at the end of the interpreter, without the GIL.
pub(crate) fn stop() {
    link().stop();
}

/// Logs `message` as the library does: for tests.
#[pyfunction]
pub(crate) fn log_info(message: &str) {
    log::info!("{message}");
}
