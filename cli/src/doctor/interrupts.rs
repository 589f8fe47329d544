//! Which cores serve the interrupts of interfaces.

use std::collections::{BTreeMap, BTreeSet};

use super::Wanted;
use super::finding::{Finding, Found, Unseen};
use super::host::{Host, list};
use super::nic::path;

/// Whether the interrupts of an interface stay away from the cores that streams are pinned to.
pub(super) fn placement(host: &Host, interface: &str, wanted: &Wanted) -> Found {
    if !host.has(&path(interface, "device")) {
        return Ok(vec![Finding::ok("it has no interrupts: it is no device")]);
    }
    let numbers = numbers(host, interface)?;
    let mut cores: BTreeMap<usize, BTreeSet<u32>> = BTreeMap::new();
    for &number in &numbers {
        for core in served_by(host, number)? {
            cores.entry(core).or_default().insert(number);
        }
    }
    let listed: Vec<String> = cores.keys().map(usize::to_string).collect();
    let listed = listed.join(", ");
    let shared = wanted.pin.iter().filter_map(|core| Some((core, cores.get(core)?)));
    let findings: Vec<Finding> = shared.map(|(core, numbers)| collision(*core, numbers)).collect();
    if !findings.is_empty() {
        return Ok(findings);
    }
    if numbers.len() > 2 && cores.len() == 1 {
        let found = format!("all of its {} interrupts are served by core {listed}", numbers.len());
        let why = "that core does the kernel's part for all streams: spread them over the cores of \
                   the interface's node that no stream is pinned to";
        let command = |(at, number)| format!("echo {at} > /proc/irq/{number}/smp_affinity_list");
        let finding = Finding::advice(found, why);
        return Ok(vec![numbers.iter().enumerate().map(command).fold(finding, Finding::run)]);
    }
    Ok(vec![match wanted.pin.is_empty() {
        true => Finding::note(
            format!("its interrupts are served by core {listed}"),
            "pin streams to other cores of the same node; --pin here has that checked",
        ),
        false => Finding::ok(format!("its interrupts are served by core {listed}, no stream's")),
    }])
}

fn collision(core: usize, numbers: &BTreeSet<u32>) -> Finding {
    let names: Vec<String> = numbers.iter().map(u32::to_string).collect();
    let found = format!("core {core} serves interrupts ({}) and a stream", names.join(", "));
    let why = "the kernel's part of receiving takes the core away from the stream whenever packets \
               come; move these interrupts to a core nearby (CORE)";
    let command = |number: &u32| format!("echo CORE > /proc/irq/{number}/smp_affinity_list");
    numbers.iter().map(command).fold(Finding::advice(found, why), Finding::run)
}

/// The numbers of an interface's interrupts that have served something.
fn numbers(host: &Host, interface: &str) -> Result<Vec<u32>, Unseen> {
    let device = path(interface, "device");
    let table = host.text("/proc/interrupts")?;
    let own: Vec<u32> = ["msi_irqs", "../msi_irqs"]
        .iter()
        .find_map(|directory| host.names(&format!("{device}/{directory}")).ok())
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    // Otherwise by what drivers call them: after the interface, or after the virtio device.
    let virtio = host.link(&device).ok().filter(|name| name.starts_with("virtio"));
    let is_named = |line: &str| {
        let name = line.split_whitespace().last().unwrap_or_default();
        let names = [Some(interface), virtio.as_deref()];
        names.into_iter().flatten().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        })
    };
    let found: Vec<u32> = table
        .lines()
        .filter_map(|line| {
            let (number, rest) = line.trim().split_once(':')?;
            let number = number.parse().ok()?;
            let mine = own.contains(&number) || is_named(rest);
            let counts = rest.split_whitespace().map_while(|word| word.parse::<u64>().ok());
            (mine && counts.sum::<u64>() > 0).then_some(number)
        })
        .collect();
    if found.is_empty() {
        return Err(Unseen(format!("/proc/interrupts shows none of {interface}")));
    }
    Ok(found)
}

fn served_by(host: &Host, number: u32) -> Result<Vec<usize>, Unseen> {
    let effective = host.text(&format!("/proc/irq/{number}/effective_affinity_list"));
    let cores = effective.ok().map(|text| list(&text)).filter(|cores| !cores.is_empty());
    match cores {
        Some(cores) => Ok(cores),
        None => Ok(list(&host.text(&format!("/proc/irq/{number}/smp_affinity_list"))?)),
    }
}

/// The daemon that moves interrupts about.
pub(super) fn irqbalance(host: &Host, _wanted: &Wanted) -> Found {
    let is_process = |name: &String| name.chars().all(|c| c.is_ascii_digit());
    let processes = host.names("/proc")?.into_iter().filter(is_process);
    let is_it = |process: String| {
        host.text(&format!("/proc/{process}/comm")).is_ok_and(|name| name == "irqbalance")
    };
    if !processes.into_iter().any(is_it) {
        return Ok(vec![Finding::ok("irqbalance does not run")]);
    }
    let why = "it moves interrupts between cores every ten seconds, onto those of streams too";
    let finding = Finding::advice("irqbalance runs", why);
    Ok(vec![finding.run("systemctl disable --now irqbalance")])
}
