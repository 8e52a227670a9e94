"""The splits of a dataset's components: images with the maps of label groups, and series with their bits."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from euromine.dataset_script.label_groups import COMPONENT_CLASSES, UNKNOWN_CLASSES, LabelGroups
from euromine.modeling.bands import NO_BACKSCATTER, RADAR_BANDS
from euromine.support.errors import ArgumentError, DatasetError
from euromine.support.wording import counted

from .arguments import SegmentationArguments
from .component_options import FACTS, matches_of, no_site_error
from .data import Splits, check_years, column, config_rows, digest_of, drawn, level_of, spread
from .dataset_files import band_statistics, build_record, dataset_revision

logger = logging.getLogger(__name__)

_CONFIG = "components"
_SMALL = ("patch_id", "site", "country", "year", "own", "annotated", "mine_type", "material")
# Rows that the statistics of radar images are computed from, where the dataset states none.
_RADAR_ROWS = 400


@dataclass(frozen=True)
class GroupLabels:
    """A transform of decoded rows of `components`: images of all inputs, and the maps of label groups.

    Attributes:
        decode: The rows' own transform.
        groups: The groups.
        alone: Whether labels are the one map of a single group.
        radar: Whether VV and VH follow the ten bands.
    """

    decode: Any
    groups: LabelGroups
    alone: bool
    radar: bool

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`image` int16 (bands, side, side) and `label` uint8 (groups, side, side), or (side, side)."""
        rows = self.decode(batch)
        labels = [
            self.groups.maps(np.asarray(bits), annotated)
            for bits, annotated in zip(rows["components"], rows["annotated"], strict=True)
        ]
        return {
            "image": images_of(rows, self.radar),
            "label": [label[0] if self.alone else label for label in labels],
        }


