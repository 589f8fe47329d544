//! A pollable file descriptor for each end of a ring, made when somebody asks for one.

use super::Ring;
use crate::sync::{AtomicBool, Mutex, Ordering, fence, lock};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::{Arc, OnceLock};

/// A file descriptor that is readable while one end of a ring is ready; from [`Ring::data_fd`] or
/// [`Ring::space_fd`].
///
/// Poll it for reading (`poll`, `epoll` level- or edge-triggered, `asyncio.loop.add_reader`) and go
/// on with `try_pop` or `try_push` until it says `Empty` or `Full`. The ring keeps the level itself:
/// **never read from, write to or change the flags of the descriptor**. It may now and then be
/// readable though another consumer was quicker; the fruitless `try_pop` then settles it.
///
/// Clones, and later calls of the same method, share one descriptor. It stays open as long as any of
/// them or the ring exists, and becomes readable for good when the last handle of the ring goes.
#[derive(Clone, Debug)]
pub struct RingFd {
    signal: Arc<Signal>,
}

impl AsFd for RingFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.pair.read_end()
    }
}

impl AsRawFd for RingFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl<T> Ring<T> {
    /// A descriptor that is readable while [`try_pop`](Self::try_pop) would not answer `Empty`: there
    /// is a value, or the ring has ended.
    ///
    /// Made at the first call; a ring that was never asked for one pays nothing for it. Once made,
    /// the changes between empty and not empty cost a system call each.
    ///
    /// # Errors
    /// Those of the operating system, in particular too many open files.
    ///
    /// ```
    /// use std::os::fd::AsRawFd;
    /// let ring = speadway::ring::Ring::<u8>::new(1)?;
    /// let fd = ring.data_fd()?;
    /// // hand `fd.as_raw_fd()` to an event loop; when it is readable, call `ring.try_pop()`
    /// assert!(fd.as_raw_fd() >= 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn data_fd(&self) -> io::Result<RingFd> {
        self.shared.data_level.open(|| self.shared.has_data())
    }

    /// A descriptor that is readable while [`try_push`](Self::try_push) would not answer `Full`:
    /// there is space, or the ring is closed. Otherwise as [`data_fd`](Self::data_fd).
    ///
    /// # Errors
    /// Those of the operating system, in particular too many open files.
    pub fn space_fd(&self) -> io::Result<RingFd> {
        self.shared.space_level.open(|| self.shared.has_space())
    }
}

/// The state of one end of the ring as a descriptor shows it.
///
/// Whoever makes the end ready changes the queue, fences, then [raises](Self::raise). Whoever may
/// have made it unready [settles](Self::settle), which lowers, fences and looks at the queue again.
/// One of the two sees the other, so the level is never left low with the end ready.
#[derive(Default)]
pub(super) struct Level {
    signal: OnceLock<Arc<Signal>>,
    opening: Mutex<()>,
}

impl Level {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Whether somebody has asked for the descriptor.
    pub(super) fn is_open(&self) -> bool {
        self.signal.get().is_some()
    }

    pub(super) fn raise(&self) {
        if let Some(signal) = self.signal.get() {
            signal.raise();
        }
    }

    pub(super) fn settle(&self, ready: impl Fn() -> bool) {
        if let Some(signal) = self.signal.get()
            && signal.raised.load(Ordering::Relaxed)
            && !ready()
        {
            signal.lower(ready);
        }
    }

    fn open(&self, ready: impl Fn() -> bool) -> io::Result<RingFd> {
        let opening = lock(&self.opening);
        let signal = match self.signal.get() {
            Some(signal) => signal.clone(),
            None => {
                let made = Arc::new(Signal::new()?);
                self.signal.get_or_init(|| made).clone()
            }
        };
        drop(opening);
        // A change before the descriptor was there raised nothing.
        fence(Ordering::SeqCst);
        if ready() {
            signal.raise();
        }
        Ok(RingFd { signal })
    }
}

#[derive(Debug)]
struct Signal {
    /// Whether the descriptor is readable; changes with it, under the lock.
    raised: AtomicBool,
    changing: Mutex<()>,
    pair: Pair,
}

impl Signal {
    fn new() -> io::Result<Self> {
        Ok(Self { raised: AtomicBool::new(false), changing: Mutex::new(()), pair: Pair::new()? })
    }

    fn raise(&self) {
        if !self.raised.load(Ordering::Relaxed) {
            let _changing = lock(&self.changing);
            self.raise_locked();
        }
    }

    fn raise_locked(&self) {
        if !self.raised.load(Ordering::Relaxed) {
            self.pair.set();
            self.raised.store(true, Ordering::Relaxed);
        }
    }

    fn lower(&self, ready: impl Fn() -> bool) {
        let _changing = lock(&self.changing);
        if self.raised.load(Ordering::Relaxed) {
            self.pair.unset();
            self.raised.store(false, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if ready() {
                self.raise_locked();
            }
        }
    }
}

pub(super) use pair::Pair;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod pair {
    use std::fs::File;
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd, FromRawFd};

    /// An eventfd: one descriptor, readable while its count is not 0.
    #[derive(Debug)]
    pub(in super::super) struct Pair {
        eventfd: File,
    }

    impl Pair {
        pub(super) fn new() -> io::Result<Self> {
            // SAFETY: no pointers are passed.
            #[allow(unsafe_code)]
            let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor is new, open and ours alone.
            #[allow(unsafe_code)]
            let eventfd = unsafe { File::from_raw_fd(fd) };
            Ok(Self { eventfd })
        }

        pub(super) fn set(&self) {
            // Cannot fail: the count goes from 0 to 1.
            let _ = (&self.eventfd).write(&1u64.to_ne_bytes());
        }

        pub(super) fn unset(&self) {
            // Fails only if the count is 0 already, which is what is wanted.
            let _ = (&self.eventfd).read(&mut [0; 8]);
        }

        pub(super) fn read_end(&self) -> BorrowedFd<'_> {
            self.eventfd.as_fd()
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod pair {
    use std::io::{self, Read, Write};
    use std::os::fd::{AsFd, BorrowedFd};
    use std::os::unix::net::UnixStream;

    /// A socket pair with a byte in it or none. (A pipe cannot be made non-blocking in safe Rust.)
    #[derive(Debug)]
    pub(in super::super) struct Pair {
        reader: UnixStream,
        writer: UnixStream,
    }

    impl Pair {
        pub(super) fn new() -> io::Result<Self> {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            Ok(Self { reader, writer })
        }

        pub(super) fn set(&self) {
            // Cannot fail: the pair is empty and both ends are open.
            let _ = (&self.writer).write(&[1]);
        }

        pub(super) fn unset(&self) {
            // Fails only if nothing is there, which is what is wanted.
            let _ = (&self.reader).read(&mut [0; 8]);
        }

        pub(super) fn read_end(&self) -> BorrowedFd<'_> {
            self.reader.as_fd()
        }
    }
}
