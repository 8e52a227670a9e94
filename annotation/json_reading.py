"""Parse JSON of unknown origin, and check its fields one by one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from euromine.support.errors import AnnotationError

_LARGEST_NUMBER = 1e300
_WORDS = {str: "text", int: "a whole number", float: "a number", list: "a list", dict: "an object"}


def parse_json(data: bytes, source: str) -> Any:
    """The values of a JSON document in UTF-8, UTF-16 or UTF-32.

    Raises:
        AnnotationError: It is not JSON.
    """
    try:
        return json.loads(data.decode("utf-8-sig") if data.startswith(b"\xef\xbb\xbf") else data)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise AnnotationError(
            f"{source}: found text that is not JSON ({reason}); expected a whole export."
        ) from None


def value_of(values: Any, key: str, kind: type, where: str, default: Any = None) -> Any:
    """A field of an object.

    Args:
        values: The object.
        key: The field.
        kind: str, int, float, list or dict; numbers are not booleans, and floats may be whole.
        where: The object, for messages.
        default: Value of a missing or null field; None for a required field.

    Raises:
        AnnotationError: It is no object, lacks the field, or the field holds something else.
    """
    if not isinstance(values, Mapping):
        raise AnnotationError(f"{where}: found {_shown(values)}; expected an object with {key}.")
    value: Any = values.get(key)
    if value is None and default is not None:
        return default
    if not (_is_number(value) if kind is float else isinstance(value, kind)) or (
        kind is int and isinstance(value, bool)
    ):
        found = f"no {key}" if key not in values else f"{_shown(value)} as {key}"
        raise AnnotationError(f"{where}: found {found}; expected {_WORDS[kind]}.")
    return float(value) if kind is float else value


def numbers_of(values: Any, number: int, key: str, where: str) -> list[float]:
    """A field that is a list of so many numbers.

    Raises:
        AnnotationError: It is something else.
    """
    found = value_of(values, key, list, where)
    if len(found) != number or not all(map(_is_number, found)):
        raise AnnotationError(f"{where}: found {_shown(found)} as {key}; expected {number} numbers.")
    return [float(each) for each in found]


def texts_of(values: Any) -> dict[str, str]:
    """The plain values of an object as text."""
    if not isinstance(values, Mapping):
        return {}
    return {
        str(key): str(value).lower() if isinstance(value, bool) else str(value)
        for key, value in values.items()
        if isinstance(value, str | int | float)
    }


def size_of(values: Any, key: str, where: str) -> tuple[int, int]:
    """A field that is the height and width of a picture.

    Raises:
        AnnotationError: It is something else.
    """
    height, width = numbers_of(values, 2, key, where)
    if not (height.is_integer() and width.is_integer()):
        raise AnnotationError(f"{where}: found {height:g} x {width:g} as {key}; expected whole pixels.")
    return int(height), int(width)


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) < _LARGEST_NUMBER  # neither infinite nor NaN, nor too large for a float


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
