//! Numbers of the protocol, as Python names them.

use pyo3::prelude::*;
use speadway::wire::{BugCompat, ctrl, ids};

use crate::recv::{MEMCPY_NONTEMPORAL, MEMCPY_STD};

/// Adds the constants to the module.
pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    for (name, bits) in [
        ("BUG_COMPAT_DESCRIPTOR_WIDTHS", BugCompat::DESCRIPTOR_WIDTHS),
        ("BUG_COMPAT_SHAPE_BIT_1", BugCompat::SHAPE_BIT_1),
        ("BUG_COMPAT_SWAP_ENDIAN", BugCompat::SWAP_ENDIAN),
        ("BUG_COMPAT_PYSPEAD_0_5_2", BugCompat::PYSPEAD_0_5_2),
    ] {
        module.add(name, bits.bits())?;
    }
    for (name, id) in [
        ("NULL_ID", ids::NULL),
        ("HEAP_CNT_ID", ids::HEAP_CNT),
        ("HEAP_LENGTH_ID", ids::HEAP_LENGTH),
        ("PAYLOAD_OFFSET_ID", ids::PAYLOAD_OFFSET),
        ("PAYLOAD_LENGTH_ID", ids::PAYLOAD_LENGTH),
        ("DESCRIPTOR_ID", ids::DESCRIPTOR),
        ("STREAM_CTRL_ID", ids::STREAM_CTRL),
        ("DESCRIPTOR_NAME_ID", ids::DESCRIPTOR_NAME),
        ("DESCRIPTOR_DESCRIPTION_ID", ids::DESCRIPTOR_DESCRIPTION),
        ("DESCRIPTOR_SHAPE_ID", ids::DESCRIPTOR_SHAPE),
        ("DESCRIPTOR_FORMAT_ID", ids::DESCRIPTOR_FORMAT),
        ("DESCRIPTOR_ID_ID", ids::DESCRIPTOR_ID),
        ("DESCRIPTOR_DTYPE_ID", ids::DESCRIPTOR_DTYPE),
        ("CTRL_STREAM_START", ctrl::STREAM_START),
        ("CTRL_DESCRIPTOR_REISSUE", ctrl::DESCRIPTOR_REISSUE),
        ("CTRL_STREAM_STOP", ctrl::STREAM_STOP),
        ("CTRL_DESCRIPTOR_UPDATE", ctrl::DESCRIPTOR_UPDATE),
    ] {
        module.add(name, id)?;
    }
    module.add("MEMCPY_STD", MEMCPY_STD)?;
    module.add("MEMCPY_NONTEMPORAL", MEMCPY_NONTEMPORAL)
}
