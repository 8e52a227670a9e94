"""Yearly maps of classes -> maps in which a class that lasts a single year is taken for an error.

The median of a year and its two neighbours, which smooths footprints, is their majority: of several classes,
too, where a median has no meaning. Filters over a moving window of years are usual for yearly maps of land
cover, such as those of MapBiomas (Souza et al., "Reconstructing three decades of land use and land cover
changes in Brazilian biomes with Landsat archive and Earth Engine", Remote Sensing 12(17), 2020, 2735). The
other usual way, a chain of several classes (Abercrombie and Friedl, "Improving the consistency of
multitemporal land cover maps using a hidden Markov model", IEEE TGRS 54(2), 2016), needs the rate at which
each class turns into each other one, and few sites have drawn components: those of rare classes would be
guesses.
"""

from __future__ import annotations

import numpy as np

from euromine.monitoring.mapping.map_values import NODATA

from .year_stacks import Maps


def running_majority(maps: Maps) -> Maps:
    """The class that most of each year and its two neighbours in the series have.

    A year keeps its own class where all three differ. The first and the last year have one neighbour and keep
    their class. A year without data takes its neighbours' class where they agree or only one of them has
    data, and stays unknown otherwise.

    Args:
        maps: uint8 (years, ...), classes from 0, 255 without data.

    Returns:
        uint8 of the same shape.
    """
    padded = np.concatenate([maps[:1], maps, maps[-1:]])
    before, now, after = padded[:-2], padded[1:-1], padded[2:]
    agreed = (before == after) & (before != NODATA)
    smoothed = np.where(agreed, before, now)
    alone = np.where(before == NODATA, after, np.where(after == NODATA, before, np.uint8(NODATA)))
    return np.where(smoothed == NODATA, alone, smoothed).astype(np.uint8)
