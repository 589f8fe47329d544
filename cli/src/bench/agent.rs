//! `speadway bench agent`: receives what masters send, and says what arrived.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::protocol::{Answer, Ask, Connection, Host, PATIENCE, PROMPT, VERSION};
use super::receiver::{Receiver, Running};
use crate::endpoint::HostPort;
use crate::units;

/// A trial is never longer than this, whatever a master says: an hour.
const LONGEST_TRIAL: Duration = Duration::from_secs(3600);

/// How often an agent that serves once looks for a master.
const LOOK: Duration = Duration::from_millis(10);

/// Receive what a master sends, and count what arrives.
///
/// It serves one master after the other until it is ended. What to receive, and where, the masters
/// say: let only hosts reach it that you trust.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Where masters reach it over TCP: [HOST]:PORT or PORT
    #[arg(value_name = "ADDRESS")]
    address: HostPort,
    /// End with the first master's session, or after a minute without one
    #[arg(long)]
    once: bool,
    /// Memory for chunks that masters may ask for, in bytes
    #[arg(long, value_name = "SIZE", default_value = "8GiB", value_parser = units::size)]
    max_memory: usize,
}

/// Serves masters.
pub(super) fn run(options: &Options) -> Result<bool> {
    let address = options.address.resolve()?;
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address}; is an agent running already?"))?;
    let mut out = io::stdout().lock();
    writeln!(out, "agent tcp://{}", listener.local_addr()?)?;
    out.flush()?;
    if options.once {
        return serve_once(&listener, options.max_memory);
    }
    let busy = Arc::new(AtomicBool::new(false));
    for stream in listener.incoming() {
        // Whoever wanted to connect has gone again, or there are no descriptors right now.
        let Ok(stream) = stream else { continue };
        if busy.swap(true, Ordering::Acquire) {
            refuse(stream);
            continue;
        }
        let (free, max_memory) = (Free(Arc::clone(&busy)), options.max_memory);
        let serving = move || report(serve(stream, max_memory, Some(free)));
        // Without a thread the connection is closed, and the agent free again.
        if let Err(error) = thread::Builder::new().spawn(serving) {
            log::warn!("cannot serve a master: {error}");
        }
    }
    Ok(true)
}

/// Makes room for the next master, even if serving this one panics.
struct Free(Arc<AtomicBool>);

impl Drop for Free {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Serves until somebody was a master. Whoever started this agent may be gone.
fn serve_once(listener: &TcpListener, max_memory: usize) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    listener.set_nonblocking(true)?;
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if Instant::now() > deadline => bail!("no master came"),
            Err(_) => {
                thread::sleep(LOOK);
                continue;
            }
        };
        // Some systems have it inherit that.
        stream.set_nonblocking(false)?;
        match serve(stream, max_memory, None) {
            Ok(Served::Master) => return Ok(true),
            Ok(Served::Nobody) => {}
            Err(error) => {
                report(Err(error));
                return Ok(false);
            }
        }
    }
}

/// Who was served.
enum Served {
    Master,
    /// Somebody who did not say hello as masters do.
    Nobody,
}

fn report(served: Result<Served>) {
    if let Err(error) = served {
        log::warn!("{error:#}");
    }
}

fn refuse(stream: TcpStream) {
    let message = "busy with another master; try again when that one is done".to_owned();
    // Who cannot be told finds the connection closed.
    if let Ok(mut connection) = Connection::new(stream, "a second master".to_owned()) {
        let _ = connection.send(&Answer::Error { message });
        // Closing with something unread would take the answer back.
        let _ = connection.receive::<Ask>(Duration::from_secs(1));
    }
}

/// Answers a master until it has no more questions.
fn serve(stream: TcpStream, max_memory: usize, free: Option<Free>) -> Result<Served> {
    let peer = stream.peer_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let mut connection = Connection::new(stream, format!("the master at {peer}"))?;
    // Dropped before the connection: who finds that closed finds the agent free.
    let _free = free;
    match greet(&mut connection) {
        Ok(()) => {}
        Err(error) => {
            report(Err(error));
            return Ok(Served::Nobody);
        }
    }
    let mut session = Session { max_memory, receiver: None, running: None };
    let mut patience = PATIENCE;
    while let Some(ask) = connection.receive::<Ask>(patience)? {
        patience = PATIENCE;
        if let Ask::Begin { seconds, .. } = ask {
            let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(LONGEST_TRIAL);
            patience += seconds.min(LONGEST_TRIAL);
        }
        match session.answer(ask) {
            Ok(answer) => connection.send(&answer)?,
            Err(error) => {
                let message = format!("{error:#}");
                connection.send(&Answer::Error { message })?;
            }
        }
    }
    Ok(Served::Master)
}

fn greet(connection: &mut Connection) -> Result<()> {
    match connection.receive(PROMPT)? {
        Some(Ask::Hello { version }) => {
            connection.send(&Answer::Hello { version: VERSION, host: Host::this() })?;
            if version != VERSION {
                bail!("{} speaks version {version} of the protocol", connection.peer());
            }
            Ok(())
        }
        Some(_) => bail!("{} does not say hello first", connection.peer()),
        None => bail!("{} says nothing and leaves", connection.peer()),
    }
}

/// What one master has asked for so far.
struct Session {
    max_memory: usize,
    receiver: Option<Receiver>,
    running: Option<Running>,
}

impl Session {
    fn answer(&mut self, ask: Ask) -> Result<Answer> {
        match ask {
            Ask::Hello { .. } => bail!("hello has been said"),
            Ask::Open(receiving) => {
                // The old sockets first: the new ones may have the same addresses.
                self.running = None;
                self.receiver = None;
                let receiver = Receiver::open(receiving, self.max_memory)?;
                let streams = receiver.opened();
                self.receiver = Some(receiver);
                Ok(Answer::Open { streams })
            }
            Ask::Begin { first, .. } => {
                self.running = None;
                let receiver = self.receiver.as_ref().context("nothing is open to receive")?;
                self.running = Some(receiver.begin(first)?);
                Ok(Answer::Begin)
            }
            Ask::Finish { heaps } => {
                let running = self.running.take().context("nothing is being received")?;
                Ok(Answer::Finish(running.finish(&heaps)?))
            }
        }
    }
}
