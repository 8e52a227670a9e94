"""Base class of the `evaluate` metrics, which count each example and keep only the counts.

Edit `metrics/series_metric.py`; `python -m euromine.metrics.synchronise` copies it into the folder of each
metric, which is published on its own.
"""

from __future__ import annotations

import abc
import itertools
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from .averaging import Averaging, Scores, average_scores
from .counts import Counts, CountTable, SiteCounts

FEATURES = datasets.Features(
    {
        "predictions": datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("uint8")))),
        "references": datasets.Sequence(datasets.Sequence(datasets.Sequence(datasets.Value("uint8")))),
        "sites": datasets.Value("string"),
        "years": datasets.Sequence(datasets.Value("int32")),
    }
)
"""Arguments of one example."""

CITATION = """\
@article{yu2026eurominenet,
  title = {{EuroMineNet}: A multitemporal {Sentinel-2} benchmark for spatiotemporal mining footprint analysis
    in the {European Union} (2015-2024)},
  author = {Yu, Weikang and Nwazelibe, Vincent and Ma, Xianping and Zhang, Xiaokang and Gloaguen, Richard
    and Zhu, Xiao Xiang and Ghamisi, Pedram},
  journal = {ISPRS Journal of Photogrammetry and Remote Sensing},
  year = {2026},
  doi = {10.1016/j.isprsjprs.2026.04.046},
}
"""
"""The paper that defines the benchmark's metrics."""


