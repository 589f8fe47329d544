//! Item pointers.

use std::error::Error;
use std::fmt;

use super::flavour::{Flavour, value_mask};

/// Set in a pointer whose value is immediate.
const IMMEDIATE: u64 = 1 << 63;

/// One 64-bit item pointer: a mode bit, an item id, and the value itself (*immediate*) or its
/// offset in the heap's payload (*addressed*).
///
/// ```
/// use speadway::wire::{Flavour, ItemPointer};
///
/// let pointer = ItemPointer::immediate(Flavour::SPEAD_64_48, 0x1600, 99)?;
/// assert_eq!((pointer.id(), pointer.value()), (0x1600, 99));
/// assert_eq!(pointer.raw(), 0x9600_0000_0000_0063);
/// # Ok::<(), speadway::wire::PointerError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemPointer {
    raw: u64,
    heap_address_bits: u8,
}

impl ItemPointer {
    /// A pointer that holds the value itself.
    ///
    /// # Errors
    /// If the id or the value has more bits than the flavour gives it.
    pub const fn immediate(flavour: Flavour, id: u64, value: u64) -> Result<Self, PointerError> {
        match Self::addressed(flavour, id, value) {
            Ok(pointer) => Ok(Self { raw: pointer.raw | IMMEDIATE, ..pointer }),
            Err(error) => Err(error),
        }
    }

    /// A pointer to the value at this offset in the heap's payload, in bytes.
    ///
    /// # Errors
    /// If the id or the offset has more bits than the flavour gives it.
    pub const fn addressed(flavour: Flavour, id: u64, address: u64) -> Result<Self, PointerError> {
        if id > flavour.max_id() {
            return Err(PointerError::Id { id, max: flavour.max_id() });
        }
        if address > flavour.max_value() {
            return Err(PointerError::Value { value: address, max: flavour.max_value() });
        }
        let heap_address_bits = flavour.heap_address_bits();
        Ok(Self { raw: id << heap_address_bits | address, heap_address_bits })
    }

    /// The pointer with these 64 bits; any are valid.
    #[inline]
    pub const fn from_raw(flavour: Flavour, raw: u64) -> Self {
        Self { raw, heap_address_bits: flavour.heap_address_bits() }
    }

    /// For widths already checked by the packet decoder.
    #[inline]
    pub(super) const fn from_be_bytes(bytes: [u8; 8], heap_address_bits: u8) -> Self {
        Self { raw: u64::from_be_bytes(bytes), heap_address_bits }
    }

    /// All 64 bits, in the host's byte order.
    #[inline]
    pub const fn raw(self) -> u64 {
        self.raw
    }

    /// The pointer as it is sent.
    #[inline]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        self.raw.to_be_bytes()
    }

    /// Bits of the address or value.
    #[inline]
    pub const fn heap_address_bits(self) -> u8 {
        self.heap_address_bits
    }

    /// Whether [`value`](Self::value) is the item's value; otherwise it is its offset.
    #[inline]
    pub const fn is_immediate(self) -> bool {
        self.raw & IMMEDIATE != 0
    }

    /// The item's id.
    #[inline]
    pub const fn id(self) -> u64 {
        (self.raw & !IMMEDIATE) >> self.heap_address_bits
    }

    /// The item's value if it is immediate, or its offset in the heap's payload, in bytes.
    #[inline]
    pub const fn value(self) -> u64 {
        self.raw & value_mask(self.heap_address_bits)
    }
}

impl fmt::Debug for ItemPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.is_immediate() { "immediate" } else { "addressed" };
        write!(f, "ItemPointer({mode}, id {:#x}, {:#x})", self.id(), self.value())
    }
}

/// Something that does not fit an item pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PointerError {
    /// The id has too many bits.
    Id {
        /// The id asked for.
        id: u64,
        /// The largest that fits.
        max: u64,
    },
    /// The immediate value or the address has too many bits.
    Value {
        /// The value asked for.
        value: u64,
        /// The largest that fits.
        max: u64,
    },
}

impl fmt::Display for PointerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id { id, max } => {
                write!(f, "item id {id:#x} is over {max:#x}, the largest of the flavour")
            }
            Self::Value { value, max } => write!(
                f,
                "immediate value or heap address {value:#x} is over {max:#x}, the largest of the flavour"
            ),
        }
    }
}

impl Error for PointerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_at_their_limits() {
        for bits in [8, 16, 24, 32, 40, 48, 56] {
            let flavour = Flavour::new(bits).unwrap();
            let (id, value) = (flavour.max_id(), flavour.max_value());
            let pointer = ItemPointer::immediate(flavour, id, value).unwrap();
            assert_eq!(pointer.raw(), u64::MAX);
            assert_eq!((pointer.id(), pointer.value()), (id, value));
            let pointer = ItemPointer::addressed(flavour, id, 0).unwrap();
            assert_eq!((pointer.id(), pointer.value()), (id, 0));
            assert!(!pointer.is_immediate());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let flavour = Flavour::SPEAD_64_48;
        let id = ItemPointer::addressed(flavour, 0x8000, 0);
        assert_eq!(id, Err(PointerError::Id { id: 0x8000, max: 0x7fff }));
        let value = ItemPointer::immediate(flavour, 1, 1 << 48);
        assert_eq!(value, Err(PointerError::Value { value: 1 << 48, max: (1 << 48) - 1 }));
    }
}
