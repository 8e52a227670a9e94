"""One site as parquet shards: its annual rows cut into files, its series, its pairs and its counts."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from euromine.support.errors import RecordError
from euromine.support.processing_levels import Level
from euromine.support.records import read_record
from euromine.support.workers import prefetch

from .archive_bands import BANDS
from .component_layers import ComponentLayers
from .component_shards import ComponentCounts, write_component_shards
from .label_changes import change_counts
from .parquet_writing import ROWS_PER_GROUP, parquet_writer, write_table
from .patch_rows import FEATURES, annual_table, pair_rows, series_row
from .patches import PATCH_SIZE
from .scene_windows import PatchLabels, read_images, read_labels
from .site_scene import Scene, Site, pixels_without_data
from .statistics import BandSums

# Parquet's page headers and footer around the cells of a shard, generously.
SHARD_MARGIN = 4_000_000

# Rows prefetched while others are written: those of a dozen patches in ten years.
_AHEAD_BYTES = 64 * 2**20

_PATCH_BYTES = 2 * len(BANDS) * PATCH_SIZE * PATCH_SIZE

_ROWS_PER_TABLE = 1000

# The record of a finished site, in its folder of shards.
_SITE_RECORD = "build.json"


@dataclass
class SiteRecord:
    """The numbers of a site whose shards are written, as the whole dataset needs them.

    Attributes:
        site: Its name.
        country: Its country.
        years: Its years, in order.
        patches: Its number of patches; it has as many annual rows in each year.
        shards: Its number of annual parquet files.
        pixels: Pixels of the scene in one year.
        labelled_pixels: Per year, pixels whose label is not 255.
        mine_pixels: Per year, pixels whose label is 1.
        band_sums: `BandSums` over all pixels with data and all years, as a dictionary.
        gap_pixels: Per year, pixels without data in the image.
        showcase: The patch with the most change between the first and the last year.
        showcase_score: How many of its pixels change, and how many are mine in the last year.
        fingerprint: Hash of the site's files and of the libraries that wrote the shards.
        levels: Per year, the processing level in the image's header.
        components: Counts of its components; None in a dataset without the config.
    """

    site: str
    country: str
    years: list[int]
    patches: int = 0
    shards: int = 0
    pixels: int = 0
    labelled_pixels: list[int] = field(default_factory=list)
    mine_pixels: list[int] = field(default_factory=list)
    gap_pixels: list[int] = field(default_factory=list)
    band_sums: dict[str, Any] = field(default_factory=dict)
    showcase: str = ""
    showcase_score: tuple[int, int] = (-1, -1)
    fingerprint: str = ""
    levels: list[Level | None] = field(default_factory=list)
    components: ComponentCounts | None = None

    @property
    def rows(self) -> int:
        """Its number of annual rows."""
        return self.patches * len(self.years)


@dataclass(frozen=True)
class SiteTask:
    """One site to build, in a form that travels to another process.

    Attributes:
        site: The site.
        parts: Folder in which its folder of shards is made.
        shard_bytes: Largest size of a parquet file.
        fingerprint: Hash of everything that the shards depend on.
        first_row: The row of the site's first patch and year in its split, for its components; None in a
            dataset without the config.
    """

    site: Site
    parts: str
    shard_bytes: int
    fingerprint: str
    first_row: int | None = None

    @property
    def folder(self) -> Path:
        """The folder of the site's finished shards."""
        return Path(self.parts) / self.site.name


def finished_record(task: SiteTask) -> SiteRecord | None:
    """The record of a site that an earlier run finished from the same files; None without one."""
    try:
        found = read_record(SiteRecord, task.folder / _SITE_RECORD)
    except (OSError, RecordError):
        return None
    return found if found.fingerprint == task.fingerprint else None


