"""Cloud-masked median composites of scenes on one grid, in NumPy alone.

Scenes are the first axis of every stack, the clearest first. Digital numbers are uint16 with 0 for no data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.archive_bands import NO_BACKSCATTER
from euromine.support.offset_check import OffsetCheck

Numbers = NDArray[np.uint16]
Mask = NDArray[np.bool_]

# No data, saturated, cloud shadow, cloud of medium and high probability, thin cirrus, snow.
_UNCLEAR_CLASSES = (0, 1, 3, 8, 9, 10, 11)
# Dark ground, vegetation and water reflect less than 0.1 in blue everywhere.
_DARK_CLASSES = (2, 4, 6)
# Fewer of these pixels may all lie under thin cloud.
_FEWEST_DARK_PIXELS, _LEAST_DARK_SHARE = 50, 0.02

# Ground that is classified as cloud on nearly all dates and hardly changes is bright ground.
_GUARD_SHARE, _GUARD_DATES, _GUARD_SPREAD = 0.75, 4, 0.1

_LARGEST_NUMBER = int(np.iinfo(np.int16).max)
_NONE = np.iinfo(np.uint16).max
_WINDOW = 512


def unclear_mask(classes: NDArray[np.uint8]) -> Mask:
    """Pixels of a scene classification that composites exclude: cloud, shadow, snow, defects, and a border.

    Args:
        classes: (height, width) of Sen2Cor's classes at 20 m.

    Returns:
        (height, width), grown by one pixel in all eight directions.
    """
    unclear = np.isin(classes, _UNCLEAR_CLASSES)
    grown = unclear.copy()
    for axis in (0, 1):
        before = grown.copy()
        first, last = [slice(None)] * 2, [slice(None)] * 2
        first[axis], last[axis] = slice(1, None), slice(None, -1)
        grown[tuple(first)] |= before[tuple(last)]
        grown[tuple(last)] |= before[tuple(first)]
    return grown


def clear_share(unclear: Mask) -> float:
    """The share of a site that a scene shows clearly."""
    return 1.0 - float(np.count_nonzero(unclear)) / max(unclear.size, 1)


def classes_without_scl(green: Numbers, red: Numbers) -> NDArray[np.uint8]:
    """Scene classes of L1C, which comes without a classification: 0 no data, 9 cloud, 5 the rest.

    Clouds are found by the thresholds of Braaten, Cohen, Yang, "Automated cloud and cloud shadow
    identification in Landsat MSS imagery for temperate ecosystems", 2015. Cloud shadows are not found.

    Args:
        green: (height, width) digital numbers of B03.
        red: Of B04.
    """
    total = green.astype(np.float32) + red
    with np.errstate(invalid="ignore", divide="ignore"):
        greenness = (green.astype(np.float32) - red) / total
    cloud = ((green > 1750) & (greenness > 0)) | (green > 3900)
    return np.where(total == 0, 0, np.where(cloud, 9, 5)).astype(np.uint8)


def with_offset(numbers: NDArray[np.integer], offset: int) -> Numbers:
    """Digital numbers with their offset added: at least 1, but 0 where there is no data."""
    if not offset and numbers.max(initial=0) <= _LARGEST_NUMBER:
        return numbers.astype(np.uint16, copy=False)
    shifted = np.clip(numbers.astype(np.int32) + offset, 1, _LARGEST_NUMBER).astype(np.uint16)
    return np.where(numbers == 0, np.uint16(0), shifted)


def offset_contradiction(numbers: NDArray[np.integer], classes: NDArray[np.uint8], offset: int) -> str | None:
    """The contradiction between a scene's numbers in blue and its offset, in words; None without one.

    Args:
        numbers: (height, width) of blue as in the file.
        classes: (height, width) of Sen2Cor's classes.
        offset: To add to the numbers.
    """
    has_data = numbers > 0
    if offset:
        clear = numbers[has_data & ~np.isin(classes, _UNCLEAR_CLASSES)]
        check = OffsetCheck()
        check.add(clear.astype(np.int32) + offset)
        if check.is_negative:
            return f"{check.negative_share:.0%} of its reflectances in blue would be below 0"
        return None
    dark = numbers[has_data & np.isin(classes, _DARK_CLASSES)]
    if dark.size < max(_FEWEST_DARK_PIXELS, _LEAST_DARK_SHARE * np.count_nonzero(has_data)):
        return None
    check = OffsetCheck()
    check.add(dark)
    return (
        "vegetation, water and shadows would all reflect more than 0.1 in blue" if check.lacks_dark else None
    )


def usable_mask(blue: Numbers, unclear: Mask) -> Mask:
    """Scenes to compose at each pixel: the clear ones, and all over bright ground classified as cloud.

    Args:
        blue: (scenes, height, width) digital numbers of blue.
        unclear: (scenes, height, width) of `unclear_mask`.

    Returns:
        (scenes, height, width).
    """
    usable = (blue > 0) & ~unclear
    if len(blue) >= _GUARD_DATES:
        for window in windows(blue.shape[1], blue.shape[2]):
            view = (slice(None), *window)
            bright = _is_bright_ground(blue[view], unclear[view])
            usable[view] |= bright & (blue[view] > 0)
    return usable


def _is_bright_ground(blue: Numbers, unclear: Mask) -> Mask:
    """Pixels flagged on at least three of four dates although blue hardly changes between all dates."""
    seen = blue > 0
    dates = np.count_nonzero(seen, axis=0)
    flagged = np.count_nonzero(seen & unclear, axis=0)
    suspect = (dates >= _GUARD_DATES) & (flagged >= _GUARD_SHARE * dates)
    if not suspect.any():
        return suspect
    values = np.where(seen, blue, 0).astype(np.float32)[:, suspect]
    values[values == 0] = np.nan
    middle = np.nanmedian(values, axis=0)
    spread = np.nanmedian(np.abs(values - middle), axis=0)
    suspect[suspect] = spread < _GUARD_SPREAD * middle
    return suspect


def fill_from_clearest(usable: Mask, blue: Numbers) -> Mask:
    """Mark the clearest scene with data as usable where none is.

    Args:
        usable: (scenes, height, width), changed in place.
        blue: (scenes, height, width) digital numbers.

    Returns:
        (height, width) of the pixels filled.
    """
    empty = ~usable.any(axis=0)
    filled = np.zeros_like(empty)
    for scene in range(len(usable)):
        here = empty & (blue[scene] > 0)
        usable[scene] |= here
        filled |= here
        empty &= ~here
    return filled


def median_composite(numbers: Sequence[Numbers], usable: Mask, fill: bool = True) -> NDArray[np.int16]:
    """The median of the usable scenes at each pixel.

    The median of an even number of scenes is the mean of the two in the middle, rounded half to even.

    Args:
        numbers: Digital numbers (height, width) of one band of each scene.
        usable: (scenes, height, width), in the same order.
        fill: Take the clearest scene with data where no usable one has any in this band.

    Returns:
        (height, width) int16, 0 where there is no data.
    """
    composite = np.empty(usable.shape[1:], np.int16)
    for window in windows(*usable.shape[-2:]):
        stack = np.stack([scene[window] for scene in numbers])
        stack[~usable[(slice(None), *window)] | (stack == 0)] = _NONE
        found = _median(stack)
        if fill and not found.all():
            for scene in numbers:
                found = np.where(found == 0, scene[window], found)
        composite[window] = found
    return composite


def _median(stack: Numbers) -> Numbers:
    """The median along the first axis of values other than `_NONE`, 0 without any. Overwrites the stack."""
    counts = np.count_nonzero(stack != _NONE, axis=0)
    rows = [*stack]
    for first, second in _sorting_network(len(rows)):
        low = np.minimum(rows[first], rows[second])
        np.maximum(rows[first], rows[second], out=rows[second])
        rows[first] = low
    found = np.zeros(stack.shape[1:], np.uint16)
    for count in np.unique(counts[counts > 0]):
        lower, upper = rows[(count - 1) // 2], rows[count // 2]
        if count == len(rows) and (counts == count).all():
            return _middle(lower, upper)
        found = np.where(counts == count, _middle(lower, upper), found)
    return found


def _middle(lower: Numbers, upper: Numbers) -> Numbers:
    """The mean of two numbers, half to even."""
    if lower is upper:
        return lower
    total = lower.astype(np.uint32) + upper
    half = total >> 1
    return (half + (total & half & 1)).astype(np.uint16)


@cache
def _sorting_network(length: int) -> tuple[tuple[int, int], ...]:
    """The comparisons that sort `length` numbers: Batcher's merge exchange (Knuth, TAOCP 3, 5.2.2M)."""
    if length < 2:
        return ()
    steps = []
    top = 1 << ((length - 1).bit_length() - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while d > 0:
            steps += [(i, i + d) for i in range(length - d) if (i & p) == r]
            d, q, r = q - p, q >> 1, p
        p >>= 1
    return tuple(steps)


def windows(height: int, width: int) -> Iterator[tuple[slice, slice]]:
    """Windows of an image, small enough for the processor's cache."""
    for top in range(0, height, _WINDOW):
        for left in range(0, width, _WINDOW):
            yield slice(top, min(top + _WINDOW, height)), slice(left, min(left + _WINDOW, width))


def enlarged(mask: Mask) -> Mask:
    """A mask of 20 m pixels at 10 m."""
    return mask.repeat(2, axis=-2).repeat(2, axis=-1)


def mean_power(powers: Sequence[NDArray[np.float32]]) -> NDArray[np.int16]:
    """The mean backscatter of several passes in hundredths of a decibel.

    Args:
        powers: (height, width) of each pass, linear; pixels have data where these are finite and positive.

    Returns:
        (height, width) int16, `NO_BACKSCATTER` where no pass has data.
    """
    total = np.zeros(powers[0].shape, np.float64)
    counts = np.zeros(powers[0].shape, np.int32)
    for power in powers:
        valid = np.isfinite(power) & (power > 0)
        total[valid] += power[valid]
        counts += valid
    decibels = np.full(total.shape, float(NO_BACKSCATTER))
    seen = counts > 0
    decibels[seen] = np.clip(np.rint(1000 * np.log10(total[seen] / counts[seen])), -32_000, 32_000)
    return decibels.astype(np.int16)
