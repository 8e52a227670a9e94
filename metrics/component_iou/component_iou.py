"""Component IoU: IoU and F1 of the components of a mine, which may overlap.

The classes are MineCam's, Jablonska et al., Remote Sensing 2024, 16(6), 955, doi:10.3390/rs16060955.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from .averaging import Scores, binary_scores, mean_of_defined
from .counts import Counts, CountTable
from .series_metric import SeriesMetric

CLASSES = (
    "preparatory_works",
    "excavation",
    "dumping_ground",
    "stockpile",
    "settling_pond",
    "infrastructure",
    "dam",
    "tailings_storage_facility",
    "outcrop",
    "overburden",
    "production_slope",
    "transport_slope",
)
"""MineCam's twelve component classes; class i is bit i of a pixel."""

NOT_ANNOTATED = 15
"""Bit of a reference pixel of which nothing is known."""

UNKNOWN_CLASSES = 16
"""Bit 16 + i of a reference pixel says that class i was not annotated there."""

TOTAL = "total_area"
"""Any component at all: the total transformed area."""

CITATION = """\
@article{jablonska2024minecam,
  author = {Jablonska and others},
  journal = {Remote Sensing},
  volume = {16},
  number = {6},
  pages = {955},
  year = {2024},
  doi = {10.3390/rs16060955},
}
"""

_DESCRIPTION = """\
IoU and F1 of each component class of a mine, their means over the classes and over groups of classes, and
those of the total transformed area. A pixel may belong to several components.
"""

_INPUTS = """
An example is the series of a patch or scene: predictions and references (years, height, width), unsigned
integers in which bit i is class i; in references bit 15 ignores a pixel and bit 16 + i ignores class i there;
sites the name of its site, years its calendar years (optional).

Returns macro_iou, macro_f1, pooled_iou, pooled_f1, total_area_iou, total_area_f1, the same of each group as
macro_iou_<group> and so on; iou and f1, one entry per class; iou_by_year and f1_by_year, per year and class;
classes, years, pixels, sites (the same per site) and, with bootstrap=N, confidence_intervals.
"""

_FIELDS = 4
# The classes and the total.
_MAPS = len(CLASSES) + 1
# 2^16 pixels with all classes take a megabyte.
_PIXELS_AT_ONCE = 1 << 16


def checked_groups(label_groups: Mapping[str, Sequence[str]] | None) -> dict[str, list[int]]:
    """Indices of the classes of each group.

    Raises:
        ValueError: A class is unknown or named twice in a group, or a group is empty.
    """
    groups = {}
    for name, classes in (label_groups or {}).items():
        if isinstance(classes, str) or not classes:
            raise ValueError(f"label_groups: found {classes!r} for {name}; expected a list of classes.")
        for each in classes:
            if each not in CLASSES:
                raise ValueError(
                    f"label_groups: found the class {each!r} in {name}; expected some of "
                    f"{', '.join(CLASSES)}."
                )
        if len(set(classes)) < len(classes):
            raise ValueError(f"label_groups: found a class twice in {name}; expected each class once.")
        groups[str(name)] = [CLASSES.index(each) for each in classes]
    return groups


def count_components(prediction: NDArray[Any], reference: NDArray[Any], name: str) -> Counts:
    """Counts every class, and the total area, year by year.

    The total area is known where every class is, and where any class is there.

    Args:
        prediction: (years, height, width), unsigned or non-negative integers, bits 0 to 11.
        reference: The same, also with bits 15 and 16 to 27.
        name: Name of the example in errors, such as "example 3".

    Returns:
        (years, 13, 4): true positives, predicted, actual and valid pixels of the classes and the total.

    Raises:
        ValueError: Shapes differ, a type is not an integer, or a bit has no meaning.
    """
    if prediction.shape != reference.shape or prediction.ndim != 3 or 0 in prediction.shape[1:]:
        raise ValueError(
            f"{name}: found a prediction of shape {prediction.shape} and a reference of shape "
            f"{reference.shape}; expected the same (years, height, width) with pixels in it."
        )
    classes = (1 << len(CLASSES)) - 1
    allowed = {"prediction": classes, "reference": classes | 1 << NOT_ANNOTATED | classes << UNKNOWN_CLASSES}
    bits = {}
    for what, maps in (("prediction", prediction), ("reference", reference)):
        bits[what] = _as_bits(maps, allowed[what], f"{what} of {name}")
    counts = np.zeros((len(prediction), _MAPS, _FIELDS), np.int64)
    for year, (predicted, actual) in enumerate(zip(bits["prediction"], bits["reference"], strict=True)):
        flat = predicted.ravel(), actual.ravel()
        for start in range(0, flat[0].size, _PIXELS_AT_ONCE):
            counts[year] += _counts(*(part[start : start + _PIXELS_AT_ONCE] for part in flat))
    return counts


