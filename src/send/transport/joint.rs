//! Several transports as one.

use std::fmt;
use std::io;
use std::task::Waker;
use std::time::Instant;

use super::Transport;
use crate::net::PacketParts;
use crate::recv::Watch;

/// Transports of whatever kinds as one, such as several TCP connections: the substreams of the first,
/// then those of the second, and so on.
///
/// One that has no room holds up the others, as packets are sent in order.
///
/// ```
/// use speadway::send::transport::{BytesTransport, JointTransport, Transport};
///
/// let (first, _received) = BytesTransport::new();
/// let (second, _received) = BytesTransport::new();
/// let joint = JointTransport::new(vec![Box::new(first), Box::new(second)]);
/// assert_eq!(joint.substreams(), 2);
/// ```
pub struct JointTransport {
    parts: Vec<Box<dyn Transport>>,
    /// For each substream: the part that serves it, and which one it is there.
    routes: Vec<(usize, usize)>,
}

impl JointTransport {
    /// Joins `parts`.
    #[must_use]
    pub fn new(parts: Vec<Box<dyn Transport>>) -> Self {
        let all = parts.iter().enumerate();
        let routes = all.flat_map(|(part, transport)| {
            let substreams = 0..transport.substreams();
            substreams.map(move |substream| (part, substream))
        });
        Self { routes: routes.collect(), parts }
    }

    /// Numbers the substreams anew: the first is then what was number `order[0]`, and so on. Numbers
    /// that there are none of are left out.
    #[must_use]
    pub fn reorder(mut self, order: &[usize]) -> Self {
        self.routes = order.iter().filter_map(|&at| self.routes.get(at).copied()).collect();
        self
    }
}

impl Transport for JointTransport {
    fn substreams(&self) -> usize {
        self.routes.len()
    }

    fn attach(&mut self, watch: &mut Watch<'_>) -> io::Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.attach(watch))
    }

    fn detach(&mut self, watch: &mut Watch<'_>) -> bool {
        // All or none, as they are attached together.
        self.parts.len() == 1 && self.parts[0].detach(watch)
    }

    fn send(&mut self, substream: usize, packets: &[PacketParts<'_>]) -> io::Result<usize> {
        match self.routes.get(substream) {
            Some(&(part, at)) => self.parts[part].send(at, packets),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn send_at(
        &mut self,
        substream: usize,
        packets: &[PacketParts<'_>],
        departures: &[Instant],
    ) -> io::Result<usize> {
        match self.routes.get(substream) {
            Some(&(part, at)) => self.parts[part].send_at(at, packets, departures),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    fn wait_for_room(&mut self, waker: &Waker) -> bool {
        self.parts.iter_mut().any(|part| part.wait_for_room(waker))
    }

    fn drain(&mut self) -> io::Result<bool> {
        let (mut drained, mut failed) = (true, None);
        for part in &mut self.parts {
            // One that fails keeps the others from nothing.
            match part.drain() {
                Ok(done) => drained &= done,
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(drained), Err)
    }

    /// Each part has its share of the rate, as heaps go to the substreams in turn.
    fn set_kernel_rate(&mut self, bytes_per_second: f64) -> io::Result<()> {
        let each = bytes_per_second / self.routes.len().max(1) as f64;
        for (at, part) in self.parts.iter_mut().enumerate() {
            let served = self.routes.iter().filter(|(part, _)| *part == at).count();
            part.set_kernel_rate(each * served as f64)?;
        }
        Ok(())
    }

    fn set_departure_times(&mut self) -> io::Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.set_departure_times())
    }

    fn finish(&mut self) {
        self.parts.iter_mut().for_each(|part| part.finish());
    }
}

impl fmt::Debug for JointTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JointTransport")
            .field("parts", &self.parts.len())
            .field("routes", &self.routes)
            .finish()
    }
}
