//! Which NUMA node memory is on.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::ptr::NonNull;

/// The NUMA node that a core belongs to, both numbered as the kernel does: for
/// [`MapOptions::node`](super::MapOptions::node), so that chunks are near to the core of the worker that
/// fills them.
///
/// A kernel that knows no nodes has all memory on node 0.
///
/// ```no_run
/// use speadway::memory::{self, HugePages, MapOptions};
/// let node = Some(memory::node_of_core(2)?);
/// let options = MapOptions { huge_pages: HugePages::Prefer, populate: true, node };
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// If the host has no such core, or does not say (only Linux does).
pub fn node_of_core(core: usize) -> io::Result<usize> {
    node_listed(Path::new("/sys/devices/system/cpu"), core)
}

/// The node that the kernel links to from among what it says about a core.
fn node_listed(cores: &Path, core: usize) -> io::Result<usize> {
    let directory = cores.join(format!("cpu{core}"));
    let entries = fs::read_dir(&directory).map_err(|error| {
        let path = directory.display();
        io::Error::new(error.kind(), format!("cannot see core {core} ({path}): {error}"))
    })?;
    for entry in entries {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("node"));
        if let Some(node) = number.and_then(|number| number.parse().ok()) {
            return Ok(node);
        }
    }
    Ok(0)
}

/// The nodes that have memory, as the kernel lists them.
pub(super) fn nodes_with_memory() -> String {
    let list = fs::read_to_string("/sys/devices/system/node/has_memory");
    list.map_or_else(|_| "unknown".to_owned(), |list| list.trim().to_owned())
}

/// Has the pages of a mapping come from one node, and from no other. Those that are there stay.
#[cfg(target_os = "linux")]
pub(super) fn bind(start: NonNull<u8>, len: usize, node: usize) -> io::Result<()> {
    /// Bits of a set of nodes: as many as a kernel can be built for (`NODES_SHIFT`, mm/Kconfig).
    const NODES: usize = 1 << 10;
    const WORD: usize = libc::c_ulong::BITS as usize;

    let mut nodes: [libc::c_ulong; NODES / WORD] = [0; NODES / WORD];
    let word = nodes.get_mut(node / WORD).ok_or(io::ErrorKind::InvalidInput)?;
    *word = 1 << (node % WORD);
    // SAFETY: the call changes where pages will come from, and no bytes. The kernel only reads the set,
    // of which it takes a bit less than it is told (mbind(2), "BUGS").
    let result = unsafe {
        libc::syscall(
            libc::SYS_mbind,
            start.as_ptr(),
            len,
            libc::MPOL_BIND,
            nodes.as_ptr(),
            NODES + 1,
            0,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the pages of a mapping come from one node, where the system can.
#[cfg(not(target_os = "linux"))]
pub(super) fn bind(_start: NonNull<u8>, _len: usize, _node: usize) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree like that of the kernel, which goes when dropped.
    struct Cores(std::path::PathBuf);

    impl Cores {
        fn new(name: &str, entries: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("speadway-{name}-{}", std::process::id()));
            for entry in entries {
                fs::create_dir_all(root.join(entry)).unwrap();
            }
            Self(root)
        }
    }

    impl Drop for Cores {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_node_is_among_what_is_said_of_a_core() {
        let cores = Cores::new("nodes", &["cpu0/node0", "cpu17/topology", "cpu17/node3", "cpu1/x"]);
        assert_eq!(node_listed(&cores.0, 0).unwrap(), 0);
        assert_eq!(node_listed(&cores.0, 17).unwrap(), 3);
        assert_eq!(node_listed(&cores.0, 1).unwrap(), 0);
        let error = node_listed(&cores.0, 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("core 2"), "{error}");
    }
}
