//! Senders, and what the network does to their packets.

use super::choice::Choices;
use super::plan::{HEAP, Plan};
use crate::wire::{EncodeItem, Flavour, HeapEncoder, ItemValue};

/// The item with a heap's number in its sequence.
pub(super) const SEQUENCE: u64 = 0x1600;
const PAYLOAD: u64 = 0x3300;
/// What a packet has beside its payload, with room to spare.
const HEADER: usize = 8 + 8 * 8;

/// Who a heap is from, and its number: all that decides about its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeapId {
    pub(super) stream: usize,
    pub(super) number: u64,
}

impl HeapId {
    pub(super) fn cnt(self) -> u64 {
        self.number + 1
    }

    pub(super) fn of_cnt(stream: usize, cnt: u64) -> Option<Self> {
        Some(Self { stream, number: cnt.checked_sub(1)? })
    }

    pub(super) fn payload(self) -> [u8; HEAP] {
        let mut payload = [0; HEAP];
        let tag = (self.stream as u64) << 56 | self.number << 8;
        for (word, bytes) in payload.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&mix(tag | word as u64).to_le_bytes());
        }
        payload
    }

    fn packets(self, parts: usize, flavour: Flavour) -> Vec<Vec<u8>> {
        let payload = self.payload();
        let items = [
            EncodeItem { id: SEQUENCE, value: ItemValue::Immediate(self.number) },
            EncodeItem { id: PAYLOAD, value: ItemValue::Addressed(&payload) },
        ];
        encode(self.cnt(), HEADER + HEAP / parts, &items, flavour)
    }
}

/// The finaliser of `SplitMix64`: neighbours have nothing in common.
fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

fn encode(cnt: u64, size: usize, items: &[EncodeItem<'_>], flavour: Flavour) -> Vec<Vec<u8>> {
    HeapEncoder::new(flavour, cnt, size, items, true).expect("the heap can be encoded").packets()
}

/// How a sender stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The connection ends.
    Eof,
    /// By the protocol's stop item.
    StopItem,
    /// It dies; nobody is told.
    Silence,
}

/// A sender of heaps to one stream.
pub(super) struct Sender {
    pub(super) stream: usize,
    /// The sockets that it sends to.
    pub(super) sockets: Vec<usize>,
    flavour: Flavour,
    pub(super) next: u64,
    pub(super) left: u64,
    pub(super) ending: Ending,
}

/// A packet on its way: where to, and after which time.
pub(super) struct Shipment {
    pub(super) socket: usize,
    pub(super) after: u64,
    pub(super) packet: Vec<u8>,
    /// Changed on the way.
    pub(super) damaged: bool,
}

impl Sender {
    pub(super) fn new(choices: &mut Choices, plan: &Plan, stream: usize, first: u64) -> Self {
        let flavour = choices.pick(&[Flavour::SPEAD_64_48, Flavour::SPEAD_64_40]);
        let ending = choices.pick(&[Ending::Eof, Ending::StopItem, Ending::Silence]);
        Self { stream, sockets: Vec::new(), flavour, next: first, left: plan.heaps, ending }
    }

    /// The next heap, if there is one, and how long until the one after it.
    pub(super) fn send(&mut self, choices: &mut Choices, plan: &Plan) -> Sent {
        let Some(left) = self.left.checked_sub(1) else {
            return Sent { heap: None, shipments: self.end(plan), pause: 0 };
        };
        self.left = left;
        let heap = HeapId { stream: self.stream, number: self.next };
        self.next += 1;
        let mut shipments = Vec::new();
        let socket = choices.pick(&self.sockets);
        for packet in heap.packets(plan.parts, self.flavour) {
            ship(choices, plan, socket, packet, &mut shipments);
        }
        if choices.chance(plan.faults.garbage) {
            let size = choices.pick(&[40, 0, 1, 8, 9, 200]);
            let packet = (0..size).map(|_| choices.below(256) as u8).collect();
            shipments.push(Shipment { socket, after: 0, packet, damaged: true });
        }
        let pause = plan.gap * self.stray(choices, plan);
        Sent { heap: Some(heap), shipments, pause }
    }

    /// Says after how many gaps the next heap follows.
    fn stray(&mut self, choices: &mut Choices, plan: &Plan) -> u64 {
        if !choices.chance(plan.faults.stray) {
            return 1;
        }
        let chunk = plan.heaps_per_chunk as u64;
        match choices.below(5) {
            0 => return 60,
            1 => self.next += chunk * choices.below(4),
            2 => self.next += chunk * choices.below(40),
            3 => self.next = self.next.saturating_sub(chunk * choices.below(8)),
            _ => self.next = choices.below(1 + self.next),
        }
        1
    }

    fn end(&self, plan: &Plan) -> Vec<Shipment> {
        if self.ending != Ending::StopItem {
            return Vec::new();
        }
        let packets = encode(self.next + 1, 128, &[EncodeItem::STREAM_STOP], self.flavour);
        let socket = self.sockets[0];
        let after = plan.faults.delay;
        let ship = |packet| Shipment { socket, after, packet, damaged: false };
        packets.into_iter().map(ship).collect()
    }
}

pub(super) struct Sent {
    /// `None` if the sender is at its end.
    pub(super) heap: Option<HeapId>,
    pub(super) shipments: Vec<Shipment>,
    pub(super) pause: u64,
}

fn ship(
    choices: &mut Choices,
    plan: &Plan,
    socket: usize,
    packet: Vec<u8>,
    into: &mut Vec<Shipment>,
) {
    let faults = &plan.faults;
    if choices.chance(faults.loss) {
        return;
    }
    let copies = 1 + u64::from(choices.chance(faults.repeat));
    for _ in 0..copies {
        let mut packet = packet.clone();
        let damaged = choices.chance(faults.corrupt);
        if damaged {
            damage(choices, &mut packet);
        }
        let late = faults.delay > 0 && choices.chance(30);
        let after = if late { choices.below(faults.delay) } else { 0 };
        into.push(Shipment { socket, after, packet, damaged });
    }
}

fn damage(choices: &mut Choices, packet: &mut Vec<u8>) {
    let len = packet.len() as u64;
    match choices.below(4) {
        0 => packet.truncate(choices.below(len) as usize),
        1 => packet.extend((0..=choices.below(9)).map(|byte| byte as u8)),
        // Most of what matters is in the header.
        2 => packet[choices.below(len.min(HEADER as u64)) as usize] ^= 1 << choices.below(8),
        _ => packet[choices.below(len) as usize] = choices.below(256) as u8,
    }
}
