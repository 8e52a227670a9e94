"""JSON records as frozen dataclasses: validated when they are read, unchanged when they are written back.

    @dataclass(frozen=True, kw_only=True)
    class Facts:
        steps: int
        class_name: str = json_field("class")
        seed: int | None = None

    facts = read_record(Facts, folder / "facts.json")

A dataclass is a JSON object with one key per field, in the order of the fields. Fields may be strings,
numbers, booleans, `None`, literals, lists, tuples, dictionaries with string keys, dataclasses, unions of
these, and `Any` for what is kept unchecked.

- A field without a default has to be there; one with a default may be missing, as in older records.
- Keys that no field names are ignored, so a record of a later version stays readable.
- Integers are accepted where a float is declared and are kept as they are. Booleans are not numbers.
- NaN and infinity, which JSON does not have, are read and written as null.
- Even unchecked values are nested at most 64 deep, their integers have at most 64 bits, and their texts can
  be encoded as UTF-8.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import RecordError, with_advice
from .files import read_bytes, without_nan, write_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")

_KEY = "json_key"
_LONGEST_VALUE = 60
_LARGEST_RECORD = 64 * 2**20
_DEEPEST = 64
_SCALARS: dict[Any, tuple[type | tuple[type, ...], str]] = {
    str: (str, "a string"),
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    types.NoneType: (types.NoneType, "null"),
}


def json_field(key: str, **options: Any) -> Any:
    """A dataclass field whose key in the record is no Python name, such as "class".

    Args:
        key: The key.
        options: Those of `dataclasses.field`.
    """
    return field(metadata={_KEY: key}, **options)


def read_record(kind: type[Record], path: Path, *, advice: str = "") -> Record:
    """Read a record from a JSON file.

    Args:
        kind: The record's dataclass.
        path: The file.
        advice: A sentence for the end of an error message: what mends a damaged file.

    Raises:
        RecordError: The file is not JSON, lacks a field or holds a value of another type. Also for a pipe or
            device, whose bytes may never come or never end, and for a file too large to be a record.
        OSError: The file cannot be read; `FileNotFoundError` where there is none.
    """
    record: Record = read_values(kind, path, advice=advice)
    return record


def record_from_bytes(kind: type[Record], data: bytes, source: str, *, advice: str = "") -> Record:
    """Read a record from the bytes of a JSON file.

    Args:
        kind: The record's dataclass.
        data: UTF-8 text.
        source: The file's name in an error message.
        advice: As for `read_record`.

    Raises:
        RecordError: As for `read_record`.
    """
    record: Record = values_from_bytes(kind, data, source, advice=advice)
    return record


def record_from(kind: type[Record], document: Any, source: str, *, advice: str = "") -> Record:
    """Build a record from parsed JSON.

    Args:
        kind: The record's dataclass.
        document: What `json.loads` returns.
        source: The file's name in an error message.
        advice: As for `read_record`.

    Raises:
        RecordError: A field is missing or holds a value of another type; or a value is too large, too deep,
            or not Unicode.
    """
    record: Record = _checked(kind, document, source, advice)
    return record


def read_values(kind: Any, path: Path, *, advice: str = "") -> Any:
    """Read a JSON file whose root is no record, such as `dict[str, int]`.

    Args:
        kind: The type of the whole document.
        path: The file.
        advice: As for `read_record`.

    Raises:
        RecordError: As for `read_record`.
        OSError: As for `read_record`.
    """
    return values_from_bytes(kind, read_bytes(path, _LARGEST_RECORD, RecordError), str(path), advice=advice)


def values_from_bytes(kind: Any, data: bytes, source: str, *, advice: str = "") -> Any:
    """The document of a JSON file whose root is no record.

    Args:
        kind: As for `read_values`.
        data: The file's bytes.
        source: Its path, for errors.
        advice: As for `read_record`.

    Raises:
        RecordError: As for `read_record`.
    """
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise RecordError(
            with_advice(f"{source}: found text that is not JSON ({reason}); expected a JSON object.", advice)
        ) from None
    return _checked(kind, document, source, advice)


def record_to_json(record: DataclassInstance) -> dict[str, Any]:
    """A record as JSON: objects, lists and scalars, with the keys in the order of the fields."""
    values: dict[str, Any] = _to_json(record)
    return values


def write_record(path: Path, record: DataclassInstance) -> None:
    """Write a record as a JSON file, at once: a reader finds the old file or the new one."""
    write_json(path, record_to_json(record))


def as_stored(record: Record) -> Record:
    """The record that a reader of its file gets: plain JSON values, with null for NaN and infinity."""
    text = json.dumps(without_nan(record_to_json(record)), default=str)
    return record_from(type(record), json.loads(text), type(record).__name__)


def _checked(kind: Any, document: Any, source: str, advice: str) -> Any:
    try:
        _check_plain(document)
        return _fitted(kind, document, "")
    except _MisfitError as misfit:
        raise RecordError(
            with_advice(f"{source}: found {misfit.found}; expected {misfit.expected}.", advice)
        ) from None


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {_key(each): _to_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(entry) for entry in value]
    return value


class _MisfitError(Exception):
    """A value that does not fit its field; `found` and `expected` in words."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found, expected)
        self.found = found
        self.expected = expected


