"""What a footprint mapper was seen to do on a dataset: `calibration.json`, which lies beside its weights.

Smoothing needs the switch rates of the labels that a model was trained on, intervals of areas its errors at
sites that it has not seen: neither is in a checkpoint. `calibrate` counts both once; whoever uses the model
later needs no dataset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.dataset_script.reading import read_dataset
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.monitoring.mapping.loading import model_digest
from euromine.support.files import write_json

from .area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
from .change_maps import change_map
from .map_values import NODATA
from .smoothing import METHODS, SwitchRates, estimate_switch_rates, fit_emission_prior, smooth

NAME = "calibration.json"
_FORMAT, _VERSION = "euromine-calibration", 1
# Neighbouring pixels say the same: one of so many rows and columns is enough to fit one number.
_THINNED = 3

Maps = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a footprint mapper was seen to do.

    Attributes:
        rates: The switch rates of the training labels.
        footprints: Its confusion of footprints by method of smoothing, all years together.
        changes: Its confusion of changes by method of smoothing and interval in years.
        threshold: Above which probability a pixel counted as a mine where no path was searched.
        dataset: The name of the dataset.
        split: The split whose sites it was tested at.
        simulated: Whether the dataset is simulated.
        digest: `model_digest` of the network, so that another network's calibration is noticed.
    """

    rates: SwitchRates
    footprints: Mapping[str, Confusion]
    changes: Mapping[str, Mapping[int, Confusion]]
    threshold: float
    dataset: str
    split: str
    simulated: bool
    digest: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the calibration, at once.

        Args:
            path: A file, or a folder that exists: there `calibration.json`.

        Returns:
            The file.
        """
        target = Path(path) / NAME if Path(path).is_dir() else Path(path)
        write_json(
            target,
            {
                "format": _FORMAT,
                "version": _VERSION,
                "dataset": self.dataset,
                "simulated": self.simulated,
                "digest": self.digest,
                "split": self.split,
                "threshold": self.threshold,
                "rates": asdict(self.rates),
                "footprints": {method: _values(found) for method, found in self.footprints.items()},
                "changes": {
                    method: {str(interval): _values(found) for interval, found in by_interval.items()}
                    for method, by_interval in self.changes.items()
                },
            },
        )
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `save` wrote.

        Args:
            path: The file, or the folder with `calibration.json` in it.

        Raises:
            FileNotFoundError: There is none.
            ValueError: The file holds no calibration.
        """
        source = Path(path) / NAME if Path(path).is_dir() else Path(path)
        if not source.is_file():
            raise FileNotFoundError(f"{source}: there is no calibration; `euromine calibrate` makes one")
        try:
            values = json.loads(source.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{source} is no JSON ({error}), a calibration was expected") from None
        if not isinstance(values, Mapping) or values.get("format") != _FORMAT:
            raise ValueError(f"{source} is no calibration, what `euromine calibrate` writes was expected")
        if values.get("version") != _VERSION:
            raise ValueError(
                f"{source} is of version {values.get('version')}, {_VERSION} was expected; calibrate again"
            )
        try:
            return cls(
                rates=SwitchRates.from_values(values["rates"], str(source)),
                footprints={
                    method: _confusion(found, FOOTPRINT_CLASSES)
                    for method, found in values["footprints"].items()
                },
                changes={
                    method: {
                        int(interval): _confusion(found, CHANGE_CLASSES)
                        for interval, found in by_interval.items()
                    }
                    for method, by_interval in values["changes"].items()
                },
                threshold=float(values["threshold"]),
                dataset=str(values["dataset"]),
                split=str(values["split"]),
                simulated=bool(values["simulated"]),
                digest=str(values["digest"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{source} lacks or has other entries than a calibration ({error}); calibrate again"
            ) from None


def calibrate(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    dataset: str | os.PathLike[str],
    *,
    training_split: str = "train",
    split: str = "validation",
    threshold: float = 0.5,
    revision: str | None = None,
    progress: bool = False,
) -> Calibration:
    """Count the switch rates of a dataset's labels and a footprint mapper's errors at other sites.

    The prior that smoothing divides the mapper's probabilities by is fitted at these sites, too: one number,
    which their errors are counted with.

    Each patch is mapped on its own and counted where it owns the pixels, as in evaluation; smoothing acts on
    single pixels, so that a patch is smoothed as a scene is.

    Args:
        model: A footprint mapper; it is used on the device where it is, in evaluation mode.
        image_processor: Its image processor.
        dataset: A folder that `euromine build` wrote, or a Hub repository.
        training_split: The split that it was trained on, whose labels tell the switch rates.
        split: The split whose sites tell its errors: none that it was trained on.
        threshold: Above which probability a pixel is a mine, for the median and without smoothing.
        revision: Branch, tag or commit of a Hub repository.
        progress: Show a progress bar.

    Raises:
        ValueError: The model is no footprint mapper, or a split is missing or empty.
    """
    rows = _series(dataset, split, ("images", "labels", "own", "site", "years"), revision)
    rates = rates_of_labels(dataset, training_split, revision)
    was_training = model.training
    model.eval()
    # A megabyte a patch of ten years: less than mapping them twice would cost.
    mapped = [
        series_probability(model, image_processor, row["images"])[owned_box(row["own"])]
        for row in tqdm(rows, desc="calibrating", unit="patch", disable=not progress)
    ]
    model.train(was_training)
    labelled = _series(dataset, split, ("labels", "own", "site", "years"), revision)
    few = slice(None), slice(None, None, _THINNED), slice(None, None, _THINNED)
    rates = fit_emission_prior(
        (
            (probability[few], row["labels"][owned_box(row["own"])][few], row["years"])
            for probability, row in zip(mapped, labelled, strict=True)
        ),
        rates,
    )
    counts = _Counts()
    for probability, row in zip(mapped, labelled, strict=True):
        references = row["labels"][owned_box(row["own"])]
        years = [int(year) for year in row["years"]]
        for method in METHODS:
            maps = smooth(probability, method, rates, years=years, threshold=threshold)  # type: ignore[arg-type]
            counts.add(method, row["site"], years, maps, references)
    return Calibration(
        rates=rates,
        footprints=counts.footprints(),
        changes=counts.changes(),
        threshold=threshold,
        dataset=Path(dataset).name if Path(dataset).is_dir() else str(dataset),
        split=split,
        simulated=is_simulated(dataset),
        digest=model_digest(model, image_processor),
    )


@torch.no_grad()
def series_probability(
    model: PreTrainedModel, image_processor: EuroMineImageProcessor, images: NDArray[Any]
) -> NDArray[np.float32]:
    """A footprint mapper's probabilities of a series of small images.

    Args:
        model: The footprint mapper, used as it stands: in evaluation mode if a person wants that.
        image_processor: Its image processor.
        images: (years, channels, height, width), digital numbers.

    Returns:
        float32 (years, height, width).

    Raises:
        ValueError: The model is no footprint mapper of two classes.
    """
    if hasattr(model, "predict_series") or getattr(model.config, "num_labels", 2) != 2:
        raise ValueError(
            f"the model is a {type(model).__name__}, a footprint mapper of two classes was expected"
        )
    pixel_values = image_processor(
        torch.from_numpy(np.ascontiguousarray(images)).to(model.device)
    ).pixel_values
    height, width = images.shape[-2:]
    maps = image_processor.post_process_semantic_segmentation(
        model(pixel_values=pixel_values), [(height, width)] * len(images), probabilities=True
    )
    return torch.stack([each[1] for each in maps]).float().cpu().numpy()


def rates_of_labels(
    dataset: str | os.PathLike[str], split: str = "train", revision: str | None = None
) -> SwitchRates:
    """The switch rates of a dataset's labels, each pixel counted once.

    Args:
        dataset: A folder that `euromine build` wrote, or a Hub repository.
        split: Whose labels.
        revision: Branch, tag or commit of a Hub repository.

    Raises:
        ValueError: There is no such split, or it tells no rates.
    """
    return estimate_switch_rates(_owned_labels(_series(dataset, split, ("labels", "own", "years"), revision)))


def is_simulated(dataset: str | os.PathLike[str]) -> bool:
    """Whether the card of a built dataset says that it is simulated; false where there is no card here."""
    card = Path(dataset) / "README.md"
    return card.is_file() and "simulated" in card.read_text(encoding="utf-8").lower()


class _Counts:
    """Pixels by mapped and labelled class, added up by method, site and interval."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], dict[str, NDArray[np.int64]]] = {}

    def add(self, method: str, site: str, years: Sequence[int], maps: Maps, references: Maps) -> None:
        """Count one series of maps beside its labels, (years, height, width) both."""
        self._add((method, 0), site, confusion_counts(maps, references, len(FOOTPRINT_CLASSES)))
        for first, second in combinations(range(len(years)), 2):
            mapped = change_map(maps[first], maps[second])
            actual = change_map(references[first], references[second])
            found = confusion_counts(mapped, actual, len(CHANGE_CLASSES))
            self._add((method, years[second] - years[first]), site, found)

    def footprints(self) -> dict[str, Confusion]:
        """The confusion of footprints by method."""
        return {
            method: _of_sites(by_site, FOOTPRINT_CLASSES)
            for (method, interval), by_site in self._sums.items()
            if interval == 0
        }

    def changes(self) -> dict[str, dict[int, Confusion]]:
        """The confusion of changes by method and interval."""
        found: dict[str, dict[int, Confusion]] = {}
        for (method, interval), by_site in sorted(self._sums.items()):
            if interval and any(counts.any() for counts in by_site.values()):
                found.setdefault(method, {})[interval] = _of_sites(by_site, CHANGE_CLASSES)
        return found

    def _add(self, key: tuple[str, int], site: str, counts: NDArray[np.int64]) -> None:
        by_site = self._sums.setdefault(key, {})
        by_site[site] = by_site[site] + counts if site in by_site else counts


def confusion_counts(mapped: Maps, reference: Maps, classes: int) -> NDArray[np.int64]:
    """Pixels by mapped and by reference class where both are known, int64 (classes, classes).

    Args:
        mapped: uint8, classes from 0, 255 unknown, any shape.
        reference: The same.
        classes: How many there are.
    """
    known = (mapped != NODATA) & (reference != NODATA)
    keys = mapped[known].astype(np.int64) * classes + reference[known]
    return np.bincount(keys, minlength=classes * classes).reshape(classes, classes)


def _of_sites(by_site: Mapping[str, NDArray[np.int64]], classes: tuple[str, ...]) -> Confusion:
    sites = tuple(sorted(by_site))
    return Confusion(classes, sites, np.stack([by_site[site] for site in sites]))


def _series(
    dataset: str | os.PathLike[str], split: str, columns: tuple[str, ...], revision: str | None
) -> Any:
    rows = read_dataset(dataset, "series", split, columns=columns, revision=revision)
    if not len(rows):
        raise ValueError(f"{dataset}: the split {split} is empty, series of years were expected")
    return rows


def owned_box(own: Sequence[int]) -> tuple[slice, slice, slice]:
    """The box that a patch owns, in a stack of its maps."""
    top, left, bottom, right = own
    return slice(None), slice(top, bottom), slice(left, right)


def _owned_labels(rows: Any) -> Iterator[tuple[Maps, list[int]]]:
    for row in rows:
        yield row["labels"][owned_box(row["own"])], row["years"]


def _values(confusion: Confusion) -> dict[str, Any]:
    return {"sites": list(confusion.sites), "counts": confusion.counts.tolist()}


def _confusion(values: Mapping[str, Any], classes: tuple[str, ...]) -> Confusion:
    return Confusion(classes, tuple(values["sites"]), np.array(values["counts"], dtype=np.int64))
