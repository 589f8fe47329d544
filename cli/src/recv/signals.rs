//! Ctrl-C.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Notices requests to end.
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Has SIGINT (Ctrl-C) and SIGTERM noted from now on.
    ///
    /// One that comes while the last has not been [taken](Self::take) ends the process: we are stuck
    /// then, most likely in writing to somebody who does not read.
    pub(crate) fn watch() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // First, so that it looks at the flag before the signal sets it. The exit code is the
            // one that shells give to who dies of the signal.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    /// Whether there was one since the last call.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}
