//! `speadway bench`: what a host can receive.
//!
//! An [`agent`] receives what a [`master`] sends and counts what arrives; [`protocol`] is what they
//! say to each other, [`receiver`] and [`sender`] are the two ends of a trial, and [`link`] makes
//! trials of both. The [`campaign`] decides which trials to make; what they mean is the [`search`]'s
//! business. [`results`] and [`plot`] show what was found. [`memory`] measures without a network.

mod agent;
mod campaign;
mod host;
mod link;
mod master;
mod memory;
mod options;
mod plot;
mod protocol;
mod receiver;
mod results;
mod search;
mod sender;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Measure the highest rate that is received without loss.
///
/// Over a network: start `speadway bench agent` on the receiving hosts and `speadway bench master`
/// on the sending one. On one host: `speadway bench local`, or without the kernel, `speadway bench
/// mem`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    Agent(agent::Options),
    Master(Box<master::Options>),
    Local(Box<master::LocalOptions>),
    Mem(memory::Options),
}

/// Measures. Says whether a rate is held.
pub(crate) fn run(options: &Options) -> Result<bool> {
    match &options.role {
        Role::Agent(options) => agent::run(options),
        Role::Master(options) => master::run(options),
        Role::Local(options) => master::run_local(options),
        Role::Mem(options) => memory::run(options),
    }
}
