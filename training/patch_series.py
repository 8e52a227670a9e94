"""Training samples of patches with several pairs of years, each year read once."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from torch.utils.data import Dataset

from euromine.dataset_script.label_changes import change_between
from euromine.dataset_script.row_batches import StackedRows
from euromine.support.gap_filling import fill_gaps


class PatchSeries(Dataset[dict[str, Any]]):
    """The years of a patch and the changes between some of them.

    A sample is indexed by the rows of its pairs, as `SeriesSampler` draws them, and holds the years that
    occur in these pairs, however many.

    Args:
        pairs: Rows of `pairs` with `patch_id`, `year_1` and `year_2`.
        annual: Rows of `annual` of the same build with `image`, `label`, `patch_id` and `year`.
    """

    def __init__(self, pairs: datasets.Dataset, annual: datasets.Dataset) -> None:
        self._annual = StackedRows(annual, ("image", "label"))
        names = annual.with_format(None)
        rows = {key: row for row, key in enumerate(zip(names["patch_id"], names["year"], strict=True))}
        names = pairs.with_format(None)
        ends = zip(names["patch_id"], names["year_1"], names["year_2"], strict=True)
        # The rows of both years of each pair.
        self._ends = np.array([(rows[patch, first], rows[patch, second]) for patch, first, second in ends])
        self._patches = len(set(names["patch_id"]))

    def __len__(self) -> int:
        return self._patches

    def __getitem__(self, rows: Sequence[int]) -> dict[str, Any]:
        """The sample with some pairs of one patch.

        Args:
            rows: Rows of `pairs`.

        Returns:
            `images` int16 (years, 10, side, side), the years ascending; `pairs` int64 (pairs, 2), indices of
            two of these years; `changes` uint8 (pairs, side, side): 0 no change, 1 change, 255 unknown.
        """
        batch = self.__getitems__([rows])
        return {name: batch[name] for name in ("images", "pairs", "changes")}

    def __getitems__(self, samples: Sequence[Sequence[int]]) -> dict[str, Any]:
        """A batch, by the name of torch's protocol for datasets that read several samples at once.

        Args:
            samples: Rows of `pairs` for each patch.

        Returns:
            `images`, `pairs` and `changes` of all samples, one after the other; `patches` int64 (years,), the
            number of the sample that each image belongs to.
        """
        found = [np.unique(self._ends[list(rows)], return_inverse=True) for rows in samples]
        lengths = [len(years) for years, _ in found]
        ends = np.cumsum(lengths)
        read = self._annual.__getitems__(np.concatenate([years for years, _ in found]))
        images, labels = read["image"], read["label"]
        for start, end in zip(ends - lengths, ends, strict=True):
            years = images[start:end]
            filled = fill_gaps(years, labels[start:end])
            if filled is not years:
                years[:] = filled
        starts = zip(found, ends - lengths, strict=True)
        pairs = np.concatenate([places.reshape(-1, 2) + start for (_, places), start in starts])
        return {
            "images": images,
            "pairs": pairs.astype(np.int64),
            "changes": change_between(labels[pairs[:, 0]], labels[pairs[:, 1]]),
            "patches": np.repeat(np.arange(len(samples)), lengths),
        }
