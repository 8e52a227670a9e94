"""Legends of land-cover rasters: ESA WorldCover, CORINE Land Cover, and the user's own."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from euromine.support.errors import DataError
from euromine.support.files import read_bytes
from euromine.support.strict_documents import RepeatedKeyError, unrepeated

_LARGEST_FILE = 2**20
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class LandCoverClass:
    """A class of a land-cover raster.

    Attributes:
        code: Its official code, or its number in the raster.
        name: Its name.
        colour: Such as "#006400"; "" without.
    """

    code: str
    name: str
    colour: str = ""


@dataclass(frozen=True)
class LandCoverLegend:
    """The classes of a land-cover raster.

    Attributes:
        product: The product's name; "" for a raster of the user's own.
        classes: The class of each number.
        nodata: Numbers without a class.
        attribution: The source that must be named; "{year}" stands for the year; "" if unknown.
    """

    product: str
    classes: Mapping[int, LandCoverClass]
    nodata: frozenset[int] = frozenset()
    attribution: str = ""
    name_pattern: str = field(default="", repr=False)

    def year_in(self, name: str) -> int | None:
        """The year that a file's name gives by the product's own rule; None if it has another name."""
        found = re.search(self.name_pattern, name) if self.name_pattern else None
        return int(found[1]) if found else None


def _classes(text: str) -> dict[int, LandCoverClass]:
    """Lines of a number, a code, a colour and a name."""
    found = {}
    for line in text.strip().splitlines():
        number, code, colour, name = line.split(None, 3)
        found[int(number)] = LandCoverClass(code, name, f"#{colour}")
    return found


# Codes, names and colours of the WorldCover product user manual.
WORLDCOVER = LandCoverLegend(
    "ESA WorldCover",
    _classes("""
        10 10 006400 Tree cover
        20 20 ffbb22 Shrubland
        30 30 ffff4c Grassland
        40 40 f096ff Cropland
        50 50 fa0000 Built-up
        60 60 b4b4b4 Bare / sparse vegetation
        70 70 f0f0f0 Snow and ice
        80 80 0064c8 Permanent water bodies
        90 90 0096a0 Herbaceous wetland
        95 95 00cf75 Mangroves
        100 100 fae6a0 Moss and lichen
    """),
    frozenset({0}),
    "© ESA WorldCover project {year} / Contains modified Copernicus Sentinel data ({year}) processed by ESA "
    "WorldCover consortium, CC BY 4.0",
    r"ESA_WorldCover_10m_(20\d\d)_v\d+",
)

# Numbers of the raster, codes, colours and names of the CORINE nomenclature.
_CORINE = _classes("""
    1 111 e6004d Continuous urban fabric
    2 112 ff0000 Discontinuous urban fabric
    3 121 cc4df2 Industrial or commercial units
    4 122 cc0000 Road and rail networks and associated land
    5 123 e6cccc Port areas
    6 124 e6cce6 Airports
    7 131 a600cc Mineral extraction sites
    8 132 a64d00 Dump sites
    9 133 ff4dff Construction sites
    10 141 ffa6ff Green urban areas
    11 142 ffe6ff Sport and leisure facilities
    12 211 ffffa8 Non-irrigated arable land
    13 212 ffff00 Permanently irrigated land
    14 213 e6e600 Rice fields
    15 221 e68000 Vineyards
    16 222 f2a64d Fruit trees and berry plantations
    17 223 e6a600 Olive groves
    18 231 e6e64d Pastures
    19 241 ffe6a6 Annual crops associated with permanent crops
    20 242 ffe64d Complex cultivation patterns
    21 243 e6cc4d Land principally occupied by agriculture, with significant areas of natural vegetation
    22 244 f2cca6 Agro-forestry areas
    23 311 80ff00 Broad-leaved forest
    24 312 00a600 Coniferous forest
    25 313 4dff00 Mixed forest
    26 321 ccf24d Natural grasslands
    27 322 a6ff80 Moors and heathland
    28 323 a6e64d Sclerophyllous vegetation
    29 324 a6f200 Transitional woodland-shrub
    30 331 e6e6e6 Beaches, dunes, sands
    31 332 cccccc Bare rocks
    32 333 ccffcc Sparsely vegetated areas
    33 334 000000 Burnt areas
    34 335 a6e6cc Glaciers and perpetual snow
    35 411 a6a6ff Inland marshes
    36 412 4d4dff Peat bogs
    37 421 ccccff Salt marshes
    38 422 e6e6ff Salines
    39 423 a6a6e6 Intertidal flats
    40 511 00ccf2 Water courses
    41 512 80f2e6 Water bodies
    42 521 00ffa6 Coastal lagoons
    43 522 a6ffe6 Estuaries
    44 523 e6f2ff Sea and ocean
