//! Why memory could not be had.

use std::{fmt, io};

/// Why memory could not be had, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum MemoryError {
    /// The length, with its padding, is more than an address space can hold.
    TooLarge {
        /// Bytes asked for.
        len: usize,
    },
    /// The global allocator has no such block.
    OutOfMemory {
        /// Bytes asked for.
        len: usize,
    },
    /// The kernel refused to map the memory, or to populate it.
    Map {
        /// Bytes asked for.
        len: usize,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Huge pages were required and the kernel has too few of them.
    NoHugePages {
        /// Bytes asked for.
        len: usize,
        /// Bytes in one huge page of this host.
        page_size: usize,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The kernel would not take memory from one NUMA node.
    NoNode {
        /// The node asked for.
        node: usize,
        /// The nodes that have memory, as the kernel lists them.
        nodes: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A pool was asked for with bounds that contradict each other.
    InvalidPool {
        /// Which bounds, and how they must relate.
        reason: &'static str,
    },
    /// An allocator returned a buffer that is shorter than what was asked of it.
    ShortBuffer {
        /// Bytes asked for.
        wanted: usize,
        /// Bytes in the buffer.
        got: usize,
    },
    /// A buffer cannot be made longer than its capacity.
    BeyondCapacity {
        /// Bytes asked for.
        len: usize,
        /// Bytes there are.
        capacity: usize,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len } => {
                write!(f, "a buffer of {len} bytes cannot exist; check the length asked for")
            }
            Self::OutOfMemory { len } => {
                write!(f, "out of memory allocating {len} bytes; use fewer or smaller buffers")
            }
            Self::Map { len, source } => {
                write!(
                    f,
                    "cannot map {len} bytes of memory: {source}; use fewer or smaller buffers"
                )
            }
            Self::NoHugePages { len, page_size, source } => write!(
                f,
                "cannot map {len} bytes in huge pages: {source}; reserve at least {} pages of \
                 {page_size} bytes (sysctl vm.nr_hugepages), or let huge pages be preferred \
                 instead of required",
                len.div_ceil(*page_size)
            ),
            Self::NoNode { node, nodes, source } => write!(
                f,
                "cannot take memory from NUMA node {node}: {source}; nodes with memory: {nodes} (in a \
                 container, choosing one may take CAP_SYS_NICE)"
            ),
            Self::InvalidPool { reason } => write!(f, "invalid memory pool: {reason}"),
            Self::ShortBuffer { wanted, got } => {
                write!(f, "the allocator returned {got} bytes when asked for {wanted}")
            }
            Self::BeyondCapacity { len, capacity } => {
                write!(f, "length {len} is beyond the buffer's capacity of {capacity} bytes")
            }
        }
    }
}

impl std::error::Error for MemoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Map { source, .. }
            | Self::NoHugePages { source, .. }
            | Self::NoNode { source, .. } => Some(source),
            _ => None,
        }
    }
}
