//! Multicast, over the loopback interface where that does.
//!
//! All is sent with a TTL of 0, so nothing leaves this host. The kernel loops packets
//! back within the send, so a packet that is not wanted and was sent first would be seen first.

mod net_common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use net_common::collect;
use socket2::SockRef;
use speadway::net::{
    Interface, InterfaceInfo, NetError, PacketParts, ReceiverConfig, UdpConfig, UdpReceiver,
    UdpSendConfig, UdpSender, bind_udp, interfaces,
};

fn loopback() -> InterfaceInfo {
    let is_loopback = |info: &InterfaceInfo| info.addresses.iter().any(IpAddr::is_loopback);
    interfaces().unwrap().into_iter().find(is_loopback).expect("a loopback interface")
}

fn on_loopback() -> Interface {
    Interface::Index(loopback().index)
}

fn join(config: &UdpConfig) -> UdpReceiver {
    UdpReceiver::new(bind_udp(config).unwrap(), &ReceiverConfig::default().want_source(true))
}

/// A sender to `group` from `from`, which leaves by `interface`.
fn sender(group: SocketAddr, from: &str, interface: Interface) -> Result<UdpSender, NetError> {
    let bind = SocketAddr::new(from.parse().unwrap(), 0);
    let config = UdpSendConfig::to(group).bind(bind).interface(interface).multicast_ttl(0);
    UdpSender::open(&config)
}

fn send(sender: &mut UdpSender, to: SocketAddr, bytes: &[u8]) -> std::io::Result<usize> {
    sender.send(Some(to), &[PacketParts::new(bytes, &[])])
}

/// An interface over which this machine can send IPv4 multicast that is not the loopback one.
fn second_interface() -> Option<InterfaceInfo> {
    let lo = loopback();
    let is_second = |info: &InterfaceInfo| {
        let has_v4 = info.addresses.iter().any(IpAddr::is_ipv4);
        info.index != lo.index && info.up && info.multicast && has_v4
    };
    let found = interfaces().unwrap().into_iter().find(is_second);
    if found.is_none() {
        eprintln!("this machine has no second multicast interface: that part is not tested");
    }
    found
}

/// An interface, and an address on it, from which this machine can send IPv6 multicast. Loopback
/// usually cannot, for want of a route.
fn v6_multicast() -> Option<(Interface, String)> {
    let group: SocketAddr = "[ff15::7:7148]:9".parse().unwrap();
    let all = interfaces().unwrap();
    let candidates = all.iter().filter(|info| info.up).flat_map(|info| {
        let is_plain = |address: &&IpAddr| match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => !v6.is_unicast_link_local(),
        };
        let addresses = info.addresses.iter().filter(is_plain);
        addresses.map(|address| (Interface::Index(info.index), address.to_string()))
    });
    let works = |(interface, from): &(Interface, String)| {
        sender(group, from, interface.clone())
            .is_ok_and(|mut sender| send(&mut sender, group, b"probe").is_ok_and(|sent| sent == 1))
    };
    let found = candidates.into_iter().find(works);
    if found.is_none() {
        eprintln!("this machine cannot send IPv6 multicast: only joining is tested");
    }
    found
}

#[test]
fn a_group_is_joined_however_the_interface_is_named() {
    let lo = loopback();
    let named = [
        Interface::Index(lo.index),
        Interface::Name(lo.name),
        Interface::Addr(Ipv4Addr::LOCALHOST),
    ];
    for interface in named {
        let config = UdpConfig::new("239.255.77.1:0".parse().unwrap());
        let mut receiver = join(&config.interface(interface.clone()));
        let group = receiver.local_addr();
        let mut sender = sender(group, "127.0.0.1", interface).unwrap();
        send(&mut sender, group, b"to all").unwrap();
        assert_eq!(collect(&mut receiver, 1), [b"to all"]);
    }
}

#[test]
fn every_receiver_of_a_group_gets_a_copy() {
    let config = UdpConfig::new("239.255.77.2:0".parse().unwrap()).interface(on_loopback());
    let mut first = join(&config);
    let group = first.local_addr();
    let mut second = join(&UdpConfig::new(group).interface(on_loopback()));
    let mut sender = sender(group, "127.0.0.1", on_loopback()).unwrap();
    send(&mut sender, group, b"copy").unwrap();
    for receiver in [&mut first, &mut second] {
        assert_eq!(collect(receiver, 1), [b"copy"]);
    }
}

#[test]
fn packets_to_another_group_on_the_same_port_are_not_received() {
    let config = UdpConfig::new("239.255.77.3:0".parse().unwrap()).interface(on_loopback());
    let mut receiver = join(&config);
    let group = receiver.local_addr();
    let other = SocketAddr::from((Ipv4Addr::new(239, 255, 77, 4), group.port()));
    let _joins_other = join(&UdpConfig::new(other).interface(on_loopback()));
    let mut sender = sender(group, "127.0.0.1", on_loopback()).unwrap();
    send(&mut sender, other, b"other").unwrap();
    send(&mut sender, group, b"ours").unwrap();
    assert_eq!(collect(&mut receiver, 1), [b"ours"]);
}

