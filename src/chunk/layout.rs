//! Declarative placement: chunk, index and offset by arithmetic on a heap's items.

use std::fmt;

use super::place::{HeapContext, Place, Placement};
use crate::wire::ids;

/// How heaps fill a chunk, as a description instead of code.
///
/// A heap carries a *sequence* item (a timestamp or counter) that grows by `step` from one heap to
/// the next; `heaps_per_chunk` consecutive heaps share a chunk. Further *axes* (antenna, frequency
/// band, polarisation, the member of the group) multiply that: a chunk then holds
/// `heaps_per_chunk * axis1 * axis2 ...` heaps of `heap_size` bytes, in row-major order with the
/// sequence outermost, unless strides say otherwise.
///
/// A heap is rejected if it lacks an item, its length is not `heap_size`, its sequence lies before
/// the origin or is not a multiple of `step`, or an axis value is out of range.
///
/// ```
/// use speadway::chunk::Layout;
/// // Timestamps step by 4096 samples; 64 of them make a chunk; 4 boards send 8 KiB each.
/// let layout = Layout::builder(0x1600, 8192)
///     .step(4096)
///     .heaps_per_chunk(64)
///     .axis(0x1601, 4)
///     .build()?;
/// assert_eq!(layout.heaps(), 256); // presence flags
/// assert_eq!(layout.chunk_size(), 256 * 8192); // bytes
/// # Ok::<(), speadway::chunk::LayoutError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    sequence: u64,
    origin: u64,
    step: u64,
    heaps_per_chunk: u64,
    heap_size: u64,
    /// Byte and index strides of the sequence axis.
    stride: (usize, usize),
    axes: Vec<Axis>,
    heaps: usize,
    chunk_size: usize,
    /// Payload bytes per presence flag, with packet presence.
    packet_presence: Option<u64>,
}

/// Builds a [`Layout`]; from [`Layout::builder`].
#[derive(Clone, Debug)]
pub struct LayoutBuilder {
    sequence: u64,
    origin: u64,
    step: u64,
    heaps_per_chunk: u64,
    heap_size: usize,
    stride: Option<usize>,
    axes: Vec<AxisSpec>,
    packet_presence: Option<u64>,
}

#[derive(Clone, Debug)]
struct AxisSpec {
    source: AxisSource,
    count: usize,
    first: u64,
    step: u64,
    stride: Option<usize>,
}

#[derive(Clone, Debug)]
struct Axis {
    source: AxisSource,
    count: u64,
    first: u64,
    step: u64,
    stride: (usize, usize),
}

