"""Component classes of a mine as bits of a pixel, and groups of them as maps of one class a pixel.

The classes are MineCam's, Jablonska et al., Remote Sensing 2024, 16(6), 955, doi:10.3390/rs16060955.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError, DataError
from euromine.support.near_names import nearest_hint
from euromine.support.strict_documents import read_document

COMPONENT_CLASSES = (
    "preparatory_works",
    "excavation",
    "dumping_ground",
    "stockpile",
    "settling_pond",
    "infrastructure",
    "dam",
    "tailings_storage_facility",
    "outcrop",
    "overburden",
    "production_slope",
    "transport_slope",
)
"""The twelve component classes; class i is bit i of a pixel."""

COMPONENT_COLOURS = {
    "preparatory_works": "#f4d58d",
    "excavation": "#c1440e",
    "dumping_ground": "#8d6e63",
    "stockpile": "#37474f",
    "settling_pond": "#29b6f6",
    "infrastructure": "#e040fb",
    "dam": "#1a237e",
    "tailings_storage_facility": "#80cbc4",
    "outcrop": "#6b8e23",
    "overburden": "#ffa000",
    "production_slope": "#ff8a65",
    "transport_slope": "#c6ff00",
}
"""A colour of each class for maps and legends."""

NOT_ANNOTATED = 15
"""Bit of a pixel of which nothing is known."""

UNKNOWN_CLASSES = 16
"""Bit 16 + i, in wider integers than files hold, of a pixel for which class i is unknown."""

UNKNOWN = 255
"""The value of unknown ground in the map of a group."""

ANY_COMPONENT = "any component"
"""The one class of the total."""

# Pixels whose indices take little memory.
_PATCHES = 2**20

_KEYS = ("groups", "total", "note")
_GROUP_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_EXAMPLE = '{"groups": {"deposits": ["dumping_ground", "stockpile"]}, "total": "transformed_area"}'

# Ours: the paper publishes that it has four disjoint sets and the total, and not which.
_PRESET = {
    "ground": ("preparatory_works", "excavation"),
    "rock": ("outcrop", "overburden", "production_slope", "transport_slope"),
    "deposits": ("dumping_ground", "stockpile"),
    "facilities": ("infrastructure", "tailings_storage_facility", "settling_pond", "dam"),
}
_PRESET_TOTAL = "transformed_area"


def plain_name(name: str) -> str:
    """A class's name in lower case with underscores: "Dumping ground" -> "dumping_ground"."""
    return re.sub(r"[\s_-]+", "_", name.strip()).casefold()


def component_class(name: str, source: str, error_class: type[DataError] = DataError) -> str:
    """The component class of a name, found without regard to case, blanks and dashes.

    Args:
        name: Such as "Dumping ground".
        source: The file or argument that holds it, for the error.
        error_class: The error to raise.

    Raises:
        DataError: (`error_class`) There is no such class; the message names one that is like it.
    """
    plain = plain_name(name)
    if plain not in COMPONENT_CLASSES:
        hint = nearest_hint(plain, COMPONENT_CLASSES)
        raise error_class(
            f"{source}: found the class {reprlib.repr(name)}; expected a component class{hint}. The classes "
            f"are {', '.join(COMPONENT_CLASSES)}."
        )
    return plain