#[test]
fn only_the_chosen_sources_are_received() {
    let mut receiver = join(
        &UdpConfig::new("232.77.77.1:0".parse().unwrap())
            .interface(on_loopback())
            .source("127.0.0.1".parse().unwrap())
            .source("127.0.0.3".parse().unwrap()),
    );
    let group = receiver.local_addr();
    // A socket that takes all sources must not open the door for ours.
    let _takes_all = join(&UdpConfig::new(group).interface(on_loopback()));
    for from in ["127.0.0.2", "127.0.0.1", "127.0.0.3"] {
        let mut sender = sender(group, from, on_loopback()).unwrap();
        send(&mut sender, group, from.as_bytes()).unwrap();
    }
    assert_eq!(collect(&mut receiver, 2), [b"127.0.0.1", b"127.0.0.3"]);
}

#[test]
#[cfg(target_os = "linux")]
fn the_interface_chosen_is_the_only_one_received_from() {
    let config = UdpConfig::new("239.255.77.5:0".parse().unwrap());
    let mut receiver = join(&config.interface(on_loopback()));
    let group = receiver.local_addr();
    if let Some(other) = second_interface() {
        let other = Interface::Index(other.index);
        let mut joined = join(&UdpConfig::new(group).interface(other.clone()));
        let mut sender = sender(group, "0.0.0.0", other).unwrap();
        send(&mut sender, group, b"elsewhere").unwrap();
        assert_eq!(collect(&mut joined, 1), [b"elsewhere"]);
    }
    let mut sender = sender(group, "127.0.0.1", on_loopback()).unwrap();
    send(&mut sender, group, b"here").unwrap();
    assert_eq!(collect(&mut receiver, 1), [b"here"]);
}

#[test]
fn an_ipv6_group_is_joined() {
    for group in ["[ff15::7:1]:0", "[ff02::7:1]:0"] {
        let found = v6_multicast();
        let interface = found.as_ref().map_or_else(on_loopback, |(interface, _)| interface.clone());
        let config = UdpConfig::new(group.parse().unwrap()).interface(interface.clone());
        let mut receiver = join(&config);
        let group = receiver.local_addr();
        assert!(group.ip().is_multicast());
        if let Some((_, from)) = found {
            let mut sender = sender(group, &from, interface).unwrap();
            send(&mut sender, group, b"to all").unwrap();
            assert_eq!(collect(&mut receiver, 1), [b"to all"]);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn only_the_chosen_ipv6_sources_are_received() {
    let (interface, from) = v6_multicast().unwrap_or_else(|| (on_loopback(), String::new()));
    let config = UdpConfig::new("[ff35::7:2]:0".parse().unwrap()).interface(interface.clone());
    let source = from.parse().unwrap_or(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
    let mut ours = join(&config.source(source));
    let group = ours.local_addr();
    let config = UdpConfig::new(group).interface(interface.clone());
    let mut theirs = join(&config.clone().source("2001:db8::1".parse().unwrap()));
    let mut all = join(&config);
    if !from.is_empty() {
        let mut sender = sender(group, &from, interface).unwrap();
        send(&mut sender, group, b"chosen").unwrap();
        assert_eq!(collect(&mut all, 1), [b"chosen"]);
        assert_eq!(collect(&mut ours, 1), [b"chosen"]);
        assert_eq!(theirs.receive().unwrap(), 0);
    }
}

#[test]
fn a_sender_may_keep_packets_from_its_own_host() {
    let group = SocketAddr::from((Ipv4Addr::new(239, 255, 77, 6), 9));
    let config = UdpSendConfig::to(group).interface(on_loopback()).multicast_loop(false);
    let silent = UdpSender::open(&config).unwrap();
    assert!(!SockRef::from(&silent).multicast_loop_v4().unwrap());

    // The loopback interface brings back whatever it is given, so it takes another one to see.
    let Some(other) = second_interface().map(|info| Interface::Index(info.index)) else { return };
    let config = UdpConfig::new((group.ip(), 0).into()).interface(other.clone());
    let mut receiver = join(&config);
    let group = receiver.local_addr();
    let config = UdpSendConfig::to(group).interface(other.clone()).multicast_ttl(0);
    let mut silent = UdpSender::open(&config.multicast_loop(false)).unwrap();
    send(&mut silent, group, b"unheard").unwrap();
    let mut sender = sender(group, "0.0.0.0", other).unwrap();
    send(&mut sender, group, b"heard").unwrap();
    assert_eq!(collect(&mut receiver, 1), [b"heard"]);
}
