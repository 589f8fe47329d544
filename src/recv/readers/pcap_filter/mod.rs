//! Which packets of a capture are wanted, in the language of tcpdump.

mod parse;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// A filter expression as `tcpdump` has them, as far as it can say something of UDP packets.
///
/// | primitive | matches packets |
/// |---|---|
/// | `host 10.0.0.1`, `host fe80::1`, `host name` | from or to an address |
/// | `net 10.1`, `net 10.1.0.0/16`, `net 10.1.0.0 mask 255.255.0.0` | from or to a network |
/// | `port 7148`, `portrange 7148-7151` | from or to UDP ports |
/// | `udp`, `ip`, `ip6`, `proto 17` | of a protocol |
///
/// `src`, `dst`, `src or dst` or `src and dst` before the first three say which end is meant (either,
/// if nothing is said), and `ip` or `ip6` before addresses or `udp` before ports may be said too.
/// Primitives are combined with `not`, `and`, `or` (`!`, `&&`, `||`) and parentheses; `and` and `or`
/// bind equally, from left to right. What was said before a value need not be repeated:
/// `dst port 7148 or 7149`.
///
/// ```
/// use speadway::recv::readers::PcapFilter;
///
/// let filter: PcapFilter = "dst net 239.2.0.0/16 and (port 7148 or 7149)".parse()?;
/// assert!(filter.matches("10.0.0.1:5000".parse()?, "239.2.9.9:7149".parse()?));
/// assert!("port 71480".parse::<PcapFilter>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PcapFilter {
    /// In postfix order; none matches everything.
    program: Vec<Op>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Op {
    Test(Test),
    Not,
    And,
    Or,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Always,
    V4,
    V6,
    Host(Ends, Vec<IpAddr>),
    Net(Ends, Net),
    Ports(Ends, RangeInclusive<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Source,
    Destination,
    Either,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Net {
    address: IpAddr,
    mask: u128,
}

/// Why a filter expression cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcapFilterError {
    expression: String,
    problem: String,
}

impl fmt::Display for PcapFilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the filter '{}': {}", self.expression, self.problem)
    }
}

impl std::error::Error for PcapFilterError {}

impl PcapFilter {
    /// Whether a UDP packet with these ends is wanted.
    #[must_use]
    pub fn matches(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        // A stack of bits, the top lowest; it starts with what an empty program says.
        let mut stack = 1_u64;
        for op in &self.program {
            let (top, next) = (stack & 1, stack >> 1 & 1);
            stack = match op {
                Op::Test(test) => stack << 1 | u64::from(test.matches(source, destination)),
                Op::Not => stack ^ 1,
                Op::And => stack >> 2 << 1 | (top & next),
                Op::Or => stack >> 2 << 1 | (top | next),
            };
        }
        stack & 1 == 1
    }
}

impl Test {
    fn matches(&self, source: SocketAddr, destination: SocketAddr) -> bool {
        match self {
            Self::Always => true,
            Self::V4 => source.is_ipv4(),
            Self::V6 => source.is_ipv6(),
            Self::Host(ends, hosts) => {
                ends.matches(source, destination, |end| hosts.contains(&end.ip()))
            }
            Self::Net(ends, net) => ends.matches(source, destination, |end| net.contains(end.ip())),
            Self::Ports(ends, ports) => {
                ends.matches(source, destination, |end| ports.contains(&end.port()))
            }
        }
    }
}

impl Ends {
    fn matches(
        self,
        from: SocketAddr,
        to: SocketAddr,
        wanted: impl Fn(SocketAddr) -> bool,
    ) -> bool {
        match self {
            Self::Source => wanted(from),
            Self::Destination => wanted(to),
            Self::Either => wanted(from) || wanted(to),
            Self::Both => wanted(from) && wanted(to),
        }
    }
}

