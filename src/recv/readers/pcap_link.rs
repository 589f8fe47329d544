//! From a captured frame to the UDP datagram in it.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice, ip_number};

/// How frames are wrapped, as numbered on tcpdump.org.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    /// LINKTYPE_ETHERNET, with VLAN tags or without.
    Ethernet,
    /// LINKTYPE_LINUX_SLL: what `tcpdump -i any` used to write.
    Cooked1,
    /// LINKTYPE_LINUX_SLL2: what it writes now.
    Cooked2,
    /// LINKTYPE_RAW, LINKTYPE_IPV4 and LINKTYPE_IPV6: an IP packet and nothing else.
    Ip,
    /// LINKTYPE_NULL and LINKTYPE_LOOP: loopback interfaces of BSD and macOS.
    Loopback,
}

impl Link {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Ethernet),
            113 => Some(Self::Cooked1),
            276 => Some(Self::Cooked2),
            // The first two are what some systems wrote for it before it had a number.
            12 | 14 | 101 | 228 | 229 => Some(Self::Ip),
            0 | 108 => Some(Self::Loopback),
            _ => None,
        }
    }
}

/// A UDP datagram in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Udp<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    /// Whether the capture has only a part of the payload.
    pub(super) is_cut: bool,
}

/// Why a frame has no datagram for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoUdp {
    /// It is of another protocol.
    Other,
    /// It is a part of a fragmented datagram.
    Fragment,
    /// Its headers make no sense, or the capture has only a part of them.
    Malformed,
}

/// The datagram in `frame`.
pub(super) fn udp(link: Link, frame: &[u8]) -> Result<Udp<'_>, NoUdp> {
    let sliced = slice(link, frame)?;
    let (source, destination, ip) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let addresses = (header.source_addr().into(), header.destination_addr().into());
            (addresses.0, addresses.1, ip.payload())
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let addresses = (header.source_addr().into(), header.destination_addr().into());
            (addresses.0, addresses.1, ip.payload())
        }
        Some(LaxNetSlice::Arp(_)) => return Err(NoUdp::Other),
        None if sliced.stop_err.is_some() => return Err(NoUdp::Malformed),
        None => return Err(NoUdp::Other),
    };
    if ip.ip_number != ip_number::UDP {
        return Err(NoUdp::Other);
    }
    if ip.fragmented {
        return Err(NoUdp::Fragment);
    }
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else { return Err(NoUdp::Malformed) };
    let length = usize::from(udp.length());
    // A length of 0 is that of the IP packet; other lengths must be possible.
    if (1..UDP_HEADER).contains(&length) || (!ip.incomplete && length > udp.slice().len()) {
        return Err(NoUdp::Malformed);
    }
    let address = |ip: IpAddr, port| SocketAddr::new(ip, port);
    Ok(Udp {
        source: address(source, udp.source_port()),
        destination: address(destination, udp.destination_port()),
        payload: udp.payload(),
        is_cut: length > udp.slice().len() || (length == 0 && ip.incomplete),
    })
}

/// Bytes of a UDP header, which its length field counts too.
const UDP_HEADER: usize = 8;

/// Finds the headers. Laxly: a frame that is cut short may still be a whole datagram without the
/// padding behind it.
fn slice(link: Link, frame: &[u8]) -> Result<LaxSlicedPacket<'_>, NoUdp> {
    let of_type = |ether_type, payload| {
        LaxSlicedPacket::from_ether_type(EtherType(u16::from_be_bytes(ether_type)), payload)
    };
    match link {
        Link::Ethernet => LaxSlicedPacket::from_ethernet(frame).map_err(|_| NoUdp::Malformed),
        Link::Ip => LaxSlicedPacket::from_ip(frame).map_err(|_| NoUdp::Malformed),
        // Packet type, ARPHRD type, address length, 8 bytes of address, then the protocol.
        Link::Cooked1 => match frame.split_first_chunk::<16>() {
            Some((&[.., high, low], payload)) => Ok(of_type([high, low], payload)),
            None => Err(NoUdp::Malformed),
        },
        // The protocol, then 18 bytes about the interface.
        Link::Cooked2 => match frame.split_first_chunk::<20>() {
            Some((&[high, low, ..], payload)) => Ok(of_type([high, low], payload)),
            None => Err(NoUdp::Malformed),
        },
        Link::Loopback => match frame.split_first_chunk::<4>() {
            Some((&family, payload)) if is_ip_family(family) => {
                LaxSlicedPacket::from_ip(payload).map_err(|_| NoUdp::Malformed)
            }
            Some(_) => Err(NoUdp::Other),
            None => Err(NoUdp::Malformed),
        },
    }
}

/// Whether a loopback frame's address family is one of IP's, in the byte order of the host that
/// captured it, which the file does not tell.
fn is_ip_family(family: [u8; 4]) -> bool {
    // AF_INET is 2 everywhere; AF_INET6 is 10 on Linux, 24 on NetBSD and OpenBSD, 28 on FreeBSD and
    // 30 on macOS.
    let is_ip = |family| matches!(family, 2 | 10 | 24 | 28 | 30);
    is_ip(u32::from_le_bytes(family)) || is_ip(u32::from_be_bytes(family))
}
