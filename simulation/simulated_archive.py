"""A simulated archive with known truth, in the published layout: any number of sites, years and sizes."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import count as count_from
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from euromine.dataset_script.archive import SIMULATION_FILE
from euromine.dataset_script.archive_writing import (
    COMPONENTS_FOLDER,
    write_components,
    write_radar,
    write_site,
)
from euromine.dataset_script.data_folders import check_no_data
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, COMPONENT_COLOURS
from euromine.dataset_script.site_facts import SITE_FILE, SiteFacts
from euromine.dataset_script.splits import split_sites
from euromine.support.errors import ArchiveError, ArgumentError
from euromine.support.files import TornFileError, explain_full_disk, torn_file_error, write_text
from euromine.support.locks import lock_folder
from euromine.support.records import read_record, record_to_json
from euromine.support.workers import in_processes, usable_cores

from .landscape import REGIONS
from .simulated_site import (
    COMPONENTS_VERSION,
    RADAR_VERSION,
    VERSION,
    SimulatedSite,
    check_name,
    check_seed,
    check_size,
    checked_years,
    listed,
    simulate_site,
)


def simulate_archive(
    path: str | os.PathLike[str],
    *,
    sites: int | Sequence[str] = 8,
    years: Iterable[int] = range(2015, 2025),
    size: tuple[int, int] = (320, 320),
    seed: int = 0,
    components: bool = False,
    radar: bool = False,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a simulated archive in the published layout.

    ```
    path/EuroMineNet/{Site}/image/Year{YYYY}.tif   as published
    path/EuroMineNet/{Site}/label/Year{YYYY}.tif   as an annotator draws it, 0/255, no CRS
    path/EuroMineNet/{Site}/site.json              marks it as simulated; with `components` also its mine
    path/EuroMineNet/{Site}/components/...         with `components`: classes as bits
    path/EuroMineNet/{Site}/radar/...              with `radar`: VV and VH in dB x 100
    path/truth/{Site}.npz                          truth and classes (years, height, width) uint8, years
    path/splits.json                               the sites of each split
    path/simulation.json                           size, years and seed
    ```

    The truth lies outside `EuroMineNet/`, hidden from readers of the archive. A site is complete or absent,
    and complete sites of an earlier run with the same size, years and seed are kept: a killed run resumes and
    ends in the same bytes. Sites of an earlier version, which wrote no `site.json`, are given one.

    Args:
        path: A new folder, or one that an earlier run wrote.
        sites: Number of sites, or their names. A number takes the benchmark's names in an order that fills
            all three splits (5/1/2 of eight); beyond the 132 of the splits, further numbers of the same
            countries, which only `splits.json` lists.
        years: As for `simulate_site`.
        size: Height and width of every scene.
        seed: As for `simulate_site`.
        components: As for `simulate_site`.
        radar: As for `simulate_site`.
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
    record = _SimulationRecord(
        version=VERSION,
        height=size[0],
        width=size[1],
        years=list(chosen_years),
        seed=seed,
        components=COMPONENTS_VERSION if components else None,
        radar=RADAR_VERSION if radar else None,
    )
    with lock_folder(root), explain_full_disk(root, "the archive"):
        _claim(root, names, record)
        try:
            _complete(root, names, record, workers or usable_cores(), progress)
        finally:
            shutil.rmtree(root / _PARTIAL, ignore_errors=True)
    return root


def _complete(
    root: Path, names: Sequence[str], record: _SimulationRecord, workers: int, progress: bool
) -> None:
    """Simulate the sites that no earlier run has finished."""
    for site in (root / "EuroMineNet" / name for name in names):
        if site.is_dir() and not (site / SITE_FILE).exists():  # of a version that wrote none
            _write_facts(site, None)
    missing = [name for name in names if not (root / "EuroMineNet" / name).is_dir()]
    write = partial(_write_site, root, record=record)
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
    """`simulation.json`: the settings of a simulated archive's sites.

    `components` and `radar` are versions of their simulation; None and absent without them.
    """

    version: int
    height: int
    width: int
    years: list[int]
    seed: int
    components: int | None = None
    radar: int | None = None


def _claim(root: Path, names: Sequence[str], simulation: _SimulationRecord) -> None:
    """Write the simulation's record to a folder, or check that it holds this simulation already."""
    record = record_to_json(simulation)
    note, archive = root / SIMULATION_FILE, root / "EuroMineNet"
    if root.exists() and not root.is_dir():
        raise ArchiveError(f"{root}: found a file; expected a new folder, or one that an earlier run wrote.")
    check_no_data(root, "path")
    found = sorted(site.name for site in archive.iterdir()) if archive.is_dir() else []
    if note.exists():
        earlier = record_to_json(read_record(_SimulationRecord, note, advice="Choose a new folder."))
        differences = [
            f"{name} {_in_words(earlier[name])} instead of {_in_words(value)}"
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
    write_text(note, json.dumps({key: value for key, value in record.items() if value is not None}) + "\n")


def _in_words(value: object) -> object:
    return "none" if value is None else value


def _write_site(root: Path, name: str, record: _SimulationRecord) -> None:
    """Simulate and write one site; its folder appears last, complete."""
    site = simulate_site(
        name,
        years=record.years,
        height=record.height,
        width=record.width,
        seed=record.seed,
        components=record.components is not None,
        radar=record.radar is not None,
    )
    # A worker that outlives a killed run must not write into the next run's folder.
    own = root / _PARTIAL / f"{name}-{os.getpid()}"
    own.mkdir(parents=True, exist_ok=True)
    truth = own / "truth.npz"
    years = np.array(site.years, dtype=np.int16)
    np.savez_compressed(truth, truth=site.truth, classes=site.classes, years=years)
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
        _write_layers(own / name, site)
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


def _write_layers(folder: Path, site: SimulatedSite) -> None:
    """Write the components, the radar and the facts of a site that has them."""
    place: dict[str, Any] = {"crs": site.crs, "transform": site.transform}
    with ExitStack() as files:
        for index, year in enumerate(site.years):
            if site.components is not None:
                values = {each: bit for bit, each in enumerate(COMPONENT_CLASSES, 1)}
                path = folder / COMPONENTS_FOLDER / f"Year{year}.tif"
                classes: dict[str, Any] = {"values": values, "colours": COMPONENT_COLOURS}
                write_components(files, path, site.components[index], **classes, **place)
            if site.radar is not None:
                write_radar(files, folder / "radar" / f"Year{year}.tif", site.radar[index], **place)
    _write_facts(folder, site.facts)


def _write_facts(folder: Path, facts: SiteFacts | None) -> None:
    """Mark a site as simulated in its own folder, which may be copied elsewhere, and name what it mines."""
    record: dict[str, Any] = {"simulated": True}
    if facts is not None:
        record = record_to_json(replace(facts, annotated=COMPONENT_CLASSES, simulated=True))
    write_text(folder / SITE_FILE, json.dumps(record) + "\n")


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise ArgumentError("sites: found no names; expected at least one.")
    for name in names:
        check_name(name)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ArgumentError(f"sites: found {listed(twice)} more than once; expected each name once.")
    return tuple(names)
