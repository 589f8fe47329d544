//! How a receiving UDP socket is to be set up.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::Interface;

/// The largest datagram accepted by default, in bytes: a 9000-byte jumbo frame's with some room.
/// It is what receivers of these streams have always used.
pub const DEFAULT_MAX_DATAGRAM: usize = 9200;

/// The receive buffer asked for by default, in bytes: 8 MiB, about 2.7 ms of 25 Gb/s.
pub const DEFAULT_RECV_BUFFER: usize = 8 * 1024 * 1024;

/// How to set up a UDP socket to receive from.
///
/// ```
/// use speadway::net::{Interface, UdpConfig, bind_udp};
///
/// let config = UdpConfig::new("127.0.0.1:0".parse()?).recv_buffer(128 * 1024);
/// let socket = bind_udp(&config)?;
/// println!("receiving on {}, {:?}", socket.local_addr(), socket.recv_buffer());
///
/// // A multicast group, from one sender only, on one interface:
/// let group = UdpConfig::new("232.1.2.3:7148".parse()?)
///     .source("10.0.0.1".parse()?)
///     .interface(Interface::Name("eth1".into()));
/// # let _ = group;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpConfig {
    /// The local address to receive on, or the multicast group to join, and the port.
    pub address: SocketAddr,
    /// The interface on which to join a multicast group. For a unicast address it must be
    /// [`Interface::Any`] or name that very address.
    pub interface: Interface,
    /// Receive the multicast group only from these senders (source-specific multicast). Empty:
    /// from all.
    pub sources: Vec<IpAddr>,
    /// Let several sockets share the port. The kernel then spreads unicast packets over them by
    /// sender, and gives each of them a copy of multicast packets.
    pub reuse_port: bool,
    /// The size of the kernel's receive buffer to ask for, in bytes; 0 leaves the system default.
    pub recv_buffer: usize,
    /// Let the kernel poll the device queue for this long (rounded to µs) when the socket is
    /// empty; zero leaves the system default. More than that default needs `CAP_NET_ADMIN`.
    pub busy_poll: Duration,
    /// Let the kernel hand over packets of one sender in merged trains (`UDP_GRO`), if it can.
    pub gro: bool,
    /// Have the kernel note when each packet arrived.
    pub timestamps: bool,
}

impl Default for UdpConfig {
    /// Any IPv4 address of this host, on a port that the system chooses.
    fn default() -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }
}

impl UdpConfig {
    /// Receive on `address`, a local address or a multicast group, with the default settings.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            interface: Interface::Any,
            sources: Vec::new(),
            reuse_port: false,
            recv_buffer: DEFAULT_RECV_BUFFER,
            busy_poll: Duration::ZERO,
            gro: !crate::paths::only_long(),
            timestamps: false,
        }
    }

    /// Sets [`interface`](Self::interface).
    #[must_use]
    pub fn interface(self, interface: Interface) -> Self {
        Self { interface, ..self }
    }

    /// Adds one of the [`sources`](Self::sources).
    #[must_use]
    pub fn source(mut self, source: IpAddr) -> Self {
        self.sources.push(source);
        self
    }

    /// Sets [`reuse_port`](Self::reuse_port).
    #[must_use]
    pub fn reuse_port(self, reuse_port: bool) -> Self {
        Self { reuse_port, ..self }
    }

    /// Sets [`recv_buffer`](Self::recv_buffer), in bytes.
    #[must_use]
    pub fn recv_buffer(self, recv_buffer: usize) -> Self {
        Self { recv_buffer, ..self }
    }

    /// Sets [`busy_poll`](Self::busy_poll).
    #[must_use]
    pub fn busy_poll(self, busy_poll: Duration) -> Self {
        Self { busy_poll, ..self }
    }

    /// Sets [`gro`](Self::gro).
    #[must_use]
    pub fn gro(self, gro: bool) -> Self {
        Self { gro, ..self }
    }

    /// Sets [`timestamps`](Self::timestamps).
    #[must_use]
    pub fn timestamps(self, timestamps: bool) -> Self {
        Self { timestamps, ..self }
    }
}

/// A kernel buffer: the size asked for and the size it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Granted {
    /// Bytes asked for; 0 if the system default was left alone.
    pub requested: usize,
    /// Bytes granted, in the terms of the request: Linux reports twice as many, for its own
    /// bookkeeping, and here that doubling is undone.
    pub granted: usize,
    /// The system setting that limits it, as in "net.core.rmem_max".
    pub(super) limit: &'static str,
}

impl Granted {
    /// Whether less was granted than was asked for.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.granted < self.requested
    }

    /// If less was granted than asked for: which system setting to raise and how, as in
    /// "net.core.rmem_max is 4194304; run: sysctl -w net.core.rmem_max=8388608".
    #[must_use]
    pub fn sysctl_hint(&self) -> Option<String> {
        if !self.is_short() {
            return None;
        }
        let Self { requested, limit, .. } = self;
        let is = sysctl(limit)
            .map_or_else(|| format!("{limit} is too small"), |value| format!("{limit} is {value}"));
        Some(format!("{is}; run: sysctl -w {limit}={requested}"))
    }
}

/// The value of a system setting, where settings can be read as files.
fn sysctl(name: &str) -> Option<String> {
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_names_the_limit_and_the_command() {
        let limit = "net.core.rmem_max";
        let short = Granted { requested: 1 << 40, granted: 1 << 20, limit };
        let hint = short.sysctl_hint().unwrap();
        assert!(hint.ends_with("run: sysctl -w net.core.rmem_max=1099511627776"), "{hint}");
        let enough = Granted { requested: 1 << 20, granted: 1 << 20, limit };
        assert_eq!(enough.sysctl_hint(), None);
    }
}
