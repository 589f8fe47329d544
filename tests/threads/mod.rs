//! What tests on real threads share: heaps whose bytes tell where they belong, and a watchdog.
#![allow(dead_code)] // Each test file uses its own part.

use std::sync::mpsc;
use std::time::Duration;

use speadway::chunk::{Chunk, Layout};
use speadway::recv::{Flow, Inlet, ReadState, Reader, Watch};
use speadway::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

pub(crate) const SEQUENCE: u64 = 0x1600;
/// Bytes of a heap; sent in several packets.
pub(crate) const HEAP: usize = 64;
pub(crate) const HEAPS_PER_CHUNK: u64 = 4;
/// Headers and 32 bytes of payload.
const PACKET: usize = 80;
/// A test that takes longer hangs: each is done in seconds on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `test` and panics if it does not return.
pub(crate) fn bounded(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => thread.join().unwrap(),
    }
}

pub(crate) fn byte(sequence: u64, member: usize, at: usize) -> u8 {
    (sequence * 31 + member as u64 * 101 + at as u64 * 7 + 1) as u8
}

/// The packets of a heap, one after the other.
pub(crate) fn heap(sequence: u64, member: usize) -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..HEAP).map(|at| byte(sequence, member, at)).collect();
    let items = [
        EncodeItem { id: SEQUENCE, value: ItemValue::Immediate(sequence) },
        EncodeItem { id: 0x3300, value: ItemValue::Addressed(&payload) },
    ];
    let encoder = HeapEncoder::new(Flavour::default(), sequence + 1, PACKET, &items, true).unwrap();
    encoder.packets()
}

pub(crate) fn heaps(sequences: impl IntoIterator<Item = u64>, member: usize) -> Vec<u8> {
    sequences.into_iter().flat_map(|sequence| heap(sequence, member).concat()).collect()
}

pub(crate) fn layout(members: usize) -> Layout {
    let layout = Layout::builder(SEQUENCE, HEAP).heaps_per_chunk(HEAPS_PER_CHUNK);
    if members == 0 {
        layout.build().unwrap()
    } else {
        layout.member_axis(members).build().unwrap()
    }
}

/// Checks the bytes of everything present in a chunk.
pub(crate) fn check(chunk: &Chunk, members: usize) {
    let mut present = 0;
    for (index, &flag) in chunk.present().iter().enumerate() {
        if flag == 0 {
            continue;
        }
        present += 1;
        let sequence = chunk.id() * HEAPS_PER_CHUNK + (index / members) as u64;
        let expected: Vec<u8> = (0..HEAP).map(|at| byte(sequence, index % members, at)).collect();
        assert_eq!(&chunk.data()[index * HEAP..][..HEAP], expected, "chunk {}", chunk.id());
    }
    assert_eq!(chunk.n_present(), present);
}

/// Heaps without end, some packets a batch.
pub(crate) struct Endless {
    member: usize,
    sequence: u64,
    packets: Vec<Vec<u8>>,
}

impl Endless {
    pub(crate) fn new(member: usize) -> Self {
        Self { member, sequence: 0, packets: Vec::new() }
    }
}

impl Reader for Endless {
    fn attach(&mut self, _watch: &mut Watch<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        for _ in 0..16 {
            if self.packets.is_empty() {
                self.packets = heap(self.sequence, self.member);
                self.packets.reverse();
                self.sequence += 1;
            }
            let Some(packet) = self.packets.last() else { return ReadState::End };
            match inlet.datagram(packet, &Default::default()) {
                Flow::Next => drop(self.packets.pop()),
                Flow::Park(reason) => return ReadState::Parked(reason),
            }
        }
        ReadState::Batch
    }

    fn describe(&self) -> String {
        "heaps without end".to_owned()
    }
}
