//! Checks against hosts made of files.

use std::fs;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

/// A host on which all is well: two nodes' worth of good settings, and eth1, a fast interface.
const GOOD: [(&str, &str); 57] = [
    ("proc/sys/net/core/rmem_max", "16777216"),
    ("proc/sys/net/core/rmem_default", "212992"),
    ("proc/sys/net/core/wmem_max", "16777216"),
    ("proc/sys/net/core/netdev_max_backlog", "1000"),
    ("proc/net/softnet_stat", "00001000 00000000 00000000 0\n00001000 00000000 00000000 0\n"),
    (
        "proc/net/udp",
        "  sl  local_address\n  7: 0100007F:1BEC 00000000:0000 07 0:0 00:0 0 0 0 9 2 0 0\n",
    ),
    ("proc/net/snmp", "Udp: InDatagrams RcvbufErrors InCsumErrors MemErrors\nUdp: 1000 0 0 0\n"),
    ("proc/stat", "cpu  1000 0 1000 100000 0 0 100 5 0 0\ncpu0 1 2 3\n"),
    ("proc/cpuinfo", "model name : X\nflags : fpu sse2\n"),
    ("proc/meminfo", "HugePages_Total:  512\nHugePages_Free:  500\nHugepagesize:  2048 kB\n"),
    ("proc/1/comm", "systemd"),
    ("proc/2/comm", "kthreadd"),
    (
        "proc/interrupts",
        "     CPU0 CPU1\n 40: 10 0 PCI-MSIX eth1-rx-0\n 41: 0 10 PCI-MSIX eth1-rx-1\n 42: 0 0 PCI-MSIX eth10-rx-0\n",
    ),
    ("proc/irq/40/smp_affinity_list", "0-3"),
    ("proc/irq/40/effective_affinity_list", "0"),
    ("proc/irq/41/smp_affinity_list", "1"),
    ("proc/irq/41/effective_affinity_list", ""),
    ("proc/sys/net/ipv4/conf/all/rp_filter", "0"),
    ("proc/sys/net/ipv4/conf/eth1/rp_filter", "2"),
    ("sys/devices/system/node/online", "0"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpufreq/boost", "0"),
    ("sys/devices/system/cpu/smt/active", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/latency", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/disable", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state0/name", "POLL"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state1/name", "C1"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "170"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", "1"),
    ("sys/devices/system/cpu/cpu0/cpuidle/state2/name", "C6"),
    ("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0"),
    ("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1"),
    ("sys/devices/system/cpu/cpu2/topology/thread_siblings_list", "2"),
    ("sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3"),
    ("sys/class/net/eth1/operstate", "up"),
    ("sys/class/net/eth1/speed", "100000"),
    ("sys/class/net/eth1/mtu", "9000"),
    ("sys/class/net/eth1/gro_flush_timeout", "100000"),
    ("sys/class/net/eth1/napi_defer_hard_irqs", "2"),
    ("sys/class/net/eth1/device/local_cpulist", "0-7"),
    ("sys/class/net/eth1/statistics/rx_missed_errors", "0"),
    ("sys/class/net/eth1/statistics/rx_fifo_errors", "0"),
    ("sys/class/net/eth1/statistics/rx_over_errors", "0"),
    ("sys/class/net/eth1/statistics/rx_crc_errors", "0"),
    ("sys/class/net/eth1/statistics/rx_frame_errors", "0"),
    ("sys/class/net/eth1/statistics/rx_dropped", "0"),
    ("sys/class/net/lo/operstate", "unknown"),
    ("sys/class/net/eth2/operstate", "down"),
    ("sys/class/net/eth2/device/local_cpulist", "0-7"),
    ("ethtool/eth1/rings", "8192 0 0 8192 8192 0 0 1024"),
    ("ethtool/eth1/gro", "1"),
    ("ethtool/eth1/coalesce", "30 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"),
    ("ethtool/eth1/pause", "1 0 0"),
];

struct Tree(TempDir);

impl Tree {
    fn good() -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        GOOD.into_iter().fold(tree, |tree, (path, text)| tree.with(path, text))
    }

    /// The same with another file.
    fn with(self, path: &str, text: &str) -> Self {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
        self
    }

    /// The same with a file or directory less.
    fn without(self, path: &str) -> Self {
        let path = self.0.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    fn host(&self) -> Host {
        Host::tree(self.0.path())
    }

    fn findings(&self, pin: &[usize]) -> Vec<Told> {
        let host = self.host();
        let wanted = Wanted { pin: pin.to_vec(), buffer: 8 << 20 };
        examine(&host, &interfaces(&host, &[]).unwrap(), &wanted)
    }

    /// What is not as it should be: the check, how bad it is, and the commands.
    fn complaints(&self, pin: &[usize]) -> Vec<(&'static str, Severity, Vec<String>)> {
        let findings = self.findings(pin).into_iter();
        let bad = findings.filter(|told| told.finding.severity != Severity::Ok);
        bad.map(|told| (told.check, told.finding.severity, told.finding.commands)).collect()
    }
}

/// Asserts that one file alone makes one complaint.
fn assert_complaint(path: &str, text: &str, check: &str, severity: Severity, command: &str) {
    let complaints = Tree::good().with(path, text).complaints(&[2, 3]);
    let [(found, how, commands)] = &complaints[..] else { panic!("{path}: {complaints:?}") };
    assert_eq!((*found, *how), (check, severity), "{path}");
    match commands.first() {
        Some(first) => assert!(first.contains(command), "{path}: {first}"),
        None => assert!(command.is_empty(), "{path}: no command"),
    }
}

#[test]
fn a_good_host_needs_nothing() {
    assert_eq!(Tree::good().complaints(&[2, 3]), []);
    let seen: Vec<_> = Tree::good().findings(&[]).into_iter().map(|told| told.check).collect();
    for name in HOST_CHECKS.map(|(name, _)| name) {
        assert!(seen.contains(&name), "{name}");
    }
}

#[test]
fn each_setting_that_is_wrong_is_told_with_its_cure() {
    use Severity::{Advice, Note, Problem};
    let core = "proc/sys/net/core";
    assert_complaint(
        &format!("{core}/rmem_max"),
        "212992",
        "rmem-max",
        Problem,
        "net.core.rmem_max=8388608",
    );
    assert_complaint(
        &format!("{core}/rmem_default"),
        "65536",
        "rmem-default",
        Advice,
        "rmem_default=212992",
    );
    assert_complaint(&format!("{core}/wmem_max"), "1000", "wmem-max", Advice, "wmem_max=524288");
    assert_complaint(
        "proc/net/softnet_stat",
        "0f 0a 00",
        "backlog",
        Advice,
        "netdev_max_backlog=2000",
    );
    assert_complaint("proc/net/softnet_stat", "ff 00 ff", "backlog", Note, "netdev_budget");
    let socket = "head\n7: 00000000:1BEC 0:0 07 0:0 00:0 0 0 0 9 2 0 17";
    assert_complaint("proc/net/udp", socket, "socket-drops", Advice, "");
    assert_complaint("proc/net/udp6", socket, "socket-drops", Advice, "");
    let snmp = |values| format!("Udp: RcvbufErrors MemErrors InCsumErrors\nUdp: {values}");
    assert_complaint("proc/net/snmp", &snmp("5 0 0"), "udp-errors", Note, "nstat");
    assert_complaint("proc/net/snmp", &snmp("0 5 0"), "udp-errors", Problem, "udp_mem");
    assert_complaint("proc/net/snmp", &snmp("0 0 5"), "udp-errors", Note, "");
    let conntrack = "proc/sys/net/netfilter/nf_conntrack_count";
    assert_complaint(conntrack, "5", "conntrack", Note, "notrack");
    assert_complaint(
        "proc/77/comm",
        "irqbalance",
        "irqbalance",
        Advice,
        "disable --now irqbalance",
    );
    assert_complaint("proc/stat", "cpu  10 0 0 80 0 0 0 10 0 0", "steal", Advice, "");
    assert_complaint("proc/cpuinfo", "flags : hypervisor sse", "virtual-machine", Note, "");
    assert_complaint(
        "proc/meminfo",
        "HugePages_Total: 0",
        "huge-pages",
        Note,
        "vm.nr_hugepages=512",
    );
}

#[test]
fn each_core_that_is_slow_is_told() {
    use Severity::{Advice, Note};
    let cpu = "sys/devices/system/cpu";
    let governor = format!("{cpu}/cpu1/cpufreq/scaling_governor");
    assert_complaint(&governor, "schedutil", "governor", Advice, "echo performance | tee");
    assert_complaint(&format!("{cpu}/cpufreq/boost"), "1", "turbo", Note, "");
    assert_complaint(&format!("{cpu}/intel_pstate/no_turbo"), "0", "turbo", Note, "");
    let disable = format!("{cpu}/cpu0/cpuidle/state2/disable");
    assert_complaint(&disable, "0", "idle", Advice, "cpupower idle-set -D 50");
    assert_complaint(&format!("{cpu}/smt/active"), "1", "siblings", Note, "");
    let siblings = format!("{cpu}/cpu2/topology/thread_siblings_list");
    assert_complaint(&siblings, "2-3", "siblings", Advice, "");
    let pages = "sys/kernel/mm/transparent_hugepage/enabled";
    assert_complaint(
        pages,
        "always madvise [never]",
        "transparent-huge-pages",
        Advice,
        "echo madvise",
    );
    assert_complaint("sys/devices/system/node/online", "0-1", "numa", Note, "");
}

#[test]
fn memory_that_moves_between_nodes_is_told() {
    let tree = Tree::good()
        .with("sys/devices/system/node/online", "0-1")
        .with("proc/sys/kernel/numa_balancing", "1")
        .with("proc/sys/vm/zone_reclaim_mode", "1");
    let complaints = tree.complaints(&[]);
    let commands: Vec<&String> = complaints.iter().flat_map(|(_, _, commands)| commands).collect();
    assert_eq!(commands, ["sysctl -w kernel.numa_balancing=0", "sysctl -w vm.zone_reclaim_mode=0"]);
}

#[test]
fn each_interface_that_could_do_better_is_told() {
    use Severity::{Advice, Note, Problem};
    let file = |name: &str| format!("sys/class/net/eth1/{name}");
    assert_complaint(&file("mtu"), "1500", "mtu", Advice, "ip link set eth1 mtu 9000");
    assert_complaint(
        "ethtool/eth1/rings",
        "8192 0 0 8192 512 0 0 512",
        "rings",
        Advice,
        "ethtool -G eth1 rx 8192",
    );
    assert_complaint("ethtool/eth1/gro", "0", "gro", Advice, "ethtool -K eth1 gro on");
    assert_complaint(
        &file("gro_flush_timeout"),
        "0",
        "gro-flush",
        Advice,
        "echo 100000 > /sys/class/net/eth1",
    );
    assert_complaint(
        &file("napi_defer_hard_irqs"),
        "0",
        "gro-flush",
        Note,
        "echo 2 > /sys/class/net/eth1",
    );
    let adaptive = "8 0 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0 0 0 0 0 0";
    assert_complaint("ethtool/eth1/coalesce", adaptive, "moderation", Note, "adaptive-rx off");
    assert_complaint("ethtool/eth1/pause", "1 1 0", "pause", Note, "ethtool -A eth1");
    assert_complaint(&file("statistics/rx_missed_errors"), "3", "losses", Advice, "");
    assert_complaint(&file("statistics/rx_crc_errors"), "3", "losses", Problem, "");
    assert_complaint(&file("statistics/rx_dropped"), "3", "losses", Note, "");
    assert_complaint(&file("device/local_cpulist"), "8-15", "locality", Advice, "");
    assert_complaint(
        "proc/sys/net/ipv4/conf/eth1/rp_filter",
        "1",
        "reverse-path",
        Note,
        "rp_filter=2",
    );
}

#[test]
fn interrupts_on_a_streams_core_are_told() {
    let complaints = Tree::good().complaints(&[1]);
    let [(check, severity, commands)] = &complaints[..] else { panic!("{complaints:?}") };
    assert_eq!((*check, *severity), ("interrupts", Severity::Advice));
    assert_eq!(commands[..], ["echo CORE > /proc/irq/41/smp_affinity_list"]);
}

#[test]
fn interrupts_that_share_a_core_are_told() {
    let table = " 40: 9 PCI eth1-0\n 41: 9 PCI eth1-1\n 42: 9 PCI eth1-2\n";
    let tree = Tree::good().with("proc/interrupts", table);
    let tree = ["40", "41", "42"].iter().fold(tree, |tree, number| {
        tree.with(&format!("proc/irq/{number}/effective_affinity_list"), "5")
    });
    let complaints = tree.complaints(&[2]);
    let [(check, Severity::Advice, commands)] = &complaints[..] else { panic!("{complaints:?}") };
    assert_eq!((*check, commands.len()), ("interrupts", 3));
}

#[test]
fn interrupts_of_virtio_are_found_by_the_devices_name() {
    let tree = Tree::good()
        .without("sys/class/net/eth1/device")
        .with("sys/devices/pci/virtio3/vendor", "x")
        .with("sys/devices/pci/local_cpulist", "0-7")
        .with("proc/interrupts", " 40: 1 0 PCI virtio3-rx\n 41: 1 0 PCI virtio30-rx\n");
    let device = tree.0.path().join("sys/class/net/eth1/device");
    symlink("../../../devices/pci/virtio3", device).unwrap();
    assert_eq!(tree.complaints(&[2, 3]), []);
    // Core 1 serves interrupt 41, which is another device's.
    assert_eq!(tree.complaints(&[1]), []);
    assert_eq!(tree.complaints(&[0])[0].0, "interrupts");
}

#[test]
fn what_cannot_be_looked_at_is_told_and_asks_for_nothing() {
    let tree =
        Tree::good().without("proc/net").without("ethtool").without("sys/devices/system/node");
    let complaints = tree.complaints(&[2, 3]);
    let names: Vec<_> = complaints.iter().map(|(name, _, _)| *name).collect();
    let expected =
        ["backlog", "socket-drops", "udp-errors", "numa", "rings", "gro", "moderation", "pause"];
    assert_eq!(names, expected);
    assert!(complaints.iter().all(|(_, severity, _)| *severity == Severity::Unseen));
    let nothing = Tree(tempfile::tempdir().unwrap());
    let severities = nothing.complaints(&[2]).into_iter().map(|(_, severity, _)| severity);
    assert!(severities.into_iter().all(|severity| !severity.asks_for_change()));
}

#[test]
fn files_that_make_no_sense_are_no_panic() {
    let mut tree = Tree::good();
    for (path, sense) in GOOD {
        for nonsense in ["", "-1", "99999999999999999999999", "\u{fffd} a:b:c 0-", "cpu  x"] {
            tree = tree.with(path, nonsense);
            let _ = tree.findings(&[0, 2, 99]);
        }
        tree = tree.with(path, sense);
    }
}

#[test]
fn interfaces_are_those_that_are_up_unless_named() {
    let tree = Tree::good();
    let host = tree.host();
    assert_eq!(interfaces(&host, &[]).unwrap(), ["eth1"]);
    assert_eq!(interfaces(&host, &["eth2".to_owned()]).unwrap(), ["eth2"]);
    let error = interfaces(&host, &["eth7".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "there is no interface eth7; there are: eth1, eth2, lo");
    let wanted = Wanted { pin: Vec::new(), buffer: 8 << 20 };
    let down = nic::link(&host, "eth2", &wanted).unwrap();
    assert_eq!(down[0].severity, Severity::Problem);
    assert_eq!(down[0].commands, ["ip link set eth2 up"]);
}

#[test]
fn the_worst_comes_first() {
    let tree = Tree::good()
        .with("sys/class/net/eth1/mtu", "1500")
        .with("proc/sys/net/core/rmem_max", "212992");
    let mut out = Vec::new();
    write(&mut out, &tree.findings(&[2]), false).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("problem: receive buffers may have only 208 KiB [rmem-max]\n"),
        "{text}"
    );
    assert!(text.contains("\nadvice: eth1: frames may have only 1500 bytes [mtu]\n"), "{text}");
    assert!(text.contains("    $ ip link set eth1 mtu 9000\n"), "{text}");
    assert!(text.contains("1 to change, 1 advised, 0 to note"), "{text}");
}
