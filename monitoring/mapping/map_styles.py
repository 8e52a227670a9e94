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
from numpy.typing import NDArray

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

# Diverging about 0, told apart by colour-blind readers (Brewer's PRGn and BrBG, colorbrewer2.org).
_PLANTS = ("762a83", "9970ab", "c2a5cf", "e7d4e8", "f7f7f7", "d9f0d3", "a6dba0", "5aae61", "1b7837")
_MOISTURE = ("8c510a", "bf812d", "dfc27d", "f6e8c3", "f5f5f5", "c7eae5", "80cdc1", "35978f", "01665e")
# Bare ground and turbid water, high where plants and clear water are low.
_REVERSED = {"bsi": _PLANTS, "ndti": _MOISTURE}
_WATER_INDICES = ("ndwi", "mndwi", "ndmi")
# Ratios of bands, about 1 on most ground.
_RATIOS, _MOST_RATIO = ("iron_oxide", "ferrous"), 3.0


def index_style(name: str) -> MapStyle:
    """The style of a spectral index: from -1 to 1, of ratios of bands from 0 to 3.

    Args:
        name: A name among `spectral_indices.INDICES`.
    """
    if name in _RATIOS:
        shares = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
        return MapStyle(ramp=tuple((share * _MOST_RATIO, _year(share)) for share in shares))
    colours = _MOISTURE if name in _WATER_INDICES else _PLANTS
    colours = _REVERSED[name][::-1] if name in _REVERSED else colours
    values = np.linspace(-1, 1, len(colours)).tolist()
    return MapStyle(ramp=tuple(zip(values, map(_rgb, colours), strict=True)))


def ramp_colours(style: MapStyle, count: int) -> NDArray[np.uint8]:
    """Colours of amounts in equal steps from the least to the most: (count, 3)."""
    values = [value for value, _ in style.ramp]
    anchors = np.asarray([colour for _, colour in style.ramp], np.float64)
    steps = np.linspace(values[0], values[-1], count)
    channels = [np.interp(steps, values, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _rgb(text: str) -> Colour:
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


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
