"""Mined area by year and its change, on the true ground, with an interval from the model's errors.

A map's own area is biased: what the model misses and what it takes for a mine need not balance. The
stratified estimator of Olofsson et al., "Good practices for estimating area and assessing accuracy of land
change", Remote Sensing of Environment 148, 2014, section 4, corrects it: the mapped classes are the strata,
and of each the share that is truly a mine (gain, loss) is known from reference data, here the labels of
validation sites.

How sure that is depends on what is taken for the sample. Its equation 10 is for pixels that were drawn
independently; whole labelled sites are clusters, whose pixels are alike, and a million of them would give an
interval that is far too narrow. So the default, "site", asks how much the shares differ from one validation
site to another: it is the interval of a site that the model has not seen (`Uncertainty`).

Two things it cannot see: labels that are wrong themselves, and ground unlike the validation sites'. The share
of missed mines among what is mapped as other holds for scenes in which mines are about as common as there;
`area_caveats` says where they are not.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from euromine.support.files import write_text
from euromine.support.ground_areas import pixel_areas
from euromine.support.rasters import crs_name

from .map_values import GAIN, LOSS, NO_CHANGE, NODATA, UNDIRECTED

Maps = NDArray[np.uint8]
Areas = NDArray[np.float64]
Blocks = Maps | Iterable[Maps]
"""Maps (maps, height, width), or their blocks of rows from the top, each (maps, rows, width)."""

Uncertainty = Literal["site", "region", "pixels"]
"""What an interval covers.

