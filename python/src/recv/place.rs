//! Placement by a C function of the user's: the ABI of the reference's `chunk_place_data`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyCapsuleMethods, PyTuple};
use speadway::chunk::{HeapContext, Place, Placement};

use super::stats::CustomStats;

/// What a placement function is given and fills in. Fields are only ever appended.
#[repr(C)]
struct ChunkPlaceData {
    /// The heap's first accepted packet, from its header on.
    packet: *const u8,
    packet_size: usize,
    /// The values of the configured items; -1 for those that the packet has not as immediates.
    items: *mut i64,
    /// Out: the chunk; negative for "not for a chunk".
    chunk_id: i64,
    /// Out: the index of the heap's (first) presence flag.
    heap_index: usize,
    /// Out: where the heap starts in the chunk's data.
    heap_offset: usize,
    /// One number per statistic, merged when the batch ends.
    batch_stats: *mut u64,
    /// Room for what goes to the chunk's `extra`.
    extra: *mut u8,
    /// Out: where that goes, and how much of it there is.
    extra_offset: usize,
    extra_size: usize,
}

/// The size that functions are told, and that `speadway.recv.numba` mirrors.
const SIZE: usize = 80;
const _: () = assert!(size_of::<ChunkPlaceData>() == SIZE);

const TWO_ARGUMENTS: &CStr = c"void (void *, size_t)";
const THREE_ARGUMENTS: &CStr = c"void (void *, size_t, void *)";

/// A C function in a capsule, with what keeps it alive.
pub(crate) struct PlaceFunction {
    call: Call,
    /// As given: `place` returns the same object.
    tuple: Py<PyTuple>,
}

#[derive(Clone, Copy)]
enum Call {
    Plain(unsafe extern "C" fn(*mut c_void, usize)),
    WithContext(unsafe extern "C" fn(*mut c_void, usize, *mut c_void), *mut c_void),
}

// SAFETY: the context is only handed to the user's function, whose documentation says that it is
// called on the stream's worker thread.
unsafe impl Send for Call {}
// SAFETY: as above; a shared `Call` is only copied.
unsafe impl Sync for Call {}

impl PlaceFunction {
    /// The function in the first element of a tuple, such as a `scipy.LowLevelCallable`.
    pub(crate) fn new(tuple: &Bound<'_, PyTuple>) -> PyResult<Self> {
        let first = tuple.get_item(0)?;
        let capsule = first.cast::<PyCapsule>().map_err(|_| {
            PyTypeError::new_err(
                "place must be a tuple whose first element is a capsule with a C function: use \
                 scipy.LowLevelCallable",
            )
        })?;
        Ok(Self { call: Call::from_capsule(capsule)?, tuple: tuple.clone().unbind() })
    }

    pub(crate) fn tuple(&self) -> &Py<PyTuple> {
        &self.tuple
    }
}

impl Call {
    fn from_capsule(capsule: &Bound<'_, PyCapsule>) -> PyResult<Self> {
        let name = capsule
            .name()?
            .ok_or_else(|| PyValueError::new_err("Signature missing from capsule"))?;
        // SAFETY: the name belongs to the capsule, which is alive; nothing renames it here.
        let signature = unsafe { name.as_cstr() };
        if signature == TWO_ARGUMENTS {
            let function = capsule.pointer_checked(Some(TWO_ARGUMENTS))?;
            // SAFETY: the capsule's name is the function's signature, and the tuple keeps it alive.
            Ok(Self::Plain(unsafe { into_function(function) }))
        } else if signature == THREE_ARGUMENTS {
            let function = capsule.pointer_checked(Some(THREE_ARGUMENTS))?;
            // SAFETY: as above.
            Ok(Self::WithContext(unsafe { into_function(function) }, capsule.context()?))
        } else {
            Err(PyValueError::new_err(format!(
                "Invalid callback signature {signature:?}. Expected one of: {}, {}",
                TWO_ARGUMENTS.to_string_lossy(),
                THREE_ARGUMENTS.to_string_lossy(),
            )))
        }
    }

