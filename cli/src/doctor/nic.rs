//! Interfaces: what they let through, and how they hand it over.

use super::Wanted;
use super::ethtool::Query;
use super::finding::{Finding, Found};
use super::host::{Host, list};

/// The MTU that carries packets of 8972 bytes.
const JUMBO: u32 = 9000;

/// How long packets may be held back to be merged, in nanoseconds. Over a virtual cable, 100 µs
/// gathered 42 packets a read and saved the receiver 50 to 70 % of its CPU time.
const FLUSH_TIMEOUT: u64 = 100_000;

/// How often the interface may be found empty, at the end of the timeout, before it may interrupt
/// again (Documentation/networking/napi.rst, "Software IRQ coalescing").
const DEFER_IRQS: u32 = 2;

/// The type of loopback (`ARPHRD_LOOPBACK`, linux/if_arp.h).
const LOOPBACK: u32 = 772;

pub(super) fn path(interface: &str, file: &str) -> String {
    format!("/sys/class/net/{interface}/{file}")
}

/// Whether it is up, and how fast.
pub(super) fn link(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let state = host.text(&path(interface, "operstate"))?;
    // Loopback does not know.
    if state != "up" && state != "unknown" {
        let finding = Finding::problem(format!("it is {state}"), "nothing can be received");
        return Ok(vec![finding.run(format!("ip link set {interface} up"))]);
    }
    // Virtual interfaces have no speed, or -1.
    let speed = host.number::<i64>(&path(interface, "speed")).ok().filter(|&speed| speed > 0);
    Ok(vec![Finding::ok(match speed {
        Some(speed) => format!("it is up, at {} Gb/s", speed as f64 / 1000.0),
        None => "it is up; how fast it is it does not say".to_owned(),
    })])
}

/// The largest frame.
pub(super) fn mtu(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let mtu: u32 = host.number(&path(interface, "mtu"))?;
    if mtu >= JUMBO {
        return Ok(vec![Finding::ok(format!("frames may have {mtu} bytes"))]);
    }
    let found = format!("frames may have only {mtu} bytes");
    let why = "with jumbo frames there are six times fewer packets for the same data; the senders \
               and every switch between have to carry them too";
    Ok(vec![Finding::advice(found, why).run(format!("ip link set {interface} mtu {JUMBO}"))])
}

/// How many packets wait in the interface.
pub(super) fn rings(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let answer = host.ask(interface, Query::Rings)?;
    // rx_max, rx_mini_max, rx_jumbo_max, tx_max, rx, rx_mini, rx_jumbo, tx
    let (max, now) = (answer[0], answer[4]);
    if now >= max {
        return Ok(vec![Finding::ok(format!("its receive ring has all {now} descriptors"))]);
    }
    let found = format!("its receive ring has {now} descriptors of {max}");
    let why = "packets wait there until a core comes for them; when it is full they are lost";
    Ok(vec![Finding::advice(found, why).run(format!("ethtool -G {interface} rx {max}"))])
}

/// Whether packets are merged before they pass through the protocols.
pub(super) fn gro(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    if host.ask(interface, Query::Gro)?[0] != 0 {
        return Ok(vec![Finding::ok("the kernel merges packets (GRO)")]);
    }
    let why = "merged, dozens of packets cost little more than one: receiving 1472-byte packets \
               took less than half of the CPU time";
    let finding = Finding::advice("the kernel does not merge packets (GRO is off)", why);
    Ok(vec![finding.run(format!("ethtool -K {interface} gro on"))])
}

/// Whether packets are held back for others to be merged with.
pub(super) fn gro_flush(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    if host.number(&path(interface, "type")) == Ok(LOOPBACK) {
        return Ok(vec![Finding::ok("loopback passes trains on as they were sent")]);
    }
    let timeout: u64 = host.number(&path(interface, "gro_flush_timeout"))?;
    let defer: u32 = host.number(&path(interface, "napi_defer_hard_irqs"))?;
    let timeout_at = path(interface, "gro_flush_timeout");
    let defer_at = path(interface, "napi_defer_hard_irqs");
    if timeout == 0 {
        let why = "packets are merged only with those that arrive at the same moment, which \
                   senders that do not send in trains rarely make them do; holding them for 100 \
                   µs saved half of the CPU time and more, and costs as much latency";
        let finding = Finding::advice("packets are not held back to be merged", why);
        return Ok(vec![
            finding
                .run(format!("echo {FLUSH_TIMEOUT} > {timeout_at}"))
                .run(format!("echo {DEFER_IRQS} > {defer_at}")),
        ]);
    }
    let found = format!("packets may wait {} µs to be merged", timeout / 1000);
    if defer == 0 {
        let why = "an interface that interrupts meanwhile has them handed over sooner";
        let finding = Finding::note(format!("{found}, but interrupts are not deferred"), why);
        return Ok(vec![finding.run(format!("echo {DEFER_IRQS} > {defer_at}"))]);
    }
    Ok(vec![Finding::ok(found)])
}

