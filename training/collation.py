"""Rows -> batches of integers, which become floats on the device only.

Ten bands of a patch are half a megabyte as int16 and twice that as float32, so batches keep the stored type
and are flipped, rotated and normalised where the network runs.

Training uses all pixels of a patch: those that a neighbouring patch owns are as good as its own, and a scene
under 160 pixels, which is repeated to fill its patch, shows its border from two sides. Scores count owned
pixels alone. Pixels without data are filled first, as in prediction, and ignored by losses and scores.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from euromine.support.gap_filling import fill_gaps

IGNORED = 255

Row = Mapping[str, Any]


class SeriesCollator:
    """Collates rows of any of the three configs.

    Args:
        sites: Names of the sites that are scored; batches hold the position of a site's name here.
        years: The longest series that is scored. Shorter ones are padded, so that the batches of all
            processes have the same shape.
        whole_patches: Score every patch as if it owned all of its pixels, as the paper does.
    """

    def __init__(self, sites: Sequence[str] = (), years: int = 0, whole_patches: bool = False) -> None:
        self.sites = tuple(sites)
        self.years = years
        self.whole_patches = whole_patches
        self._position = {site: position for position, site in enumerate(self.sites)}

    def __call__(self, rows: Sequence[Row] | Row) -> dict[str, Tensor]:
        """Collate rows of `annual`, `pairs` or `series`, or samples of `PatchSeries`.

        Args:
            rows: The rows of a batch, or a batch of `StackedRows` or `PatchSeries`.

        Returns:
            annual: `pixel_values` int16 (batch, channels, height, width), `labels` uint8 (batch, height,
            width). pairs: (batch, 2, channels, height, width), with the change as labels. series:
            `pixel_values` (batch, years, channels, height, width), `labels` (batch, years, height, width)
            with 255 in missing years, `years` int32 (batch, years) with -1 there, `own` int64 (batch, 4) and
            `site` int64 (batch,), -1 for a site that is not scored. Samples of `PatchSeries`: `pixel_values`
            (images, channels, height, width), all years of all patches; `labels` (pairs, height, width), all
            their changes; `pairs` int64 (pairs, 2), the numbers of two images each; `patches` int64
            (images,), the number of each image's patch.
        """
        if isinstance(rows, Mapping):
            return _stacked_batch(rows)
        if "image" in rows[0]:
            return _annual(_stacked(rows, "image"), _stacked(rows, "label"))
        if "change" in rows[0]:
            return _pairs(_stacked(rows, "images"), _stacked(rows, "change"))
        if "changes" in rows[0]:
            years = [len(row["images"]) for row in rows]
            starts = np.cumsum([0, *years[:-1]])
            pairs = [row["pairs"] + start for row, start in zip(rows, starts, strict=True)]
            return {
                "pixel_values": torch.from_numpy(np.concatenate([row["images"] for row in rows])),
                "labels": torch.from_numpy(np.concatenate([row["changes"] for row in rows])),
                "pairs": torch.from_numpy(np.concatenate(pairs)),
                "patches": torch.from_numpy(np.repeat(np.arange(len(rows)), years)),
            }
        return {
            "pixel_values": self._filled([_without_gaps(row) for row in rows], "images", 0),
            "labels": self._filled(rows, "labels", IGNORED),
            "years": self._filled(rows, "years", -1, np.int32),
            "own": torch.tensor([self._counted(row) for row in rows], dtype=torch.int64),
            "site": torch.tensor([self._position.get(row["site"], -1) for row in rows], dtype=torch.int64),
        }

    def _counted(self, row: Row) -> list[int]:
        """The scored box of a patch: top, left, bottom, right."""
        return [0, 0, *np.shape(row["labels"])[-2:]] if self.whole_patches else list(row["own"])

    def _filled(self, rows: Sequence[Row], name: str, fill: int, dtype: Any = None) -> Tensor:
        """The rows' entries, each (years, ...), padded to the same number of years."""
        arrays = [np.asarray(row[name], dtype) for row in rows]
        years = max([self.years, *(len(array) for array in arrays)])
        filled = np.empty((len(rows), years, *arrays[0].shape[1:]), arrays[0].dtype)
        for place, array in zip(filled, arrays, strict=True):
            place[: len(array)] = array
            place[len(array) :] = fill
        return torch.from_numpy(filled)


