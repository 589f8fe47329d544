//! `docs/unsafe.md` lists all unsafe code: no file is missing, and the counts are right.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const WHERE: [&str; 6] = ["src", "cli", "python", "tests", "benches", "examples"];

/// What makes code unsafe, or promises something.
const WHAT: [&str; 5] = ["{", "impl", "fn", "extern", "trait"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn count(source: &str) -> usize {
    let code = source.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    code.flat_map(|line| line.split("unsafe ").skip(1))
        .filter(|rest| WHAT.iter().any(|what| rest.trim_start().starts_with(what)))
        .count()
}

/// Counts by file, where there are any.
fn in_sources() -> BTreeMap<String, usize> {
    let mut paths = Vec::new();
    for directory in WHERE {
        sources(&root().join(directory), &mut paths);
    }
    let counts = paths.iter().map(|path| {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        (name, count(&fs::read_to_string(path).unwrap()))
    });
    // This one names what it looks for.
    counts.filter(|(name, count)| *count > 0 && name != "tests/unsafe_inventory.rs").collect()
}

/// The same, from the rows of the tables.
fn in_the_list() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for row in fs::read_to_string(root().join("docs/unsafe.md")).unwrap().lines() {
        let Some((name, rest)) = row.strip_prefix("| `").and_then(|row| row.split_once("` | "))
        else {
            continue;
        };
        let number = rest.split(' ').next().and_then(|number| number.parse::<usize>().ok());
        *counts.entry(name.to_owned()).or_default() +=
            number.unwrap_or_else(|| panic!("no count in this row of docs/unsafe.md: {row}"));
    }
    counts
}

#[test]
fn all_unsafe_code_is_listed() {
    let (sources, list) = (in_sources(), in_the_list());
    for (name, count) in &sources {
        let listed = list.get(name).copied().unwrap_or(0);
        assert_eq!(listed, *count, "{name}: bring its rows in docs/unsafe.md up to date");
    }
    for name in list.keys() {
        assert!(sources.contains_key(name), "docs/unsafe.md lists {name}, which has none");
    }
}
