"""`Item`: a descriptor with a value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ._descriptor import Descriptor, Format, Shape
from ._speadway import pack_bits, unpack_bits

if TYPE_CHECKING:
    import numpy.typing as npt

    from ._speadway.recv import RawItem

# One dimension of these is text.
_TEXT: Format = [("c", 8)]
# What a scalar is made as to be sent as its last bytes, if it has less than that.
_SCALAR = np.dtype(">u8")


class Item(Descriptor):
    """A descriptor with a value, and a version that counts how often the value was set.

    The parameters are those of :class:`Descriptor`, and `value`, which may be anything that numpy
    makes an array of the right shape and type of; `None` is no value. It is looked at when it is
    sent, not before.

    Received values are arrays that share the heap's memory, unless elements have to be converted; a
    scalar if the shape is `()`; and `str` for one dimension of the format `[("c", 8)]`. Elements of
    a format that numpy has no type for are Python numbers, in an array of objects.
    """

    version: int
    """Grows when the value is set. Raise it if a value was changed in place."""

    _value: Any
    _plan: object
    _is_plain: ClassVar[bool] = True
    """Whether a received value may be set without calling any method."""

    def __init__(
        self,
        id: int | None,
        name: str,
        description: str,
        shape: Shape,
        dtype: npt.DTypeLike | None = None,
        order: str = "C",
        format: Format | None = None,
        *,
        value: Any = None,
    ) -> None:
        super().__init__(id, name, description, shape, dtype, order, format)
        self._value = value
        self._plan = None
        self.version = 1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._is_plain = all(getattr(cls, name) is getattr(Item, name) for name in _RECEIVING)

    def __getstate__(self) -> dict[str, Any]:
        # A plan is made again when it is needed.
        return {**self.__dict__, "_plan": None}

    @property
    def value(self) -> Any:
        """The value. To set it raises the version; it cannot be set to `None`."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if value is None:
            raise ValueError("Item value cannot be set to None")
        self._value = value
        self.version += 1

    def set_from_raw(self, raw_item: RawItem, new_order: str = "=") -> None:
        """Sets the value to the one received.

        Parameters
        ----------
        raw_item
            The bytes received. Too many do no harm, too few are a `ValueError`.
        new_order
            What byte order elements are converted to, as numpy's `dtype.newbyteorder` has it: by
            default the machine's; `"|"` keeps that of the stream, and avoids the copy.
        """
        raw = np.array(raw_item, np.uint8, copy=False)
        itemsize = self.itemsize_bits
        available = raw.size * 8 // itemsize
        shape = self.dynamic_shape(available)
        needed = math.prod(shape)
        if needed > available:
            raise ValueError(
                f"Item {self.name} has too few elements for shape ({available} < {needed})"
            )
        size = -(-needed * itemsize // 8)
        # An item pointer may be wider than the value, which is at its end.
        start = raw.size - size if raw_item.is_immediate else 0
        self.value = self._decode(raw[start : start + size], shape, new_order)

    def to_buffer(self) -> npt.NDArray[Any] | bytearray:
        """The value as it is sent. It shares the value's memory if that is as it must be."""
        if self._value is None:
            raise ValueError("Cannot send a value of None")
        if self._is_packed_scalar():
            return self._scalar_to_buffer()
        value = self._to_array(self._value, self._element)
        if self._element.hasobject:
            return self._encode(value)
        # The elements in the order in which they lie in memory.
        return value.T if self.order == "F" else value

    def _decode(self, raw: npt.NDArray[np.uint8], shape: Sequence[int], new_order: str) -> Any:
        if self._element.hasobject:
            value = self._unpack(raw, math.prod(shape)).reshape(shape)
        else:
            elements = raw.view(self._element)
            wanted = self._element.newbyteorder(new_order)  # type: ignore[arg-type]
            if self._is_text():
                return raw.tobytes().replace(b"\0", b"").decode("ascii")
            value = elements.astype(wanted, copy=False).reshape(shape, order=self.order)  # type: ignore[call-overload]
        return value if shape else value[()]

    def _unpack(self, raw: npt.NDArray[np.uint8], count: int) -> npt.NDArray[Any]:
        elements = np.empty(count, self._element)
        elements[:] = unpack_bits(_plain(self.format), raw, count)
        return elements

    def _encode(self, value: npt.NDArray[Any]) -> bytearray:
        elements: list[Any] = value.reshape(-1).tolist()
        return pack_bits(_plain(self.format), elements)

    def _to_array(self, value: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        if len(self.shape) == 1 and isinstance(value, (str, bytes)):
            value = list(_characters(value))
        array: npt.NDArray[Any] = np.asarray(value, dtype, order=self.order)  # type: ignore[call-overload]
        if not self.compatible_shape(array.shape):
            raise ValueError(f"Value has shape {array.shape}, expected {self.shape}")
        return array

    def _is_text(self) -> bool:
        return len(self.shape) == 1 and self.format == _TEXT

    def _is_packed_scalar(self) -> bool:
        """Whether it is a whole number of some bytes that no type of numpy has."""
        format = self.format or ()
        if self.shape or not self._element.hasobject or len(format) != 1:
            return False
        (code, bits), *_ = format
        return code != "b" and bits in (24, 40, 48, 56)

    def _is_signed(self) -> bool:
        return any(code == "i" for code, _ in self.format or ())

    def _scalar_to_buffer(self) -> npt.NDArray[np.uint8]:
        """The last bytes of a number of 8 bytes; of the value itself if it is one.

        What does not fit is cut off without a word, which senders rely on to have timestamps wrap.
        """
        value = self._value
        if isinstance(value, int) and value < 0 and self._is_signed():
            value &= (1 << 64) - 1
        number = self._to_array(value, _SCALAR)
        return number.reshape(1).view(np.uint8)[8 - self.itemsize_bits // 8 :]


def _plain(format: Format | None) -> list[tuple[str, int]]:
    return [(code, bits) for code, bits in format or ()]


def _characters(text: str | bytes) -> Iterator[str | bytes]:
    return (text[at : at + 1] for at in range(len(text)))


# What takes part in setting a received value.
_RECEIVING = (
    "set_from_raw",
    "value",
    "itemsize_bits",
    "dynamic_shape",
    "is_variable_size",
    "_decode",
    "__setattr__",
    "__getattribute__",
)
