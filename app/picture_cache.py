"""Pictures that were made before, kept up to a number of bytes; each is made once, however many ask."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

USUAL_BYTES = 64 * 2**20


class _Making:
    """A value on its way: those who wait for it, and the error instead of it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None


class PictureCache:
    """The values used last, up to a number of bytes; whoever asks for one that is being made waits for it.

    Args:
        most_bytes: The size of all values, at most. A larger one is made, but not kept.
    """

    def __init__(self, most_bytes: int = USUAL_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._making: dict[Hashable, _Making] = {}
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """The size of all values."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T], size: Callable[[T], int] = len) -> T:  # type: ignore[assignment]
        """The value of a key, made if it is not there.

        Args:
            key: Stands for everything that the value depends on.
            make: Makes it. Its error reaches all who wait, and the next one tries again.
            size: The value's size in bytes.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
            making, is_ours = self._making.get(key), False
            if making is None:
                making, is_ours = self._making.setdefault(key, _Making()), True
        if is_ours:
            return self._made(key, making, make, size)
        making.done.wait()
        if making.error is not None:
            raise making.error
        return making.value

    def _made(self, key: Hashable, making: _Making, make: Callable[[], T], size: Callable[[T], int]) -> T:
        try:
            value = make()
            making.value = value
            self._keep(key, value, size(value))
            return value
        except BaseException as error:
            making.error = error
            raise
        finally:
            with self._lock:
                del self._making[key]
            making.done.set()

    def _keep(self, key: Hashable, value: Any, size: int) -> None:
        if size > self.most_bytes:
            return
        with self._lock:
            self._held[key] = (value, size)
            self._bytes += size
            while self._bytes > self.most_bytes:
                _, (_, freed) = self._held.popitem(last=False)
                self._bytes -= freed
