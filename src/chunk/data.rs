//! The chunk: a large buffer that collects the payload of many heaps.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::pool::Home;
use crate::memory::{Buffer, MemoryError};

/// A chunk of memory, filled with the payload of many heaps.
///
/// * `data`: the payload, placed by heap index and offset;
/// * `present`: one byte per heap index (or per packet, with packet presence), 1 if it arrived whole;
/// * `extra`: optional bytes that the placement wrote for each heap.
///
/// A chunk that came from a [`ChunkPool`](super::ChunkPool) goes back to it when it is dropped.
///
/// ```
/// use speadway::chunk::Chunk;
/// let chunk = Chunk::zeroed(1 << 20, 16, 0)?; // 1 MiB for 16 heaps, no extra
/// assert_eq!((chunk.data().len(), chunk.present().len()), (1 << 20, 16));
/// # Ok::<(), speadway::memory::MemoryError>(())
/// ```
pub struct Chunk {
    /// Always there until `drop` or `detach` takes it.
    body: Option<Box<Body>>,
    home: Option<Arc<Home>>,
}

/// What a chunk owns; it stays in its box from the pool to the window, the consumer and back.
pub(crate) struct Body {
    id: u64,
    stream_id: u64,
    data: Buffer,
    present: Buffer,
    extra: Buffer,
    units_present: u64,
    contributions: Vec<Contribution>,
    tag: Option<Box<dyn Any + Send + Sync>>,
}

/// How much of a chunk one stream contributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The stream's id, as configured.
    pub stream_id: u64,
    /// Heaps (packets, with packet presence) that this stream made present.
    pub units: u64,
}

impl Chunk {
    /// A chunk over memory of the caller's: `data` bytes, and one presence flag per byte of
    /// `present`, which is cleared. `extra` may be empty.
    #[must_use]
    pub fn new(data: Buffer, mut present: Buffer, extra: Buffer) -> Self {
        present.fill(0);
        Self::filled(data, present, extra)
    }

    /// As [`new`](Self::new), for memory that holds heaps already: the flags in `present` stay, and
    /// those that are not 0 count as present.
    #[must_use]
    pub fn filled(data: Buffer, present: Buffer, extra: Buffer) -> Self {
        let body = Body {
            id: 0,
            stream_id: 0,
            units_present: present.iter().filter(|&&flag| flag != 0).count() as u64,
            data,
            present,
            extra,
            contributions: Vec::new(),
            tag: None,
        };
        Self { body: Some(Box::new(body)), home: None }
    }

    /// A chunk of fresh zeroed memory: `data` bytes, `present` flags, `extra` bytes.
    ///
    /// # Errors
    /// If the memory is not to be had.
    pub fn zeroed(data: usize, present: usize, extra: usize) -> Result<Self, MemoryError> {
        Ok(Self::new(Buffer::zeroed(data)?, Buffer::zeroed(present)?, Buffer::zeroed(extra)?))
    }

