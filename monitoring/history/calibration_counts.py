"""Switch rates and errors of a footprint mapper, counted on a dataset."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.dataset_script.build_record import read_build_record
from euromine.dataset_script.label_groups import LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.series_model import SeriesModel
from euromine.modeling.tasks import SERIES
from euromine.monitoring.mapping.component_groups import component_groups
from euromine.monitoring.mapping.loading import LoadedModel, model_digest
from euromine.monitoring.mapping.map_values import NODATA
from euromine.monitoring.mapping.prediction import mine_probability
from euromine.support.errors import DatasetError, ModelError, as_user_error
from euromine.support.processing_levels import MEANINGS

from .area_estimation import CHANGE_CLASSES, FOOTPRINT_CLASSES, Confusion
from .calibration import Calibration
from .chain_maps import maps_of_chains
from .change_maps import change_map
from .component_errors import ComponentErrors, count_component_errors
from .markov import fit_emission_prior
from .patch_components import PatchComponents, SeriesImages, component_labels, maps_part_of_a_mine
from .pixel_counts import confusion_counts, confusion_of_sites, owned_box
from .series_windows import evidence_of, fill_from_years
from .smoothing import METHODS, smooth
from .switch_rates import SwitchRates, estimate_switch_rates
from .year_stacks import Float, Maps

logger = logging.getLogger(__name__)

# Neighbouring pixels are alike: every third row and column is enough to fit one number.
_THINNED = 3


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
    """Count the switch rates of the training labels, and a model's errors at other sites.

    The prior by which smoothing divides the mapper's probabilities is fitted at the same sites: one number,
    with which their errors are then counted.

    Each patch is mapped on its own, and the pixels that it owns are counted, as in evaluation. Smoothing acts
    on single pixels, so patches are smoothed as scenes are.

    Args:
        model: A footprint mapper, or a network for series, whose maps need no smoothing. It runs on its
            current device, in evaluation mode.
        image_processor: Its image processor.
        dataset: A folder that `euromine build` wrote, or a Hub repository.
        training_split: The split that it was trained on, for the switch rates.
        split: The split of the sites at which errors are counted, unseen in training.
        threshold: The probability above which pixels are mapped as mine, except by Viterbi.
        revision: Branch, tag or commit of a Hub repository.
        progress: Show a progress bar.

    Raises:
        DatasetError: A split is missing or empty.
        DataError: The labels do not determine switch rates.
        ModelError: The model is not a footprint mapper, or takes other images.
    """
    record = read_build_record(Path(dataset))
    level = None if record is None else record.level
    if level in MEANINGS and image_processor.level in MEANINGS and level != image_processor.level:
        logger.warning(
            "The images of %s are %s, but the model was trained on %s: the errors counted there are those of "
            "%s images.",
            dataset,
            level,
            image_processor.level,
            level,
        )
    groups = component_groups(model)
    rates = estimate_switch_rates(
        (labels, row["years"])
        for row, labels in _Labelled(groups, dataset, training_split, ("years",), revision)
    )
    was_training = model.training
    model.eval()
    if isinstance(model, SeriesModel):
        counts = _count_chains(model, image_processor, dataset, split, threshold, revision, progress)
    else:
        mapped = _mapped(model, image_processor, dataset, split, revision, progress)
        labelled = _Labelled(groups, dataset, split, ("site", "years"), revision)
        rates = _with_emission_prior(rates, mapped, labelled)
        counts = _count_methods(mapped, labelled, rates, threshold)
    components = count_component_errors(
        model, image_processor, dataset, split, revision=revision, progress=progress
    ) or {is_smoothed: ComponentErrors() for is_smoothed in (False, True)}
    model.train(was_training)
    return Calibration(
        rates=rates,
        footprints=counts.footprints(),
        changes=counts.changes(),
        components=components[False].areas,
        component_transitions=components[False].transitions,
        smoothed_components=components[True].areas,
        smoothed_transitions=components[True].transitions,
        threshold=threshold,
        dataset=Path(dataset).name if Path(dataset).is_dir() else str(dataset),
        split=split,
        simulated=record is not None and record.simulated,
        digest=model_digest(model, image_processor),
    )


def _mapped(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    dataset: str | os.PathLike[str],
    split: str,
    revision: str | None,
    progress: bool,
) -> list[Float]:
    """The probabilities of each patch in its owned box.

    They are kept, at a megabyte per patch of ten years: that is cheaper than to map each patch twice.
    """
    images = SeriesImages(image_processor, dataset, split, revision)
    rows = _series(dataset, split, ("patch_id", "years", "images", "labels", "own"), revision)
    found = [
        series_probability(model, image_processor, images.of(row), images.bands)[owned_box(row["own"])]
        for row in tqdm(rows, desc="calibrating", unit="patch", disable=not progress)
    ]
    images.check_radar()
    return found


class _Labelled:
    """The rows of a split's series, each with its labels (years, height, width) in the box that it owns.

    Labels are those of mines, or of the model's own classes where these are a part of a mine only.
    """

    def __init__(
        self,
        groups: LabelGroups | None,
        dataset: str | os.PathLike[str],
        split: str,
        columns: tuple[str, ...],
        revision: str | None,
    ) -> None:
        self._groups = groups
        self._components: PatchComponents | None = None
        if maps_part_of_a_mine(groups):
            self._components = PatchComponents(dataset, split, ("components", "annotated"), revision)
            columns = ("patch_id", "years", *columns)
        self._rows = _series(dataset, split, tuple(dict.fromkeys((*columns, "labels", "own"))), revision)

    def __iter__(self) -> Iterator[tuple[Mapping[str, Any], Maps]]:
        for row in self._rows:
            labels = row["labels"]
            if self._components is not None and self._groups is not None:
                drawn = self._components.references(row, self._groups)
                labels = np.full_like(labels, NODATA) if drawn is None else component_labels(drawn)
            yield row, labels[owned_box(row["own"])]


def _with_emission_prior(rates: SwitchRates, mapped: Sequence[Float], labelled: _Labelled) -> SwitchRates:
    few = slice(None), slice(None, None, _THINNED), slice(None, None, _THINNED)
    return fit_emission_prior(
        (
            (probability[few], labels[few], row["years"])
            for probability, (row, labels) in zip(mapped, labelled, strict=True)
        ),
        rates,
    )


def _count_methods(
    mapped: Sequence[Float], labelled: _Labelled, rates: SwitchRates, threshold: float
) -> _Counts:
    """The errors of a footprint mapper by method of smoothing."""
    counts = _Counts()
    for probability, (row, references) in zip(mapped, labelled, strict=True):
        years = [int(year) for year in row["years"]]
        for method in METHODS:
            maps = smooth(probability, method, rates, years=years, threshold=threshold)
            counts.add(method, row["site"], years, maps, references)
    return counts


def _count_chains(
    model: SeriesModel,
    image_processor: EuroMineImageProcessor,
    dataset: str | os.PathLike[str],
    split: str,
    threshold: float,
    revision: str | None,
    progress: bool,
) -> _Counts:
    """The errors of a network for series, whose maps are not smoothed and whose changes are the chain's."""
    network = LoadedModel(model.name_or_path or "model", SERIES, model, image_processor)
    rows = _series(dataset, split, ("images", "labels", "own", "site", "years"), revision)
    counts = _Counts()
    for row in tqdm(rows, desc="calibrating", unit="patch", disable=not progress):
        years, own = [int(year) for year in row["years"]], owned_box(row["own"])
        images, labels = np.asarray(row["images"], np.float32), row["labels"]
        valid = (labels != NODATA) | images.any(axis=1)
        evidence = evidence_of(network, fill_from_years(images, valid, years), valid, years)
        found = maps_of_chains(
            evidence.reshape(len(evidence), -1),
            years,
            list(combinations(range(len(years)), 2)),
            threshold=threshold,
            device=model.device,
        )
        footprints, changes = (
            maps.reshape(-1, *labels.shape[1:])[own] for maps in (found.footprints, found.changes)
        )
        counts.add("none", row["site"], years, footprints, labels[own], changes)
    return counts


