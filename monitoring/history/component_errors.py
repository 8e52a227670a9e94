"""The errors of a component model, counted on the components of a dataset."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.dataset_script.label_groups import LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.monitoring.mapping.component_groups import component_groups, component_probabilities
from euromine.monitoring.mapping.map_values import NODATA
from euromine.support.errors import ModelError, as_user_error

from .area_estimation import Confusion
from .class_smoothing import running_majority
from .component_areas import NO_COMPONENT
from .component_transitions import VISIBLE, visible_components, visible_names
from .patch_components import PatchComponents, SeriesImages, has_components
from .pixel_counts import confusion_counts, confusion_of_sites, owned_box
from .transition_errors import TransitionCounts, TransitionSums, transition_codes
from .year_stacks import Maps

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class ComponentErrors:
    """The errors of maps of components that were made in one way.

    Attributes:
        areas: Mapped against drawn components, by group.
        transitions: Mapped against drawn transitions, by group and interval in years; the group `VISIBLE` is
            that of the visible components.
    """

    areas: Mapping[str, Confusion] = field(default_factory=dict)
    transitions: Mapping[str, Mapping[int, TransitionCounts]] = field(default_factory=dict)


def count_component_errors(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    dataset: str | os.PathLike[str],
    split: str,
    *,
    revision: str | None = None,
    progress: bool = False,
) -> dict[bool, ComponentErrors]:
    """Mapped against drawn components at each site of a split, by year and smoothed over the years.

    Patches are mapped one by one, and the pixels that they own are counted. Groups in which some class was
    annotated nowhere are left out: their errors stay unknown. All years are mapped, for smoothing; those with
    components count.

    Args:
        model: Any model; only a component model has counts.
        image_processor: Its image processor.
        dataset: A folder of `euromine build`, or a Hub repository, with components.
        split: The split of sites that the model has not seen.
        revision: Branch, tag or commit of a Hub repository.
        progress: Show a progress bar.

    Returns:
        By whether the maps are smoothed; empty for other models and datasets without components.

    Raises:
        ModelError: The model takes other images, or has groups without a meaning.
        DatasetError: The split is missing.
    """
    found = component_groups(model)
    if found is None or not found.groups:
        return {}
    if not has_components(dataset):
        logger.warning("%s has no components, so areas of components will have no intervals.", dataset)
        return {}
    groups = LabelGroups(found.groups)  # the errors of the total are those of the footprint
    drawn = PatchComponents(dataset, split, ("components", "annotated"), revision)
    images = SeriesImages(image_processor, dataset, split, revision)
    columns = ("patch_id", "site", "years", "own", "images", "labels")
    rows = read_dataset(dataset, "series", split, columns=columns, revision=revision)
    sums = {is_smoothed: _Sums(groups) for is_smoothed in (False, True)}
    for row in tqdm(rows, desc="components", unit="patch", disable=not progress):
        references = drawn.references(row, groups)
        if references is None:
            continue
        maps = _maps(model, image_processor, found, images.of(row), images.bands)
        maps[np.broadcast_to(_without_data(row)[:, None], maps.shape)] = NODATA
        years, own = [int(year) for year in row["years"]], owned_box(row["own"])
        for is_smoothed, counts in sums.items():
            mapped = running_majority(maps) if is_smoothed else maps
            counts.add(row["site"], years, mapped[:, *own], references[:, *own])
    return {is_smoothed: counts.errors() for is_smoothed, counts in sums.items()}


class _Sums:
    """Sums of pixels by site, for each group and interval."""

    def __init__(self, groups: LabelGroups) -> None:
        self._groups = groups
        self._names = {name: [NO_COMPONENT, *classes] for name, classes in groups.groups.items()}
        self._areas: dict[str, dict[str, NDArray[np.int64]]] = {name: {} for name in self._names}
        tables = {**self._names, VISIBLE: visible_names(groups)}
        self._transitions = {name: TransitionSums(classes) for name, classes in tables.items()}

    def add(self, site: str, years: Sequence[int], mapped: Maps, drawn: Maps) -> None:
        """Add a series of maps and its references, both (years, groups, height, width)."""
        for place, (name, classes) in enumerate(self._names.items()):
            by_site = self._areas[name]
            counts = confusion_counts(mapped[:, place], drawn[:, place], len(classes))
            by_site[site] = by_site.get(site, 0) + counts
        stacks = [self._stacks(maps) for maps in (mapped, drawn)]
        for first, second in combinations(range(len(years)), 2):
            for name, sums in self._transitions.items():
                codes = [
                    transition_codes(stack[name][first], stack[name][second], sums.classes)
                    for stack in stacks
                ]
                sums.add(site, years[second] - years[first], *codes)

    def errors(self) -> ComponentErrors:
        """The counts of all sites."""
        return ComponentErrors(
            {
                name: confusion_of_sites(by_site, tuple(self._names[name]))
                for name, by_site in self._areas.items()
                if any(counts.any() for counts in by_site.values())
            },
            {name: counts for name, sums in self._transitions.items() if (counts := sums.counts())},
        )

    def _stacks(self, maps: Maps) -> dict[str, Maps]:
        """The maps (years, height, width) of each table of transitions."""
        stacks = {name: maps[:, place] for place, name in enumerate(self._names)}
        visible = visible_components(np.moveaxis(maps, 1, 0), self._groups)
        # Ground whose later groups alone are known would show a class of theirs too often.
        visible[(maps == NODATA).any(axis=1)] = NODATA
        return {**stacks, VISIBLE: visible}


def _without_data(row: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The pixels without data of a series (years, height, width)."""
    return (row["labels"] == NODATA) & ~np.asarray(row["images"]).any(axis=1)


@torch.no_grad()
def _maps(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    groups: LabelGroups,
    images: NDArray[Any],
    bands: Sequence[str],
) -> Maps:
    """The components of a series, (years, groups without the total, height, width)."""
    with as_user_error("images", ModelError):
        values = image_processor.preprocess(images, bands=bands, return_tensors="pt").pixel_values
    shares = component_probabilities(model, groups, values.to(model.device))[:, 1:]
    sizes = [1 + len(classes) for classes in groups.groups.values()]
    maps = torch.stack([each.argmax(1) for each in shares.split(sizes, dim=1)], dim=1)
    return np.asarray(maps.to(torch.uint8).cpu().numpy())
