//! The records of a pcap or pcapng file, one after the other.

use std::io::{self, Read};
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pcap_parser::nom;
use pcap_parser::pcapng::Block;
use pcap_parser::{
    EPB_MAGIC, EnhancedPacketBlock, IDB_MAGIC, InterfaceDescriptionBlock, LegacyPcapBlock,
    PcapHeader, SHB_MAGIC, SPB_MAGIC, SimplePacketBlock, parse_block_be, parse_block_le,
    parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::pcap_error::PcapError;
use super::pcap_link::Link;
use super::refill::Refill;

/// The largest frame that is believed, in bytes: libpcap's `MAXIMUM_SNAPLEN`, beyond which it calls a
/// file damaged too.
const MAX_FRAME: usize = 262_144;

/// The largest record that is looked into: a frame, its headers, and room for options.
const MAX_RECORD: usize = 2 * MAX_FRAME;

/// The largest block that is believed, in bytes: what libpcap starts from (`INITIAL_MAX_BLOCKSIZE`).
const MAX_BLOCK: usize = 16 << 20;

/// Bytes of a pcap file's header.
const PCAP_HEADER: usize = 24;

/// The bytes of a pcapng block of nothing but its type and, twice, its length.
const LEAST_BLOCK: usize = 12;

/// Bytes before the frame in an enhanced packet block: type, length, interface, time, two lengths.
const ENHANCED_HEADER: usize = 28;

/// Bytes before the frame in a simple packet block: type and two lengths.
const SIMPLE_HEADER: usize = 12;

/// The type of the block that a pcapng section starts with; it reads the same in either byte order.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The byte order mark of a little-endian section.
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];

/// A capture file, read with a buffer of fixed size.
pub(super) struct CaptureFile {
    source: Box<dyn Read + Send>,
    name: String,
    buffer: Refill,
    /// Where the buffer's first byte is in the file.
    offset: u64,
    /// Where the record that the buffer starts in starts in the file.
    record: u64,
    /// Bytes of that record still to be skipped.
    skip: usize,
    at_end: bool,
    format: Format,
}

enum Format {
    Pcap { header: PcapHeader, link: Link },
    PcapNg { little_endian: bool, interfaces: Vec<Interface> },
}

/// What a pcapng section says of an interface.
#[derive(Clone, Copy)]
struct Interface {
    link: Option<Link>,
    snapshot: u32,
    /// Ticks of its clock per second.
    resolution: u64,
    /// Seconds to add.
    offset: i64,
}

/// Where a captured frame is in the bytes at hand.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// `None` if it is wrapped in a way that is not understood.
    pub(super) link: Option<Link>,
    pub(super) time: Option<SystemTime>,
    range: Range<usize>,
    /// The size of its record.
    record: usize,
}

/// What the bytes at hand start with.
enum Step {
    Frame(Frame),
    /// A record of so many bytes that is no frame.
    Other(usize),
    /// Part of a record.
    NeedMore,
}

