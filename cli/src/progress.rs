//! The line that shows, once in a while, how things are going.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Writes a line to standard error now and then: over the last one on a terminal, else below it.
pub(crate) struct Progress {
    shown: bool,
    terminal: bool,
    every: Duration,
    next: Instant,
    width: usize,
}

impl Progress {
    /// A line each `every`: on a terminal unless `quiet`; elsewhere only if it is `wanted`.
    pub(crate) fn new(every: Duration, wanted: bool, quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let shown = wanted || (terminal && !quiet);
        Self { shown, terminal, every, next: Instant::now() + every, width: 0 }
    }

    /// Whether it is time for a line.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.shown && now >= self.next
    }

    /// Shows `line`.
    pub(crate) fn show(&mut self, now: Instant, line: &str) {
        self.next = now + self.every;
        let mut out = io::stderr().lock();
        // What is only for watching may fail to be written.
        let _ = if self.terminal {
            let width = std::mem::replace(&mut self.width, line.chars().count());
            write!(out, "\r{line:<width$}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    /// Makes room for what is written next.
    pub(crate) fn clear(&mut self) {
        if self.width > 0 {
            let width = std::mem::take(&mut self.width);
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r{:width$}\r", "").and_then(|()| out.flush());
        }
    }
}
