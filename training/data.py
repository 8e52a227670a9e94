"""The splits of a dataset that the scripts train and score on."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import datasets
import numpy as np
from transformers import TrainingArguments

from euromine.dataset_script.build_record import BuildRecord
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.row_batches import StackedRows
from euromine.dataset_script.splits import split_sites
from euromine.modeling.bands import BANDS, RADAR_BANDS
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.tasks import CHANGE_DETECTION
from euromine.support.errors import ArgumentError, DatasetError, as_user_error, one_line
from euromine.support.processing_levels import DataLevel
from euromine.support.wording import counted

from .arguments import ChangeDetectionArguments, ScriptArguments
from .dataset_files import band_statistics, build_record, dataset_revision
from .patch_series import PatchSeries
from .sampling import EpochSampler, PairSampler, SeriesSampler

logger = logging.getLogger(__name__)

# Columns of the training rows, and the small ones among them that the digest is computed from.
_TRAINING_COLUMNS = {
    "annual": ("image", "label", "patch_id", "site", "year", "mine_pixels"),
    "pairs": ("images", "change", "patch_id", "site", "year_1", "year_2", "interval", "gained_pixels"),
}
_SERIES_COLUMNS = ("images", "labels", "own", "site", "years", "patch_id")


@dataclass(frozen=True)
class Splits:
    """The data of a run.

    Attributes:
        train: Rows of `annual` or `pairs`, or of `series` for a network for series.
        validation: Rows of `series`, or None where the dataset has no such split.
        test: Rows of `series`, or None.
        pictured: Rows of `series` for the card's picture: of the scored split, else of the training split.
        sites: Names of the sites that are scored.
        years: The longest series that is scored.
        statistics: `bands`, `mean` and `std` of the dataset's training sites, where it has them.
        revision: The commit of a Hub repository.
        simulated: Whether the dataset was built from a simulated archive.
        level: The processing level of its images, None if unknown.
        digest: Hash of the rows that are trained and scored on.
    """

    train: datasets.Dataset
    validation: datasets.Dataset | None
    test: datasets.Dataset | None
    pictured: datasets.Dataset
    sites: tuple[str, ...]
    years: int
    statistics: Mapping[str, Any] | None
    revision: str | None
    simulated: bool
    digest: str
    level: DataLevel | None = None


def read_splits(script: ScriptArguments, seed: int) -> Splits:
    """Read the splits of a dataset.

    Args:
        script: The script's arguments.
        seed: Seed of the draw of `max_train_samples`.

    Raises:
        ArgumentError: A band is asked for that the dataset lacks.
        DatasetError: The training split is missing or empty, or the dataset is damaged.
        OSError: There is no such dataset, or the Hub cannot be reached.
    """
    if missing := [band for band in script.bands or () if band not in BANDS]:
        raise ArgumentError(f"--bands: found {', '.join(missing)}; expected some of {', '.join(BANDS)}.")
    pairs = script.task == CHANGE_DETECTION
    series = config_rows(script, "series")
    training = series if script.sees_series else config_rows(script, "pairs" if pairs else "annual")
    check_years(script, _years_of(series), "series")
    if "train" not in training or not len(training["train"]):
        raise DatasetError(f"{script.dataset}: found no rows in the split train; expected some to train on.")
    learned = _as_published(training["train"]) if script.protocol == "paper" else training["train"]
    if script.sees_series and pairs:
        learned = _of_two_years(learned)
    draw = _drawn_patches if _trains_on_series(script) else drawn
    train = draw(learned, script.max_train_samples, seed)
    scored = {
        name: spread(_of_two_years(series[name]) if pairs else series[name], script.max_eval_samples)
        for name in ("validation", "test")
        if name in series
    }
    scored = {name: rows for name, rows in scored.items() if len(rows)}
    sites = sorted({site for rows in scored.values() for site in column(rows, "site")})
    lengths = [len(years) for rows in scored.values() for years in column(rows, "years")]
    pictured = scored.get("test", scored.get("validation"))
    if pictured is None:
        pictured = _of_two_years(series["train"]) if pairs else series["train"]
    record = build_record(script)
    return Splits(
        train=train,
        validation=scored.get("validation"),
        test=scored.get("test"),
        pictured=pictured,
        sites=tuple(sites),
        years=max(lengths, default=0),
        statistics=band_statistics(script),
        revision=dataset_revision(script),
        simulated=record is not None and record.simulated,
        digest=digest_of({"train": train, **scored}),
        level=None if record is None else level_of(script, record),
    )


def check_years(script: ScriptArguments, found: set[int], config: str) -> None:
    """Refuse years without images, which would otherwise be left out silently.

    Args:
        script: The script's arguments.
        found: The years of the rows that were read.
        config: The config of these rows: "series", or one with a row for each year.

    Raises:
        ArgumentError: `--years` names another one.
    """
    if missing := sorted(set(script.years or ()) - found):
        name = "years" if config == "series" else "year"
        whole = read_dataset(script.dataset, config, columns=(name,), revision=script.dataset_revision)
        there = {each for rows in whole.values() for each in np.hstack(column(rows, name)).tolist()}
        raise ArgumentError(
            f"--years: found {', '.join(map(str, missing))}, without images in {script.dataset}; expected "
            f"some of {', '.join(map(str, sorted(there)))}."
        )


def _years_of(series: Mapping[str, datasets.Dataset]) -> set[int]:
    return {year for rows in series.values() for years in column(rows, "years") for year in years}


def level_of(script: ScriptArguments, record: BuildRecord) -> DataLevel | None:
    """The processing level of the images; mixed levels are logged as a warning."""
    if record.level == "mixed":
        logger.warning(
            "%s: the images are of different or unknown processing levels (L1C, L2A), so the network learns "
            "from two kinds of reflectance. The dataset's card lists the sites.",
            script.dataset,
        )
    return record.level


def column(rows: datasets.Dataset, name: str) -> list[Any]:
    """A small column, read without decoding pixels."""
    return list(rows.with_format(None)[name])


def describe(splits: Splits) -> str:
    """The size of each split, in one line."""
    parts = [_amount("train", splits.train)]
    parts += [
        _amount(name, rows) if rows is not None else f"{name}: none"
        for name, rows in (("validation", splits.validation), ("test", splits.test))
    ]
    return "; ".join(parts)


def sites_of(rows: datasets.Dataset | None) -> list[str]:
    """The names of the sites in some rows, sorted."""
    return [] if rows is None else sorted(set(column(rows, "site")))


def training_sampler(script: ScriptArguments, splits: Splits, seed: int) -> EpochSampler:
    """The sampler of training rows: their order, and the pairs of years that are drawn."""
    rows = splits.train
    if script.sees_series or not isinstance(script, ChangeDetectionArguments):
        return EpochSampler(len(rows), seed)
    series = _trains_on_series(script)
    if script.number_of_pairs is None and not series:
        return EpochSampler(len(rows), seed)
    sampler = SeriesSampler if series else PairSampler
    number = len(rows) if script.number_of_pairs is None else script.number_of_pairs
    return sampler(_patches(rows), column(rows, "interval"), number, script.interval_sampling, seed)


def training_dataset(script: ScriptArguments, splits: Splits, training: TrainingArguments) -> Any:
    """The training samples: annual rows, pairs or patches with pairs, read as stacked batches, or series.

    Raises:
        ArgumentError: One process would divide a batch of patches among several GPUs.
    """
    if script.sees_series:
        return splits.train
    if not _trains_on_series(script):
        pixels = ("images", "change") if script.task == CHANGE_DETECTION else ("image", "label")
        return StackedRows(splits.train, pixels)
    if training.n_gpu > 1:
        raise ArgumentError(
            f"--training series: found {training.n_gpu} GPUs in one process; expected one GPU per process. "
            "Start it with `accelerate launch`, or name one GPU in CUDA_VISIBLE_DEVICES."
        )
    return PatchSeries(
        splits.train, config_rows(script, "annual", ("image", "label", "patch_id", "year"))["train"]
    )


def make_image_processor(script: ScriptArguments, splits: Splits) -> EuroMineImageProcessor:
    """The image processor with the statistics that the arguments ask for.

    Raises:
        ArgumentError: The dataset's own statistics are asked for and it has none, or bands do not fit.
    """
    own = splits.statistics
    name = script.statistics or ("dataset" if own else "corrected")
    if name == "dataset" and own is None:
        raise ArgumentError(
            f"--statistics: found dataset, but no statistics.json with band statistics in {script.dataset}; "
            "expected corrected or paper."
        )
    statistics = {**own, "name": "dataset"} if name == "dataset" and own is not None else name
    bands = script.bands or BANDS
    source = (*BANDS, *RADAR_BANDS) if set(bands) & set(RADAR_BANDS) else BANDS
    with as_user_error("--bands"):
        return EuroMineImageProcessor.from_statistics(
            statistics, bands=bands, source_bands=source, level=splits.level
        )


def _trains_on_series(script: ScriptArguments) -> bool:
    return isinstance(script, ChangeDetectionArguments) and script.training == "series"


def _patches(pairs: datasets.Dataset) -> list[str]:
    """The patch of each row of `pairs`; where a patch is trained on twice, it counts as two."""
    times: Counter[tuple[Any, ...]] = Counter()
    names = []
    for row in zip(*(column(pairs, name) for name in ("patch_id", "year_1", "year_2")), strict=True):
        times[row] += 1
        names.append(row[0] if times[row] == 1 else f"{row[0]} again {times[row]}")
    return names


def config_rows(
    script: ScriptArguments, config: str, columns: tuple[str, ...] | None = None
) -> Mapping[str, datasets.Dataset]:
    """The rows of a config by split, restricted to the years that the arguments ask for.

    Raises:
        ArgumentError: There is no such config or year.
        DatasetError: The dataset is damaged.
        OSError: There is no such dataset, or the Hub cannot be reached.
    """
    columns = columns or (_SERIES_COLUMNS if config == "series" else _TRAINING_COLUMNS[config])
    try:
        return read_dataset(
            script.dataset, config, years=script.years, columns=columns, revision=script.dataset_revision
        )
    except ArgumentError as error:
        # Its arguments have the names of the options.
        raise ArgumentError(f"--{error}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--dataset: {one_line(error).rstrip('.')}.") from error
    except ConnectionError as error:
        raise ConnectionError(f"--dataset: {one_line(error).rstrip('.')}.") from error


def _of_two_years(series: datasets.Dataset) -> datasets.Dataset:
    """The series in which anything can change."""
    kept = [index for index, years in enumerate(column(series, "years")) if len(years) > 1]
    if len(kept) < len(series):
        logger.warning(
            "%d patches of the split %s have a single year, so no change can be scored there.",
            len(series) - len(kept),
            series.split,
        )
    return series.select(kept)


def _as_published(train: datasets.Dataset) -> datasets.Dataset:
    """Training rows as often as the official list names their site: one site twice, one not at all.

    Sites outside the published lists stay as they are.
    """
    listed, known = Counter(split_sites("official")["train"]), set(split_sites("corrected")["train"])
    times = [listed[site] if site in known else 1 for site in column(train, "site")]
    if set(times) <= {1}:
        return train
    return train.select(np.repeat(np.arange(len(train)), times).tolist())


def drawn(rows: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
    """A number of rows at random."""
    if number is None or number >= len(rows):
        return rows
    return rows.select(sorted(np.random.default_rng(seed).choice(len(rows), number, replace=False).tolist()))


def _drawn_patches(pairs: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
    """The pairs of a number of patches at random."""
    patches = np.asarray(_patches(pairs))
    names = np.unique(patches)
    if number is None or number >= len(names):
        return pairs
    drawn = np.random.default_rng(seed).choice(names, number, replace=False)
    return pairs.select(np.flatnonzero(np.isin(patches, drawn)).tolist())


def spread(rows: datasets.Dataset, number: int | None) -> datasets.Dataset:
    """A number of rows, spread evenly over all."""
    if number is None or number >= len(rows):
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, number).round().astype(int).tolist())


def _amount(name: str, rows: datasets.Dataset) -> str:
    patches = len(set(column(rows, "patch_id")))
    sites = counted(len(sites_of(rows)), "site")
    amount = f"{len(rows)} series" if "years" in rows.column_names else counted(len(rows), "row")
    return f"{name}: {amount} of {counted(patches, 'patch', 'patches')} of {sites}"


def digest_of(rows_by_split: Mapping[str, datasets.Dataset]) -> str:
    """Hash of the patches, years and counted pixels of each split."""
    digest = hashlib.sha256()
    for name, rows in rows_by_split.items():
        digest.update(f"{name} {len(rows)}".encode())
        for small in ("patch_id", "year", "years", "year_1", "year_2", "mine_pixels", "gained_pixels"):
            if small in rows.column_names:
                digest.update(json.dumps(column(rows, small)).encode())
    return digest.hexdigest()[:16]