    /// # Safety
    /// `data` has to be filled in, with pointers to as much memory as its documentation says.
    unsafe fn call(self, data: &mut ChunkPlaceData) {
        let data = ptr::from_mut(data).cast();
        match self {
            // SAFETY: the caller's promise; the function is what its capsule says.
            Self::Plain(function) => unsafe { function(data, SIZE) },
            // SAFETY: as above.
            Self::WithContext(function, context) => unsafe { function(data, SIZE, context) },
        }
    }
}

/// # Safety
/// `pointer` has to be a function of type `F`.
unsafe fn into_function<F: Copy>(pointer: NonNull<c_void>) -> F {
    const { assert!(size_of::<F>() == size_of::<NonNull<c_void>>()) };
    // SAFETY: of the same size, and the caller's promise.
    unsafe { std::mem::transmute_copy(&pointer) }
}

/// A stream's placement by a [`PlaceFunction`].
pub(crate) struct CPlace {
    function: Arc<PlaceFunction>,
    ids: Vec<u64>,
    items: Vec<i64>,
    /// Aligned for anything; its first bytes are what the function sees.
    extra: Vec<u128>,
    max_extra: usize,
    batch: Vec<u64>,
    stats: Arc<CustomStats>,
}

impl CPlace {
    /// Calls `function` with the values of items `ids`, and with room for `max_extra` bytes beside
    /// the payload of a heap. Statistics that it writes are merged into `stats`.
    pub(crate) fn new(
        function: Arc<PlaceFunction>,
        ids: Vec<u64>,
        max_extra: usize,
        stats: Arc<CustomStats>,
    ) -> Self {
        let items = vec![-1; ids.len()];
        let extra = vec![0; max_extra.div_ceil(size_of::<u128>())];
        // Two more than are merged: a function may look at those that chunk streams add.
        let batch = vec![0; stats.batch_len() + 2];
        Self { function, ids, items, extra, max_extra, batch, stats }
    }

    fn ask(&mut self, heap: &HeapContext<'_>) -> ChunkPlaceData {
        for (value, &id) in self.items.iter_mut().zip(&self.ids) {
            // Values have at most 56 bits.
            *value = heap.item(id).map_or(-1, |value| value as i64);
        }
        let packet = heap.packet().bytes();
        let pointer_if = |there: bool, pointer| if there { pointer } else { ptr::null_mut() };
        let mut data = ChunkPlaceData {
            packet: packet.as_ptr(),
            packet_size: packet.len(),
            items: pointer_if(!self.items.is_empty(), self.items.as_mut_ptr()),
            chunk_id: -1,
            heap_index: 0,
            heap_offset: 0,
            batch_stats: self.batch.as_mut_ptr(),
            extra: if self.max_extra > 0 {
                self.extra.as_mut_ptr().cast()
            } else {
                ptr::null_mut()
            },
            extra_offset: 0,
            extra_size: 0,
        };
        // SAFETY: all pointers are to live memory of the documented sizes, which nothing else uses
        // during the call.
        unsafe { self.function.call.call(&mut data) };
        data
    }

    fn extra(&self) -> &[u8] {
        // SAFETY: the vector has room for `max_extra` bytes (rounded up to whole words), and any
        // bytes are initialised.
        unsafe { std::slice::from_raw_parts(self.extra.as_ptr().cast(), self.max_extra) }
    }
}

impl Place for CPlace {
    /// As the reference does: functions count what they are shown.
    fn sees_stop_heaps(&self) -> bool {
        true
    }

    fn place(&mut self, heap: &mut HeapContext<'_>) -> Option<Placement> {
        let data = self.ask(heap);
        let chunk = u64::try_from(data.chunk_id).ok()?;
        // More than there is room for is refused by the stream, as a bad placement.
        if let Some(written) = self.extra().get(..data.extra_size) {
            heap.extra()[..data.extra_size].copy_from_slice(written);
        }
        Some(Placement {
            chunk,
            index: data.heap_index,
            offset: data.heap_offset,
            extra: (data.extra_offset, data.extra_size),
        })
    }

    fn end_batch(&mut self) {
        self.stats.merge(&mut self.batch);
    }
}
