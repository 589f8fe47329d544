//! Socket buffers, queues, and what the kernel has dropped.

use speadway::net::DEFAULT_SEND_BUFFER;

use super::Wanted;
use super::finding::{Finding, Found, Unseen};
use super::host::Host;
use crate::units::Bytes;

/// What sockets get that ask for nothing, in most kernels (`SK_RMEM_MAX` in include/net/sock.h).
const USUAL_DEFAULT: u64 = 212_992;

/// The limit on receive buffers.
pub(super) fn rmem_max(host: &Host, wanted: &Wanted) -> Found {
    let path = "/proc/sys/net/core/rmem_max";
    let needed = wanted.buffer as u64;
    let limit: u64 = host.number(path)?;
    if limit >= needed {
        return Ok(vec![Finding::ok(format!("receive buffers may have {}", Bytes(limit)))]);
    }
    let why = format!(
        "a receiving thread that is late by a millisecond needs room for a millisecond of data; \
         without CAP_NET_ADMIN, sockets that ask for {} get {}",
        Bytes(needed),
        Bytes(limit)
    );
    let finding = Finding::problem(format!("receive buffers may have only {}", Bytes(limit)), why);
    Ok(vec![finding.run(format!("sysctl -w net.core.rmem_max={needed}"))])
}

/// What sockets get that do not ask.
pub(super) fn rmem_default(host: &Host, _wanted: &Wanted) -> Found {
    let size: u64 = host.number("/proc/sys/net/core/rmem_default")?;
    let found = format!("receive buffers that nobody sized have {}", Bytes(size));
    if size >= USUAL_DEFAULT {
        return Ok(vec![Finding::ok(found)]);
    }
    let why = "less than usual; sockets that are made elsewhere and handed to speadway keep theirs";
    let command = format!("sysctl -w net.core.rmem_default={USUAL_DEFAULT}");
    Ok(vec![Finding::advice(found, why).run(command)])
}

/// The limit on send buffers.
pub(super) fn wmem_max(host: &Host, _wanted: &Wanted) -> Found {
    let limit: u64 = host.number("/proc/sys/net/core/wmem_max")?;
    let needed = DEFAULT_SEND_BUFFER as u64;
    if limit >= needed {
        return Ok(vec![Finding::ok(format!("send buffers may have {}", Bytes(limit)))]);
    }
    let found = format!("send buffers may have only {}", Bytes(limit));
    let why = format!("senders ask for {}; with less they wait more often", Bytes(needed));
    let command = format!("sysctl -w net.core.wmem_max={needed}");
    Ok(vec![Finding::advice(found, why).run(command)])
}

/// The queues between drivers and protocols, one for each core.
pub(super) fn backlog(host: &Host, _wanted: &Wanted) -> Found {
    let limit: u64 = host.number("/proc/sys/net/core/netdev_max_backlog")?;
    let text = host.text("/proc/net/softnet_stat")?;
    // Hexadecimal: packets processed, dropped for want of room, and times the budget was used up
    // (softnet_seq_show in net/core/net-procfs.c).
    let column = |at: usize| -> u64 {
        let words = text.lines().filter_map(|line| line.split_whitespace().nth(at));
        words.filter_map(|word| u64::from_str_radix(word, 16).ok()).sum()
    };
    let (dropped, squeezed) = (column(1), column(2));
    let mut findings = Vec::new();
    if dropped > 0 {
        let found = format!("{dropped} packets were dropped since boot: a core's queue was full");
        let why = format!(
            "loopback, veth and packets steered to other cores pass through that queue, which has \
             room for {limit}"
        );
        let command = format!("sysctl -w net.core.netdev_max_backlog={}", limit.max(1000) * 2);
        findings.push(Finding::advice(found, why).run(command));
    } else {
        findings.push(Finding::ok(format!("queues of {limit} packets a core never overflowed")));
    }
    // Once in a while is usual.
    if squeezed > column(0) / 1000 && squeezed > 100 {
        let found = format!("the kernel ran out of its budget {squeezed} times since boot");
        let why = "it then leaves packets in the interface's ring until its next turn";
        let finding = Finding::note(found, why);
        findings.push(finding.run("sysctl -w net.core.netdev_budget=600"));
    }
    Ok(findings)
}

