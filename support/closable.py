"""A base for objects that hold files or connections until the end of a `with` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class Closable(ABC):
    """An object that a `with` statement closes, whether or not its block raises."""

    @abstractmethod
    def close(self) -> None:
        """Give up what it holds; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