def _finite(text: str) -> float | None:
    """A number as Python reads it; None for one too large for a float, which Python takes for infinite."""
    number = float(text)
    return number if math.isfinite(number) else None


def _check_plain(document: Any) -> None:
    """Refuse values that no reader expects and that other libraries choke on, wherever they stand.

    Raises:
        _MisfitError: A value is nested too deeply, an integer too large, or a text not Unicode.
    """
    level, depth = [document], 0
    while level:
        if depth > _DEEPEST:
            raise _MisfitError(f"more than {_DEEPEST} levels", "a record")
        below: list[Any] = []
        for value in level:
            if isinstance(value, Mapping):
                below += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                below += value
            elif isinstance(value, str):
                if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
                    raise _MisfitError(f"{_value_in_words(value)}, which is no Unicode", "a text")
            elif isinstance(value, int) and not -(2**63) <= value < 2**64:
                raise _MisfitError(f"the number {_value_in_words(value)}", "at most 64 bits")
        level, depth = below, depth + 1


def _fitted(kind: Any, value: Any, where: str) -> Any:
    """A value as its declared type; `where` is its place in the record, such as `training.steps`."""
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where)
    if kind in _SCALARS:
        accepted, _ = _SCALARS[kind]
        fits = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    else:
        origin, members = get_origin(kind), get_args(kind)
        if origin is Literal:
            fits = any(value == member and type(value) is type(member) for member in members)
        elif origin in (Union, types.UnionType):
            return _one_of(kind, members, value, where)
        else:
            return _collection(kind, origin, members, value, where)
    if not fits:
        raise _misfit(kind, value, where)
    return value


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise _misfit(kind, value, where)
    arguments = {}
    for each, declared in _fields(kind):
        key = _key(each)
        place = f"{where}.{key}" if where else key
        if key in value:
            arguments[each.name] = _fitted(declared, value[key], place)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise _MisfitError(f"no {place}", _words(declared))
    return kind(**arguments)


def _one_of(kind: Any, members: Sequence[Any], value: Any, where: str) -> Any:
    """The first member of a union that fits. With one besides null, an error names the place inside it."""
    if value is None and types.NoneType in members:
        return None
    others = [member for member in members if member is not types.NoneType]
    if len(others) == 1 and isinstance(value, Mapping | list) and others[0] not in _SCALARS:
        return _fitted(others[0], value, where)
    for member in others:
        try:
            return _fitted(member, value, where)
        except _MisfitError:
            continue
    raise _misfit(kind, value, where)


def _collection(kind: Any, origin: Any, members: tuple[Any, ...], value: Any, where: str) -> Any:
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _misfit(kind, value, where)
        _, entry_kind = members
        return {str(key): _fitted(entry_kind, entry, f"{where}.{key}") for key, entry in value.items()}
    if origin not in (list, Sequence, tuple):
        raise TypeError(f"{where}: found the type {kind}; expected one that a JSON record can hold.")
    if not isinstance(value, list | tuple):
        raise _misfit(kind, value, where)
    if origin is not tuple:
        return _entries(members * len(value), value, where)
    if len(members) == 2 and members[1] is ...:
        return tuple(_entries(members[:1] * len(value), value, where))
    if len(members) != len(value):
        raise _MisfitError(f"{len(value)} entries in {where}", str(len(members)))
    return tuple(_entries(members, value, where))


def _entries(kinds: Sequence[Any], values: Sequence[Any], where: str) -> list[Any]:
    return [
        _fitted(kind, entry, f"{where}[{place}]")
        for place, (kind, entry) in enumerate(zip(kinds, values, strict=True))
    ]


@cache
def _fields(kind: type[DataclassInstance]) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    """The fields that are set from outside, each with its declared type."""
    hints = get_type_hints(kind)
    return tuple((each, hints[each.name]) for each in dataclasses.fields(kind) if each.init)


def _key(each: dataclasses.Field[Any]) -> str:
    return str(each.metadata.get(_KEY, each.name))


def _misfit(kind: Any, value: Any, where: str) -> _MisfitError:
    found = _value_in_words(value)
    return _MisfitError(f"{found} in {where}" if where else found, _words(kind))


def _value_in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _words(kind: Any) -> str:
    """A declared type in words."""
    if kind in _SCALARS:
        return _SCALARS[kind][1]
    origin, members = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _joined(json.dumps(member) for member in members)
    if origin in (Union, types.UnionType):
        return _joined(map(_words, members))
    if kind is Any:
        return "a value"
    return "a list" if origin in (list, Sequence, tuple) else "an object"


def _joined(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last
