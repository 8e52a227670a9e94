"""Statistics that images are normalised with: presets by name, and checks of given ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .bands import BANDS

# Mean and standard deviation of the ten bands over the training sites, in digital numbers (reflectance times
# 10,000). The benchmark's code does not reset its pixel count before the second pass, so its published
# standard deviations are the true ones divided by the square root of two.
_MEAN = (
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
)
_STD_PUBLISHED = (
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
)
_STD_CORRECTED = (
    311.1427,
    365.7463,
    544.8964,
    498.9939,
    612.4731,
    786.0008,
    787.0064,
    872.3735,
    870.7997,
    751.6744,
)
PRESETS: dict[str, dict[str, tuple[float, float]]] = {
    "paper": dict(zip(BANDS, zip(_MEAN, _STD_PUBLISHED, strict=True), strict=True)),
    "corrected": dict(zip(BANDS, zip(_MEAN, _STD_CORRECTED, strict=True), strict=True)),
}


def known_preset(name: str) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation by band; `ValueError` where there is no such preset."""
    if name not in PRESETS:
        raise ValueError(
            f"statistics: found {name!r}; expected one of {', '.join(PRESETS)}, or mean and std."
        )
    return PRESETS[name]


def preset(name: str, bands: Sequence[str]) -> tuple[list[float], list[float]]:
    """Means and standard deviations of some bands; `ValueError` where the preset lacks one."""
    known = known_preset(name)
    missing = [band for band in bands if band not in known]
    if missing:
        raise ValueError(
            f"statistics: found no {', '.join(missing)} in {name!r}; "
            f"expected mean and std for {', '.join(bands)}."
        )
    return [known[band][0] for band in bands], [known[band][1] for band in bands]


def check_preset(
    name: str, bands: Sequence[str], mean: Sequence[float] | None, std: Sequence[float] | None
) -> None:
    """Refuse numbers under the name of a preset that has others.

    Raises:
        ValueError: A mean or standard deviation is not the preset's, or the preset lacks a band.
    """
    for what, values, known in zip(("mean", "std"), (mean, std), preset(name, bands), strict=True):
        if values is not None and not np.allclose(values, known, rtol=1e-5, atol=0):
            raise ValueError(
                f"{what}: found {list(values)} under the name {name!r}; expected that preset's {known}, or "
                "another name in `statistics`."
            )


def per_band(what: str, values: Any, bands: Sequence[str]) -> list[float]:
    """A finite number for each band; `ValueError` for anything else."""
    if values is None:
        raise ValueError(f"{what}: found None; expected mean and std together.")
    numbers = [float(value) for value in np.asarray(values, dtype=np.float64).reshape(-1)]
    if len(numbers) != len(bands) or not np.isfinite(numbers).all():
        raise ValueError(f"{what}: found {numbers}; expected a finite number for each of {', '.join(bands)}.")
    return numbers
