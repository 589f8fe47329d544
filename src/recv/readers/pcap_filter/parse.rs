//! Reading filter expressions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::{Ends, Net, Op, PcapFilter, PcapFilterError, Test, bits};

/// How deep parentheses and negations may be nested. It bounds the recursion of the parser, and the
/// operands that wait while a filter is evaluated to what fits a `u64`.
const MAX_DEPTH: usize = 30;

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
                Err(_) => Net::new(partial_v4(address)?.0.into(), prefix),
            };
        }
        if let Ok(address) = word.parse::<Ipv6Addr>() {
            return Net::new(address.into(), 128);
        }
        let (address, prefix) = partial_v4(word)?;
        if self.accept(&["mask"]).is_none() {
            return Net::new(address.into(), prefix);
        }
        let (mask, _) = partial_v4(self.next()?)?;
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