# Abstract also because evaluate.load takes a module's first metric class that is not abstract.
class SeriesMetric(evaluate.Metric, abc.ABC):
    """A metric over series of class maps that counts pixels on arrival and keeps only the counts.

    `evaluate` itself writes every map to an Arrow file and reads all of them back. This class replaces `add`,
    `add_batch` and `compute`: no file or lock is created, and one example bounds the memory.

    Args:
        config_name: One of `config_names`; default the first.
        num_process: Must be 1. Use `merge` to combine the metrics of several processes.
        **options: Other arguments of `evaluate.Metric`, without effect here.

    Raises:
        ValueError: The configuration is unknown, or `num_process` is not 1.
    """

    metric_name: ClassVar[str]
    config_names: ClassVar[tuple[str, ...]] = ("default",)

    def __init__(self, config_name: str | None = None, num_process: int = 1, **options: Any) -> None:
        if config_name is not None and config_name not in self.config_names:
            raise ValueError(
                f"config_name: found {config_name!r} for {self.metric_name}; expected "
                f"{' or '.join(repr(name) for name in self.config_names)}."
            )
        if num_process != 1:
            raise ValueError(
                f"num_process: found {num_process}; expected 1. Count in each process and combine the "
                "metrics with merge()."
            )
        super().__init__(config_name=config_name or self.config_names[0], **options)
        # evaluate derives the name from the class: CATIoU would become "cat_io_u".
        self.info.module_name = self.metric_name
        self._counts = SiteCounts()

    def __len__(self) -> int:
        return self._counts.examples

    def __bool__(self) -> bool:
        # Otherwise an empty metric, of length 0, would be false.
        return True

    def __getstate__(self) -> dict[str, Any]:
        # evaluate binds copies of these methods to each instance; the class has them anyway.
        return {
            name: value for name, value in vars(self).items() if name not in ("add", "add_batch", "compute")
        }

    def _build_data_dir(self) -> str:
        """Folder for evaluate's Arrow files, which is never created."""
        return str(Path(self._data_dir_root) / self.name / self.config_name)

    @abc.abstractmethod
    def _info(self) -> evaluate.MetricInfo:
        """Description, inputs and citation of the metric."""

    @abc.abstractmethod
    def _count(self, prediction: NDArray[Any], reference: NDArray[Any], name: str) -> tuple[Counts, Counts]:
        """Counts one example: by year (years, fields) and by pair of years (pairs, fields)."""

    @abc.abstractmethod
    def _pixels(self, table: CountTable) -> Counts:
        """The pixels of each site's reference that are not ignored, all years together: (sites,)."""

    @abc.abstractmethod
    def _scores(self, years: Sequence[int], by_year: Counts, by_pair: Counts, zero_division: float) -> Scores:
        """Counts (..., years, fields) and (..., years, years, fields) -> scores (...) and (..., *)."""

    def _axes(self, years: Sequence[int]) -> dict[str, list[Any]]:
        """Labels of the entries of scores that are lists."""
        return {"years": list(years)}

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        site: str | None = None,
        years: Sequence[int] | None = None,
        **plural: Any,
    ) -> None:
        """Counts one example.

        Args:
            prediction: The predicted maps, (years, height, width).
            reference: The reference maps, (years, height, width); 255 is ignored.
            site: The name of the site.
            years: The calendar years, ascending; default numbers from 0.
            **plural: `predictions`, `references` and `sites` stand for `prediction`, `reference` and `site`,
                as `evaluate.combine` names them.

        Raises:
            ValueError: As `add_batch`.
            TypeError: An argument is unknown.
        """
        one = {
            "predictions": plural.pop("predictions", prediction),
            "references": plural.pop("references", reference),
            "sites": plural.pop("sites", site),
        }
        if plural:
            raise TypeError(
                f"add(): found the argument {next(iter(plural))!r}; "
                "expected prediction, reference, site or years."
            )
        for name in ("predictions", "references"):
            if one[name] is None:
                raise ValueError(f"{name.removesuffix('s')}: found None; expected (years, height, width).")
        batch = {name: None if value is None else [value] for name, value in one.items()}
        self._add_to(self._counts, **batch, years=None if years is None else [years])

    def add_batch(
        self, *, predictions: Any = None, references: Any = None, sites: Any = None, years: Any = None
    ) -> None:
        """Counts a batch of examples, or none of them if one is refused.

        Args:
            predictions: (batch, years, height, width), or one (years, height, width) per example; 0, 1 and
                255 as integers or booleans, in NumPy arrays, torch tensors or nested lists.
            references: The same; 255 is ignored.
            sites: One name per example, or one name for all.
            years: The calendar years, ascending: one list for all examples or one per example; default
                numbers from 0.

        Raises:
            ValueError: An argument is missing, shapes or numbers of examples differ, or a value is not a
                class.
        """
        for name, values in (("predictions", predictions), ("references", references)):
            if values is None:
                raise ValueError(f"{name}: found None; expected one (years, height, width) per example.")
        self._add_to(self._counts, predictions, references, sites, years)

    def merge(self, other: SeriesMetric) -> None:
        """Adds the counts of another metric of the same kind, which may come pickled from another process.

        Args:
            other: A metric of the same name and configuration; it keeps its counts.

        Raises:
            ValueError: The name or the configuration differs.
        """
        if (other.metric_name, other.config_name) != (self.metric_name, self.config_name):
            raise ValueError(
                f"other: found {other.metric_name} ({other.config_name}); expected {self.metric_name} "
                f"({self.config_name})."
            )
        counts = self._copy_of_counts()
        counts.update(other._counts)
        self._counts = counts

    def table(self) -> CountTable:
        """Counts of everything added, by site, year and pair of years.

        Raises:
            ValueError: Nothing was added.
        """
        return self._counts.table()

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        sites: Any = None,
        years: Any = None,
        average: str = "site",
        zero_division: float = float("nan"),
        bootstrap: int = 0,
        confidence: float = 0.95,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Scores everything added, and forgets it.

        Args:
            predictions: A last batch, as in `add_batch`.
            references: Its references.
            sites: Its sites.
            years: Its years.
            average: "site": every score is the mean of the sites' scores, weighted by their valid pixels
                (reference not 255) over all years. "pooled": scores of the counts summed over all sites.
            zero_division: The score where there are valid pixels but the denominator is 0; nan leaves it out
                of the means.
            bootstrap: Number of resamples of the sites for confidence intervals; 0 for none.
            confidence: Share of the resampled scores that an interval covers.
            seed: Seed of the resampling.

        Returns:
            The scores as floats and lists of floats, nan where undefined. An error keeps everything added
            before.

        Raises:
            ValueError: As `add_batch`; or nothing was added, an argument has another value than those above,
                or sites are missing.
        """
        averaging = Averaging(average, zero_division, bootstrap, confidence, seed)
        counts = self._copy_of_counts()
        if predictions is not None or references is not None:
            for name, values in (("predictions", predictions), ("references", references)):
                if values is None:
                    raise ValueError(f"{name}: found None; expected predictions and references together.")
            self._add_to(counts, predictions, references, sites, years)
        elif sites is not None or years is not None:
            raise ValueError("predictions: found None beside sites or years; expected them together.")
        table = counts.table()

        def score(by_year: Counts, by_pair: Counts) -> Scores:
            return self._scores(table.years, by_year, by_pair, averaging.zero_division)

        result = average_scores(table, self._pixels(table), score, averaging)
        self._counts = SiteCounts()
        return {**result, **self._axes(table.years)}

    def _copy_of_counts(self) -> SiteCounts:
        copy = SiteCounts()
        copy.update(self._counts)
        return copy

    def _add_to(self, counts: SiteCounts, predictions: Any, references: Any, sites: Any, years: Any) -> None:
        """Counts a batch into `counts` after checking all of its examples."""
        prediction_list = _examples(predictions, "predictions")
        reference_list = _examples(references, "references")
        if len(prediction_list) != len(reference_list):
            raise ValueError(
                f"references: found {len(reference_list)} for {len(prediction_list)} predictions; "
                "expected as many."
            )
        site_list = _sites(sites, len(prediction_list))
        years_list = _years(years, len(prediction_list))
        batch = SiteCounts()
        for index, (prediction, reference) in enumerate(zip(prediction_list, reference_list, strict=True)):
            name = f"example {index}"
            by_year, by_pair = self._count(prediction, reference, name)
            if not len(by_year):
                raise ValueError(f"{name}: found no map; expected at least one year.")
            series = years_list[index]
            if series is not None and len(series) != len(by_year):
                raise ValueError(
                    f"years: found {len(series)} for {name}; expected {len(by_year)}, one per map."
                )
            batch.add(site_list[index], series, by_year, by_pair)
        counts.update(batch)


def _examples(batch: Any, name: str) -> list[NDArray[Any]]:
    """A batch in one array, or a list of examples -> one array per example."""
    if hasattr(batch, "__array__"):
        array = _as_array(batch, name)
        if array.ndim != 4:
            raise ValueError(
                f"{name}: found the shape {array.shape}; expected (batch, years, height, width)."
            )
        return list(array)
    if not isinstance(batch, Sequence) or isinstance(batch, str):
        raise ValueError(f"{name}: found a {type(batch).__name__}; expected an array or a list of arrays.")
    return [_as_array(example, f"example {index} of the {name}") for index, example in enumerate(batch)]


def _as_array(values: Any, name: str) -> NDArray[Any]:
    """An array, a torch tensor on any device or nested lists -> an array."""
    if hasattr(values, "cpu"):
        values = values.cpu()
    try:
        return np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(f"{name}: found no array ({error}); expected maps of one size.") from error


def _sites(sites: Any, examples: int) -> list[str | None]:
    """One name for all, one per example, or none -> one per example."""
    if sites is None:
        return [None] * examples
    names = [sites] * examples if np.ndim(sites) == 0 else list(sites)
    if len(names) != examples:
        raise ValueError(f"sites: found {len(names)} for {examples} examples; expected one per example.")
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"sites: found {name!r}; expected the name of a site.")
    return [str(name) for name in names]


def _years(years: Any, examples: int) -> list[tuple[int, ...] | None]:
    """One series for all, one per example, or none -> one per example."""
    if years is None:
        return [None] * examples
    try:
        series_list = list(years)
    except TypeError:
        raise ValueError(f"years: found {years!r}; expected a list of years.") from None
    if all(np.ndim(entry) == 0 for entry in series_list):
        return [_ascending(series_list)] * examples
    if len(series_list) != examples:
        raise ValueError(
            f"years: found {len(series_list)} series for {examples} examples; expected one per example."
        )
    return [_ascending(series) for series in series_list]


def _ascending(series: Any) -> tuple[int, ...]:
    try:
        years = tuple(operator.index(year) for year in series)
    except TypeError:
        raise ValueError(f"years: found {series!r}; expected whole numbers.") from None
    if any(year >= following for year, following in itertools.pairwise(years)):
        raise ValueError(f"years: found {list(years)}; expected ascending years, each once.")
    return years
