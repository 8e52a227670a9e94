"""Simulated sites in memory, as they are and under conditions that the simulator leaves out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from euromine.dataset_script.splits import split_sites
from euromine.modeling.bands import BANDS
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.simulation.simulated_archive import site_names
from euromine.simulation.simulated_site import simulate_site
from euromine.support.errors import ArgumentError
from euromine.support.workers import in_processes

Maps = NDArray[np.uint8]

CLEAN = "clean"
YEARS = tuple(range(2015, 2025))
SPLITS = ("train", "validation", "test")

_EDGE_SIGMA, _EDGE_STRAY = 1.5, 0.6
_HAZY_SHARE, _THICKEST_HAZE = 0.4, 0.5
_SHIFT = 0.5
_MISSING_YEARS = 3
# Scattered light by band, as digital numbers: most in blue, little in the short-wave infrared.
_HAZE = np.array([2600, 2400, 2200, 2100, 2000, 1900, 1800, 1700, 700, 500], np.float32)


@dataclass(frozen=True)
class SiteSeries:
    """Series of equally large sites.

    Attributes:
        names: The sites' names.
        years: (sites, years), int64, ascending.
        images: (sites, years, 10, height, width), int16, digital numbers.
        labels: (sites, years, height, width), uint8, 0 or 1.
        truth: The true footprints, alike.
    """

    names: tuple[str, ...]
    years: NDArray[np.int64]
    images: NDArray[np.int16]
    labels: Maps
    truth: Maps

    def __len__(self) -> int:
        return len(self.names)

    def first(self, number: int) -> SiteSeries:
        """The first sites."""
        return SiteSeries(
            self.names[:number],
            self.years[:number],
            self.images[:number],
            self.labels[:number],
            self.truth[:number],
        )


def simulated_splits(
    sites: int, side: int, seed: int = 0, years: Sequence[int] = YEARS, workers: int = 1
) -> dict[str, SiteSeries]:
    """Simulate sites of the benchmark's names, by split.

    Args:
        sites: Their number, which fills all three splits from three on.
        side: Their height and width in pixels.
        seed: Seed of the simulation.
        years: The years, ascending.
        workers: Number of processes.

    Raises:
        ArgumentError: A split has no site.
    """
    names = site_names(sites)
    simulate = partial(_simulated, side=side, seed=seed, years=tuple(years))
    order = {site.names[0]: site for site in in_processes(simulate, names, workers, "simulated a site")}
    members = split_sites("corrected")
    chosen = {split: tuple(name for name in names if name in set(members[split])) for split in SPLITS}
    known = {name for split in SPLITS for name in chosen[split]}
    chosen["train"] += tuple(name for name in names if name not in known)
    if empty := [split for split in SPLITS if not chosen[split]]:
        raise ArgumentError(f"--sites: found {sites}, none of which is for {empty[0]}; expected 4 or more.")
    return {split: _stacked([order[name] for name in chosen[split]]) for split in SPLITS}


def _simulated(name: str, *, side: int, seed: int, years: tuple[int, ...]) -> SiteSeries:
    site = simulate_site(name, years=years, height=side, width=side, seed=seed)
    return SiteSeries(
        (name,), np.array([years], np.int64), site.images[None], site.labels[None], site.truth[None]
    )


def _stacked(parts: Sequence[SiteSeries]) -> SiteSeries:
    return SiteSeries(
        tuple(name for part in parts for name in part.names),
        np.concatenate([part.years for part in parts]),
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def processor_of(train: SiteSeries) -> EuroMineImageProcessor:
    """The image processor that normalises with the training sites' statistics."""
    mean, std = np.zeros(len(BANDS)), np.zeros(len(BANDS))
    for band in range(len(BANDS)):
        values = train.images[:, :, band].astype(np.float32)
        mean[band], std[band] = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    statistics = {"bands": list(BANDS), "mean": mean.tolist(), "std": std.tolist(), "name": "dataset"}
    return EuroMineImageProcessor.from_statistics(statistics)


