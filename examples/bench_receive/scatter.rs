//! The minimal loop without its copy: the kernel is told where the next payloads are likely to go.
//!
//! The senders that this is for send heaps in order and in trains of one length, so what comes next
//! follows from what came last. What was guessed wrong is gathered and copied to its place.

use speadway::chunk::Chunk;

use crate::load::{HEADER, HeapTemplate};
use crate::options::Options;
use crate::system::{Place, Scatter, Scattered};
use crate::udp::{Bursts, Done};
use crate::{Result, memory, send, udp};

/// Messages per call, unless the options say otherwise: what the first of several brings decides
/// where the others belong, and one more call costs less than a wrong guess.
const MESSAGES: usize = 1;

pub(crate) fn receive(options: &Options) -> Result<()> {
    let socket = udp::pin_and_bind(options)?;
    let count = if options.batch > 0 { options.batch } else { MESSAGES };
    let mut scatter = Scatter::new(count);
    let mut guesses = vec![Vec::new(); count];
    let mut gathered = vec![Vec::new(); count];
    let mut heaps = Heaps::new(options)?;
    let mut batches = 0_u64;
    let port = socket.local_addr()?.port();
    let mut bursts = Bursts::new(options, port)?;
    let mut done = Done::start(&[port]);
    'receive: loop {
        if let Some(bursts) = &mut bursts
            && !bursts.go_on(heaps.bytes / options.heap as u64, &mut done)?
        {
            break;
        }
        let mut next = heaps.next;
        for guess in &mut guesses {
            next = heaps.guess(next, guess);
        }
        let count = scatter.receive(&socket, &mut heaps.chunks, &guesses)?;
        batches += 1;
        // One that went wrong may lie where another belongs, so all are gathered before any is moved.
        for (slot, guess) in guesses[..count].iter().enumerate() {
            let message = scatter.message(slot);
            gathered[slot].clear();
            if !heaps.accept(&message, guess) {
                message.gather(&mut heaps.chunks, guess, &mut gathered[slot]);
            }
        }
        for (slot, bytes) in gathered[..count].iter().enumerate() {
            if !heaps.copy(bytes, scatter.message(slot).segment) {
                break 'receive;
            }
        }
        heaps.check()?;
    }
    let Heaps { bytes, hits, misses, .. } = heaps;
    if options.check {
        eprintln!("{hits} packets lay in their places, {misses} were moved");
    }
    done.print(bytes / options.heap as u64, bytes, batches);
    Ok(())
}

/// Where heaps are put: one after the other.
struct Heaps {
    heap: usize,
    payload: usize,
    chunk: usize,
    /// Bytes of payload of a train.
    train: usize,
    chunks: Vec<Chunk>,
    /// Where in the stream the next packet is expected.
    next: u64,
    bytes: u64,
    hits: u64,
    misses: u64,
    check: Option<Check>,
}

/// What was not lost is compared with what was sent.
struct Check {
    template: Vec<u8>,
    /// Up to where in the stream that was done.
    done: u64,
    /// Bytes that had come by then.
    bytes: u64,
}

impl Heaps {
    fn new(options: &Options) -> Result<Self> {
        let pool = memory::pool(options, 1)?;
        let template = HeapTemplate::new(options)?;
        let packets = send::packets_of_a_message(options, template.packet);
        let check = Check { template: template.payload(), done: 0, bytes: 0 };
        Ok(Self {
            heap: options.heap,
            payload: options.payload,
            chunk: options.chunk,
            train: packets * options.payload,
            chunks: std::iter::from_fn(|| pool.try_take()).collect(),
            next: 0,
            bytes: 0,
            hits: 0,
            misses: 0,
            check: options.check.then_some(check),
        })
    }

    fn place(&self, at: u64, len: usize) -> Place {
        let start = (at % (self.chunk * self.chunks.len()) as u64) as usize;
        Place { chunk: start / self.chunk, start: start % self.chunk, len }
    }

    /// Where the packets of the train at `at` of the stream go. Where the one behind it starts.
    fn guess(&self, at: u64, places: &mut Vec<Place>) -> u64 {
        places.clear();
        let offset = (at % self.heap as u64) as usize;
        let end = self.heap.min(offset + self.train);
        for start in (offset..end).step_by(self.payload) {
            let len = self.payload.min(end - start);
            places.push(self.place(at + (start - offset) as u64, len));
        }
        at + (end - offset) as u64
    }

    /// Whether all payloads of a message lie where they belong.
    fn accept(&mut self, message: &Scattered<'_>, guess: &[Place]) -> bool {
        let packets = message.len.div_ceil(message.segment);
        if message.cut || packets > guess.len() {
            return false;
        }
        let (mut end, mut rest) = (self.next, message.len);
        for (header, place) in message.headers.iter().zip(guess).take(packets) {
            let len = message.segment.min(rest);
            let Some((at, payload)) = decode(header, self.heap) else { return false };
            let here = self.place(at, payload);
            if len != HEADER + payload
                || payload != place.len
                || (here.chunk, here.start) != (place.chunk, place.start)
            {
                return false;
            }
            (end, rest) = (at + payload as u64, rest - len);
        }
        self.bytes += (message.len - packets * HEADER) as u64;
        self.hits += packets as u64;
        self.next = end;
        true
    }

    /// Copies payloads of a message to their places. Whether more is to come.
    fn copy(&mut self, message: &[u8], segment: usize) -> bool {
        for packet in message.chunks(segment) {
            // The packet that ends the stream has a byte of padding.
            let Some((header, payload @ [_, _, ..])) = packet.split_first_chunk() else {
                return false;
            };
            let Some((at, len)) = decode(header, self.heap) else { return false };
            let place = self.place(at, len);
            let data = &mut self.chunks[place.chunk].data_mut()[place.start..place.start + len];
            data.copy_from_slice(payload);
            self.bytes += len as u64;
            self.misses += 1;
            self.next = at + len as u64;
        }
        true
    }

    /// Compares the heaps that became whole, unless something of them was lost.
    fn check(&mut self) -> Result<()> {
        let Some(mut check) = self.check.take() else { return Ok(()) };
        if self.next >= check.done + self.heap as u64 {
            let whole = self.bytes - check.bytes == self.next - check.done;
            while self.next >= check.done + self.heap as u64 {
                let place = self.place(check.done, self.heap);
                let data = &self.chunks[place.chunk].data()[place.start..place.start + self.heap];
                if whole && data != check.template {
                    return Err(format!("what is at {} is not what was sent", check.done).into());
                }
                check.done += self.heap as u64;
            }
            check.bytes = self.bytes - (self.next - check.done);
        }
        self.check = Some(check);
        Ok(())
    }
}

/// Where in the stream a packet's payload starts, and its length.
fn decode(header: &[u8; HEADER], heap: usize) -> Option<(u64, usize)> {
    let (words, _) = header.as_chunks();
    let value = |word: usize| Some(u64::from_be_bytes(*words.get(word)?) & 0xffff_ffff_ffff);
    Some((value(5)? * heap as u64 + value(3)?, usize::try_from(value(4)?).ok()?))
}
