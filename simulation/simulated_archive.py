"""A simulated archive with known truth, in the published layout: any number of sites, years and sizes."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count as count_from
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from euromine.dataset_script.archive import SIMULATION_FILE
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.data_folders import check_no_data
from euromine.dataset_script.splits import split_sites
from euromine.support.errors import ArchiveError, ArgumentError
from euromine.support.files import TornFileError, explain_full_disk, torn_file_error, write_text
from euromine.support.locks import lock_folder
from euromine.support.records import read_record, record_to_json
from euromine.support.workers import in_processes, usable_cores

from .landscape import REGIONS
from .simulated_site import VERSION, check_name, check_seed, check_size, checked_years, listed, simulate_site


def simulate_archive(
    path: str | os.PathLike[str],
    *,
    sites: int | Sequence[str] = 8,
    years: Iterable[int] = range(2015, 2025),
    size: tuple[int, int] = (320, 320),
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a simulated archive in the published layout.

    ```
    path/EuroMineNet/{Site}/image/Year{YYYY}.tif   as published
    path/EuroMineNet/{Site}/label/Year{YYYY}.tif   as an annotator draws it, 0/255, no CRS
    path/truth/{Site}.npz                          truth and classes (years, height, width) uint8, years
    path/splits.json                               the sites of each split
    path/simulation.json                           size, years and seed
    ```

    The truth lies outside `EuroMineNet/`, hidden from readers of the archive. A site is complete or absent,
    and complete sites of an earlier run with the same size, years and seed are kept: a killed run resumes and
    ends in the same bytes.

    Args:
        path: A new folder, or one that an earlier run wrote.
        sites: Number of sites, or their names. A number takes the benchmark's names in an order that fills
            all three splits (5/1/2 of eight); beyond the 132 of the splits, further numbers of the same
            countries, which only `splits.json` lists.
        years: As for `simulate_site`.
        size: Height and width of every scene.
        seed: As for `simulate_site`.
        workers: Number of processes, by default one per core. The result does not depend on it.
        progress: Show a progress bar.

    Returns:
        `path`.

    Raises:
        ArgumentError: An argument is out of range, or `path` holds a dataset or the sites of an archive.
        ArchiveError: `path` holds another simulation or another archive.
        BusyError: Another run is at work in `path`.
        OSError: A file cannot be written.
    """
    root = Path(path)
    chosen_years = checked_years(years)
    check_size(*size)
    check_seed(seed)
    if workers is not None and workers < 1:
        raise ArgumentError(f"workers: found {workers}; expected at least 1.")
    names = site_names(sites) if isinstance(sites, int) else _checked_names(sites)
    with lock_folder(root), explain_full_disk(root, "the archive"):
        _claim(root, names, chosen_years, size, seed)
        try:
            _complete(root, names, chosen_years, size, seed, workers or usable_cores(), progress)
        finally:
            shutil.rmtree(root / _PARTIAL, ignore_errors=True)
    return root


def _complete(
    root: Path,
    names: Sequence[str],
    years: tuple[int, ...],
    size: tuple[int, int],
    seed: int,
    workers: int,
    progress: bool,
) -> None:
    """Simulate the sites that no earlier run has finished."""
    missing = [name for name in names if not (root / "EuroMineNet" / name).is_dir()]
    write = partial(_write_site, root, years=years, size=size, seed=seed)
    written = in_processes(write, missing, workers, "simulated a site")
    initial = len(names) - len(missing)
    with (
        tqdm(total=len(names), initial=initial, desc="Simulating", unit="site", disable=not progress) as bar,
        closing(written),
    ):
        for _ in written:
            bar.update()
    write_text(root / "splits.json", json.dumps(_splits(names), indent=2) + "\n")


def site_names(count: int) -> tuple[str, ...]:
    """The first `count` site names of a simulated archive.

    Countries alternate, and of every eight names five are in the benchmark's (corrected) training split, one
    in validation and two in test, as long as there are any; then training sites only, then new numbers.

    Raises:
        ArgumentError: `count` is below 1.
    """
    if count < 1:
        raise ArgumentError(f"sites: found {count}; expected at least 1.")
    waiting = {split: _alternating(names) for split, names in split_sites("corrected").items()}
    names: list[str] = []
    for split in cycle(_SPLIT_ORDER):
        if len(names) == count or not any(waiting.values()):
            break
        if waiting[split]:
            names.append(waiting[split].pop(0))
    further = (
        f"{country}_{number}" for number in count_from(_FIRST_FREE_NUMBER) for country in sorted(REGIONS)
    )
    names += islice(further, count - len(names))
    return tuple(names)