impl CaptureFile {
    /// Reads the header.
    pub(super) fn new(source: Box<dyn Read + Send>, name: String) -> Result<Self, PcapError> {
        let no_memory =
            |_| PcapError::Open { name: name.clone(), source: io::ErrorKind::OutOfMemory.into() };
        let buffer = Refill::new(MAX_RECORD, 0).map_err(no_memory)?;
        let format = Format::PcapNg { little_endian: true, interfaces: Vec::new() };
        let mut file =
            Self { source, name, buffer, offset: 0, record: 0, skip: 0, at_end: false, format };
        while file.buffer.data().len() < PCAP_HEADER && !file.at_end {
            file.refill()?;
        }
        if !file.buffer.data().starts_with(&SECTION) {
            let (header, link) = file.pcap_header()?;
            file.format = Format::Pcap { header, link };
            file.consume(PCAP_HEADER);
        }
        Ok(file)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn pcap_header(&self) -> Result<(PcapHeader, Link), PcapError> {
        let not_a_capture = |found| PcapError::NotACapture { name: self.name.clone(), found };
        let bytes = self.buffer.data();
        match parse_pcap_header(bytes) {
            Ok((_, header)) => {
                // The upper bits tell whether frames have a checksum at their end.
                let link_type = header.network.0.cast_unsigned() & 0xffff;
                let name = self.name.clone();
                let link =
                    Link::from_number(link_type).ok_or(PcapError::LinkType { name, link_type })?;
                Ok((header, link))
            }
            Err(_) if bytes.is_empty() => Err(not_a_capture("it is empty")),
            Err(nom::Err::Incomplete(_)) => Err(not_a_capture("it is cut short")),
            Err(_) if bytes.starts_with(&[0x1f, 0x8b]) => {
                Err(not_a_capture("it is compressed, unpack it with gunzip"))
            }
            Err(_) => Err(not_a_capture("it starts differently")),
        }
    }

    /// The next frame, which is found again until it is [passed](Self::pass); `None` at the end.
    pub(super) fn find(&mut self) -> Result<Option<Frame>, PcapError> {
        loop {
            let skipped = self.consume(self.skip);
            self.skip -= skipped;
            match self.step()? {
                Step::Frame(frame) => return Ok(Some(frame)),
                Step::Other(size) => self.skip = size,
                Step::NeedMore if !self.at_end => self.refill()?,
                Step::NeedMore if self.skip == 0 && self.buffer.data().is_empty() => {
                    return Ok(None);
                }
                Step::NeedMore => {
                    return Err(PcapError::Cut { name: self.name.clone(), offset: self.record });
                }
            }
        }
    }

    /// The bytes of the frame that was found.
    pub(super) fn bytes(&self, frame: &Frame) -> &[u8] {
        self.buffer.data().get(frame.range.clone()).unwrap_or_default()
    }

    /// The frame that was found is done with.
    pub(super) fn pass(&mut self, frame: &Frame) {
        self.consume(frame.record);
    }

    fn consume(&mut self, size: usize) -> usize {
        let consumed = self.buffer.consume(size);
        self.offset += consumed as u64;
        consumed
    }

    fn step(&mut self) -> Result<Step, PcapError> {
        if self.skip > 0 {
            return Ok(Step::NeedMore);
        }
        self.record = self.offset;
        let bytes = self.buffer.data();
        let step = match &mut self.format {
            Format::Pcap { header, link } => pcap_record(header, *link, bytes),
            Format::PcapNg { little_endian, interfaces } => block(little_endian, interfaces, bytes),
        };
        step.map_err(|problem| PcapError::Corrupt {
            name: self.name.clone(),
            offset: self.offset,
            problem,
        })
    }

    fn refill(&mut self) -> Result<(), PcapError> {
        loop {
            match self.source.read(self.buffer.space()) {
                Ok(count) => {
                    self.at_end = count == 0;
                    self.buffer.filled(count);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.offset + self.buffer.data().len() as u64;
                    return Err(PcapError::Read { name: self.name.clone(), offset, source });
                }
            }
        }
    }
}

fn pcap_record(header: &PcapHeader, link: Link, bytes: &[u8]) -> Result<Step, String> {
    let parsed = if header.is_modified_format() {
        parse_pcap_frame_modified(bytes)
    } else if header.is_bigendian() {
        parse_pcap_frame_be(bytes)
    } else {
        parse_pcap_frame(bytes)
    };
    match parsed {
        Ok((rest, LegacyPcapBlock { ts_sec, ts_usec, data, .. })) if data.len() <= MAX_FRAME => {
            let is_nano = header.is_nanosecond_precision();
            let per_second = if is_nano { 1_000_000_000 } else { 1_000_000 };
            let ticks = u64::from(ts_sec) * per_second + u64::from(ts_usec);
            let record = bytes.len() - rest.len();
            Ok(Step::Frame(Frame {
                link: Some(link),
                time: time(ticks, per_second, 0),
                range: record - data.len()..record,
                record,
            }))
        }
        Ok((_, LegacyPcapBlock { caplen, .. })) => Err(too_large(caplen)),
        Err(nom::Err::Incomplete(nom::Needed::Size(missing))) if missing.get() > MAX_FRAME => {
            let header = if header.is_modified_format() { 24 } else { 16 };
            Err(too_large(missing.get() + bytes.len() - header))
        }
        Err(nom::Err::Incomplete(_)) => Ok(Step::NeedMore),
        Err(_) => Err("this is no record".to_owned()),
    }
}

fn too_large(size: impl std::fmt::Display) -> String {
    format!("a record of {size} bytes, where frames have at most {MAX_FRAME}")
}

/// The block of a pcapng file that `bytes` start with.
fn block(
    little_endian: &mut bool,
    interfaces: &mut Vec<Interface>,
    bytes: &[u8],
) -> Result<Step, String> {
    let Some((kind, rest)) = bytes.split_first_chunk::<4>() else { return Ok(Step::NeedMore) };
    let Some((&length, rest)) = rest.split_first_chunk::<4>() else { return Ok(Step::NeedMore) };
    if *kind == SECTION {
        let Some((order, _)) = rest.split_first_chunk::<4>() else { return Ok(Step::NeedMore) };
        *little_endian = *order == LITTLE_ENDIAN;
        interfaces.clear();
    }
    let decode = if *little_endian { u32::from_le_bytes } else { u32::from_be_bytes };
    let (kind, record) = (decode(*kind), decode(length) as usize);
    if record < LEAST_BLOCK || record % 4 != 0 || record > MAX_BLOCK {
        return Err(format!("a block of {record} bytes"));
    }
    if !matches!(kind, SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC) {
        return Ok(Step::Other(record));
    }
    if record > MAX_RECORD {
        return Err(too_large(record));
    }
    let Some(bytes) = bytes.get(..record) else { return Ok(Step::NeedMore) };
    let parse = if *little_endian { parse_block_le } else { parse_block_be };
    match parse(bytes) {
        Ok((_, Block::EnhancedPacket(packet))) => enhanced(interfaces, &packet, record),
        Ok((_, Block::SimplePacket(packet))) => simple(interfaces, &packet, record),
        Ok((_, Block::InterfaceDescription(description))) => {
            interfaces.push(Interface::new(&description, *little_endian));
            Ok(Step::Other(record))
        }
        Ok(_) => Ok(Step::Other(record)),
        Err(_) => Err(format!("a block of type {kind:#x} that contradicts itself")),
    }
}

fn enhanced(
    interfaces: &[Interface],
    packet: &EnhancedPacketBlock<'_>,
    record: usize,
) -> Result<Step, String> {
    let id = packet.if_id;
    let interface = usize::try_from(id).ok().and_then(|id| interfaces.get(id));
    let interface = interface
        .ok_or_else(|| format!("a packet of interface {id}, which has not been described"))?;
    let ticks = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
    let captured = packet.data.len().min(packet.caplen as usize);
    Ok(Step::Frame(Frame {
        link: interface.link,
        time: time(ticks, interface.resolution, interface.offset),
        range: ENHANCED_HEADER..ENHANCED_HEADER + captured,
        record,
    }))
}

/// A frame without a time or an interface: it is of the first.
fn simple(
    interfaces: &[Interface],
    packet: &SimplePacketBlock<'_>,
    record: usize,
) -> Result<Step, String> {
    let interface =
        interfaces.first().ok_or("a packet of interface 0, which has not been described")?;
    let snapshot = if interface.snapshot == 0 { u32::MAX } else { interface.snapshot };
    let captured = packet.data.len().min(packet.origlen.min(snapshot) as usize);
    let range = SIMPLE_HEADER..SIMPLE_HEADER + captured;
    Ok(Step::Frame(Frame { link: interface.link, time: None, range, record }))
}

impl Interface {
    fn new(description: &InterfaceDescriptionBlock<'_>, little_endian: bool) -> Self {
        let number = u32::try_from(description.linktype.0).ok();
        // The parser takes all offsets for little-endian.
        let offset = description.if_tsoffset;
        Self {
            link: number.and_then(Link::from_number),
            snapshot: description.snaplen,
            resolution: resolution(description.if_tsresol),
            offset: if little_endian { offset } else { offset.swap_bytes() },
        }
    }
}

/// Ticks per second: a power of 2 if the highest bit is set, otherwise of 10. (The parser knows only
/// the latter.) What does not fit is taken for the usual microseconds.
fn resolution(code: u8) -> u64 {
    let exponent = u32::from(code & 0x7f);
    let ticks =
        if code & 0x80 == 0 { 10_u64.checked_pow(exponent) } else { 1_u64.checked_shl(exponent) };
    ticks.unwrap_or(1_000_000)
}

/// The moment `ticks` after the epoch, with `offset` seconds added.
fn time(ticks: u64, per_second: u64, offset: i64) -> Option<SystemTime> {
    let seconds = (ticks / per_second).checked_add_signed(offset)?;
    let fraction = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
    UNIX_EPOCH.checked_add(Duration::new(seconds, u32::try_from(fraction).ok()?))
}
