"""`ItemGroup`: the items of a stream."""

from __future__ import annotations

import itertools
import logging
from collections.abc import ItemsView, KeysView, ValuesView
from numbers import Integral
from typing import TYPE_CHECKING, Any


from ._descriptor import Format, Shape
from ._item import Item
from ._speadway import STREAM_CTRL_ID, update_items

if TYPE_CHECKING:
    import numpy.typing as npt

    from .recv import Heap

_FIRST_ID = 0x1000
"""The first id that is given to items without one."""

_logger = logging.getLogger("speadway")


class ItemGroup:
    """The items of a stream, by number and by name. Both are unique.

    An item that is added takes the place of those with its number or name, with a version above
    theirs, so that who looks at versions sees a change. If it is described exactly as an item that
    is there already, that one stays, and only gets the new one's value, if there is one.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Item] = {}
        self._by_name: dict[str, Item] = {}

    def add_item(
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
    ) -> Item:
        """Adds an item made of these arguments, those of :class:`Item`, and returns it.

        If `id` is `None` it becomes the first from 0x1000 on that no item has.
        """
        item = Item(id, name, description, shape, dtype, order, format, value=value)
        if item.id is None:
            item.id = next(n for n in itertools.count(_FIRST_ID) if n not in self._by_id)
        self._add_item(item)
        return item

    def __getitem__(self, key: int | str) -> Item:
        return self._by_id[key] if isinstance(key, Integral) else self._by_name[key]  # type: ignore[index]

    def __contains__(self, key: object) -> bool:
        return key in (self._by_id if isinstance(key, Integral) else self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._by_name.keys()

    def ids(self) -> KeysView[int]:
        """The numbers."""
        return self._by_id.keys()

    def values(self) -> ValuesView[Item]:
        """The items."""
        return self._by_name.values()

    def items(self) -> ItemsView[str, Item]:
        """The items with their names."""
        return self._by_name.items()

    def update(self, heap: Heap, new_order: str = "=") -> dict[str, Item]:
        """Takes over a received heap: its descriptors, then its values.

        Items that were not described are ignored, with a warning.

        Parameters
        ----------
        heap
            The heap, which must be complete.
        new_order
            What byte order elements are converted to; see :meth:`Item.set_from_raw`.

        Returns
        -------
        The items that have a new value, by name. Their versions grew by two.

        Raises `ValueError` if a descriptor makes no sense or a value is too short; what came before
        it in the heap has been taken over.
        """
        updated = update_items(self, heap, new_order)
        if updated is not None:
            return updated
        self._add_descriptors(heap)
        updated = {}
        for raw_item in heap.get_items():
            # Those up to stream control are no items of the user's.
            if raw_item.id <= STREAM_CTRL_ID:
                continue
            item = self._by_id.get(raw_item.id)
            if item is None:
                self._warn_of_unknown(raw_item.id)
                continue
            item.set_from_raw(raw_item, new_order)
            item.version += 1
            updated[item.name] = item
        return updated

    def _add_descriptors(self, heap: Heap) -> None:
        for raw_descriptor in heap.get_descriptors():
            self._add_item(Item.from_raw(raw_descriptor, heap.flavour))

    def _add_item(self, item: Item) -> None:
        same_id = self._by_id.get(item.id)
        if same_id is not None and same_id._is_same(item):
            if item.value is not None:
                same_id.value = item.value
            return
        replaced = [old for old in (same_id, self._by_name.get(item.name)) if old is not None]
        if replaced:
            _logger.info("Descriptor replacement for ID %#x, name %s", item.id, item.name)
        for old in replaced:
            item.version = max(item.version, old.version + 1)
            self._remove_item(old)
        self._by_id[item.id] = item
        self._by_name[item.name] = item

    def _remove_item(self, item: Item) -> None:
        self._by_id.pop(item.id, None)
        self._by_name.pop(item.name, None)

    @staticmethod
    def _warn_of_unknown(id: int) -> None:
        _logger.warning("Item with ID %#x received but there is no descriptor", id)