def under_condition(series: SiteSeries, condition: str, training: bool) -> SiteSeries:
    """The same sites under a condition; site by site always the same draws.

    Args:
        series: Sites as simulated.
        condition: A key of `CONDITIONS`, or "clean".
        training: Whether a network is trained on them: label noise disturbs these alone, as scores against
            wrong labels say little.
    """
    if condition == CLEAN or (condition == LABEL_NOISE and not training):
        return series
    disturb = CONDITIONS[condition]
    parts = []
    for place, name in enumerate(series.names):
        site = SiteSeries(
            (name,),
            series.years[place : place + 1],
            series.images[place : place + 1],
            series.labels[place : place + 1],
            series.truth[place : place + 1],
        )
        seed = [len(condition), *condition.encode(), *name.encode()]
        parts.append(disturb(site, np.random.default_rng(seed)))
    return _stacked(parts)


def _smooth_noise(rng: np.random.Generator, shape: Sequence[int], sigma: float) -> NDArray[np.float32]:
    """Noise of unit variance with a correlation length in pixels, for each map by itself."""
    noise = rng.standard_normal(tuple(shape)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (0,) * (noise.ndim - 2) + (sigma, sigma), mode="wrap")
    return smooth / max(float(smooth.std()), 1e-6)


def _with_label_noise(site: SiteSeries, rng: np.random.Generator) -> SiteSeries:
    """Borders drawn anew in every year, independently, a pixel or two off."""
    labels = site.labels[0].astype(np.float32)
    near = ndimage.gaussian_filter(labels, (0, _EDGE_SIGMA, _EDGE_SIGMA), mode="nearest")
    stray = _EDGE_STRAY * np.clip(_smooth_noise(rng, labels.shape, 2.5), -1.2, 1.2) / 1.6
    return replace(site, labels=(near + stray > 0.5).astype(np.uint8)[None])


def _with_haze(site: SiteSeries, rng: np.random.Generator) -> SiteSeries:
    """Uneven haze over some years: a share of the ground's light gives way to scattered light."""
    images = site.images[0].astype(np.float32)
    years, _, height, width = images.shape
    hazy = rng.random(years) < _HAZY_SHARE
    thickness = rng.uniform(0.2, _THICKEST_HAZE, years) * hazy
    uneven = 1 + 0.4 * np.clip(_smooth_noise(rng, (years, height, width), 24), -2, 2)
    share = (thickness[:, None, None] * uneven).clip(0, 0.8)[:, None] * (_HAZE / _HAZE[0])[:, None, None]
    mixed = images * (1 - share) + _HAZE[:, None, None] * share
    return replace(site, images=mixed.round().astype(np.int16)[None])


def _misregistered(site: SiteSeries, rng: np.random.Generator) -> SiteSeries:
    """Each year's image half a pixel off, in a direction of its own; labels stay."""
    images = site.images[0].astype(np.float32)
    for year, angle in enumerate(rng.uniform(0, 2 * np.pi, len(images))):
        shift = (0, _SHIFT * np.sin(angle), _SHIFT * np.cos(angle))
        images[year] = ndimage.shift(images[year], shift, order=3, mode="nearest")
    kept = images.round().clip(1, np.iinfo(np.int16).max)
    return replace(site, images=kept.astype(np.int16)[None])


def _with_missing_years(site: SiteSeries, rng: np.random.Generator) -> SiteSeries:
    """Some years without an image, and so without a score."""
    count = site.years.shape[1]
    missing = min(_MISSING_YEARS, count - 2)
    kept = np.sort(rng.permutation(count)[missing:])
    return SiteSeries(
        site.names, site.years[:, kept], site.images[:, kept], site.labels[:, kept], site.truth[:, kept]
    )


def _scored_by_truth(site: SiteSeries, rng: np.random.Generator) -> SiteSeries:
    """The true footprints in place of an annotator's, whose borders waver from year to year."""
    return replace(site, labels=site.truth)


LABEL_NOISE = "label-noise"
CONDITIONS: dict[str, Callable[[SiteSeries, np.random.Generator], SiteSeries]] = {
    LABEL_NOISE: _with_label_noise,
    "haze": _with_haze,
    "misregistration": _misregistered,
    "missing-years": _with_missing_years,
    "true-labels": _scored_by_truth,
}
CONDITION_TITLES: dict[str, str] = {
    CLEAN: "as simulated",
    LABEL_NOISE: "noisy training labels",
    "haze": "haze",
    "misregistration": "half a pixel off",
    "missing-years": "three of ten years missing",
    "true-labels": "scored against the truth",
}
