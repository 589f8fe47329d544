//! Many worlds, one after the other on every core.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::choice::Choices;
use super::{Tally, live, lock};

/// Seeds that every run of the tests lives through.
const SEEDS: u64 = 1500;

/// A world that takes this long hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}

/// With `SEED`, that one world and what happens in it; otherwise `SEEDS` worlds from `FIRST_SEED` on.
#[test]
fn worlds() {
    if let Some(seed) = number("SEED") {
        return replay(seed);
    }
    let first = number("FIRST_SEED").unwrap_or(0);
    let seeds = number("SEEDS").unwrap_or(SEEDS);
    let begin = Instant::now();
    let total = Fleet::new(first, first + seeds).run();
    println!("{seeds} worlds from seed {first} on in {:.1?}: {total:?}", begin.elapsed());
}

fn replay(seed: u64) {
    // Printed at once: the world may hang.
    let trace = Box::new(|line| println!("{line}"));
    if let Err(panic) = live(Choices::seeded(seed), Some(trace)) {
        std::panic::resume_unwind(panic);
    }
}

struct Fleet {
    next: AtomicU64,
    end: u64,
    failed: AtomicBool,
    total: Mutex<Tally>,
    /// Which world each thread is in, and since when.
    under_way: Vec<Mutex<Option<(u64, Instant)>>>,
}

impl Fleet {
    fn new(first: u64, end: u64) -> Arc<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Arc::new(Self {
            next: AtomicU64::new(first),
            end,
            failed: AtomicBool::new(false),
            total: Mutex::default(),
            under_way: (0..threads).map(|_| Mutex::default()).collect(),
        })
    }

    fn run(self: Arc<Self>) -> Tally {
        let done = Arc::new(OnceLock::new());
        let watch = std::thread::spawn({
            let (fleet, done) = (Arc::clone(&self), Arc::clone(&done));
            move || fleet.watch(&done)
        });
        std::thread::scope(|scope| {
            for seat in &self.under_way {
                scope.spawn(|| self.work(seat));
            }
        });
        let _ = done.set(());
        watch.thread().unpark();
        let _ = watch.join();
        assert!(!self.failed.load(Ordering::Relaxed), "see above for the seed");
        *lock(&self.total)
    }

    fn work(&self, seat: &Mutex<Option<(u64, Instant)>>) {
        while !self.failed.load(Ordering::Relaxed) {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            if seed >= self.end {
                break;
            }
            *lock(seat) = Some((seed, Instant::now()));
            match live(Choices::seeded(seed), None) {
                Ok(tally) => self.add(tally),
                Err(_) => {
                    self.failed.store(true, Ordering::Relaxed);
                    eprintln!("seed {seed} fails: SEED={seed} make sim");
                }
            }
        }
        *lock(seat) = None;
    }

    fn add(&self, tally: Tally) {
        let mut total = lock(&self.total);
        total.steps += tally.steps;
        total.packets += tally.packets;
        total.handed_over += tally.handed_over;
        total.parks += tally.parks;
    }

    /// A world that blocks its thread cannot say so itself.
    fn watch(&self, done: &OnceLock<()>) {
        while done.get().is_none() {
            std::thread::park_timeout(PATIENCE / 10);
            for (seed, since) in self.under_way.iter().filter_map(|seat| *lock(seat)) {
                if since.elapsed() > PATIENCE {
                    eprintln!("seed {seed} hangs: SEED={seed} make sim");
                    std::process::abort();
                }
            }
        }
    }
}

#[test]
fn the_same_seed_is_the_same_world() {
    for seed in 0..40 {
        let lives = [(), ()].map(|()| {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let trace = Box::new({
                let lines = Arc::clone(&lines);
                move |line| lock(&lines).push(line)
            });
            let lived = live(Choices::seeded(seed), Some(trace));
            assert!(lived.is_ok());
            std::mem::take(&mut *lock(&lines))
        });
        assert!(lives[0].len() > 1 && lives[0] == lives[1], "seed {seed}");
    }
}

/// Worlds that do nothing would be right in everything.
#[test]
fn much_happens() {
    let total = Fleet::new(1 << 32, (1 << 32) + 300).run();
    assert!(total.packets > 20_000 && total.handed_over > 3000 && total.parks > 1000, "{total:?}");
}
