"""The dataset's folder from the shards of its sites: names, row numbers, statistics, picture and card."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from euromine.support.errors import DatasetError
from euromine.support.files import link_or_copy
from euromine.support.records import read_values

from .archive_bands import BANDS
from .cells import decode_label
from .component_statistics import component_statistics
from .dataset_card import CARD_NAME, PICTURE_NAME, draw_picture, write_card
from .level_summary import LevelSummary
from .parquet_writing import write_table
from .patch_rows import CONFIGS
from .site_shards import SiteRecord
from .statistics import BandSums

STATISTICS_FILE = "statistics.json"
_ADVICE = "Delete the dataset to build it again, or choose another folder."

_PICTURE_ROWS = 4


def assemble(
    work: Path,
    sites: Mapping[str, Sequence[str]],
    records: Mapping[str, SiteRecord],
    *,
    simulated: bool,
    levels: LevelSummary,
    unlabelled: Mapping[str, Sequence[int]],
) -> Path:
    """Put the dataset together from the shards of its sites, except for its record.

    Args:
        work: The folder of the build.
        sites: The sites of each split.
        records: The record of each site.
        simulated: Whether the imagery is simulated.
        levels: The processing levels of the images.
        unlabelled: The years of each site that were left out because they have no label.
    """
    dataset = work / "dataset"
    if dataset.exists():
        shutil.rmtree(dataset)
    parts = work / "parts"
    files: dict[str, list[str]] = {config: [] for config in CONFIGS}
    for split, names in sites.items():
        configs = ["annual"]
        if any(counts.rows for name in names if (counts := records[name].components) is not None):
            configs.append("components")
        for config in configs:
            shards = [
                parts / name / f"{config}-{number:05d}.parquet"
                for name in names
                for number in range(records[name].shards)
            ]
            for number, shard in enumerate(shards):
                path = dataset / "data" / config / _shard_name(split, number, len(shards))
                path.parent.mkdir(parents=True, exist_ok=True)
                link_or_copy(shard, path)
            files[config].append(split)
        for config in ("series", "pairs"):
            table = _small_table(
                config, [parts / name for name in names], [records[name].rows for name in names]
            )
            if len(table):
                path = dataset / "data" / config / _shard_name(split, 0, 1)
                path.parent.mkdir(parents=True, exist_ok=True)
                write_table(path, table)
                files[config].append(split)

    statistics = _statistics(sites, records, levels, unlabelled)
    (dataset / STATISTICS_FILE).write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")
    (dataset / PICTURE_NAME).write_bytes(_picture(parts, records))
    write_card(
        dataset / CARD_NAME,
        files={config: splits for config, splits in files.items() if splits},
        statistics=statistics,
        bands=BANDS,
        simulated=simulated,
        content=_content(dataset, statistics),
    )
    return dataset


def check_unchanged(dataset: Path) -> None:
    """Refuse a built dataset whose statistics or shards are not those that its card was written for.

    Raises:
        DatasetError: They have changed, or the card is missing.
        RecordError: The statistics are damaged.
        OSError: A file cannot be read.
    """
    statistics = read_values(dict[str, Any], dataset / STATISTICS_FILE, advice=_ADVICE)
    card = dataset / CARD_NAME
    if not card.is_file() or _content(dataset, statistics) not in card.read_text("utf-8", errors="replace"):
        raise DatasetError(
            f"{dataset}: found {STATISTICS_FILE} or shards that have changed since {CARD_NAME} was written; "
            "expected a dataset as it was built. Delete it to build it again, or choose another folder."
        )


def _content(dataset: Path, statistics: Any) -> str:
    """A hash of a dataset's statistics and of the names and sizes of its shards."""
    sizes = {str(path.relative_to(dataset)): path.stat().st_size for path in dataset.rglob("*.parquet")}
    return hash_of([sizes, statistics])[:12]


def _shard_name(split: str, number: int, shards: int) -> str:
    return f"{split}-{number:05d}-of-{shards:05d}.parquet"


def _small_table(config: str, folders: Sequence[Path], rows: Sequence[int]) -> pa.Table:
    """`series` or `pairs` of a split: its sites' tables, with row numbers that continue across sites."""
    tables = []
    first_row = 0
    for folder, site_rows in zip(folders, rows, strict=True):
        table = pq.read_table(folder / f"{config}.parquet")
        for name in ("rows",) if config == "series" else ("row_1", "row_2"):
            column = table.column(name).combine_chunks()
            if config == "series":
                numbers = pc.add(column.flatten(), first_row)
                column = pa.ListArray.from_arrays(column.offsets, numbers, type=column.type)
            else:
                column = pc.add(column, first_row)
            table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), column)
        tables.append(table)
        first_row += site_rows
    return pa.concat_tables(tables).combine_chunks()


def _statistics(
    sites: Mapping[str, Sequence[str]],
    records: Mapping[str, SiteRecord],
    levels: LevelSummary,
    unlabelled: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """The content of `statistics.json`."""
    splits = {split: [records[name] for name in names] for split, names in sites.items()}
    all_records = [records[name] for name in sorted(records)]
    countries = sorted({record.country for record in all_records})
    years = sorted({year for record in all_records for year in record.years})
    train_sums = (BandSums.from_dict(record.band_sums) for record in splits.get("train", []))
    return {
        "splits": {split: _sum(split_records) for split, split_records in splits.items()},
        "countries": {
            country: _sum([record for record in all_records if record.country == country])
            for country in countries
        },
        "years": {str(year): _sum(all_records, year) for year in years},
        "sites": {
            record.site: {
                "country": record.country,
                "years": record.years,
                "level": levels.by_site[record.site],
                **_sum([record]),
            }
            for record in all_records
        },
        "level": levels.level,
        "level_source": levels.source,
        "unlabelled_years": {site: list(skipped) for site, skipped in unlabelled.items()},
        "band_statistics": sum(train_sums, BandSums()).statistics().to_dict() if "train" in splits else None,
        **component_statistics(splits),
    }


def _sum(records: Iterable[SiteRecord], year: int | None = None) -> dict[str, int]:
    """Counts over sites, of one year or of all."""
    counts = dict.fromkeys(("sites", "patches", "images", "pixels", "labelled_pixels", "mine_pixels"), 0)
    for record in records:
        positions = [position for position, own in enumerate(record.years) if year in (None, own)]
        if positions:
            counts["sites"] += 1
            counts["patches"] += record.patches
        for position in positions:
            counts["images"] += record.patches
            counts["pixels"] += record.pixels
            counts["labelled_pixels"] += record.labelled_pixels[position]
            counts["mine_pixels"] += record.mine_pixels[position]
    return counts


def _picture(parts: Path, records: Mapping[str, SiteRecord]) -> bytes:
    """A picture of the patches with the most change, one per site."""
    chosen = sorted(records.values(), key=lambda record: (*record.showcase_score, record.site))[
        -_PICTURE_ROWS:
    ]
    rows = []
    for record in reversed(chosen):
        table = pa.concat_tables(
            pq.read_table(
                parts / record.site / f"annual-{number:05d}.parquet",
                columns=["year", "quicklook", "label"],
                filters=[("patch_id", "==", record.showcase)],
            )
            for number in range(record.shards)
        )
        cells = [
            (row["year"], row["quicklook"]["bytes"], decode_label(row["label"]["bytes"]))
            for row in table.to_pylist()
        ]
        rows.append((record.site, cells))
    return draw_picture(rows)


def hash_of(value: Any) -> str:
    """SHA-256 of a value as JSON, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
