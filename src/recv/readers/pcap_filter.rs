//! Which packets of a capture are wanted, in the language of tcpdump.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;

/// How deep parentheses and negations may be nested. It bounds the recursion of the parser, and the
/// operands that wait while a filter is evaluated to what fits a `u64`.
const MAX_DEPTH: usize = 30;

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

    /// `10.1` and the number of bits that it says: 16.
    fn partial_v4(text: &str) -> Result<(Ipv4Addr, u32), String> {
        let parse = |part: &str| part.parse::<u8>().map_err(|_| format!("'{text}' is no network"));
        let parts = text.split('.').map(parse).collect::<Result<Vec<_>, _>>()?;
        let mut octets = [0; 4];
        match octets.get_mut(..parts.len()) {
            Some(start) => start.copy_from_slice(&parts),
            None => return Err(format!("'{text}' is no network")),
        }
        // At most four parts of 8 bits.
        Ok((octets.into(), 8 * parts.len() as u32))
    }
}

impl FromStr for PcapFilter {
    type Err = PcapFilterError;

    fn from_str(expression: &str) -> Result<Self, PcapFilterError> {
        let fail = |problem| PcapFilterError { expression: expression.to_owned(), problem };
        let words = words(expression).map_err(fail)?;
        let mut parser = Parser { words, at: 0, said: None, program: Vec::new() };
        if parser.words.is_empty() {
            return Ok(Self::default());
        }
        parser.expression(0).map_err(fail)?;
        match parser.peek() {
            None => Ok(Self { program: parser.program }),
            Some(word) => Err(fail(format!("'and' or 'or' is missing before '{word}'"))),
        }
    }
}

/// Words and symbols.
fn words(expression: &str) -> Result<Vec<&str>, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "._-:/\\".contains(c);
    let mut words = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '(' | ')' | '!' => 1,
            '&' | '|' if rest[1..].starts_with(first) => 2,
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            other => return Err(format!("'{other}' is not understood here")),
        };
        let (word, behind) = rest.split_at(length);
        words.push(word);
        rest = behind.trim_start();
    }
    Ok(words)
}

/// What is said before a value.
#[derive(Clone, Copy)]
struct Qualifiers {
    version: Option<Version>,
    is_udp: bool,
    ends: Ends,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Protocol,
}

