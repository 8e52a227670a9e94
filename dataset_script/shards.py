"""Build the dataset: an archive to zstd parquet shards with a card, which `load_dataset` reads."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL
import pyarrow as pa
from tqdm import tqdm

from euromine.support.errors import ArchiveError, ArgumentError, DatasetError, RecordError
from euromine.support.files import explain_full_disk
from euromine.support.workers import in_processes, run_on_dask, usable_cores

from .archive import Archive, files_state
from .build_record import BUILD_FILE, BuildRecord, read_build_record, write_build_record
from .dataset_assembly import assemble, hash_of
from .site_shards import SHARD_MARGIN, SiteRecord, SiteTask, build_site, finished_record
from .splits import sites_of_splits

logger = logging.getLogger(__name__)

FORMAT = 2
"""Raised whenever the same archive would give other bytes."""

SHARD_BYTES = 500_000_000
"""A shard is at most this large."""

_FULL_DISK_ADVICE = "Make room and run the same command again to resume."


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
    if shard_bytes <= 2 * SHARD_MARGIN:
        raise ValueError(f"shard_bytes is {shard_bytes}; expected more than {2 * SHARD_MARGIN}.")
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
        dataset = assemble(work, sites, records, simulated=source.simulated)
        write_build_record(dataset, record)
        dataset.replace(out)
        shutil.rmtree(work)
    return out


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
        files=hash_of(files),
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
        SiteTask(site, str(parts), shard_bytes, hash_of([files_state(archive, site), tools]))
        for site in sorted(
            (archive.sites[name] for names in sites.values() for name in names), key=lambda site: site.name
        )
    ]


def _build_sites(
    tasks: Sequence[SiteTask], *, workers: int | None, dask: str | None, progress: bool
) -> dict[str, SiteRecord]:
    """The records of all sites, built where no earlier run has."""
    records = {task.site.name: record for task in tasks if (record := finished_record(task)) is not None}
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
