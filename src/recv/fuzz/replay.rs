//! The corpora without a fuzzer: every file, and changes of each that follow from its name.

use std::fs;
use std::path::Path;

use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// Changed copies of each file.
const COPIES: usize = 40;

fn replay(name: &str, target: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let files =
        fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", corpus.display());
    for path in paths {
        let bytes = fs::read(&path).expect("a file that can be read");
        let mut random = random(&path);
        target(&bytes);
        for copy in 0..COPIES {
            let changed = change(&bytes, &mut random);
            let run = std::panic::AssertUnwindSafe(|| target(&changed));
            if let Err(panic) = std::panic::catch_unwind(run) {
                eprintln!("{name}: copy {copy} of {}: {changed:02x?}", path.display());
                std::panic::resume_unwind(panic);
            }
        }
    }
}

fn random(path: &Path) -> TestRng {
    let mut key = [0; 32];
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    key.iter_mut().zip(name).for_each(|(key, &byte)| *key = byte);
    TestRng::from_seed(RngAlgorithm::ChaCha, &key)
}

/// A few bytes changed, repeated, or gone.
fn change(bytes: &[u8], random: &mut TestRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut below = |n: usize| (random.next_u32() as usize) % n.max(1);
    for _ in 0..=below(4) {
        let at = below(bytes.len());
        match below(4) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = below(256) as u8,
            2 if !bytes.is_empty() => bytes[at] ^= 1 << below(8),
            _ => {
                let piece = bytes[at..bytes.len().min(at + below(64))].to_vec();
                let to = below(bytes.len());
                bytes.splice(to..to, piece);
            }
        }
    }
    bytes
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            replay(stringify!($name), super::$name);
        })*
    };
}

replays! { packet heaps descriptors framing placement layouts world }

#[cfg(feature = "pcap")]
replays! { capture }
