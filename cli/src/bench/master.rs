//! `speadway bench master` and `speadway bench local`: find out what agents can receive.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::campaign::{self, Phase, Trial};
use super::link::{Link, Party};
use super::options::{Measurement, Output};
use super::plot;
use super::protocol::Agent;

use super::results::{Results, Row};
use crate::endpoint::HostPort;
use crate::progress::Progress;
use crate::units::Bytes;

/// Find the highest rate that agents receive without losing anything.
///
/// Each AGENT is HOST:PORT of a `speadway bench agent`. Packets are sent over UDP from this host,
/// at rates that are chosen to find the highest as soon as possible; see docs/tuning.md. All
/// streams together make up the rate, each an equal share of it. Exits with 1 if no rate is held.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The agents that receive
    #[arg(required = true, value_name = "AGENT")]
    agents: Vec<HostPort>,
    #[command(flatten)]
    measurement: Measurement,
}

/// As master with an agent on this host, over loopback.
///
/// What it finds is an upper limit for this host: no network is in the way, but sender and receiver
/// share the host. Unless --pin and --send-pin say otherwise, the sender is pinned to the first
/// core and each stream to one of the others. Exits with 1 if no rate is held.
#[derive(Debug, Args)]
pub(crate) struct LocalOptions {
    #[command(flatten)]
    measurement: Measurement,
    /// Memory for chunks, in bytes
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = crate::units::size)]
    max_memory: usize,
}

/// Runs with the agents that were named.
pub(super) fn run(options: &Options) -> Result<bool> {
    options.measurement.check()?;
    let parties = options.agents.iter().map(|at| {
        let address = at.resolve()?;
        Ok(Party { agent: Agent::connect(&at.to_string(), address)?, address: address.ip() })
    });
    measure(parties.collect::<Result<_>>()?, &options.measurement)
}

/// Runs with an agent of its own.
pub(super) fn run_local(options: &LocalOptions) -> Result<bool> {
    let mut measurement = options.measurement.clone();
    measurement.check()?;
    pin_apart(&mut measurement);
    let child = LocalAgent::start(options.max_memory)?;
    let agent = Agent::connect("on this host", child.address)?;
    measure(vec![Party { agent, address: child.address.ip() }], &measurement)
}

/// Keeps sender and receiver out of each other's way, if there are cores for that.
fn pin_apart(measurement: &mut Measurement) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let cores: Vec<usize> = cores.iter().map(|core| core.id).collect();
    let untold = measurement.receiving.pin.is_empty() && measurement.sending.send_pin.is_empty();
    if let ([first, rest @ ..], true) = (&cores[..], untold)
        && !rest.is_empty()
    {
        measurement.sending.send_pin = vec![*first];
        measurement.receiving.pin = rest.to_vec();
    }
}

/// An agent in a process of its own, which ends with this one.
struct LocalAgent {
    child: Child,
    address: SocketAddr,
}

impl LocalAgent {
    fn start(max_memory: usize) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program to run again")?;
        let mut child = Command::new(program)
            .args(["bench", "agent", "127.0.0.1:0", "--once", "--max-memory"])
            .arg(max_memory.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the agent")?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("the agent has no output")?;
        let read = BufReader::new(stdout).read_line(&mut line);
        let address = line.trim().strip_prefix("agent tcp://").and_then(|text| text.parse().ok());
        let mut agent = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        read.context("the agent cannot be heard")?;
        agent.address = address.ok_or_else(|| anyhow!("the agent did not start: `{line}`"))?;
        Ok(agent)
    }
}

impl Drop for LocalAgent {
    fn drop(&mut self) {
        // It may have ended already, its master being gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures all packet sizes and shows the result.
fn measure(mut parties: Vec<Party>, measurement: &Measurement) -> Result<bool> {
    let agents = parties.iter().map(|party| party.agent.host.clone()).collect();
    let mut results = Results::new(agents, describe(measurement, parties.len()));
    let mut line = Lines::new(&measurement.output);
    for &packet in &measurement.workload.packet {
        let mut link = Link::open(&mut parties, measurement, packet)?;
        results.note_streams(&link.opened);
        let outcome = campaign::run(&mut link, &measurement.settings(), &mut |trial| {
            line.show(packet, trial)
        })?;
        results.rows.push(Row::new(packet, outcome));
    }
    line.progress.clear();
    if let Some(path) = &measurement.output.plot {
        fs::write(path, plot::draw(&results)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = io::stdout().lock();
    if measurement.output.json {
        serde_json::to_writer(&mut out, &results)?;
        writeln!(out)?;
    } else {
        results.write(&mut out)?;
    }
    out.flush()?;
    Ok(results.rows.iter().all(|row| row.outcome.held.is_some()))
}

fn describe(measurement: &Measurement, agents: usize) -> String {
    let workload = &measurement.workload;
    let streams = match workload.endpoints.len() {
        0 => workload.streams * agents,
        endpoints => endpoints,
    };
    format!(
        "{streams} {}, heaps of {}, chunks of {}, {} open, {}",
        if streams == 1 { "stream" } else { "streams" },
        Bytes(workload.heap_size as u64),
        Bytes(workload.heaps_per_chunk() * workload.heap_size as u64),
        workload.window,
        if measurement.sending.no_gso { "packets one by one" } else { "packets in trains" }
    )
}

/// Shows trials as they are made.
struct Lines {
    progress: Progress,
    shown: usize,
}

impl Lines {
    fn new(output: &Output) -> Self {
        let Output { progress, quiet, json, .. } = *output;
        Self { progress: Progress::new(Duration::ZERO, progress, quiet || json), shown: 0 }
    }

    fn show(&mut self, packet: usize, trial: &Trial) -> Result<()> {
        self.shown += 1;
        let now = Instant::now();
        if !self.progress.is_due(now) {
            return Ok(());
        }
        let phase = match trial.phase {
            Phase::WarmUp => "warm-up",
            Phase::FullSpeed => "full speed",
            Phase::Search => "search",
            Phase::Hold => "hold",
        };
        let verdict = trial.faults.first().map_or("clean", String::as_str);
        let line =
            format!("{packet} B  trial {}  {phase}  {:.3} Gb/s  {verdict}", self.shown, trial.rate);
        self.progress.show(now, &line);
        Ok(())
    }
}
