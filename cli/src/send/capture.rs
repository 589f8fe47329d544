//! The UDP datagrams of a capture, to be sent as they are.

use std::fs::File;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use etherparse::{EtherType, LaxSlicedPacket, TransportSlice};
use pcap_parser::pcapng::Block;
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{PcapBlockOwned, PcapError, create_reader};

use crate::endpoint::Source;

/// Room for the largest record, with much to spare: frames have at most 256 KiB.
const BUFFER: usize = 1 << 20;

/// Bytes of a UDP header, which its length field counts too.
const UDP_HEADER: usize = 8;

/// A capture file, and the port whose datagrams are meant if not all are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaptureName {
    path: PathBuf,
    port: Option<u16>,
}

impl FromStr for CaptureName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // As `recv` names captures.
        match format!("pcap:{text}").parse()? {
            Source::Pcap(path, port) => Ok(Self { path, port }),
            _ => Err("name a capture: FILE or FILE#PORT".to_owned()),
        }
    }
}

/// A capture that is read.
pub(super) struct Capture {
    reader: Box<dyn PcapReaderIterator + Send>,
    name: CaptureName,
    format: Format,
    /// Frames that are no whole datagram, or not to the port.
    pub(super) skipped: u64,
}

/// What the file says of its frames.
#[derive(Default)]
struct Format {
    /// Of each interface: the link type, and ticks of its clock a second. A pcap file has one.
    interfaces: Vec<(i32, u64)>,
}

/// A frame.
struct Frame<'a> {
    link: i32,
    time: Duration,
    bytes: &'a [u8],
}

/// What the file goes on with.
enum Step {
    /// A record of so many bytes, and when it was captured if it is a datagram to send.
    Record(usize, Option<Duration>),
    /// Part of a record.
    NeedMore,
    Damaged,
    End,
}

impl Capture {
    pub(super) fn open(name: &CaptureName) -> Result<Self> {
        let path = name.path.display();
        let file = File::open(&name.path).with_context(|| format!("cannot open {path}"))?;
        let reader = create_reader(BUFFER, file)
            .map_err(|_| anyhow!("{path} is no capture: pcap and pcapng files are"))?;
        Ok(Self { reader, name: name.clone(), format: Format::default(), skipped: 0 })
    }

    /// Puts the next datagram into `payload`, and says when it was captured, counted from some time
    /// that is the same for all; `None` at the end.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<Duration>> {
        loop {
            match self.step(payload) {
                Step::Record(size, time) => {
                    self.reader.consume(size);
                    if time.is_some() {
                        return Ok(time);
                    }
                }
                Step::End => return Ok(None),
                Step::NeedMore if !self.reader.reader_exhausted() => {
                    let is_read = self.reader.refill().is_ok();
                    is_read.then_some(()).ok_or_else(|| self.broken("cannot be read further"))?;
                }
                Step::NeedMore => bail!(self.broken("ends within a packet")),
                Step::Damaged => bail!(self.broken("is damaged")),
            }
        }
    }

    fn step(&mut self, payload: &mut Vec<u8>) -> Step {
        let (size, block) = match self.reader.next() {
            Ok(found) => found,
            Err(PcapError::Eof) => return Step::End,
            Err(PcapError::Incomplete(_) | PcapError::UnexpectedEof) => return Step::NeedMore,
            Err(_) => return Step::Damaged,
        };
        let Some(frame) = self.format.look(&block) else { return Step::Record(size, None) };
        let Some(datagram) = udp(frame.link, frame.bytes, self.name.port) else {
            self.skipped += 1;
            return Step::Record(size, None);
        };
        payload.clear();
        payload.extend_from_slice(datagram);
        Step::Record(size, Some(frame.time))
    }

    fn broken(&self, how: &str) -> anyhow::Error {
        anyhow!("{} {how}; what came before was sent", self.name.path.display())
    }
}

impl Format {
    /// The frame in a block, if there is one.
    fn look<'a>(&mut self, block: &'a PcapBlockOwned<'a>) -> Option<Frame<'a>> {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let ticks =
                    if header.is_nanosecond_precision() { 1_000_000_000 } else { 1_000_000 };
                // The upper bits tell whether frames have a checksum at their end.
                self.interfaces = vec![(header.network.0 & 0xffff, ticks)];
                None
            }
            PcapBlockOwned::Legacy(packet) => {
                let &(link, ticks) = self.interfaces.first()?;
                let time = u64::from(packet.ts_sec) * ticks + u64::from(packet.ts_usec);
                Some(Frame { link, time: time_of(time, ticks), bytes: packet.data })
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => {
                self.interfaces.clear();
                None
            }
            PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                let ticks = interface.ts_resolution().filter(|&ticks| ticks > 0);
                self.interfaces.push((interface.linktype.0, ticks.unwrap_or(1_000_000)));
                None
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                let &(link, ticks) = self.interfaces.get(packet.if_id as usize)?;
                let time = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                let bytes = packet.data.get(..packet.caplen as usize)?;
                Some(Frame { link, time: time_of(time, ticks), bytes })
            }
            PcapBlockOwned::NG(_) => None,
        }
    }
}

fn time_of(ticks: u64, per_second: u64) -> Duration {
    let rest = u128::from(ticks % per_second) * 1_000_000_000 / u128::from(per_second);
    Duration::new(ticks / per_second, rest as u32)
}

/// The payload of the datagram in a frame: if it is whole, and to the port if one is named.
fn udp(link: i32, frame: &[u8], port: Option<u16>) -> Option<&[u8]> {
    let sliced = slice(link, frame)?;
    // What is fragmented has no transport.
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else { return None };
    let length = usize::from(udp.length());
    let is_whole = (UDP_HEADER..=udp.slice().len()).contains(&length);
    let is_wanted = port.is_none_or(|port| port == udp.destination_port());
    (is_whole && is_wanted).then(|| udp.payload())
}

/// Finds the headers of a frame, which is wrapped as numbered on tcpdump.org.
fn slice(link: i32, frame: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    let of_type = |at: usize, size: usize| {
        let kind = frame.get(at..at + 2)?;
        let kind = EtherType(u16::from_be_bytes([kind[0], kind[1]]));
        Some(LaxSlicedPacket::from_ether_type(kind, frame.get(size..)?))
    };
    match link {
        1 => LaxSlicedPacket::from_ethernet(frame).ok(),
        113 => of_type(14, 16),
        276 => of_type(0, 20),
        12 | 14 | 101 | 228 | 229 => LaxSlicedPacket::from_ip(frame).ok(),
        0 | 108 => LaxSlicedPacket::from_ip(frame.get(4..)?).ok(),
        _ => None,
    }
}