@torch.no_grad()
def series_probability(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    images: NDArray[Any],
    bands: Sequence[str] | None = None,
) -> Float:
    """The probabilities of a footprint mapper for a series of small images.

    Args:
        model: The footprint mapper, or a component model, of which any component is a mine; its training or
            evaluation mode is left as it is.
        image_processor: Its image processor.
        images: (years, channels, height, width), digital numbers.
        bands: The names of their channels; the processor's `source_bands` by default.

    Returns:
        float32 (years, height, width).

    Raises:
        ModelError: The model is not a footprint mapper of two classes, or takes other images.
    """
    maps_components = component_groups(model) is not None
    if hasattr(model, "predict_series") or (
        getattr(model.config, "num_labels", 2) != 2 and not maps_components
    ):
        raise ModelError(
            f"model: found a {type(model).__name__}; expected a footprint mapper of two classes."
        )
    tensor = torch.from_numpy(np.ascontiguousarray(images)).to(model.device)
    with as_user_error("images", ModelError):
        pixel_values = image_processor.preprocess(tensor, bands=bands).pixel_values
    if maps_components:
        return mine_probability(model, pixel_values).cpu().numpy()
    height, width = images.shape[-2:]
    maps = image_processor.post_process_semantic_segmentation(
        model(pixel_values=pixel_values), [(height, width)] * len(images), probabilities=True
    )
    return torch.stack([each[1] for each in maps]).float().cpu().numpy()


