//! Wakes a worker at a given time, more finely than waiting for events does.

use std::time::{Duration, Instant};

use mio::{Registry, Token};

/// The token of the timer's events.
pub(super) const TIMER: Token = Token(usize::MAX - 1);

/// Waits that are at least this long are left to the wait for events, whose timeouts are rounded up
/// to whole milliseconds: setting the timer costs a system call.
const COARSE: Duration = Duration::from_millis(10);

/// A timer among the worker's event sources; without one, timeouts have to do.
pub(super) struct Timer {
    source: Option<source::Source>,
    /// When it goes off, or went off last.
    set: Option<Instant>,
}

impl Timer {
    pub(super) fn new(registry: &Registry) -> Self {
        let source = source::Source::new(registry).inspect_err(|error| {
            log::debug!("no fine timer, so waits are rounded to milliseconds: {error}");
        });
        Self { source: source.ok(), set: None }
    }

    /// Has the worker woken at `at`; says for how long it may wait for events.
    pub(super) fn wake_at(&mut self, at: Instant, now: Instant) -> Duration {
        let wait = at.saturating_duration_since(now);
        if let Some(source) = &self.source
            && !wait.is_zero()
            && wait < COARSE
            && self.set != Some(at)
        {
            match source.set(wait) {
                Ok(()) => self.set = Some(at),
                Err(error) => log::debug!("cannot set a timer: {error}"),
            }
        }
        // Rounded up this is later than the timer, and does for it if there is none.
        wait
    }
}

/// Has the calling thread woken when it asked to be, not up to 50 us later.
pub(super) fn be_punctual() {
    source::be_punctual();
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod source {
    use std::io;
    use std::num::NonZeroU64;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    pub(super) struct Source(OwnedFd);

    impl Source {
        pub(super) fn new(registry: &Registry) -> io::Result<Self> {
            let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            let mut source = SourceFd(&timer.as_raw_fd());
            registry.register(&mut source, super::TIMER, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Sets it anew; that also forgets that it went off, so nobody has to read it.
        pub(super) fn set(&self, wait: Duration) -> io::Result<()> {
            let it_value = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
            let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval, it_value };
            timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &spec)?;
            Ok(())
        }
    }

    pub(super) fn be_punctual() {
        // Nothing is lost but precision.
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            log::debug!("cannot set the timer slack: {error}");
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod source {
    use std::io;
    use std::time::Duration;

    use mio::Registry;

    /// There is none here.
    pub(super) enum Source {}

    impl Source {
        pub(super) fn new(_registry: &Registry) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) fn set(&self, _wait: Duration) -> io::Result<()> {
            match *self {}
        }
    }

    pub(super) fn be_punctual() {}
}