"site": the area of one site that is none of the validation sites. "region": the area of very many such
sites, whose own errors balance; the validation sites are the sample. "pixels": equation 10 of Olofsson et
al., as if each pixel had been drawn on its own.
"""

FOOTPRINT_CLASSES = ("other", "mine")
CHANGE_CLASSES = ("stable", "gain", "loss")
HECTARE = 10_000.0
_CONFIDENCE = 0.95


class GridLike(Protocol):
    """What areas need of a grid (`monitoring.grids.Grid`)."""

    @property
    def crs(self) -> Any:
        """The coordinate system, as of rasterio."""

    @property
    def transform(self) -> Any:
        """Six affine coefficients, or more."""

    @property
    def width(self) -> int:
        """Columns."""

    @property
    def height(self) -> int:
        """Rows."""


@dataclass(frozen=True, eq=False)
class Confusion:
    """What a model was seen to map at validation sites, beside what their labels say.

    Attributes:
        classes: `FOOTPRINT_CLASSES` or `CHANGE_CLASSES`.
        sites: Names of the sites.
        counts: Pixels by site, mapped class and labelled class, int64 (sites, classes, classes).

    Raises:
        ValueError: The counts do not fit, are negative or are none at all.
    """

    classes: tuple[str, ...]
    sites: tuple[str, ...]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        expected = (len(self.sites), len(self.classes), len(self.classes))
        if self.counts.shape != expected or self.counts.dtype.kind not in "iu":
            raise ValueError(
                f"the confusion counts are {self.counts.dtype} {self.counts.shape}, whole numbers {expected} "
                "were expected: sites, mapped and labelled classes"
            )
        if (self.counts < 0).any() or not self.counts.any():
            raise ValueError("the confusion counts are negative or all 0, numbers of pixels were expected")

    def pooled(self) -> NDArray[np.int64]:
        """Pixels of all sites by mapped class and labelled class, (classes, classes)."""
        return self.counts.sum(axis=0)

    def mapped_shares(self) -> NDArray[np.float64]:
        """The share of each mapped class at each site that has pixels, (sites, classes)."""
        mapped = self.counts.sum(axis=2)
        return mapped[mapped.any(axis=1)] / mapped[mapped.any(axis=1)].sum(axis=1, keepdims=True)


@dataclass(frozen=True, eq=False)
class AreaEstimate:
    """Error-adjusted areas, one entry a class, in the units of the mapped areas.

    Attributes:
        area: The estimates (Olofsson et al. 2014, eq. 9 and 11).
        standard_error: Their standard errors; nan where the validation tells none.
        low: Lower ends of the intervals, not below 0.
        high: Upper ends, not above all that was mapped.
        overall_accuracy: Share of the area that is mapped right (eq. 1).
        users_accuracy: Share of each mapped class that is right (eq. 2).
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
    confidence: float = _CONFIDENCE,
) -> AreaEstimate:
    """The stratified error-adjusted estimate of each class's area.

    With W_i the share of the area that is mapped as class i, and n_ik of the n_i validation pixels mapped as
    i labelled as k, the share of class k is p_k = sum_i W_i n_ik / n_i (Olofsson et al. 2014, eq. 9), its
    area that of all strata times p_k (eq. 11).

    The variance of p_k is, for "pixels", sum_i W_i^2 (n_ik / n_i)(1 - n_ik / n_i) / (n_i - 1) (eq. 10), and
    the interval takes the normal's quantile (eq. 12). For "region" n_ik / n_i is a ratio of sums over m
    sites, and p_k a sum of such ratios of the same sites: by linearisation (Cochran, Sampling Techniques,
    1977, sections 6.3 and 9A) the variance is m / (m - 1) sum_s d_s^2 with d_s = sum_i W_i (n_isk - n_is n_ik
    / n_i) / n_i. For "site" the variance of the share from site to site is added, sites weighted by their
    pixels of the stratum: a site's own share differs from the mean of all, however well that is known. Both
    take Student's quantile of m - 1 degrees of freedom.

    Args:
        mapped: The area mapped as each class, in any unit.
        confusion: What the model was seen to do, of the same classes.
        uncertainty: What the interval covers.
        confidence: With which probability.

    Returns:
        The estimates, nan where a class that is mapped here was never mapped at the validation sites; their
        errors nan, too, where fewer than two sites tell of it.

    Raises:
        ValueError: The classes do not fit, an area is negative, or there is no such uncertainty.
    """
    areas = np.asarray(mapped, dtype=np.float64)
    if areas.shape != (len(confusion.classes),) or not (np.isfinite(areas) & (areas >= 0)).all():
        raise ValueError(
            f"the mapped areas are {areas.tolist()}, one of 0 or more was expected for each of "
            f"{', '.join(confusion.classes)}"
        )
    if uncertainty not in get_args(Uncertainty):
        raise ValueError(
            f"the uncertainty is {uncertainty!r}, one of {', '.join(get_args(Uncertainty))} was expected"
        )
    if not 0 < confidence < 1:
        raise ValueError(f"the confidence is {confidence}, a probability between 0 and 1 was expected")
    total = float(areas.sum())
    present = areas > 0
    counts = confusion.counts[confusion.counts.any(axis=(1, 2))].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = areas / total
        mapped_pixels = counts.sum(axis=(0, 2))
        shares = counts.sum(axis=0) / mapped_pixels[:, None]
        # A stratum of no area adds nothing, whatever is or is not known of it.
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
    """The variance of each class's share and how many standard errors an interval reaches.

    Args:
        counts: (sites, mapped, labelled), sites without pixels left out.
        weights: Shares of the mapped area.
        present: Which of them are above 0.
        uncertainty: What the interval covers.
        confidence: With which probability.
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
    # How far each site's share is from all sites' (sites, mapped, labelled); a site without pixels of a
    # stratum tells nothing of it.
    there = mapped > 0
    deviations = np.where(there[..., None], counts / np.where(there, mapped, 1)[..., None] - shares, 0.0)
    deviations = np.where(present[:, None], weights[:, None] * deviations, 0.0)
    portions = mapped / of_all
    variance: Areas = sites / (sites - 1) * ((portions[..., None] * deviations).sum(axis=1) ** 2).sum(axis=0)
    if uncertainty == "site":
        spread = np.sqrt(portions / (1 - (portions**2).sum(axis=0)))
        scaled = np.where(present[:, None], spread[..., None] * deviations, 0.0)
        variance += (scaled.sum(axis=1) ** 2).sum(axis=0)
        # Of a stratum that one site alone has, nobody knows how it differs between sites.
        if ((there.sum(axis=0) < 2) & present).any():
            variance = np.full(len(weights), np.nan)
    return variance, float(stdtrit(sites - 1, tail))


@dataclass(frozen=True)
class YearArea:
    """The mined area of a site in a year: a row of `areas.csv`, in hectares.

    Attributes:
        site: The site's name.
        year: The year.
        pixels: Pixels mapped as mine.
        area_ha: Their area on the ground.
        adjusted_ha: The error-adjusted estimate of the mined area; None where the model's errors are unknown.
        low_ha: Lower end of its interval of 95 %; None where nothing tells it.
        high_ha: Upper end.
        known_share: Share of the scene's area that was seen.
        standard_error_ha: Standard error of the estimate.
        known_ha: The area that was seen; all figures are of it alone.
    """

    site: str
    year: int
    pixels: int
    area_ha: float
    adjusted_ha: float | None
    low_ha: float | None
    high_ha: float | None
    known_share: float
    standard_error_ha: float | None
    known_ha: float


@dataclass(frozen=True)
class PairChange:
    """The change of a site between two years: a row of `changes.csv`, in hectares.

    Attributes:
        site: The site's name.
        year_1: The earlier year.
        year_2: The later year.
        gain_ha: Area that is mine in the later year alone, as mapped.
        loss_ha: Area that is mine in the earlier year alone.
        undirected_ha: Area of change whose direction is unknown.
        known_share: Share of the scene's area that was seen in both years.
        gain_low_ha: Lower end of the interval of 95 % of the gain; None where nothing tells it.
        gain_high_ha: Upper end.
        loss_low_ha: Lower end of that of the loss.
        loss_high_ha: Upper end.
        gain_adjusted_ha: The error-adjusted estimate of the gain.
        loss_adjusted_ha: That of the loss.
        known_ha: The area that was seen in both years; all figures are of it alone.
    """

    site: str
    year_1: int
    year_2: int
    gain_ha: float
    loss_ha: float
    undirected_ha: float
    known_share: float
    gain_low_ha: float | None
    gain_high_ha: float | None
    loss_low_ha: float | None
    loss_high_ha: float | None
    gain_adjusted_ha: float | None
    loss_adjusted_ha: float | None
    known_ha: float


def change_map(first: Maps, second: Maps) -> Maps:
    """Gain and loss between two years' footprints.

    Args:
        first: The earlier year's, 0 other, 1 mine, 255 unknown, any shape.
        second: The later year's, of the same shape.

    Returns:
        uint8: 0 no change, 1 gain, 2 loss, 255 where either is unknown.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"the footprints have the shapes {first.shape} and {second.shape}, the same was expected"
        )
    change: Maps = np.where(first == second, np.uint8(NO_CHANGE), np.where(second == 1, GAIN, LOSS))
    change = change.astype(np.uint8, copy=False)
    change[(first == NODATA) | (second == NODATA)] = NODATA
    return change


