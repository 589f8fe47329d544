//! What master and agent say to each other: one JSON object a line, over TCP.
//!
//! The master asks, the agent answers, one question at a time. Either end may be something else
//! altogether, slow, or gone: lines are of limited length, and every wait has an end.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of the protocol. Ends of different versions do not work together.
pub(super) const VERSION: u32 = 1;

/// Bytes of a line at most: many thousand streams.
const MAX_LINE: usize = 1 << 20;

/// How long a line may take to be written: the other end has to read it.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may take that needs next to no work.
pub(super) const PROMPT: Duration = Duration::from_secs(10);

/// How long an agent may take to get sockets and memory: tens of GiB have to be touched.
pub(super) const OPENING: Duration = Duration::from_secs(60);

/// How long an agent waits for the next question, beyond the time that a trial takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a master waits for an agent to see that it goes.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a master asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(super) enum Ask {
    /// The first question, both ways.
    Hello { version: u32 },
    /// Have sockets and memory for this.
    Open(Receiving),
    /// Receive heaps from number `first` on, for about `seconds`.
    Begin { first: u64, seconds: f64 },
    /// So many heaps were sent to each stream: what has arrived?
    Finish { heaps: Vec<u64> },
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub(super) enum Answer {
    Hello { version: u32, host: Host },
    Open { streams: Vec<Opened> },
    Begin,
    Finish(Received),
    Error { message: String },
}

/// How an agent is to receive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Receiving {
    pub(super) streams: Vec<Endpoint>,
    /// Payload of a heap, in bytes.
    pub(super) heap_size: usize,
    pub(super) heaps_per_chunk: u64,
    /// Chunks that are open at a time, and chunks of memory, for each stream.
    pub(super) window: usize,
    pub(super) chunks: usize,
    /// The largest packet, in bytes.
    pub(super) packet: usize,
    /// The receive buffer to ask for, in bytes.
    pub(super) buffer: usize,
    /// Cores for the receiving threads; without, one thread for each stream, not pinned.
    pub(super) pin: Vec<usize>,
    pub(super) gro: bool,
    pub(super) wait: Wait,
    pub(super) huge_pages: bool,
    /// Whether large payloads are copied past the caches.
    #[serde(default)]
    pub(super) non_temporal: bool,
}

/// How receiving threads wait for packets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Wait {
    Sleep,
    Spin,
    /// For so many seconds more than for the first packet.
    Coalesce(f64),
}

/// Where a stream is received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Endpoint {
    /// A local address of the agent or a multicast group; port 0 has the system choose one.
    pub(super) address: SocketAddr,
    /// The interface that joins the group.
    pub(super) interface: Option<String>,
}

/// A stream that is ready to receive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    pub(super) address: SocketAddr,
    /// The receive buffer that the kernel granted, in bytes, and what to do if it is too small.
    pub(super) buffer: usize,
    pub(super) hint: Option<String>,
    /// The core of its thread, if that is pinned.
    pub(super) core: Option<usize>,
}

/// The agent's host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) kernel: String,
    pub(super) speadway: String,
    /// Addresses of its interfaces, by which endpoints find their agent.
    pub(super) addresses: Vec<IpAddr>,
}

/// What has arrived in a trial.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Received {
    pub(super) streams: Vec<StreamReceived>,
    /// CPU time of the agent's process in the trial, in seconds.
    pub(super) cpu: f64,
}

/// What has arrived on one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StreamReceived {
    /// Heaps marked present in the chunks that were handed over.
    pub(super) heaps_present: u64,
    /// Heaps that the stream counted as placed.
    pub(super) heaps_placed: u64,
    pub(super) packets: u64,
    /// Bytes of payload that reached their place.
    pub(super) payload: u64,
    pub(super) kernel_drops: u64,
    /// Counters that say what went wrong.
    pub(super) losses: Vec<(String, u64)>,
    /// Whether every packet and heap is accounted for.
    pub(super) balances: bool,
    /// How the stream failed, if it did.
    pub(super) failure: Option<String>,
}

/// A connection to the other end.
pub(super) struct Connection {
    stream: TcpStream,
    /// What was read behind the last line.
    pending: Vec<u8>,
    peer: String,
}

