//! `speadway doctor`: looks at the host, and says what to change so that less is lost.
//!
//! Each check is a function over a [`Host`], which may be a tree of files. It says what it found,
//! why that matters, and what command changes it; it changes nothing itself.

mod cpu;
mod ethtool;
mod finding;
mod host;
mod interrupts;
mod kernel;
mod memory;
mod nic;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde::Serialize;
use speadway::net::DEFAULT_RECV_BUFFER;

use crate::units;
use finding::{Finding, Found, Severity};
use host::Host;

/// Look at this host, and say what to change so that less is lost.
///
/// It reads /proc, /sys and what drivers tell, and changes nothing. What a normal user may not see
/// it says; run it as root to see all. Exits with 0 if nothing should be changed, with 1 if
/// something should.
///
/// The commands last until the next boot: put settings into /etc/sysctl.d, and the rest into what
/// configures the network.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Interfaces that packets arrive on [default: all that are devices and up]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    interface: Vec<String>,
    /// Cores that streams are or will be pinned to
    #[arg(long, value_name = "CORE,...", value_delimiter = ',')]
    pin: Vec<usize>,
    /// Receive buffer that sockets will ask for, in bytes
    #[arg(long, value_name = "SIZE", default_value_t = DEFAULT_RECV_BUFFER, value_parser = units::size)]
    buffer: usize,
    /// Show what is as it should be, too
    #[arg(long, short)]
    all: bool,
    /// Write all findings as one JSON object
    #[arg(long)]
    json: bool,
    /// Look at a tree of files instead of this host
    #[arg(long, value_name = "DIR", hide = true)]
    sysroot: Option<PathBuf>,
}

/// What the host is looked at for.
struct Wanted {
    pin: Vec<usize>,
    buffer: usize,
}

type HostCheck = fn(&Host, &Wanted) -> Found;
type InterfaceCheck = fn(&Host, &str, &Wanted) -> Found;

/// Checks of the host, by name.
const HOST_CHECKS: [(&str, HostCheck); 17] = [
    ("rmem-max", kernel::rmem_max),
    ("rmem-default", kernel::rmem_default),
    ("wmem-max", kernel::wmem_max),
    ("backlog", kernel::backlog),
    ("socket-drops", kernel::socket_drops),
    ("udp-errors", kernel::udp_errors),
    ("conntrack", kernel::conntrack),
    ("governor", cpu::governor),
    ("turbo", cpu::turbo),
    ("idle", cpu::idle),
    ("siblings", cpu::siblings),
    ("steal", cpu::steal),
    ("virtual-machine", cpu::virtual_machine),
    ("irqbalance", interrupts::irqbalance),
    ("huge-pages", memory::huge_pages),
    ("transparent-huge-pages", memory::transparent_huge_pages),
    ("numa", memory::numa),
];

/// Checks of each interface, by name.
const INTERFACE_CHECKS: [(&str, InterfaceCheck); 11] = [
    ("link", nic::link),
    ("mtu", nic::mtu),
    ("rings", nic::rings),
    ("gro", nic::gro),
    ("gro-flush", nic::gro_flush),
    ("moderation", nic::moderation),
    ("pause", nic::pause),
    ("losses", nic::losses),
    ("locality", nic::locality),
    ("reverse-path", nic::reverse_path),
    ("interrupts", interrupts::placement),
];

/// A finding, and what it is about.
#[derive(Debug, Serialize)]
struct Told {
    check: &'static str,
    interface: Option<String>,
    #[serde(flatten)]
    finding: Finding,
}

/// Looks. Says whether nothing should be changed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let host = options.sysroot.as_ref().map_or_else(Host::this, Host::tree);
    let wanted = Wanted { pin: options.pin.clone(), buffer: options.buffer };
    let interfaces = interfaces(&host, &options.interface)?;
    let told = examine(&host, &interfaces, &wanted);
    let well = !told.iter().any(|told| told.finding.severity.asks_for_change());
    let mut out = io::stdout().lock();
    if options.json {
        let result = serde_json::json!({ "well": well, "findings": told });
        serde_json::to_writer(&mut out, &result)?;
        writeln!(out)?;
    } else {
        write(&mut out, &told, options.all)?;
    }
    out.flush()?;
    Ok(well)
}

/// The interfaces to look at.
fn interfaces(host: &Host, named: &[String]) -> Result<Vec<String>> {
    // A host that does not show them has none to look at, which the checks will say.
    let all = host.names("/sys/class/net").unwrap_or_default();
    if let Some(missing) = named.iter().find(|name| !all.contains(name)) {
        bail!("there is no interface {missing}; there are: {}", all.join(", "));
    }
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    let is_up = |name: &String| {
        host.has(&nic::path(name, "device"))
            && host.text(&nic::path(name, "operstate")).is_ok_and(|state| state == "up")
    };
    Ok(all.into_iter().filter(is_up).collect())
}

fn examine(host: &Host, interfaces: &[String], wanted: &Wanted) -> Vec<Told> {
    let mut told = Vec::new();
    let mut tell = |check, interface: Option<&String>, found: Found| {
        let findings = found.unwrap_or_else(|unseen| vec![Finding::unseen(unseen)]);
        let interface = interface.cloned();
        told.extend(findings.into_iter().map(|finding| Told {
            check,
            interface: interface.clone(),
            finding,
        }));
    };
    for (name, check) in HOST_CHECKS {
        tell(name, None, check(host, wanted));
    }
    for interface in interfaces {
        for (name, check) in INTERFACE_CHECKS {
            tell(name, Some(interface), check(host, interface, wanted));
        }
    }
    told
}

/// Writes findings for people, the most important first.
fn write(out: &mut impl Write, told: &[Told], all: bool) -> io::Result<()> {
    let severities =
        [Severity::Problem, Severity::Advice, Severity::Note, Severity::Unseen, Severity::Ok];
    for severity in severities {
        if severity == Severity::Ok && !all {
            continue;
        }
        for told in told.iter().filter(|told| told.finding.severity == severity) {
            write_one(out, told)?;
        }
    }
    let count = |wanted| told.iter().filter(|told| told.finding.severity == wanted).count();
    writeln!(
        out,
        "{} to change, {} advised, {} to note, {} could not be looked at, {} as they should be{}",
        count(Severity::Problem),
        count(Severity::Advice),
        count(Severity::Note),
        count(Severity::Unseen),
        count(Severity::Ok),
        if all { "" } else { " (--all shows them)" }
    )
}

fn write_one(out: &mut impl Write, Told { check, interface, finding }: &Told) -> io::Result<()> {
    let subject = interface.as_ref().map_or_else(String::new, |name| format!("{name}: "));
    let Finding { severity, found, why, commands } = finding;
    writeln!(out, "{}: {subject}{found} [{check}]", severity.as_str())?;
    if !why.is_empty() {
        writeln!(out, "    {why}")?;
    }
    commands.iter().try_for_each(|command| writeln!(out, "    $ {command}"))?;
    // What has nothing more to say stands close together.
    if why.is_empty() { Ok(()) } else { writeln!(out) }
}