""")

CORINE = LandCoverLegend(
    "CORINE Land Cover",
    # Rasters hold the numbers 1 to 44, rasterised vectors the codes themselves.
    {**_CORINE, **{int(each.code): each for each in _CORINE.values()}},
    frozenset({0, 48, 49, 50, 128, 255, 999, -128, -32768}),
    "© European Union, Copernicus Land Monitoring Service {year}, European Environment Agency (EEA)",
    r"(?:CLC|clc)_?((?:19|20)\d\d)",
)

LEGENDS = {"worldcover": WORLDCOVER, "corine": CORINE}
"""Built-in legends by the name for `--land-cover-legend`."""


def legend_of(raster: Path, legend: str | Path | None) -> LandCoverLegend:
    """The legend of a land-cover raster: the one given, else that of the product in the file's name.

    Args:
        raster: The raster.
        legend: "worldcover", "corine", or a file for `read_legend`; None to go by the name.

    Raises:
        DataError: There is none, or the file is none.
    """
    if legend is not None and str(legend).lower() in LEGENDS:
        return LEGENDS[str(legend).lower()]
    if legend is not None:
        if not Path(legend).is_file():
            raise DataError(
                f"--land-cover-legend: found {legend}, neither a file nor a built-in legend; expected "
                f"{', '.join(LEGENDS)}, or a file with the columns value and name."
            )
        return read_legend(Path(legend))
    for known in LEGENDS.values():
        if known.year_in(raster.name) is not None:
            return known
    raise DataError(
        f"{raster}: found a land cover without a legend; expected the names of its classes. Give "
        f"--land-cover-legend {', '.join(LEGENDS)} or a file with the columns value and name."
    )


def read_legend(path: Path) -> LandCoverLegend:
    """Read a legend of the user's own.

    A CSV file has the columns `value`, `name` and perhaps `colour` (#rrggbb). A JSON file is an object of
    names by value, or has the keys `classes` (such an object), `attribution` and `nodata` (a list of values).

    Raises:
        DataError: It is neither, or a value has no name.
        OSError: It cannot be read.
    """
    try:
        text = read_bytes(path, _LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: found no UTF-8 text; expected a legend in CSV or JSON.") from None
    document = _json(text, path) if text.lstrip().startswith("{") else {"classes": _table(text, path)}
    if "classes" not in document:
        document = {"classes": document}
    classes = document["classes"]
    if not isinstance(classes, Mapping) or not classes:
        raise DataError(f"{path}: found no classes; expected at least one value with its name.")
    values = [_whole(value, path) for value in classes]
    if twice := [value for place, value in enumerate(values) if value in values[:place]]:
        raise DataError(f"{path}: found the value {twice[0]} twice; expected it once.")
    return LandCoverLegend(
        "",
        {
            value: _class(written, entry, path)
            for value, (written, entry) in zip(values, classes.items(), strict=True)
        },
        frozenset(_whole(value, path) for value in document.get("nodata") or ()),
        str(document.get("attribution") or "").replace("{", "(").replace("}", ")"),
    )


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text, object_pairs_hook=unrepeated)
    except RepeatedKeyError as error:
        raise DataError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: found broken JSON ({error}); expected names by value.") from None
    return document if isinstance(document, dict) else {}


def _table(text: str, path: Path) -> dict[str, Any]:
    head = text.partition("\n")[0]
    # Spreadsheets in most of Europe write semicolons.
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if ";" in head and "," not in head else ",")
    columns = [name.strip().lower() for name in rows.fieldnames or ()]
    if not {"value", "name"} <= set(columns):
        raise DataError(
            f"{path}: found the columns {', '.join(columns) or 'none'}; expected value, name and perhaps "
            "colour."
        )
    found = {}
    for row in rows:
        by_column = dict(zip(columns, row.values(), strict=False))
        value = str(by_column["value"] or "").strip()
        if value in found:
            raise DataError(f"{path}: found the value {value} twice; expected it once.")
        found[value] = [by_column["name"], by_column.get("colour")]
    return found


def _class(value: Any, entry: Any, path: Path) -> LandCoverClass:
    name, colour = entry if isinstance(entry, list) and len(entry) == 2 else (entry, None)
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{path}: found no name for the value {value}; expected one.")
    colour = str(colour or "").strip()
    if colour and not _COLOUR.fullmatch(colour):
        raise DataError(f"{path}: found the colour {colour!r} for {value}; expected one such as #1f7a3d.")
    return LandCoverClass(str(value), name.strip(), colour)


def _whole(value: Any, path: Path) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: found the value {value!r}; expected a whole number, as in the raster."
        ) from None
