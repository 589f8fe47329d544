//! Memory mapped from the kernel, in huge pages when there are any.
#![allow(unsafe_code)]

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::OnceLock;

use super::MemoryError;
use super::numa;
use super::storage::touch_pages;

/// Whether mapped memory is to be in huge pages (2 MiB on x86-64), which spare the TLB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HugePages {
    /// Ordinary pages.
    #[default]
    No,
    /// Reserved huge pages (`MAP_HUGETLB`) if the host has enough left; otherwise ordinary memory
    /// for which the kernel is asked to use transparent huge pages.
    Prefer,
    /// Reserved huge pages, or an error. They are set aside with `sysctl vm.nr_hugepages`.
    Require,
}

/// How memory is mapped.
///
/// ```
/// use speadway::memory::{Buffer, HugePages, MapOptions};
/// let huge_pages = HugePages::Prefer;
/// let options = MapOptions { huge_pages, populate: true, ..MapOptions::default() };
/// let buffer = Buffer::mapped(4 << 20, options)?;
/// assert!(buffer.iter().all(|&byte| byte == 0));
/// # Ok::<(), speadway::memory::MemoryError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapOptions {
    /// Whether to use huge pages.
    pub huge_pages: HugePages,
    /// Whether the kernel backs every page at once. Otherwise it does when the page is first
    /// written, which costs time when packets arrive, and may fail then with a signal.
    pub populate: bool,
    /// The NUMA node to take every page from, as the kernel numbers them;
    /// [`node_of_core`](super::node_of_core) says which is near. `None` leaves it to the kernel, which
    /// takes a page from the node of the core that touches it first.
    ///
    /// The memory of other nodes is no substitute: with `populate` there is an error when the node has
    /// too little, without it perhaps a signal when the page is written.
    pub node: Option<usize>,
}

/// What the system offers beyond plain mappings.
#[cfg(target_os = "linux")]
mod system {
    pub(super) const HUGE_PAGES: Option<i32> = Some(libc::MAP_HUGETLB);
    pub(super) const ADVISE_HUGE: Option<i32> = Some(libc::MADV_HUGEPAGE);
    pub(super) const ADVISE_POPULATE: Option<i32> = Some(libc::MADV_POPULATE_WRITE);
}

/// What the system offers beyond plain mappings.
#[cfg(not(target_os = "linux"))]
mod system {
    pub(super) const HUGE_PAGES: Option<i32> = None;
    pub(super) const ADVISE_HUGE: Option<i32> = None;
    pub(super) const ADVISE_POPULATE: Option<i32> = None;
}

/// A private anonymous mapping.
pub(super) struct Mapping {
    /// What `mmap` returned, and the length to unmap.
    base: NonNull<u8>,
    base_len: usize,
    /// The part to use, aligned as its pages would like it.
    start: NonNull<u8>,
    len: usize,
}

impl Mapping {
    /// Maps at least `len` zeroed bytes. `len` is not zero.
    pub(super) fn new(len: usize, options: MapOptions) -> Result<Self, MemoryError> {
        if isize::try_from(len).is_err() {
            return Err(MemoryError::TooLarge { len });
        }
        match options.huge_pages {
            HugePages::No => Self::ordinary(len, false, options),
            HugePages::Require => Self::huge(len, options),
            HugePages::Prefer => Self::huge(len, options).or_else(|error| {
                log::debug!("{error}; trying transparent huge pages");
                Self::ordinary(len, true, options)
            }),
        }
    }

