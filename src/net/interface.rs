//! Which network interface to use, and which there are.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ptr;

use super::error::{Attempt, NetError};
use super::raw::{check, from_c};

/// The network interface that a multicast group is joined on or sent from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Interface {
    /// Whichever the routing table chooses.
    #[default]
    Any,
    /// The one with this IPv4 address. It may also name the interface for an IPv6 group.
    Addr(Ipv4Addr),
    /// The one with this index, as in `ip link`. Zero is the same as [`Any`](Self::Any).
    Index(u32),
    /// The one with this name, as in "eth0".
    Name(String),
}

impl Interface {
    /// True if the choice is left to the routing table.
    #[must_use]
    pub fn is_any(&self) -> bool {
        match self {
            Self::Any | Self::Index(0) => true,
            Self::Addr(address) => address.is_unspecified(),
            Self::Index(_) | Self::Name(_) => false,
        }
    }

    /// The index of the interface on this host; 0 if the choice is left to the routing table.
    ///
    /// # Errors
    /// [`NetError::NoInterface`] if no interface of this host matches.
    pub fn resolve(&self) -> Result<u32, NetError> {
        if self.is_any() { Ok(0) } else { self.find().map(|found| found.index) }
    }

    /// The first IPv4 address of the interface, as needed to choose where multicast leaves.
    pub(super) fn resolve_v4(&self) -> Result<Ipv4Addr, NetError> {
        match self {
            Self::Addr(address) => self.resolve().map(|_| *address),
            _ if self.is_any() => Ok(Ipv4Addr::UNSPECIFIED),
            _ => self.find()?.first_v4().ok_or_else(|| {
                NetError::bad_config(format!(
                    "the interface {self:?} has no IPv4 address to send IPv4 multicast from"
                ))
            }),
        }
    }

    fn find(&self) -> Result<InterfaceInfo, NetError> {
        let all = interfaces().attempt(|| "list the network interfaces")?;
        let missing = || NetError::NoInterface { wanted: self.wanted(), known: describe(&all) };
        all.iter().find(|info| self.matches(info)).cloned().ok_or_else(missing)
    }

    fn matches(&self, info: &InterfaceInfo) -> bool {
        match self {
            Self::Any => false,
            Self::Addr(address) => info.addresses.contains(&IpAddr::V4(*address)),
            Self::Index(index) => info.index == *index,
            Self::Name(name) => info.name == *name,
        }
    }

    fn wanted(&self) -> String {
        match self {
            Self::Any => "at all".to_owned(),
            Self::Addr(address) => format!("has the address {address}"),
            Self::Index(index) => format!("has the index {index}"),
            Self::Name(name) => format!("is called {name}"),
        }
    }
}

/// One network interface of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceInfo {
    /// Its name, as in "eth0".
    pub name: String,
    /// Its index, from 1.
    pub index: u32,
    /// Its addresses of both families.
    pub addresses: Vec<IpAddr>,
    /// Whether it is up.
    pub up: bool,
    /// Whether it can carry multicast. (Linux does not set this on `lo`, where it works anyway.)
    pub multicast: bool,
}

impl InterfaceInfo {
    fn first_v4(&self) -> Option<Ipv4Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V4(v4) => Some(*v4),
            IpAddr::V6(_) => None,
        })
    }
}

fn describe(all: &[InterfaceInfo]) -> String {
    let one = |info: &InterfaceInfo| match info.first_v4() {
        Some(address) => format!("{} ({address})", info.name),
        None => info.name.clone(),
    };
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The network interfaces of this host.
///
/// # Errors
/// What `getifaddrs` reports.
pub fn interfaces() -> io::Result<Vec<InterfaceInfo>> {
    let list = AddressList::read()?;
    let mut all: Vec<InterfaceInfo> = Vec::new();
    for entry in list.iter() {
        let info = match all.iter().position(|info| info.name.as_bytes() == entry.name.to_bytes()) {
            Some(at) => &mut all[at],
            None => {
                all.push(entry.describe());
                let last = all.len() - 1;
                &mut all[last]
            }
        };
        info.addresses.extend(entry.address);
    }
    // An interface that went away between the two calls has no index any more.
    all.retain(|info| info.index != 0);
    Ok(all)
}

/// One address of one interface.
struct Entry<'a> {
    name: &'a CStr,
    flags: libc::c_int,
    address: Option<IpAddr>,
}

