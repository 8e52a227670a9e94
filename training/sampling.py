"""The order of training rows: a function of the seed and the epoch alone, so that training can resume."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler


class EpochSampler(Sampler[Any]):
    """All rows, shuffled anew in each epoch.

    Args:
        rows: Number of rows.
        seed: Seed of the order, together with the epoch.
    """

    def __init__(self, rows: int, seed: int) -> None:
        self.rows = rows
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        generator = np.random.default_rng([self.seed, self.epoch])
        return iter(generator.permutation(self.chosen(generator)).tolist())

    def chosen(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The rows of an epoch, in any order."""
        return np.arange(self.rows)


class PairSampler(EpochSampler):
    """A number of pairs of each patch, drawn anew in each epoch.

    No pair is drawn twice in an epoch; a patch with fewer pairs gives all that it has.

    Args:
        patches: Each row's patch, by any name.
        intervals: Each row's number of years between the two dates, at least 1.
        pairs_per_patch: Number of pairs to draw.
        sampling: "uniform": every pair of a patch with equal probability. "balanced": every interval with
            equal probability, however many pairs have it. "inverse": in inverse proportion to the interval.
        seed: Seed of the draw and the order, together with the epoch.

    Raises:
        ValueError: There is no such sampling.
    """

    def __init__(
        self,
        patches: Sequence[str],
        intervals: ArrayLike,
        pairs_per_patch: int,
        sampling: str = "uniform",
        seed: int = 0,
    ) -> None:
        super().__init__(len(patches), seed)
        _, self._patches = np.unique(np.asarray(patches), return_inverse=True)
        pairs = np.bincount(self._patches)
        self.pairs_per_patch = pairs_per_patch
        self.drawn = int(np.minimum(pairs, pairs_per_patch).sum())
        self._weights = _weights(self._patches, np.asarray(intervals), sampling)
        # Each row's position in its patch, once rows are sorted by patch.
        self._places = np.arange(self.rows) - np.repeat(np.cumsum(pairs) - pairs, pairs)

    def __len__(self) -> int:
        return self.drawn

    def chosen(self, generator: np.random.Generator) -> NDArray[np.int64]:
        """The rows of an epoch: weighted draws without replacement, by Efraimidis and Spirakis (2006)."""
        keys = generator.exponential(size=self.rows) / self._weights
        order = np.lexsort((keys, self._patches))
        return order[self._places < self.pairs_per_patch]


class SeriesSampler(PairSampler):
    """As `PairSampler`, with all pairs of a patch in one sample: a tuple of their rows."""

    def __len__(self) -> int:
        return int(self._patches.max(initial=-1)) + 1

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        rows = np.sort(self.chosen(generator))
        rows = rows[np.argsort(self._patches[rows], kind="stable")]
        samples = np.split(rows, np.flatnonzero(np.diff(self._patches[rows])) + 1)
        return (tuple(samples[sample].tolist()) for sample in generator.permutation(len(samples)))


def _weights(patches: NDArray[np.int64], intervals: NDArray[np.int64], sampling: str) -> NDArray[np.float64]:
    """Each row's probability of being drawn first, relative to the others of its patch."""
    if sampling == "uniform":
        return np.ones(len(patches))
    if sampling == "inverse":
        return 1.0 / intervals
    if sampling == "balanced":
        _, kinds, counts = np.unique(
            np.stack([patches, intervals]), axis=1, return_inverse=True, return_counts=True
        )
        return 1.0 / counts[kinds.reshape(-1)]
    raise ValueError(f"sampling: found {sampling!r}; expected uniform, balanced or inverse.")
