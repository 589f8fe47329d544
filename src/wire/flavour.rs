//! SPEAD-64-XX flavours and the deviations of old implementations.

use std::error::Error;
use std::fmt;

/// Deviations from the protocol that a peer is known to have, as a set of flags.
///
/// They only concern descriptors. The default is none.
///
/// ```
/// use speadway::wire::BugCompat;
///
/// let old = BugCompat::PYSPEAD_0_5_2;
/// assert!(old.contains(BugCompat::SHAPE_BIT_1));
/// assert_eq!(BugCompat::from_bits(7), Ok(old));
/// assert!(BugCompat::from_bits(8).is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Default)]
pub struct BugCompat(u8);

impl BugCompat {
    /// No deviation.
    pub const NONE: Self = Self(0);
    /// Descriptor fields have the widths of SPEAD-64-40 whatever the flavour: 4 bytes for one of
    /// the format, 8 for one of the shape.
    pub const DESCRIPTOR_WIDTHS: Self = Self(1);
    /// In a shape, bit 1 of the flag byte (not bit 0) says that the dimension is variable.
    pub const SHAPE_BIT_1: Self = Self(2);
    /// Numpy types are declared in the opposite byte order to that of the data.
    pub const SWAP_ENDIAN: Self = Self(4);
    /// All that PySPEAD 0.5.2 does.
    pub const PYSPEAD_0_5_2: Self = Self(7);

    /// The set with these bits.
    ///
    /// # Errors
    /// If a bit has no meaning.
    pub const fn from_bits(bits: u32) -> Result<Self, BugCompatError> {
        if bits & !(Self::PYSPEAD_0_5_2.0 as u32) == 0 {
            Ok(Self(bits as u8))
        } else {
            Err(BugCompatError(bits))
        }
    }

    /// The set as bits.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }

    /// Whether every flag of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags that are in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Bits that are not a [`BugCompat`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BugCompatError(u32);

impl fmt::Display for BugCompatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "bug compatibility flags {:#x} are not among {:#x}",
            self.0,
            BugCompat::PYSPEAD_0_5_2.0
        )
    }
}

impl Error for BugCompatError {}

/// How an item pointer's 64 bits are divided: a flavour SPEAD-64-XX has XX bits of heap address
/// (or immediate value), 63 - XX of item id and one of mode.
///
/// XX is a multiple of 8 from 8 to 56. The default is SPEAD-64-40.
///
/// ```
/// use speadway::wire::Flavour;
///
/// let flavour = Flavour::new(48)?;
/// assert_eq!(flavour.to_string(), "SPEAD-64-48");
/// assert_eq!(flavour.max_id(), 0x7fff);
/// assert!(Flavour::new(44).is_err());
/// # Ok::<(), speadway::wire::FlavourError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Flavour {
    heap_address_bits: u8,
    bug_compat: BugCompat,
}

impl Flavour {
    /// SPEAD-64-40, what most senders use.
    pub const SPEAD_64_40: Self = Self { heap_address_bits: 40, bug_compat: BugCompat::NONE };
    /// SPEAD-64-48.
    pub const SPEAD_64_48: Self = Self { heap_address_bits: 48, bug_compat: BugCompat::NONE };

    /// The flavour with this many bits of heap address, and no bug compatibility.
    ///
    /// # Errors
    /// If the number is not a multiple of 8 from 8 to 56.
    pub const fn new(heap_address_bits: u8) -> Result<Self, FlavourError> {
        if heap_address_bits.is_multiple_of(8) && 8 <= heap_address_bits && heap_address_bits <= 56
        {
            Ok(Self { heap_address_bits, bug_compat: BugCompat::NONE })
        } else {
            Err(FlavourError(heap_address_bits))
        }
    }

    /// The same flavour, spoken with these deviations.
    #[must_use]
    pub const fn with_bug_compat(self, bug_compat: BugCompat) -> Self {
        Self { bug_compat, ..self }
    }

    /// Bits of a heap address, or of an immediate value.
    pub const fn heap_address_bits(self) -> u8 {
        self.heap_address_bits
    }

    /// Bytes of a heap address, or of an immediate value: 1 to 7.
    pub const fn heap_address_bytes(self) -> u8 {
        self.heap_address_bits / 8
    }

    /// Bytes that the item id takes, its mode bit included: 7 to 1.
    pub const fn item_id_bytes(self) -> u8 {
        8 - self.heap_address_bytes()
    }

    /// The deviations spoken.
    pub const fn bug_compat(self) -> BugCompat {
        self.bug_compat
    }

    /// The largest item id that fits a pointer.
    pub const fn max_id(self) -> u64 {
        (1 << (63 - self.heap_address_bits)) - 1
    }

    /// The largest address or immediate value that fits a pointer.
    pub const fn max_value(self) -> u64 {
        value_mask(self.heap_address_bits)
    }

    /// For widths already checked by the packet decoder.
    pub(super) const fn from_checked_bits(heap_address_bits: u8) -> Self {
        Self { heap_address_bits, bug_compat: BugCompat::NONE }
    }
}

/// The bits of a pointer that hold its address or value; `heap_address_bits` is below 64.
#[inline]
pub(super) const fn value_mask(heap_address_bits: u8) -> u64 {
    (1 << heap_address_bits) - 1
}

impl Default for Flavour {
    fn default() -> Self {
        Self::SPEAD_64_40
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SPEAD-64-{}", self.heap_address_bits)
    }
}

/// A number of heap address bits that makes no flavour.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlavourError(u8);

impl fmt::Display for FlavourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heap address bits: must be a multiple of 8 from 8 to 56", self.0)
    }
}

impl Error for FlavourError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_seven_flavours_exist() {
        let good: Vec<u8> = (0..=255).filter(|&bits| Flavour::new(bits).is_ok()).collect();
        assert_eq!(good, [8, 16, 24, 32, 40, 48, 56]);
    }

    #[test]
    fn widths_add_up() {
        for bits in [8, 16, 24, 32, 40, 48, 56] {
            let flavour = Flavour::new(bits).unwrap();
            assert_eq!(flavour.heap_address_bytes() + flavour.item_id_bytes(), 8);
            let mode_bit = 1 << 63;
            assert_eq!(mode_bit | flavour.max_id() << bits | flavour.max_value(), u64::MAX);
        }
    }

    #[test]
    fn errors_name_the_offender() {
        assert!(Flavour::new(41).unwrap_err().to_string().contains("41"));
        assert!(BugCompat::from_bits(0x18).unwrap_err().to_string().contains("0x18"));
    }
}