def _stacked_batch(batch: Row) -> dict[str, Tensor]:
    """A batch whose rows are stacked already."""
    if "changes" in batch:
        names = {"images": "pixel_values", "changes": "labels", "pairs": "pairs", "patches": "patches"}
        return {ours: torch.from_numpy(batch[name]) for name, ours in names.items()}
    if "change" in batch:
        return _pairs(batch["images"], batch["change"])
    return _annual(batch["image"], batch["label"])


def _annual(images: NDArray[np.int16], labels: NDArray[np.uint8]) -> dict[str, Tensor]:
    return {
        "pixel_values": torch.from_numpy(fill_gaps(images, labels)),
        "labels": torch.from_numpy(labels),
    }


def _pairs(images: NDArray[np.int16], change: NDArray[np.uint8]) -> dict[str, Tensor]:
    for place in np.flatnonzero(change.max(axis=(1, 2)) == IGNORED).tolist():
        images[place] = fill_gaps(images[place], change[place])
    return {"pixel_values": torch.from_numpy(images), "labels": torch.from_numpy(change)}


def _without_gaps(row: Row) -> Row:
    """A series whose images have data everywhere."""
    return {**row, "images": fill_gaps(np.asarray(row["images"]), np.asarray(row["labels"]))}


def _stacked(rows: Sequence[Row], name: str) -> NDArray[Any]:
    return np.stack([np.asarray(row[name]) for row in rows])


def draw_turns(samples: int) -> list[int]:
    """One of the eight symmetries of a square for each sample, drawn from torch's generator."""
    return torch.randint(8, (samples,)).tolist()


def turned(maps: Tensor, turn: int) -> Tensor:
    """Maps (..., side, side) after `turn % 4` quarter turns, mirrored first where `turn` is 4 or more.

    All leading dimensions are turned alike, and so both dates of a pair.
    """
    if turn >= 4:
        maps = maps.flip(-1)
    return maps.rot90(turn % 4, (-2, -1))


def augmented(
    pixel_values: Tensor, labels: Tensor, pairs: Tensor | None = None, patches: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Each sample under one of the eight symmetries of a square, its labels alike.

    Args:
        pixel_values: (batch, ..., side, side), any type, on any device.
        labels: (batch, side, side), or (batch, years, side, side) of series.
        pairs: Indices of two images (labels, 2), where a label belongs to a pair of images.
        patches: Index of each image's sample (batch,), where a sample has several images.
    """
    if patches is None:
        turns = draw_turns(len(pixel_values))
    else:
        of_patches = draw_turns(int(patches.max()) + 1)
        turns = [of_patches[patch] for patch in patches.tolist()]
    turns_of_labels = turns if pairs is None else [turns[first] for first in pairs[:, 0].tolist()]
    images = [turned(image, turn) for image, turn in zip(pixel_values, turns, strict=True)]
    masks = [turned(mask, turn) for mask, turn in zip(labels, turns_of_labels, strict=True)]
    return torch.stack(images), torch.stack(masks)


def without_unowned(maps: Tensor, own: Tensor) -> Tensor:
    """A copy of maps (batch, n, height, width) with 255 outside each sample's box.

    Args:
        maps: uint8.
        own: (batch, 4), the box of owned pixels: top, left, bottom, right.
    """
    return maps.masked_fill(~owned_pixels(maps, own), IGNORED)


def owned_pixels(maps: Tensor, own: Tensor) -> Tensor:
    """The pixels of maps (batch, n, height, width) inside each sample's box, bool (batch, 1, height, width).

    Args:
        maps: Any type.
        own: (batch, 4), the box of owned pixels: top, left, bottom, right.
    """
    top, left, bottom, right = (side[:, None] for side in own.to(maps.device).unbind(1))
    rows = torch.arange(maps.shape[-2], device=maps.device)
    columns = torch.arange(maps.shape[-1], device=maps.device)
    in_rows = (rows >= top) & (rows < bottom)
    in_columns = (columns >= left) & (columns < right)
    return in_rows[:, None, :, None] & in_columns[:, None, None, :]
