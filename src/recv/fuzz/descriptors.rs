//! Descriptors, and values that they describe.

use super::Input;
use crate::item::ItemDescriptor;
use crate::wire::{BugCompat, Descriptor, Flavour};

/// Decodes a descriptor and, if it makes sense, a value of it.
pub fn descriptors(bytes: &[u8]) {
    let mut input = Input(bytes);
    let compat = BugCompat::from_bits(u32::from(input.byte() & 7)).expect("three bits");
    let value = input.piece().unwrap_or_default();
    let Ok(descriptor) = Descriptor::decode(input.0, compat) else { return };
    for flavour in [Flavour::SPEAD_64_48, Flavour::SPEAD_64_40] {
        let flavour = flavour.with_bug_compat(compat);
        // It may have come by a flavour that has more room.
        if let Ok(encoded) = descriptor.encode(flavour) {
            let again = Descriptor::decode(&encoded, compat).expect("what we encode");
            assert_eq!(again, descriptor, "{flavour:?}");
        }
    }
    let Ok(item) = ItemDescriptor::from_wire(&descriptor, compat) else { return };
    let _ = item.to_wire(Flavour::default());
    for immediate in [0, u64::MAX] {
        let _ = item.decode_immediate(immediate, Flavour::default());
    }
    if let Ok(value) = item.decode(value.to_vec()) {
        // A dimension of zero may stand beside absurd ones.
        assert!(value.is_empty() || value.shape().iter().all(|&size| size > 0));
        if value.len() < 1 << 12 {
            let _ = value.to_scalars();
            let _ = value.to_text();
        }
    }
}