def build_site(task: SiteTask) -> SiteRecord:
    """Write one site's rows of all configs and its record, or nothing.

    Args:
        task: What to build.

    Returns:
        The record, also in the site's folder as JSON.

    Raises:
        ArchiveError: A file of the site cannot be used.
        OSError: A file cannot be read or written.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=task.parts))
    try:
        with task.site.open() as scene:
            record = _write_site(scene, unfinished, task)
        record.fingerprint = task.fingerprint
        (unfinished / _SITE_RECORD).write_text(json.dumps(asdict(record)), encoding="utf-8")
        if task.folder.exists():
            shutil.rmtree(task.folder)
        unfinished.replace(task.folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return record


def _write_site(scene: Scene, folder: Path, task: SiteTask) -> SiteRecord:
    """The shards of an open scene, and its numbers."""
    record = SiteRecord(
        scene.site,
        scene.country,
        list(scene.years),
        pixels=scene.height * scene.width,
        levels=[scene.levels[year] for year in scene.years],
    )
    counts = _Counts(scene)
    series, pairs = _SmallRows("series"), _SmallRows("pairs")
    with (
        contextlib.closing(_tables(scene, counts)) as tables,
        _AnnualWriter(folder, task.shard_bytes) as annual,
    ):
        for patch_labels, rows_of_patch in tables:
            annual.write(rows_of_patch)
            series.add([series_row(scene, patch_labels, record.rows)])
            pairs.add(pair_rows(scene, patch_labels, record.rows))
            record.patches += 1
    for rows in (series, pairs):
        write_table(folder / f"{rows.config}.parquet", rows.table())
    record.shards = len(annual.patches)
    counts.fill(record)
    if task.first_row is not None:
        with contextlib.ExitStack() as files:
            has_components = bool(task.site.component_paths)
            layers = files.enter_context(ComponentLayers(task.site, scene)) if has_components else None
            record.components = write_component_shards(scene, layers, task.first_row, annual.patches, folder)
    return record


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


class _SmallRows:
    """The rows of `series` or `pairs`, kept as tables: dictionaries take ten times the memory."""

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


class _AnnualWriter:
    """Annual rows to parquet files of a limited size; `patches` counts those of each file."""

    def __init__(self, folder: Path, shard_bytes: int) -> None:
        self.patches: list[int] = []
        self._folder = folder
        self._limit = shard_bytes - SHARD_MARGIN
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
            # The folder is deleted, so the file need not be complete.
            with contextlib.suppress(OSError, pa.ArrowException):
                self._writer.close()
            self._sink.close()

    def write(self, rows: pa.Table) -> None:
        """Add the years of one patch, which stay in one file."""
        # Counted as if the waiting rows could not be compressed: cuts then depend on the rows alone, and
        # files never grow beyond the limit.
        if self._sink is not None and self._sink.tell() + self._waiting.nbytes + rows.nbytes > self._limit:
            self._finish()
        if self._sink is None:
            self._sink = pa.OSFile(str(self._folder / f"annual-{len(self.patches):05d}.parquet"), "wb")
            self._writer = parquet_writer(self._sink, FEATURES["annual"].arrow_schema)
            self.patches.append(0)
        self.patches[-1] += 1
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

    def __init__(self, scene: Scene) -> None:
        self._labelled, self._mine, self._gaps = np.zeros((3, len(scene.years)), dtype=np.int64)
        self._marked = [place for place, year in enumerate(scene.years) if year in scene.marked_years]
        self._sums = BandSums()
        self._showcase = ((-1, -1), "")

    def add(self, patch_labels: PatchLabels, images: NDArray[np.int16]) -> None:
        """Count one patch of all years."""
        top, left, bottom, right = patch_labels.patch.own
        labels = patch_labels.labels
        owned = labels[:, top:bottom, left:right]
        self._labelled += np.count_nonzero(owned != 255, axis=(1, 2))
        self._mine += np.count_nonzero(owned == 1, axis=(1, 2))
        pixels = images[..., top:bottom, left:right]
        gaps = np.count_nonzero(pixels_without_data(pixels[self._marked]), axis=(1, 2))
        self._gaps[self._marked] += gaps
        self._sums.add(pixels, int(gaps.sum()))
        gained, lost, _ = change_counts(labels[[0, -1]], patch_labels.patch.own)
        score = (int(gained[0, 1] + lost[0, 1]), int(np.count_nonzero(owned[-1] == 1)))
        if score > self._showcase[0]:
            self._showcase = (score, patch_labels.patch_id)

    def fill(self, record: SiteRecord) -> None:
        """Write the counts into the site's record."""
        record.labelled_pixels = self._labelled.tolist()
        record.mine_pixels = self._mine.tolist()
        record.gap_pixels = self._gaps.tolist()
        record.band_sums = self._sums.to_dict()
        record.showcase_score, record.showcase = self._showcase
