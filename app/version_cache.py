"""Answers that were made before, for as long as their series stays as it is."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

from .site_catalogue import SitePlace


class VersionCache:
    """Values by site and key, forgotten when the site's series changes or the sizes add up to too much.

    Args:
        most: The largest sum of sizes.
        size: The size of a value, such as `len` for bytes; by default 1.
    """

    def __init__(self, most: int, size: Callable[[Any], int] = lambda _: 1) -> None:
        self._most, self._size = most, size
        self._lock = threading.Lock()
        self._values: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._total = 0

    def get(self, place: SitePlace, key: Hashable, make: Callable[[], Any]) -> Any:
        """A value, made where it is not held. Two threads may make the same one at once.

        Args:
            place: The site.
            key: The key of the value among those of the site.
            make: Makes the value.
        """
        whole = (place.id, place.version, key)
        with self._lock:
            if whole in self._values:
                self._values.move_to_end(whole)
                return self._values[whole][0]
        value = make()
        size = self._size(value)
        with self._lock:
            if size <= self._most and whole not in self._values:
                self._values[whole] = value, size
                self._total += size
            while self._total > self._most:
                _, (_, freed) = self._values.popitem(last=False)
                self._total -= freed
        return value
