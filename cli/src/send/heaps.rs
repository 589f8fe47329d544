//! The heaps of a stream, one after the other.

use std::sync::Arc;

use anyhow::{Context, Result};
use speadway::item::{ItemDescriptor, Order};
use speadway::send::{Heap, HeapRef};
use speadway::wire::Flavour;

use super::options::{Content, Options};
use super::pattern::{self, FIRST_ITEM, WORD};

/// Heaps that are made once and sent again and again.
const READY: u64 = 4;

/// Only one if heaps are larger: together they would take too much memory.
const LARGE: usize = 64 << 20;

/// Makes the heaps. They are numbered from 1 on in the order they are sent, and go to the
/// destinations in turn, so that a heap's number says which substream it is of.
pub(super) struct Heaps<'a> {
    content: &'a Content,
    flavour: Flavour,
    substreams: u64,
    descriptors: Arc<Heap>,
    /// Empty if every heap has values of its own.
    ready: Vec<Arc<Heap>>,
    /// Heaps made so far, and those with data among them.
    made: u64,
    data: u64,
}

impl<'a> Heaps<'a> {
    pub(super) fn new(options: &'a Options) -> Result<Self> {
        let (content, flavour) = (&options.content, options.flavour()?);
        let mut heaps = Self {
            content,
            flavour,
            substreams: options.destinations.len() as u64,
            descriptors: Arc::new(descriptors(content, flavour)?),
            ready: Vec::new(),
            made: 0,
            data: 0,
        };
        // Found out now, not when the first is sent.
        let first = heaps.payload(1)?;
        if !content.verify {
            heaps.ready.push(Arc::new(first));
            let count = if content.heap_size > LARGE { 1 } else { READY };
            for number in 2..=count {
                heaps.ready.push(Arc::new(heaps.payload(number)?));
            }
        }
        Ok(heaps)
    }

    /// The next heap; `None` after the last with data.
    pub(super) fn next(&mut self) -> Result<Option<HeapRef>> {
        let round = self.made / self.substreams;
        let is_last = self.content.heaps == Some(self.data);
        let again = || {
            let every = self.content.descriptors.and_then(|every| every.checked_add(1));
            !is_last && every.is_some_and(|every| round.is_multiple_of(every))
        };
        if round == 0 || again() {
            let heap = Arc::clone(&self.descriptors);
            return Ok(Some(self.number(heap)));
        }
        if is_last {
            return Ok(None);
        }
        let heap = self.with_data()?;
        self.data += 1;
        Ok(Some(self.number(heap)))
    }

    /// A heap that ends a stream. There has to be one for each destination.
    pub(super) fn stop(&mut self) -> HeapRef {
        self.number(Arc::new(Heap::stream_stop(self.flavour)))
    }

    /// Heaps with data made so far.
    pub(super) fn data(&self) -> u64 {
        self.data
    }

    fn cnt(&self) -> u64 {
        (self.made + 1) & self.flavour.max_value()
    }

    fn number(&mut self, heap: Arc<Heap>) -> HeapRef {
        let substream = (self.made % self.substreams) as usize;
        let heap = HeapRef::from(heap).cnt(self.cnt()).substream(substream);
        self.made += 1;
        heap
    }

    fn with_data(&self) -> Result<Arc<Heap>> {
        let ready = (!self.ready.is_empty())
            .then(|| &self.ready[(self.data % self.ready.len() as u64) as usize]);
        let Some(id) = self.content.sequence_item else {
            return match ready {
                Some(heap) => Ok(Arc::clone(heap)),
                None => Ok(Arc::new(self.payload(self.cnt())?)),
            };
        };
        // Its payload is shared, not copied.
        let heap = match ready {
            Some(heap) => Heap::clone(heap),
            None => self.payload(self.cnt())?,
        };
        let value = self.data.wrapping_mul(self.content.step) & self.flavour.max_value();
        Ok(Arc::new(heap.immediate(id, value).context("--sequence-item does not fit --addr-bits")?))
    }

    /// A heap with the values of heap `cnt`.
    fn payload(&self, cnt: u64) -> Result<Heap> {
        let Content { heap_size, items, .. } = *self.content;
        (0..items as u64)
            .try_fold(Heap::new(self.flavour), |heap, item| {
                heap.item(FIRST_ITEM + item, pattern::make(cnt, item, heap_size / items))
            })
            .context("such heaps cannot be: look at --heap-size, --items and --addr-bits")
    }
}

/// A heap with the descriptors of all items.
fn descriptors(content: &Content, flavour: Flavour) -> Result<Heap> {
    let elements = (content.heap_size / content.items / WORD) as u64;
    let mut heap = Heap::new(flavour);
    for item in 0..content.items as u64 {
        let (name, about) = (format!("item{item}"), "A count, for tests");
        let descriptor =
            ItemDescriptor::numpy(FIRST_ITEM + item, &name, about, &[elements], ">u4", Order::C)
                .and_then(|descriptor| descriptor.to_wire(flavour));
        let context = "the items cannot be described: look at --items and --addr-bits";
        heap = heap.descriptor(&descriptor.context(context)?).context(context)?;
    }
    Ok(heap)
}
