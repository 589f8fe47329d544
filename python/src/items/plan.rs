//! How the bytes of an item become its value, worked out once and used for every heap.
#![allow(unsafe_code)]

use std::ffi::c_int;

use numpy::npyffi::{NPY_ARRAY_F_CONTIGUOUS, NPY_ARRAY_WRITEABLE, PY_ARRAY_API, npy_intp};
use numpy::{PyArrayDescr, PyArrayDescrMethods, PyUntypedArray};
use pyo3::PyTypeInfo;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};
use speadway::heap::ItemKind;

/// More dimensions than that numpy has only had since 2.0.
const MAX_DIMENSIONS: usize = 32;

/// What an item looked like when its plan was made, and the plan.
#[pyclass(module = "speadway._speadway", frozen)]
pub(super) struct Plan {
    shape: Py<PyAny>,
    order: Py<PyAny>,
    new_order: Py<PyAny>,
    make: Make,
}

/// How a value is made.
enum Make {
    /// By the item itself, in Python.
    Slowly,
    /// A scalar of numpy: element type and bytes.
    Scalar(Py<PyArrayDescr>, usize),
    /// A whole number of so many bytes, which is signed or not.
    Integer(usize, bool),
    Array(Array),
}

struct Array {
    element: Py<PyArrayDescr>,
    itemsize: usize,
    /// The type to convert to, if it is another one.
    wanted: Option<Py<PyArrayDescr>>,
    shape: Vec<npy_intp>,
    /// Which dimension varies, and elements for each step of it. Its size in `shape` is 0.
    varying: Option<(usize, usize)>,
    /// Elements, if no dimension varies.
    len: usize,
    fortran: bool,
}

/// The bytes of a received item, and the object that keeps their memory.
pub(super) struct Received<'a, 'py> {
    pub(super) kind: ItemKind<'a>,
    /// Bytes that an item pointer has for values.
    pub(super) immediate_size: usize,
    /// Where an addressed item's bytes can be written to.
    pub(super) writable: *mut u8,
    pub(super) owner: &'a Bound<'py, PyAny>,
}

impl Plan {
    /// The plan for an item, with byte orders converted as `new_order` says.
    pub(super) fn new(item: &Bound<'_, PyAny>, new_order: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = item.py();
        let shape = item.getattr(intern!(py, "shape"))?;
        let order = item.getattr(intern!(py, "order"))?;
        let make = Make::new(item, &shape, &order, new_order)?;
        Ok(Self {
            shape: shape.unbind(),
            order: order.unbind(),
            new_order: new_order.clone().unbind(),
            make,
        })
    }

    /// Whether the item still looks as it did.
    pub(super) fn fits(
        &self,
        item: &Bound<'_, PyAny>,
        new_order: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        let py = item.py();
        Ok(self.new_order.is(new_order)
            && item.getattr(intern!(py, "shape"))?.is(&self.shape)
            && item.getattr(intern!(py, "order"))?.is(&self.order))
    }

    /// The value, or `None` if the item has to make it.
    pub(super) fn value<'py>(
        &self,
        received: &Received<'_, 'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.make {
            Make::Slowly => Ok(None),
            Make::Scalar(element, size) => scalar(element, *size, received),
            Make::Integer(size, signed) => integer(*size, *signed, received),
            Make::Array(array) => array.value(received),
        }
    }
}

impl Make {
    fn new(
        item: &Bound<'_, PyAny>,
        shape: &Bound<'_, PyAny>,
        order: &Bound<'_, PyAny>,
        new_order: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let py = item.py();
        let element = item.getattr(intern!(py, "_element"))?;
        let element = element.cast::<PyArrayDescr>()?;
        let Ok(shape) = shape.cast::<PyTuple>() else { return Ok(Self::Slowly) };
        if element.has_object() {
            return Self::integer(item);
        }
        if item.call_method0(intern!(py, "_is_text"))?.is_truthy()? || element.has_subarray() {
            return Ok(Self::Slowly);
        }
        let wanted = element.call_method1(intern!(py, "newbyteorder"), (new_order,))?;
        if shape.is_empty() {
            // Others may hold on to the memory they are made of.
            let is_number = b"biufc".contains(&element.kind());
            let scalar = || Self::Scalar(element.clone().unbind(), element.itemsize());
            return Ok(if is_number { scalar() } else { Self::Slowly });
        }
        let fortran = order.eq(intern!(py, "F"))?;
        let array = Array::new(element, wanted.cast::<PyArrayDescr>()?, shape, fortran)?;
        Ok(array.map_or(Self::Slowly, Self::Array))
    }

    /// If elements are whole numbers that numpy does not have.
    fn integer(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = item.py();
        if !item.call_method0(intern!(py, "_is_packed_scalar"))?.is_truthy()? {
            return Ok(Self::Slowly);
        }
        let bits: usize = item.getattr(intern!(py, "itemsize_bits"))?.extract()?;
        let signed = item.call_method0(intern!(py, "_is_signed"))?.is_truthy()?;
        Ok(Self::Integer(bits / 8, signed))
    }
}

