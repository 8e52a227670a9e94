"""Classes and their values in a raster of components, and names with a meaning of their own."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euromine.dataset_script.label_groups import plain_name
from euromine.support.errors import AnnotationError
from euromine.support.near_names import nearest_name
from euromine.support.strict_documents import read_document

IGNORED_NAMES = frozenset({"ignore", "ignored", "unknown", "unsure", "uncertain", "void", "nodata"})
"""Classes of ground that counts neither as mine nor as other: 255 in labels."""

BACKGROUND_NAMES = frozenset({"background", "other", "no_mine", "not_mine"})
"""Classes of ground that is no mine: such a shape cuts a hole into those below."""

_LARGEST_VALUE = 254
_EXAMPLE = '{"excavation": 1, "dumping_ground": 2}'
# Distinct on satellite imagery and from each other, in this order for classes without a colour of their own.
_PALETTE = (
    *("#e6194b", "#3cb44b", "#ffe119", "#4363d8", "#f58231", "#911eb4"),
    *("#46f0f0", "#f032e6", "#bcf60c", "#008080", "#9a6324", "#808000"),
)
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


def is_ignored(name: str) -> bool:
    """Whether a class means ground to ignore."""
    return plain_name(name) in IGNORED_NAMES


def is_background(name: str) -> bool:
    """Whether a class means ground that is no mine."""
    return plain_name(name) in BACKGROUND_NAMES


@dataclass(frozen=True)
class LabelClasses:
    """The classes of components.

    Attributes:
        source: The file they come from.
        values: Name -> value, 1 to 254, in the order of the file. Names may share a value.
        colours: Name -> colour, such as "#e6194b".
    """

    source: str
    values: dict[str, int]
    colours: dict[str, str]

    def name(self, label: str) -> str:
        """The class of a label, found without regard to case, blanks and dashes.

        Raises:
            AnnotationError: There is no such class.
        """
        by_name = {plain_name(name): name for name in self.values}
        found = by_name.get(plain_name(label))
        if found is None:
            near = nearest_name(plain_name(label), by_name)
            hint = "" if near is None else f", or rename it if it is {by_name[near]!r}"
            raise AnnotationError(
                f"{self.source}: found no class {label!r}, which the annotations use; expected all of "
                f"theirs. Add the class{hint}."
            )
        return found

    def check(self, labels: Iterable[str]) -> None:
        """Refuse labels without a class.

        Raises:
            AnnotationError: A label has none.
        """
        for label in labels:
            if not (is_ignored(label) or is_background(label)):
                self.name(label)


def read_label_classes(path: Path) -> LabelClasses:
    """Read classes from a JSON or YAML file.

    The file maps names to values, or to objects with `value` and `color`; or it lists names, whose values
    are then 1, 2 and so on.

    Raises:
        AnnotationError: The file is something else, a value is out of range, or a name is not usable.
        OSError: The file cannot be read.
    """
    document = read_document(path, f"names and values, such as {_EXAMPLE}", AnnotationError)
    if isinstance(document, Mapping) and set(document) == {"classes"}:
        document = document["classes"]
    if isinstance(document, list) and all(isinstance(name, str) for name in document):
        if len(set(document)) < len(document):
            raise AnnotationError(f"{path}: found a class twice; expected each once.")
        document = {name: place for place, name in enumerate(document, 1)}
    if not isinstance(document, Mapping) or not document:
        raise AnnotationError(f"{path}: found no classes; expected names and values, such as {_EXAMPLE}.")
    values: dict[str, int] = {}
    colours: dict[str, str] = {}
    for place, (name, given) in enumerate(document.items()):
        name = str(name)
        fields = given if isinstance(given, Mapping) else {"value": given}
        value = _value(name, fields.get("value"), path)
        if other := next((each for each, known in values.items() if known == value), None):
            raise AnnotationError(
                f"{path}: found the value {value} for {other} and for {name}; expected one value each, as "
                "their ground could not be told apart afterwards."
            )
        values[name] = value
        colours[name] = _colour(name, fields.get("color", _PALETTE[place % len(_PALETTE)]), path)
    _check_names(values, path)
    return LabelClasses(str(path), values, colours)


def _value(name: str, value: Any, path: Path) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST_VALUE:
        raise AnnotationError(
            f"{path}: found {reprlib.repr(value)} as the value of {name}; expected a whole number of 1 to "
            f"{_LARGEST_VALUE}. 0 is ground without a class, 255 ground to ignore."
        )
    return value


def _colour(name: str, colour: Any, path: Path) -> str:
    if not isinstance(colour, str) or not _COLOUR.fullmatch(colour):
        raise AnnotationError(
            f"{path}: found {reprlib.repr(colour)} as the color of {name}; expected one such as #e6194b."
        )
    return colour


def _check_names(values: Mapping[str, int], path: Path) -> None:
    seen: dict[str, str] = {}
    for name in values:
        plain = plain_name(name)
        if not plain or is_ignored(name) or is_background(name):
            raise AnnotationError(
                f"{path}: found the class {name!r}, which has a meaning of its own in annotations; expected "
                "another name."
            )
        if plain in seen:
            raise AnnotationError(f"{path}: found {seen[plain]!r} and {name!r}; expected each class once.")
        seen[plain] = name
