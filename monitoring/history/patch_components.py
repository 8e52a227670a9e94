"""Components and radar of a dataset's patches, found by patch and year beside their series."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.archive_bands import BANDS, NO_BACKSCATTER, RADAR_BANDS
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, UNKNOWN, LabelGroups
from euromine.dataset_script.reading import read_dataset
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support.errors import DatasetError
from euromine.support.gap_filling import fill_gaps

from .year_stacks import Maps

logger = logging.getLogger(__name__)


class PatchComponents:
    """The rows of the config `components` of a split, by patch and year.

    Args:
        dataset: A folder of `euromine build`, or a Hub repository.
        split: The split.
        columns: Their columns of pixels and facts.
        revision: Branch, tag or commit of a Hub repository.

    Raises:
        DatasetError: The dataset has no components, or lacks the split.
    """

    def __init__(
        self,
        dataset: str | os.PathLike[str],
        split: str,
        columns: Sequence[str],
        revision: str | None = None,
    ) -> None:
        self._rows = read_dataset(
            dataset, "components", split, columns=("patch_id", "year", *columns), revision=revision
        )
        small = self._rows.with_format(None)
        keys = zip(small["patch_id"], small["year"], strict=True)
        self._places = {(patch, int(year)): place for place, (patch, year) in enumerate(keys)}

    def row(self, patch: str, year: int) -> Mapping[str, Any] | None:
        """The row of a patch in a year; None without one."""
        place = self._places.get((patch, int(year)))
        return None if place is None else self._rows[place]

    def references(self, series: Mapping[str, Any], groups: LabelGroups) -> Maps | None:
        """The drawn components of a patch's series.

        Args:
            series: A row of the config `series`, with `patch_id`, `years` and `labels`.
            groups: The groups to map.

        Returns:
            uint8 (years, groups, height, width) as of `LabelGroups.maps`, 255 in years without components;
            None where no year has any.
        """
        years, *size = series["labels"].shape
        maps = np.full((years, len(groups.names), *size), UNKNOWN, np.uint8)
        found = [self.row(series["patch_id"], year) for year in series["years"]]
        for place, row in enumerate(found):
            if row is not None:
                maps[place] = groups.maps(np.asarray(row["components"]), row["annotated"])
        return None if all(row is None for row in found) else maps


def has_components(dataset: str | os.PathLike[str]) -> bool:
    """Whether a dataset has the config `components`; that of a Hub repository shows when it is read."""
    return not Path(dataset).is_dir() or (Path(dataset) / "data" / "components").is_dir()


class SeriesImages:
    """The images of series with all bands that a model reads: Sentinel-2's, and VV and VH for some.

    Args:
        image_processor: The model's image processor.
        dataset: A folder of `euromine build`, or a Hub repository.
        split: The split of the series.
        revision: Branch, tag or commit of a Hub repository.

    Attributes:
        bands: The names of the images' bands.

    Raises:
        DatasetError: The model reads radar, and the dataset has none.
    """

    def __init__(
        self,
        image_processor: EuroMineImageProcessor,
        dataset: str | os.PathLike[str],
        split: str,
        revision: str | None = None,
    ) -> None:
        read = [band for band in RADAR_BANDS if band in image_processor.bands]
        self.bands = (*BANDS, *RADAR_BANDS) if read else tuple(image_processor.source_bands)
        self._shown = f"{dataset}, split {split}"
        self._radar: PatchComponents | None = None
        self._lacking = self._total = 0
        if read:
            if not has_components(dataset):
                raise DatasetError(
                    f"{dataset}: found no data/components, which would hold radar; expected some, as the "
                    f"model reads {' and '.join(read)}. Build the dataset from an archive with radar and "
                    "components."
                )
            self._radar = PatchComponents(dataset, split, ("radar",), revision)

    def of(self, series: Mapping[str, Any]) -> NDArray[np.int16]:
        """The images (years, bands, height, width) of a row of the config `series`, without gaps.

        The row has `patch_id`, `years`, `images` and `labels`. Backscatter is `NO_BACKSCATTER` in years
        without radar.
        """
        images: NDArray[np.int16] = fill_gaps(series["images"], series["labels"])
        if self._radar is None:
            return images
        years, _, *size = images.shape
        radar = np.full((years, len(RADAR_BANDS), *size), NO_BACKSCATTER, np.int16)
        for place, year in enumerate(series["years"]):
            row = self._radar.row(series["patch_id"], year)
            if row is not None:
                radar[place] = np.asarray(row["radar"])
        self._lacking += int((radar == NO_BACKSCATTER).all(axis=(1, 2, 3)).sum())
        self._total += years
        return np.concatenate([images, radar], axis=1)

    def check_radar(self) -> None:
        """After the last series: refuse a split without any radar, and report images that lack it.

        Raises:
            DatasetError: The model reads radar, and no image of the split has any.
        """
        if self._lacking and self._lacking == self._total:
            raise DatasetError(
                f"{self._shown}: found no radar image; expected some, as the model reads radar. Count its "
                "errors at sites with radar."
            )
        if self._lacking:
            logger.warning(
                "%s: %d of %d images without radar; VV and VH take their means there.",
                self._shown,
                self._lacking,
                self._total,
            )


def component_labels(references: Maps) -> Maps:
    """The labels of a model's own classes: any class of its groups.

    Args:
        references: uint8 (years, groups, height, width), as of `PatchComponents.references`.

    Returns:
        uint8 (years, height, width): 1 any, 0 none, 255 where some group is unknown and no other has a class.
    """
    is_unknown = references == UNKNOWN
    labels = ((references > 0) & ~is_unknown).any(axis=1).astype(np.uint8)
    labels[(labels == 0) & is_unknown.any(axis=1)] = UNKNOWN
    return labels


def maps_part_of_a_mine(groups: LabelGroups | None) -> bool:
    """Whether a model's footprint is that of some components only, which labels of mines do not show."""
    if groups is None or groups.total is not None:
        return False
    return {*COMPONENT_CLASSES} > {name for classes in groups.groups.values() for name in classes}
