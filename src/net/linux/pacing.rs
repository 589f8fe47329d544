//! Whether the kernel paces what leaves for a destination: asked over rtnetlink, as `ip` and `tc` do.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};
use rustix::time::{ClockId, DynamicClockId, clock_gettime, clock_gettime_dynamic};

use super::super::pacing::Discipline;

/// Lengths of the structs in linux/netlink.h, rtnetlink.h: `nlmsghdr`, `rtmsg`, `tcmsg`, `rtattr`.
const HEADER: usize = 16;
const ROUTE: usize = 12;
const DISCIPLINE: usize = 20;
const ATTRIBUTE: usize = 4;

/// The parent of the queueing discipline that all packets of an interface pass (`TC_H_ROOT` in
/// linux/pkt_sched.h).
const ROOT: u32 = u32::MAX;

/// The attribute with how many packets of a flow `fq` keeps (`TCA_FQ_FLOW_PLIMIT` there), and how many
/// it does unless it is told otherwise.
const FQ_FLOW_LIMIT: u16 = 2;
const USUAL_FLOW_LIMIT: u32 = 100;

/// The attribute with the settings of `etf`, `tc_etf_qopt` (linux/pkt_sched.h): `delta`, `clockid` and
/// flags, one of which turns departure times into deadlines.
const ETF_SETTINGS: u16 = 1;
const ETF_DEADLINES: u32 = 1;

/// As much as the kernel puts in one datagram of a dump (`NLMSG_GOODSIZE` is at most 8 KiB, dumps use
/// up to 32 KiB).
const DATAGRAM: usize = 32 * 1024;

/// The index of the interface that packets to `destination` leave from.
pub(in super::super) fn outgoing(destination: SocketAddr) -> io::Result<u32> {
    let (family, address): (i32, &[u8]) = match &destination.ip() {
        IpAddr::V4(address) => (libc::AF_INET, &address.octets()),
        IpAddr::V6(address) => (libc::AF_INET6, &address.octets()),
    };
    let mut body = [0; ROUTE].to_vec();
    (body[0], body[1]) = (family as u8, (8 * address.len()) as u8);
    push_attribute(&mut body, libc::RTA_DST, address);
    let mut found = None;
    ask(libc::RTM_GETROUTE, 0, &body, |kind, answer| {
        if kind == libc::RTM_NEWROUTE {
            found = attribute(answer, ROUTE, libc::RTA_OIF).and_then(number);
        }
    })?;
    found.ok_or_else(|| io::Error::other(format!("the kernel names no interface to {destination}")))
}

/// A queueing discipline of interface `index` that paces, and how many packets of a flow it keeps.
pub(in super::super) fn discipline(index: u32) -> io::Result<Option<(Discipline, u32)>> {
    let mut found = None;
    let dump = (libc::NLM_F_ROOT | libc::NLM_F_MATCH) as u16;
    ask(libc::RTM_GETQDISC, dump, &[0; DISCIPLINE], |kind, answer| {
        if kind == libc::RTM_NEWQDISC && answer.get(4..8).and_then(number) == Some(index) {
            found = found.or_else(|| pacing(answer));
        }
    })?;
    Ok(found)
}

/// Which of those that pace a queueing discipline is.
fn pacing(answer: &[u8]) -> Option<(Discipline, u32)> {
    let options = attribute(answer, DISCIPLINE, libc::TCA_OPTIONS);
    let setting = |kind| options.and_then(|options| attribute(options, 0, kind));
    match attribute(answer, DISCIPLINE, libc::TCA_KIND)? {
        // Also one of several, below `mq`: they are alike, as a rule.
        b"fq\0" => {
            let limit = setting(FQ_FLOW_LIMIT).and_then(number);
            Some((Discipline::Fq, limit.unwrap_or(USUAL_FLOW_LIMIT)))
        }
        // What does not pass it, or passes `fq` too, would leave at any time.
        b"etf\0" if answer.get(12..16).and_then(number) == Some(ROOT) => {
            let flags = setting(ETF_SETTINGS)?.get(8..12).and_then(number)?;
            (flags & ETF_DEADLINES == 0).then_some((Discipline::Etf, u32::MAX))
        }
        _ => None,
    }
}

