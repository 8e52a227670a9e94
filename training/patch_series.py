"""Training samples of patches with several pairs of years, each year read once."""

from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
from torch.utils.data import Dataset

from euromine.dataset_script.label_changes import change_between
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
        self.annual = annual
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
        years, places = np.unique(self._ends[list(rows)], return_inverse=True)
        pairs = places.reshape(-1, 2).astype(np.int64)
        found = self.annual[years.tolist()]
        labels = found["label"]
        return {
            "images": fill_gaps(np.stack(found["image"]), np.stack(labels)),
            "pairs": pairs,
            "changes": np.stack([change_between(labels[first], labels[second]) for first, second in pairs]),
        }
