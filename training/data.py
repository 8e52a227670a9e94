"""The splits of a dataset as the scripts train and score on them."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError
from transformers import TrainingArguments

from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.splits import split_sites
from euromine.modeling.auto import CHANGE_DETECTION
from euromine.modeling.configuration import BANDS
from euromine.modeling.image_processing import EuroMineImageProcessor

from .arguments import ChangeDetectionArguments, ScriptArguments
from .patch_series import PatchSeries
from .sampling import EpochSampler, PairSampler, SeriesSampler

logger = logging.getLogger(__name__)

# What training rows are read with, and which numbers of theirs name the data without reading its pixels.
_TRAINING_COLUMNS = {
    "annual": ("image", "label", "patch_id", "site", "year", "mine_pixels"),
    "pairs": ("images", "change", "patch_id", "site", "year_1", "year_2", "interval", "gained_pixels"),
}
_SERIES_COLUMNS = ("images", "labels", "own", "site", "years", "patch_id")


@dataclass(frozen=True)
class Splits:
    """What is trained and scored on.

    Attributes:
        train: Rows of `annual` or `pairs`.
        validation: Rows of `series`, or None where the dataset has no such split.
        test: Rows of `series`, or None.
        pictured: Rows of `series` that the card's picture shows: of the split whose scores it shows, else
            those that are trained on.
        sites: Names of the sites that are scored.
        years: The longest series that is scored.
        statistics: `bands`, `mean` and `std` of the dataset's training sites, where it brings them.
        revision: The commit of a Hub repository.
        simulated: Whether the dataset's card says that it is simulated.
        digest: Stands for the data: another where other rows are trained or scored on.
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


def read_splits(script: ScriptArguments, seed: int) -> Splits:
    """Read a dataset's splits as the arguments say.

    Args:
        script: The script's arguments.
        seed: What `max_train_samples` draws with.

    Raises:
        ValueError: There is no training split, or nothing in it, or a band that the dataset lacks is asked
            for.
        OSError: There is no such dataset.
    """
    if missing := [band for band in script.bands or () if band not in BANDS]:
        raise ValueError(
            f"--bands names {', '.join(missing)}, which the dataset lacks; it has {', '.join(BANDS)}"
        )
    pairs = script.task == CHANGE_DETECTION
    training = _read(script, "pairs" if pairs else "annual")
    series = _read(script, "series")
    if "train" not in training or not len(training["train"]):
        raise ValueError(f"{script.dataset}: there is nothing in the split train to learn from")
    learned = _as_published(training["train"]) if script.protocol == "paper" else training["train"]
    draw = _drawn_patches if _trains_on_series(script) else _drawn
    train = draw(learned, script.max_train_samples, seed)
    scored = {
        name: _spread(_of_two_years(series[name]) if pairs else series[name], script.max_eval_samples)
        for name in ("validation", "test")
        if name in series
    }
    scored = {name: rows for name, rows in scored.items() if len(rows)}
    sites = sorted({site for rows in scored.values() for site in column(rows, "site")})
    lengths = [len(years) for rows in scored.values() for years in column(rows, "years")]
    pictured = scored.get("test", scored.get("validation"))
    if pictured is None:
        pictured = _of_two_years(series["train"]) if pairs else series["train"]
    card = _repository_file(script, "README.md") or ""
    return Splits(
        train=train,
        validation=scored.get("validation"),
        test=scored.get("test"),
        pictured=pictured,
        sites=tuple(sites),
        years=max(lengths, default=0),
        statistics=_band_statistics(script),
        revision=_revision(script),
        simulated="simulated" in card.lower(),
        digest=digest_of({"train": train, **scored}),
    )


def column(rows: datasets.Dataset, name: str) -> list[Any]:
    """One of the small columns, without decoding a pixel."""
    return list(rows.with_format(None)[name])


def describe(splits: Splits) -> str:
    """How much there is in each split, in one line."""
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
    """The order of the training rows, and which pairs of years are drawn."""
    rows = splits.train
    if not isinstance(script, ChangeDetectionArguments):
        return EpochSampler(len(rows), seed)
    series = _trains_on_series(script)
    if script.number_of_pairs is None and not series:
        return EpochSampler(len(rows), seed)
    sampler = SeriesSampler if series else PairSampler
    number = len(rows) if script.number_of_pairs is None else script.number_of_pairs
    return sampler(_patches(rows), column(rows, "interval"), number, script.interval_sampling, seed)


def training_dataset(script: ScriptArguments, splits: Splits, training: TrainingArguments) -> Any:
    """What is trained on: the training rows, or patches with their pairs.

    Raises:
        ValueError: One process would divide a batch of patches among several GPUs.
    """
    if not _trains_on_series(script):
        return splits.train
    if training.n_gpu > 1:
        raise ValueError(
            f"--training series takes one GPU a process and found {training.n_gpu}: start it with "
            "`accelerate launch`, or name one in CUDA_VISIBLE_DEVICES"
        )
    return PatchSeries(splits.train, _read(script, "annual", ("image", "label", "patch_id", "year"))["train"])


