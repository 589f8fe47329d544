//! Packets in memory.

use std::io;

use crate::heap::Origin;
use crate::recv::{Flow, Inlet, ReadState, Reader, Watch};

/// Packets that are delivered before others on the worker have their turn.
const PART: usize = 256;

/// Reads packets that lie one after the other in memory, then ends. What is no packet ends it too,
/// since the next one cannot be found; it has been counted.
///
/// It loses nothing: what the stream cannot take waits. All the memory counts as one batch.
#[derive(Debug)]
pub struct MemoryReader<B> {
    bytes: B,
    at: usize,
}

impl<B: AsRef<[u8]> + Send> MemoryReader<B> {
    /// Reads the packets in `bytes`.
    pub fn new(bytes: B) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<B: AsRef<[u8]> + Send> Reader for MemoryReader<B> {
    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        let rest = &self.bytes.as_ref()[self.at..];
        match inlet.packets_in(rest, PART, &Origin::default()) {
            Ok((size, flow)) => {
                self.at += size;
                match flow {
                    Flow::Park(reason) => ReadState::Parked(reason),
                    Flow::Next if size == rest.len() => ReadState::End,
                    Flow::Next => ReadState::Partial,
                }
            }
            Err(_) => ReadState::End,
        }
    }

    fn describe(&self) -> String {
        format!("{} B of memory", self.bytes.as_ref().len())
    }
}