/// How a layout divides a chunk, whatever items say which part a heap is.
///
/// Layouts that divide alike put a heap of one index at one offset: a heap's index is the sum of
/// its places on the axes, each times what the axes within it count, so it tells them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Division {
    heap_size: u64,
    /// How many places each axis has, and its byte stride; the sequence first.
    axes: Vec<(u64, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AxisSource {
    Item(u64),
    Member,
}

/// Why a layout cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// A size, count or step is zero; the text names it.
    Zero(&'static str),
    /// The chunk would be larger than memory can address.
    TooLarge,
    /// Two heaps would share bytes: the axes' strides are too small for what lies between.
    Overlap {
        /// The stride in bytes that is too small.
        stride: usize,
        /// The bytes that one step of that axis has to pass.
        span: usize,
    },
}

impl Layout {
    /// Starts a layout: `sequence` is the id of the immediate item that orders the heaps, and
    /// `heap_size` a heap's payload in bytes.
    #[must_use]
    pub fn builder(sequence: u64, heap_size: usize) -> LayoutBuilder {
        LayoutBuilder {
            sequence,
            origin: 0,
            step: 1,
            heaps_per_chunk: 1,
            heap_size,
            stride: None,
            axes: Vec::new(),
            packet_presence: None,
        }
    }

    /// Heaps in a chunk: the length of its `present`, unless presence is kept per packet.
    #[must_use]
    pub fn heaps(&self) -> usize {
        self.heaps
    }

    /// Presence flags of a chunk: one per heap or, with
    /// [packet presence](LayoutBuilder::packet_presence), one per packet.
    #[must_use]
    pub fn flags(&self) -> usize {
        self.heaps * self.units_per_heap()
    }

    fn units_per_heap(&self) -> usize {
        // No more than the heap has bytes; `build` refuses 0.
        self.packet_presence.map_or(1, |size| self.heap_size.div_ceil(size) as usize)
    }

    /// Bytes of a chunk's `data`.
    #[must_use]
    pub fn chunk_size(&self) -> usize {
        self.chunk_size
    }

    /// Bytes of payload of a heap.
    #[must_use]
    pub fn heap_size(&self) -> usize {
        usize::try_from(self.heap_size).unwrap_or(usize::MAX)
    }

    /// The value of the sequence item at the start of chunk `chunk`, saturating.
    #[must_use]
    pub fn sequence_at(&self, chunk: u64) -> u64 {
        chunk
            .saturating_mul(self.heaps_per_chunk)
            .saturating_mul(self.step)
            .saturating_add(self.origin)
    }

    pub(crate) fn division(&self) -> Division {
        let sequence = (self.heaps_per_chunk, self.stride.0);
        let axes = self.axes.iter().map(|axis| (axis.count, axis.stride.0));
        let axes = std::iter::once(sequence).chain(axes).collect();
        Division { heap_size: self.heap_size, axes }
    }

    fn locate(&self, heap: &HeapContext<'_>) -> Option<Placement> {
        if heap.heap_length() != self.heap_size {
            return None;
        }
        let number = steps(heap.item(self.sequence)?, self.origin, self.step)?;
        let chunk = number / self.heaps_per_chunk;
        // Below heaps_per_chunk, which fits a usize: `build` multiplied it into the chunk's size.
        let at = (number % self.heaps_per_chunk) as usize;
        let mut offset = at * self.stride.0;
        let mut index = at * self.stride.1;
        for axis in &self.axes {
            let value = match axis.source {
                AxisSource::Item(id) => heap.item(id)?,
                AxisSource::Member => heap.member() as u64,
            };
            let at = steps(value, axis.first, axis.step)?;
            if at >= axis.count {
                return None;
            }
            offset += at as usize * axis.stride.0;
            index += at as usize * axis.stride.1;
        }
        let index = index * self.units_per_heap();
        (chunk <= Placement::MAX_CHUNK).then(|| Placement::new(chunk, index, offset))
    }
}

/// How many whole steps `value` lies after `first`.
fn steps(value: u64, first: u64, step: u64) -> Option<u64> {
    let distance = value.checked_sub(first)?;
    if step == 1 {
        return Some(distance);
    }
    distance.is_multiple_of(step).then(|| distance / step)
}

impl Place for Layout {
    fn packet_presence(&self) -> Option<u64> {
        self.packet_presence
    }

    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement> {
        self.locate(heap)
    }
}

impl LayoutBuilder {
    /// By how much the sequence item grows from heap to heap; 1 unless set.
    #[must_use]
    pub fn step(mut self, step: u64) -> Self {
        self.step = step;
        self
    }

    /// The sequence item's value at the start of chunk 0; 0 unless set. Heaps before are rejected.
    #[must_use]
    pub fn origin(mut self, origin: u64) -> Self {
        self.origin = origin;
        self
    }

    /// How many consecutive values of the sequence share a chunk; 1 unless set.
    #[must_use]
    pub fn heaps_per_chunk(mut self, heaps: u64) -> Self {
        self.heaps_per_chunk = heaps;
        self
    }

    /// The distance in bytes between consecutive values of the sequence, if not row-major.
    #[must_use]
    pub fn sequence_stride(mut self, bytes: usize) -> Self {
        self.stride = Some(bytes);
        self
    }

    /// An axis: immediate item `item` takes the values 0 to `count - 1`.
    #[must_use]
    pub fn axis(self, item: u64, count: usize) -> Self {
        self.axis_range(item, count, 0, 1)
    }

    /// An axis whose values are `first`, `first + step`, ... (`count` of them).
    #[must_use]
    pub fn axis_range(mut self, item: u64, count: usize, first: u64, step: u64) -> Self {
        let source = AxisSource::Item(item);
        self.axes.push(AxisSpec { source, count, first, step, stride: None });
        self
    }

    /// An axis along the members of the group: each of `count` members fills its own part.
    #[must_use]
    pub fn member_axis(mut self, count: usize) -> Self {
        let source = AxisSource::Member;
        self.axes.push(AxisSpec { source, count, first: 0, step: 1, stride: None });
        self
    }

    /// The distance in bytes between consecutive values of the axis added last, if not row-major.
    #[must_use]
    pub fn axis_stride(mut self, bytes: usize) -> Self {
        if let Some(axis) = self.axes.last_mut() {
            axis.stride = Some(bytes);
        }
        self
    }

    /// Keeps presence per packet instead of per heap: `packet_size` is the payload in bytes of all
    /// packets but a heap's last. A chunk then has [`Layout::flags`] presence flags.
    #[must_use]
    pub fn packet_presence(mut self, packet_size: u64) -> Self {
        self.packet_presence = Some(packet_size);
        self
    }

    /// Checks the description and compiles it.
    ///
    /// # Errors
    /// If a number is zero, the chunk does not fit memory, or two heaps would overlap.
    pub fn build(self) -> Result<Layout, LayoutError> {
        self.refuse_zeros()?;
        let sequence_count =
            usize::try_from(self.heaps_per_chunk).map_err(|_| LayoutError::TooLarge)?;
        // Row-major from the innermost axis out.
        let (mut bytes, mut heaps) = (self.heap_size, 1_usize);
        let mut axes = Vec::with_capacity(self.axes.len());
        for spec in self.axes.iter().rev() {
            let stride = (spec.stride.unwrap_or(bytes), heaps);
            bytes = bytes.checked_mul(spec.count).ok_or(LayoutError::TooLarge)?;
            heaps = heaps.checked_mul(spec.count).ok_or(LayoutError::TooLarge)?;
            axes.push(Axis {
                source: spec.source,
                count: spec.count as u64,
                first: spec.first,
                step: spec.step,
                stride,
            });
        }
        let stride = (self.stride.unwrap_or(bytes), heaps);
        let heaps = heaps.checked_mul(sequence_count).ok_or(LayoutError::TooLarge)?;
        let mut extents: Vec<(usize, usize)> =
            self.axes.iter().rev().zip(&axes).map(|(s, a)| (a.stride.0, s.count)).collect();
        extents.push((stride.0, sequence_count));
        let chunk_size = refuse_overlap(extents, self.heap_size)?;
        let units = self.packet_presence.map_or(1, |size| (self.heap_size as u64).div_ceil(size));
        usize::try_from(units)
            .ok()
            .and_then(|units| heaps.checked_mul(units))
            .ok_or(LayoutError::TooLarge)?;
        Ok(Layout {
            sequence: self.sequence,
            origin: self.origin,
            step: self.step,
            heaps_per_chunk: self.heaps_per_chunk,
            heap_size: self.heap_size as u64,
            stride,
            axes,
            heaps,
            chunk_size,
            packet_presence: self.packet_presence,
        })
    }

    fn refuse_zeros(&self) -> Result<(), LayoutError> {
        let zero =
            |is_zero: bool, what| if is_zero { Err(LayoutError::Zero(what)) } else { Ok(()) };
        zero(self.sequence == ids::NULL, "the sequence item's id")?;
        zero(self.heap_size == 0, "heap_size")?;
        zero(self.heaps_per_chunk == 0, "heaps_per_chunk")?;
        zero(self.step == 0, "step")?;
        zero(self.packet_presence == Some(0), "the packet size of packet presence")?;
        for axis in &self.axes {
            zero(axis.count == 0, "an axis's count")?;
            zero(axis.step == 0, "an axis's step")?;
        }
        Ok(())
    }
}

/// The bytes that a chunk spans, if no two heaps share any: taken from the smallest stride up, one
/// step of each axis must pass all that the axes below it span. (Interleavings that avoid overlap
/// without nesting are refused too; nobody has needed one.)
fn refuse_overlap(mut extents: Vec<(usize, usize)>, heap: usize) -> Result<usize, LayoutError> {
    extents.retain(|&(_, count)| count > 1);
    extents.sort_unstable();
    let mut span = heap;
    for (stride, count) in extents {
        if stride < span {
            return Err(LayoutError::Overlap { stride, span });
        }
        span = stride
            .checked_mul(count - 1)
            .and_then(|reach| reach.checked_add(span))
            .ok_or(LayoutError::TooLarge)?;
    }
    if span > isize::MAX as usize { Err(LayoutError::TooLarge) } else { Ok(span) }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero(what) => write!(f, "{what} must not be zero"),
            Self::TooLarge => f.write_str("the chunk would be larger than memory can address"),
            Self::Overlap { stride, span } => write!(
                f,
                "heaps would overlap: a stride of {stride} B must be at least {span} B, which is \
                 what the axes below it span"
            ),
        }
    }
}

impl std::error::Error for LayoutError {}
