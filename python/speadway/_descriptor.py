"""`Descriptor`: the name, meaning and type of an item."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from numpy.lib import format as npy_format

from ._speadway import BUG_COMPAT_SWAP_ENDIAN, Flavour, RawDescriptor

if TYPE_CHECKING:
    import numpy.typing as npt

Format = Sequence[tuple[str, int]]
Shape = Sequence[int | None]

# Fields that numpy has a type for.
_FIELD_DTYPES = {
    **{(code, 8 * size): np.dtype(f">{code}{size}") for code in "ui" for size in (1, 2, 4, 8)},
    **{("f", 8 * size): np.dtype(f">f{size}") for size in (4, 8)},
    ("b", 8): np.dtype("?"),
    ("c", 8): np.dtype("S1"),
}


class Descriptor:
    """What is said about an item once, so that its heaps need only carry values.

    Parameters
    ----------
    id
        Number of the item in the stream.
    name
        Short name, by which an :class:`ItemGroup` finds it.
    description
        What it is, for humans.
    shape
        Size of each dimension. One may be `None`, which varies from heap to heap, if there is a
        `format`.
    dtype
        The type of an element, with neither Python objects nor size 0; or give a `format`.
    order
        `"C"` or, with a `dtype` only, `"F"`: whether the last or first dimension is contiguous.
    format
        Fields of an element, packed without gaps: pairs of a code and a number of bits. Codes are
        `"u"` unsigned and `"i"` signed integers and `"b"` booleans, of any number of bits, `"f"`
        floating point of 32 or 64, and `"c"` characters of 8.

    What breaks these rules is a `ValueError`.
    """

    id: int
    name: str
    description: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any] | None
    order: str
    format: Format | None
    _element: np.dtype[Any]
    """The type of an element in memory."""

    def __init__(
        self,
        id: int | None,
        name: str,
        description: str,
        shape: Shape,
        dtype: npt.DTypeLike | None = None,
        order: str = "C",
        format: Format | None = None,
    ) -> None:
        shape = tuple(shape)
        unknown = sum(size is None for size in shape)
        if unknown > 1:
            raise ValueError("Cannot have multiple unknown dimensions")
        if dtype is not None:
            dtype = np.dtype(dtype)
            if format is not None:
                raise ValueError("Only one of dtype and format can be specified")
            _check_dtype(dtype)
            if unknown:
                raise ValueError("Cannot have unknown dimensions when using numpy descriptor")
            self._element = dtype
        else:
            if format is None:
                raise ValueError("One of dtype and format must be specified")
            if order != "C":
                raise ValueError("When specifying format, order must be 'C'")
            if not isinstance(format, Sequence):
                format = list(format)
            self._element = _format_dtype(format)
        if order not in ("C", "F"):
            raise ValueError("Order must be 'C' or 'F'")
        # Whoever adds an item without an id to a group has the group fill it in.
        self.id = cast(int, id)
        self.name = name
        self.description = description
        self.shape = shape
        self.dtype = dtype
        self.order = order
        self.format = format

    @property
    def itemsize_bits(self) -> int:
        """Size of an element in bits."""
        if self.dtype is not None:
            return self.dtype.itemsize * 8
        return sum(bits for _, bits in self.format or ())

    def is_variable_size(self) -> bool:
        """Whether a dimension varies from heap to heap."""
        return None in self.shape

    def allow_immediate(self) -> bool:
        """Whether a short value may travel in its item pointer, which has whole bytes only and
        cannot tell how many of them count."""
        return not self.is_variable_size() and self.itemsize_bits % 8 == 0

    def dynamic_shape(self, max_elements: int) -> Sequence[int]:
        """The shape, with the dimension that varies as large as `max_elements` elements allow."""
        if not self.is_variable_size():
            return cast(tuple[int, ...], self.shape)
        others = 1
        for size in self.shape:
            others *= 1 if size is None else size
        varying = max_elements // others if others else 0
        return [varying if size is None else size for size in self.shape]

    def compatible_shape(self, shape: Shape) -> bool:
        """Whether a value may have this shape."""
        return len(shape) == len(self.shape) and all(
            own is None or other is None or own == other
            for own, other in zip(self.shape, shape, strict=True)
        )

    @classmethod
    def from_raw(cls, raw_descriptor: RawDescriptor, flavour: Flavour) -> Self:
        """The descriptor that was received.

        Raises `ValueError` if it makes no sense, `UnicodeDecodeError` if its texts are not ASCII.
        """
        shape: Shape
        dtype: np.dtype[Any] | None = None
        format: Format | None = None
        if raw_descriptor.numpy_header:
            header = raw_descriptor.numpy_header.decode("ascii")
            shape, order, dtype = _parse_numpy_header(header)
            if flavour.bug_compat & BUG_COMPAT_SWAP_ENDIAN:
                dtype = dtype.newbyteorder()
        else:
            shape, order, format = raw_descriptor.shape, "C", raw_descriptor.format
        return cls(
            raw_descriptor.id,
            raw_descriptor.name.decode("ascii"),
            raw_descriptor.description.decode("ascii"),
            shape,
            dtype,
            order,
            format,
        )

    def to_raw(self, flavour: Flavour) -> RawDescriptor:
        """The descriptor as it is sent.

        Raises `UnicodeEncodeError` if its texts are not ASCII.
        """
        raw = RawDescriptor()
        raw.id = self.id
        raw.name = self.name.encode("ascii")
        raw.description = self.description.encode("ascii")
        raw.shape = list(self.shape)
        if self.dtype is not None:
            dtype = self.dtype
            if flavour.bug_compat & BUG_COMPAT_SWAP_ENDIAN:
                dtype = dtype.newbyteorder()
            raw.numpy_header = _numpy_header(self.shape, self.order, dtype).encode("ascii")
        else:
            raw.format = list(self.format or ())
        return raw

    def _is_same(self, other: Descriptor) -> bool:
        """Whether nothing changes if one takes the place of the other."""
        return (
            (self.id, self.name, self.description) == (other.id, other.name, other.description)
            and (self.shape, self.order, self.format) == (other.shape, other.order, other.format)
            and self.dtype == other.dtype
        )


def _check_dtype(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError("Cannot use dtype that has reference-counted objects")
    if dtype.itemsize == 0:
        raise ValueError("Cannot use zero-sized dtype")


def _format_dtype(format: Format) -> np.dtype[Any]:
    """The type of elements in memory: one of numpy's if it is laid out alike, or else Python
    objects."""
    fields = [_field_dtype(code, bits) for code, bits in format]
    if not fields:
        raise ValueError("empty format")
    if len(fields) == 1:
        return fields[0]
    return np.dtype([(f"f{at}", field) for at, field in enumerate(fields)])


def _field_dtype(code: str, bits: int) -> np.dtype[Any]:
    if bits == 0:
        raise ValueError("zero-length field (bug_compat mismatch?)")
    if bits < 0:
        raise ValueError("negative-length field")
    dtype = _FIELD_DTYPES.get((code, bits))
    if dtype is None:
        if code not in ("u", "i", "b"):
            raise ValueError(f"illegal format ({code}, {bits})")
        dtype = np.dtype(object)
    return dtype


def _numpy_header(shape: Iterable[int | None], order: str, dtype: np.dtype[Any]) -> str:
    sizes = tuple(None if size is None else int(size) for size in shape)
    return repr({
        "descr": npy_format.dtype_to_descr(dtype),
        "fortran_order": order == "F",
        "shape": sizes,
    })


def _parse_numpy_header(header: str) -> tuple[tuple[int, ...], str, np.dtype[Any]]:
    try:
        fields = ast.literal_eval(header)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        # The last two are what the parser makes of too deep a header.
        raise ValueError(f"Cannot parse descriptor: {_shortened(header)}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"Descriptor is not a dictionary: {_shortened(header)}")
    if fields.keys() != {"descr", "fortran_order", "shape"}:
        keys = sorted(map(repr, fields))
        raise ValueError(f"Descriptor does not contain the correct keys: {', '.join(keys)}")
    shape = fields["shape"]
    if not isinstance(shape, tuple) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"shape is not valid: {shape!r}")
    fortran = fields["fortran_order"]
    if not isinstance(fortran, bool):
        raise ValueError(f"fortran_order is not a valid bool: {fortran!r}")
    try:
        dtype = npy_format.descr_to_dtype(fields["descr"])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
        descr = fields["descr"]
        raise ValueError(f"descr is not a valid dtype descriptor: {descr!r}") from error
    return shape, "F" if fortran else "C", dtype


def _shortened(text: str) -> str:
    """What of a received text is worth an error message."""
    return repr(text if len(text) <= 200 else text[:200] + "...")

