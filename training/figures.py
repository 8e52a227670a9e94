"""Pictures of predictions: natural colour, truth, and where a network is right and wrong.

matplotlib is imported inside, for a trainer that draws nothing.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from euromine.modeling.configuration import BANDS

IGNORED = 255
# The paper's palette, and grey where nothing is known.
TRUE_POSITIVE, TRUE_NEGATIVE = (255, 255, 255), (0, 0, 0)
FALSE_POSITIVE, FALSE_NEGATIVE = (255, 0, 0), (0, 255, 0)
UNKNOWN = (128, 128, 128)

_NATURAL_COLOUR = [BANDS.index(band) for band in ("B04", "B03", "B02")]
# Digital numbers that are shown white: bare rock in the sun.
_WHITE = 3000


@dataclass(frozen=True)
class Panel:
    """One cell of a picture.

    Attributes:
        title: What stands above it.
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
    # A slight lift of the shadows, as maps have it: forest is dark at the top of the atmosphere.
    return np.moveaxis((colours**0.8 * 255).round().astype(np.uint8), 0, -1)


def black_and_white(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask (height, width) of 0, 1 and 255 -> black, white and grey, uint8 (height, width, 3)."""
    return compared(mask, mask)


def compared(prediction: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Where a prediction is right and wrong: uint8 (height, width, 3) in the paper's palette.

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


def draw_panels(rows: Sequence[Sequence[Panel]], caption: str = "") -> bytes:
    """Rows of panels as PNG.

    Args:
        rows: As many panels in each.
        caption: A line under them all.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(2.2 * columns, 2.4 * len(rows) + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_of_row, row in zip(grid, rows, strict=True):
        for axes in axes_of_row:
            axes.set_axis_off()
        for axes, panel in zip(axes_of_row, row, strict=False):
            axes.imshow(panel.image, interpolation="nearest")
            axes.set_title(panel.title, fontsize=8)
    if caption:
        figure.supxlabel(caption, fontsize=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()
