//! Which items a heap to send has to carry.

use std::collections::HashMap;
use std::sync::Arc;

use super::bytes::Bytes;
use super::descriptor::{DescriptorError, ItemDescriptor};
use super::group::{Item, ItemGroup};
use crate::wire::{EncodeItem, Flavour, ItemValue, ctrl, ids};

/// An item of a heap to send: a value, an encoded descriptor, or stream control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The item's id.
    pub id: u64,
    /// Its value.
    pub bytes: Bytes,
    /// Whether it travels in the item pointer if it is short enough for that.
    pub allow_immediate: bool,
}

impl Outgoing {
    /// The descriptor of an item.
    ///
    /// # Errors
    /// If it does not fit the flavour, or is not ASCII.
    pub fn descriptor(
        descriptor: &ItemDescriptor,
        flavour: Flavour,
    ) -> Result<Self, DescriptorError> {
        let bytes = descriptor.encode(flavour)?.into();
        Ok(Self { id: ids::DESCRIPTOR, bytes, allow_immediate: false })
    }

    /// Says that a stream starts.
    #[must_use]
    pub fn stream_start() -> Self {
        const { Self::control(&[ctrl::STREAM_START as u8]) }
    }

    /// Says that a stream ends.
    #[must_use]
    pub fn stream_stop() -> Self {
        const { Self::control(&[ctrl::STREAM_STOP as u8]) }
    }

    const fn control(value: &'static [u8]) -> Self {
        Self { id: ids::STREAM_CTRL, bytes: Bytes::Static(value), allow_immediate: true }
    }

    /// The item, for a [`HeapEncoder`](crate::wire::HeapEncoder).
    #[must_use]
    pub fn to_encode_item(&self) -> EncodeItem<'_> {
        let value = if self.allow_immediate {
            ItemValue::Inline(&self.bytes)
        } else {
            ItemValue::Addressed(&self.bytes)
        };
        EncodeItem { id: self.id, value }
    }
}

/// Which descriptors, or values, go into a heap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Select {
    /// Those that a receiver does not have yet.
    #[default]
    Stale,
    /// All.
    All,
    /// None.
    None,
}

/// Makes the heaps of one stream from an [`ItemGroup`], and remembers what was sent.
///
/// A group may have several, one for each stream that it is sent on. A heap that was made counts as
/// sent. See [`ItemGroup`] for an example.
#[derive(Clone, Debug)]
pub struct HeapGenerator {
    flavour: Flavour,
    descriptor_frequency: Option<u64>,
    /// Heaps made.
    heaps: u64,
    sent: HashMap<u64, Sent>,
}

/// What was sent of an item.
#[derive(Clone, Debug)]
struct Sent {
    /// It belongs to one item; what replaces that has another one.
    descriptor: Arc<ItemDescriptor>,
    /// The heap that described it last.
    described: Option<u64>,
    /// The version sent last.
    version: Option<u64>,
}

impl HeapGenerator {
    /// A generator for a stream of this flavour, which describes each item once.
    #[must_use]
    pub fn new(flavour: Flavour) -> Self {
        Self { flavour, descriptor_frequency: None, heaps: 0, sent: HashMap::new() }
    }

    /// Has each item described again when its last descriptor was so many heaps ago, for receivers
    /// that join late. Both 0 and 1 mean every heap.
    #[must_use]
    pub fn descriptor_frequency(mut self, heaps: u64) -> Self {
        self.descriptor_frequency = Some(heaps);
        self
    }

    /// The flavour of the descriptors.
    #[must_use]
    pub fn flavour(&self) -> Flavour {
        self.flavour
    }

    /// What the next heap has to carry: the descriptors and values asked for, item by item in the
    /// group's order. An item without a value is only described.
    ///
    /// A descriptor is stale if the item is new or was replaced, or as
    /// [`descriptor_frequency`](Self::descriptor_frequency) says; a value is if it was set since it
    /// was last sent, or goes with the stale descriptor of an item that replaced another.
    ///
    /// # Errors
    /// If a descriptor does not fit the flavour or is not ASCII. Then nothing counts as sent.
    pub fn heap(
        &mut self,
        group: &ItemGroup,
        descriptors: Select,
        data: Select,
    ) -> Result<Vec<Outgoing>, DescriptorError> {
        let mut outgoing = Vec::new();
        let mut changes = Vec::new();
        for item in group.iter() {
            let mut sent = self.sent_of(item);
            if self.wants_descriptor(descriptors, &mut sent, item) {
                outgoing.push(Outgoing::descriptor(item.descriptor(), self.flavour)?);
                sent.described = Some(self.heaps);
            }
            let wants_value = match data {
                Select::Stale => sent.version != Some(item.version()),
                Select::All => true,
                Select::None => false,
            };
            if wants_value && let Some(value) = item.to_outgoing() {
                outgoing.push(value);
                sent.version = Some(item.version());
            }
            changes.push((item.id(), sent));
        }
        self.sent.extend(changes);
        self.heaps += 1;
        Ok(outgoing)
    }

    /// What the heap that starts the stream carries. It does not count as a heap.
    #[must_use]
    pub fn start(&self) -> Vec<Outgoing> {
        vec![Outgoing::stream_start()]
    }

    /// What the heap that ends the stream carries. It does not count as a heap.
    #[must_use]
    pub fn end(&self) -> Vec<Outgoing> {
        vec![Outgoing::stream_stop()]
    }

    fn sent_of(&self, item: &Item) -> Sent {
        self.sent.get(&item.id()).cloned().unwrap_or_else(|| Sent {
            descriptor: Arc::clone(item.shared_descriptor()),
            described: None,
            version: None,
        })
    }

    /// As the reference does, a replaced item is only noticed when its descriptor would not be sent
    /// for another reason. If it was, it comes again in the next heap, which does no harm.
    fn wants_descriptor(&self, descriptors: Select, sent: &mut Sent, item: &Item) -> bool {
        let last = match (descriptors, sent.described) {
            (Select::All, _) | (Select::Stale, None) => return true,
            (Select::None, _) => return false,
            (Select::Stale, Some(last)) => last,
        };
        if self.descriptor_frequency.is_some_and(|heaps| self.heaps - last >= heaps) {
            return true;
        }
        if Arc::ptr_eq(&sent.descriptor, item.shared_descriptor()) {
            return false;
        }
        sent.descriptor = Arc::clone(item.shared_descriptor());
        // What was sent of the new value may have been taken for one of the old item.
        sent.version = None;
        true
    }
}