impl Entry<'_> {
    fn describe(&self) -> InterfaceInfo {
        // SAFETY: `name` is a C string; the call only reads it.
        let index = unsafe { libc::if_nametoindex(self.name.as_ptr()) };
        InterfaceInfo {
            name: self.name.to_string_lossy().into_owned(),
            index,
            addresses: Vec::new(),
            up: self.flags & libc::IFF_UP != 0,
            multicast: self.flags & libc::IFF_MULTICAST != 0,
        }
    }
}

/// The linked list that `getifaddrs` allocates, freed on drop.
struct AddressList(*mut libc::ifaddrs);

impl AddressList {
    fn read() -> io::Result<Self> {
        let mut head = ptr::null_mut();
        // SAFETY: `head` is a valid place for the call to store the list's address.
        check(unsafe { libc::getifaddrs(&raw mut head) })?;
        Ok(Self(head))
    }

    fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut next = self.0;
        std::iter::from_fn(move || {
            // SAFETY: `next` is null or a node of the list, which lives as long as `self`.
            let node = unsafe { next.as_ref() }?;
            next = node.ifa_next;
            // SAFETY: every node has a name: a C string that lives as long as the list.
            let name = unsafe { CStr::from_ptr(node.ifa_name) };
            // SAFETY: `ifa_addr` is null or a whole address of the family it states.
            let address = unsafe { from_c(node.ifa_addr) }.map(|address| address.ip());
            Some(Entry { name, flags: node.ifa_flags as libc::c_int, address })
        })
    }
}

impl Drop for AddressList {
    fn drop(&mut self) {
        // SAFETY: the list came from `getifaddrs` and nothing borrowed from it outlives `self`.
        unsafe { libc::freeifaddrs(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> InterfaceInfo {
        let is_loopback = |info: &InterfaceInfo| info.addresses.iter().any(IpAddr::is_loopback);
        interfaces().unwrap().into_iter().find(is_loopback).expect("a loopback interface")
    }

    #[test]
    fn every_way_of_naming_finds_the_same_interface() {
        let lo = loopback();
        assert_eq!(Interface::Addr(Ipv4Addr::LOCALHOST).resolve().unwrap(), lo.index);
        assert_eq!(Interface::Index(lo.index).resolve().unwrap(), lo.index);
        assert_eq!(Interface::Name(lo.name).resolve().unwrap(), lo.index);
        assert_eq!(Interface::Index(lo.index).resolve_v4().unwrap(), Ipv4Addr::LOCALHOST);
    }

    #[test]
    fn any_leaves_the_choice_to_the_routes() {
        assert_eq!(Interface::Any.resolve().unwrap(), 0);
        assert_eq!(Interface::Addr(Ipv4Addr::UNSPECIFIED).resolve().unwrap(), 0);
        assert_eq!(Interface::Index(0).resolve_v4().unwrap(), Ipv4Addr::UNSPECIFIED);
    }

    #[test]
    fn a_missing_interface_is_named_beside_those_there_are() {
        let text = Interface::Name("nosuchif9".into()).resolve().unwrap_err().to_string();
        assert!(text.contains("is called nosuchif9"), "{text}");
        assert!(text.contains("(127.0.0.1)"), "{text}");
        let text = Interface::Addr(Ipv4Addr::new(203, 0, 113, 77)).resolve().unwrap_err();
        assert!(text.to_string().contains("has the address 203.0.113.77"), "{text}");
    }
}
