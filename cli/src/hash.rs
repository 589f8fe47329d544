//! A digest to compare what was received by.

/// FNV-1a with 64 bits, of what is added piece by piece. It finds accidents, not forgeries.
#[derive(Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Fnv {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let step =
            |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }

    /// The digest in 16 hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        // From the reference implementation of FNV (draft-eastlake-fnv, test_fnv.c).
        assert_eq!(Fnv::new().hex(), "cbf29ce484222325");
        assert_eq!(Fnv::new().add(b"a").hex(), "af63dc4c8601ec8c");
        assert_eq!(Fnv::new().add(b"foo").add(b"bar").hex(), "85944171f73967e8");
    }
}
