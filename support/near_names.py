"""The known name that a person may have meant, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# difflib's default: "damm" finds dam, and "moat" finds nothing among the component classes.
_LIKELY = 0.6


def nearest_names(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names most like another, the most similar first; empty if none is like it.

    Args:
        name: The name that was found.
        known: The names that were expected.
        most: The largest number of names.
    """
    return difflib.get_close_matches(name, list(known), n=most, cutoff=_LIKELY)


def nearest_name(name: str, known: Iterable[str], likeness: float = _LIKELY) -> str | None:
    """The known name most like another, if any is like it.

    Args:
        name: The name that was found.
        known: The names that were expected.
        likeness: difflib's ratio from which a name is like another, 0 to 1. Pass another only where more than
            a hint depends on it.
    """
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return near[0] if near else None


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """The end of a list of expected names, such as ", of which dam is the nearest"; "" if none is like it."""
    near = nearest_name(name, known)
    return "" if near is None else f", of which {near} is the nearest"
