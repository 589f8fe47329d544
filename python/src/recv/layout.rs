//! `recv.Layout` and `recv.Axis`: declarative placement.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use speadway::chunk::Layout as Core;

use crate::args::Int;
use crate::waiting::Late;

/// How heaps fill a chunk, as a description instead of code: `ChunkStreamConfig(place=layout)`.
///
/// A heap carries a *sequence* item (a timestamp or counter) that grows by `step` from one heap to
/// the next; `heaps_per_chunk` consecutive heaps share a chunk. Each of `axes` multiplies that: a
/// chunk then holds `heaps_per_chunk` times the axes' counts heaps of `heap_size` bytes, in row-major
/// order with the sequence outermost, unless strides say otherwise.
///
/// * `sequence`: id of the item, which must be immediate;
/// * `heap_size`: payload of a heap, in bytes;
/// * `origin`: the sequence item's value at the start of chunk 0;
/// * `stride`: distance between consecutive values of the sequence, in bytes;
/// * `axes`: `Axis` objects, or tuples `(item, count)`, outermost first;
/// * `packet_presence`: marks presence per packet; payload in bytes of all packets but a heap's last.
///
/// A heap is rejected if it lacks an item, its length is not `heap_size`, its sequence lies before the
/// origin or is not a multiple of `step`, or an axis value is out of range. Raises `ValueError` if a
/// number is zero or two heaps would overlap.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct Layout {
    core: Late<Core>,
}

/// An axis of a `Layout`: item `item` takes `count` values, `first`, `first + step`, and so on.
///
/// `item` is `None` for the axis along the members of a group, each of which fills its own part.
/// `stride` is the distance between consecutive values in bytes, if not row-major.
#[pyclass(module = "speadway.recv", subclass, weakref, frozen)]
pub(crate) struct Axis {
    axis: Late<Spec>,
}

#[derive(Clone, Copy, Debug)]
struct Spec {
    item: Option<u64>,
    count: usize,
    first: u64,
    step: u64,
    stride: Option<usize>,
}

impl Layout {
    /// The layout as the library has it.
    pub(crate) fn core(&self) -> PyResult<&Core> {
        self.core.get()
    }
}

#[pymethods]
impl Layout {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { core: Late::default() }
    }

    #[pyo3(signature = (
        sequence,
        heap_size,
        *,
        heaps_per_chunk = Int(1),
        step = Int(1),
        origin = Int(0),
        stride = None,
        axes = Vec::new(),
        packet_presence = None,
    ))]
    #[allow(clippy::too_many_arguments)] // keywords of Python's
    fn __init__(
        &self,
        sequence: Int<u64>,
        heap_size: Int<usize>,
        heaps_per_chunk: Int<u64>,
        step: Int<u64>,
        origin: Int<u64>,
        stride: Option<Int<usize>>,
        axes: Vec<Spec>,
        packet_presence: Option<Int<u64>>,
    ) -> PyResult<()> {
        let mut builder = Core::builder(sequence.0, heap_size.0)
            .heaps_per_chunk(heaps_per_chunk.0)
            .step(step.0)
            .origin(origin.0);
        if let Some(bytes) = stride {
            builder = builder.sequence_stride(bytes.0);
        }
        if let Some(bytes) = packet_presence {
            builder = builder.packet_presence(bytes.0);
        }
        for axis in axes {
            builder = match axis.item {
                Some(item) => builder.axis_range(item, axis.count, axis.first, axis.step),
                None => builder.member_axis(axis.count),
            };
            if let Some(bytes) = axis.stride {
                builder = builder.axis_stride(bytes);
            }
        }
        let core = builder.build().map_err(|error| PyValueError::new_err(error.to_string()))?;
        self.core.init(core);
        Ok(())
    }

    /// Heaps in a chunk.
    #[getter]
    fn heaps(&self) -> PyResult<usize> {
        Ok(self.core()?.heaps())
    }

    /// Bytes of a chunk's `present`: one per heap, or per packet.
    #[getter]
    fn flags(&self) -> PyResult<usize> {
        Ok(self.core()?.flags())
    }

    /// Bytes of a chunk's `data`.
    #[getter]
    fn chunk_size(&self) -> PyResult<usize> {
        Ok(self.core()?.chunk_size())
    }

    /// Payload of a heap, in bytes.
    #[getter]
    fn heap_size(&self) -> PyResult<usize> {
        Ok(self.core()?.heap_size())
    }

    /// The value of the sequence item at the start of chunk `chunk_id`.
    fn sequence_at(&self, chunk_id: Int<u64>) -> PyResult<u64> {
        Ok(self.core()?.sequence_at(chunk_id.0))
    }

    fn __repr__(&self) -> PyResult<String> {
        let core = self.core()?;
        let (heaps, heap_size, size) = (core.heaps(), core.heap_size(), core.chunk_size());
        Ok(format!("<Layout of {heaps} heaps of {heap_size} B in chunks of {size} B>"))
    }
}

#[pymethods]
impl Axis {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self { axis: Late::default() }
    }

    #[pyo3(signature = (item, count, *, first = Int(0), step = Int(1), stride = None))]
    fn __init__(
        &self,
        item: Option<Int<u64>>,
        count: Int<usize>,
        first: Int<u64>,
        step: Int<u64>,
        stride: Option<Int<usize>>,
    ) -> PyResult<()> {
        if item.is_none() && (first.0, step.0) != (0, 1) {
            return Err(PyValueError::new_err(
                "members are numbered from 0: an axis along them has no `first` or `step`",
            ));
        }
        self.axis.init(Spec {
            item: item.map(|item| item.0),
            count: count.0,
            first: first.0,
            step: step.0,
            stride: stride.map(|bytes| bytes.0),
        });
        Ok(())
    }

    /// The item's id; `None` for the members of a group.
    #[getter]
    fn item(&self) -> PyResult<Option<u64>> {
        Ok(self.axis.get()?.item)
    }

    /// How many values the item takes.
    #[getter]
    fn count(&self) -> PyResult<usize> {
        Ok(self.axis.get()?.count)
    }

    /// Its first value.
    #[getter]
    fn first(&self) -> PyResult<u64> {
        Ok(self.axis.get()?.first)
    }

    /// The distance between its values.
    #[getter]
    fn step(&self) -> PyResult<u64> {
        Ok(self.axis.get()?.step)
    }

    /// The distance between consecutive values in the chunk, in bytes; `None` if row-major.
    #[getter]
    fn stride(&self) -> PyResult<Option<usize>> {
        Ok(self.axis.get()?.stride)
    }

    fn __repr__(&self) -> PyResult<String> {
        let Spec { item, count, first, step, .. } = *self.axis.get()?;
        Ok(match item {
            Some(item) => format!("Axis({item:#x}, {count}, first={first}, step={step})"),
            None => format!("Axis(None, {count})"),
        })
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Spec {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(axis) = object.cast::<Axis>() {
            return axis.get().axis.get().copied();
        }
        let (item, count) = object
            .extract::<(Option<Int<u64>>, Int<usize>)>()
            .map_err(|_| PyTypeError::new_err("an axis is an Axis or a tuple (item, count)"))?;
        let item = item.map(|item| item.0);
        Ok(Self { item, count: count.0, first: 0, step: 1, stride: None })
    }
}
