//! Receive SPEAD streams into large chunks of memory.
//!
//! Radio telescopes and other instruments send their data as SPEAD streams: UDP packets of 1 to
//! 9 KB, tens of gigabits per second to a host, often over several ports. speadway receives them:
//!
//! * a [**stream**](recv::Stream) runs on a [**worker**](recv::Worker) (a thread, pinned if you
//!   like), takes packets from its [**readers**](recv::readers), and either places the payload of
//!   heaps straight into [**chunks**](chunk::Chunk) or delivers [heaps](heap::Heap) whole;
//! * a [**group**](recv::Group) of streams fills one shared sequence of chunks;
//! * chunks come from an allocate callback and go to a ready callback, or travel in a circle: from
//!   a [**pool**](chunk::ChunkPool) through the stream and a [**ring**](ring::Ring) to you, and back
//!   when you drop them.
//!
//! Every packet that does not reach its place is [counted by reason](recv::StreamStats), and what
//! cannot be stored yet stays with the kernel: a stream never blocks its worker.
//!
//! ```no_run
//! use speadway::chunk::{ChunkPool, Layout, RingPolicy};
//! use speadway::net::UdpConfig;
//! use speadway::recv::readers::UdpReader;
//! use speadway::recv::{Stream, Worker};
//! use speadway::ring::Ring;
//!
//! // Heaps of 64 KiB carry their number in item 0x1600; 64 of them make a chunk of 4 MiB.
//! let layout = Layout::builder(0x1600, 64 << 10).heaps_per_chunk(64).build()?;
//! let pool = ChunkPool::zeroed(8, layout.chunk_size(), layout.heaps())?;
//! let ring = Ring::new(4)?;
//! let worker = Worker::builder().pin(2).start()?;
//! let stream = Stream::chunks(layout)
//!     .window(4)
//!     .ring(&pool, &ring, RingPolicy::default())
//!     .reader(UdpReader::bind(&UdpConfig::new("239.1.2.3:7148".parse()?))?)
//!     .start(&worker)?;
//!
//! for chunk in &ring {
//!     println!("chunk {}: {} heaps missing", chunk.id(), chunk.n_missing());
//! } // each chunk returns to the pool here
//! println!("{}", stream.stats());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Layers
//! [`wire`] turns bytes into packets and back, [`memory`] holds payload, [`ring`] hands things from
//! thread to thread, [`net`] makes the system calls; none of them knows of those above. [`heap`] and
//! [`chunk`] collect payload and know nothing of sockets or threads; [`recv`] joins them. [`item`]
//! turns items into typed values and back, and [`send`] is the way out.
//!
//! # What it is not
//! There is no kernel bypass: packets come through the kernel's sockets. Linux is what it is made and
//! tested for.
//!
//! # Features
//! * `pcap` (on): read captures with `recv::readers::PcapReader`.

pub mod chunk;
pub mod heap;
pub mod item;
mod limit;
pub mod memory;
pub mod net;
mod paths;
pub mod recv;
pub mod ring;
pub mod send;
mod sync;
pub mod wire;

/// Has the code on the front page compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
