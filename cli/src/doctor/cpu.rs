//! Cores: how fast they run, how deep they sleep, and who else uses them.

use std::collections::BTreeMap;

use super::Wanted;
use super::finding::{Finding, Found, Unseen};
use super::host::Host;

const CPUS: &str = "/sys/devices/system/cpu";

/// A core that takes longer than this to wake up, in microseconds, is a long way from a packet: at
/// 100 Gb/s, 50 µs are 625 kB, and a ring of 1024 descriptors holds 82 µs of full frames of 1 KiB.
const SLOW_WAKE_UP: u64 = 50;

/// Above this part of its time taken by other guests, a virtual core is not ours.
const STOLEN: f64 = 0.01;

fn cores(host: &Host) -> Result<Vec<String>, Unseen> {
    let is_core = |name: &String| {
        name.strip_prefix("cpu")
            .is_some_and(|n| !n.is_empty() && n.chars().all(|c| c.is_ascii_digit()))
    };
    Ok(host.names(CPUS)?.into_iter().filter(is_core).collect())
}

/// The frequency governor.
pub(super) fn governor(host: &Host, _wanted: &Wanted) -> Found {
    let mut governors: BTreeMap<String, usize> = BTreeMap::new();
    for core in cores(host)? {
        if let Ok(governor) = host.text(&format!("{CPUS}/{core}/cpufreq/scaling_governor")) {
            *governors.entry(governor).or_default() += 1;
        }
    }
    if governors.is_empty() {
        let found = "the kernel does not change the cores' frequency";
        return Ok(vec![Finding::ok(found)]);
    }
    let slow: Vec<String> = governors
        .iter()
        .filter(|(name, _)| *name != "performance")
        .map(|(name, cores)| format!("{name} ({cores} cores)"))
        .collect();
    if slow.is_empty() {
        return Ok(vec![Finding::ok("the frequency governor is performance")]);
    }
    let found = format!("the frequency governor is {}", slow.join(", "));
    let why = "cores slow down between bursts, and need milliseconds to speed up again";
    let command = format!("echo performance | tee {CPUS}/cpu*/cpufreq/scaling_governor");
    Ok(vec![Finding::advice(found, why).run(command)])
}

/// Turbo.
pub(super) fn turbo(host: &Host, _wanted: &Wanted) -> Found {
    let intel = host.number::<u8>(&format!("{CPUS}/intel_pstate/no_turbo")).map(|off| off == 0);
    let on =
        intel.or_else(|_| host.number::<u8>(&format!("{CPUS}/cpufreq/boost")).map(|on| on != 0));
    match on {
        Ok(true) => Ok(vec![Finding::note(
            "cores may run above their rated frequency",
            "good for speed; but how long they can depends on heat and on their neighbours, so \
             that a rate held for seconds may not be held for hours: measure for longer",
        )]),
        Ok(false) => Ok(vec![Finding::ok("cores keep to their rated frequency")]),
        Err(_) => Err(Unseen("neither intel_pstate nor cpufreq tells whether turbo is on".into())),
    }
}

/// Sleep states that take long to wake up from.
pub(super) fn idle(host: &Host, _wanted: &Wanted) -> Found {
    let Some(core) = cores(host)?.into_iter().next() else {
        return Err(Unseen("there are no cores to look at".to_owned()));
    };
    let base = format!("{CPUS}/{core}/cpuidle");
    if !host.has(&base) {
        return Ok(vec![Finding::ok("the kernel does not put cores to deep sleep")]);
    }
    let mut slow = Vec::new();
    for state in host.names(&base)? {
        let latency: u64 = host.number(&format!("{base}/{state}/latency"))?;
        let disabled: u8 = host.number(&format!("{base}/{state}/disable"))?;
        if latency > SLOW_WAKE_UP && disabled == 0 {
            let name = host.text(&format!("{base}/{state}/name")).unwrap_or(state);
            slow.push(format!("{name} ({latency} µs)"));
        }
    }
    if slow.is_empty() {
        return Ok(vec![Finding::ok(format!("cores wake up within {SLOW_WAKE_UP} µs"))]);
    }
    let found = format!("cores may sleep so deep that they take long to wake: {}", slow.join(", "));
    let why = "packets wait in the interface's ring meanwhile, which overflows at high rates";
    Ok(vec![Finding::advice(found, why).run(format!("cpupower idle-set -D {SLOW_WAKE_UP}"))])
}

/// Two threads of one core.
pub(super) fn siblings(host: &Host, wanted: &Wanted) -> Found {
    let mut findings = Vec::new();
    for (at, core) in wanted.pin.iter().enumerate() {
        let path = format!("{CPUS}/cpu{core}/topology/thread_siblings_list");
        let siblings = super::host::list(&host.text(&path)?);
        let mut others = wanted.pin[at + 1..].iter();
        if let Some(other) = others.find(|other| siblings.contains(other)) {
            let found = format!("cores {core} and {other} are two threads of one core");
            let why = "streams pinned to both share its caches and units, and each is slower";
            findings.push(Finding::advice(found, why));
        }
    }
    if findings.is_empty() {
        let smt = host.number::<u8>(&format!("{CPUS}/smt/active")).unwrap_or(0);
        findings.push(match smt {
            0 => Finding::ok("each core runs one thread"),
            _ => Finding::note(
                "each core runs two threads",
                "pin no two streams to threads of one core (lscpu -e shows which belong together)",
            ),
        });
    }
    Ok(findings)
}

/// Time that other guests of the same machine took.
pub(super) fn steal(host: &Host, _wanted: &Wanted) -> Found {
    let text = host.text("/proc/stat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "));
    let times: Vec<u64> =
        line.unwrap_or_default().split_whitespace().flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal (proc(5)); guest time is in user already.
    let total: u64 = times.iter().take(8).sum();
    let Some(&stolen) = times.get(7).filter(|_| total > 0) else {
        return Err(Unseen("/proc/stat does not tell how cores spend their time".to_owned()));
    };
    let share = stolen as f64 / total as f64;
    let found = format!("other guests took {:.1} % of the cores' time since boot", share * 100.0);
    if share <= STOLEN {
        return Ok(vec![Finding::ok(found)]);
    }
    let why = "a core that is taken away receives nothing: have the virtual cores pinned to real \
               ones that nobody else uses, on the machine below this one";
    Ok(vec![Finding::advice(found, why)])
}

/// Whether this is a virtual machine.
pub(super) fn virtual_machine(host: &Host, _wanted: &Wanted) -> Found {
    let text = host.text("/proc/cpuinfo")?;
    let flags = text.lines().find(|line| line.starts_with("flags"));
    if !flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor")) {
        return Ok(vec![Finding::ok("this is no virtual machine, as far as its cores tell")]);
    }
    let why = "system calls and interrupts cost more, and neighbours take time and bandwidth; ask \
               for interfaces that are passed through (SR-IOV), virtual cores pinned to real ones, \
               and memory in huge pages";
    Ok(vec![Finding::note("this is a virtual machine", why)])
}