@dataclass(frozen=True)
class LabelGroups:
    """Groups of component classes, each a map with one class a pixel.

    Classes overlap, for example a dumping ground inside an excavation; within a group the later class wins.

    Attributes:
        groups: Name -> component classes of each group. A class is in one group at most.
        total: Name of the group of any component at all, the total transformed area; None without it.
    """

    groups: Mapping[str, tuple[str, ...]]
    total: str | None = None

    def __post_init__(self) -> None:
        """Check the groups, and put class names in their plain form.

        Raises:
            DataError: A class is unknown or named twice, a group is empty, or a name cannot be used.
        """
        object.__setattr__(self, "groups", _checked_groups(self.groups, self.total, "label_groups"))

    @classmethod
    def preset(cls) -> Self:
        """Four groups and the total: our reading of the paper, which does not publish its label sets."""
        return cls(_PRESET, _PRESET_TOTAL)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Read groups from a JSON or YAML file with `groups`, and optionally `total` and a `note`.

        Raises:
            DataError: The file is something else, or as for `from_dict`.
            OSError: The file cannot be read.
        """
        document = read_document(Path(path), f"groups of component classes, such as {_EXAMPLE}")
        return cls.from_dict(document, str(path))

    @classmethod
    def from_dict(cls, document: Any, source: str = "label_groups") -> Self:
        """The groups of a plain document, as `to_dict` makes it.

        Args:
            document: A mapping with `groups`, and optionally `total` and a `note`, which is not kept.
            source: Its file or argument, for errors.

        Raises:
            DataError: It is no such mapping, or a class is unknown or named twice, or a group is empty.
        """
        if not isinstance(document, Mapping):
            raise DataError(f"{source}: found {_kind(document)}; expected a mapping such as {_EXAMPLE}.")
        for key in document:
            if key not in _KEYS:
                hint = nearest_hint(str(key), _KEYS)
                raise DataError(
                    f"{source}: found the key {reprlib.repr(key)}; expected {', '.join(_KEYS[:-1])} or "
                    f"{_KEYS[-1]}{hint}."
                )
        groups, total = document.get("groups"), document.get("total")
        return cls(_checked_groups(groups, total, source), total)

    def to_dict(self) -> dict[str, Any]:
        """The groups as plain JSON, for configs."""
        return {"groups": {name: list(classes) for name, classes in self.groups.items()}, "total": self.total}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the maps in their order; the total is the last."""
        return tuple(self.classes)

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Name -> classes of each map, whose values begin at 1. The total has `ANY_COMPONENT`."""
        total = {} if self.total is None else {self.total: (ANY_COMPONENT,)}
        return {**self.groups, **total}

    def maps(self, bits: NDArray[Any], annotated: Iterable[str] | None = None) -> NDArray[np.uint8]:
        """The map of each group.

        Args:
            bits: Integers (..., height, width): bit i for class i, `NOT_ANNOTATED`, and in types of 32 bits
                `UNKNOWN_CLASSES` + i.
            annotated: The classes that annotators drew; all by default. The others are unknown.

        Returns:
            uint8 (groups, ..., height, width): 0 none, n the n-th class of the group, and 255 where nothing
            is known or a class of the group is unknown. A known component settles the total.

        Raises:
            ArgumentError: A bit has no meaning.
            DataError: A class in `annotated` is unknown.
        """
        low, unknown = _parts(bits)
        missing = _bits_of_unknown(annotated)
        maps = np.empty((len(self.names), *bits.shape), np.uint8)
        # NumPy would convert a patch's indices for each group.
        index = low.astype(np.intp) if low.size <= _PATCHES else low
        for place, members in enumerate([*self._members(), *([None] if self.total else [])]):
            np.take(_lookup(members, missing), index, out=maps[place])
            if unknown is not None:
                hidden = (unknown & np.uint16(_class_bits(members))) > 0
                if members is None:
                    hidden &= maps[place] == 0
                maps[place][hidden] = UNKNOWN
        return maps

    def bits(self, maps: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """The classes of maps as bits, for `ComponentIoU` and for writing: the way back, as far as it goes.

        Args:
            maps: uint8 (groups, ..., height, width), as `maps` makes it. The total adds no class.

        Returns:
            uint16 (..., height, width); `NOT_ANNOTATED` where every group is unknown.

        Raises:
            ArgumentError: There are other groups, or a value has no class.
        """
        if maps.ndim < 1 or len(maps) != len(self.names):
            raise ArgumentError(
                f"maps: found the shape {maps.shape}; expected ({len(self.names)}, ..., height, width) for "
                f"{', '.join(self.names)}."
            )
        bits = np.zeros(maps.shape[1:], np.uint16)
        for (name, classes), values in zip(self.classes.items(), maps, strict=True):
            table = np.zeros(UNKNOWN + 1, np.uint16)
            if name != self.total:
                table[1 : len(classes) + 1] = [1 << COMPONENT_CLASSES.index(each) for each in classes]
            if values.size and (beyond := values[(values > len(classes)) & (values != UNKNOWN)]).size:
                raise ArgumentError(
                    f"maps: found the value {beyond[0]} in {name}; expected 0 to {len(classes)}, or "
                    f"{UNKNOWN}."
                )
            bits |= table[values]
        bits[(maps == UNKNOWN).all(axis=0)] = 1 << NOT_ANNOTATED
        return bits

    def _members(self) -> list[tuple[int, ...]]:
        return [tuple(map(COMPONENT_CLASSES.index, classes)) for classes in self.groups.values()]


def annual_label(bits: NDArray[Any], annotated: Iterable[str] | None = None) -> NDArray[np.uint8]:
    """The label of a year derived from its components: the total transformed area.

    Args:
        bits: As for `LabelGroups.maps`.
        annotated: As for `LabelGroups.maps`.

    Returns:
        uint8 (..., height, width): 1 with any component; 0 without, where every class was annotated; else
        255, as an undrawn class may lie there.

    Raises:
        ArgumentError: A bit has no meaning.
        DataError: A class in `annotated` is unknown.
    """
    label: NDArray[np.uint8] = LabelGroups({}, _PRESET_TOTAL).maps(bits, annotated)[0]
    return label


def _parts(bits: NDArray[Any]) -> tuple[NDArray[np.uint16], NDArray[np.uint16] | None]:
    """The sixteen bits of files, and those of unknown classes where the type holds them."""
    bits = np.asarray(bits)
    if bits.dtype.kind not in "iu":
        raise ArgumentError(
            f"bits: found the type {bits.dtype}; expected integers with a bit for each class."
        )
    classes = (1 << len(COMPONENT_CLASSES)) - 1
    allowed = classes | 1 << NOT_ANNOTATED | classes << UNKNOWN_CLASSES
    found = int(np.bitwise_or.reduce(bits, axis=None)) if bits.size else 0
    if bits.dtype == np.int16:
        found &= 0xFFFF
    if found < 0:
        raise ArgumentError(f"bits: found negative numbers of the type {bits.dtype}; expected uint16.")
    if found & ~allowed:
        raise ArgumentError(
            f"bits: found {bit_names(found & ~allowed)}; expected bits 0 to {len(COMPONENT_CLASSES) - 1}, "
            f"one for each class, and {NOT_ANNOTATED} for ground that nobody annotated."
        )
    low = (bits & bits.dtype.type(0xFFFF)) if bits.dtype.itemsize > 2 else bits
    unknown = (bits >> UNKNOWN_CLASSES).astype(np.uint16) if found >> UNKNOWN_CLASSES else None
    return low.astype(np.uint16, copy=False), unknown


def bit_names(bits: int) -> str:
    """Such as "bits 12 and 13"."""
    places = [str(place) for place in range(bits.bit_length()) if bits >> place & 1]
    return f"bit{'s' if len(places) > 1 else ''} {' and '.join(places)}"


def _bits_of_unknown(annotated: Iterable[str] | None) -> int:
    """The classes that were not annotated, as bits."""
    if annotated is None:
        return 0
    known = {component_class(name, "annotated") for name in annotated}
    return sum(1 << place for place, name in enumerate(COMPONENT_CLASSES) if name not in known)


def _class_bits(members: tuple[int, ...] | None) -> int:
    return (1 << len(COMPONENT_CLASSES)) - 1 if members is None else sum(1 << each for each in members)


@lru_cache(maxsize=256)
def _lookup(members: tuple[int, ...] | None, missing: int) -> NDArray[np.uint8]:
    """The value of each combination of bits in the map of a group; of the total without `members`."""
    values = np.arange(1 << 16, dtype=np.uint32)
    table = np.zeros(1 << 16, np.uint8)
    if members is None:
        if missing:
            table[:] = UNKNOWN
        table[(values & _class_bits(None)) > 0] = 1
    else:
        for value, member in enumerate(members, 1):
            table[(values >> member & 1) > 0] = value
        if missing & _class_bits(members):
            table[:] = UNKNOWN
    table[(values >> NOT_ANNOTATED & 1) > 0] = UNKNOWN
    table.setflags(write=False)
    return table


def _checked_groups(groups: Any, total: Any, source: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(groups, Mapping):
        raise DataError(
            f"{source}: found {_kind(groups)} as groups; expected names and lists of classes, such as "
            f"{_EXAMPLE}."
        )
    if not groups and total is None:
        raise DataError(f"{source}: found no group; expected at least one, such as {_EXAMPLE}.")
    if total is not None:
        _check_group_name(total, source)
    if total in groups:
        raise DataError(f"{source}: found {total} as a group and the total; expected two names.")
    checked: dict[str, tuple[str, ...]] = {}
    owners: dict[str, str] = {}
    for name, classes in groups.items():
        _check_group_name(name, source)
        if isinstance(classes, str) or not isinstance(classes, Iterable) or isinstance(classes, Mapping):
            raise DataError(
                f"{source}: found {_kind(classes)} as the group {name}; expected a list of classes."
            )
        checked[name] = tuple(_group_class(each, name, source) for each in classes)
        if not checked[name]:
            raise DataError(f"{source}: found the group {name} empty; expected at least one class in it.")
        for each in checked[name]:
            if each in owners:
                where = f" in {name}" if owners[each] == name else f", in {owners[each]} and in {name}"
                raise DataError(
                    f"{source}: found the class {each} twice{where}; expected each class once. Remove one."
                )
            owners[each] = name
    return checked


def _group_class(name: Any, group: str, source: str) -> str:
    if not isinstance(name, str):
        raise DataError(f"{source}: found {_kind(name)} in the group {group}; expected names of classes.")
    return component_class(name, source)


def _check_group_name(name: Any, source: str) -> None:
    # Groups name files.
    if not isinstance(name, str) or not _GROUP_NAME.fullmatch(name):
        raise DataError(
            f"{source}: found {reprlib.repr(name)} as the name of a group; expected lower-case letters, "
            "digits and underscores, such as deposits."
        )


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, list | tuple) else reprlib.repr(value)