def make_image_processor(script: ScriptArguments, splits: Splits) -> EuroMineImageProcessor:
    """The image processor with the statistics that the arguments ask for.

    Raises:
        ValueError: The dataset's own statistics are asked for and it has none.
    """
    own = splits.statistics
    name = script.statistics or ("dataset" if own else "corrected")
    if name != "dataset":
        return EuroMineImageProcessor.from_statistics(name, bands=script.bands or BANDS, source_bands=BANDS)
    if own is None:
        raise ValueError(
            f"--statistics dataset: {script.dataset} brings no statistics.json with band statistics; "
            "corrected or paper was expected"
        )
    return EuroMineImageProcessor.from_statistics(
        {**own, "name": "dataset"}, bands=script.bands or BANDS, source_bands=BANDS
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


def _read(
    script: ScriptArguments, config: str, columns: tuple[str, ...] | None = None
) -> Mapping[str, datasets.Dataset]:
    columns = columns or (_SERIES_COLUMNS if config == "series" else _TRAINING_COLUMNS[config])
    try:
        return read_dataset(
            script.dataset, config, years=script.years, columns=columns, revision=script.dataset_revision
        )
    except (FileNotFoundError, ConnectionError) as error:
        raise type(error)(f"--dataset: {error}") from None


def _of_two_years(series: datasets.Dataset) -> datasets.Dataset:
    """The series in which anything can change."""
    kept = [index for index, years in enumerate(column(series, "years")) if len(years) > 1]
    if len(kept) < len(series):
        logger.warning(
            "%d patches of the split %s have one year alone: no change can be scored there",
            len(series) - len(kept),
            series.split,
        )
    return series.select(kept)


def _as_published(train: datasets.Dataset) -> datasets.Dataset:
    """Training rows as often as the official list names their site: one twice, one not at all.

    Sites that no published list knows stay as they are.
    """
    listed, known = Counter(split_sites("official")["train"]), set(split_sites("corrected")["train"])
    times = [listed[site] if site in known else 1 for site in column(train, "site")]
    if set(times) <= {1}:
        return train
    return train.select(np.repeat(np.arange(len(train)), times).tolist())


def _drawn(rows: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
    """So many rows at random."""
    if number is None or number >= len(rows):
        return rows
    return rows.select(sorted(np.random.default_rng(seed).choice(len(rows), number, replace=False).tolist()))


def _drawn_patches(pairs: datasets.Dataset, number: int | None, seed: int) -> datasets.Dataset:
    """The pairs of so many patches at random."""
    patches = np.asarray(_patches(pairs))
    names = np.unique(patches)
    if number is None or number >= len(names):
        return pairs
    drawn = np.random.default_rng(seed).choice(names, number, replace=False)
    return pairs.select(np.flatnonzero(np.isin(patches, drawn)).tolist())


def _spread(rows: datasets.Dataset, number: int | None) -> datasets.Dataset:
    """So many rows, evenly over all."""
    if number is None or number >= len(rows):
        return rows
    return rows.select(np.linspace(0, len(rows) - 1, number).round().astype(int).tolist())


def _amount(name: str, rows: datasets.Dataset) -> str:
    patches, sites = len(set(column(rows, "patch_id"))), len(sites_of(rows))
    things = "series" if "years" in rows.column_names else "rows"
    return f"{name}: {len(rows)} {things} of {patches} patches of {sites} sites"


def digest_of(rows_by_split: Mapping[str, datasets.Dataset]) -> str:
    """A hash of which patches, years and counted pixels there are in each split."""
    digest = hashlib.sha256()
    for name, rows in rows_by_split.items():
        digest.update(f"{name} {len(rows)}".encode())
        for small in ("patch_id", "year", "years", "year_1", "year_2", "mine_pixels", "gained_pixels"):
            if small in rows.column_names:
                digest.update(json.dumps(column(rows, small)).encode())
    return digest.hexdigest()[:16]


def _band_statistics(script: ScriptArguments) -> Mapping[str, Any] | None:
    text = _repository_file(script, "statistics.json")
    if text is None:
        return None
    try:
        found: Mapping[str, Any] | None = json.loads(text).get("band_statistics")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{script.dataset}: statistics.json cannot be read ({error})") from None
    return found


def _repository_file(script: ScriptArguments, name: str) -> str | None:
    """The text of a file beside the data, or None where there is none."""
    if (folder := Path(script.dataset)).is_dir():
        path = folder / name
        return path.read_text(encoding="utf-8") if path.is_file() else None
    try:
        downloaded = hf_hub_download(
            script.dataset, name, repo_type="dataset", revision=script.dataset_revision
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        logger.info("%s of %s was not found: %s", name, script.dataset, error)
        return None
    return Path(downloaded).read_text(encoding="utf-8")


def _revision(script: ScriptArguments) -> str | None:
    """The commit that a Hub repository's name stands for today."""
    if Path(script.dataset).is_dir():
        return None
    try:
        return HfApi().dataset_info(script.dataset, revision=script.dataset_revision).sha
    except (HfHubHTTPError, OSError, ValueError):
        return script.dataset_revision
