"""Read a built dataset as decoded rows: year by year, as series or as pairs.

Nothing here needs rasterio or torch. Series and pairs are views of annual rows and copy no pixels.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeAlias, cast

import datasets
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
)

from euromine.support.errors import ArgumentError, DatasetError, one_line

from .patch_rows import CONFIGS, FEATURES
from .row_streams import stream_rows
from .row_views import BLOB_COLUMNS, PIXEL_COLUMNS, ROW_COLUMNS, decoded_view

logger = logging.getLogger(__name__)

_SECONDS_TO_ANSWER = 10

# Base class of the HTTP library's errors. Versions of the Hub's client use different libraries.
_HTTP_ERROR = cast("type[Exception]", HfHubHTTPError.__mro__[1])

_Rows: TypeAlias = "datasets.Dataset | datasets.IterableDataset"

_RowsOfSplits: TypeAlias = "datasets.DatasetDict | datasets.IterableDatasetDict"


def read_dataset(
    source: str | os.PathLike[str],
    config: str = "annual",
    split: str | None = None,
    *,
    years: Iterable[int] | None = None,
    columns: Iterable[str] | None = None,
    revision: str | None = None,
    streaming: bool = False,
) -> _Rows | _RowsOfSplits:
    """Read a dataset with decoded rows.

    Rows are decoded on access:

    - annual: `image` int16 (10, 160, 160) and `label` uint8 (160, 160), both read-only views of the file;
    - series: `images` int16 (years, 10, 160, 160) and `labels` uint8 (years, 160, 160);
    - pairs: `images` int16 (2, 10, 160, 160), `labels` uint8 (2, 160, 160) and `change` uint8 (160, 160):
      0 unchanged, 1 changed, 255 unknown in either year;
    - components: as annual, with `components` uint16 (160, 160), bit i for class i of `COMPONENT_CLASSES`,
      and `radar` int16 (2, 160, 160), VV and VH in dB x 100, -32768 where there is none;

    besides the other columns of `FEATURES[config]`, except the quicklook and the row numbers.
    Labels are 0 other, 1 mine, 255 unknown. The result is an ordinary dataset to filter, shuffle, select,
    join, format or hand to a DataLoader with any kind of workers. Its columns of pixels hold references to
    annual rows, so filters on other columns decode no pixels. Pixels that `map` returns are stored and read
    back in place of the built ones.

    Args:
        source: A folder written by `euromine build`, a Hub repository, or the bare name of either.
        config: `annual`, `series` or `pairs`; `components` where a site has components.
        split: `train`, `validation`, `test`, or a part as in `train[:100]`; by default all splits.
        years: Restrict annual rows, each series, and pairs to these years.
        columns: Restrict rows to these entries; fewer are faster.
        revision: Branch, tag or commit of a Hub repository.
        streaming: Read rows in order from the parquet files or over the network, instead of through a
            memory-mapped copy. Series and pairs are assembled on the way.

    Returns:
        A `Dataset`, or a `DatasetDict` where no split is named; their iterable kinds if streaming.

    Raises:
        ArgumentError: There is no such config, column, split or year.
        DatasetError: The folder is not a dataset, or its configs do not belong together.
        FileNotFoundError: There is no such folder or repository.
    """
    if config not in CONFIGS:
        raise ArgumentError(f"config: found {config!r}; expected one of {', '.join(CONFIGS)}.")
    wanted = _wanted_columns(config, columns)
    years = None if years is None else frozenset(int(year) for year in years)
    _check_source(source, revision)

    whole_splits = split
    if config != "annual" and split is not None:
        whole_splits = _split_name(split, config)
    if config == "components":
        _check_components(source)
    load = _Loader(source, revision, streaming)
    annual = load("annual", split if config == "annual" else whole_splits)
    if streaming:
        if whole_splits != split:
            raise ArgumentError(
                f"split: found {split!r}; expected the name of a whole split when streaming {config}."
            )
        own = load(config, whole_splits) if config == "components" else None
        return _for_each_split(
            annual if own is None else own,
            lambda name: stream_rows(
                _of_split(annual, name), config, years, wanted, None if own is None else _of_split(own, name)
            ),
        )
    index = annual if config == "annual" else load(config, split)
    return _for_each_split(
        index,
        lambda name: decoded_view(_of_split(index, name), _of_split(annual, name), config, years, wanted),
    )


class _Loader:
    """`load_dataset` of one source."""

    def __init__(self, source: str | os.PathLike[str], revision: str | None, streaming: bool) -> None:
        self._source = os.fspath(source)
        self._revision = revision
        self._streaming = streaming

    def __call__(self, config: str, split: str | None) -> Any:
        try:
            return datasets.load_dataset(
                self._source, config, split=split, revision=self._revision, streaming=self._streaming
            )
        except ConnectionError as error:
            if not datasets.config.HF_HUB_OFFLINE:
                raise
            raise ConnectionError(
                f"{self._source}: there is no such folder, and the cache on this machine holds no such "
                "dataset. Unset HF_HUB_OFFLINE to look for it on the Hub."
            ) from error
        except ValueError as error:
            # `datasets` has no classes for these two, and bugs are ValueErrors, too.
            words = one_line(error)
            if words.startswith(("Unknown split", "Bad split")):
                raise ArgumentError(
                    f"split: found {split!r} ({words.rstrip('.')}); expected a split of {self._source}, or a "
                    "part of one."
                ) from error
            if words.startswith("BuilderConfig"):
                raise DatasetError(
                    f"{self._source}: found no config {config!r} in README.md; expected the card that "
                    "`euromine build` wrote."
                ) from error
            raise


def _wanted_columns(config: str, columns: Iterable[str] | None) -> tuple[str, ...]:
    """The entries of a decoded row, pixels last."""
    hidden = {*BLOB_COLUMNS, *ROW_COLUMNS[config]}
    known = (*(name for name in FEATURES[config] if name not in hidden), *PIXEL_COLUMNS[config])
    if columns is None:
        return known
    chosen = tuple(dict.fromkeys(columns))
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise ArgumentError(
            f"columns: found {', '.join(map(repr, unknown)) or 'none'}; expected some of those of {config}: "
            f"{', '.join(known)}."
        )
    return chosen


def _check_source(source: str | os.PathLike[str], revision: str | None) -> None:
    """Refuse a folder that is no dataset in one sentence, before `load_dataset` raises a page."""
    path = Path(source)
    if path.is_dir():
        if not (path / "README.md").is_file() or not (path / "data" / "annual").is_dir():
            raise DatasetError(
                f"{path}: found no README.md and data/annual; expected the folder that `euromine "
                "build` wrote."
            )
    elif isinstance(source, os.PathLike) or re.match(r"[./~\\]", source):
        raise FileNotFoundError(f"{path}: there is no such folder. `euromine build` writes one.")
    else:
        _check_repository(source, revision)


def _check_components(source: str | os.PathLike[str]) -> None:
    """Refuse a folder without components before its pixels are loaded."""
    path = Path(source)
    if path.is_dir() and not (path / "data" / "components").is_dir():
        raise DatasetError(
            f"{path}: found no data/components; expected a dataset whose archive has components. Draw them "
            "with `euromine annotate import --classes`, and build again."
        )


def _check_repository(name: str, revision: str | None) -> None:
    """Ask the Hub once for a dataset that is no folder; `load_dataset` would retry for half a minute.

    Raises:
        FileNotFoundError: The Hub has no such dataset.
        ConnectionError: The Hub cannot be reached.
    """
    cached = Path(datasets.config.HF_DATASETS_CACHE) / name.replace("/", "___")
    if datasets.config.HF_HUB_OFFLINE or cached.is_dir():
        return
    logger.info("There is no folder %s: looking for a dataset of that name on the Hub.", name)
    try:
        HfApi().dataset_info(name, revision=revision, timeout=_SECONDS_TO_ANSWER)
    except GatedRepoError:
        return  # the error of `load_dataset` explains how to get access
    except RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{name}: there is no such folder, and no such dataset on the Hub. `euromine build` writes one. "
            "A private dataset needs a token: log in with hf auth login, or set HF_TOKEN."
        ) from None
    except (HfHubHTTPError, HFValidationError):
        return
    except _HTTP_ERROR as error:
        raise ConnectionError(
            f"{name}: there is no such folder, and the Hub cannot be reached to look for such a dataset "
            f"({one_line(error) or type(error).__name__})."
        ) from error


def _split_name(split: str, config: str) -> str:
    """`train` of `train` or `train[:10%]`: the split whose annual rows the row numbers count."""
    match = re.fullmatch(r"(\w+)(\[[^\[\]]*\])?", str(split))
    if not match or match[1] == "all":
        raise ArgumentError(
            f"split: found {str(split)!r}; expected one split of {config}, or a part of one such as "
            "'train[:100]'. Row numbers count within a split; concatenate_datasets joins several."
        )
    return match[1]


def _for_each_split(loaded: Any, make: Callable[[str | None], Any]) -> Any:
    """Apply `make` to one split, or to each split of a dictionary of them."""
    if not isinstance(loaded, dict):
        return make(None)
    kind = (
        datasets.IterableDatasetDict
        if isinstance(loaded, datasets.IterableDatasetDict)
        else datasets.DatasetDict
    )
    return kind({name: make(name) for name in loaded})


def _of_split(loaded: Any, name: str | None) -> Any:
    return loaded if name is None else loaded[name]
