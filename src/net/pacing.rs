//! Whether the kernel would pace, before it is asked to, and how it is told when packets leave.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::imp::pacing;
use super::interface::{Interface, interfaces};

/// The most messages of a call that gives them departure times. Those of two calls may wait for theirs,
/// and `fq` keeps 100 of a flow and drops others (`flow_limit` in tc-fq(8)).
pub(super) const MESSAGES_AHEAD: usize = 48;

/// A queueing discipline that lets packets go at their times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discipline {
    /// It keeps rates too, and lets packets whose time is over go at once.
    Fq,
    /// It drops packets whose time is over.
    Etf,
}

/// Fails unless the interface that packets to `destination` leave from has the queueing discipline that
/// keeps rates, with room for `messages` of them: any socket accepts a rate, and on most interfaces
/// nothing comes of it; and what there is no room for is dropped, which nobody is told. `multicast` is
/// the interface chosen for multicast.
pub(crate) fn require_kernel_pacing(
    destination: SocketAddr,
    multicast: &Interface,
    messages: u32,
) -> io::Result<()> {
    discipline(destination, multicast, messages, &[Discipline::Fq]).map(drop)
}

/// As [`require_kernel_pacing`], for departure times: which queueing discipline keeps them.
pub(crate) fn departure_discipline(
    destination: SocketAddr,
    multicast: &Interface,
) -> io::Result<Discipline> {
    let messages = 2 * MESSAGES_AHEAD as u32;
    discipline(destination, multicast, messages, &[Discipline::Fq, Discipline::Etf])
}

/// How the interface that packets to `destination` leave from paces, if that will do.
fn discipline(
    destination: SocketAddr,
    multicast: &Interface,
    messages: u32,
    good: &[Discipline],
) -> io::Result<Discipline> {
    let chosen = match destination.ip().is_multicast() {
        true => multicast.resolve().map_err(io::Error::other)?,
        false => 0,
    };
    let index = if chosen == 0 { pacing::outgoing(destination)? } else { chosen };
    let to = destination.ip();
    suited(pacing::discipline(index)?, messages, good, || (name(index), to.to_string()))
        .map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))
}

/// The queueing discipline that was found, if it is a `good` one and has room for `messages`; or why it
/// will not do. `way` names the interface, and where to.
fn suited(
    found: Option<(Discipline, u32)>,
    messages: u32,
    good: &[Discipline],
    way: impl FnOnce() -> (String, String),
) -> Result<Discipline, String> {
    match found.filter(|(found, _)| good.contains(found)) {
        Some((discipline, room)) if room >= messages => Ok(discipline),
        Some((_, room)) => {
            let (name, _) = way();
            Err(format!(
                "fq on the interface {name} keeps {room} packets of a stream, and would drop others: \
                 have it keep {messages} (tc qdisc replace dev {name} root fq flow_limit {messages}), \
                 use departure times, or do without kernel pacing"
            ))
        }
        None => {
            let (name, to) = way();
            let or_etf = if good.contains(&Discipline::Etf) { " or etf" } else { "" };
            Err(format!(
                "the interface {name} to {to} does not pace: give it the fq{or_etf} queueing \
                 discipline (tc qdisc replace dev {name} root fq), or do without kernel pacing"
            ))
        }
    }
}

fn name(index: u32) -> String {
    let all = interfaces().unwrap_or_default();
    let named = all.into_iter().find(|interface| interface.index == index);
    named.map_or_else(|| format!("number {index}"), |interface| interface.name)
}

/// How much later than asked packets leave by `etf`, all of them: there has to be time to hand them over,
/// or it drops them. A time slice of the scheduler is 3 ms or less.
const ETF_DELAY: Duration = Duration::from_millis(4);

/// Our times by the clock of a queueing discipline.
#[derive(Debug)]
pub(super) struct Timeline {
    discipline: Discipline,
    /// A moment by our clock and, in nanoseconds, by the other.
    moment: (Instant, u64),
    /// The latest time so far. None is before it, so that packets stay in order.
    last: u64,
}

impl Timeline {
    pub(super) fn new(discipline: Discipline) -> Self {
        Self { discipline, moment: Self::now(discipline), last: 0 }
    }

    /// In this order, as a thread that is held up in between gives packets times that are late. Those
    /// that are early would not pace.
    fn now(discipline: Discipline) -> (Instant, u64) {
        (Instant::now(), pacing::nanos(discipline))
    }

    /// Puts `times`, which do not decrease, in place of what `nanos` has.
    pub(super) fn convert(&mut self, times: &[Instant], nanos: &mut Vec<u64>) {
        let mut delay = Duration::ZERO;
        if self.discipline == Discipline::Etf {
            // Its clock can be set; that of `fq` is ours.
            self.moment = Self::now(self.discipline);
            delay = ETF_DELAY;
        }
        let (ours, theirs) = self.moment;
        nanos.clear();
        nanos.extend(times.iter().map(|time| {
            let after = (*time + delay).saturating_duration_since(ours).as_nanos() as u64;
            self.last = self.last.max(theirs + after);
            self.last
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_discipline_has_to_keep_what_is_asked_of_it_and_to_have_room() {
        let suited = |found, messages, good: &[_]| {
            suited(found, messages, good, || ("eth7".to_owned(), "10.0.0.1".to_owned()))
        };
        let (fq, etf) = (Discipline::Fq, Discipline::Etf);
        assert_eq!(suited(Some((fq, 100)), 96, &[fq, etf]), Ok(fq));
        assert_eq!(suited(Some((etf, u32::MAX)), 96, &[fq, etf]), Ok(etf));
        assert_eq!(suited(Some((fq, 1820)), 1820, &[fq]), Ok(fq));
        let error = suited(Some((fq, 1819)), 1820, &[fq]).unwrap_err();
        assert!(error.contains("dev eth7 root fq flow_limit 1820"), "{error}");
        for (found, good) in [(None, &[fq, etf][..]), (Some((etf, u32::MAX)), &[fq])] {
            let error = suited(found, 1, good).unwrap_err();
            assert!(error.contains("eth7 to 10.0.0.1 does not pace"), "{error}");
        }
    }

    #[test]
    fn times_keep_their_distances_and_their_order() {
        let start = Instant::now();
        let mut nanos = Vec::new();
        let mut timeline = Timeline::new(Discipline::Fq);
        let times: Vec<_> =
            [0, 1, 1, 70, 1_000_000].map(|at| start + Duration::from_nanos(at + 50_000_000)).into();
        timeline.convert(&times, &mut nanos);
        let first = nanos[0];
        let distances: Vec<_> = nanos.iter().map(|at| at - first).collect();
        assert_eq!(distances, [0, 1, 1, 70, 1_000_000]);
        timeline.convert(&times[..2], &mut nanos);
        assert_eq!(nanos, [first + 1_000_000; 2]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn times_are_by_the_clocks_of_the_kernel() {
        for discipline in [Discipline::Fq, Discipline::Etf] {
            let mut nanos = Vec::new();
            let mut timeline = Timeline::new(discipline);
            let before = pacing::nanos(discipline);
            timeline.convert(&[Instant::now()], &mut nanos);
            let after = pacing::nanos(discipline) + ETF_DELAY.as_nanos() as u64;
            assert!((before..=after).contains(&nanos[0]), "{before} {nanos:?} {after}");
        }
    }
}
