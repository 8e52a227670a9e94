"""The styles of maps in a GIS: names and colours of classes, in the GeoTIFF and in a file beside it.

The style is a QGIS layer style (.qml), which QGIS applies by itself to a layer of the same name.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from euromine.dataset_script.label_groups import ANY_COMPONENT, COMPONENT_COLOURS
from euromine.support.files import write_text

from .colours import GAIN, LOSS, UNDIRECTED, Colour, hex_colour, year_colours

_OTHER_GROUND: Colour = (238, 236, 230)
_NO_DATA: Colour = (160, 160, 160)
_MINED: Colour = (195, 24, 79)
# The checksum shows whether the user has changed a style since.
_SIGNATURE = re.compile(r"<!-- Written by EuroMine, checksum ([0-9a-f]{8}) -->\n")
_LARGEST_STYLE = 2**20


@dataclass(frozen=True)
class MapClass:
    """A value of a map.

    Attributes:
        value: The number.
        name: Its meaning.
        colour: Red, green, blue.
        is_shown: Whether a GIS draws it; else the layers below show through.
    """

    value: int
    name: str
    colour: Colour
    is_shown: bool = True


@dataclass(frozen=True)
class MapStyle:
    """The style of a map.

    Attributes:
        classes: Its values; none in a map of amounts.
        ramp: Amounts with their colours, ascending, between which colours are interpolated.
    """

    classes: tuple[MapClass, ...] = ()
    ramp: tuple[tuple[float, Colour], ...] = ()

    @property
    def colour_table(self) -> dict[int, tuple[int, int, int, int]]:
        """Red, green, blue and opacity by value."""
        return {each.value: (*each.colour, 255) for each in self.classes}

    @property
    def names(self) -> dict[str, str]:
        """The classes' names as tags of the band, as GeoTIFF has no field for them."""
        return {f"CLASS_{each.value}": each.name for each in self.classes}


def _year(position: float) -> Colour:
    red, green, blue = (int(channel) for channel in year_colours(np.asarray(position)))
    return red, green, blue


FOOTPRINT = MapStyle(
    (
        MapClass(0, "not mined", _OTHER_GROUND, is_shown=False),
        MapClass(1, "mined", _MINED),
        MapClass(255, "no data", _NO_DATA, is_shown=False),
    )
)
CHANGE = MapStyle(
    (
        MapClass(0, "no change", _OTHER_GROUND, is_shown=False),
        MapClass(1, "gain", GAIN),
        MapClass(2, "loss", LOSS),
        MapClass(3, "change of unknown direction", UNDIRECTED),
        MapClass(255, "no data", _NO_DATA, is_shown=False),
    )
)
PROBABILITY = MapStyle(
    ramp=((0.0, _OTHER_GROUND), *((share, _year(share)) for share in (0.25, 0.5, 0.75, 1.0)))
)

WATER = MapStyle(
    (
        MapClass(0, "no water, or outside the mine", _OTHER_GROUND, is_shown=False),
        MapClass(1, "water within the mine", (30, 110, 200)),
        MapClass(255, "no data", _NO_DATA, is_shown=False),
    )
)
RECLAMATION = MapStyle(
    (
        MapClass(0, "mined, or never mined", _OTHER_GROUND, is_shown=False),
        MapClass(1, "recovered", (27, 120, 55)),
        MapClass(2, "recovering", (150, 205, 135)),
        MapClass(3, "stalled", (178, 82, 43)),
        MapClass(4, "undecided", (150, 120, 190)),
        MapClass(255, "no data", _NO_DATA, is_shown=False),
    )
)


def years_style(years: Iterable[int], *, never: int, unknown: int) -> MapStyle:
    """The style of a map of years, light to dark from the oldest to the newest.

    Args:
        years: The years.
        never: The value of ground that was never mined.
        unknown: The value of ground without data in any year.
    """
    ordered = sorted(years)
    last = max(len(ordered) - 1, 1)
    return MapStyle(
        (
            MapClass(never, "never mined", _OTHER_GROUND, is_shown=False),
            *(MapClass(year, str(year), _year(place / last)) for place, year in enumerate(ordered)),
            MapClass(unknown, "no data", _NO_DATA, is_shown=False),
        )
    )


def component_style(classes: Sequence[str]) -> MapStyle:
    """The style of a map of components.

    Args:
        classes: Its components in the order of their values, from 1.
    """
    return MapStyle(
        (
            MapClass(0, "none", _OTHER_GROUND, is_shown=False),
            *(MapClass(value, name, component_colour(name)) for value, name in enumerate(classes, 1)),
            MapClass(255, "no data", _NO_DATA, is_shown=False),
        )
    )


def component_colour(name: str) -> Colour:
    """The colour of a component class, or of any component."""
    if name == ANY_COMPONENT:
        return _MINED
    red, green, blue = bytes.fromhex(COMPONENT_COLOURS[name].removeprefix("#"))
    return red, green, blue


def style_path(path: Path) -> Path:
    """The style beside a map."""
    return path.with_suffix(".qml")


def write_style(path: Path, style: MapStyle) -> Path | None:
    """Write the style beside a map, unless there is one that EuroMine did not write or a user changed.

    Returns:
        The style's file; None where the user's own was left.

    Raises:
        OSError: The file cannot be written.
    """
    target = style_path(path)
    if target.exists() and not is_own_style(target):
        return None
    write_text(target, _signed(_document(style)))
    return target


def is_own_style(path: Path) -> bool:
    """Whether a style is as EuroMine wrote it."""
    if not path.is_file() or path.stat().st_size > _LARGEST_STYLE:
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    found = _SIGNATURE.search(text)
    return found is not None and found[1] == _checksum(_SIGNATURE.sub("", text))


def _signed(document: str) -> str:
    first, _, rest = document.partition("\n")
    return f"{first}\n<!-- Written by EuroMine, checksum {_checksum(document)} -->\n{rest}"


def _checksum(text: str) -> str:
    return f"{zlib.crc32(text.encode()):08x}"


def _document(style: MapStyle) -> str:
    return f"""<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28" styleCategories="Symbology">
  <pipe>
{_classes(style) if style.classes else _amounts(style)}
    <brightnesscontrast brightness="0" contrast="0" gamma="1"/>
    <huesaturation saturation="0" grayscaleMode="0"/>
    <rasterresampler maxOversampling="2"/>
  </pipe>
  <blendMode>0</blendMode>
</qgis>
"""


def _classes(style: MapStyle) -> str:
    entries = "\n".join(
        f'        <paletteEntry value="{each.value}" label={quoteattr(each.name)} '
        f'color="{hex_colour(each.colour)}" alpha="{255 if each.is_shown else 0}"/>'
        for each in style.classes
    )
    return f"""    <rasterrenderer type="paletted" band="1" opacity="1" alphaBand="-1" nodataColor="">
      <colorPalette>
{entries}
      </colorPalette>
    </rasterrenderer>"""


def _amounts(style: MapStyle) -> str:
    (least, _), *_, (most, _) = style.ramp
    entries = "\n".join(
        f'          <item value="{value:g}" label="{value:g}" color="{hex_colour(colour)}" alpha="255"/>'
        for value, colour in style.ramp
    )
    return f"""    <rasterrenderer type="singlebandpseudocolor" band="1" opacity="1" alphaBand="-1"
        nodataColor="" classificationMin="{least:g}" classificationMax="{most:g}">
      <rastershader>
        <colorrampshader colorRampType="INTERPOLATED" classificationMode="1" clip="0"
            minimumValue="{least:g}" maximumValue="{most:g}">
{entries}
        </colorrampshader>
      </rastershader>
    </rasterrenderer>"""