/// Drops of the sockets that are open.
pub(super) fn socket_drops(host: &Host, _wanted: &Wanted) -> Found {
    let mut losing = Vec::new();
    let mut sockets = 0;
    for path in ["/proc/net/udp", "/proc/net/udp6"] {
        // A host without IPv6 has only the first.
        if path.ends_with('6') && !host.has(path) {
            continue;
        }
        for line in host.text(path)?.lines().skip(1) {
            sockets += 1;
            losing.extend(drops_of(line).filter(|&(_, drops)| drops > 0));
        }
    }
    if losing.is_empty() {
        return Ok(vec![Finding::ok(format!("none of {sockets} open UDP sockets lost a packet"))]);
    }
    let finding = |(port, drops)| {
        let found = format!("the socket on UDP port {port} has lost {drops} packets");
        let why = "its buffer was full: its reader is too slow, or away for too long; pin it to a \
                   core of its own, away from interrupts, and give it a larger buffer";
        Finding::advice(found, why)
    };
    Ok(losing.into_iter().map(finding).collect())
}

/// The port and the drops of a socket, from its line in /proc/net/udp.
fn drops_of(line: &str) -> Option<(u16, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let port = words.get(1)?.rsplit_once(':')?.1;
    Some((u16::from_str_radix(port, 16).ok()?, words.last()?.parse().ok()?))
}

/// Datagrams that UDP has dropped since boot.
pub(super) fn udp_errors(host: &Host, _wanted: &Wanted) -> Found {
    let text = host.text("/proc/net/snmp")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(Unseen("/proc/net/snmp says nothing of UDP".to_owned()));
    };
    let counters: Vec<(&str, u64)> = names
        .split_whitespace()
        .zip(values.split_whitespace().map(|value| value.parse().unwrap_or(0)))
        .collect();
    let count = |name: &str| counters.iter().find(|(n, _)| *n == name).map_or(0, |&(_, v)| v);
    let mut findings = Vec::new();
    let full = count("RcvbufErrors");
    if full > 0 {
        let found = format!("{full} datagrams were lost since boot because a buffer was full");
        let why = "whether that goes on is to be seen from whether it grows (UdpRcvbufErrors)";
        findings.push(Finding::note(found, why).run("nstat -az UdpRcvbufErrors"));
    }
    let no_memory = count("MemErrors");
    if no_memory > 0 {
        let found = format!("{no_memory} datagrams were lost because UDP had no memory left");
        let why = "all UDP sockets together may use as many pages as net.ipv4.udp_mem says";
        let command = "sysctl -w net.ipv4.udp_mem='1048576 1398101 2097152'";
        findings.push(Finding::problem(found, why).run(command));
    }
    let corrupt = count("InCsumErrors");
    if corrupt > 0 {
        let found = format!("{corrupt} datagrams had a wrong checksum since boot");
        findings.push(Finding::note(found, "a cable, switch or sender damages packets"));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("UDP has dropped nothing since boot"));
    }
    Ok(findings)
}

/// Connection tracking, which looks at every packet.
pub(super) fn conntrack(host: &Host, _wanted: &Wanted) -> Found {
    if !host.has("/proc/sys/net/netfilter/nf_conntrack_count") {
        return Ok(vec![Finding::ok("connections are not tracked")]);
    }
    let why = "looking up a connection for every packet costs the receiving core several percent, \
               if a firewall rule has it track these packets";
    let finding = Finding::note("the kernel can track connections", why);
    Ok(vec![finding.run("iptables -t raw -A PREROUTING -p udp -j CT --notrack")])
}