impl Connection {
    /// `peer` names the other end in errors.
    pub(super) fn new(stream: TcpStream, peer: String) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        Ok(Self { stream, pending: Vec::new(), peer })
    }

    pub(super) fn peer(&self) -> &str {
        &self.peer
    }

    pub(super) fn send(&mut self, message: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.write_all(&line).with_context(|| format!("{} takes no messages", self.peer))
    }

    /// The next message, which has to be whole `within` so much time; `None` if the other end has
    /// closed the connection.
    pub(super) fn receive<T: DeserializeOwned>(&mut self, within: Duration) -> Result<Option<T>> {
        let Some(line) = self.line(Instant::now() + within)? else { return Ok(None) };
        let text = String::from_utf8_lossy(&line);
        let parsed = serde_json::from_str(&text);
        let peer = &self.peer;
        parsed.map(Some).with_context(|| {
            let start: String = text.trim().chars().take(60).collect();
            format!("{peer} does not speak the protocol of `speadway bench`: it says `{start}`")
        })
    }

    /// What the agent at the other end answers.
    fn ask(&mut self, ask: &Ask, within: Duration) -> Result<Answer> {
        self.send(ask)?;
        match self.receive(within)? {
            Some(Answer::Error { message }) => bail!("{}: {message}", self.peer),
            Some(answer) => Ok(answer),
            None => bail!("{} closed the connection: it has ended or was killed", self.peer),
        }
    }

    fn unexpected(&self, answer: &Answer) -> anyhow::Error {
        anyhow!("{} answers something else than was asked: {answer:?}", self.peer)
    }

    fn line(&mut self, deadline: Instant) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.pending.split_off(searched + at + 1);
                return Ok(Some(std::mem::replace(&mut self.pending, rest)));
            }
            searched = self.pending.len();
            if searched > MAX_LINE {
                bail!("{} sends more than {MAX_LINE} bytes without a line's end", self.peer);
            }
            match self.read_some(deadline)? {
                0 if searched == 0 => return Ok(None),
                0 => bail!("{} closed the connection within a message", self.peer),
                _ => {}
            }
        }
    }

    /// Reads what there is, but waits no longer than until `deadline`.
    fn read_some(&mut self, deadline: Instant) -> Result<usize> {
        let mut bytes = [0; 4096];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("{} is silent: no answer in time", self.peer);
            }
            self.stream.set_read_timeout(Some(left))?;
            match self.stream.read(&mut bytes) {
                Ok(count) => {
                    self.pending.extend_from_slice(&bytes[..count]);
                    return Ok(count);
                }
                Err(error) if is_temporary(error.kind()) => {}
                // The other end was killed with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(0),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("lost the connection to {}", self.peer));
                }
            }
        }
    }
}

fn is_temporary(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as Kind;
    matches!(kind, Kind::WouldBlock | Kind::TimedOut | Kind::Interrupted)
}

/// A master's end of a connection.
pub(super) struct Agent {
    connection: Connection,
    pub(super) host: Host,
}

impl Agent {
    /// Connects to the agent at one of these addresses, which `name` stands for.
    pub(super) fn connect(name: &str, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PROMPT).with_context(|| {
            format!(
                "cannot reach the agent {name}; start it there with `speadway bench agent {}`",
                address.port()
            )
        })?;
        let mut connection = Connection::new(stream, format!("the agent {name}"))?;
        match connection.ask(&Ask::Hello { version: VERSION }, PROMPT)? {
            Answer::Hello { version: VERSION, host } => Ok(Self { connection, host }),
            Answer::Hello { version, .. } => bail!(
                "the agent {name} speaks version {version} of the protocol, this master {VERSION}: \
                 use the same speadway on all hosts"
            ),
            other => Err(connection.unexpected(&other)),
        }
    }

    pub(super) fn open(&mut self, receiving: &Receiving) -> Result<Vec<Opened>> {
        match self.connection.ask(&Ask::Open(receiving.clone()), OPENING)? {
            Answer::Open { streams } if streams.len() == receiving.streams.len() => Ok(streams),
            other => Err(self.connection.unexpected(&other)),
        }
    }

    pub(super) fn begin(&mut self, first: u64, seconds: f64) -> Result<()> {
        match self.connection.ask(&Ask::Begin { first, seconds }, PROMPT)? {
            Answer::Begin => Ok(()),
            other => Err(self.connection.unexpected(&other)),
        }
    }

    pub(super) fn finish(&mut self, heaps: Vec<u64>) -> Result<Received> {
        let count = heaps.len();
        match self.connection.ask(&Ask::Finish { heaps }, PATIENCE)? {
            Answer::Finish(received) if received.streams.len() == count => Ok(received),
            other => Err(self.connection.unexpected(&other)),
        }
    }
}