class _Counts:
    """Sums of pixels by mapped and labelled class, for each method, interval and site."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, int], dict[str, NDArray[np.int64]]] = {}

    def add(
        self,
        method: str,
        site: str,
        years: Sequence[int],
        maps: Maps,
        references: Maps,
        changes: Maps | None = None,
    ) -> None:
        """Add a series of maps and its labels, both (years, height, width).

        Without `changes` (pairs, height, width), changes are the differences of the maps.
        """
        self._add((method, 0), site, confusion_counts(maps, references, len(FOOTPRINT_CLASSES)))
        for place, (first, second) in enumerate(combinations(range(len(years)), 2)):
            mapped = change_map(maps[first], maps[second]) if changes is None else changes[place]
            actual = change_map(references[first], references[second])
            found = confusion_counts(mapped, actual, len(CHANGE_CLASSES))
            self._add((method, years[second] - years[first]), site, found)

    def footprints(self) -> dict[str, Confusion]:
        """Errors on footprints by method."""
        return {
            method: confusion_of_sites(by_site, FOOTPRINT_CLASSES)
            for (method, interval), by_site in self._sums.items()
            if interval == 0
        }

    def changes(self) -> dict[str, dict[int, Confusion]]:
        """Errors on changes by method and interval."""
        found: dict[str, dict[int, Confusion]] = {}
        for (method, interval), by_site in sorted(self._sums.items()):
            if interval and any(counts.any() for counts in by_site.values()):
                found.setdefault(method, {})[interval] = confusion_of_sites(by_site, CHANGE_CLASSES)
        return found

    def _add(self, key: tuple[str, int], site: str, counts: NDArray[np.int64]) -> None:
        by_site = self._sums.setdefault(key, {})
        by_site[site] = by_site[site] + counts if site in by_site else counts


def _series(
    dataset: str | os.PathLike[str], split: str, columns: tuple[str, ...], revision: str | None
) -> Any:
    rows = read_dataset(dataset, "series", split, columns=columns, revision=revision)
    if not len(rows):
        raise DatasetError(f"{dataset}: found no patches in the split {split}; expected series of years.")
    return rows
