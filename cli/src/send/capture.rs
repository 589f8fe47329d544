//! The UDP datagrams of a capture, to be sent as they are.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use speadway::recv::readers::{PcapConfig, PcapReader};

use crate::endpoint::Source;

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
    reader: PcapReader,
    /// When the last datagram was captured.
    last: Duration,
    /// Datagrams of which the capture has only a part.
    cut: u64,
}

impl Capture {
    pub(super) fn open(name: &CaptureName) -> Result<Self> {
        let config = name.port.into_iter().fold(PcapConfig::default(), PcapConfig::port);
        let reader = PcapReader::open(&name.path, config)?;
        Ok(Self { reader, last: Duration::ZERO, cut: 0 })
    }

    /// Puts the next datagram into `payload`, and says when it was captured, counted from some time
    /// that is the same for all; `None` at the end. One without a time goes with the one before.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<Duration>> {
        let broken = |error| anyhow!("{error}; what came before was sent");
        while let Some(datagram) = self.reader.next_datagram(payload).map_err(broken)? {
            if datagram.is_cut {
                self.cut += 1;
                continue;
            }
            // The kernel's clock is never set before 1970.
            let time = datagram.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            self.last = time.unwrap_or(self.last);
            return Ok(Some(self.last));
        }
        Ok(None)
    }

    /// Frames that are no whole datagram, or not to the port.
    pub(super) fn skipped(&self) -> u64 {
        let counts = self.reader.counts();
        counts.frames() - counts.offered() + self.cut
    }
}
