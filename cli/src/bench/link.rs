//! From the master to its agents: which streams go where, and what became of what was sent.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::campaign::{Channel, Trial};
use super::host::cpu_time;
use super::options::Measurement;
use super::protocol::{Agent, Endpoint, Host, Opened, Received, StreamReceived};
use super::sender::{Sender, Sent};

/// Heaps are numbered with 40 bits; when this many are used, numbers start over.
const LAST_HEAP: u64 = 1 << 39;

/// An agent and the address that its default streams are received on.
pub(super) struct Party {
    pub(super) agent: Agent,
    pub(super) address: IpAddr,
}

/// Makes trials over the network.
pub(super) struct Link<'a> {
    parties: &'a mut [Party],
    flows: Vec<Flow>,
    /// What each agent has opened.
    pub(super) opened: Vec<Vec<Opened>>,
    sender: Sender,
    seconds: Duration,
    heaps_per_chunk: u64,
    window: u64,
    next: u64,
}

/// What is sent to one address.
#[derive(Debug, PartialEq, Eq)]
struct Flow {
    to: SocketAddr,
    /// Who receives it: an agent and which of its streams. A multicast group may have several.
    receivers: Vec<(usize, usize)>,
}

impl<'a> Link<'a> {
    /// Has everything opened, at both ends, for packets of up to `packet` bytes.
    pub(super) fn open(
        parties: &'a mut [Party],
        measurement: &Measurement,
        packet: usize,
    ) -> Result<Self> {
        let endpoints = measurement.workload.endpoints.iter().map(|option| option.resolve());
        let endpoints = endpoints.collect::<Result<Vec<_>>>()?;
        let hosts: Vec<&Host> = parties.iter().map(|party| &party.agent.host).collect();
        let shares = if endpoints.is_empty() {
            let of =
                |party: &Party| Endpoint { address: (party.address, 0).into(), interface: None };
            parties.iter().map(|party| vec![of(party); measurement.workload.streams]).collect()
        } else {
            distribute(&hosts, &endpoints)?
        };
        let opened = parties
            .iter_mut()
            .zip(shares)
            .map(|(party, share)| party.agent.open(&measurement.receiving(share, packet)))
            .collect::<Result<Vec<_>>>()?;
        let flows = flows(&opened);
        let destinations: Vec<SocketAddr> = flows.iter().map(|flow| flow.to).collect();
        let sender =
            Sender::open(&destinations, packet, &measurement.workload, &measurement.sending)?;
        Ok(Self {
            parties,
            flows,
            opened,
            sender,
            seconds: measurement.seconds(),
            heaps_per_chunk: measurement.workload.heaps_per_chunk(),
            window: measurement.workload.window as u64,
            next: 0,
        })
    }

    /// Goes on behind all chunks that the last trial has touched: what comes late is told apart.
    fn advance(&mut self, sent: &[Sent]) {
        let heaps = sent.iter().map(|sent| sent.heaps).max().unwrap_or(0);
        let chunks = heaps.div_ceil(self.heaps_per_chunk) + self.window;
        self.next += chunks * self.heaps_per_chunk;
        if self.next > LAST_HEAP {
            self.next = 0;
        }
    }
}

impl Channel for Link<'_> {
    fn trial(&mut self, rate: Option<f64>) -> Result<Trial> {
        for party in &mut *self.parties {
            party.agent.begin(self.next, self.seconds.as_secs_f64())?;
        }
        let cpu = cpu_time();
        let bytes_per_second = rate.map(|rate| rate * 1e9 / 8.0);
        let sent = self.sender.send(bytes_per_second, self.seconds, self.next)?;
        let cpu = cpu_time().saturating_sub(cpu);
        self.advance(&sent);
        let mut received = Vec::new();
        for (at, party) in self.parties.iter_mut().enumerate() {
            let mut heaps = vec![0; self.opened[at].len()];
            for (flow, sent) in self.flows.iter().zip(&sent) {
                let mine = flow.receivers.iter().filter(|(agent, _)| *agent == at);
                mine.for_each(|&(_, stream)| heaps[stream] = sent.heaps);
            }
            received.push(party.agent.finish(heaps)?);
        }
        let mut trial = judge(&self.flows, &sent, &received);
        trial.asked = rate;
        trial.sender_cpu = cpu.as_secs_f64();
        Ok(trial)
    }
}

