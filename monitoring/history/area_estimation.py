"""Error-adjusted areas: the stratified estimator of Olofsson et al. (2014) and its intervals.

A mapped area is biased, because omissions and commissions need not balance. The stratified estimator of
Olofsson et al., "Good practices for estimating area and assessing accuracy of land change", Remote Sensing of
Environment 148, 2014, section 4, corrects it. The mapped classes are the strata; the share of each that is
truly mine (gain, loss) comes from reference data, here the labels of validation sites.

The interval depends on the sampling unit. Eq. 10 of the paper assumes pixels that were drawn independently;
whole labelled sites are clusters of similar pixels, and a million of them would give far too narrow an
interval. The default, "site", therefore measures how much the shares vary between validation sites and gives
the interval of a single site that the model has not seen (`Uncertainty`).

No interval covers errors in the labels themselves, or ground unlike the validation sites. The share of mines
missed in the stratum "other" holds for scenes in which mines are about as common as at those sites;
`area_series.area_caveats` reports where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from euromine.support.errors import ArgumentError

Areas = NDArray[np.float64]

Uncertainty = Literal["site", "region", "pixels"]
"""The area that an interval covers.

"site": the area of one site that is not among the validation sites. "region": the area of very many such
sites, whose own errors balance; the validation sites are the sample. "pixels": eq. 10 of Olofsson et al., as
if every pixel had been drawn independently.
"""

FOOTPRINT_CLASSES = ("other", "mine")
CHANGE_CLASSES = ("stable", "gain", "loss")


@dataclass(frozen=True, eq=False)
class Confusion:
    """Mapped against labelled pixels at validation sites.

    Attributes:
        classes: `FOOTPRINT_CLASSES` or `CHANGE_CLASSES`.
        sites: Names of the sites.
        counts: Pixels by site, mapped class and labelled class, int64 (sites, classes, classes).

    Raises:
        ArgumentError: The counts have another shape or type, are negative or all 0.
    """

    classes: tuple[str, ...]
    sites: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.sites), len(self.classes), len(self.classes))
        if self.counts.shape != expected or self.counts.dtype.kind not in "iu":
            raise ArgumentError(
                f"counts: found {self.counts.dtype} {self.counts.shape}; expected whole numbers {expected}: "
                "sites, mapped classes, labelled classes."
            )
        if (self.counts < 0).any() or not self.counts.any():
            found = "negative ones" if (self.counts < 0).any() else "only 0"
            raise ArgumentError(f"counts: found {found}; expected numbers of pixels.")

    def pooled(self) -> NDArray[np.int64]:
        """Pixels of all sites by mapped class and labelled class, (classes, classes)."""
        return self.counts.sum(axis=0)

    def mapped_shares(self) -> NDArray[np.float64]:
        """The share of each mapped class at each site that has pixels, (sites, classes)."""
        mapped = self.counts.sum(axis=2)
        mapped = mapped[mapped.any(axis=1)]
        return mapped / mapped.sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class AreaEstimate:
    """Error-adjusted areas, one entry per class, in the units of the mapped areas.

    Attributes:
        area: The estimates (Olofsson et al. 2014, eq. 9 and 11).
        standard_error: Their standard errors; NaN where the validation sites do not determine them.
        low: Lower ends of the intervals, at least 0.
        high: Upper ends, at most the whole mapped area.
        overall_accuracy: Share of the area that is mapped correctly (eq. 1).
        users_accuracy: Share of each mapped class that is correct (eq. 2).
        producers_accuracy: Share of each true class that is mapped as such (eq. 3).
    """

    area: Areas
    standard_error: Areas
    low: Areas
    high: Areas
    overall_accuracy: float
    users_accuracy: Areas
    producers_accuracy: Areas


def adjusted_areas(
    mapped: Sequence[float] | Areas,
    confusion: Confusion,
    *,
    uncertainty: Uncertainty = "site",
    confidence: float = 0.95,
) -> AreaEstimate:
    """The stratified error-adjusted estimate of each class's area.

    With W_i the share of the area mapped as class i, and n_ik of the n_i validation pixels mapped as i
    labelled k, the share of class k is p_k = sum_i W_i n_ik / n_i (Olofsson et al. 2014, eq. 9); its area is
    p_k times that of all strata (eq. 11).

    The variance of p_k is, for "pixels", sum_i W_i^2 (n_ik / n_i)(1 - n_ik / n_i) / (n_i - 1) (eq. 10), and
    the interval takes the normal quantile (eq. 12). For "region", n_ik / n_i is a ratio of sums over m sites,
    and p_k a sum of such ratios over the same sites: by linearisation (Cochran, Sampling Techniques, 1977,
    sections 6.3 and 9A) its variance is m / (m - 1) sum_s d_s^2 with d_s = sum_i W_i (n_isk - n_is n_ik /
    n_i) / n_i. "site" adds the variance of the share between sites, each weighted by its pixels of the
    stratum: a site's own share differs from the mean, however well the mean is known. Both take Student's
    quantile with m - 1 degrees of freedom.

    Args:
        mapped: The area mapped as each class, in any unit.
        confusion: Mapped against labelled pixels at the validation sites, of the same classes.
        uncertainty: What the interval covers.
        confidence: The probability with which it does.

    Returns:
        The estimates; NaN where a class that is mapped here was never mapped at the validation sites. Errors
        are NaN, too, where fewer than two sites determine them.

    Raises:
        ArgumentError: The areas do not match the classes or are negative, or the uncertainty or the
            confidence is invalid.
    """
    areas = np.asarray(mapped, dtype=np.float64)
    if areas.shape != (len(confusion.classes),) or not (np.isfinite(areas) & (areas >= 0)).all():
        raise ArgumentError(
            f"mapped: found {areas.tolist()}; expected an area of at least 0 for each of "
            f"{', '.join(confusion.classes)}."
        )
    if uncertainty not in get_args(Uncertainty):
        raise ArgumentError(
            f"uncertainty: found {uncertainty!r}; expected one of {', '.join(get_args(Uncertainty))}."
        )
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence: found {confidence}; expected a probability between 0 and 1.")
    total = float(areas.sum())
    present = areas > 0
    counts = confusion.counts[confusion.counts.any(axis=(1, 2))].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = areas / total
        mapped_pixels = counts.sum(axis=(0, 2))
        shares = counts.sum(axis=0) / mapped_pixels[:, None]
        # A stratum without area contributes nothing, even if its shares are unknown.
        cells = np.where(present[:, None], weights[:, None] * shares, 0.0)
        share = cells.sum(axis=0)
        variance, quantile = _variance(counts, weights, present, uncertainty, confidence)
        error = total * np.sqrt(variance)
        producers = np.diag(cells) / share
    estimate = total * share
    return AreaEstimate(
        area=estimate,
        standard_error=error,
        low=np.maximum(estimate - quantile * error, 0.0),
        high=np.minimum(estimate + quantile * error, total),
        overall_accuracy=float(np.trace(cells)),
        users_accuracy=np.diag(shares).copy(),
        producers_accuracy=producers,
    )


def _variance(
    counts: Areas, weights: Areas, present: NDArray[np.bool_], uncertainty: str, confidence: float
) -> tuple[Areas, float]:
    """The variance of each class's share, and half the interval's width in standard errors.

    Args:
        counts: Pixels (sites, mapped, labelled), of sites that have any.
        weights: The share of the area mapped as each class.
        present: Which of them are above 0.
        uncertainty: What the interval covers.
        confidence: The probability with which it does.
    """
    sites = len(counts)
    mapped = counts.sum(axis=2)
    of_all = mapped.sum(axis=0)
    shares = counts.sum(axis=0) / of_all[:, None]
    tail = (1 + confidence) / 2
    if uncertainty == "pixels":
        terms = weights[:, None] ** 2 * shares * (1 - shares) / (of_all - 1)[:, None]
        return np.where(present[:, None], terms, 0.0).sum(axis=0), float(stdtrit(math.inf, tail))
    if sites < 2:
        return np.full(len(weights), np.nan), math.nan
    # The deviation of each site's share from that of all sites (sites, mapped, labelled); sites without
    # pixels of a stratum do not count for it.
    there = mapped > 0
    deviations = np.where(there[..., None], counts / np.where(there, mapped, 1)[..., None] - shares, 0.0)
    deviations = np.where(present[:, None], weights[:, None] * deviations, 0.0)
    portions = mapped / np.where(of_all > 0, of_all, 1)  # a class that no site has, and this scene neither
    variance: Areas = sites / (sites - 1) * ((portions[..., None] * deviations).sum(axis=1) ** 2).sum(axis=0)
    if uncertainty == "site":
        spread = np.sqrt(portions / (1 - (portions**2).sum(axis=0)))
        scaled = np.where(present[:, None], spread[..., None] * deviations, 0.0)
        variance += (scaled.sum(axis=1) ** 2).sum(axis=0)
        # A single site does not show how its stratum varies between sites.
        if ((there.sum(axis=0) < 2) & present).any():
            variance = np.full(len(weights), np.nan)
    return variance, float(stdtrit(sites - 1, tail))
