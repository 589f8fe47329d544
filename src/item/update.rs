//! What a received heap does to a group of items.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::bytes::Bytes;
use super::descriptor::{DescriptorError, ItemDescriptor};
use super::error::ValueError;
use super::group::{Added, Item, ItemGroup};
use crate::heap::{Heap, ItemKind};
use crate::limit::LogLimit;
use crate::wire::{self, ids};

/// What [`ItemGroup::update`] made of a heap.
#[derive(Clone, PartialEq, Debug, Default)]
#[must_use = "tells which items have new values, and what was wrong"]
pub struct Update {
    /// Ids of the items with new values, in the order of the heap, each once.
    pub updated: Vec<u64>,
    /// Ids of the items that were ignored, as no descriptor was received for them.
    pub unknown: Vec<u64>,
    /// What could not be used.
    pub errors: Vec<UpdateError>,
}

/// Why a part of a heap was not used.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum UpdateError {
    /// A descriptor cannot be decoded.
    Undecodable(wire::DescriptorError),
    /// A descriptor makes no sense.
    Descriptor {
        /// The item that it describes.
        id: u64,
        /// What is wrong.
        error: DescriptorError,
    },
    /// A value does not fit the item's descriptor.
    Value {
        /// The item.
        id: u64,
        /// What is wrong.
        error: ValueError,
    },
    /// The group has as many items as it takes from a stream.
    Full {
        /// The item that was not added.
        id: u64,
    },
}

/// Keeps the group's log lines from flooding.
#[derive(Debug, Default)]
pub(super) struct UpdateLog {
    unknown: LogLimit,
    replaced: LogLimit,
}

impl ItemGroup {
    /// Takes over a received heap: descriptors first, which add or replace items, then values.
    ///
    /// Values share the heap's payload, which stays in memory as long as they do. What is wrong in a
    /// heap does not keep the rest of it from being used. As in the reference implementation a
    /// version grows by 2 for a received value, and items without a descriptor are ignored, with a
    /// warning (now and then).
    ///
    /// The sender's deviations are those that the stream was
    /// [configured](crate::recv::StreamConfig::bug_compat) with.
    ///
    /// ```
    /// # use speadway::item::{ItemDescriptor, ItemGroup, ValueError};
    /// # use speadway::heap::Heap;
    /// fn next(group: &mut ItemGroup, heap: &Heap) -> Result<(), ValueError> {
    ///     for id in group.update(heap).updated {
    ///         let Some(item) = group.get(id) else { continue };
    ///         if let ("samples", Some(value)) = (item.name(), item.value()) {
    ///             let samples = value.to_array::<f32>()?;
    ///             println!("{:?}: {:?}", samples.shape(), samples.data());
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn update(&mut self, heap: &Heap) -> Update {
        let mut update = Update::default();
        for descriptor in heap.descriptors() {
            if let Err(error) = self.learn(descriptor, heap) {
                update.errors.push(error);
            }
        }
        let payload = Bytes::Shared(Arc::new(Payload(heap.clone())));
        let mut seen = HashSet::new();
        for received in heap.items() {
            let id = received.id;
            if id == ids::STREAM_CTRL {
                continue;
            }
            let Some(item) = self.get_mut(id) else {
                update.unknown.push(id);
                continue;
            };
            match take(item, received.kind, &payload, heap) {
                Ok(()) if seen.insert(id) => update.updated.push(id),
                Ok(()) => {}
                Err(error) => update.errors.push(UpdateError::Value { id, error }),
            }
        }
        self.log.unknown(&update.unknown);
        update
    }

    fn learn(
        &mut self,
        descriptor: Result<wire::Descriptor, wire::DescriptorError>,
        heap: &Heap,
    ) -> Result<(), UpdateError> {
        let descriptor = descriptor.map_err(UpdateError::Undecodable)?;
        let id = descriptor.id;
        let descriptor = ItemDescriptor::from_wire(&descriptor, heap.flavour().bug_compat())
            .map_err(|error| UpdateError::Descriptor { id, error })?;
        let known = self.contains(id) || self.contains(descriptor.name());
        if !known && self.len() >= self.max_items {
            return Err(UpdateError::Full { id });
        }
        if let (_, Added::Replaced) = self.place(Item::new(descriptor)) {
            self.log.replaced(id);
        }
        Ok(())
    }
}

/// The value of one item.
fn take(
    item: &mut Item,
    received: ItemKind<'_>,
    payload: &Bytes,
    heap: &Heap,
) -> Result<(), ValueError> {
    let value = match received {
        ItemKind::Immediate(value) => item.descriptor().decode_immediate(value, heap.flavour())?,
        ItemKind::Addressed(bytes) => {
            // The item lies in the heap's payload; where is known from the addresses.
            let start = bytes.as_ptr().addr().wrapping_sub(heap.payload().as_ptr().addr());
            let shared = payload.slice(start..start.saturating_add(bytes.len()));
            item.descriptor().decode(shared.unwrap_or_else(|| bytes.to_vec().into()))?
        }
    };
    item.put(value);
    item.bump_version();
    Ok(())
}

/// A heap as the owner of its payload.
struct Payload(Heap);

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self.0.payload()
    }
}

impl UpdateLog {
    fn unknown(&mut self, unknown: &[u64]) {
        if let Some(id) = unknown.first()
            && let Some(held_back) = self.unknown.pass(Instant::now())
        {
            let more = unknown.len() - 1;
            log::warn!(
                "item {id:#x} and {more} more of a heap were received, but no descriptor of them; \
                 {held_back} such heaps before were not logged"
            );
        }
    }

    fn replaced(&mut self, id: u64) {
        if let Some(held_back) = self.replaced.pass(Instant::now()) {
            log::info!(
                "a received descriptor of item {id:#x} replaces others of its id or name; \
                 {held_back} before were not logged"
            );
        }
    }
}

impl fmt::Display for UpdateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecodable(error) => error.fmt(f),
            Self::Descriptor { id, error } => write!(f, "descriptor of item {id:#x}: {error}"),
            Self::Value { id, error } => write!(f, "item {id:#x}: {error}"),
            Self::Full { id } => write!(
                f,
                "item {id:#x} was not added: the group is full; raise its max_items if it is wanted"
            ),
        }
    }
}

impl Error for UpdateError {}
