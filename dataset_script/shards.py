"""Build the dataset: an archive to zstd parquet shards with a card, which `load_dataset` reads."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
from tqdm import tqdm

from euromine.support.errors import ArchiveError, ArgumentError, DatasetError, RecordError
from euromine.support.files import explain_full_disk
from euromine.support.locks import lock_folder
from euromine.support.processing_levels import parse_level
from euromine.support.workers import run_on_workers, usable_cores

from .archive import Archive, files_state
from .build_record import BUILD_FILE, BuildRecord, read_build_record, write_build_record
from .dataset_assembly import assemble, check_unchanged, hash_of
from .labelled_sites import (
    archive_of_years,
    labelled_archive,
    sites_and_years,
    unlabelled_years,
    with_labels_of_components,
    without_components,
)
from .level_summary import summarise_levels
from .scene_windows import first_rows
from .site_shards import SHARD_MARGIN, SiteRecord, SiteTask, build_site, finished_record
from .splits import sites_of_splits

logger = logging.getLogger(__name__)

FORMAT = 2
"""Version of the shards' bytes: incremented when the same archive would give others."""

SHARD_BYTES = 500_000_000
"""A shard is at most this large."""

# A message names this many years of sites before it only counts the others.
_NAMED_YEARS = 12

_FULL_DISK_ADVICE = "Make room and run the same command again to resume."


