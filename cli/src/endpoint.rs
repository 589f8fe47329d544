//! Where packets come from, as written on the command line.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use speadway::net::Interface;

/// A source of packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A local address or multicast group.
    Udp(HostPort),
    /// A local address that a sender connects to.
    Tcp(HostPort),
    /// What a capture has, of all ports or of one.
    Pcap(PathBuf, Option<u16>),
}

/// A host, by name or address and perhaps empty, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    host: String,
    port: u16,
}

/// What a source may look like, for errors.
const FORMS: &str = "use [HOST]:PORT or PORT for UDP, tcp://[HOST]:PORT, or pcap:FILE[#PORT]";

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("pcap:") {
            return match capture(path) {
                ("", _) => Err(format!("no file is named; {FORMS}")),
                (path, port) => Ok(Self::Pcap(path.into(), port)),
            };
        }
        match text.split_once("://") {
            Some(("udp", rest)) => rest.parse().map(Self::Udp),
            Some(("tcp", rest)) => rest.parse().map(Self::Tcp),
            Some((scheme, _)) => Err(format!("there is no source of kind `{scheme}`; {FORMS}")),
            None if is_capture(text) => Ok(Self::Pcap(text.into(), None)),
            None => text.parse().map(Self::Udp),
        }
    }
}

/// A capture's path, and its port if one is named.
fn capture(text: &str) -> (&str, Option<u16>) {
    let named = text.rsplit_once('#').and_then(|(path, port)| Some((path, port.parse().ok()?)));
    named.map_or((text, None), |(path, port)| (path, Some(port)))
}

fn is_capture(path: &str) -> bool {
    let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("pcap" | "pcapng" | "cap"))
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port = port.parse().map_err(|_| format!("`{port}` is no port; {FORMS}"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return Err(format!("write an IPv6 address in brackets, as in [{host}]:{port}"));
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl HostPort {
    /// The address that it stands for: the first that its name resolves to.
    pub(crate) fn resolve(&self) -> Result<SocketAddr> {
        let host = if self.host.is_empty() { "0.0.0.0" } else { &self.host };
        let addresses = (host, self.port)
            .to_socket_addrs()
            .with_context(|| format!("cannot find the address of `{host}`"))?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        // Names of this host, localhost first of all, often stand for IPv6 and IPv4; senders use
        // the latter.
        let first =
            addresses.iter().find(|address| address.is_ipv4()).or_else(|| addresses.first());
        first.copied().ok_or_else(|| anyhow!("`{host}` has no address"))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Udp(at) => write!(f, "udp://{at}"),
            Self::Tcp(at) => write!(f, "tcp://{at}"),
            Self::Pcap(path, None) => write!(f, "pcap:{}", path.display()),
            Self::Pcap(path, Some(port)) => write!(f, "pcap:{}#{port}", path.display()),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// An interface by address, index or name.
pub(crate) fn interface(text: &str) -> Interface {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        Interface::Addr(address)
    } else if let Ok(index) = text.parse() {
        Interface::Index(index)
    } else {
        Interface::Name(text.to_owned())
    }
}

/// Refuses sources that cannot go together.
pub(crate) fn refuse_repeats(sources: &[Source]) -> Result<()> {
    for (at, source) in sources.iter().enumerate() {
        // Port 0 is a different one each time.
        let any_port = matches!(
            source,
            Source::Udp(HostPort { port: 0, .. }) | Source::Tcp(HostPort { port: 0, .. })
        );
        if !any_port && sources[..at].contains(source) {
            bail!("the source {source} is named twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let shown = |text: &str| text.parse::<Source>().map(|source| source.to_string());
        assert_eq!(shown("7148").unwrap(), "udp://:7148");
        assert_eq!(shown(":7148").unwrap(), "udp://:7148");
        assert_eq!(shown("239.1.2.3:7148").unwrap(), "udp://239.1.2.3:7148");
        assert_eq!(shown("udp://[::1]:1").unwrap(), "udp://[::1]:1");
        assert_eq!(shown("tcp://localhost:7149").unwrap(), "tcp://localhost:7149");
        assert_eq!(shown("pcap:data").unwrap(), "pcap:data");
        assert_eq!(shown("a/b:c.pcapng").unwrap(), "pcap:a/b:c.pcapng");
        let one_port = Source::Pcap("data".into(), Some(7148));
        assert_eq!("pcap:data#7148".parse(), Ok(one_port.clone()));
        assert_eq!(one_port.to_string(), "pcap:data#7148");
        assert_eq!(shown("pcap:data#1").unwrap(), "pcap:data#1");
        assert_eq!("pcap:data#x".parse(), Ok(Source::Pcap("data#x".into(), None)));
        for bad in ["", "host", "host:", "host:70000", "::1:7148", "ftp://x:1", "pcap:", "udp://"] {
            assert!(shown(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn interfaces_are_named_in_three_ways() {
        assert_eq!(interface("10.0.0.1"), Interface::Addr(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(interface("2"), Interface::Index(2));
        assert_eq!(interface("eth1"), Interface::Name("eth1".to_owned()));
    }

    #[test]
    fn a_source_may_not_be_named_twice() {
        let sources = |texts: &[&str]| -> Vec<Source> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert!(refuse_repeats(&sources(&["1", "2", "tcp://:1"])).is_ok());
        assert!(refuse_repeats(&sources(&["127.0.0.1:0", "127.0.0.1:0"])).is_ok());
        assert!(refuse_repeats(&sources(&["1", "2", ":1"])).is_err());
    }
}