/// Whether interrupts come at intervals that change.
pub(super) fn moderation(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let answer = host.ask(interface, Query::Coalesce)?;
    // rx_coalesce_usecs comes first, use_adaptive_rx_coalesce tenth.
    let (micros, adaptive) = (answer[0], answer[9]);
    if adaptive == 0 {
        let found = match micros {
            0 => "interrupts come at once".to_owned(),
            _ => format!("interrupts are {micros} µs apart at least"),
        };
        return Ok(vec![Finding::ok(found)]);
    }
    let why = "it adapts to what was, so that a burst after a pause finds it wrong; a fixed \
               interval makes measurements repeatable";
    let finding = Finding::note("the interface adapts the interval of its interrupts", why);
    Ok(vec![finding.run(format!("ethtool -C {interface} adaptive-rx off rx-usecs 30"))])
}

/// Whether it has the switch stop.
pub(super) fn pause(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let answer = host.ask(interface, Query::Pause)?;
    // autoneg, rx_pause, tx_pause
    if answer[1] == 0 && answer[2] == 0 {
        return Ok(vec![Finding::ok("Ethernet's flow control is off")]);
    }
    let why = "a receiver that is slow for a moment has the switch hold back everybody's packets, \
               and loss shows up elsewhere";
    let finding = Finding::note("Ethernet's flow control is on", why);
    Ok(vec![finding.run(format!("ethtool -A {interface} rx off tx off"))])
}

/// What the interface itself has lost.
pub(super) fn losses(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let count = |name: &str| host.number::<u64>(&path(interface, &format!("statistics/{name}")));
    let full = count("rx_missed_errors")? + count("rx_fifo_errors")? + count("rx_over_errors")?;
    let damaged = count("rx_crc_errors")? + count("rx_frame_errors")?;
    let dropped = count("rx_dropped")?;
    let mut findings = Vec::new();
    if full > 0 {
        let found = format!("{full} packets were lost since boot because its ring was full");
        let why = "the core that serves its interrupts was away or too slow: enlarge the ring, and \
                   keep other work off that core";
        findings.push(Finding::advice(found, why));
    }
    if damaged > 0 {
        let found = format!("{damaged} packets arrived damaged since boot");
        findings.push(Finding::problem(found, "look at cables, transceivers and the switch"));
    }
    if dropped > 0 {
        let found = format!("{dropped} packets were dropped by the kernel or driver since boot");
        let why = "often such that nobody wanted (unknown protocols); see whether it grows";
        findings.push(Finding::note(found, why));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("it has lost nothing since boot"));
    }
    Ok(findings)
}

/// Whether it is near to the cores that receive from it.
pub(super) fn locality(host: &Host, interface: &str, wanted: &Wanted) -> Found {
    let device = path(interface, "device");
    if !host.has(&device) {
        return Ok(vec![Finding::ok("it is no device, and near to all cores")]);
    }
    // A virtio device hides what it sits on one level deeper.
    let local = host
        .text(&format!("{device}/local_cpulist"))
        .or_else(|_| host.text(&format!("{device}/../local_cpulist")))?;
    let near = list(&local);
    let far: Vec<String> =
        wanted.pin.iter().filter(|core| !near.contains(core)).map(usize::to_string).collect();
    if far.is_empty() {
        return Ok(vec![Finding::ok(format!("it is near to the cores {local}"))]);
    }
    let found = format!("it is near to the cores {local}, not to {}", far.join(", "));
    let why = "packets have to cross to another node's memory first: pin the streams of this \
               interface to its own cores";
    Ok(vec![Finding::advice(found, why)])
}

/// Whether multicast from senders that are routed elsewhere is let in.
pub(super) fn reverse_path(host: &Host, interface: &str, _wanted: &Wanted) -> Found {
    let setting =
        |name: &str| host.number::<u8>(&format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"));
    // The larger of the two counts (Documentation/networking/ip-sysctl.rst).
    let mode = setting("all")?.max(setting(interface)?);
    if mode != 1 {
        return Ok(vec![Finding::ok("packets are accepted wherever their sender is routed")]);
    }
    let why = "with several interfaces, multicast arrives on one while the route to its sender \
               leads over another; the kernel drops such packets silently";
    let finding = Finding::note("packets are accepted only from where their sender is routed", why);
    Ok(vec![finding.run(format!("sysctl -w net.ipv4.conf.{interface}.rp_filter=2"))])
}
