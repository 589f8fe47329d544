//! Packets from a pcap or pcapng file.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::pcap_error::PcapError;
use super::pcap_file::{CaptureFile, Frame};
use super::pcap_filter::PcapFilter;
use super::pcap_link::{NoUdp, Udp, udp};
use crate::heap::{Origin, PacketDiscard};
use crate::recv::{Flow, Inlet, ReadState, Reader, Watch};

/// Frames that are looked at before others on the worker have their turn, as many as one receive
/// call of a socket fetches.
const BATCH: usize = 64;

/// Which packets of a capture a [`PcapReader`] is to read. By default all UDP packets.
///
/// ```
/// use speadway::recv::readers::PcapConfig;
///
/// // What was sent to ports 7148 and 7149 of a multicast group.
/// let config = PcapConfig::default().port(7148).port(7149).destination("239.1.2.3".parse()?);
/// # let _ = config;
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PcapConfig {
    /// Only packets sent to one of these UDP ports. Empty: to any.
    pub ports: Vec<u16>,
    /// Only packets sent to this address.
    pub destination: Option<IpAddr>,
    /// Only packets that this matches.
    pub filter: PcapFilter,
}

impl PcapConfig {
    /// Adds one of the [`ports`](Self::ports).
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.ports.push(port);
        self
    }

    /// Sets [`destination`](Self::destination).
    #[must_use]
    pub fn destination(self, address: IpAddr) -> Self {
        Self { destination: Some(address), ..self }
    }

    /// Sets [`filter`](Self::filter).
    #[must_use]
    pub fn filter(self, filter: PcapFilter) -> Self {
        Self { filter, ..self }
    }

    fn wants(&self, udp: &Udp<'_>) -> bool {
        let to = udp.destination;
        (self.ports.is_empty() || self.ports.contains(&to.port()))
            && self.destination.is_none_or(|wanted| wanted == to.ip())
            && self.filter.matches(udp.source, to)
    }
}

/// Reads the UDP packets of a capture file, each one SPEAD packet, then ends.
///
/// | | |
/// |---|---|
/// | files | pcap (both byte orders, µs and ns) and pcapng |
/// | link types | Ethernet with VLAN tags or without, Linux cooked v1 and v2, raw IP, loopback |
/// | packets | IPv4, and IPv6 with extension headers; checksums are not looked at |
///
/// Packets carry their source and the time of capture as their
/// [`Origin`](crate::heap::Origin). One that the capture has only a part of is discarded as
/// `truncated`. What is no datagram to be read is skipped, and counted in [`PcapCounts`]; fragments
/// are among it, as they are not put together.
///
/// It loses nothing: what the stream cannot take waits. A file that is damaged or cut short fails the
/// reader, after all that comes before has been delivered. Memory stays at 1 MiB however large the
/// file.
///
/// On a host that sends, the kernel shows captures several packets as one large one
/// if the sender has it segment them (GSO): capture at the receiver, or such packets are discarded
/// as `size_mismatch`.
///
/// ```no_run
/// use speadway::chunk::WhenFull;
/// use speadway::recv::readers::{PcapConfig, PcapReader};
/// use speadway::recv::{Stream, Worker};
/// use speadway::ring::Ring;
///
/// let reader = PcapReader::open("observation.pcap", PcapConfig::default().port(7148))?;
/// let counts = reader.counts();
/// let ring = Ring::new(4)?;
/// let stream =
///     Stream::heaps().ring(&ring, WhenFull::Wait).reader(reader).start(&Worker::new()?)?;
/// for heap in &ring {
///     println!("heap {} of {:?}", heap.cnt(), heap.origin().received);
/// }
/// println!("{} frames, {} of them not UDP", counts.frames(), counts.other_protocol());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PcapReader {
    file: CaptureFile,
    config: PcapConfig,
    counts: PcapCounts,
}

impl PcapReader {
    /// Opens a capture file and reads its header.
    ///
    /// # Errors
    /// If it cannot be opened, is no capture, or wraps packets in a way that is not understood.
    pub fn open(path: impl AsRef<Path>, config: PcapConfig) -> Result<Self, PcapError> {
        let name = path.as_ref().display().to_string();
        match File::open(path) {
            Ok(file) => Self::named(Box::new(file), name, config),
            Err(source) => Err(PcapError::Open { name, source }),
        }
    }

