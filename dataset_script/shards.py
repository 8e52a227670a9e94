"""The dataset as zstd parquet shards with a card: what `load_dataset` reads from a folder or from the Hub."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from euromine.support.errors import DatasetError, RecordError
from euromine.support.files import explain_full_disk, link_or_copy
from euromine.support.workers import in_processes, prefetch, run_on_dask, usable_cores

from .archive import BANDS, Archive, Scene, Site
from .build_record import BUILD_FILE, BuildRecord, read_build_record, write_build_record
from .builder import (
    CONFIGS,
    FEATURES,
    PatchLabels,
    annual_table,
    change_counts,
    files_state,
    pair_rows,
    read_images,
    read_labels,
    series_row,
    sites_of_splits,
)
from .dataset_card import PICTURE_NAME, draw_picture, write_card
from .patches import PATCH_SIZE
from .reading import decode_label
from .statistics import BandSums

logger = logging.getLogger(__name__)

FORMAT = 2
"""Raised whenever the same archive would give other bytes."""

ROWS_PER_GROUP = 16
"""Annual rows in a row group: what streaming has to fetch and decompress for its first row."""

SHARD_BYTES = 500_000_000
"""A shard is at most this large."""

COMPRESSION_LEVEL = 3

# The record of a finished site, in its folder of shards.
_SITE_RECORD = "build.json"
_STATISTICS = "statistics.json"
_PICTURE_ROWS = 4

# Blobs differ from cell to cell: a dictionary or a least and greatest value of them is only a second copy.
_BLOBS = {"image", "label", "quicklook"}

# Rows that wait to be written while others are: those of a dozen patches in ten years.
_AHEAD_BYTES = 64 * 2**20
_PATCH_BYTES = 2 * len(BANDS) * PATCH_SIZE * PATCH_SIZE

# What parquet adds around the cells of a shard: page headers and the footer, generously.
_SHARD_MARGIN = 4_000_000

_FULL_DISK_ADVICE = "Make room and run the same command again to resume."

_PAGE_BYTES = 2**18
_ROWS_PER_TABLE = 1000


@dataclass
class SiteRecord:
    """What the whole dataset needs to know of a site whose shards are written.

    Attributes:
        site: Its name.
        country: Its country.
        years: Its years, in order.
        patches: Its number of patches; it has as many annual rows in each year.
        shards: Its number of annual parquet files.
        pixels: Pixels of the scene in one year.
        labelled_pixels: Per year, pixels whose label is not 255.
        mine_pixels: Per year, pixels whose label is 1.
        band_sums: `BandSums` over all pixels and years, as a dictionary.
        showcase: The patch with the most change between the first and the last year.
        showcase_score: How many of its pixels change, and how many are mine in the last year.
        fingerprint: Hash of the files that the site was read from, and of what wrote them.
    """

    site: str
    country: str
    years: list[int]
    patches: int = 0
    shards: int = 0
    pixels: int = 0
    labelled_pixels: list[int] = field(default_factory=list)
    mine_pixels: list[int] = field(default_factory=list)
    band_sums: dict[str, Any] = field(default_factory=dict)
    showcase: str = ""
    showcase_score: tuple[int, int] = (-1, -1)
    fingerprint: str = ""

    @property
    def rows(self) -> int:
        """Its number of annual rows."""
        return self.patches * len(self.years)


def build_dataset(
    archive: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    splits: str | os.PathLike[str] = "corrected",
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = True,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Build the dataset: `data/<config>/<split>-*.parquet`, `README.md`, `statistics.json` and a picture.

    A site's annual rows are written by one process into parquet files of their own, cut where they would grow
    beyond `shard_bytes` and never between two years of a patch; so the bytes are the same whatever the number
    of processes, and no pixel is compressed twice. A split that no site is in, and a config without rows, are
    absent. All is written to a hidden folder beside `out` that takes its name when everything is there: a
    build that was stopped goes on where it was, to the same bytes.

    Args:
        archive: The published archive, a folder or the zip.
        out: The folder to make; it must not exist, or be empty, or hold this very dataset already.
        splits: `corrected`, `official` or a JSON file, as for `split_sites`.
        workers: Number of processes; as many as there are cores if not given. A script that calls this with
            more than one needs `if __name__ == "__main__":`, because they are spawned.
        dask: Address of a Dask scheduler whose workers build the sites instead; they must see the same files.
        progress: Whether to show a progress bar over the sites.
        shard_bytes: Largest size of a parquet file.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument, the archive or the splits are not as expected, or `out` holds something
            else.
        OSError: If a file cannot be read or written; a full disk is named as such.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; expected at least 1.")
    if workers is not None and dask is not None:
        raise ValueError("workers and dask are both given; expected one of them.")
    if shard_bytes <= 2 * _SHARD_MARGIN:
        raise ValueError(f"shard_bytes is {shard_bytes}; expected more than {2 * _SHARD_MARGIN}.")
    source = Archive(Path(archive).absolute())
    sites = sites_of_splits(source, splits)
    out = Path(out).resolve()
    record = _build_record(source, sites, shard_bytes)
    work = out.with_name(f".{out.name}.building")
    if _is_built(source, sites, out, record):
        shutil.rmtree(work, ignore_errors=True)  # left by a build that was killed after its last step
        logger.info("%s is built already.", out)
        return out

    with explain_full_disk(out.parent, out.name, _FULL_DISK_ADVICE), _locked(work):
        tasks = _tasks(source, sites, work, shard_bytes)
        records = _build_sites(tasks, workers=workers, dask=dask, progress=progress)
        if [task.fingerprint for task in _tasks(source, sites, work, shard_bytes)] != [
            task.fingerprint for task in tasks
        ]:
            raise ValueError(f"{source.path}: changed while it was read; run the same command again.")
        dataset = _assemble(work, sites, records, simulated=source.simulated)
        write_build_record(dataset, record)
        dataset.replace(out)
        shutil.rmtree(work)
    return out


@dataclass(frozen=True)
class SiteTask:
    """One site to build, as it travels to another process.

    Attributes:
        site: The site.
        parts: Folder in which its folder of shards is made.
        shard_bytes: Largest size of a parquet file.
        fingerprint: Hash of what the shards depend on.
    """

    site: Site
    parts: str
    shard_bytes: int
    fingerprint: str

    @property
    def folder(self) -> Path:
        """Where the site's shards lie when they are done, all of them."""
        return Path(self.parts) / self.site.name


