"""Pictures of predictions: natural colour, reference, and where a network is right and wrong.

matplotlib is imported when a picture is drawn: it takes a second.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.modeling.bands import BANDS
from euromine.modeling.tasks import CHANGE_DETECTION

IGNORED = 255
# The paper's palette, and grey for unknown pixels.
TRUE_POSITIVE, TRUE_NEGATIVE = (255, 255, 255), (0, 0, 0)
FALSE_POSITIVE, FALSE_NEGATIVE = (255, 0, 0), (0, 255, 0)
UNKNOWN = (128, 128, 128)

_NATURAL_COLOUR = [BANDS.index(band) for band in ("B04", "B03", "B02")]
# The digital number that is shown white: sunlit bare rock.
_WHITE = 3000
# Patches in a picture of predictions, and patches of which those with the most to see are taken.
_EXAMPLES = 3
_CANDIDATES = 24


@dataclass(frozen=True)
class Panel:
    """One cell of a picture.

    Attributes:
        title: The text above it.
        image: uint8 (height, width, 3).
    """

    title: str
    image: NDArray[np.uint8]


def natural_colour(image: NDArray[np.int16], white: float = _WHITE) -> NDArray[np.uint8]:
    """A ten-band image (10, height, width) in digital numbers -> uint8 (height, width, 3).

    Args:
        image: Digital numbers, bands in EuroMineNet's order.
        white: The digital number that is shown white.
    """
    colours = np.clip(image[_NATURAL_COLOUR].astype(np.float32) / white, 0, 1)
    # Lift the shadows slightly: forest is dark at the top of the atmosphere.
    return np.moveaxis((colours**0.8 * 255).round().astype(np.uint8), 0, -1)


def black_and_white(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask (height, width) of 0, 1 and 255 -> black, white and grey, uint8 (height, width, 3)."""
    return compared(mask, mask)


def compared(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A prediction compared with its reference: uint8 (height, width, 3) in the paper's palette.

    Args:
        prediction: (height, width), 0 and 1.
        reference: (height, width), 0, 1 and 255, which is shown grey.
    """
    predicted, actual = prediction == 1, reference == 1
    colours = np.empty((*reference.shape, 3), np.uint8)
    colours[:] = TRUE_NEGATIVE
    colours[predicted & actual] = TRUE_POSITIVE
    colours[predicted & ~actual] = FALSE_POSITIVE
    colours[~predicted & actual] = FALSE_NEGATIVE
    colours[(reference == IGNORED) | (prediction == IGNORED)] = UNKNOWN
    return colours


def draw_panels(
    rows: Sequence[Sequence[Panel]], caption: str = "", legend: Mapping[str, Sequence[int]] | None = None
) -> bytes:
    """Rows of panels as PNG.

    Args:
        rows: The panels of each row, the same number in all.
        caption: A line below them.
        legend: Names and their colours (red, green, blue, 0 to 255), listed below the caption.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    columns = max(len(row) for row in rows)
    lines = -(-len(legend or ()) // columns)
    figure = Figure(figsize=(2.2 * columns, 2.4 * len(rows) + 0.5 + 0.16 * lines), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_of_row, row in zip(grid, rows, strict=True):
        for axes in axes_of_row:
            axes.set_axis_off()
        for axes, panel in zip(axes_of_row, row, strict=False):
            axes.imshow(panel.image, interpolation="nearest")
            axes.set_title(panel.title, fontsize=8)
    if caption and not legend:
        figure.supxlabel(caption, fontsize=8)
    if legend:
        patches = [
            Patch(facecolor="#" + bytes(colour).hex(), edgecolor="black", linewidth=0.4, label=name)
            for name, colour in legend.items()
        ]
        figure.legend(
            handles=patches,
            title=caption,
            title_fontsize=8,
            loc="outside lower center",
            ncols=columns,
            fontsize=7,
            frameon=False,
        )
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def draw_predictions(
    rows: Any, predict: Callable[[NDArray[np.int16], list[int]], NDArray[np.uint8]], task: str
) -> bytes:
    """A picture of the first and last year of some patches, with reference and prediction.

    Args:
        rows: Rows of `series`, of which the patches with the most footprint or change are drawn, one a site.
        predict: Images (years, 10, height, width) and their years -> maps (years or pairs, height, width),
            for two years.
        task: "change-detection" draws changes, "segmentation" the last year's footprint.
    """
    changes = task == CHANGE_DETECTION
    drawn = []
    for row in _examples(rows, changes):
        ends = [0, -1]
        images, labels = np.asarray(row["images"])[ends], np.asarray(row["labels"])[ends]
        first, last = (row["years"][end] for end in ends)
        maps = predict(images, [first, last])
        truth = _change(labels) if changes else labels[1]
        prediction = maps[0] if changes else maps[1]
        drawn.append(
            [
                Panel(f"{row['site']} {first}", natural_colour(images[0])),
                Panel(f"{row['site']} {last}", natural_colour(images[1])),
                Panel("change" if changes else f"footprint {last}", black_and_white(truth)),
                Panel("prediction", compared(prediction, truth)),
            ]
        )
    return draw_panels(drawn, "white: right, black: rightly left out, red: too much, green: missed")


def _examples(rows: Any, changes: bool) -> list[Mapping[str, Any]]:
    """One row of each of several sites, those with the most footprint or change first."""
    best: dict[str, tuple[int, Mapping[str, Any]]] = {}
    for place in np.unique(np.linspace(0, len(rows) - 1, min(_CANDIDATES, len(rows))).round().astype(int)):
        row = rows[int(place)]
        labels = np.asarray(row["labels"])[[0, -1]]
        top, left, bottom, right = row["own"]
        shown = (_change(labels) if changes else labels[1])[top:bottom, left:right]
        pixels = int((shown == 1).sum())
        if row["site"] not in best or pixels > best[row["site"]][0]:
            best[row["site"]] = (pixels, row)
    ordered = sorted(best.values(), key=lambda found: -found[0])
    return [row for _, row in ordered[:_EXAMPLES]]


def _change(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(2, height, width) of 0, 1 and 255 -> where they differ."""
    unknown = (labels == 255).any(axis=0)
    return np.where(unknown, 255, labels[0] != labels[1]).astype(np.uint8)
