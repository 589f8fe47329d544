//! Cutting packets out of byte streams: what is found must not depend on how the bytes arrive.

use super::framer::{Found, Framer};

/// Packets and complaints, by their sizes and names.
fn found(max_packet: usize, stream: &[u8], pieces: &[u8]) -> Vec<(usize, &'static str)> {
    let mut framer = Framer::new(max_packet).expect("it is small");
    let mut all = Vec::new();
    let mut rest = stream;
    let mut pieces = pieces.iter().copied().cycle();
    loop {
        loop {
            match framer.find() {
                Found::Packet(bytes) => {
                    assert!(bytes.len() <= max_packet);
                    all.push((bytes.len(), "packet"));
                    framer.taken();
                }
                Found::Discard(reason) => all.push((0, reason.as_str())),
                Found::Nothing => break,
            }
        }
        if rest.is_empty() {
            break;
        }
        let space = framer.space();
        let piece = pieces.next().map_or(usize::MAX, |piece| usize::from(piece) + 1);
        let (head, tail) = rest.split_at(piece.min(space.len()).min(rest.len()));
        space[..head.len()].copy_from_slice(head);
        framer.filled(head.len());
        rest = tail;
    }
    all.extend(framer.finish().map(|reason| (0, reason.as_str())));
    all
}

/// Reads `bytes` as a stream, at once and in pieces as the first of them say.
pub fn framing(bytes: &[u8]) {
    let (pieces, stream) = bytes.split_at(bytes.len().min(4));
    let max_packet = 64 + 16 * usize::from(pieces.first().copied().unwrap_or(0));
    let whole = found(max_packet, stream, &[]);
    let packets = whole.iter().filter(|found| found.1 == "packet");
    assert!(packets.map(|found| found.0).sum::<usize>() <= stream.len());
    assert_eq!(found(max_packet, stream, pieces), whole);
}
