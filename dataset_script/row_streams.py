"""Built rows as a stream, decoded and put together patch by patch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, groupby
from typing import Any

import datasets
import numpy as np

from euromine.support.errors import DatasetError

from .cells import decode_components, decode_image, decode_label, decode_radar
from .label_changes import change_between, change_counts
from .patch_rows import FEATURES
from .pixel_references import PixelFeature
from .row_views import PIXEL_COLUMNS


def stream_rows(
    annual: datasets.IterableDataset,
    config: str,
    years: frozenset[int] | None,
    wanted: tuple[str, ...],
    own: datasets.IterableDataset | None = None,
) -> datasets.IterableDataset:
    """Rows of any config from a stream of annual rows, file by file.

    Args:
        annual: The annual rows of a split.
        config: The config.
        years: As for `read_dataset`.
        wanted: Entries of the rows.
        own: The rows of the config `components`, whose files go with those of `annual` one to one.

    Raises:
        DatasetError: They do not.
    """
    annual = annual.remove_columns("quicklook").cast_column("label", datasets.Image(decode=False))
    if own is not None:
        own = own.cast_column("components", datasets.Image(decode=False))
        if own.num_shards != annual.num_shards:
            raise DatasetError(
                f"{config}: found {own.num_shards} files in split '{annual.split}'; expected "
                f"{annual.num_shards}, as of annual."
            )
    return datasets.IterableDataset.from_generator(
        _stream_rows,
        gen_kwargs={
            "annual": annual,
            "own": own,
            "shards": list(range(annual.num_shards)),  # `datasets` divides lists among workers
            "config": config,
            "years": years,
            "wanted": wanted,
        },
        features=datasets.Features({name: _feature(name, config) for name in wanted}),
        split=annual.split,
    )


def _feature(name: str, config: str) -> Any:
    return PixelFeature(name, streamed=True) if name in PIXEL_COLUMNS[config] else FEATURES[config][name]


def _stream_rows(
    annual: datasets.IterableDataset,
    own: datasets.IterableDataset | None,
    shards: Sequence[int],
    config: str,
    years: frozenset[int] | None,
    wanted: Sequence[str],
) -> Iterator[dict[str, Any]]:
    """The rows of some files of a split. A patch's years are neighbours, and never in two files."""
    if own is not None:
        for shard in shards:
            annual_rows, own_rows = (
                _every_row(each.shard(num_shards=each.num_shards, index=shard)) for each in (annual, own)
            )
            for row in _components_of(annual_rows, own_rows, years):
                yield {name: row[name] for name in wanted}
        return
    make = {"annual": _annual_of, "series": _series_of, "pairs": _pairs_of}[config]
    for shard in shards:
        rows = (
            row
            for row in _every_row(annual.shard(num_shards=annual.num_shards, index=shard))
            if years is None or row["year"] in years
        )
        for _, patch_rows in groupby(rows, key=lambda row: row["patch_id"]):
            for decoded in make(list(patch_rows)):
                yield {name: decoded[name] for name in wanted}


def _every_row(rows: datasets.IterableDataset) -> Iterator[dict[str, Any]]:
    """All rows of a stream, in a worker of a DataLoader too.

    A plain loop over a stream gives a worker its share alone, and the files have been shared out before.
    """
    for batch in rows.iter(batch_size=1):
        yield {name: values[0] for name, values in batch.items()}


def _annual_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded rows of one patch."""
    for row in rows:
        yield {**row, "image": decode_image(row["image"]), "label": decode_label(row["label"]["bytes"])}


def _components_of(
    annual: Iterator[dict[str, Any]], own: Iterator[dict[str, Any]], years: frozenset[int] | None
) -> Iterator[dict[str, Any]]:
    """The decoded component rows of one file; the annual rows of its patches are in the same order."""
    for row in own:
        place = row["patch_id"], row["year"]
        of_year = next((each for each in annual if (each["patch_id"], each["year"]) == place), None)
        if of_year is None:
            raise DatasetError(
                f"components: found {place[0]} in {place[1]} in another file than in annual; expected "
                "configs of one build."
            )
        if years is None or row["year"] in years:
            yield {
                **next(_annual_of([of_year])),
                **row,
                "components": decode_components(row["components"]["bytes"]),
                "radar": decode_radar(row["radar"]),
            }


def _series_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded series of one patch."""
    decoded = list(_annual_of(rows))
    yield {
        **decoded[0],
        "years": [row["year"] for row in decoded],
        "images": np.stack([row["image"] for row in decoded]),
        "labels": np.stack([row["label"] for row in decoded]),
    }


def _pairs_of(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The decoded pairs of one patch."""
    decoded = list(_annual_of(rows))
    if len(decoded) < 2:
        return
    gained, lost, known = change_counts(np.stack([row["label"] for row in decoded]), decoded[0]["own"])
    for (first, row_1), (second, row_2) in combinations(enumerate(decoded), 2):
        yield {
            **row_1,
            "year_1": row_1["year"],
            "year_2": row_2["year"],
            "interval": row_2["year"] - row_1["year"],
            "gained_pixels": int(gained[first, second]),
            "lost_pixels": int(lost[first, second]),
            "owned_pixels": int(known[first, second]),
            "images": np.stack([row_1["image"], row_2["image"]]),
            "labels": np.stack([row_1["label"], row_2["label"]]),
            "change": change_between(row_1["label"], row_2["label"]),
        }