impl Drop for Agent {
    /// Returns when the agent is free for the next master, who may come at once.
    fn drop(&mut self) {
        let deadline = Instant::now() + GOODBYE;
        // Somebody who cannot be told, or does not answer, is not waited for any longer.
        let told = self.connection.stream.shutdown(Shutdown::Write);
        while told.is_ok() && matches!(self.connection.read_some(deadline), Ok(1..)) {
            self.connection.pending.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// Connects to somebody who does as `other` says.
    fn connect(other: impl FnOnce(TcpStream) + Send + 'static) -> Result<Agent> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let other = thread::spawn(move || other(listener.accept().unwrap().0));
        let agent = Agent::connect("test", address);
        other.join().unwrap();
        agent
    }

    fn error(result: Result<Agent>) -> String {
        format!("{:#}", result.err().expect("an error"))
    }

    #[test]
    fn messages_survive_the_way() {
        let ask = Ask::Begin { first: 1 << 40, seconds: 0.5 };
        let line = serde_json::to_string(&ask).unwrap();
        assert_eq!(line, r#"{"ask":"begin","first":1099511627776,"seconds":0.5}"#);
        assert_eq!(serde_json::from_str::<Ask>(&line).unwrap(), ask);
        let answer = Answer::Finish(Received { cpu: 0.25, ..Received::default() });
        let line = serde_json::to_string(&answer).unwrap();
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }

    #[test]
    fn somebody_else_is_named_as_such() {
        let banner = |mut stream: TcpStream| stream.write_all(b"SSH-2.0-x\r\n").unwrap();
        let text = error(connect(banner));
        assert!(text.contains("the agent test does not speak the protocol"), "{text}");
        assert!(text.contains("SSH-2.0-x"), "{text}");
    }

    #[test]
    fn who_has_said_goodbye_has_been_heard() {
        let (heard, was_heard) = mpsc::channel();
        let agent = connect(move |stream| {
            let mut master = Connection::new(stream, "the master".to_owned()).unwrap();
            master.receive::<Ask>(PROMPT).unwrap();
            let host = Host::default();
            master.send(&Answer::Hello { version: VERSION, host }).unwrap();
            thread::spawn(move || {
                assert_eq!(master.receive::<Ask>(PROMPT).unwrap(), None);
                heard.send(()).unwrap();
            });
        });
        drop(agent.unwrap());
        was_heard.try_recv().unwrap();
    }

    #[test]
    fn other_versions_are_refused() {
        let newer = |mut stream: TcpStream| {
            let host = Host::default();
            let line = serde_json::to_string(&Answer::Hello { version: 9, host }).unwrap();
            writeln!(stream, "{line}").unwrap();
        };
        let text = error(connect(newer));
        assert!(text.contains("speaks version 9 of the protocol, this master 1"), "{text}");
    }

    #[test]
    fn an_end_within_a_message_is_none() {
        let broken = |mut stream: TcpStream| stream.write_all(b"{\"answer\":").unwrap();
        // What is unread when it closes may reset the connection first.
        let text = error(connect(broken));
        assert!(text.contains("closed the connection"), "{text}");
    }

    #[test]
    fn errors_of_the_agent_are_passed_on() {
        let refusing = |mut stream: TcpStream| {
            let message = "busy with another master".to_owned();
            let line = serde_json::to_string(&Answer::Error { message }).unwrap();
            writeln!(stream, "{line}").unwrap();
        };
        assert_eq!(error(connect(refusing)), "the agent test: busy with another master");
    }

    #[test]
    fn lines_without_an_end_are_cut_short() {
        let endless = |mut stream: TcpStream| {
            // Until the other end has had enough.
            while stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        };
        let text = error(connect(endless));
        assert!(text.contains("without a line's end"), "{text}");
    }

    #[test]
    fn silence_ends_in_time() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut drip, _) = listener.accept().unwrap();
        // Bytes that come do not extend the time.
        drip.write_all(b"{").unwrap();
        let mut connection = Connection::new(stream, "it".to_owned()).unwrap();
        let result = connection.receive::<Answer>(Duration::from_millis(50));
        assert_eq!(result.unwrap_err().to_string(), "it is silent: no answer in time");
    }
}
