"""The dataset card: what the dataset is, its configs for `load_dataset`, its statistics and one picture."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from euromine.support.markdown import escaped
from euromine.support.processing_levels import MEANINGS

from .label_groups import COMPONENT_CLASSES
from .site_facts import MATERIALS, MINE_TYPES
from .splits import sites_beyond_release

DESCRIPTION = (
    "Ten years (2015-2024) of 10-band Sentinel-2 imagery and expert mine footprints for sites in 14 EU "
    "countries, to map mining footprints and their changes."
)
HOMEPAGE = "https://doi.org/10.14278/rodare.4656"
LICENSE = "cc-by-4.0"
CITATION = """\
@article{yu2026eurominenet,
  title   = {EuroMineNet: A multitemporal Sentinel-2 benchmark for spatiotemporal mining footprint
             analysis in the European Union (2015-2024)},
  author  = {Yu, Weikang and Nwazelibe, Vincent and Ma, Xianping and Zhang, Xiaokang and
             Gloaguen, Richard and Zhu, Xiao Xiang and Ghamisi, Pedram},
  journal = {ISPRS Journal of Photogrammetry and Remote Sensing},
  year    = {2026},
  doi     = {10.1016/j.isprsjprs.2026.04.046},
  note    = {Data: https://doi.org/10.14278/rodare.4656}
}"""

CARD_NAME, PICTURE_NAME = "README.md", "years.png"
_PICTURE_YEARS = 6
_OUTLINE = (255, 221, 0)
_MARGIN, _CAPTION = 4, 14


def write_card(
    path: Path,
    *,
    files: Mapping[str, Sequence[str]],
    statistics: Mapping[str, Any],
    bands: Sequence[str],
    simulated: bool,
    content: str,
) -> None:
    """Write the card.

    Args:
        path: The README.md to write.
        files: Config -> the splits that have rows, the default config first.
        statistics: As in `statistics.json`.
        bands: Names of the bands, in the order of the image.
        simulated: Whether the imagery is simulated; the card then begins with a warning.
        content: A hash of the rows. `load_dataset` identifies a local folder by its name and the configs in
            its card alone, and would otherwise serve another dataset's rows from its cache.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown: the template escapes the names of sites and countries
    )
    environment.filters["escaped"] = escaped
    images = sum(split["images"] for split in statistics["splits"].values())
    text = environment.get_template("dataset_card.md.jinja").render(
        citation=CITATION,
        description=DESCRIPTION,
        homepage=HOMEPAGE,
        license=LICENSE,
        files=files,
        bands=bands,
        content=content,
        own_sites=[] if simulated else sites_beyond_release(statistics["sites"]),
        level_meaning=MEANINGS.get(statistics["level"] or ""),
        simulated=simulated,
        picture=PICTURE_NAME,
        images=images,
        size_category=_size_category(images),
        **(_component_entries(statistics["components"]) if "components" in statistics else {}),
        **statistics,
    )
    path.write_text(text, encoding="utf-8")


def _component_entries(components: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of the template about components that `statistics.json` does not hold."""
    together = components["together"]
    overlaps: dict[str, list[str]] = {}
    for first, name in enumerate(COMPONENT_CLASSES):
        overlaps[name] = []
        for second, other in enumerate(COMPONENT_CLASSES):
            rarer = min(together[first][first], together[second][second])
            if first != second and together[first][second]:
                overlaps[name].append(f"{other} ({100 * together[first][second] / rarer:.1f} %)")
    return {
        "component_overlaps": overlaps,
        "total_component_pixels": sum(each["total_pixels"] for each in components["splits"].values()),
        "mine_types_named": ", ".join(MINE_TYPES),
        "materials_named": ", ".join(MATERIALS),
    }


def draw_picture(
    rows: Sequence[tuple[str, Sequence[tuple[int, bytes, NDArray[np.uint8]]]]],
) -> bytes:
    """Patches through the years, their footprints outlined, as PNG.

    Args:
        rows: One `(caption, [(year, quicklook JPEG, label (160, 160) uint8), ...])` per patch, at least one.
    """
    rows = [(caption, _spread(years, _PICTURE_YEARS)) for caption, years in rows]
    side = rows[0][1][0][2].shape[0]
    width = max(len(years) for _, years in rows) * (side + _MARGIN) + _MARGIN
    height = len(rows) * (side + _CAPTION + _MARGIN) + _MARGIN
    picture = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for row, (caption, years) in enumerate(rows):
        top = _MARGIN + row * (side + _CAPTION + _MARGIN)
        for column, (year, quicklook, label) in enumerate(years):
            left = _MARGIN + column * (side + _MARGIN)
            draw.text((left, top), f"{caption} {year}", fill="black")
            picture.paste(_outlined(quicklook, label), (left, top + _CAPTION))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _outlined(quicklook: bytes, label: NDArray[np.uint8]) -> Image.Image:
    """The quicklook with the inner border of the footprint drawn on it."""
    pixels = np.array(Image.open(io.BytesIO(quicklook), formats=["JPEG"]).convert("RGB"))
    mine = np.pad(label == 1, 1, mode="edge")
    inside = mine[:-2, 1:-1] & mine[2:, 1:-1] & mine[1:-1, :-2] & mine[1:-1, 2:]
    pixels[mine[1:-1, 1:-1] & ~inside] = _OUTLINE
    return Image.fromarray(pixels)


def _spread(years: Sequence[Any], number: int) -> list[Any]:
    """At most `number` of the years, evenly, the first and the last among them."""
    positions = np.unique(np.linspace(0, len(years) - 1, min(number, len(years))).round().astype(int))
    return [years[position] for position in positions]


def _size_category(images: int) -> str:
    """The Hub's name for a number of rows."""
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
    return next((name for limit, name in limits if images < limit), "100K<n<1M")