def build_dataset(
    archive: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    splits: str | os.PathLike[str] = "corrected",
    years: Collection[int] | None = None,
    skip_unlabelled: bool = False,
    skip_components: bool = False,
    level: str | None = None,
    workers: int | None = None,
    dask: str | None = None,
    progress: bool = True,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Build the dataset: `data/<config>/<split>-*.parquet`, the card, statistics, a picture and `build.json`.

    Each site has parquet files of its own, cut before they grow beyond `shard_bytes` and never between two
    years of a patch. The bytes therefore do not depend on the number of processes, and no pixel is compressed
    twice. Splits without sites and configs without rows are absent. The dataset is written to a hidden folder
    beside `out` and renamed when complete; a stopped build resumes and ends in the same bytes.

    Pixels that an image marks as without data are 0 in all bands and 255 in the label, belong to no
    statistics, and are reported by site and year.

    Where a site has components, the config `components` holds them, radar and the facts of `site.json`. A
    year with components and without a label takes their label; see `annual_label`.

    Args:
        archive: The published archive, a folder or the zip.
        out: The folder to make: new, empty, or holding this very dataset already.
        splits: `corrected`, `official` or a JSON file, as for `split_sites`.
        years: The years to build; by default all. Sites without any of them are left out.
        skip_unlabelled: Whether to leave out sites and years without labels, instead of refusing them.
        skip_components: Whether to leave out the config `components`, also where sites have components.
        level: The processing level of the images, "l1c" or "l2a", where their headers do not give it.
        workers: Number of processes, by default one per core. A script that calls this with more than one
            needs `if __name__ == "__main__":`, because processes are spawned.
        dask: Address of a Dask scheduler whose workers build the sites; they need access to the same files.
        progress: Show a progress bar over the sites.
        shard_bytes: Largest size of a parquet file.

    Returns:
        The folder.

    Raises:
        ArgumentError: An argument is out of range, the splits leave out a site, or `level` is not that of an
            image's header.
        DataError: The archive or the splits cannot be used, an image has no label, or `out` holds something
            else.
        BusyError: Another build of `out` is at work.
        MissingExtraError: Dask is not installed.
        OSError: A file cannot be read or written, or the disk is full.
    """
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers: found {workers}; expected at least 1.")
    if workers is not None and dask is not None:
        raise ArgumentError("workers: found a number of processes beside dask; expected one of them.")
    if shard_bytes <= 2 * SHARD_MARGIN:
        raise ArgumentError(f"shard_bytes: found {shard_bytes}; expected more than {2 * SHARD_MARGIN}.")
    stated = None if level is None else parse_level(level)
    found = archive_of_years(Archive(Path(archive).absolute()), years)
    found = without_components(found) if skip_components else with_labels_of_components(found)
    source = labelled_archive(found, skip_unlabelled=skip_unlabelled)
    unlabelled = unlabelled_years(found)
    if unlabelled:
        logger.info("Skipped, without labels: %s.", sites_and_years(found.sites, unlabelled))
    sites = sites_of_splits(source, splits)
    out = Path(out).resolve()
    record = replace(
        _build_record(source, sites, shard_bytes, years),
        level=stated,
        level_source=None if stated is None else "option",
    )
    work = out.with_name(f".{out.name}.building")
    is_built = _is_built(source, sites, out, record)
    if is_built and not work.exists():
        logger.info("%s is built already.", out)
        return out

    with explain_full_disk(out.parent, out.name, _FULL_DISK_ADVICE), _locked(work, out):
        # A build before this one has just ended, or was killed after its last step.
        if is_built or _is_built(source, sites, out, record):
            shutil.rmtree(work)
            logger.info("%s is built already.", out)
            return out
        tasks = _tasks(source, sites, work, shard_bytes, years)
        records = _build_sites(tasks, workers=workers, dask=dask, progress=progress)
        if [task.fingerprint for task in _tasks(source, sites, work, shard_bytes, years)] != [
            task.fingerprint for task in tasks
        ]:
            raise ArchiveError(
                f"{source.path}: found files that changed while they were read; expected an archive at rest. "
                "Run the same command again."
            )
        _warn_of_gaps(records)
        levels = summarise_levels(records.values(), stated)
        dataset = assemble(
            work, sites, records, simulated=source.simulated, levels=levels, unlabelled=unlabelled
        )
        write_build_record(dataset, replace(record, level=levels.level, level_source=levels.source))
        dataset.replace(out)
        shutil.rmtree(work)
    return out


def _warn_of_gaps(records: Mapping[str, SiteRecord]) -> None:
    """Name the sites and years with pixels without data."""
    shares = [
        f"{name} {year} ({gaps / record.pixels:.1%})"
        for name, record in sorted(records.items())
        for year, gaps in zip(record.years, record.gap_pixels, strict=False)
        if gaps
    ]
    if shares:
        more = f" and {len(shares) - _NAMED_YEARS} more" if len(shares) > _NAMED_YEARS else ""
        logger.warning(
            "Images without data in parts, where labels are 255: %s%s. --years leaves years out.",
            ", ".join(shares[:_NAMED_YEARS]),
            more,
        )


def _build_record(
    archive: Archive, sites: Mapping[str, Sequence[str]], shard_bytes: int, years: Collection[int] | None
) -> BuildRecord:
    files = {
        site: [(name, size) for name, size, _ in files_state(archive, archive.sites[site])]
        for names in sites.values()
        for site in names
    }
    return BuildRecord(
        simulated=archive.simulated,
        format=FORMAT,
        shard_bytes=shard_bytes,
        files=hash_of(files if years is None else [files, sorted(set(years))]),
        splits={split: list(names) for split, names in sites.items()},
    )


def _is_built(archive: Archive, sites: Mapping[str, Sequence[str]], out: Path, record: BuildRecord) -> bool:
    """Whether `out` holds this dataset already; raises `DatasetError` if it holds anything else."""
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
    if found.level_source == "images":  # known only once the images are read
        found = replace(found, level=None, level_source=None)
    if found != record or changed_at > built_at:
        raise DatasetError(
            f"{out}: found a dataset built from another archive, from an earlier state of {archive.path} or "
            "with other options; expected a new or empty folder. Delete the dataset or choose another folder."
        )
    check_unchanged(out)
    return True


def _tasks(
    archive: Archive,
    sites: Mapping[str, Sequence[str]],
    work: Path,
    shard_bytes: int,
    years: Collection[int] | None,
) -> list[SiteTask]:
    """The sites of all splits, by name."""
    parts = work / "parts"
    parts.mkdir(exist_ok=True)
    firsts = _first_rows(archive, sites)
    # Shards also depend on the libraries that write them.
    tools: tuple[Any, ...] = (FORMAT, shard_bytes, pa.__version__, PIL.__version__, np.__version__)
    if years is not None:  # a zip has one state for all of its years
        tools = (*tools, sorted(set(years)))
    return [
        SiteTask(
            site,
            str(parts),
            shard_bytes,
            hash_of([files_state(archive, site), tools, *([firsts[site.name]] if firsts else [])]),
            first_row=firsts.get(site.name),
        )
        for site in sorted(
            (archive.sites[name] for names in sites.values() for name in names), key=lambda site: site.name
        )
    ]


def _first_rows(archive: Archive, sites: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """The annual row of its split at which each site begins; empty without components."""
    if not any(archive.sites[name].component_paths for names in sites.values() for name in names):
        return {}
    return {
        name: first
        for names in sites.values()
        for name, first in zip(names, first_rows([archive.sites[name] for name in names]), strict=True)
    }


def _build_sites(
    tasks: Sequence[SiteTask], *, workers: int | None, dask: str | None, progress: bool
) -> dict[str, SiteRecord]:
    """Build the sites that no earlier run has built; the records of all."""
    records = {task.site.name: record for task in tasks if (record := finished_record(task)) is not None}
    missing = [task for task in tasks if task.site.name not in records]
    built = run_on_workers(build_site, missing, workers or usable_cores(), "built a site", dask)
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


@contextlib.contextmanager
def _locked(work: Path, out: Path) -> Iterator[None]:
    """Make and lock the work folder, and clear it of unfinished sites before and after."""
    with lock_folder(work, out):
        try:
            _remove_unfinished(work)
            yield
        finally:
            _remove_unfinished(work)


def _remove_unfinished(work: Path) -> None:
    parts = work / "parts"
    for unfinished in parts.glob(".unfinished-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty: complete sites are kept
        parts.rmdir()
