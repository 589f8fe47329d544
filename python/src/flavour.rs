//! `speadway.Flavour`.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use speadway::wire::{BugCompat, Flavour as Core};

use crate::args::{Int, Maybe};
use crate::waiting::Late;

/// The only protocol version there is.
const VERSION: i32 = 4;
/// Bits of an item pointer in every flavour SPEAD-64-XX.
const ITEM_POINTER_BITS: i32 = 64;

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

impl Inner {
    fn of(core: Core) -> Self {
        Self { core, bug_compat: core.bug_compat().bits() }
    }

    fn new(
        version: i32,
        item_pointer_bits: i32,
        heap_address_bits: i32,
        bug_compat: u32,
    ) -> PyResult<Self> {
        if version != VERSION {
            return Err(PyValueError::new_err(format!(
                "version {version} is not supported: the only one is {VERSION}"
            )));
        }
        if item_pointer_bits != ITEM_POINTER_BITS {
            return Err(PyValueError::new_err(format!(
                "item_pointer_bits must be {ITEM_POINTER_BITS}, not {item_pointer_bits}"
            )));
        }
        let flavour = u8::try_from(heap_address_bits).ok().and_then(|bits| Core::new(bits).ok());
        let flavour = flavour.ok_or_else(|| {
            PyValueError::new_err(format!(
                "heap_address_bits must be a multiple of 8 from 8 to 56, not {heap_address_bits}"
            ))
        })?;
        let known = BugCompat::from_bits(bug_compat & BugCompat::PYSPEAD_0_5_2.bits())
            .unwrap_or(BugCompat::NONE);
        Ok(Self { core: flavour.with_bug_compat(known), bug_compat })
    }
}

impl Flavour {
    /// The flavour as the library has it.
    pub(crate) fn core(&self) -> PyResult<Core> {
        Ok(self.inner.get()?.core)
    }

    /// A flavour that the library knows.
    pub(crate) fn from_core(core: Core) -> Self {
        let inner = Late::default();
        inner.init(Inner::of(core));
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
        version = Maybe::LeftOut,
        item_pointer_bits = Maybe::LeftOut,
        heap_address_bits = Maybe::LeftOut,
        bug_compat = Maybe::LeftOut,
    ))]
    fn __init__(
        &self,
        version: Maybe<Int<i32>>,
        item_pointer_bits: Maybe<Int<i32>>,
        heap_address_bits: Maybe<Int<i32>>,
        bug_compat: Maybe<Int<u32>>,
    ) -> PyResult<()> {
        use Maybe::{Given, LeftOut};
        let inner = match (version, item_pointer_bits, heap_address_bits, bug_compat) {
            (LeftOut, LeftOut, LeftOut, LeftOut) => Inner::of(Core::default()),
            (Given(version), Given(pointer_bits), Given(address_bits), bug_compat) => {
                let bug_compat = bug_compat.given().map_or(0, |bits| bits.0);
                Inner::new(version.0, pointer_bits.0, address_bits.0, bug_compat)?
            }
            _ => {
                return Err(PyTypeError::new_err(
                    "Flavour() needs version, item_pointer_bits and heap_address_bits, or nothing",
                ));
            }
        };
        self.inner.init(inner);
        Ok(())
    }

    /// The protocol version: 4.
    #[getter]
    fn version(&self) -> i32 {
        VERSION
    }

    /// Bits of an item pointer: 64.
    #[getter]
    fn item_pointer_bits(&self) -> i32 {
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

    // Of another type it has no opinion: it is not taken here, and Python asks the other.
    fn __eq__(&self, other: &Self) -> PyResult<bool> {
        Ok(self.inner.get()? == other.inner.get()?)
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
