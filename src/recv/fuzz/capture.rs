//! Capture files.
#![cfg(feature = "pcap")]

use std::io::Cursor;
use std::task::Waker;
use std::time::Instant;

use mio::Token;

use super::heaps::HeapStream;
use crate::chunk::Cx;
use crate::recv::readers::{PcapConfig, PcapReader};
use crate::recv::{Inlet, ReadState, Reader, Watch};

/// Reads `bytes` as a capture file, in a stream that takes whatever it finds.
pub fn capture(bytes: &[u8]) {
    let source = Cursor::new(bytes.to_vec());
    let Ok(mut reader) = PcapReader::from_reader(source, PcapConfig::default()) else { return };
    let mut stream = HeapStream::new(0b1_1111);
    let cx = Cx { waker: Waker::noop(), now: Instant::now() };
    let mut watches = false;
    // Each read but the last moves on in the file.
    for _ in 0..=bytes.len() {
        let watch = Watch::new(None, Token(0), &mut watches);
        let mut inlet = Inlet::new(&mut stream.engine, cx, watch);
        if matches!(reader.read(&mut inlet), ReadState::End | ReadState::Failed(_)) {
            stream.end(&cx);
            let received = stream.counters.snapshot().packets_received;
            return assert!(received <= reader.counts().frames());
        }
    }
    panic!("the reader does not end");
}