@dataclass(frozen=True)
class SeriesOfComponents:
    """A transform of rows that refer to the rows of `components` of a patch: its whole series.

    Attributes:
        rows: Decoded rows of `components`.
        radar: Whether VV and VH follow the ten bands.
    """

    rows: datasets.Dataset
    radar: bool

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`images` int16 (years, bands, side, side); `labels` int32 (years, side, side), `reference_bits`."""
        made = dict(batch)
        found = [self.rows[list(rows)] for rows in batch["rows"]]
        made["images"] = [np.stack(images_of(each, self.radar)) for each in found]
        made["labels"] = [
            np.stack(
                [
                    reference_bits(np.asarray(bits), annotated)
                    for bits, annotated in zip(each["components"], each["annotated"], strict=True)
                ]
            )
            for each in found
        ]
        return made


def images_of(rows: Mapping[str, Any], radar: bool) -> list[NDArray[np.int16]]:
    """The images of decoded rows, (10 or 12, side, side)."""
    if not radar:
        return [np.asarray(image) for image in rows["image"]]
    return [
        np.concatenate([np.asarray(image), np.asarray(backscatter)])
        for image, backscatter in zip(rows["image"], rows["radar"], strict=True)
    ]


def reference_bits(bits: NDArray[Any], annotated: Sequence[str] | None) -> NDArray[np.int32]:
    """Bits of a reference for `ComponentIoU`, with those of the classes that were not annotated.

    Args:
        bits: Integers of any shape, as a file holds them.
        annotated: The annotated classes; None for all.
    """
    known = set(COMPONENT_CLASSES if annotated is None else annotated)
    unknown = sum(
        1 << UNKNOWN_CLASSES + place for place, name in enumerate(COMPONENT_CLASSES) if name not in known
    )
    return bits.astype(np.int32) | np.int32(unknown)


def read_component_splits(script: SegmentationArguments, groups: LabelGroups, seed: int) -> Splits:
    """Read the splits of a dataset's components.

    Args:
        script: The script's arguments.
        groups: Its label groups.
        seed: Seed of the draw of `max_train_samples`.

    Raises:
        ArgumentError: No site is as asked for, or radar is asked for and there is none.
        DatasetError: The dataset has no components or no training rows, or is damaged.
        OSError: There is no such dataset, or the Hub cannot be reached.
    """
    radar = any(band in RADAR_BANDS for band in script.bands or ())
    pixels = ("image", "components", *(("radar",) if radar else ()))
    found = config_rows(script, _CONFIG, (*pixels, *_SMALL))
    check_years(script, {year for each in found.values() for year in column(each, "year")}, _CONFIG)
    rows = {name: _selected(script, name, each) for name, each in found.items()}
    if "train" not in rows or not len(rows["train"]):
        raise DatasetError(f"{script.dataset}: found no components in the split train; expected some.")
    if radar:
        _tell_missing_radar(script, rows)
    train = drawn(rows["train"], script.max_train_samples, seed)
    scored: dict[str, datasets.Dataset] = {
        name: spread(series_of(rows[name], radar), script.max_eval_samples)
        for name in ("validation", "test")
        if name in rows and len(rows[name])
    }
    sites = sorted({site for each in scored.values() for site in column(each, "site")})
    lengths = [len(years) for each in scored.values() for years in column(each, "years")]
    pictured = scored.get("test", scored.get("validation"))
    record = build_record(script)
    labels = GroupLabels(_transform_of(train), groups, script.group is not None, radar)
    return Splits(
        train=train.with_transform(labels),
        validation=scored.get("validation"),
        test=scored.get("test"),
        pictured=series_of(rows["train"], radar) if pictured is None else pictured,
        sites=tuple(sites),
        years=max(lengths, default=0),
        statistics=_statistics(script, rows["train"], radar),
        revision=dataset_revision(script),
        simulated=record is not None and record.simulated,
        digest=_digest(train, scored, groups),
        level=None if record is None else level_of(script, record),
    )


def series_of(rows: datasets.Dataset, radar: bool) -> datasets.Dataset:
    """The series of each patch, as rows that refer to those of the years, ascending.

    Args:
        rows: Decoded rows of `components` with the small columns.
        radar: Whether images have VV and VH.
    """
    names = rows.with_format(None)
    patches: dict[str, list[int]] = {}
    years = names["year"]
    for row, patch in enumerate(names["patch_id"]):
        patches.setdefault(patch, []).append(row)
    members = [sorted(each, key=years.__getitem__) for each in patches.values()]
    sites, owned = names["site"], names["own"]
    series = datasets.Dataset.from_dict(
        {
            "patch_id": list(patches),
            "site": [sites[each[0]] for each in members],
            "own": [owned[each[0]] for each in members],
            "years": [[years[row] for row in each] for each in members],
            "rows": members,
        },
        split=rows.split,
    )
    return series.with_transform(SeriesOfComponents(rows, radar))


def _selected(script: SegmentationArguments, name: str, rows: datasets.Dataset) -> datasets.Dataset:
    """The rows of the sites that `--where` asks for."""
    wanted = script.wanted_facts
    if not wanted:
        return rows
    facts = {fact: column(rows, fact) for fact in FACTS}
    kept = matches_of(facts, wanted)
    if not kept and name == "train":
        raise no_site_error(facts, wanted, script.dataset)
    return rows.select(kept)


def lacks_radar(row: Mapping[str, Any]) -> bool:
    """Whether a decoded row has no backscatter at all, as in a year without a radar image."""
    return bool((np.asarray(row["radar"]) == NO_BACKSCATTER).all())


def _tell_missing_radar(script: SegmentationArguments, rows: Mapping[str, datasets.Dataset]) -> None:
    """Log how many years of how many sites have no radar image, or refuse a dataset without any."""
    lacking, total, sites = 0, 0, set()
    for each in rows.values():
        for row in each.select_columns(["radar", "site"]):
            total += 1
            if lacks_radar(row):
                lacking += 1
                sites.add(row["site"])
    if lacking == total:
        raise ArgumentError(
            f"--bands: found VV or VH, but no radar image in {script.dataset}; expected radar/Year*.tif in "
            "the archive that it was built from, or other bands."
        )
    if lacking:
        logger.warning(
            "%s: %s of %d, at %s, without radar; VV and VH take their means there.",
            script.dataset,
            counted(lacking, "image"),
            total,
            counted(len(sites), "site"),
        )


def _statistics(
    script: SegmentationArguments, train: datasets.Dataset, radar: bool
) -> Mapping[str, Any] | None:
    """Statistics of the ten bands and, where they are used, of VV and VH."""
    found = band_statistics(script)
    if not radar or found is None or set(RADAR_BANDS) <= set(found["bands"]):
        return found
    mean, std = _radar_statistics(train)
    return {
        "bands": [*found["bands"], *RADAR_BANDS],
        "mean": [*found["mean"], *mean],
        "std": [*found["std"], *std],
    }


def _radar_statistics(train: datasets.Dataset) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of VV and VH, in hundredths of a decibel, over training rows."""
    values: list[list[NDArray[np.int16]]] = [[] for _ in RADAR_BANDS]
    for row in spread(train, _RADAR_ROWS):
        for kept, band in zip(values, np.asarray(row["radar"]), strict=True):
            kept.append(band[band != NO_BACKSCATTER])
    joined = [np.concatenate(each).astype(np.float64) for each in values]
    if not all(len(each) for each in joined):
        raise DatasetError("components: found no backscatter in the training rows; expected some for VV, VH.")
    return [float(each.mean()) for each in joined], [float(each.std()) or 1.0 for each in joined]


def _transform_of(rows: datasets.Dataset) -> Any:
    return rows.format["format_kwargs"]["transform"]


def _digest(train: datasets.Dataset, scored: Mapping[str, datasets.Dataset], groups: LabelGroups) -> str:
    """Hash of the rows and of the groups that their labels come from."""
    text = f"{digest_of({'train': train, **scored})} {json.dumps(groups.to_dict())}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
