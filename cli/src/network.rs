//! The options of the network that receiving and sending share.

use std::convert::Infallible;

use clap::Args;
use speadway::net::Interface;

use crate::endpoint;
use crate::units;

/// How sockets are set up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct Sockets {
    /// Interface for multicast: its name, index or IPv4 address [default: as routed]
    #[arg(long, value_name = "NAME", value_parser = interface)]
    interface: Option<Interface>,
    /// Buffer to ask the kernel for, for each socket, in bytes [default: over UDP 8MiB to receive,
    /// 512KiB to send; over TCP the system's]
    #[arg(long, value_name = "SIZE", value_parser = units::size)]
    pub(crate) buffer: Option<usize>,
}

impl Sockets {
    pub(crate) fn interface(&self) -> Interface {
        self.interface.clone().unwrap_or_default()
    }
}

fn interface(text: &str) -> Result<Interface, Infallible> {
    Ok(endpoint::interface(text))
}
