//! Memory: huge pages, and which node it is on.

use super::Wanted;
use super::finding::{Finding, Found, Unseen};
use super::host::Host;

/// Huge pages that are set aside.
pub(super) fn huge_pages(host: &Host, _wanted: &Wanted) -> Found {
    let text = host.text("/proc/meminfo")?;
    let value = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse().ok()
    };
    let Some(total) = value("HugePages_Total") else {
        return Err(Unseen("/proc/meminfo says nothing of huge pages".to_owned()));
    };
    let (free, size) = (value("HugePages_Free").unwrap_or(0), value("Hugepagesize").unwrap_or(0));
    if total > 0 {
        let found = format!("{free} of {total} huge pages of {size} KiB are free");
        return Ok(vec![Finding::ok(found)]);
    }
    let why = "chunks in huge pages spare the processor looking up 512 times as many addresses; \
               512 of 2 MiB make 1 GiB. Transparent ones do nearly as well, if the kernel has any";
    let finding = Finding::note("no huge pages are set aside", why);
    Ok(vec![finding.run("sysctl -w vm.nr_hugepages=512")])
}

/// Transparent huge pages.
pub(super) fn transparent_huge_pages(host: &Host, _wanted: &Wanted) -> Found {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let text = host.text(path)?;
    if !text.contains("[never]") {
        return Ok(vec![Finding::ok("memory may be in transparent huge pages")]);
    }
    let why = "speadway asks for them for large chunks if no others are set aside, in vain here";
    let finding = Finding::advice("transparent huge pages are off", why);
    Ok(vec![finding.run(format!("echo madvise > {path}"))])
}

/// Nodes of memory.
pub(super) fn numa(host: &Host, _wanted: &Wanted) -> Found {
    let nodes = super::host::list(&host.text("/sys/devices/system/node/online")?).len();
    if nodes < 2 {
        return Ok(vec![Finding::ok("all memory is equally near to all cores")]);
    }
    let mut findings = vec![Finding::note(
        format!("memory is on {nodes} nodes"),
        "keep interface, cores and chunks of a stream on one of them: give doctor --interface and \
         --pin to check that, and start receivers with `numactl --membind=NODE`",
    )];
    if host.number::<u8>("/proc/sys/kernel/numa_balancing").is_ok_and(|on| on != 0) {
        let why = "it makes pages fault on purpose to see who uses them, chunks included";
        let finding = Finding::advice("the kernel moves memory between nodes", why);
        findings.push(finding.run("sysctl -w kernel.numa_balancing=0"));
    }
    if host.number::<u8>("/proc/sys/vm/zone_reclaim_mode").is_ok_and(|mode| mode != 0) {
        let why = "a receiver that allocates may wait for caches to be written to disk";
        let finding = Finding::advice("memory is reclaimed on a node before another is used", why);
        findings.push(finding.run("sysctl -w vm.zone_reclaim_mode=0"));
    }
    Ok(findings)
}