def _as_bits(maps: NDArray[Any], allowed: int, name: str) -> NDArray[np.uint32]:
    if not np.issubdtype(maps.dtype, np.integer):
        raise ValueError(f"{name}: found the type {maps.dtype}; expected integers with a bit for each class.")
    if maps.size and (int(maps.min()) < 0 or int(maps.max()) > 0xFFFFFFFF):
        raise ValueError(f"{name}: found {int(maps.min())} to {int(maps.max())}; expected 32 bits.")
    bits = maps.astype(np.uint32, copy=False)
    if others := int(np.bitwise_or.reduce(bits, axis=None)) & ~allowed:
        found = [str(bit) for bit in range(32) if others >> bit & 1]
        raise ValueError(
            f"{name}: found bit {', '.join(found)}; expected bits 0 to {len(CLASSES) - 1}, one for each "
            "class."
        )
    return bits


def _counts(predicted: NDArray[np.uint32], actual: NDArray[np.uint32]) -> Counts:
    """(pixels,) each -> (13, 4)."""
    index = np.arange(len(CLASSES), dtype=np.uint32)[:, None]
    annotated = (actual >> np.uint32(NOT_ANNOTATED) & 1) == 0
    valid = annotated & ((actual >> (UNKNOWN_CLASSES + index) & 1) == 0)
    there, found = (actual >> index & 1 == 1) & valid, (predicted >> index & 1 == 1) & valid
    # A component settles the total area, whatever is unknown of the others.
    known = annotated & (valid.all(axis=0) | there.any(axis=0))
    classes = predicted & np.uint32((1 << len(CLASSES)) - 1)
    valid, there, found = (
        np.concatenate([each, total[None]])
        for each, total in (
            (valid, known),
            (there, there.any(axis=0) & known),
            (found, (classes > 0) & known),
        )
    )
    return np.stack([each.sum(axis=1) for each in (there & found, found, there, valid)], axis=1)


def component_scores(counts: Counts, groups: Mapping[str, Sequence[int]], zero_division: float) -> Scores:
    """Scores the counts of one site or several.

    Args:
        counts: (..., years, 13, 4), from `count_components`.
        groups: Indices of the classes of each group.
        zero_division: The score of a class with valid pixels but a denominator of 0.

    Returns:
        `macro_*`, `pooled_*` and `total_area_*` (...), those of each group too; `iou` and `f1`
        (..., classes); `iou_by_year` and `f1_by_year` (..., years, classes).
    """
    all_years = counts.sum(axis=-3)
    by_class, by_year = binary_scores(all_years, zero_division), binary_scores(counts, zero_division)
    scores: Scores = {}
    for name, members in {"": list(range(len(CLASSES))), **groups}.items():
        ending = name and f"_{name}"
        pooled = binary_scores(all_years[..., members, :].sum(axis=-2), zero_division)
        for score in ("iou", "f1"):
            scores[f"macro_{score}{ending}"] = mean_of_defined(by_class[score][..., members])
            scores[f"pooled_{score}{ending}"] = pooled[score]
    for score in ("iou", "f1"):
        scores[f"{TOTAL}_{score}"] = by_class[score][..., -1]
        scores[score] = by_class[score][..., :-1]
        scores[f"{score}_by_year"] = by_year[score][..., :-1]
    return scores


class ComponentIoU(SeriesMetric):
    """IoU and F1 of the components of a mine.

    A class that is neither predicted nor in the reference has no score and is left out of every mean.

    Args:
        config_name: As in `SeriesMetric`.
        num_process: As in `SeriesMetric`.
        label_groups: Names of the classes of each group, whose scores are added; groups may share classes.
        **options: As in `SeriesMetric`.

    Raises:
        ValueError: As in `SeriesMetric`, or of `checked_groups`.

    Example:
        >>> metric = ComponentIoU()
        >>> metric.add(prediction=[[[2, 2, 4]]], reference=[[[2, 6, 4]]], site="Spain_1")
        >>> result = metric.compute()
        >>> result["iou"][1], result["iou"][2], result["macro_iou"]
        (1.0, 0.5, 0.75)
    """

    metric_name = "component_iou"

    def __init__(
        self,
        config_name: str | None = None,
        num_process: int = 1,
        label_groups: Mapping[str, Sequence[str]] | None = None,
        **options: Any,
    ) -> None:
        self._groups = checked_groups(label_groups)
        super().__init__(config_name, num_process, **options)

    def _info(self) -> evaluate.MetricInfo:
        maps = datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("uint32"))))
        features = datasets.Features(
            {
                "predictions": maps,
                "references": maps,
                "sites": datasets.Value("string"),
                "years": datasets.Sequence(datasets.Value("int32")),
            }
        )
        return evaluate.MetricInfo(
            description=_DESCRIPTION, citation=CITATION, inputs_description=_INPUTS, features=features
        )

    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        counts = count_components(prediction, reference, name)
        pairs = len(counts) * (len(counts) - 1) // 2
        # Nothing is counted by pair.
        return counts.reshape(len(counts), _MAPS * _FIELDS), np.empty((pairs, 0), np.int64)

    def _pixels(self, table: CountTable) -> Counts:
        by_class = table.by_year.reshape(*table.by_year.shape[:-1], _MAPS, _FIELDS)
        # Where any class was annotated.
        return by_class[..., 3].max(axis=-1).sum(axis=-1)

    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        counts = by_year.reshape(*by_year.shape[:-1], _MAPS, _FIELDS)
        return component_scores(counts, self._groups, zero_division)

    def _axes(self, years: Sequence[int]) -> dict[str, list[Any]]:
        return {"years": list(years), "classes": list(CLASSES)}
