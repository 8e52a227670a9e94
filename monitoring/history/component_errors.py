"""The errors of a component model, counted on the components of a dataset."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel

from euromine.dataset_script.archive_bands import BANDS, RADAR_BANDS
from euromine.dataset_script.label_groups import LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.modeling.component_segmenter import ComponentSegmenter
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.monitoring.mapping.component_groups import component_groups, component_probabilities
from euromine.support.errors import ModelError, as_user_error

from .area_estimation import Confusion
from .component_areas import NO_COMPONENT
from .pixel_counts import confusion_counts, confusion_of_sites, owned_box

logger = logging.getLogger(__name__)


def count_component_errors(
    model: PreTrainedModel,
    image_processor: EuroMineImageProcessor,
    dataset: str | os.PathLike[str],
    split: str,
    *,
    revision: str | None = None,
    progress: bool = False,
) -> dict[str, Confusion]:
    """Mapped against drawn components at each site of a split, by group.

    Patches are mapped one by one, and the pixels that they own are counted. Groups in which some class was
    annotated nowhere are left out: their errors stay unknown.

    Args:
        model: Any model; only a component model has counts.
        image_processor: Its image processor.
        dataset: A folder of `euromine build`, with components.
        split: The split of sites that the model has not seen.
        revision: Branch, tag or commit of a Hub repository.
        progress: Show a progress bar.

    Raises:
        ModelError: The model takes other images, or has groups without a meaning.
        DatasetError: The split is missing.
    """
    groups = component_groups(model)
    if groups is None:
        return {}
    if not (Path(dataset) / "data" / "components").is_dir():
        logger.warning("%s has no components, so areas of components will have no intervals.", dataset)
        return {}
    columns = ("image", "radar", "components", "annotated", "site", "own")
    rows = read_dataset(dataset, "components", split, columns=columns, revision=revision)
    sums: dict[str, dict[str, NDArray[np.int64]]] = {name: {} for name in groups.groups}
    for row in tqdm(rows, desc="components", unit="patch", disable=not progress):
        own = owned_box(row["own"])
        mapped = _maps(cast("ComponentSegmenter", model), image_processor, groups, row)[own]
        drawn = groups.maps(np.asarray(row["components"]), row["annotated"])[own]
        for name, found, reference in zip(groups.groups, mapped, drawn[: len(mapped)], strict=True):
            counts = confusion_counts(found, reference, 1 + len(groups.groups[name]))
            by_site = sums[name]
            by_site[row["site"]] = by_site.get(row["site"], 0) + counts
    return {
        name: confusion_of_sites(by_site, (NO_COMPONENT, *groups.groups[name]))
        for name, by_site in sums.items()
        if any(counts.any() for counts in by_site.values())
    }


@torch.no_grad()
def _maps(
    model: ComponentSegmenter, image_processor: EuroMineImageProcessor, groups: LabelGroups, row: Any
) -> NDArray[np.uint8]:
    """The components of a patch, (groups without the total, height, width)."""
    image, bands = np.asarray(row["image"]), BANDS
    if set(image_processor.bands) & set(RADAR_BANDS):
        image, bands = np.concatenate([image, np.asarray(row["radar"])]), BANDS + RADAR_BANDS
    with as_user_error("images", ModelError):
        values = image_processor.preprocess(image[None], bands=bands, return_tensors="pt").pixel_values
    shares = component_probabilities(model, groups, values.to(model.device))[0, 1:]
    sizes = [1 + len(classes) for classes in groups.groups.values()]
    maps = torch.stack([each.argmax(0) for each in shares.split(sizes)]).to(torch.uint8)
    return maps.cpu().numpy()