struct Parser<'a> {
    words: Vec<&'a str>,
    at: usize,
    /// The last qualifiers, for values without.
    said: Option<Qualifiers>,
    program: Vec<Op>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    /// Passes the next word if it is one of these, and says which.
    fn accept(&mut self, wanted: &[&str]) -> Option<&'a str> {
        let word = self.peek().filter(|word| wanted.contains(word))?;
        self.at += 1;
        Some(word)
    }

    fn next(&mut self) -> Result<&'a str, String> {
        let word = self.peek().ok_or("it ends where a value is expected")?;
        self.at += 1;
        Ok(word)
    }

    fn expression(&mut self, depth: usize) -> Result<(), String> {
        self.term(depth)?;
        while let Some(word) = self.accept(&["and", "&&", "or", "||"]) {
            self.term(depth)?;
            self.program.push(if matches!(word, "and" | "&&") { Op::And } else { Op::Or });
        }
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested more than {MAX_DEPTH} deep"));
        }
        if self.accept(&["not", "!"]).is_some() {
            self.term(depth + 1)?;
            self.program.push(Op::Not);
            return Ok(());
        }
        if self.accept(&["("]).is_some() {
            self.expression(depth + 1)?;
            return match self.accept(&[")"]) {
                Some(_) => Ok(()),
                None => Err("a ')' is missing".to_owned()),
            };
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Result<(), String> {
        let start = self.at;
        let version = self.accept(&["ip", "ip6"]);
        let version = version.map(|word| if word == "ip" { Version::V4 } else { Version::V6 });
        let is_udp = version.is_none() && self.accept(&["udp"]).is_some();
        let ends = self.ends()?;
        let kind = self.kind().or_else(|| ends.map(|_| Kind::Host));
        let Some(kind) = kind else {
            if self.at > start {
                let test = match version {
                    None => Test::Always,
                    Some(Version::V4) => Test::V4,
                    Some(Version::V6) => Test::V6,
                };
                self.program.push(Op::Test(test));
                return Ok(());
            }
            return self.bare();
        };
        let said = Qualifiers { version, is_udp, ends: ends.unwrap_or(Ends::Either), kind };
        said.check(ends.is_some())?;
        self.said = Some(said);
        self.value(said)
    }

    fn ends(&mut self) -> Result<Option<Ends>, String> {
        let Some(first) = self.accept(&["src", "dst"]) else { return Ok(None) };
        let one = if first == "src" { Ends::Source } else { Ends::Destination };
        let other = if first == "src" { "dst" } else { "src" };
        let rest = (self.peek(), self.words.get(self.at + 1));
        let both = match rest {
            (Some("or" | "||"), Some(word)) if *word == other => Ends::Either,
            (Some("and" | "&&"), Some(word)) if *word == other => Ends::Both,
            _ => return Ok(Some(one)),
        };
        // `src port 1 or dst port 2` is no such case: there a value comes before the `or`.
        self.at += 2;
        Ok(Some(both))
    }

    fn kind(&mut self) -> Option<Kind> {
        let word = self.accept(&["host", "net", "port", "portrange", "proto"])?;
        Some(match word {
            "host" => Kind::Host,
            "net" => Kind::Net,
            "port" => Kind::Port,
            "portrange" => Kind::PortRange,
            _ => Kind::Protocol,
        })
    }

    /// A value without qualifiers: those of the one before, or a word that is not understood.
    fn bare(&mut self) -> Result<(), String> {
        let Some(word) = self.peek() else {
            return Err("it ends where a condition is expected".to_owned());
        };
        match self.said {
            Some(said) if word.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':') => {
                self.value(said)
            }
            _ => Err(unknown(word)),
        }
    }

    fn value(&mut self, said: Qualifiers) -> Result<(), String> {
        let word = self.next()?;
        let test = match said.kind {
            Kind::Host => Test::Host(said.ends, hosts(word)?),
            Kind::Net => Test::Net(said.ends, self.net(word)?),
            Kind::Port => {
                let port = port(word)?;
                Test::Ports(said.ends, port..=port)
            }
            Kind::PortRange => Test::Ports(said.ends, port_range(word)?),
            Kind::Protocol if matches!(word, "17" | "udp" | "\\udp") => Test::Always,
            Kind::Protocol => return Err(format!("no UDP packet is of protocol {word}")),
        };
        self.program.push(Op::Test(test));
        if let Some(version) = said.version {
            let test = if version == Version::V4 { Test::V4 } else { Test::V6 };
            self.program.extend([Op::Test(test), Op::And]);
        }
        Ok(())
    }

    fn net(&mut self, word: &str) -> Result<Net, String> {
        if let Some((address, prefix)) = word.split_once('/') {
            let prefix = prefix.parse().map_err(|_| format!("'{prefix}' is no mask length"))?;
            return match address.parse::<Ipv6Addr>() {
                Ok(address) => Net::new(address.into(), prefix),
                Err(_) => Net::new(Net::partial_v4(address)?.0.into(), prefix),
            };
        }
        if let Ok(address) = word.parse::<Ipv6Addr>() {
            return Net::new(address.into(), 128);
        }
        let (address, prefix) = Net::partial_v4(word)?;
        if self.accept(&["mask"]).is_none() {
            return Net::new(address.into(), prefix);
        }
        let (mask, _) = Net::partial_v4(self.next()?)?;
        Net::masked(address.into(), bits(mask.into()))
    }
}

impl Qualifiers {
    fn check(self, has_ends: bool) -> Result<(), String> {
        let of_ports = matches!(self.kind, Kind::Port | Kind::PortRange);
        if self.is_udp && !of_ports {
            return Err("'udp' can be said of ports only".to_owned());
        }
        if self.version.is_some() && of_ports {
            return Err("'ip' and 'ip6' can be said of addresses only".to_owned());
        }
        if has_ends && self.kind == Kind::Protocol {
            return Err("'src' and 'dst' cannot be said of a protocol".to_owned());
        }
        Ok(())
    }
}

fn unknown(word: &str) -> String {
    match word {
        "tcp" | "icmp" | "icmp6" | "arp" | "igmp" | "sctp" => {
            format!("expression rejects all packets: none of '{word}' is a UDP packet")
        }
        _ => format!(
            "'{word}' is not understood here; there are host, net, port, portrange and proto, with \
             src or dst, udp, ip and ip6, combined with and, or, not and parentheses"
        ),
    }
}

fn hosts(word: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = word.parse() {
        return Ok(vec![address]);
    }
    let found =
        (word, 0).to_socket_addrs().map_err(|error| format!("unknown host '{word}': {error}"))?;
    Ok(found.map(|address| address.ip()).collect())
}

fn port(word: &str) -> Result<u16, String> {
    let number = match word.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => word.parse(),
    };
    let number = number.map_err(|_| format!("'{word}' is no port number"))?;
    u16::try_from(number).map_err(|_| format!("illegal port number {number} > 65535"))
}

fn port_range(word: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    let (first, last) = (port(first)?, port(last)?);
    Ok(first.min(last)..=first.max(last))
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
