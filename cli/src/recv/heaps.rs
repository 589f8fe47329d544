//! Heap mode: heaps are shown as they come.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use speadway::chunk::WhenFull;
use speadway::heap::{Heap, HeapStatus, Item, ItemKind};
use speadway::recv::{Stream, Worker};
use speadway::ring::Ring;
use speadway::wire::{BugCompat, Descriptor};

use super::options::Options;
use super::session::{Consumer, Receiving};
use super::sources::Opened;
use super::values::{self, Decoded};
use super::verify::Verified;
use crate::hash::Fnv;
use crate::units::Count;

/// Heaps that may wait to be shown.
const RING: usize = 16;

/// What receives in heap mode.
pub(super) struct Parts {
    pub(super) receiving: Receiving,
    pub(super) ring: Ring<Heap>,
}

/// Starts the streams.
pub(super) fn start(
    options: &Options,
    streams: Vec<Vec<Opened>>,
    workers: &[Worker],
) -> Result<Parts> {
    let ring = Ring::new(RING)?;
    // All are made before any starts: the ring ends with its last producer, and a capture may end
    // before the next stream is there.
    let builders: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(id, sources)| {
            let stream = Stream::heaps()
                .config(options.streams.config(id))
                .contiguous_only(!options.heaps.incomplete)
                .ring(&ring, WhenFull::Wait);
            sources.into_iter().fold(stream, |stream, source| stream.reader(source.reader))
        })
        .collect();
    let streams = builders
        .into_iter()
        .enumerate()
        .map(|(id, builder)| builder.start(&workers[id % workers.len()]))
        .collect::<Result<_, _>>()?;
    Ok(Parts { receiving: Receiving::Streams(streams), ring })
}

/// Shows heaps.
pub(super) struct Show<W> {
    out: W,
    shown: u64,
    quiet: bool,
    json: bool,
    hash: bool,
    values: Option<usize>,
    descriptors: bool,
    directory: Option<PathBuf>,
    bug_compat: BugCompat,
    verified: Option<Verified>,
    /// The latest descriptor of each item, for each stream.
    known: Vec<HashMap<u64, Descriptor>>,
}

impl<W: Write> Show<W> {
    pub(super) fn new(options: &Options, streams: usize, out: W) -> Self {
        let (output, heaps) = (&options.output, &options.heaps);
        let all = |max| if max == 0 { usize::MAX } else { max };
        Self {
            out,
            shown: 0,
            quiet: output.quiet,
            json: output.json,
            hash: output.hash,
            values: heaps.values.then_some(all(heaps.max_values)),
            descriptors: heaps.descriptors,
            directory: output.write.clone(),
            bug_compat: options.streams.bug_compat(),
            verified: output.verify.then(Verified::default),
            known: vec![HashMap::new(); streams],
        }
    }

    /// Heaps shown.
    pub(super) fn shown(&self) -> u64 {
        self.shown
    }

    /// What came of --verify.
    pub(super) fn verified(&self) -> Option<Verified> {
        self.verified
    }

    /// Learns the heap's descriptors.
    fn learn(&mut self, stream: usize, heap: &Heap) -> Vec<Descriptor> {
        let mut found = Vec::new();
        for descriptor in heap.descriptors() {
            match descriptor {
                Ok(descriptor) => {
                    self.known[stream].insert(descriptor.id, descriptor.clone());
                    found.push(descriptor);
                }
                Err(error) => log::warn!("heap {} of stream {stream}: {error}", heap.cnt()),
            }
        }
        found
    }

    fn verify(&mut self, stream: usize, heap: &Heap) {
        let Some(verified) = &mut self.verified else { return };
        if let Some(difference) = verified.check(heap)
            && verified.is_telling()
        {
            log::error!("heap {} of stream {stream}: {difference}", heap.cnt());
        }
    }

    fn look_at(&self, stream: usize, heap: &Heap, item: &Item<'_>) -> Seen {
        let descriptor = self.known[stream].get(&item.id);
        let item_type =
            descriptor.and_then(|descriptor| descriptor.item_type(self.bug_compat).ok());
        let decoded =
            self.values.zip(item_type.as_ref()).and_then(|(max, item_type)| match item.kind {
                ItemKind::Addressed(bytes) => values::decode(item_type, bytes, max),
                ItemKind::Immediate(value) => {
                    let bytes = values::immediate_bytes(item_type, value, heap.flavour())?;
                    values::decode(item_type, &bytes, max)
                }
            });
        let raw = self.values.filter(|_| decoded.is_none()).and_then(|max| match item.kind {
            ItemKind::Addressed(bytes) => Some(values::raw(bytes, max)),
            ItemKind::Immediate(_) => None,
        });
        Seen {
            id: item.id,
            name: descriptor.map(|descriptor| descriptor.name_lossy().into_owned()),
            item_type: item_type.map(|item_type| item_type.to_string()),
            immediate: match item.kind {
                ItemKind::Immediate(value) => Some(value),
                ItemKind::Addressed(_) => None,
            },
            bytes: match item.kind {
                ItemKind::Immediate(_) => 0,
                ItemKind::Addressed(bytes) => bytes.len(),
            },
            value: decoded.or(raw),
        }
    }