def build_site(task: SiteTask) -> SiteRecord:
    """Write one site's rows of all three configs and the record of them, or nothing.

    Args:
        task: What to build.

    Returns:
        The record, also in the site's folder as JSON.

    Raises:
        ValueError: If a file of the site is not as expected.
        OSError: If a file cannot be read or written.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=task.parts))
    try:
        with task.site.open() as scene:
            record = _write_site(scene, unfinished, task.shard_bytes)
        record.fingerprint = task.fingerprint
        (unfinished / _SITE_RECORD).write_text(json.dumps(asdict(record)), encoding="utf-8")
        if task.folder.exists():
            shutil.rmtree(task.folder)
        unfinished.replace(task.folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return record


def _write_site(scene: Scene, folder: Path, shard_bytes: int) -> SiteRecord:
    """The shards of an open scene, and its numbers."""
    record = SiteRecord(scene.site, scene.country, list(scene.years), pixels=scene.height * scene.width)
    counts = _Counts(len(scene.years))
    series, pairs = _SmallRows("series"), _SmallRows("pairs")
    with contextlib.closing(_tables(scene, counts)) as tables, _AnnualWriter(folder, shard_bytes) as annual:
        for patch_labels, rows_of_patch in tables:
            annual.write(rows_of_patch)
            series.add([series_row(scene, patch_labels, record.rows)])
            pairs.add(pair_rows(scene, patch_labels, record.rows))
            record.patches += 1
    for rows in (series, pairs):
        _write_table(folder / f"{rows.config}.parquet", rows.table())
    record.shards = annual.shards
    counts.fill(record)
    return record


class _SmallRows:
    """The rows of `series` or `pairs`, most of them as tables: dictionaries take ten times the memory."""

    def __init__(self, config: str) -> None:
        self.config = config
        self._rows: list[dict[str, Any]] = []
        self._tables: list[pa.Table] = []

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows."""
        self._rows.extend(rows)
        if len(self._rows) >= _ROWS_PER_TABLE:
            self._tables.append(_table(self.config, self._rows))
            self._rows = []

    def table(self) -> pa.Table:
        """All rows."""
        return pa.concat_tables([*self._tables, _table(self.config, self._rows)]).combine_chunks()


def _table(config: str, rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=FEATURES[config].arrow_schema)


