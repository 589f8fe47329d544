"""`HeapGenerator` and `ItemGroup`: heaps to send, made of items."""

import weakref
from typing import Literal

from .._descriptor import Descriptor
from .._item import Item
from .._item_group import ItemGroup as _ItemGroup
from .._speadway import Flavour
from .._speadway.send import Heap

_Which = Literal["stale", "all", "none"]
_WHICH = ("stale", "all", "none")


class _Sent:
    """What was sent of an item."""

    def __init__(self, item: Item) -> None:
        self.item = weakref.ref(item)
        self.version: int | None = None
        self.described: int | None = None
        """The number of the heap that described it last."""


class HeapGenerator:
    """Makes heaps of the items of a group: those that changed since the last heap.

    Parameters
    ----------
    item_group
        The items.
    descriptor_frequency
        Every how many heaps an item is described again, for receivers that join later; `None` is
        once only.
    flavour
        The flavour of the heaps.
    """

    def __init__(
        self,
        item_group: _ItemGroup | None,
        descriptor_frequency: int | None = None,
        flavour: Flavour = Flavour(),
    ) -> None:
        self._item_group = item_group
        self._descriptor_frequency = descriptor_frequency
        self._flavour = flavour
        self._heaps = 0
        self._sent: dict[int, _Sent] = {}

    def add_to_heap(self, heap: Heap, descriptors: _Which = "stale", data: _Which = "stale") -> Heap:
        """Adds items to a heap, and returns it.

        Parameters
        ----------
        heap
            The heap, whose flavour must be that of the generator.
        descriptors
            Which descriptors: `"stale"`, those that were not sent yet, or `descriptor_frequency`
            heaps ago; `"all"`; or `"none"`.
        data
            Which values: `"stale"`, those set since they were sent; `"all"`; or `"none"`. Items
            without a value are left out.
        """
        _check("descriptors", descriptors)
        _check("data", data)
        for item in self._items_to_send().values():
            sent = self._sent.setdefault(item.id, _Sent(item))
            if descriptors == "all" or descriptors == "stale" and self._is_stale(item, sent):
                heap.add_descriptor(item)
                sent.described = self._heaps
            if item.value is None:
                continue
            if data == "all" or data == "stale" and sent.version != item.version:
                heap.add_item(item)
                sent.version = item.version
        self._heaps += 1
        return heap

    def get_heap(self, descriptors: _Which = "stale", data: _Which = "stale") -> Heap:
        """A heap with items; for the arguments see :meth:`add_to_heap`."""
        return self.add_to_heap(Heap(self._flavour), descriptors, data)

    def get_start(self) -> Heap:
        """A heap that says that a stream starts."""
        heap = Heap(self._flavour)
        heap.add_start()
        return heap

    def get_end(self) -> Heap:
        """A heap that says that the stream ends."""
        heap = Heap(self._flavour)
        heap.add_end()
        return heap

    def _items_to_send(self) -> _ItemGroup:
        assert self._item_group is not None
        return self._item_group

    def _is_stale(self, item: Item, sent: _Sent) -> bool:
        """Whether to describe an item (again). One that was replaced is sent again, too."""
        if sent.described is None:
            return True
        frequency = self._descriptor_frequency
        if frequency is not None and self._heaps - sent.described >= frequency:
            return True
        if sent.item() is item:
            return False
        sent.item = weakref.ref(item)
        sent.version = None
        return True


class ItemGroup(_ItemGroup, HeapGenerator):
    """Items, and the heaps to send them in.

    Parameters are `descriptor_frequency` and `flavour`, as :class:`HeapGenerator` has them.
    """

    def __init__(
        self, descriptor_frequency: int | None = None, flavour: Flavour = Flavour()
    ) -> None:
        _ItemGroup.__init__(self)
        # It is its own group, but must not refer to itself: it could not be freed at once.
        HeapGenerator.__init__(self, None, descriptor_frequency, flavour)

    def _items_to_send(self) -> _ItemGroup:
        return self


def _check(name: str, which: str) -> None:
    if which not in _WHICH:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, _WHICH))}")