/// Gives each agent its endpoints: those whose address its host has, in turn if several have it; a
/// multicast group goes to all.
fn distribute(hosts: &[&Host], endpoints: &[Endpoint]) -> Result<Vec<Vec<Endpoint>>> {
    let mut shares = vec![Vec::new(); hosts.len()];
    for endpoint in endpoints {
        let address = endpoint.address.ip();
        if address.is_multicast() {
            shares.iter_mut().for_each(|share| share.push(endpoint.clone()));
            continue;
        }
        let owners = (0..hosts.len()).filter(|&at| hosts[at].addresses.contains(&address));
        // The one with the fewest so far: they take turns.
        let owner = owners.min_by_key(|&at| shares[at].len());
        let owner = owner.with_context(|| {
            let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
            format!("none of the agents' hosts ({}) has the address {address}", names.join(", "))
        })?;
        shares[owner].push(endpoint.clone());
    }
    match shares.iter().position(Vec::is_empty) {
        Some(idle) => bail!("no --endpoint is an address of the agent on {}", hosts[idle].name),
        None => Ok(shares),
    }
}

fn flows(opened: &[Vec<Opened>]) -> Vec<Flow> {
    let mut flows: Vec<Flow> = Vec::new();
    for (agent, streams) in opened.iter().enumerate() {
        for (stream, Opened { address, .. }) in streams.iter().enumerate() {
            let group = address.ip().is_multicast();
            match flows.iter_mut().find(|flow| group && flow.to == *address) {
                Some(flow) => flow.receivers.push((agent, stream)),
                None => flows.push(Flow { to: *address, receivers: vec![(agent, stream)] }),
            }
        }
    }
    flows
}

/// Compares what has arrived with what was sent.
fn judge(flows: &[Flow], sent: &[Sent], received: &[Received]) -> Trial {
    let mut trial = Trial::default();
    let mut time = Duration::ZERO;
    for (flow, sent) in flows.iter().zip(sent) {
        time = time.max(sent.time);
        trial.bytes_sent += sent.bytes;
        for &(agent, stream) in &flow.receivers {
            let stream = &received[agent].streams[stream];
            trial.heaps_sent += sent.heaps;
            trial.packets_sent += sent.packets;
            trial.heaps_received += stream.heaps_present;
            trial.packets_received += stream.packets;
            trial.payload_received += stream.payload;
            trial.kernel_drops += stream.kernel_drops;
            trial.faults.extend(faults(flow.to, sent, stream));
        }
    }
    trial.seconds = time.as_secs_f64();
    trial.rate = trial.bytes_sent as f64 * 8e-9 / trial.seconds.max(1e-9);
    trial.receiver_cpu = received.iter().map(|received| received.cpu).sum();
    trial
}

