"""The layers of a site: images in several colours, indices, and maps of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from euromine.monitoring.history.file_names import (
    FIRST_YEAR,
    LAST_YEAR,
    RECLAMATION_MAP,
    change_name,
    component_name,
    index_name,
    probability_name,
    quicklook_name,
    water_name,
)
from euromine.monitoring.history.manifest import Manifest
from euromine.monitoring.mapping.colours import hex_colour
from euromine.monitoring.mapping.map_styles import (
    CHANGE,
    PROBABILITY,
    RECLAMATION,
    WATER,
    MapStyle,
    component_style,
    index_style,
    years_style,
)
from euromine.monitoring.mapping.map_values import NEVER, UNKNOWN_YEAR
from euromine.monitoring.scenes.spectral_indices import INDICES

from .app_errors import NotFound
from .mercator import MercatorGrid, native_zoom, site_grid
from .site_catalogue import SitePlace

IMAGE: Final = "image"
INDEX: Final = "index"
CLASS: Final = "class"
ALL_YEARS: Final = "all"
"""The year of a layer, or of outlines, without years: in addresses and in answers."""

QUICKLOOK = "quicklook"
COLOURS = {
    "natural": ("B04", "B03", "B02"),
    "false_colour": ("B08", "B04", "B03"),
    "swir": ("B12", "B8A", "B04"),
}
"""The bands of images by layer: red, green, blue."""

MOST_SIDE = 2048
"""Pixels on the longer side of a picture of a whole year."""

# A site a little larger loses less by a picture in fewer pixels than by hundreds of tiles.
_MOST_NATIVE = 2400
_JPEG, _PNG, _WEBP = "jpg", "png", "webp"
Year = int | str


@dataclass(frozen=True)
class Layer:
    """A layer of a site.

    Attributes:
        key: Its name in addresses, such as "natural" or "ndvi".
        kind: "image", "index" or "class".
        years: The years, pairs of years such as "2015-2019", or "all" for a layer without years.
        format: The suffix of its pictures: "jpg"; "webp" where a picture is not a full rectangle; "png".
        picture: Whether a picture of the whole site shows all of its pixels, or nearly; else tiles do.
        grid: The ground in Web Mercator, in pixels as large as the site's.
        style: The colours of its values; none of an image.
    """

    key: str
    kind: Literal["image", "index", "class"]
    years: tuple[Year, ...]
    format: str
    picture: bool
    grid: MercatorGrid
    style: MapStyle

    @property
    def legend(self) -> list[dict[str, Any]] | None:
        """Value, colour and label of each colour; None of an image."""
        if self.kind == IMAGE:
            return None
        if self.kind == INDEX:
            ramp = self.style.ramp
            return [{"value": value, "colour": hex_colour(colour), "label": None} for value, colour in ramp]
        return [
            {"value": each.value, "colour": hex_colour(each.colour), "label": each.name.replace("_", " ")}
            for each in self.style.classes
            if each.is_shown
        ]

    @property
    def range(self) -> list[float] | None:
        """The least and the greatest value that have colours of their own; None but of an index."""
        return [self.style.ramp[0][0], self.style.ramp[-1][0]] if self.kind == INDEX else None

    def to_dict(self) -> dict[str, Any]:
        """The layer as JSON values."""
        return {
            "key": self.key,
            "kind": self.kind,
            "years": list(self.years),
            "format": self.format,
            "picture": self.picture,
            "bounds": [round(degree, 7) for degree in self.grid.degrees],
            "size": [self.grid.width, self.grid.height],
            "max_zoom": native_zoom(self.grid),
            "legend": self.legend,
            "range": self.range,
        }


def layers_of(place: SitePlace) -> list[Layer]:
    """The layers of a site: images first, then indices, then maps.

    Args:
        place: The site.
    """
    manifest = place.series.manifest
    grid = site_grid(manifest)
    return [
        *_image_layers(place, grid),
        *_index_layers(manifest, grid),
        *_class_layers(manifest, grid),
    ]


def layer_of(place: SitePlace, key: str) -> Layer:
    """A layer by its name.

    Raises:
        NotFound: The site has none of this name.
    """
    layers = layers_of(place)
    for layer in layers:
        if layer.key == key:
            return layer
    known = ", ".join(layer.key for layer in layers) or "none"
    raise NotFound(f"layer: found {key[:40]!r}; expected one of this site's: {known}.")


def year_of(layer: Layer, text: str) -> Year:
    """The year of a layer that a text names.

    Raises:
        NotFound: The layer has no such year.
    """
    for year in layer.years:
        if str(year) == text:
            return year
    known = ", ".join(map(str, layer.years))
    raise NotFound(f"year: found {text[:40]!r}; expected one of {known} for {layer.key}.")


def pair_of(year: Year) -> tuple[int, int]:
    """The years of a pair such as "2015-2019"."""
    first, second = str(year).split("-")
    return int(first), int(second)


def _image_layers(place: SitePlace, grid: MercatorGrid) -> list[Layer]:
    manifest = place.series.manifest
    found = {scene.year: scene.bands for scene in manifest.scenes if place.image(scene.year) is not None}
    layers = []
    for key, bands in COLOURS.items():
        years = tuple(year for year, own in found.items() if {*bands} <= {*own})
        if years:
            layers.append(_layer(key, IMAGE, years, _image_format(manifest, years), grid, MapStyle()))
    natural = {*(layers[0].years if layers and layers[0].key == "natural" else ())}
    missing = [year for year in manifest.years if year not in natural]
    years = tuple(year for year in missing if quicklook_name(year) in manifest.files)
    if years:
        layers.append(_layer(QUICKLOOK, IMAGE, years, _image_format(manifest, ()), grid, MapStyle()))
    return layers


def _image_format(manifest: Manifest, years: Sequence[int]) -> str:
    """JPEG for images that fill their rectangle in Web Mercator; else a format with transparency."""
    a, b, _, d, _, _ = manifest.transform
    is_upright = not (b or d) and a > 0 and manifest.crs in ("EPSG:4326", "EPSG:3857")
    of_years = [scene for scene in manifest.scenes if scene.year in years]
    is_full = all(scene.known_share == 1.0 for scene in of_years)
    return _JPEG if is_upright and is_full else _WEBP


def _index_layers(manifest: Manifest, grid: MercatorGrid) -> list[Layer]:
    impact = manifest.settings.get("impact") or {}
    names = [name for name in INDICES if name in (impact.get("indices") or ())]
    years = _years_with(manifest, index_name)
    layers = [_layer(name, INDEX, years, _PNG, grid, index_style(name)) for name in names if years]
    probabilities = _years_with(manifest, probability_name)
    if probabilities:
        layers.append(_layer("probability", INDEX, probabilities, _PNG, grid, PROBABILITY))
    return layers


def _class_layers(manifest: Manifest, grid: MercatorGrid) -> list[Layer]:
    years_map = years_style(manifest.years, never=NEVER, unknown=UNKNOWN_YEAR)
    pairs = tuple(
        f"{first}-{second}"
        for first, second in manifest.pairs
        if change_name(first, second) in manifest.files
    )
    found: list[tuple[str, tuple[Year, ...], MapStyle]] = [
        ("first_year", _once(manifest, FIRST_YEAR), years_map),
        ("last_year", _once(manifest, LAST_YEAR), years_map),
        ("water", _years_with(manifest, water_name), WATER),
        ("reclamation", _once(manifest, RECLAMATION_MAP), RECLAMATION),
    ]
    for group, classes in manifest.component_groups.items():
        years = tuple(year for year in manifest.years if component_name(group, year) in manifest.files)
        found.append((f"components_{group}", years, component_style(classes)))
    found.append(("change", pairs, CHANGE))
    return [_layer(key, CLASS, years, _PNG, grid, style) for key, years, style in found if years]


def _layer(
    key: str,
    kind: Literal["image", "index", "class"],
    years: tuple[Year, ...],
    suffix: str,
    grid: MercatorGrid,
    style: MapStyle,
) -> Layer:
    is_whole = max(grid.width, grid.height) <= _MOST_NATIVE or key == QUICKLOOK
    return Layer(key, kind, years, suffix, is_whole, grid, style)


def _years_with(manifest: Manifest, name: Callable[[int], str]) -> tuple[Year, ...]:
    return tuple(year for year in manifest.years if name(year) in manifest.files)


def _once(manifest: Manifest, name: str) -> tuple[Year, ...]:
    return (ALL_YEARS,) if name in manifest.files else ()