# The splits of every eight sites: 5 to train, 1 to validate, 2 to test, all three among the first four.
_SPLIT_ORDER = ("train", "test", "train", "validation", "train", "train", "test", "train")

_FIRST_FREE_NUMBER = 101

_PARTIAL = ".partial"


def _alternating(names: Iterable[str]) -> list[str]:
    """The names in an order that takes one of each country, then the next of each."""
    seen: Counter[str] = Counter()
    turns = []
    for name in names:
        country = name.rpartition("_")[0]
        turns.append((seen[country], name))
        seen[country] += 1
    return [name for _, name in sorted(turns, key=lambda turn: turn[0])]


def _splits(names: Sequence[str]) -> dict[str, list[str]]:
    """Each site's published split; sites that are in none take turns."""
    published = split_sites("corrected")
    split_of = {name: split for split, members in published.items() for name in members}
    splits: dict[str, list[str]] = {split: [] for split in published}
    for index, name in enumerate(names):
        splits[split_of.get(name, _SPLIT_ORDER[index % len(_SPLIT_ORDER)])].append(name)
    return splits


@dataclass(frozen=True)
class _SimulationRecord:
    """`simulation.json`: the settings of a simulated archive's sites."""

    version: int
    height: int
    width: int
    years: list[int]
    seed: int


def _claim(
    root: Path, names: Sequence[str], years: tuple[int, ...], size: tuple[int, int], seed: int
) -> None:
    """Write the simulation's record to a folder, or check that it holds this simulation already."""
    record = record_to_json(_SimulationRecord(VERSION, *size, list(years), seed))
    note, archive = root / SIMULATION_FILE, root / "EuroMineNet"
    if root.exists() and not root.is_dir():
        raise ArchiveError(f"{root}: found a file; expected a new folder, or one that an earlier run wrote.")
    check_no_data(root, "path")
    found = sorted(site.name for site in archive.iterdir()) if archive.is_dir() else []
    if note.exists():
        earlier = record_to_json(read_record(_SimulationRecord, note, advice="Choose a new folder."))
        differences = [
            f"{name} {earlier[name]} instead of {value}"
            for name, value in record.items()
            if earlier[name] != value
        ]
        if differences:
            raise ArchiveError(
                f"{note}: found a simulation with {', '.join(differences)}; expected the same, or a new "
                "folder."
            )
    elif found:
        raise ArchiveError(f"{archive}: found an archive that was not simulated; expected a new folder.")
    others = [name for name in found if name not in set(names)]
    if others:
        raise ArchiveError(
            f"{archive}: found sites besides the requested ones ({listed(others)}); expected all of its "
            f"{len(found)} sites among them, or a new folder."
        )
    if (root / _PARTIAL).is_dir():
        # Moved away first: a worker that outlives a killed run could finish a half-removed folder.
        (root / _PARTIAL).rename(root / f"{_PARTIAL}-{os.getpid()}")
    for left in root.glob(f"{_PARTIAL}-*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in (archive, root / "truth"):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(record) + "\n")


def _write_site(root: Path, name: str, years: tuple[int, ...], size: tuple[int, int], seed: int) -> None:
    """Simulate and write one site; its folder appears last, complete."""
    site = simulate_site(name, years=years, height=size[0], width=size[1], seed=seed)
    # A worker that outlives a killed run must not write into the next run's folder.
    own = root / _PARTIAL / f"{name}-{os.getpid()}"
    own.mkdir(parents=True, exist_ok=True)
    truth = own / "truth.npz"
    np.savez_compressed(truth, truth=site.truth, classes=site.classes, years=np.array(years, dtype=np.int16))
    try:
        write_site(
            own,
            name,
            images=site.images,
            labels=site.labels,
            years=site.years,
            crs=site.crs,
            transform=site.transform,
        )
    except TornFileError as error:
        raise torn_file_error(root / "EuroMineNet" / name) from error  # in place of the hidden file's name
    truth.replace(root / "truth" / f"{name}.npz")
    finished = root / "EuroMineNet" / name
    try:
        (own / name).replace(finished)
    except OSError:
        # Another run was first, with the same bytes.
        if not finished.is_dir():
            raise
    shutil.rmtree(own, ignore_errors=True)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise ArgumentError("sites: found no names; expected at least one.")
    for name in names:
        check_name(name)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ArgumentError(f"sites: found {listed(twice)} more than once; expected each name once.")
    return tuple(names)
