"""Mapped against labelled pixels, counted by site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from euromine.monitoring.mapping.map_values import NODATA

from .area_estimation import Confusion
from .year_stacks import Maps


def confusion_counts(mapped: Maps, reference: Maps, classes: int) -> NDArray[np.int64]:
    """Pixels by mapped and reference class where both are known, int64 (classes, classes).

    Args:
        mapped: uint8 of any shape, classes from 0, 255 unknown.
        reference: The same.
        classes: Number of classes.
    """
    known = (mapped != NODATA) & (reference != NODATA)
    keys = mapped[known].astype(np.int64) * classes + reference[known]
    return np.bincount(keys, minlength=classes * classes).reshape(classes, classes)


def confusion_of_sites(by_site: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...]) -> Confusion:
    """The counts (classes, classes) of each site together."""
    sites = tuple(sorted(by_site))
    return Confusion(classes, sites, np.stack([by_site[site] for site in sites]))


def owned_box(own: Sequence[int]) -> tuple[slice, slice, slice]:
    """The box that a patch owns, as an index of its stack of maps."""
    top, left, bottom, right = own
    return slice(None), slice(top, bottom), slice(left, right)
