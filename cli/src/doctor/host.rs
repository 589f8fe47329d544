//! The host as the kernel shows it: files under /proc and /sys, and what drivers answer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::ethtool::{self, Query};
use super::finding::Unseen;

/// A host: this one, or a tree of files that looks like one.
pub(super) struct Host {
    root: PathBuf,
    /// Whether drivers can be asked. A tree has their answers in `ethtool/INTERFACE/QUERY`: the
    /// words of the kernel's structure behind the command.
    is_this: bool,
}

impl Host {
    /// The host that this runs on.
    pub(super) fn this() -> Self {
        Self { root: "/".into(), is_this: true }
    }

    /// What `root` holds.
    pub(super) fn tree(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), is_this: false }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// Whether there is such a file.
    pub(super) fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// What a file has in it, trimmed.
    pub(super) fn text(&self, path: &str) -> Result<String, Unseen> {
        let text = fs::read_to_string(self.path(path));
        text.map(|text| text.trim().to_owned()).map_err(|error| unseen(path, &error))
    }

    /// The number that a file has in it.
    pub(super) fn number<T: FromStr>(&self, path: &str) -> Result<T, Unseen> {
        let text = self.text(path)?;
        text.parse().map_err(|_| Unseen(format!("{path} says `{text}`, which is no number")))
    }

    /// The names in a directory, in order: numbers within them count as numbers.
    pub(super) fn names(&self, path: &str) -> Result<Vec<String>, Unseen> {
        let entries = fs::read_dir(self.path(path)).map_err(|error| unseen(path, &error))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.collect();
        names.sort_by_key(|name| {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            let prefix = name[..name.len() - digits.len()].to_owned();
            (prefix, digits.parse::<u64>().unwrap_or(u64::MAX), name.clone())
        });
        Ok(names)
    }

    /// The name of what a link leads to.
    pub(super) fn link(&self, path: &str) -> Result<String, Unseen> {
        let target = fs::read_link(self.path(path)).map_err(|error| unseen(path, &error))?;
        let name = target.file_name().map(|name| name.to_string_lossy().into_owned());
        name.ok_or_else(|| Unseen(format!("{path} leads nowhere")))
    }

    /// What an interface's driver answers to a question.
    pub(super) fn ask(&self, interface: &str, query: Query) -> Result<Vec<u32>, Unseen> {
        if self.is_this {
            return ethtool::ask(interface, query).map_err(|error| {
                let what = query.describe();
                Unseen(match error.kind() {
                    io::ErrorKind::PermissionDenied => format!("asking for {what} needs root"),
                    _ => format!("the driver does not tell {what} ({error})"),
                })
            });
        }
        let text = self.text(&format!("/ethtool/{interface}/{}", query.name()))?;
        let words: Vec<u32> = text.split_whitespace().flat_map(str::parse).collect();
        if words.len() < query.words() {
            return Err(Unseen(format!("{} words for {}", words.len(), query.name())));
        }
        Ok(words)
    }
}

fn unseen(path: &str, error: &io::Error) -> Unseen {
    // As the user could look it up.
    let path = Path::new(path).display();
    Unseen(match error.kind() {
        io::ErrorKind::NotFound => format!("there is no {path} here"),
        io::ErrorKind::PermissionDenied => format!("reading {path} needs root"),
        _ => format!("cannot read {path}: {error}"),
    })
}

/// The numbers of a list as the kernel writes it: "0-2,7".
pub(super) fn list(text: &str) -> Vec<usize> {
    let ranges = text.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    });
    // More cores than any kernel supports (NR_CPUS is 8192) would be a broken file.
    ranges.flatten().take(8192).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(list("0-2,7"), [0, 1, 2, 7]);
        assert_eq!(list("3"), [3]);
        assert!(list("").is_empty() && list("x-2").is_empty());
        assert_eq!(list("0-99999999999").len(), 8192);
    }

    #[test]
    fn what_is_not_there_is_said() {
        let host = Host::tree("/nonexistent");
        let Unseen(why) = host.text("/proc/x").unwrap_err();
        assert_eq!(why, "there is no /proc/x here");
        assert!(!host.has("/proc/x"));
    }
}
