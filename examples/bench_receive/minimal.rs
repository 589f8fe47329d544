//! The least that receiving UDP takes: fetch, copy, count. It trusts whatever comes.

use crate::load::HEADER;
use crate::options::Options;
use crate::system::Messages;
use crate::udp::{Bursts, Done};
use crate::{Result, copy, memory, system, udp};

/// Messages per call, as few as stay in the cache, unless the options say otherwise.
const MERGED: usize = 8;
const SINGLE: usize = 64;

pub(crate) fn receive(options: &Options) -> Result<()> {
    let socket = udp::pin_and_bind(options)?;
    let pool = memory::pool(options, 1)?;
    let mut chunks: Vec<_> = std::iter::from_fn(|| pool.try_take()).collect();
    let default = if options.merge { MERGED } else { SINGLE };
    let mut messages = Messages::new(if options.batch > 0 { options.batch } else { default });
    let (mut chunk, mut at, mut bytes, mut batches) = (0, 0, 0_u64, 0_u64);
    let port = socket.local_addr()?.port();
    let mut bursts = Bursts::new(options, port)?;
    let mut done = Done::start(&[port]);
    'receive: loop {
        if let Some(bursts) = &mut bursts
            && !bursts.go_on(bytes / options.heap as u64, &mut done)?
        {
            break;
        }
        let count = messages.receive(&socket)?;
        batches += 1;
        for slot in 0..count {
            let (message, segment) = messages.message(slot);
            for packet in message.chunks(segment) {
                // The packet that ends the stream has a byte of padding.
                let Some(payload @ [_, _, ..]) = packet.get(HEADER..) else { break 'receive };
                if at + payload.len() > options.chunk {
                    (chunk, at) = ((chunk + 1) % chunks.len(), 0);
                }
                let place = &mut chunks[chunk].data_mut()[at..at + payload.len()];
                if options.nontemporal {
                    system::copy_past_caches(payload, place);
                } else {
                    place.copy_from_slice(payload);
                }
                at += payload.len();
                bytes += payload.len() as u64;
            }
        }
    }
    copy::settle_copies();
    std::hint::black_box(&mut chunks);
    done.print(bytes / options.heap as u64, bytes, batches);
    Ok(())
}
