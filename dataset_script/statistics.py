"""Mean and standard deviation of each band: exact over any number of pixels, and the published ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.errors import ArgumentError, DataError

from .archive import Archive
from .archive_bands import BANDS
from .site_scene import Site, pixels_without_data

# Pixels that are widened to int64 at a time: small enough to stay in the processor's cache.
_CHUNK = 2**15
# Pixels of a window that is read at a time; ten bands of int16 make 20 MB.
_WINDOW_PIXELS = 2**20


@dataclass(frozen=True)
class BandStatistics:
    """Mean and standard deviation of each band, in DN (reflectance x 10000).

    Attributes:
        bands: Names of the bands.
        mean: One per band.
        std: One per band, of the whole population (ddof 0).
        pixels: Number of pixels of a band with data, over all years; None if unknown.
    """

    bands: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pixels: int | None = None

    def __post_init__(self) -> None:
        if not len(self.bands) == len(self.mean) == len(self.std):
            raise ValueError(
                f"band statistics: found {len(self.bands)} bands, {len(self.mean)} means and {len(self.std)} "
                f"standard deviations; expected as many of each."
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: `{"bands": [...], "mean": [...], "std": [...], "pixels": ...}`."""
        return {
            "bands": list(self.bands),
            "mean": list(self.mean),
            "std": list(self.std),
            "pixels": self.pixels,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BandStatistics:
        """The inverse of `to_dict`.

        Raises:
            DataError: A key is missing.
            ValueError: The lists differ in length.
        """
        missing = [key for key in ("bands", "mean", "std") if key not in values]
        if missing:
            raise DataError(f"band statistics: found no {', '.join(missing)}; expected bands, mean and std.")
        return cls(
            bands=tuple(str(band) for band in values["bands"]),
            mean=tuple(float(mean) for mean in values["mean"]),
            std=tuple(float(std) for std in values["std"]),
            pixels=values.get("pixels"),
        )


@dataclass
class BandSums:
    """Count, sum and sum of squares of each band's DN: integers, so exact in any order and any division.

    Sums of parts of the data add up (`+`) to those of the whole, so processes can divide the sites.

    Attributes:
        bands: Names of the bands.
        pixels: Pixels of a band counted so far.
        sums: Sum of the DN, one per band.
        squares: Sum of their squares, one per band.
    """

    bands: tuple[str, ...] = BANDS
    pixels: int = 0
    sums: list[int] = field(default_factory=list)
    squares: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = self.sums or [0] * len(self.bands)
        self.squares = self.squares or [0] * len(self.bands)

    def add(self, image: NDArray[np.integer[Any]], without_data: int = 0) -> None:
        """Count the pixels of an image, a window or a stack of years.

        Args:
            image: `(..., bands, height, width)`, integers of at most 16 bits.
            without_data: The number of its pixels without data, not to be counted. They must be 0 in all
                bands, and so add nothing to the sums.

        Raises:
            ValueError: It has another number of bands or another dtype.
        """
        if image.ndim < 3 or image.shape[-3] != len(self.bands):
            raise ValueError(f"image: found {image.shape}; expected (..., {len(self.bands)}, height, width).")
        if image.dtype.kind not in "iu" or image.dtype.itemsize > 2:
            raise ValueError(f"image: found {image.dtype}; expected int16 DN.")
        for band, values in enumerate(np.moveaxis(image, -3, 0)):
            flat = values.reshape(-1)
            for start in range(0, flat.size, _CHUNK):
                chunk = flat[start : start + _CHUNK].astype(np.int64)
                self.sums[band] += int(chunk.sum())
                self.squares[band] += int(chunk @ chunk)
        self.pixels += image.size // len(self.bands) - without_data

    def __add__(self, other: BandSums) -> BandSums:
        if self.bands != other.bands:
            raise ValueError(
                f"band sums: found those of {other.bands}; expected the same bands {self.bands}."
            )
        return BandSums(
            bands=self.bands,
            pixels=self.pixels + other.pixels,
            sums=[a + b for a, b in zip(self.sums, other.sums, strict=True)],
            squares=[a + b for a, b in zip(self.squares, other.squares, strict=True)],
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: `{"bands": [...], "pixels": ..., "sums": [...], "squares": [...]}`, integers."""
        return {
            "bands": list(self.bands),
            "pixels": self.pixels,
            "sums": list(self.sums),
            "squares": list(self.squares),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> BandSums:
        """The inverse of `to_dict`."""
        return cls(
            bands=tuple(values["bands"]),
            pixels=int(values["pixels"]),
            sums=[int(value) for value in values["sums"]],
            squares=[int(value) for value in values["squares"]],
        )

    def statistics(self) -> BandStatistics:
        """Mean and standard deviation so far; rounded once, at the end.

        Raises:
            ArgumentError: No pixel has been counted.
        """
        if self.pixels == 0:
            raise ArgumentError("band statistics: found no pixel; expected at least one site to count.")
        count = self.pixels
        # Division of Python's integers is rounded correctly, however large they are.
        means = (total / count for total in self.sums)
        variances = (
            (count * squares - total * total) / (count * count)
            for total, squares in zip(self.sums, self.squares, strict=True)
        )
        return BandStatistics(self.bands, tuple(means), tuple(map(math.sqrt, variances)), count)


def sums_of(site: Site) -> BandSums:
    """The sums over every pixel with data of a site's scene, once, in all its years; read in windows.

    Raises:
        ArchiveError: A file of the site cannot be used.
    """
    sums = BandSums()
    with site.open() as scene:
        rows = max(1, _WINDOW_PIXELS // scene.width)
        for year in scene.years:
            for top in range(0, scene.height, rows):
                image = scene.read_image(year, top=top, height=min(rows, scene.height - top))
                is_marked = year in scene.marked_years
                sums.add(image, int(pixels_without_data(image).sum()) if is_marked else 0)
    return sums


def statistics_of(archive: Archive, sites: Iterable[str]) -> BandStatistics:
    """The band statistics of some sites of an archive, usually those of the training split.

    Each pixel of a scene with data counts once a year. For many sites, add up `sums_of` in several processes:
    the result is the same to the last bit.

    Args:
        archive: The archive.
        sites: Names of the sites, each counted once.

    Raises:
        ArgumentError: The archive lacks a site, or there is none to count.
        ArchiveError: A file cannot be used.
    """
    names = sorted(set(sites))
    missing = [name for name in names if name not in archive.sites]
    if missing:
        raise ArgumentError(
            f"sites: found {', '.join(missing)}, which {archive.path} lacks; expected sites of the archive."
        )
    return sum((sums_of(archive.sites[name]) for name in names), start=BandSums()).statistics()


# The figures in the published code (AI4RS/EuroMineNet at commit 511b6291, datasets/seg_dataset.py), on DN.
_PAPER = BandStatistics(
    bands=BANDS,
    mean=(
        1089.74398414,
        1004.04424665,
        912.91169804,
        1157.54372767,
        1956.3718531,
        2314.40816642,
        2249.62494194,
        2551.81568494,
        1920.88963249,
        1185.54458012,
    ),
    std=(
        220.01112071,
        258.62166282,
        385.29996291,
        352.84198064,
        433.08390432,
        555.78649618,
        556.49755492,
        616.86119128,
        615.74838491,
        531.51408023,
    ),
)

PRESETS: dict[str, BandStatistics] = {
    "paper": _PAPER,
    # The published code counts the pixels in both of its passes and divides the squares by the doubled
    # count, so its standard deviation is the true one / sqrt(2).
    "corrected": BandStatistics(BANDS, _PAPER.mean, tuple(std * math.sqrt(2) for std in _PAPER.std)),
}
"""`paper`: as published and used for the paper's tables. `corrected`: its std times sqrt(2)."""