/// The time now by the clock of a queueing discipline, in nanoseconds.
pub(in super::super) fn nanos(discipline: Discipline) -> u64 {
    let now = match discipline {
        Discipline::Fq => clock_gettime(ClockId::Monotonic),
        // It is there since 3.10, so that the call does not fail.
        Discipline::Etf => clock_gettime_dynamic(DynamicClockId::Tai).unwrap_or_default(),
    };
    // Neither was negative since 1970.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Sends a request and calls `each` with the type and body of each answer.
fn ask(request: u16, flags: u16, body: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let kernel = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.extend(((HEADER + body.len()) as u32).to_ne_bytes());
    message.extend(request.to_ne_bytes());
    message.extend((libc::NLM_F_REQUEST as u16 | flags).to_ne_bytes());
    // The number of the request, and the port: the kernel fills it in.
    message.extend([0; 8]);
    message.extend(body);
    send(&kernel, &message, SendFlags::empty())?;
    let mut buffer = vec![0; DATAGRAM];
    loop {
        if answers(&kernel, &mut buffer, &mut each)? || flags == 0 {
            return Ok(());
        }
    }
}

/// Receives answers; true if they were the last.
fn answers(
    kernel: &OwnedFd,
    buffer: &mut [u8],
    each: &mut impl FnMut(u16, &[u8]),
) -> io::Result<bool> {
    let (_, len) = recv(kernel, &mut *buffer, RecvFlags::empty())?;
    let mut rest = &buffer[..len.min(buffer.len())];
    while let Some((kind, body, others)) = first_message(rest) {
        match i32::from(kind) {
            libc::NLMSG_DONE => return Ok(true),
            libc::NLMSG_ERROR => {
                let code = body.get(..4).and_then(number).unwrap_or_default() as i32;
                return Err(io::Error::from_raw_os_error(-code));
            }
            _ => each(kind, body),
        }
        rest = others;
    }
    // Nothing at all would come again and again.
    Ok(len == 0)
}

/// The type and body of the first of some messages, and the others.
fn first_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let len = number(bytes.get(..4)?)? as usize;
    let kind = u16::from_ne_bytes([*bytes.get(4)?, *bytes.get(5)?]);
    let body = bytes.get(HEADER..len)?;
    Some((kind, body, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// The value of the attribute of type `wanted` behind a struct of `start` bytes.
fn attribute(body: &[u8], start: usize, wanted: u16) -> Option<&[u8]> {
    let mut rest = body.get(start..)?;
    loop {
        let len = usize::from(u16::from_ne_bytes([*rest.first()?, *rest.get(1)?]));
        let kind = u16::from_ne_bytes([*rest.get(2)?, *rest.get(3)?]);
        let value = rest.get(ATTRIBUTE..len)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(len.next_multiple_of(4)..)?;
    }
}

fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(((ATTRIBUTE + value.len()) as u16).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_and_does_not_pace() {
        for local in ["127.0.0.1:1", "[::1]:1"] {
            let index = outgoing(local.parse().unwrap()).unwrap();
            assert_eq!(index, 1, "the kernel makes it first");
            assert_eq!(discipline(index).unwrap(), None);
        }
    }

    /// An answer as the kernel gives it, with these attributes behind its struct.
    fn answer(parent: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; DISCIPLINE];
        body[12..16].copy_from_slice(&parent.to_ne_bytes());
        attributes.iter().for_each(|(kind, value)| push_attribute(&mut body, *kind, value));
        body
    }

    #[test]
    fn disciplines_pace_that_keep_the_times_of_all_packets() {
        let etf = |parent, flags: u32| {
            // With a delta of 300 us, by CLOCK_TAI.
            let settings = [300_000, libc::CLOCK_TAI as u32, flags].map(u32::to_ne_bytes).concat();
            let mut options = Vec::new();
            push_attribute(&mut options, ETF_SETTINGS, &settings);
            let kind = (libc::TCA_KIND, &b"etf\0"[..]);
            pacing(&answer(parent, &[kind, (libc::TCA_OPTIONS, &options)]))
        };
        assert_eq!(etf(ROOT, 0), Some((Discipline::Etf, u32::MAX)));
        assert_eq!(etf(ROOT, ETF_DEADLINES), None);
        assert_eq!(etf(0x0001_0001, 0), None);
        let mut limit = Vec::new();
        push_attribute(&mut limit, 1, &10_000_u32.to_ne_bytes());
        push_attribute(&mut limit, FQ_FLOW_LIMIT, &700_u32.to_ne_bytes());
        for (parent, kind, options, expected) in [
            (ROOT, &b"fq\0"[..], &[][..], Some((Discipline::Fq, 100))),
            (0x0001_0001, b"fq\0", &limit, Some((Discipline::Fq, 700))),
            (ROOT, b"fq_codel\0", &limit, None),
            (ROOT, b"etf\0", &[], None),
        ] {
            let attributes = [(libc::TCA_KIND, kind), (libc::TCA_OPTIONS, options)];
            assert_eq!(pacing(&answer(parent, &attributes)), expected);
        }
    }

    #[test]
    fn answers_are_read_whatever_they_are() {
        for len in 0..64 {
            for byte in [0, 1, 3, 8, 255] {
                let bytes = vec![byte; len];
                let _ = first_message(&bytes);
                let _ = attribute(&bytes, 4, 1);
            }
        }
        let mut body = vec![7; 4];
        push_attribute(&mut body, 9, b"first");
        push_attribute(&mut body, 1, b"fq\0");
        assert_eq!(attribute(&body, 4, 1), Some(&b"fq\0"[..]));
        assert_eq!(attribute(&body, 4, 2), None);
    }
}