    /// The chunk's number in its sequence; consecutive but for the gaps that a jump leaves.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.body().id
    }

    /// The id of the stream that opened the chunk; see [`contributions`](Self::contributions) for
    /// all that filled it.
    #[must_use]
    pub fn stream_id(&self) -> u64 {
        self.body().stream_id
    }

    /// The payload bytes. Where `present` is 0 they are whatever the memory held before.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.body().data
    }

    /// The payload bytes, for a consumer that works in place.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.body_mut().data
    }

    /// One byte per heap index: 1 if the heap arrived whole, 0 if not.
    #[must_use]
    pub fn present(&self) -> &[u8] {
        &self.body().present
    }

    /// The bytes that the placement wrote beside the payload; empty unless asked for.
    #[must_use]
    pub fn extra(&self) -> &[u8] {
        &self.body().extra
    }

    /// How many heaps (packets, with packet presence) are present.
    #[must_use]
    pub fn n_present(&self) -> u64 {
        self.body().units_present
    }

    /// How many are missing: `present().len() - n_present()`.
    #[must_use]
    pub fn n_missing(&self) -> u64 {
        (self.present().len() as u64).saturating_sub(self.n_present())
    }

    /// Whether every unit is present.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.n_missing() == 0
    }

    /// Which stream made how many units present; streams that gave nothing are not listed.
    #[must_use]
    pub fn contributions(&self) -> &[Contribution] {
        &self.body().contributions
    }

    /// Gives the chunk a number and a stream's id of the user's choice, such as those of a recording
    /// that is played back. A stream or group that opens the chunk sets its own.
    pub fn set_ids(&mut self, id: u64, stream_id: u64) {
        let body = self.body_mut();
        (body.id, body.stream_id) = (id, stream_id);
    }

    /// Forgets which heaps are present. The payload stays as it is.
    pub fn clear(&mut self) {
        self.body_mut().clear();
    }

    /// Hangs something of the user's on the chunk (a device's handle, an object of Python's), which
    /// stays with it through pools, windows and rings. Gives back what hung there before.
    ///
    /// ```
    /// use speadway::chunk::{Chunk, ChunkPool};
    /// let pool = ChunkPool::new(1)?;
    /// let mut chunk = Chunk::zeroed(4096, 1, 0)?;
    /// chunk.set_tag(Some(Box::new("a device's memory")));
    /// pool.add(chunk)?;
    /// let chunk = pool.try_take().expect("it was added");
    /// assert_eq!(chunk.tag().and_then(|tag| tag.downcast_ref()), Some(&"a device's memory"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_tag(
        &mut self,
        tag: Option<Box<dyn Any + Send + Sync>>,
    ) -> Option<Box<dyn Any + Send + Sync>> {
        std::mem::replace(&mut self.body_mut().tag, tag)
    }

    /// What hangs on the chunk.
    #[must_use]
    pub fn tag(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.body().tag.as_deref()
    }

    /// Takes the chunk out of its pool for good: it will be freed when dropped, and the pool may
    /// take another in its place.
    #[must_use]
    pub fn detach(mut self) -> Self {
        let body = self.body.take();
        if let Some(home) = self.home.take() {
            home.forget_one();
        }
        Self { body, home: None }
    }

    /// Whether the chunk belongs to a pool.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.home.is_some()
    }

    pub(crate) fn from_body(body: Box<Body>, home: Arc<Home>) -> Self {
        Self { body: Some(body), home: Some(home) }
    }

    /// The body of a chunk that has no pool yet.
    pub(crate) fn into_body(mut self) -> Option<Box<Body>> {
        self.home = None;
        self.body.take()
    }

    /// Prepares the chunk for id `id`, opened by stream `stream_id`, with nothing present.
    pub(crate) fn open(&mut self, id: u64, stream_id: u64) {
        let body = self.body_mut();
        body.clear();
        body.id = id;
        body.stream_id = stream_id;
    }

    /// Adds what stream `stream_id` made present.
    pub(crate) fn contribute(&mut self, stream_id: u64, units: u64) {
        if units == 0 {
            return;
        }
        let body = self.body_mut();
        body.units_present += units;
        match body.contributions.iter_mut().find(|c| c.stream_id == stream_id) {
            Some(contribution) => contribution.units += units,
            None => body.contributions.push(Contribution { stream_id, units }),
        }
    }

    pub(crate) fn buffers_mut(&mut self) -> (&mut Buffer, &mut Buffer, &mut Buffer) {
        let body = self.body_mut();
        (&mut body.data, &mut body.present, &mut body.extra)
    }

    fn body(&self) -> &Body {
        self.body.as_deref().unwrap_or_else(|| unreachable!("only drop takes the body"))
    }

    fn body_mut(&mut self) -> &mut Body {
        self.body.as_deref_mut().unwrap_or_else(|| unreachable!("only drop takes the body"))
    }
}

impl Body {
    /// Forgets what was received. Flags are cleared only where something may have set them.
    pub(crate) fn clear(&mut self) {
        self.present.fill(0);
        self.units_present = 0;
        self.contributions.clear();
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let (Some(body), Some(home)) = (self.body.take(), self.home.take()) {
            home.take_back(body);
        }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("id", &self.id())
            .field("data", &self.data().len())
            .field("present", &format_args!("{} of {}", self.n_present(), self.present().len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_filled_already_keeps_its_flags() {
        let memory = |bytes: &[u8]| Buffer::from_vec(bytes.to_vec());
        let mut chunk = Chunk::filled(memory(&[7; 4]), memory(&[1, 0, 1, 0]), Buffer::default());
        chunk.set_ids(5, 6);
        assert_eq!((chunk.id(), chunk.stream_id()), (5, 6));
        assert_eq!((chunk.n_present(), chunk.n_missing()), (2, 2));
        chunk.clear();
        assert_eq!((chunk.n_present(), chunk.present()), (0, &[0; 4][..]));
        assert_eq!((chunk.id(), chunk.data()), (5, &[7; 4][..]));
    }
}
