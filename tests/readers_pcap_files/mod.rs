//! Captures made by hand.

use etherparse::PacketBuilder;

use crate::readers_common::packets;

/// When frames were captured, in seconds since the epoch: 2024-07-03.
pub(crate) const SECONDS: u64 = 1_720_000_000;

/// Who sent the packets of IPv4.
pub(crate) const SOURCE: &str = "10.0.0.1:6000";

/// The one packet of heap `n`, of 50 bytes.
pub(crate) fn spead(n: u64) -> Vec<u8> {
    packets(n, 50, 1472).remove(0)
}

/// `payload` in UDP to a port, in IPv4, in an Ethernet frame.
pub(crate) fn to_port(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6]);
    let builder = builder.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 9).udp(6000, port);
    builder.write(&mut frame, payload).unwrap();
    frame
}

pub(crate) fn ethernet(payload: &[u8]) -> Vec<u8> {
    to_port(7148, payload)
}

/// `payload` in UDP in an IPv4 packet.
pub(crate) fn ip(payload: &[u8]) -> Vec<u8> {
    ethernet(payload).split_off(14)
}

/// `payload` in UDP in an IPv6 packet with extension headers: each its number, and its bytes, of
/// which the first is filled in.
pub(crate) fn ip6(payload: &[u8], extensions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv6([1; 16], [2; 16], 9).udp(6000, 7148).write(&mut packet, payload).unwrap();
    let mut next_header = 17;
    let mut chain = Vec::new();
    for (number, bytes) in extensions.iter().rev() {
        chain = [&[next_header], &bytes[1..], &chain].concat();
        next_header = *number;
    }
    packet[6] = next_header;
    let length = (packet.len() - 40 + chain.len()) as u16;
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet.splice(40..40, chain);
    packet
}

/// A kind of pcap file.
pub(crate) struct Pcap {
    pub(crate) link: u32,
    pub(crate) big_endian: bool,
    pub(crate) nanos: bool,
}

impl Pcap {
    pub(crate) fn new(link: u32) -> Self {
        Self { link, big_endian: false, nanos: false }
    }

    fn words(&self, words: &[u32]) -> Vec<u8> {
        let bytes =
            |word: &u32| if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        words.iter().flat_map(bytes).collect()
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        let magic = if self.nanos { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
        let version = if self.big_endian { 0x0002_0004 } else { 0x0004_0002 };
        self.words(&[magic, version, 0, 0, 65_535, self.link])
    }

    /// A frame captured `second` seconds after [`SECONDS`], that had `length` bytes.
    pub(crate) fn record(&self, second: u64, frame: &[u8], length: usize) -> Vec<u8> {
        let fraction = if self.nanos { 123_456_789 } else { 123_456 };
        let captured = frame.len() as u32;
        let words = [(SECONDS + second) as u32, fraction, captured, length as u32];
        [&self.words(&words), frame].concat()
    }

    /// A file of whole frames, a second apart.
    pub(crate) fn file(&self, frames: &[Vec<u8>]) -> Vec<u8> {
        let records = (0..).zip(frames).map(|(at, frame)| self.record(at, frame, frame.len()));
        std::iter::once(self.header()).chain(records).collect::<Vec<_>>().concat()
    }
}

/// Writes blocks of pcapng.
pub(crate) struct PcapNg {
    pub(crate) big_endian: bool,
}

impl PcapNg {
    fn bytes2(&self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn bytes4(&self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn bytes8(&self, value: u64) -> [u8; 8] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn block(&self, kind: u32, body: &[u8]) -> Vec<u8> {
        let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
        let length = self.bytes4((12 + body.len() + padding.len()) as u32);
        [&self.bytes4(kind)[..], &length, body, &padding, &length].concat()
    }

    pub(crate) fn section(&self) -> Vec<u8> {
        let start = [self.bytes4(0x1a2b_3c4d).to_vec(), self.bytes2(1).to_vec()];
        let unknown_length = vec![0xff; 8];
        let body = [start.concat(), self.bytes2(0).to_vec(), unknown_length].concat();
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface with options, each a code and its value.
    pub(crate) fn interface(&self, link: u16, options: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut body = [self.bytes2(link), [0; 2]].concat();
        body.extend(self.bytes4(0));
        for (code, value) in options {
            body.extend(self.bytes2(*code));
            body.extend(self.bytes2(value.len() as u16));
            body.extend(value);
            body.resize(body.len().next_multiple_of(4), 0);
        }
        if !options.is_empty() {
            body.extend([0; 4]);
        }
        self.block(1, &body)
    }

    pub(crate) fn packet(&self, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
        self.snapped_packet(interface, ticks, frame, frame.len())
    }

    /// A frame of which only a part was captured, that had `length` bytes.
    pub(crate) fn snapped_packet(
        &self,
        interface: u32,
        ticks: u64,
        frame: &[u8],
        length: usize,
    ) -> Vec<u8> {
        let captured = frame.len() as u32;
        let words = [interface, (ticks >> 32) as u32, ticks as u32, captured, length as u32];
        let words: Vec<u8> = words.iter().flat_map(|&word| self.bytes4(word)).collect();
        self.block(6, &[&words, frame].concat())
    }

    pub(crate) fn simple_packet(&self, frame: &[u8]) -> Vec<u8> {
        self.block(3, &[&self.bytes4(frame.len() as u32), frame].concat())
    }
}