    /// Reads a capture from `source`, named "the capture" in errors. It is read on the worker, so it
    /// should not make others wait: a file or memory rather than a pipe.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_reader(
        source: impl Read + Send + 'static,
        config: PcapConfig,
    ) -> Result<Self, PcapError> {
        Self::named(Box::new(source), "the capture".to_owned(), config)
    }

    fn named(
        source: Box<dyn Read + Send>,
        name: String,
        config: PcapConfig,
    ) -> Result<Self, PcapError> {
        let file = CaptureFile::new(source, name)?;
        Ok(Self { file, config, counts: PcapCounts::default() })
    }

    /// What has become of the frames; keep it to read while the stream runs, or after.
    #[must_use]
    pub fn counts(&self) -> PcapCounts {
        self.counts.clone()
    }

    /// Delivers the next frame; what to return if that is the end of the batch.
    fn deliver(&mut self, inlet: &mut Inlet<'_>) -> Option<ReadState> {
        // The one that the stream could not take is found again.
        let frame = match self.file.find() {
            Ok(Some(frame)) => frame,
            Ok(None) => return Some(self.end()),
            Err(error) => return Some(ReadState::Failed(error.into())),
        };
        let counted = match self.look(&frame) {
            Err(counted) => counted,
            Ok(udp) => {
                if let Flow::Park(reason) = offer(&udp, &frame, inlet) {
                    return Some(ReadState::Parked(reason));
                }
                &self.counts.shared.offered
            }
        };
        counted.fetch_add(1, Ordering::Relaxed);
        self.pass(&frame);
        None
    }

    /// The datagram in a frame if it is asked for, or else what counts such frames.
    fn look(&self, frame: &Frame) -> Result<Udp<'_>, &AtomicU64> {
        let counters = &self.counts.shared;
        let link = frame.link.ok_or(&counters.unknown_link)?;
        match udp(link, self.file.bytes(frame)) {
            Err(NoUdp::Other) => Err(&counters.other_protocol),
            Err(NoUdp::Fragment) => Err(&counters.fragments),
            Err(NoUdp::Malformed) => Err(&counters.malformed),
            Ok(udp) if !self.config.wants(&udp) => Err(&counters.unwanted),
            Ok(udp) => Ok(udp),
        }
    }

    fn pass(&mut self, frame: &Frame) {
        self.counts.shared.frames.fetch_add(1, Ordering::Relaxed);
        self.file.pass(frame);
    }

    /// Reads the next datagram without a stream, whatever is in it: `payload` then holds its payload,
    /// or as much of it as the capture has. `None` at the end of the file.
    ///
    /// ```no_run
    /// use speadway::recv::readers::{PcapConfig, PcapReader};
    ///
    /// let mut reader = PcapReader::open("observation.pcap", PcapConfig::default())?;
    /// let mut payload = Vec::new();
    /// while let Some(datagram) = reader.next_datagram(&mut payload)? {
    ///     println!("{} bytes to {}", payload.len(), datagram.destination);
    /// }
    /// # Ok::<(), speadway::recv::readers::PcapError>(())
    /// ```
    ///
    /// # Errors
    /// If the file is damaged, cut short or cannot be read.
    pub fn next_datagram(
        &mut self,
        payload: &mut Vec<u8>,
    ) -> Result<Option<CapturedDatagram>, PcapError> {
        while let Some(frame) = self.file.find()? {
            let found = match self.look(&frame) {
                Err(counted) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok(Udp { payload: bytes, source, destination, is_cut }) => {
                    self.counts.shared.offered.fetch_add(1, Ordering::Relaxed);
                    payload.clear();
                    payload.extend_from_slice(bytes);
                    Some(CapturedDatagram { source, destination, time: frame.time, is_cut })
                }
            };
            self.pass(&frame);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn end(&self) -> ReadState {
        log::debug!("{}: {}", self.file.name(), self.counts);
        ReadState::End
    }
}

/// A datagram of a capture; from [`PcapReader::next_datagram`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CapturedDatagram {
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// When it was captured; not every capture says so.
    pub time: Option<SystemTime>,
    /// Whether the capture has only the start of it.
    pub is_cut: bool,
}

fn offer(udp: &Udp<'_>, frame: &Frame, inlet: &mut Inlet<'_>) -> Flow {
    if udp.is_cut {
        inlet.discard(PacketDiscard::Truncated);
        return Flow::Next;
    }
    inlet.datagram(udp.payload, &Origin::new(Some(udp.source), frame.time))
}

impl Reader for PcapReader {
    fn attach(&mut self, _watch: &mut Watch<'_>) -> io::Result<()> {
        Ok(())
    }

    fn read(&mut self, inlet: &mut Inlet<'_>) -> ReadState {
        (0..BATCH).find_map(|_| self.deliver(inlet)).unwrap_or(ReadState::Batch)
    }

    fn describe(&self) -> String {
        format!("capture {}", self.file.name())
    }
}

impl fmt::Debug for PcapReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcapReader")
            .field("file", &self.file.name())
            .field("config", &self.config)
            .field("counts", &self.counts)
            .finish()
    }
}

/// What has become of the frames of a capture, so far; from [`PcapReader::counts`]. Clones are
/// handles of the same counters.
///
/// `frames` is the sum of the others.
#[derive(Clone, Default)]
pub struct PcapCounts {
    shared: Arc<Counters>,
}

/// Declares the counters, and how they are read and shown.
macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident: $text:literal,)+) => {
        #[derive(Default)]
        struct Counters { $($name: AtomicU64,)+ }

        impl PcapCounts {
            $($(#[$doc])* #[must_use] pub fn $name(&self) -> u64 {
                self.shared.$name.load(Ordering::Relaxed)
            })+
        }

        impl fmt::Display for PcapCounts {
            /// Those that are not zero, on one line.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((self.$name(), $text)),+];
                let shown = all.iter().filter(|(count, _)| *count != 0);
                let shown: Vec<_> = shown.map(|(count, text)| format!("{count} {text}")).collect();
                f.write_str(&shown.join(", "))
            }
        }
    };
}

counts! {
    /// Frames that were read.
    frames: "frames",
    /// Datagrams given to the stream, whose counters tell the rest, or to whoever asked for the next.
    offered: "offered to the stream",
    /// Frames of protocols other than UDP over IP.
    other_protocol: "of other protocols",
    /// Datagrams that the [`PcapConfig`] does not ask for.
    unwanted: "to other addresses or ports",
    /// Parts of fragmented datagrams.
    fragments: "fragments",
    /// Frames whose headers make no sense, or are only partly there.
    malformed: "malformed",
    /// Frames of an interface whose link type is not understood.
    unknown_link: "of unknown link types",
}

impl fmt::Debug for PcapCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PcapCounts({self})")
    }
}
