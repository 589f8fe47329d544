//! How streams treat packets and heaps.

use std::fmt;
use std::time::Duration;

use super::engine::Rules;
use super::reader::Reader;
use super::task::Sources;
use crate::memory::CopyMode;
use crate::wire::BugCompat;

/// Heaps under assembly per substream, as in the reference.
pub const DEFAULT_MAX_HEAPS: usize = 4;

/// Chunks in a window, as in the reference.
pub const DEFAULT_MAX_CHUNKS: usize = 2;

/// Batches that a stream may receive before others on its worker have their turn. With merged
/// datagrams a batch is up to 512 KiB, so a quantum is a fraction of a millisecond.
pub const DEFAULT_QUANTUM: usize = 4;

/// The largest heap that is accepted unless `max_heap_size` says otherwise, in bytes: 4 GiB. A
/// corrupt length must not make a heap stream allocate all memory.
pub const DEFAULT_MAX_HEAP_SIZE: u64 = 4 << 30;

/// How a stream treats packets and heaps. The defaults are the reference's.
///
/// ```
/// use speadway::recv::StreamConfig;
/// let config = StreamConfig::default().max_heaps(8).substreams(16).stream_id(3);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StreamConfig {
    pub(crate) max_heaps: usize,
    pub(crate) substreams: usize,
    pub(crate) out_of_order: bool,
    pub(crate) allow_unsized: bool,
    pub(crate) stop_on_stop_item: bool,
    pub(crate) max_heap_size: u64,
    pub(crate) bug_compat: BugCompat,
    pub(crate) stream_id: u64,
    pub(crate) quantum: usize,
    pub(crate) end_with_first_reader: bool,
    pub(crate) copy_mode: CopyMode,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            max_heaps: DEFAULT_MAX_HEAPS,
            substreams: 1,
            out_of_order: false,
            allow_unsized: true,
            stop_on_stop_item: true,
            max_heap_size: DEFAULT_MAX_HEAP_SIZE,
            bug_compat: BugCompat::NONE,
            stream_id: 0,
            quantum: DEFAULT_QUANTUM,
            end_with_first_reader: false,
            copy_mode: CopyMode::default(),
        }
    }
}

impl StreamConfig {
    /// Heaps under assembly per substream (4). A heap that is not whole is given up when this many
    /// newer ones of its substream have begun.
    pub fn max_heaps(mut self, heaps: usize) -> Self {
        self.max_heaps = heaps;
        self
    }

    /// Substreams (1): heaps are told apart by their count modulo this number, so that fast senders
    /// do not push out the heaps of slow ones.
    pub fn substreams(mut self, substreams: usize) -> Self {
        self.substreams = substreams;
        self
    }

    /// Whether a heap's packets may arrive in any order (no). Then senders should repeat item
    /// pointers in every packet, because any may be the first to arrive.
    pub fn allow_out_of_order(mut self, allow: bool) -> Self {
        self.out_of_order = allow;
        self
    }

    /// Whether packets may leave out their heap's length (yes). Chunk streams never allow it.
    pub fn allow_unsized_heaps(mut self, allow: bool) -> Self {
        self.allow_unsized = allow;
        self
    }

    /// Whether a stream-stop item ends the stream (yes).
    pub fn stop_on_stop_item(mut self, stop: bool) -> Self {
        self.stop_on_stop_item = stop;
        self
    }

    /// The largest heap that is accepted, in bytes (4 GiB).
    pub fn max_heap_size(mut self, bytes: u64) -> Self {
        self.max_heap_size = bytes;
        self
    }

    /// How a chunk stream copies payload (through the caches).
    pub fn copy_mode(mut self, mode: CopyMode) -> Self {
        self.copy_mode = mode;
        self
    }

    /// Which deviations of PySPEAD descriptors are read in.
    pub fn bug_compat(mut self, bug_compat: BugCompat) -> Self {
        self.bug_compat = bug_compat;
        self
    }

    /// A number of the user's that chunks and heaps carry.
    pub fn stream_id(mut self, id: u64) -> Self {
        self.stream_id = id;
        self
    }

    /// Batches that the stream receives before others on its worker have their turn (4).
    pub fn quantum(mut self, batches: usize) -> Self {
        self.quantum = batches;
        self
    }

    /// Whether the stream ends with the first of its readers that ends (no: with the last). The
    /// reference does so.
    pub fn end_with_first_reader(mut self, first: bool) -> Self {
        self.end_with_first_reader = first;
        self
    }

    /// What a stream with this configuration reads.
    pub(crate) fn sources(&self, readers: Vec<Box<dyn Reader>>) -> Sources {
        let Self { quantum, end_with_first_reader, .. } = *self;
        Sources { readers, quantum, end_with_first_reader }
    }

