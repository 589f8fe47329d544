//! Receives one workload in several ways, and says what it cost.
//!
//! `bench_receive WAY NAME=VALUE ...`, where the ways are
//!
//! * `memory`: packets in memory, by a stream, into chunks;
//! * `packets`: writes those packets to standard output, for the peer;
//! * `copy`: the same payloads by `memcpy` into the same places, which is the floor;
//! * `least`: the least that placing those packets takes: decode, copy, count;
//! * `udp`: packets from a UDP socket, by a stream, into chunks;
//! * `minimal`: the least that receiving UDP takes: `recvmmsg`, copy, count;
//! * `scatter`: the same, but the kernel puts payloads in the places where they are expected;
//! * `send`: sends to the three above.
//!
//! Values and their defaults are in `options.rs`. Receivers say on a line of their own when they
//! are ready, and at the end print one line of JSON. `benches/peers/receive.py` runs them beside
//! the peer.

/// That of the library, which keeps it to itself.
#[allow(unreachable_pub)]
#[path = "../../src/memory/copy.rs"]
mod copy;
mod load;
mod memory;
mod minimal;
mod options;
mod scatter;
mod send;
mod shared;
mod streams;
mod system;
mod udp;

use std::error::Error;

use options::Options;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let way = arguments.next().unwrap_or_default();
    let options = Options::parse(arguments)?;
    match way.as_str() {
        "memory" => memory::stream(&options),
        "packets" => memory::print_packets(&options),
        "copy" => memory::copy(&options),
        "least" => memory::minimal(&options),
        "udp" => udp::stream(&options),
        "minimal" => minimal::receive(&options),
        "scatter" => scatter::receive(&options),
        "send" => send::send(&options),
        _ => {
            let ways = "memory|packets|copy|least|udp|minimal|scatter|send";
            Err(format!("usage: bench_receive {ways} NAME=VALUE ...").into())
        }
    }
}
