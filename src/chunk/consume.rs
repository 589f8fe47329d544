//! The consumer's side: which chunks to look at, and what was missing.

use std::time::{Duration, Instant};

use super::Chunk;
use crate::ring::{Ring, TryPopError};

/// Finished chunks of a ring, as an iterator that skips what is not wanted.
///
/// What is skipped goes back to its pool at once. The iterator ends with the ring, or at its
/// deadline.
///
/// ```
/// use std::time::Duration;
/// use speadway::chunk::{Chunk, Chunks};
/// use speadway::ring::Ring;
///
/// let ring = Ring::new(4)?;
/// ring.push(Chunk::zeroed(1024, 8, 0)?)?; // nothing present
/// ring.close();
/// let mut chunks = Chunks::new(&ring).complete_only().timeout(Duration::from_secs(1));
/// assert!(chunks.next().is_none());
/// assert_eq!(chunks.tally().heaps_missing, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Chunks<'a> {
    ring: &'a Ring<Chunk>,
    complete_only: bool,
    since: u64,
    deadline: Option<Instant>,
    tally: Tally,
}

/// What was seen of a sequence of chunks. Chunks that never came (ids that were jumped over) count
/// as missing whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Chunks seen.
    pub chunks: u64,
    /// Chunks seen in which nothing was missing.
    pub complete: u64,
    /// Chunk ids that were jumped over.
    pub chunks_missing: u64,
    /// Heaps (packets, with packet presence) that were there.
    pub heaps_present: u64,
    /// Those that were not, in chunks seen and in chunks jumped over.
    pub heaps_missing: u64,
    /// The last chunk's id.
    pub last_id: Option<u64>,
}

impl Tally {
    /// Takes note of the next chunk.
    pub fn note(&mut self, chunk: &Chunk) {
        // After a resync ids may go back; then nothing was jumped over.
        let gap = self.last_id.map_or(0, |last| chunk.id().saturating_sub(last.saturating_add(1)));
        let units = chunk.present().len() as u64;
        self.chunks += 1;
        self.complete += u64::from(chunk.is_complete());
        self.chunks_missing = self.chunks_missing.saturating_add(gap);
        self.heaps_present += chunk.n_present();
        let missing = chunk.n_missing().saturating_add(gap.saturating_mul(units));
        self.heaps_missing = self.heaps_missing.saturating_add(missing);
        self.last_id = Some(chunk.id());
    }
}

impl<'a> Chunks<'a> {
    /// All chunks of `ring`.
    #[must_use]
    pub fn new(ring: &'a Ring<Chunk>) -> Self {
        Self { ring, complete_only: false, since: 0, deadline: None, tally: Tally::default() }
    }

    /// Only chunks in which nothing is missing.
    #[must_use]
    pub fn complete_only(mut self) -> Self {
        self.complete_only = true;
        self
    }

    /// Only chunks from id `id` on.
    #[must_use]
    pub fn since(mut self, id: u64) -> Self {
        self.since = id;
        self
    }

    /// Ends at `deadline`, if the ring has not ended before.
    #[must_use]
    pub fn until(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Ends after `timeout`, counted from now.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => self.until(deadline),
            None => self,
        }
    }

    /// What was seen so far, skipped chunks included.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The next wanted chunk, without blocking a thread; the deadline does not apply. `None` at the
    /// ring's end.
    pub async fn next_async(&mut self) -> Option<Chunk> {
        loop {
            let chunk = self.ring.pop_async().await.ok()?;
            if self.wants(&chunk) {
                return Some(chunk);
            }
        }
    }

    fn wants(&mut self, chunk: &Chunk) -> bool {
        self.tally.note(chunk);
        chunk.id() >= self.since && (chunk.is_complete() || !self.complete_only)
    }

    fn pop(&self) -> Result<Chunk, TryPopError> {
        match self.deadline {
            None => self.ring.pop().map_err(|_| TryPopError::Ended),
            Some(deadline) => {
                self.ring.pop_timeout(deadline.saturating_duration_since(Instant::now()))
            }
        }
    }
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        loop {
            let chunk = self.pop().ok()?;
            if self.wants(&chunk) {
                return Some(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(id: u64, present: u64) -> Chunk {
        let mut chunk = Chunk::zeroed(4, 4, 0).unwrap();
        chunk.open(id, 0);
        chunk.contribute(0, present);
        chunk
    }

    fn ring() -> Ring<Chunk> {
        let ring = Ring::new(8).unwrap();
        for (id, present) in [(3, 4), (4, 2), (7, 4), (8, 0)] {
            ring.push(chunk(id, present)).unwrap();
        }
        ring
    }

    fn ids(chunks: &mut Chunks<'_>) -> Vec<u64> {
        chunks.map(|chunk| chunk.id()).collect()
    }

    #[test]
    fn skips_what_is_not_wanted_and_counts_it() {
        let ring = ring();
        ring.close();
        let mut chunks = Chunks::new(&ring).complete_only().since(4);
        assert_eq!(ids(&mut chunks), [7]);
        let tally = chunks.tally();
        assert_eq!((tally.chunks, tally.complete, tally.chunks_missing), (4, 2, 2));
        assert_eq!((tally.heaps_present, tally.heaps_missing), (10, 2 + 8 + 4));
        assert_eq!(tally.last_id, Some(8));
    }

    #[test]
    fn ends_at_its_deadline() {
        let ring = ring();
        let mut chunks = Chunks::new(&ring).until(Instant::now());
        // What is there is delivered, even at the deadline.
        assert_eq!(ids(&mut chunks), [3, 4, 7, 8]);
        assert!(!ring.is_closed());
    }
}