impl Array {
    /// `None` if there is anything unusual about the shape.
    fn new(
        element: &Bound<'_, PyArrayDescr>,
        wanted: &Bound<'_, PyArrayDescr>,
        shape: &Bound<'_, PyTuple>,
        fortran: bool,
    ) -> PyResult<Option<Self>> {
        let mut sizes = Vec::new();
        let (mut varying, mut others) = (None, 1_usize);
        for (at, size) in shape.iter().enumerate() {
            if size.is_none() {
                varying = Some(at);
                sizes.push(0);
                continue;
            }
            let size = size.cast::<PyInt>().ok().and_then(|size| size.extract::<u32>().ok());
            let Some(size) = size else { return Ok(None) };
            let Some(product) = others.checked_mul(size as usize) else { return Ok(None) };
            others = product;
            sizes.push(npy_intp::try_from(size)?);
        }
        if sizes.len() > MAX_DIMENSIONS || others == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            element: element.clone().unbind(),
            itemsize: element.itemsize(),
            wanted: (!element.eq(wanted)?).then(|| wanted.clone().unbind()),
            shape: sizes,
            varying: varying.map(|at| (at, others)),
            len: if varying.is_some() { 0 } else { others },
            fortran,
        }))
    }

    fn value<'py>(&self, received: &Received<'_, 'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let ItemKind::Addressed(bytes) = received.kind else { return Ok(None) };
        let (available, mut needed) = (bytes.len() / self.itemsize, self.len);
        let mut sizes = [0; MAX_DIMENSIONS];
        for (size, known) in sizes.iter_mut().zip(&self.shape) {
            *size = *known;
        }
        if let Some((at, others)) = self.varying {
            let varying = available / others;
            needed = varying * others;
            if let Some(size) = sizes.get_mut(at) {
                *size = npy_intp::try_from(varying)?;
            }
        }
        if needed > available {
            return Ok(None);
        }
        let dimensions = sizes.get_mut(..self.shape.len()).unwrap_or_default();
        // SAFETY: the array has `needed` elements, which are within `bytes`, whose memory is at
        // `writable` and stays as long as its owner.
        let array = unsafe { self.view(received, dimensions) }?;
        self.converted(array).map(Some)
    }

    /// An array over the memory of an item.
    ///
    /// # Safety
    /// At `received.writable` there must be as many elements as the dimensions have, as long as
    /// `received.owner` exists, and no reference to them may be in use.
    unsafe fn view<'py>(
        &self,
        received: &Received<'_, 'py>,
        dimensions: &mut [npy_intp],
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = received.owner.py();
        let order = if self.fortran { NPY_ARRAY_F_CONTIGUOUS } else { 0 };
        // SAFETY: dimensions and data are as this function's caller promises; numpy takes over a
        // reference to the type, and one to the owner, which it drops also when it fails.
        unsafe {
            let array = PY_ARRAY_API.PyArray_NewFromDescr(
                py,
                PyUntypedArray::type_object_raw(py),
                self.element.clone_ref(py).into_bound(py).into_dtype_ptr(),
                c_int::try_from(dimensions.len())?,
                dimensions.as_mut_ptr(),
                std::ptr::null_mut(),
                received.writable.cast(),
                NPY_ARRAY_WRITEABLE | order,
                std::ptr::null_mut(),
            );
            let array = Bound::from_owned_ptr_or_err(py, array)?;
            let owner = received.owner.clone().into_ptr();
            match PY_ARRAY_API.PyArray_SetBaseObject(py, array.as_ptr().cast(), owner) {
                0 => Ok(array),
                _ => Err(PyErr::fetch(py)),
            }
        }
    }

    fn converted<'py>(&self, array: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let Some(wanted) = &self.wanted else { return Ok(array) };
        let py = array.py();
        let wanted = wanted.clone_ref(py).into_bound(py).into_dtype_ptr();
        // SAFETY: `array` is one, and numpy takes over the reference to the type.
        unsafe {
            let converted = PY_ARRAY_API.PyArray_CastToType(
                py,
                array.as_ptr().cast(),
                wanted,
                self.fortran.into(),
            );
            Bound::from_owned_ptr_or_err(py, converted)
        }
    }
}

/// The `size` bytes that count: the first ones, or the last of an item pointer.
fn with_bytes<T>(
    size: usize,
    received: &Received<'_, '_>,
    f: impl FnOnce(&[u8]) -> T,
) -> Option<T> {
    match received.kind {
        ItemKind::Addressed(bytes) => bytes.get(..size).map(f),
        ItemKind::Immediate(value) => {
            let bytes = value.to_be_bytes();
            let fits = size <= received.immediate_size;
            bytes.get(bytes.len().checked_sub(size)?..).filter(|_| fits).map(f)
        }
    }
}

fn scalar<'py>(
    element: &Py<PyArrayDescr>,
    size: usize,
    received: &Received<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = received.owner.py();
    let make = |bytes: &[u8]| {
        let element = element.bind(py).as_dtype_ptr();
        // SAFETY: `bytes` are as many as one element has, and are only read; numbers need no base.
        unsafe {
            let data = bytes.as_ptr().cast_mut().cast();
            let scalar = PY_ARRAY_API.PyArray_Scalar(py, data, element, std::ptr::null_mut());
            Bound::from_owned_ptr_or_err(py, scalar)
        }
    };
    with_bytes(size, received, make).transpose()
}

fn integer<'py>(
    size: usize,
    signed: bool,
    received: &Received<'_, 'py>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = received.owner.py();
    let read =
        |bytes: &[u8]| bytes.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let Some(number) = with_bytes(size, received, read) else { return Ok(None) };
    // Less than 8 bytes.
    let unused = 64 - 8 * size;
    Ok(Some(if signed {
        ((number << unused).cast_signed() >> unused).into_pyobject(py)?.into_any()
    } else {
        number.into_pyobject(py)?.into_any()
    }))
}
