//! Questions to the drivers of network interfaces, as the program `ethtool` asks them.
#![cfg_attr(target_os = "linux", allow(unsafe_code))]

use std::io;

/// Words of the longest answer, and a few more.
#[cfg(target_os = "linux")]
const ROOM: usize = 32;

/// What can be asked. The numbers are from linux/ethtool.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Query {
    /// `struct ethtool_ringparam`
    Rings,
    /// `struct ethtool_value`: whether GRO is on
    Gro,
    /// `struct ethtool_coalesce`
    Coalesce,
    /// `struct ethtool_pauseparam`
    Pause,
}

impl Query {
    /// The command.
    #[cfg(target_os = "linux")]
    fn command(self) -> u32 {
        match self {
            Self::Coalesce => 0x0e,
            Self::Rings => 0x10,
            Self::Pause => 0x12,
            Self::Gro => 0x2b,
        }
    }

    /// Words of the structure, without the command that it begins with.
    pub(super) const fn words(self) -> usize {
        match self {
            Self::Gro => 1,
            Self::Pause => 3,
            Self::Rings => 8,
            Self::Coalesce => 22,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Gro => "gro",
            Self::Coalesce => "coalesce",
            Self::Pause => "pause",
        }
    }

    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Rings => "the sizes of its rings",
            Self::Gro => "whether it merges packets",
            Self::Coalesce => "how it moderates interrupts",
            Self::Pause => "whether it obeys pause frames",
        }
    }
}

/// The words of the answer, without the command.
#[cfg(target_os = "linux")]
pub(super) fn ask(interface: &str, query: Query) -> io::Result<Vec<u32>> {
    use std::net::{Ipv4Addr, UdpSocket};
    use std::os::fd::AsRawFd;

    /// From linux/sockios.h.
    const SIOCETHTOOL: u32 = 0x8946;
    const _: () = assert!(Query::Coalesce.words() < ROOM);

    let mut answer = [0_u32; ROOM];
    answer[0] = query.command();
    // SAFETY: all-zero bytes are a valid `ifreq`: integers, and unions of integers and pointers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if interface.is_empty() || interface.len() >= request.ifr_name.len() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no name of an interface"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = answer.as_mut_ptr().cast();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    // SAFETY: the kernel reads `request`, whose name ends with a zero, and writes the structure of
    // the command, at most `ROOM` words, to `answer`; both outlive the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(answer[1..=query.words()].to_vec())
}

/// Elsewhere there is no such question.
#[cfg(not(target_os = "linux"))]
pub(super) fn ask(_interface: &str, _query: Query) -> io::Result<Vec<u32>> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn loopback_merges_packets() {
        assert_eq!(ask("lo", Query::Gro).unwrap(), [1]);
    }

    #[test]
    fn what_is_no_interface_is_refused() {
        for name in ["", "nosuchif9", "a-name-that-is-too-long"] {
            assert!(ask(name, Query::Rings).is_err(), "{name}");
        }
    }
}
