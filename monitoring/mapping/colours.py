"""Colours of years, changes and outlines, the same in maps, charts, tables and the app."""

import numpy as np
from numpy.typing import NDArray

# Light to dark from the oldest year to the newest. Lightness falls steadily, so that the order stays visible
# to colour-blind readers and in a grey print.
_RAMP = ((255, 243, 161), (255, 210, 63), (255, 154, 46), (244, 81, 44), (195, 24, 79), (122, 15, 92))

Colour = tuple[int, int, int]
GAIN: Colour = (217, 101, 11)
LOSS: Colour = (37, 99, 201)
UNDIRECTED: Colour = (138, 99, 184)

# Outlines over images, bright enough for dark ground: orange now, blue before.
FOOTPRINT_OUTLINE: Colour = (255, 140, 26)
EARLIER_OUTLINE: Colour = (86, 180, 233)
PERMIT_OUTLINE: Colour = (240, 228, 66)
OUTSIDE_OUTLINE: Colour = (255, 111, 181)
RECLAMATION_OUTLINE: Colour = (155, 224, 143)


def hex_colour(colour: Colour) -> str:
    """A colour as "#rrggbb"."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def outline_colours() -> dict[str, str]:
    """The colours of outlines and changes as "#rrggbb", by the names of the app's overlays."""
    colours = {
        "footprints": FOOTPRINT_OUTLINE,
        "footprints_before": EARLIER_OUTLINE,
        "permits": PERMIT_OUTLINE,
        "outside_permits": OUTSIDE_OUTLINE,
        "reclamation": RECLAMATION_OUTLINE,
        "gain": GAIN,
        "loss": LOSS,
        "undirected": UNDIRECTED,
    }
    return {name: hex_colour(colour) for name, colour in colours.items()}


def year_colour(position: float) -> str:
    """The colour of a year, "#rrggbb".

    Args:
        position: 0 for the oldest year to 1 for the newest.
    """
    red, green, blue = (int(channel) for channel in year_colours(np.asarray(position)))
    return hex_colour((red, green, blue))


def year_colours(positions: NDArray[np.float64]) -> NDArray[np.uint8]:
    """As `year_colour`, for an array: (...) -> (..., 3) uint8."""
    anchors = np.asarray(_RAMP, dtype=np.float64)
    places = np.linspace(0, 1, len(anchors))
    channels = [np.interp(positions, places, anchors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
