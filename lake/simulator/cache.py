"""A cache bounded by bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Cache(Generic[Value]):
    """The values used last, as many as fit; always the newest one."""

    def __init__(self, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._limit_bytes = limit_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        if (known := self._values.get(key)) is not None:
            self._values.move_to_end(key)
            return known
        made = make()
        self._values[key] = made
        self._bytes += self._size_of(made)
        while self._bytes > self._limit_bytes and len(self._values) > 1:
            _, dropped = self._values.popitem(last=False)
            self._bytes -= self._size_of(dropped)
        return made

    def clear(self) -> None:
        self._values.clear()
        self._bytes = 0
