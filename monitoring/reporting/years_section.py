"""Years in pictures: a small image of each year with its footprint."""

from __future__ import annotations

from dataclasses import dataclass

from .formatting import hectares, listed, percent
from .map_section import surround
from .pictures import data_uri, footprint_outline, quicklook, thinned_size
from .report_data import ReportData

# Longest side of a picture in pixels; it is shown at half of it or less.
_LONGEST_SIDE = 360
_NATURAL_COLOUR = ["B04", "B03", "B02"]


@dataclass(frozen=True)
class YearPicture:
    """The image of a year.

    Attributes:
        year: The year.
        picture: The image as a `data:` URI; None where there is none.
        alt: Its text alternative.
        path: The outline of the footprint, the `d` of an SVG path; "" without footprints.
        area: Mined hectares; "" without footprints.
        note: How much of the scene has data, where not all of it has.
    """

    year: int
    picture: str | None = None
    alt: str = ""
    path: str = ""
    area: str = ""
    note: str = ""


@dataclass(frozen=True)
class YearsSection:
    """Content of the section.

    Attributes:
        pictures: One for each year, also for years that were asked for and have no image.
        columns: Width of the coordinates that outlines are written in.
        rows: Their height.
        stroke: Width of an outline in these coordinates.
        aspect: Height of a picture in per cent of its width.
        note: Which bands the pictures show.
    """

    pictures: list[YearPicture]
    columns: int
    rows: int
    stroke: float
    aspect: float
    note: str


def years_section(data: ReportData) -> YearsSection:
    """A picture of each year, and a gap for a year without an image."""
    columns, rows = size = thinned_size(data, _LONGEST_SIDE)
    return YearsSection(
        pictures=[
            _year_picture(data, year, size) if year in data.years else YearPicture(year)
            for year in sorted({*data.years, *data.manifest.missing_years})
        ],
        columns=columns,
        rows=rows,
        stroke=round(columns / 110, 2),
        aspect=surround(data.frame).aspect,
        note=_note(data),
    )


def _year_picture(data: ReportData, year: int, size: tuple[int, int]) -> YearPicture:
    image = quicklook(data, year)
    image.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    picture, alt = data_uri(image, "JPEG"), f"Satellite image of {year}"
    if not data.has_footprints:
        return YearPicture(year, picture, alt)
    found = data.areas[year]
    area = hectares(found.area_ha)
    return YearPicture(
        year=year,
        picture=picture,
        alt=f"{alt}; {area} ha are mapped as mined",
        path=footprint_outline(data, year, size),
        area=area,
        note=f"{percent(found.known_share)} of the scene has data" if found.known_share < 0.995 else "",
    )


def _note(data: ReportData) -> str:
    bands = data.manifest.scenes[0].quicklook_bands
    images = "Images in natural colour"
    if len(bands) == 1:
        images = f"Images of band {bands[0]} in grey"
    elif bands != _NATURAL_COLOUR:
        images = f"Images of bands {listed(bands)} in red, green and blue"
    outline = ", with the mapped footprint outlined" if data.has_footprints else ""
    return (
        f"{images}{outline}. The contrast of each image is stretched separately, so colours cannot be "
        "compared between years."
    )
