//! Memory of a node: it comes from there, and a node that is not there is an error.
#![allow(unsafe_code)]

use std::ptr;

use crate::memory::{Buffer, HugePages, MapOptions, MemoryError, node_of_core};

/// Flags of get_mempolicy(2) (linux/mempolicy.h): the node and not the policy; of an address.
const NODE: libc::c_int = 1;
const ADDR: libc::c_int = 2;

const WORD: usize = libc::c_ulong::BITS as usize;

/// What the kernel says about the page at an address: with `NODE` its node, otherwise its policy
/// and the nodes of that.
fn policy(address: *const u8, flags: libc::c_int) -> (libc::c_int, Vec<usize>) {
    let (mut mode, mut nodes) = (-1, [0; 1024 / WORD]);
    let set = if flags & NODE == 0 { nodes.as_mut_ptr() } else { ptr::null_mut() };
    let bits = if set.is_null() { 0 } else { nodes.len() * WORD };
    let flags = flags | ADDR;
    // SAFETY: the kernel writes a number, and as many bits as it is told there is room for; it only
    // looks the address up.
    let result =
        unsafe { libc::syscall(libc::SYS_get_mempolicy, &raw mut mode, set, bits, address, flags) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    let nodes: [libc::c_ulong; 1024 / WORD] = nodes;
    let listed = (0..bits).filter(|bit| nodes[bit / WORD] >> (bit % WORD) & 1 == 1).collect();
    (mode, listed)
}

/// Memory of a node, if choosing one is allowed here: in containers it may not be.
fn mapped(len: usize, options: MapOptions) -> Option<Buffer> {
    match Buffer::mapped(len, options) {
        Ok(buffer) => Some(buffer),
        Err(MemoryError::NoNode { source, .. })
            if matches!(source.raw_os_error(), Some(libc::EPERM | libc::ENOSYS)) =>
        {
            println!("not tested: {source}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn memory_is_of_the_node_asked_for() {
    let node = node_of_core(0).unwrap();
    for huge_pages in [HugePages::No, HugePages::Prefer] {
        for populate in [false, true] {
            for len in [1, (4 << 20) + 1] {
                let options = MapOptions { huge_pages, populate, node: Some(node) };
                let Some(mut buffer) = mapped(len, options) else { return };
                buffer.fill(1);
                for byte in [&buffer[0], &buffer[len - 1]] {
                    assert_eq!(policy(byte, 0), (libc::MPOL_BIND, vec![node]));
                    assert_eq!(policy(byte, NODE).0, node as libc::c_int);
                }
            }
        }
    }
}

#[test]
fn memory_is_of_any_node_unless_one_is_asked_for() {
    let buffer = Buffer::mapped(1, MapOptions::default()).unwrap();
    assert_eq!(policy(buffer.as_ptr(), 0), (libc::MPOL_DEFAULT, vec![]));
}

#[test]
fn a_node_that_is_not_there_is_an_error() {
    // One less than the most nodes there can be, and more.
    for node in [63, 1023, 1024, usize::MAX] {
        for huge_pages in [HugePages::No, HugePages::Prefer] {
            let options = MapOptions { huge_pages, populate: true, node: Some(node) };
            let error = Buffer::mapped(1 << 20, options).unwrap_err();
            assert!(matches!(error, MemoryError::NoNode { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(&format!("NUMA node {node}:")), "{text}");
            assert!(text.contains("nodes with memory: "), "{text}");
        }
    }
}