/// An address as a number, in the upper bits.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Net {
    fn new(address: IpAddr, prefix: u32) -> Result<Self, String> {
        let width = if address.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return Err(format!("mask length must be at most {width}, not {prefix}"));
        }
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        Self::masked(address, mask)
    }

    fn masked(address: IpAddr, mask: u128) -> Result<Self, String> {
        if bits(address) & !mask != 0 {
            return Err(format!("the network {address} has bits outside its mask"));
        }
        Ok(Self { address, mask })
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && bits(address) & self.mask == bits(self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(filter: &str, source: &str, destination: &str) -> bool {
        let filter: PcapFilter = filter.parse().unwrap();
        filter.matches(source.parse().unwrap(), destination.parse().unwrap())
    }

    /// From 10.1.2.3 port 1000 to 239.1.1.1 port 2000.
    fn v4(filter: &str) -> bool {
        matches(filter, "10.1.2.3:1000", "239.1.1.1:2000")
    }

    fn problem(filter: &str) -> String {
        filter.parse::<PcapFilter>().unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_everything() {
        assert!(v4(""));
        assert!(v4("  "));
        assert_eq!("".parse(), Ok(PcapFilter::default()));
    }

    #[test]
    fn hosts_ports_and_networks_match_either_end() {
        for yes in [
            "host 10.1.2.3",
            "host 239.1.1.1",
            "src host 10.1.2.3",
            "src 10.1.2.3",
            "dst 239.1.1.1",
            "port 1000",
            "port 2000",
            "dst port 2000",
            "udp port 0x7d0",
            "portrange 1999-2001",
            "portrange 2001-1999",
            "net 10",
            "net 10.1",
            "src net 10.1.2",
            "net 10.1.2.3",
            "net 10.0.0.0/8",
            "net 10/8",
            "net 10.1.0.0 mask 255.255.0.0",
            "net 0/0",
            "udp",
            "ip",
            "ip host 10.1.2.3",
            "ip net 10",
            "proto 17",
            "ip proto \\udp",
            "src or dst port 1000",
            "src and dst portrange 1000-2000",
        ] {
            assert!(v4(yes), "{yes}");
        }
        for no in [
            "host 10.1.2.4",
            "dst host 10.1.2.3",
            "src port 2000",
            "dst port 1000",
            "port 3",
            "portrange 1001-1999",
            "net 10.2",
            "dst net 10",
            "src net 239/8",
            "ip6",
            "ip6 host ::1",
            "src and dst port 1000",
        ] {
            assert!(!v4(no), "{no}");
        }
    }

    #[test]
    fn addresses_may_be_ipv6() {
        let v6 = |filter| matches(filter, "[2001:db8::1]:1000", "[ff15::9]:2000");
        assert!(v6("src host 2001:db8::1"));
        assert!(v6("net 2001:db8::/32"));
        assert!(v6("ip6"));
        assert!(v6("ip6 net ff00::/8"));
        assert!(!v6("ip"));
        assert!(!v6("net 0/0"));
        assert!(!v6("dst host 2001:db8::1"));
        assert!(!v4("net ::/0"));
    }

    #[test]
    fn names_are_resolved() {
        assert!(matches("host localhost", "127.0.0.1:1", "10.0.0.1:1"));
    }

    #[test]
    fn conditions_are_combined_from_left_to_right() {
        assert!(v4("port 1000 and port 2000"));
        assert!(v4("port 1000&&(port 3||dst host 239.1.1.1)"));
        assert!(!v4("port 1000 and not port 2000"));
        assert!(v4("not not port 1000"));
        assert!(v4("! port 3"));
        // (yes or no) and no, where `and` binding tighter would say yes.
        assert!(!v4("port 1000 or port 3 and port 4"));
        assert!(v4("port 3 and port 4 or port 1000"));
        assert!(v4("not (port 3 or host 1.2.3.4)"));
        assert!(!v4("not port 3 and port 4"));
        assert!(v4("src host 10.1.2.3 and dst port 2000 or udp"));
    }

    #[test]
    fn what_was_said_before_a_value_need_not_be_repeated() {
        assert!(v4("dst port 3 or 2000"));
        assert!(!v4("dst port 3 or 1000"));
        assert!(v4("host 1.2.3.4 or 10.1.2.3"));
    }

    #[test]
    fn long_chains_and_deep_nesting_are_no_danger() {
        let chain = vec!["port 3"; 100_000].join(" or ");
        assert!(!v4(&chain));
        let deep = format!("{}port 1000{}", "(".repeat(25), ")".repeat(25));
        assert!(v4(&deep));
        let right = format!("{}port 1000{}", "port 3 or (".repeat(25), ")".repeat(25));
        assert!(v4(&right));
        assert!(problem(&"(".repeat(100_000)).contains("nested"));
        assert!(problem(&"not ".repeat(100_000)).contains("nested"));
    }

    #[test]
    fn problems_are_named() {
        for (filter, what) in [
            ("port", "value is expected"),
            ("port 3 and", "condition is expected"),
            ("not", "condition is expected"),
            ("and", "'and' is not understood"),
            ("(port 3", "')' is missing"),
            ("port 3)", "before ')'"),
            ("port 3 port 4", "before 'port'"),
            ("port 70000", "illegal port number 70000 > 65535"),
            ("port ssh", "'ssh' is no port number"),
            ("net 10.1.2.3/8", "outside its mask"),
            ("net 10.0.0.0/33", "at most 32"),
            ("net 1.2.3.4.5", "is no network"),
            ("host 10.0.0.0/8", "unknown host"),
            ("tcp", "rejects all packets"),
            ("tcp port 3", "rejects all packets"),
            ("proto 6", "no UDP packet is of protocol 6"),
            ("udp host 1.2.3.4", "of ports only"),
            ("ip port 3", "of addresses only"),
            ("src proto 17", "cannot be said of a protocol"),
            ("vlan", "'vlan' is not understood"),
            ("1.2.3.4", "'1.2.3.4' is not understood"),
            ("udp[0:2] = 3", "'[' is not understood"),
            ("port 3 & port 4", "'&' is not understood"),
        ] {
            let text = problem(filter);
            assert!(text.contains(what), "{filter}: {text}");
            assert!(text.contains(filter), "{text}");
        }
    }
}