/// What is wrong with a stream, in words.
fn faults(to: SocketAddr, sent: &Sent, stream: &StreamReceived) -> Vec<String> {
    let mut faults = Vec::new();
    let missing = sent.heaps.saturating_sub(stream.heaps_present);
    if missing > 0 {
        faults.push(format!("{missing} of {} heaps to {to} are missing", sent.heaps));
    }
    let drops = stream.kernel_drops;
    if drops > 0 {
        faults.push(format!("the kernel dropped {drops} packets to {to}: a buffer was full"));
    }
    let on_the_way = sent.packets.saturating_sub(stream.packets + drops);
    if on_the_way > 0 {
        faults.push(format!("{on_the_way} packets to {to} were lost before the socket"));
    }
    if stream.heaps_present != stream.heaps_placed {
        let StreamReceived { heaps_present, heaps_placed, .. } = stream;
        faults.push(format!(
            "chunks of {to} have {heaps_present} heaps, its counters say {heaps_placed}"
        ));
    }
    if !stream.balances {
        faults.push(format!("not every packet and heap to {to} is accounted for"));
    }
    if let Some(failure) = &stream.failure {
        faults.push(format!("the stream from {to} failed: {failure}"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, addresses: &[&str]) -> Host {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Host { name: name.to_owned(), addresses, ..Host::default() }
    }

    fn endpoints(addresses: &[&str]) -> Vec<Endpoint> {
        let endpoint =
            |address: &&str| Endpoint { address: address.parse().unwrap(), interface: None };
        addresses.iter().map(endpoint).collect()
    }

    fn opened(address: &str) -> Opened {
        Opened { address: address.parse().unwrap(), buffer: 1, hint: None, core: None }
    }

    #[test]
    fn endpoints_go_to_the_agents_that_have_their_addresses() {
        let (a, b) = (host("a", &["10.0.0.1", "10.0.1.1"]), host("b", &["10.0.0.2"]));
        let wanted = endpoints(&["10.0.0.2:1", "10.0.1.1:1", "239.1.2.3:4"]);
        let shares = distribute(&[&a, &b], &wanted).unwrap();
        assert_eq!(shares[0], [wanted[1].clone(), wanted[2].clone()]);
        assert_eq!(shares[1], [wanted[0].clone(), wanted[2].clone()]);
        let error = distribute(&[&a, &b], &endpoints(&["10.9.9.9:1"])).unwrap_err();
        assert_eq!(error.to_string(), "none of the agents' hosts (a, b) has the address 10.9.9.9");
        let error = distribute(&[&a, &b], &endpoints(&["10.0.0.1:1"])).unwrap_err();
        assert_eq!(error.to_string(), "no --endpoint is an address of the agent on b");
    }

    #[test]
    fn agents_of_one_host_take_turns() {
        let (a, b) = (host("a", &["127.0.0.1"]), host("b", &["127.0.0.1"]));
        let shares = distribute(&[&a, &b], &endpoints(&["127.0.0.1:1", "127.0.0.1:2"])).unwrap();
        assert_eq!(shares.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn a_group_is_sent_to_once() {
        let group = || vec![opened("239.1.2.3:4"), opened("239.1.2.4:4")];
        let flows = flows(&[group(), group(), vec![opened("10.0.0.1:5")]]);
        let receivers: Vec<_> = flows.iter().map(|flow| flow.receivers.clone()).collect();
        assert_eq!(receivers, [vec![(0, 0), (1, 0)], vec![(0, 1), (1, 1)], vec![(2, 0)]]);
    }

    fn sent(heaps: u64) -> Sent {
        Sent { heaps, packets: heaps * 10, bytes: 125_000_000, time: Duration::from_secs(1) }
    }

    fn good(heaps: u64) -> StreamReceived {
        StreamReceived {
            heaps_present: heaps,
            heaps_placed: heaps,
            packets: heaps * 10,
            balances: true,
            ..StreamReceived::default()
        }
    }

    fn judged(stream: StreamReceived) -> Vec<String> {
        let flows = flows(&[vec![opened("10.0.0.1:5")]]);
        let received = Received { streams: vec![stream], cpu: 0.5 };
        judge(&flows, &[sent(100)], &[received]).faults
    }

    #[test]
    fn a_trial_is_clean_only_if_every_witness_says_so() {
        assert!(judged(good(100)).is_empty());
        let lost = StreamReceived { heaps_present: 99, heaps_placed: 99, ..good(100) };
        assert_eq!(judged(lost), ["1 of 100 heaps to 10.0.0.1:5 are missing"]);
        let dropped = StreamReceived { kernel_drops: 3, packets: 997, ..good(100) };
        assert_eq!(
            judged(dropped),
            ["the kernel dropped 3 packets to 10.0.0.1:5: a buffer was full"]
        );
        let late = StreamReceived { packets: 998, ..good(100) };
        assert_eq!(judged(late), ["2 packets to 10.0.0.1:5 were lost before the socket"]);
        for wrong in [
            StreamReceived { heaps_placed: 101, ..good(100) },
            StreamReceived { balances: false, ..good(100) },
            StreamReceived { failure: Some("broken".to_owned()), ..good(100) },
        ] {
            assert_eq!(judged(wrong).len(), 1);
        }
    }

    #[test]
    fn streams_add_up() {
        let flows = flows(&[vec![opened("10.0.0.1:5"), opened("10.0.0.1:6")]]);
        let received = Received { streams: vec![good(100), good(50)], cpu: 0.5 };
        let trial = judge(&flows, &[sent(100), sent(50)], &[received]);
        assert_eq!((trial.heaps_sent, trial.packets_received), (150, 1500));
        assert!((trial.rate - 2.0).abs() < 1e-9 && trial.is_clean(), "{trial:?}");
    }
}
