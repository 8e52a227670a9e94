"""Rasters of component classes in both of their encodings, read as bits."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArchiveError, with_advice
from euromine.support.rasters import check_blocks, open_raster, read_raster, shown

from .label_groups import COMPONENT_CLASSES, NOT_ANNOTATED, bit_names, component_class
from .label_headers import IGNORED_BIT, MARKED

# The values of rasters whose bits are ours already.
_OWN_VALUES = {name: value for value, name in enumerate(COMPONENT_CLASSES, 1)}

_EXPECTED = "one band, of uint16 with a bit for each class, or of uint8 with values and the tag CLASSES"


@dataclass(frozen=True)
class ComponentEncoding:
    """The meaning of a raster's values.

    Attributes:
        path: The raster, for errors.
        kind: "bits", where bit n - 1 is the class of value n, or "values".
        classes: The component classes that it may hold, which its annotators knew.
        values: The value of each of them.
    """

    path: str
    kind: Literal["bits", "values"]
    classes: tuple[str, ...]
    values: tuple[int, ...]

    def bits(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """The bits of `COMPONENT_CLASSES` and `NOT_ANNOTATED` for values of the raster, of any shape.

        Raises:
            ArchiveError: A value has no class.
        """
        self._check(values)
        if self.kind == "bits" and dict(zip(self.classes, self.values, strict=True)) == _OWN_VALUES:
            ignored = values & IGNORED_BIT > 0
            return np.where(ignored, np.uint16(1 << NOT_ANNOTATED), values)
        bits = np.zeros(values.shape, np.uint16)
        for name, value in zip(self.classes, self.values, strict=True):
            bit = np.uint16(1 << COMPONENT_CLASSES.index(name))
            bits |= bit * (values == value if self.kind == "values" else values >> (value - 1) & 1 > 0)
        ignored = values == MARKED if self.kind == "values" else values & IGNORED_BIT > 0
        bits[ignored] = 1 << NOT_ANNOTATED
        return bits

    def _check(self, values: NDArray[Any]) -> None:
        if self.kind == "values":
            others = np.setdiff1d(values, (0, MARKED, *self.values))
            found = f"the value {others[0]}" if others.size else ""
        else:
            known = IGNORED_BIT | sum(1 << (value - 1) for value in self.values)
            beyond = int(np.bitwise_or.reduce(values, axis=None)) & ~known if values.size else 0
            found = bit_names(beyond) if beyond else ""
        if found:
            first = 1 if self.kind == "bits" else 0  # bit n - 1 is the class of value n
            named = ", ".join(
                f"{value - first} {name}" for name, value in zip(self.classes, self.values, strict=True)
            )
            raise ArchiveError(f"{shown(self.path)}: found {found}; expected those of its classes ({named}).")


def component_encoding(dataset: Any, path: str) -> ComponentEncoding:
    """The encoding of an open raster of components.

    uint16 without tags has the bits of `COMPONENT_CLASSES`.

    Raises:
        ArchiveError: It is no such raster, or a class of its tags is no component class.
    """
    kinds: dict[str, Literal["bits", "values"]] = {"uint16": "bits", "uint8": "values"}
    kind = kinds.get(dataset.dtypes[0])
    tags = dataset.tags()
    if dataset.count != 1 or kind is None or tags.get("ENCODING", kind) != kind:
        stated = f" and the tag ENCODING={tags['ENCODING']}" if "ENCODING" in tags else ""
        found = f"{dataset.count} x {dataset.dtypes[0]}{stated}"
        raise ArchiveError(f"{shown(path)}: found {found}; expected components in {_EXPECTED}.")
    if "CLASSES" not in tags:
        if kind == "values":
            raise ArchiveError(f"{shown(path)}: found uint8 without the tag CLASSES; expected {_EXPECTED}.")
        return ComponentEncoding(path, kind, tuple(_OWN_VALUES), tuple(_OWN_VALUES.values()))
    values = _values(tags["CLASSES"], path, 15 if kind == "bits" else MARKED - 1)
    return ComponentEncoding(path, kind, tuple(values), tuple(values.values()))


def read_components(path: str | PathLike[str]) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """Read a whole raster of components.

    Args:
        path: A GeoTIFF such as `EuroMineNet/Kiruna/components/Year2021.tif`.

    Returns:
        The bits (height, width), and the classes that the raster may hold: the others are unknown there.

    Raises:
        ArchiveError: It cannot be read, or holds something else.
    """
    name = str(path)
    with ExitStack() as files:
        dataset = open_raster(name, files, ArchiveError)
        check_blocks(dataset, name, ArchiveError)
        encoding = component_encoding(dataset, name)
        window = ((0, dataset.height), (0, dataset.width))
        return encoding.bits(read_raster(dataset, name, window, ArchiveError)[0]), encoding.classes


def _values(text: str, path: str, largest: int) -> dict[str, int]:
    """The component classes of the tag CLASSES with their values."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    numbers = list(document.values()) if isinstance(document, dict) else []
    if not numbers or not all(type(number) is int and 1 <= number <= largest for number in numbers):
        raise ArchiveError(
            f"{shown(path)}: found a tag CLASSES that is no JSON of names and values of 1 to {largest}; "
            'expected one such as {"excavation": 1}.'
        )
    values: dict[str, int] = {}
    for name, number in document.items():
        try:
            plain = component_class(name, shown(path), ArchiveError)
        except ArchiveError as error:
            advice = "`euromine build --skip-components` leaves components out."
            raise ArchiveError(with_advice(str(error), advice)) from None
        if plain in values or number in values.values():
            raise ArchiveError(
                f"{shown(path)}: found {plain} or the value {number} twice in the tag CLASSES; expected each "
                "once."
            )
        values[plain] = number
    return values