    pub(crate) fn rules(&self) -> Result<Rules, ConfigError> {
        let at_least_one =
            |n: usize, what| if n == 0 { Err(ConfigError::Zero(what)) } else { Ok(n) };
        at_least_one(self.quantum, "quantum")?;
        let max_heaps = at_least_one(self.max_heaps, "max_heaps")?;
        let substreams = at_least_one(self.substreams, "substreams")?;
        // Each slot takes a few hundred bytes; a table of more than this is a mistake.
        if max_heaps.checked_mul(substreams).is_none_or(|slots| slots > 1 << 24) {
            return Err(ConfigError::TooManyHeaps);
        }
        Ok(Rules {
            max_heaps,
            substreams,
            out_of_order: self.out_of_order,
            allow_unsized: self.allow_unsized,
            stop_on_stop_item: self.stop_on_stop_item,
            max_heap_size: self.max_heap_size,
        })
    }
}

/// How large a window is.
///
/// ```
/// use std::time::Duration;
/// use speadway::recv::WindowSize;
/// assert_eq!(WindowSize::chunks(4).in_chunks()?, 4);
/// assert_eq!(WindowSize::bytes(128 << 20, 32 << 20).in_chunks()?, 4);
/// let (span, chunk) = (Duration::from_millis(250), Duration::from_millis(100));
/// assert_eq!(WindowSize::time(span, chunk).in_chunks()?, 3);
/// # Ok::<(), speadway::recv::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    total: u128,
    per_chunk: u128,
}

impl WindowSize {
    /// So many chunks.
    #[must_use]
    pub fn chunks(chunks: usize) -> Self {
        Self { total: chunks as u128, per_chunk: 1 }
    }

    /// As many chunks of `chunk` bytes as `bytes` need, rounded up.
    #[must_use]
    pub fn bytes(bytes: u64, chunk: usize) -> Self {
        Self { total: u128::from(bytes), per_chunk: chunk as u128 }
    }

    /// As many chunks as the time `span` needs, if one spans `chunk`; rounded up.
    #[must_use]
    pub fn time(span: Duration, chunk: Duration) -> Self {
        Self { total: span.as_nanos(), per_chunk: chunk.as_nanos() }
    }

    /// The window in chunks.
    ///
    /// # Errors
    /// If that is none, or absurdly many, or a chunk has no size.
    pub fn in_chunks(self) -> Result<usize, ConfigError> {
        if self.per_chunk == 0 {
            return Err(ConfigError::Zero("the size of a chunk"));
        }
        let chunks = self.total.div_ceil(self.per_chunk);
        match usize::try_from(chunks) {
            Ok(0) => Err(ConfigError::Zero("the window")),
            Ok(chunks) if chunks <= MAX_WINDOW => Ok(chunks),
            _ => Err(ConfigError::WindowTooLarge(chunks)),
        }
    }
}

/// Windows of more chunks than this are a mistake in units.
const MAX_WINDOW: usize = 1 << 20;

impl Default for WindowSize {
    fn default() -> Self {
        Self::chunks(DEFAULT_MAX_CHUNKS)
    }
}

impl From<usize> for WindowSize {
    fn from(chunks: usize) -> Self {
        Self::chunks(chunks)
    }
}

/// Why a configuration cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Something must not be zero; the text names it.
    Zero(&'static str),
    /// `max_heaps` times `substreams` is absurd.
    TooManyHeaps,
    /// The window is absurd; so many chunks.
    WindowTooLarge(u128),
    /// A member's window is larger than its group's.
    MemberWindow {
        /// The member's window, in chunks.
        member: usize,
        /// The group's window, in chunks.
        group: usize,
    },
    /// A member was added after chunks were opened, to a group that was not built for it.
    GroupStarted,
    /// The group was closed or stopped.
    GroupClosed,
    /// A member's layout or packet presence divides a chunk in another way than its group's.
    MemberLayout,
    /// More members than a group can have (65535).
    TooManyMembers,
    /// More readers than a stream can have.
    TooManyReaders,
    /// Nothing was said about where chunks or heaps come from and go to.
    NoExchange,
    /// `max_age` loses data, so a lossless group needs to be told twice.
    AgeInLossless,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(what) => write!(f, "{what} must be at least 1"),
            Self::TooManyHeaps => f.write_str("max_heaps times substreams must be at most 2^24"),
            Self::WindowTooLarge(chunks) => {
                write!(f, "a window of {chunks} chunks is too large: at most {MAX_WINDOW}")
            }
            Self::MemberWindow { member, group } => write!(
                f,
                "a member's window ({member} chunks) must not be larger than its group's ({group})"
            ),
            Self::GroupStarted => f.write_str(
                "the group has received data already; build it with `open_ended` to add members \
                 while it runs",
            ),
            Self::GroupClosed => f.write_str("the group is closed"),
            Self::MemberLayout => f.write_str(
                "a member's layout must divide a chunk as those of the members before it: the same \
                 heap size, heaps per chunk, axis lengths, strides and packet presence",
            ),
            Self::TooManyMembers => f.write_str("a group has at most 65535 members"),
            Self::TooManyReaders => f.write_str("a stream has at most 4096 readers"),
            Self::NoExchange => f.write_str(
                "say where chunks come from and go to: call `ring` or `callbacks` on the builder",
            ),
            Self::AgeInLossless => f.write_str(
                "max_age can lose data; call `max_age_in_lossless` to have it in a lossless group",
            ),
        }
    }
}

impl std::error::Error for ConfigError {}