def areas_by_year(
    footprints: Blocks,
    years: Sequence[int],
    grid: GridLike,
    *,
    site: str = "",
    confusion: Confusion | None = None,
    uncertainty: Uncertainty = "site",
) -> list[YearArea]:
    """The mined area of each year on the ground.

    Args:
        footprints: (years, height, width) uint8, 0 other, 1 mine, 255 unknown; or blocks of rows of it.
        years: The years.
        grid: Of the scene: in degrees the areas are geodesic, otherwise those of the projection.
        site: The site's name.
        confusion: What the model was seen to do, of `FOOTPRINT_CLASSES`.
        uncertainty: What the intervals cover.

    Raises:
        ValueError: The maps do not fit the years or the grid, or hold other values.
    """
    _check_classes(confusion, FOOTPRINT_CLASSES)
    pixels, areas = _sums(footprints, len(years), grid, (0, 1, NODATA), "footprints")
    rows = []
    for year, counted, (other, mine, unknown) in zip(years, pixels, areas, strict=True):
        known = other + mine
        estimate = _estimate((other, mine), confusion, uncertainty)
        rows.append(
            YearArea(
                site=site,
                year=int(year),
                pixels=int(counted[1]),
                area_ha=mine / HECTARE,
                **_columns(estimate, 1, adjusted="adjusted_ha", low="low_ha", high="high_ha"),
                known_share=known / (known + unknown),
                standard_error_ha=_number(estimate.standard_error[1]) if estimate else None,
                known_ha=known / HECTARE,
            )
        )
    return rows


