//! `speadway.Flavour`.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use speadway::wire::{BugCompat, Flavour as Core};

use crate::args::Int;
use crate::waiting::Late;

/// The only protocol version there is.
const VERSION: i64 = 4;
/// Bits of an item pointer in every flavour SPEAD-64-XX.
const ITEM_POINTER_BITS: i64 = 64;

/// A variant of the protocol: SPEAD-64-XX, and deviations of old implementations.
#[pyclass(module = "speadway", subclass, weakref, frozen)]
pub(crate) struct Flavour {
    inner: Late<Inner>,
}

/// A flavour as Python shows it: bits without meaning are kept.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Inner {
    core: Core,
    bug_compat: u32,
}

impl Flavour {
    /// The flavour as the library has it.
    pub(crate) fn core(&self) -> PyResult<Core> {
        Ok(self.inner.get()?.core)
    }

    /// A flavour that the library knows.
    pub(crate) fn from_core(core: Core) -> Self {
        let inner = Late::default();
        inner.init(Inner { core, bug_compat: core.bug_compat().bits() });
        Self { inner }
    }
}

#[pymethods]
impl Flavour {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { inner: Late::default() }
    }

    #[pyo3(signature = (
        version = Int(VERSION),
        item_pointer_bits = Int(ITEM_POINTER_BITS),
        heap_address_bits = Int(40),
        bug_compat = Int(0),
    ))]
    fn __init__(
        &self,
        version: Int<i64>,
        item_pointer_bits: Int<i64>,
        heap_address_bits: Int<i64>,
        bug_compat: Int<u32>,
    ) -> PyResult<()> {
        if version.0 != VERSION {
            return Err(PyValueError::new_err(format!(
                "version {} is not supported: the only one is {VERSION}",
                version.0
            )));
        }
        if item_pointer_bits.0 != ITEM_POINTER_BITS {
            return Err(PyValueError::new_err(format!(
                "item_pointer_bits must be {ITEM_POINTER_BITS}, not {}",
                item_pointer_bits.0
            )));
        }
        let flavour = u8::try_from(heap_address_bits.0).ok().and_then(|bits| Core::new(bits).ok());
        let flavour = flavour.ok_or_else(|| {
            PyValueError::new_err(format!(
                "heap_address_bits must be a multiple of 8 from 8 to 56, not {}",
                heap_address_bits.0
            ))
        })?;
        let known = BugCompat::from_bits(bug_compat.0 & BugCompat::PYSPEAD_0_5_2.bits())
            .unwrap_or(BugCompat::NONE);
        let core = flavour.with_bug_compat(known);
        self.inner.init(Inner { core, bug_compat: bug_compat.0 });
        Ok(())
    }

    /// The protocol version: 4.
    #[getter]
    fn version(&self) -> i64 {
        VERSION
    }

    /// Bits of an item pointer: 64.
    #[getter]
    fn item_pointer_bits(&self) -> i64 {
        ITEM_POINTER_BITS
    }

    /// Bits of a heap address or immediate value: a multiple of 8 from 8 to 56.
    #[getter]
    fn heap_address_bits(&self) -> PyResult<u8> {
        Ok(self.core()?.heap_address_bits())
    }

    /// Deviations of the peer, as the sum of `BUG_COMPAT_*`.
    #[getter]
    fn bug_compat(&self) -> PyResult<u32> {
        Ok(self.inner.get()?.bug_compat)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> PyResult<bool> {
        match other.cast::<Self>() {
            Ok(other) => Ok(self.inner.get()? == other.get().inner.get()?),
            Err(_) => Ok(false),
        }
    }

    fn __hash__(&self) -> PyResult<u64> {
        let inner = self.inner.get()?;
        Ok(u64::from(inner.core.heap_address_bits()) << 32 | u64::from(inner.bug_compat))
    }

    fn __repr__(&self) -> PyResult<String> {
        let Inner { core, bug_compat } = self.inner.get()?;
        let bits = core.heap_address_bits();
        Ok(format!("Flavour({VERSION}, {ITEM_POINTER_BITS}, {bits}, {bug_compat})"))
    }
}