def _tables(scene: Scene, counts: _Counts) -> Generator[tuple[PatchLabels, pa.Table], None, None]:
    """The windows of a scene with their annual rows, counted.

    One thread reads and one counts while the caller compresses: GDAL, NumPy and parquet release the GIL, and
    reading GeoTIFFs takes about as long as compressing shards.
    """

    def counted() -> Iterator[tuple[PatchLabels, pa.Table]]:
        with contextlib.closing(prefetch(windows(), depth)) as read:
            for patch_labels, images in read:
                counts.add(patch_labels, images)
                yield patch_labels, annual_table(scene, patch_labels, images)

    def windows() -> Iterator[tuple[PatchLabels, NDArray[np.int16]]]:
        yield from zip(read_labels(scene), read_images(scene), strict=True)

    depth = max(1, _AHEAD_BYTES // 2 // (len(scene.years) * _PATCH_BYTES) - 1)
    return prefetch(counted(), depth)


class _AnnualWriter:
    """Annual rows to parquet files of a limited size."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.shards = 0
        self._folder = folder
        self._limit = shard_bytes - _SHARD_MARGIN
        self._waiting = FEATURES["annual"].arrow_schema.empty_table()
        self._sink: pa.NativeFile | None = None
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _AnnualWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._finish()
        elif self._writer is not None and self._sink is not None:
            # The folder is thrown away, so it does not matter whether the file can still be ended well.
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._sink.close()

    def write(self, rows: pa.Table) -> None:
        """Add the years of one patch, which stay in one file."""
        # Counted as if nothing of what waits could be compressed: where a file is cut then depends on the
        # rows alone, and it never grows beyond the limit.
        if self._sink is not None and self._sink.tell() + self._waiting.nbytes + rows.nbytes > self._limit:
            self._finish()
        if self._sink is None:
            self._sink = pa.OSFile(str(self._folder / f"annual-{self.shards:05d}.parquet"), "wb")
            self._writer = _parquet_writer(self._sink, FEATURES["annual"].arrow_schema)
            self.shards += 1
        self._waiting = pa.concat_tables([self._waiting, rows])
        while len(self._waiting) >= ROWS_PER_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        group, self._waiting = self._waiting[:ROWS_PER_GROUP], self._waiting[ROWS_PER_GROUP:]
        assert self._writer is not None  # rows wait only while a file is open
        self._writer.write_table(group, ROWS_PER_GROUP)

    def _finish(self) -> None:
        """Close the current file."""
        if self._writer is None or self._sink is None:
            return
        if len(self._waiting):
            self._write_group()
        self._writer.close()
        self._sink.close()
        self._writer = self._sink = None


class _Counts:
    """Owned pixels of a site, patch by patch."""

    def __init__(self, years: int) -> None:
        self._labelled = np.zeros(years, dtype=np.int64)
        self._mine = np.zeros(years, dtype=np.int64)
        self._sums = BandSums()
        self._showcase = ((-1, -1), "")

    def add(self, patch_labels: PatchLabels, images: NDArray[np.int16]) -> None:
        """Count one patch of all years."""
        top, left, bottom, right = patch_labels.patch.own
        labels = patch_labels.labels
        owned = labels[:, top:bottom, left:right]
        self._labelled += np.count_nonzero(owned != 255, axis=(1, 2))
        self._mine += np.count_nonzero(owned == 1, axis=(1, 2))
        self._sums.add(images[..., top:bottom, left:right])
        gained, lost, _ = change_counts(labels[[0, -1]], patch_labels.patch.own)
        score = (int(gained[0, 1] + lost[0, 1]), int(np.count_nonzero(owned[-1] == 1)))
        if score > self._showcase[0]:
            self._showcase = (score, patch_labels.patch_id)

    def fill(self, record: SiteRecord) -> None:
        """Write the counts into the site's record."""
        record.labelled_pixels = self._labelled.tolist()
        record.mine_pixels = self._mine.tolist()
        record.band_sums = self._sums.to_dict()
        record.showcase_score, record.showcase = self._showcase


def _parquet_writer(sink: pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    small = [name for name in schema.names if name not in _BLOBS]
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=small,
        write_statistics=small,
        # One image a page, as the limit is looked at after each batch: zstd is faster on pieces that fit
        # into the processor's cache, and a reader has less to decompress for one row.
        data_page_size=_PAGE_BYTES,
        write_batch_size=1 if _BLOBS.intersection(schema.names) else None,
    )


def _write_table(path: Path, table: pa.Table) -> None:
    """One of the small configs as one file."""
    with pa.OSFile(str(path), "wb") as sink, _parquet_writer(sink, table.schema) as writer:
        writer.write_table(table)


def _build_record(archive: Archive, sites: Mapping[str, Sequence[str]], shard_bytes: int) -> BuildRecord:
    files = {
        site: [(name, size) for name, size, _ in files_state(archive, archive.sites[site])]
        for names in sites.values()
        for site in names
    }
    return BuildRecord(
        simulated=archive.simulated,
        format=FORMAT,
        shard_bytes=shard_bytes,
        files=_hash(files),
        splits={split: list(names) for split, names in sites.items()},
    )


def _is_built(archive: Archive, sites: Mapping[str, Sequence[str]], out: Path, record: BuildRecord) -> bool:
    """Whether `out` holds this dataset; an error if it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    try:
        found = read_build_record(out)
    except RecordError:
        found = None
    if found is None:
        raise DatasetError(
            f"{out}: found something else than a dataset of `euromine build`; expected a new or empty folder."
        )
    built_at = (out / BUILD_FILE).stat().st_mtime_ns
    names = [name for split in sites.values() for name in split]
    changed_at = max(time for name in names for *_, time in files_state(archive, archive.sites[name]))
    if found != record or changed_at > built_at:
        raise DatasetError(
            f"{out}: found a dataset built from another archive, from an earlier state of {archive.path} or "
            "with other options; expected a new or empty folder. Delete the dataset or choose another folder."
        )
    return True


def _tasks(
    archive: Archive, sites: Mapping[str, Sequence[str]], work: Path, shard_bytes: int
) -> list[SiteTask]:
    """The sites of all splits, by name."""
    parts = work / "parts"
    parts.mkdir(exist_ok=True)
    # The bytes of a shard depend on the libraries that write them, too.
    tools = (FORMAT, shard_bytes, pa.__version__, PIL.__version__, np.__version__)
    return [
        SiteTask(site, str(parts), shard_bytes, _hash([files_state(archive, site), tools]))
        for site in sorted(
            (archive.sites[name] for names in sites.values() for name in names), key=lambda site: site.name
        )
    ]


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _finished(task: SiteTask) -> SiteRecord | None:
    """The record of a site that an earlier run finished from the same files, if there is one."""
    try:
        found = SiteRecord(**json.loads((task.folder / _SITE_RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if found.fingerprint == task.fingerprint else None


def _build_sites(
    tasks: Sequence[SiteTask], *, workers: int | None, dask: str | None, progress: bool
) -> dict[str, SiteRecord]:
    """The records of all sites, built where no earlier run has."""
    records = {task.site.name: record for task in tasks if (record := _finished(task)) is not None}
    missing = [task for task in tasks if task.site.name not in records]
    if dask is not None:
        built = run_on_dask(build_site, missing, dask)
    else:
        built = in_processes(build_site, missing, workers or usable_cores(), "built a site")
    with (
        tqdm(
            total=len(tasks), initial=len(records), desc="Building", unit="site", disable=not progress
        ) as bar,
        contextlib.closing(built),
    ):
        for record in built:
            records[record.site] = record
            bar.update()
    return records


def _assemble(
    work: Path, sites: Mapping[str, Sequence[str]], records: Mapping[str, SiteRecord], *, simulated: bool
) -> Path:
    """The whole dataset but its record, from the shards of the sites."""
    dataset = work / "dataset"
    if dataset.exists():
        shutil.rmtree(dataset)
    parts = work / "parts"
    files: dict[str, list[str]] = {config: [] for config in CONFIGS}
    for split, names in sites.items():
        shards = [
            parts / name / f"annual-{number:05d}.parquet"
            for name in names
            for number in range(records[name].shards)
        ]
        for number, shard in enumerate(shards):
            path = dataset / "data" / "annual" / _shard_name(split, number, len(shards))
            path.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(shard, path)
        files["annual"].append(split)
        for config in ("series", "pairs"):
            table = _small_table(
                config, [parts / name for name in names], [records[name].rows for name in names]
            )
            if len(table):
                path = dataset / "data" / config / _shard_name(split, 0, 1)
                path.parent.mkdir(parents=True, exist_ok=True)
                _write_table(path, table)
                files[config].append(split)

    statistics = _statistics(sites, records)
    (dataset / _STATISTICS).write_text(json.dumps(statistics, indent=1) + "\n", encoding="utf-8")
    (dataset / PICTURE_NAME).write_bytes(_picture(parts, records))
    sizes = {str(path.relative_to(dataset)): path.stat().st_size for path in dataset.rglob("*.parquet")}
    write_card(
        dataset / "README.md",
        files={config: splits for config, splits in files.items() if splits},
        statistics=statistics,
        bands=BANDS,
        simulated=simulated,
        content=_hash([sizes, statistics])[:12],
    )
    return dataset


def _shard_name(split: str, number: int, shards: int) -> str:
    return f"{split}-{number:05d}-of-{shards:05d}.parquet"


def _small_table(config: str, folders: Sequence[Path], rows: Sequence[int]) -> pa.Table:
    """`series` or `pairs` of a split: those of its sites, their row numbers counted on from site to site."""
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


def _statistics(sites: Mapping[str, Sequence[str]], records: Mapping[str, SiteRecord]) -> dict[str, Any]:
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
            record.site: {"country": record.country, "years": record.years, **_sum([record])}
            for record in all_records
        },
        "band_statistics": sum(train_sums, BandSums()).statistics().to_dict() if "train" in splits else None,
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
    """The patches with the most change, of as many sites."""
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


@contextlib.contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Make the work folder and keep others out of it; the lock goes with the process, however it ends."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        if sys.platform != "win32":
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{work}: another build is writing there; wait for it to end.") from None
        for unfinished in work.glob("parts/.unfinished-*"):
            shutil.rmtree(unfinished)
        yield