def changes_by_pair(
    changes: Blocks,
    pairs: Sequence[tuple[int, int]],
    grid: GridLike,
    *,
    site: str = "",
    confusion: Mapping[int, Confusion] | None = None,
    uncertainty: Uncertainty = "site",
) -> list[PairChange]:
    """The gained and the lost area of each pair of years on the ground.

    Args:
        changes: (pairs, height, width) uint8, 0 no change, 1 gain, 2 loss, 3 change of unknown direction, 255
            unknown; or blocks of rows of it.
        pairs: The two calendar years of each.
        grid: As for `areas_by_year`.
        site: The site's name.
        confusion: What the model was seen to do, of `CHANGE_CLASSES`, by interval in years: a pair has an
            interval of confidence where its own is among them and all its change has a direction.
        uncertainty: What the intervals cover.

    Raises:
        ValueError: As for `areas_by_year`.
    """
    for each in (confusion or {}).values():
        _check_classes(each, CHANGE_CLASSES)
    _, areas = _sums(changes, len(pairs), grid, (NO_CHANGE, GAIN, LOSS, UNDIRECTED, NODATA), "changes")
    rows = []
    for (year_1, year_2), (stable, gain, loss, undirected, unknown) in zip(pairs, areas, strict=True):
        known = stable + gain + loss + undirected
        of_interval = None if confusion is None or undirected else confusion.get(int(year_2) - int(year_1))
        estimate = _estimate((stable, gain, loss), of_interval, uncertainty)
        rows.append(
            PairChange(
                site=site,
                year_1=int(year_1),
                year_2=int(year_2),
                gain_ha=gain / HECTARE,
                loss_ha=loss / HECTARE,
                undirected_ha=undirected / HECTARE,
                known_share=known / (known + unknown),
                **_columns(estimate, 1, adjusted="gain_adjusted_ha", low="gain_low_ha", high="gain_high_ha"),
                **_columns(estimate, 2, adjusted="loss_adjusted_ha", low="loss_low_ha", high="loss_high_ha"),
                known_ha=known / HECTARE,
            )
        )
    return rows


def area_caveats(areas: Sequence[YearArea], confusion: Confusion | None) -> list[str]:
    """Where the adjusted areas rest on less than they seem to, a sentence each.

    Args:
        areas: What `areas_by_year` gave.
        confusion: What it was given.
    """
    if confusion is None:
        return ["The model's errors are unknown: areas are those of the map, without an interval."]
    caveats = []
    shares = confusion.mapped_shares()[:, 1]
    if len(shares) < 2:
        caveats.append(
            "The model's errors were counted at one site alone, which tells nothing of another: areas have "
            "no interval."
        )
    mapped = [row.area_ha / row.known_ha for row in areas if row.known_ha]
    if mapped and (min(mapped) < shares.min() or max(mapped) > shares.max()):
        caveats.append(
            f"Mines cover {_range(mapped)} of the map here and {_range(shares)} at the {len(shares)} sites "
            "where the model's errors were counted: how much it misses or invents there need not hold here, "
            "and the adjusted areas may be far off."
        )
    return caveats


def write_table(
    rows: Sequence[YearArea] | Sequence[PairChange],
    path: str | os.PathLike[str],
    row_type: type[YearArea] | type[PairChange] | None = None,
) -> None:
    """Write rows as CSV, at once: numbers to a square metre, nothing where nothing is known.

    Args:
        rows: What `areas_by_year` or `changes_by_pair` gave.
        path: The file.
        row_type: Of the rows, where there may be none.

    Raises:
        ValueError: There are no rows, and nothing says of what kind.
    """
    kind = row_type or (type(rows[0]) if rows else None)
    if kind is None:
        raise ValueError(f"{path}: there are no rows to write, one or more were expected")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(kind))
    writer.writerows([_cell(value) for value in astuple(row)] for row in rows)
    write_text(Path(path), text.getvalue())