    /// Maps at least `len` zeroed bytes, in transparent huge pages if the kernel likes.
    pub(super) fn transparent(len: usize) -> Result<Self, MemoryError> {
        Self::ordinary(len, true, MapOptions::default())
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Maps reserved huge pages.
    fn huge(len: usize, options: MapOptions) -> Result<Self, MemoryError> {
        let page_size = huge_page_size();
        let no_pages = |source| MemoryError::NoHugePages { len, page_size, source };
        let Some(flag) = system::HUGE_PAGES else {
            return Err(no_pages(io::ErrorKind::Unsupported.into()));
        };
        // munmap of such a mapping wants whole huge pages (munmap(2), "huge page mappings").
        let whole = len.checked_next_multiple_of(page_size).ok_or(MemoryError::TooLarge { len })?;
        let base = mmap(whole, flag).map_err(no_pages)?;
        let mut mapping = Self { base, base_len: whole, start: base, len: whole };
        mapping.bind(options.node)?;
        if options.populate {
            mapping.populate().map_err(no_pages)?;
        }
        Ok(mapping)
    }

    /// Maps ordinary pages, which the kernel may be asked to merge into transparent huge ones.
    fn ordinary(len: usize, transparent: bool, options: MapOptions) -> Result<Self, MemoryError> {
        let failed = |source| MemoryError::Map { len, source };
        let align = if transparent && len >= huge_page_size() { huge_page_size() } else { 1 };
        // Only aligned ranges become huge, and kernels before 6.7 do not align the mapping.
        let base_len = len.checked_add(align - 1).ok_or(MemoryError::TooLarge { len })?;
        let base = mmap(base_len, 0).map_err(failed)?;
        let padding = base.as_ptr().align_offset(align);
        // SAFETY: the padding is less than `align`, so what follows is inside the mapping.
        let start = unsafe { base.add(padding) };
        let mut mapping = Self { base, base_len, start, len };
        if align > 1 {
            mapping.advise_huge();
        }
        mapping.bind(options.node)?;
        if options.populate {
            mapping.populate().map_err(failed)?;
        }
        Ok(mapping)
    }

    /// Has the pages, none of which is there yet, come from a node, if one is wanted.
    fn bind(&mut self, node: Option<usize>) -> Result<(), MemoryError> {
        let Some(node) = node else { return Ok(()) };
        numa::bind(self.base, self.base_len, node).map_err(|source| MemoryError::NoNode {
            node,
            nodes: numa::nodes_with_memory(),
            source,
        })
    }

    /// Asks for transparent huge pages. A kernel without them refuses, which does no harm.
    fn advise_huge(&mut self) {
        if let Err(error) = self.advise(system::ADVISE_HUGE) {
            log::debug!("no transparent huge pages: {error}");
        }
    }

    /// Has the kernel back every page now. Unlike `MAP_POPULATE`, this reports a failure.
    fn populate(&mut self) -> io::Result<()> {
        match self.advise(system::ADVISE_POPULATE) {
            // Linux before 5.14, and other systems, do not know the advice.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.touch();
                Ok(())
            }
            result => result,
        }
    }

    fn touch(&mut self) {
        // SAFETY: the mapping is `len` zeroed bytes, and ours alone.
        touch_pages(unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) });
    }

    /// Gives the kernel advice about the whole mapping: `InvalidInput` if it cannot take it.
    fn advise(&mut self, advice: Option<libc::c_int>) -> io::Result<()> {
        let advice = advice.ok_or(io::ErrorKind::InvalidInput)?;
        loop {
            // SAFETY: the range is inside our own mapping, and neither advice used here changes
            // its contents.
            let result = unsafe { libc::madvise(self.start.as_ptr().cast(), self.len, advice) };
            if result == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever used its bytes owned this value.
        if unsafe { libc::munmap(self.base.as_ptr().cast(), self.base_len) } != 0 {
            log::error!("cannot unmap {} bytes: {}", self.base_len, io::Error::last_os_error());
        }
    }
}

/// Maps `len` private, zeroed bytes anywhere.
fn mmap(len: usize, extra_flags: libc::c_int) -> io::Result<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | extra_flags;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches no other memory.
    let base = unsafe { libc::mmap(ptr::null_mut(), len, access, flags, -1, 0) };
    match NonNull::new(base.cast::<u8>()) {
        Some(base) if base.as_ptr().cast() != libc::MAP_FAILED => Ok(base),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Bytes in one huge page of the default size.
fn huge_page_size() -> usize {
    /// The size on x86-64, and on aarch64 with pages of 4 KiB.
    const USUAL: usize = 2 << 20;
    static SIZE: OnceLock<usize> = OnceLock::new();
    *SIZE.get_or_init(|| {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        parse_huge_page_size(&meminfo).unwrap_or(USUAL)
    })
}

/// Finds the line `Hugepagesize:    2048 kB`, and believes it if the size is one a page can have.
fn parse_huge_page_size(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("Hugepagesize:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024).filter(|size| size.is_power_of_two())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_page_size_is_read_from_meminfo() {
        let meminfo = "MemTotal:  1 kB\nHugepagesize:       2048 kB\nHugetlb:  0 kB\n";
        assert_eq!(parse_huge_page_size(meminfo), Some(2 << 20));
        assert_eq!(parse_huge_page_size("Hugepagesize: 1048576 kB"), Some(1 << 30));
        for bad in ["", "Hugepagesize: kB", "Hugepagesize: 3 kB", "Hugepagesize: 0 kB"] {
            assert_eq!(parse_huge_page_size(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn transparent_mappings_start_on_a_huge_page() {
        let page = huge_page_size();
        for len in [page, page + 1, 3 * page - 1] {
            let mapping = Mapping::ordinary(len, true, MapOptions::default()).unwrap();
            assert_eq!(mapping.start().as_ptr().align_offset(page), 0);
            assert_eq!(mapping.len(), len);
        }
    }

    #[test]
    fn touching_reaches_the_last_byte_of_an_odd_length() {
        let mut mapping = Mapping::ordinary(3 * 4096 + 1, false, MapOptions::default()).unwrap();
        mapping.touch();
    }
}
