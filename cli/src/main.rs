//! The `speadway` command: receives SPEAD streams and shows what arrives, and sends some.

mod bench;
mod choices;
mod demo;
mod doctor;
mod endpoint;
mod hash;
mod network;
mod progress;
mod recv;
mod report;
mod send;
mod units;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Receive SPEAD streams into chunks of memory, and show what arrives; send streams to test with.
///
/// Set RUST_LOG (for example to "info" or "debug") to see more of what the library does.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Bench(bench::Options),
    Demo(demo::Options),
    Doctor(doctor::Options),
    Recv(Box<recv::Options>),
    Send(Box<send::Options>),
}

impl Command {
    /// What is logged unless RUST_LOG says otherwise.
    fn log_filter(&self) -> &'static str {
        match self {
            // It makes do with whatever buffers it gets.
            Self::Demo(_) => "warn,speadway::net=error",
            Self::Bench(_) | Self::Doctor(_) | Self::Recv(_) | Self::Send(_) => "warn",
        }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let filter = env_logger::Env::default().default_filter_or(command.log_filter());
    env_logger::Builder::from_env(filter).init();
    let done = match command {
        Command::Bench(options) => bench::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Recv(options) => recv::run(&options),
        Command::Send(options) => send::run(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever read our output has seen enough, as with `| head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If even this cannot be written, the exit code has to do.
            let _ = writeln!(io::stderr(), "speadway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