def row_areas(grid: GridLike) -> Areas:
    """The ground area of a pixel in each row of a grid, in m2, (height,).

    Raises:
        ValueError: The grid has no coordinate system, or is in degrees and rotated.
    """
    if not grid.crs:
        raise ValueError("the grid has no coordinate system, which areas on the ground need")
    crs = grid.crs if isinstance(grid.crs, str) else crs_name(grid.crs)
    return pixel_areas(crs, tuple(grid.transform)[:6], grid.height)


def _sums(
    maps: Blocks, number: int, grid: GridLike, codes: Sequence[int], what: str
) -> tuple[NDArray[np.int64], Areas]:
    """Pixels and ground areas in m2 of each code in each map, (maps, codes) both."""
    of_rows = row_areas(grid)
    pixels = np.zeros((number, len(codes)), np.int64)
    areas = np.zeros((number, len(codes)), np.float64)
    top = 0
    for block in _blocks(maps):
        if block.ndim != 3 or block.dtype != np.uint8 or block.shape[0] != number:
            raise ValueError(
                f"the {what} are {block.dtype} {block.shape}, uint8 ({number}, height, width) was expected"
            )
        rows = block.shape[1]
        if block.shape[2] != grid.width or top + rows > grid.height:
            raise ValueError(
                f"the {what} are {top + rows} x {block.shape[2]} pixels or more, "
                f"{grid.height} x {grid.width} as the grid was expected"
            )
        by_row = np.stack([np.count_nonzero(block == code, axis=2) for code in codes], axis=1)
        if by_row.sum() != block.size:
            others = np.setdiff1d(block, codes)
            raise ValueError(
                f"the {what} hold the values {', '.join(map(str, others[:5]))}, "
                f"{', '.join(map(str, codes))} were expected alone"
            )
        pixels += by_row.sum(axis=2)
        areas += by_row @ of_rows[top : top + rows]
        top += rows
    if top != grid.height:
        raise ValueError(f"the {what} have {top} rows, {grid.height} as the grid was expected")
    return pixels, areas


def _blocks(maps: Blocks) -> Iterator[Maps]:
    """Blocks of rows, small enough that comparing them takes little memory."""
    if not isinstance(maps, np.ndarray):
        yield from maps
    elif maps.ndim != 3:
        yield maps
    else:
        rows = max(1, (1 << 22) // max(1, maps.shape[0] * maps.shape[2]))
        for top in range(0, maps.shape[1], rows):
            yield maps[:, top : top + rows]


def _estimate(
    areas: Sequence[float], confusion: Confusion | None, uncertainty: Uncertainty
) -> AreaEstimate | None:
    if confusion is None or not sum(areas):
        return None
    return adjusted_areas(areas, confusion, uncertainty=uncertainty)


def _columns(
    estimate: AreaEstimate | None, place: int, *, adjusted: str, low: str, high: str
) -> dict[str, float | None]:
    """The columns of a class's estimate, in hectares."""
    if estimate is None:
        return {adjusted: None, low: None, high: None}
    return {
        adjusted: _number(estimate.area[place]),
        low: _number(estimate.low[place]),
        high: _number(estimate.high[place]),
    }


def _number(area: float) -> float | None:
    """Square metres -> hectares; None for nan."""
    return None if math.isnan(area) else float(area) / HECTARE


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else value


def _check_classes(confusion: Confusion | None, classes: tuple[str, ...]) -> None:
    if confusion is not None and confusion.classes != classes:
        raise ValueError(
            f"the confusion is of {', '.join(confusion.classes)}, one of {', '.join(classes)} was expected"
        )


def _range(shares: Sequence[float] | Areas) -> str:
    low, high = (f"{100 * value:.2g} %" for value in (min(shares), max(shares)))
    return low if low == high else f"{low} to {high}"
