"""The map: the latest image with the footprints of all years, and when ground was first mined."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from itertools import chain

import numpy as np

from euromine.monitoring.history.file_names import PERMIT_OUTLINES, PERMITS_POLYGONS
from euromine.monitoring.history.permits import MINED
from euromine.monitoring.mapping import colours
from euromine.support.errors import MissingExtraError
from euromine.support.geopackages import require_geopandas

from .cartography import MapFrame, Tick
from .coloured_maps import ColouredMap, change_map, first_year_map
from .pictures import data_uri, footprint_outline, quicklook, thinned_size
from .report_data import ReportData
from .svg_paths import geometry_path

logger = logging.getLogger(__name__)

# Longest side of the map in pixels; it is shown at half of it or less.
_LONGEST_SIDE = 1024
# Largest width and height of a map on the screen, in rem.
_MAX_WIDTH, _MAX_HEIGHT = 40.0, 36.0
# Lower on paper, so that it fits on the first page.
_PAPER_HEIGHT = 20.0
# More outlines than these hide one another: the first, the last and some between are shown at first.
_SHOWN_OUTLINES = 4
# Ticks closer to a corner than this share of the edge would collide.
_CORNER = 0.08


@dataclass(frozen=True)
class Surround:
    """Size and frame of a map, for the page's style.

    Attributes:
        aspect: Height in per cent of the width.
        max_width: Largest width on a screen, rem.
        paper_width: Largest width on paper, rem.
        north: Direction of true north, degrees clockwise from up.
        north_words: The same in words.
        scale_width: Length of the scale bar in per cent of the width.
        scale_label: Its length on the ground.
        x_ticks: Longitudes along the lower edge.
        y_ticks: Latitudes along the left edge.
    """

    aspect: float
    max_width: float
    paper_width: float
    north: float
    north_words: str
    scale_width: float
    scale_label: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]


@dataclass(frozen=True)
class Outline:
    """The footprint of a year over the map.

    Attributes:
        year: The year.
        path: The `d` of an SVG path.
        colour: Such as "#ffd23f".
        shown: Whether it is shown at first.
    """

    year: int
    path: str
    colour: str
    shown: bool


@dataclass(frozen=True)
class ImageMap:
    """The latest image with outlines over it.

    Attributes:
        picture: The image as a `data:` URI.
        alt: Its text alternative.
        caption: Its caption.
        columns: Width of the coordinates that paths are written in.
        rows: Their height.
        stroke: Width of a line in these coordinates.
        outlines: The footprints.
        outside: Mined ground outside the permits, the `d` of an SVG path; "" without.
        permits: The permits, the same.
    """

    picture: str
    alt: str
    caption: str
    columns: int
    rows: int
    stroke: float
    outlines: list[Outline]
    outside: str
    permits: str


@dataclass(frozen=True)
class MapSection:
    """Content of the section.

    Attributes:
        surround: Of both maps.
        image: The latest image.
        coloured: The second map; None where only one year has an image.
        last_year: The latest year.
    """

    surround: Surround
    image: ImageMap
    coloured: ColouredMap | None
    last_year: int


def map_section(data: ReportData) -> MapSection:
    """Both maps and their frame."""
    size = thinned_size(data, _LONGEST_SIDE)
    colour_map = first_year_map if data.has_footprints else change_map
    return MapSection(
        surround=surround(data.frame),
        image=_image_map(data, size),
        coloured=colour_map(data, size),
        last_year=data.last_year,
    )


def surround(frame: MapFrame) -> Surround:
    """The surround of a map with this frame."""
    aspect = frame.ground_height / frame.ground_width
    bar = frame.scale_bar()
    return Surround(
        aspect=round(100 * aspect, 3),
        max_width=round(min(_MAX_WIDTH, _MAX_HEIGHT / aspect), 2),
        paper_width=round(min(_MAX_WIDTH, _PAPER_HEIGHT / aspect), 2),
        north=round(frame.north, 1),
        north_words=_north_words(frame.north),
        scale_width=round(100 * bar.share, 2),
        scale_label=bar.label,
        x_ticks=_inner_ticks(frame.longitude_ticks(2)),
        y_ticks=_inner_ticks(frame.latitude_ticks(2)),
    )


def _north_words(north: float) -> str:
    if abs(north) < 5:
        return "up"
    return f"{abs(north):.0f} degrees {'clockwise' if north > 0 else 'anticlockwise'} from up"


def _inner_ticks(ticks: list[Tick]) -> list[Tick]:
    return [
        Tick(round(tick.position, 4), tick.label) for tick in ticks if _CORNER < tick.position < 1 - _CORNER
    ]


def _image_map(data: ReportData, size: tuple[int, int]) -> ImageMap:
    columns, rows = size
    outlines = _outlines(data, size) if data.has_footprints else []
    outside, permits = _permit_paths(data, size)
    image = f"Satellite image of {data.last_year}"
    return ImageMap(
        picture=data_uri(quicklook(data, data.last_year), "JPEG"),
        alt=f"{image} with the outlines of the mapped footprints" if outlines else image,
        caption=f"{image} with the mapped footprints by year." if outlines else f"{image}.",
        columns=columns,
        rows=rows,
        stroke=round(columns / 300, 2),
        outlines=outlines,
        outside=outside,
        permits=permits,
    )


def _outlines(data: ReportData, size: tuple[int, int]) -> list[Outline]:
    count = len(data.years)
    shown = set(np.linspace(0, count - 1, min(count, _SHOWN_OUTLINES)).round().astype(int).tolist())
    return [
        Outline(
            year=year,
            path=footprint_outline(data, year, size),
            colour=colours.year_colour(place / max(count - 1, 1)),
            shown=place in shown,
        )
        for place, year in enumerate(data.years)
    ]


def _permit_paths(data: ReportData, size: tuple[int, int]) -> tuple[str, str]:
    """Mined ground outside the permits in the last year, and the permits, as paths over the map."""
    names = (PERMITS_POLYGONS, PERMIT_OUTLINES)
    if not all((data.folder.path / name).exists() for name in names):
        return "", ""
    try:
        require_geopandas()
    except MissingExtraError as error:
        logger.warning("The map does not show the permits: %s", error)
        return "", ""
    manifest, (columns, rows) = data.manifest, size
    scale = columns / manifest.width, rows / manifest.height
    mined = data.folder.outline_parts(PERMITS_POLYGONS, {"year": data.last_year, "kind": MINED})
    outside = geometry_path(chain.from_iterable(mined), manifest.transform, scale)
    permits = data.folder.read_polygons(PERMIT_OUTLINES).geometry
    return outside, geometry_path(permits, manifest.transform, scale)
