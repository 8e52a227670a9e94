"""The picture of a simulated site in the documentation: natural colour, components and radar over the years.

python -m euromine.benchmark.component_picture docs/images/components.png
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from euromine.dataset_script.cells import QUICKLOOK_BANDS
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, COMPONENT_COLOURS
from euromine.simulation.simulated_site import SimulatedSite, simulate_site
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A strip mine with every class in it, cut to its ground.
SITE, YEARS, SIZE, SEED = "Bulgaria_10", (2015, 2019, 2024), (400, 520), 0
WINDOW = (slice(0, 370), slice(90, 520))

# Lower classes first: roads lie on slopes, and slopes in an excavation.
_ORDER = (
    *("excavation", "production_slope", "dumping_ground", "overburden", "infrastructure"),
    *("tailings_storage_facility", "settling_pond", "stockpile", "outcrop", "preparatory_works"),
    *("dam", "transport_slope"),
)
_STRIPE = 5
_RADAR_LIMITS = (-22.0, -5.0)
_KILOMETRE = 100


def natural_colour(image: NDArray[np.int16]) -> NDArray[np.uint8]:
    """B04, B03 and B02 (10, height, width), each stretched over its own 2nd to 98th percentile, as RGB."""
    bands = image[list(QUICKLOOK_BANDS)].astype(np.float32)
    low, high = np.percentile(bands, (1, 98.5), axis=(1, 2))[:, :, None, None]
    return np.moveaxis((np.clip((bands - low) / (high - low), 0, 1) ** 0.8 * 255).astype(np.uint8), 0, -1)


def component_colours(bits: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Components (height, width) as RGB, a dump inside an excavation in stripes of both."""
    colours = np.full((*bits.shape, 3), 244, np.uint8)
    there = {name: (bits >> place & 1) > 0 for place, name in enumerate(COMPONENT_CLASSES)}
    rows, columns = np.indices(bits.shape)
    stripe = (rows + columns) // 2 % _STRIPE > 0
    for name in _ORDER:
        where = there[name]
        if name == "dumping_ground":
            where = where & (stripe | ~there["excavation"])
        colours[where] = list(bytes.fromhex(COMPONENT_COLOURS[name].lstrip("#")))
    return colours


def draw(site: SimulatedSite, window: tuple[slice, slice]) -> bytes:
    """The picture as PNG.

    Args:
        site: A site with components and radar.
        window: Rows and columns to show.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    assert site.components is not None, "the site has components"
    assert site.radar is not None, "the site has radar"
    assert site.facts is not None, "a site with components has facts"
    figure = Figure(figsize=(2.95 * len(site.years) + 2.2, 9.6), layout="constrained", dpi=110)
    many = len(site.years)
    panels: Any = figure.subplots(3, many + 1, squeeze=False, width_ratios=[1] * many + [0.6])
    colour_bar = panels[2, many].inset_axes((0.0, 0.1, 0.08, 0.8))
    for column, year in enumerate(site.years):
        panels[0, column].imshow(natural_colour(site.images[column][(slice(None), *window)]))
        panels[0, column].set_title(year)
        panels[1, column].imshow(component_colours(site.components[column][window]), interpolation="nearest")
        radar = site.radar[column, 0][window] / 100
        shown = panels[2, column].imshow(
            radar, cmap="gray", vmin=_RADAR_LIMITS[0], vmax=_RADAR_LIMITS[1], interpolation="nearest"
        )
    for row, title in enumerate(("natural colour", "components", "radar, VV")):
        panels[row, 0].set_ylabel(title)
    for axes in panels[:, many]:
        axes.axis("off")
    for axes in panels[:, :many].flat:
        axes.set(xticks=[], yticks=[])
        # Columns are narrower on the ground than rows, as scenes lie in degrees.
        axes.set_aspect(1 / np.cos(np.radians(site.transform[5])))
    _draw_scale(panels[0, 0], site, window)
    patches = [
        Patch(facecolor=COMPONENT_COLOURS[name], edgecolor="0.4", linewidth=0.5, label=name.replace("_", " "))
        for name in COMPONENT_CLASSES
    ]
    panels[1, many].legend(handles=patches, loc="center left", frameon=False, borderaxespad=0)
    figure.colorbar(shown, cax=colour_bar, label="dB")
    figure.suptitle(
        f"A simulated {site.facts.mine_type} mine of {site.facts.material}; stripes: a dump in the excavation"
    )
    drawn, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png")
    # A palette makes it half as large.
    Image.open(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        buffer, "PNG", optimize=True
    )
    return buffer.getvalue()


def _draw_scale(axes: Axes, site: SimulatedSite, window: tuple[slice, slice]) -> None:
    """A bar of a kilometre."""
    from matplotlib.patheffects import withStroke

    length = _KILOMETRE / np.cos(np.radians(site.transform[5]))
    height, width = site.labels[0][window].shape
    left, row = 0.04 * width, 0.95 * height
    (bar,) = axes.plot([left, left + length], [row, row], color="white", linewidth=3, solid_capstyle="butt")
    text = axes.text(left + length / 2, row - 0.02 * height, "1 km", color="white", ha="center", va="bottom")
    for artist in (bar, text):
        artist.set_path_effects([withStroke(linewidth=4, foreground="black")])


def main() -> None:
    """Draw the picture."""
    parser = benchmark_parser("component_picture", __doc__)
    parser.add_argument("out", type=Path, help="the PNG to write")
    arguments = parser.parse_args()
    with reported_errors("component_picture"):
        height, width = SIZE
        site = simulate_site(
            SITE, years=YEARS, height=height, width=width, seed=SEED, components=True, radar=True
        )
        arguments.out.write_bytes(draw(site, WINDOW))


if __name__ == "__main__":
    main()
