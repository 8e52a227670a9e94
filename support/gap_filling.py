"""Fill pixels without data for networks, which would take the number 0 for a very dark ground."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_UNKNOWN = 255


def fill_nodata(image: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Fill pixels without data from their nearest neighbours, so that the edge of the data does not show.

    Args:
        image: (bands, height, width).
        valid: A mask (height, width) of the pixels with data; at least one.
    """
    rows, columns = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    return np.asarray(image[:, rows, columns])


def fill_gaps(images: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[Any]:
    """Fill the pixels without data in rows of a built dataset, as prediction fills them in scenes.

    These are 0 in all bands and 255 in the label. An image with data is filled from its nearest pixels; one
    without any takes the nearest image along the first axis that has some. Nothing is scored or learned
    there, but networks see it around other ground and in the statistics of their batches.

    Args:
        images: (n, bands, height, width) digital numbers: some years of a patch, or a batch of patches.
        labels: (n, height, width) or (height, width) uint8, 255 wherever an image has no data.

    Returns:
        The images themselves where all have data; otherwise a copy.
    """
    if labels.max(initial=0) < _UNKNOWN:  # a mask would take longer than reading the labels
        return images
    gaps = (labels == _UNKNOWN) & ~images.any(axis=1)
    places = np.flatnonzero(gaps.any(axis=(1, 2)))
    if not len(places):
        return images
    filled = images.copy()
    whole = np.flatnonzero(~gaps.all(axis=(1, 2)))
    for place in places.tolist():
        if place in whole:
            filled[place] = fill_nodata(images[place], ~gaps[place])
    for place in np.setdiff1d(places, whole).tolist() if len(whole) else ():
        filled[place] = filled[whole[np.abs(whole - place).argmin()]]
    return filled