    fn show(&mut self, stream: usize, heap: &Heap, descriptors: &[Descriptor]) -> Result<()> {
        let items: Vec<Seen> = heap.items().map(|item| self.look_at(stream, heap, &item)).collect();
        let hash = self.hash.then(|| Fnv::new().add(heap.payload()).hex());
        let descriptors = if self.descriptors { descriptors } else { &[] };
        if self.json {
            let event = to_json(stream, heap, &items, descriptors, hash);
            writeln!(self.out, "{event}")?;
            return Ok(());
        }
        let hash = hash.map_or_else(String::new, |hash| format!(", hash {hash}"));
        writeln!(
            self.out,
            "heap {} of stream {stream}: {}, {} B{}{hash}",
            heap.cnt(),
            Count(items.len() as u64, "item"),
            heap.received_length(),
            if heap.status() == HeapStatus::Incomplete { ", incomplete" } else { "" },
        )?;
        for descriptor in descriptors {
            writeln!(self.out, "  describes {}", in_words(descriptor, self.bug_compat))?;
        }
        items.iter().try_for_each(|item| item.write(&mut self.out))
    }
}

impl<W: Write> Consumer<Heap> for Show<W> {
    fn take(&mut self, heap: Heap) -> Result<()> {
        self.shown += 1;
        // Streams have their numbers as ids.
        let stream = heap.stream_id() as usize;
        let descriptors = self.learn(stream, &heap);
        self.verify(stream, &heap);
        if let Some(directory) = &self.directory {
            let path = directory.join(format!("heap-{stream}-{}.bin", heap.cnt()));
            fs::write(&path, heap.payload())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.quiet { Ok(()) } else { self.show(stream, &heap, &descriptors) }
    }

    fn pause(&mut self) -> Result<()> {
        Ok(self.out.flush()?)
    }

    fn taken(&self) -> u64 {
        self.shown
    }

    fn describe(&self) -> String {
        Count(self.shown, "heap").to_string()
    }
}

/// An item as it is shown.
struct Seen {
    id: u64,
    name: Option<String>,
    item_type: Option<String>,
    immediate: Option<u64>,
    bytes: usize,
    value: Option<Decoded>,
}

impl Seen {
    fn write(&self, out: &mut impl Write) -> Result<()> {
        write!(out, "  {:#06x}", self.id)?;
        for text in [&self.name, &self.item_type].into_iter().flatten() {
            // A sender's text must not move the cursor.
            write!(out, "  {}", text.escape_debug())?;
        }
        match (&self.value, self.immediate) {
            (Some(value), Some(_)) => writeln!(out, "  {value}")?,
            (None, Some(value)) => writeln!(out, "  {value} ({value:#x})")?,
            (Some(value), None) => writeln!(out, "  {} B  {value}", self.bytes)?,
            (None, None) => writeln!(out, "  {} B", self.bytes)?,
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let mut item = json!({ "id": self.id });
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                item[key] = value;
            }
        };
        set("name", self.name.clone().map(Value::from));
        set("type", self.item_type.clone().map(Value::from));
        set("immediate", self.immediate.map(Value::from));
        set("bytes", self.immediate.is_none().then(|| self.bytes.into()));
        set("value", self.value.as_ref().map(Decoded::to_json));
        set("elements", self.value.as_ref().map(|value| value.total.into()));
        item
    }
}

fn to_json(
    stream: usize,
    heap: &Heap,
    items: &[Seen],
    descriptors: &[Descriptor],
    hash: Option<String>,
) -> Value {
    let status = match heap.status() {
        HeapStatus::Complete => "complete",
        HeapStatus::Contiguous => "contiguous",
        _ => "incomplete",
    };
    let mut event = json!({
        "event": "heap",
        "stream": stream,
        "cnt": heap.cnt(),
        "flavour": heap.flavour().to_string(),
        "status": status,
        "length": heap.length(),
        "received": heap.received_length(),
        "items": items.iter().map(Seen::to_json).collect::<Vec<_>>(),
    });
    if !descriptors.is_empty() {
        event["descriptors"] = descriptors.iter().map(descriptor_to_json).collect();
    }
    if let Some(hash) = hash {
        event["hash"] = hash.into();
    }
    event
}

fn descriptor_to_json(descriptor: &Descriptor) -> Value {
    let format: Vec<String> = descriptor.format.iter().map(ToString::to_string).collect();
    json!({
        "id": descriptor.id,
        "name": descriptor.name_lossy(),
        "description": descriptor.description_lossy(),
        "shape": descriptor.shape,
        "format": format,
        "numpy_header": String::from_utf8_lossy(&descriptor.numpy_header),
    })
}

fn in_words(descriptor: &Descriptor, bug_compat: BugCompat) -> String {
    let item_type = match descriptor.item_type(bug_compat) {
        Ok(item_type) => item_type.to_string(),
        Err(error) => error.to_string(),
    };
    format!(
        "{:#06x}  {}  {item_type}  {}",
        descriptor.id,
        descriptor.name_lossy().escape_debug(),
        descriptor.description_lossy().escape_debug()
    )
}
