"""A simulated archive with known truth, in the published layout: any number of sites, years and sizes.

Each site is a piece of land (`landscape.py`) with a mine in it that moves over the years (`mines.py`),
painted with measured spectra (`spectra.py`) and seen through a year's air by an instrument like Sentinel-2's.
Arrays need NumPy and SciPy alone; only writing the GeoTIFF files needs rasterio.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import count as count_from
from itertools import cycle, islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from euromine.dataset_script.archive import SIMULATION_FILE
from euromine.dataset_script.splits import split_sites
from euromine.support.files import write_text
from euromine.support.workers import in_processes, usable_cores

from .landscape import REGIONS, Grid, Region, make_landscape, moved, noise
from .mines import FIRST_YEAR, MINE_KINDS, make_mines
from .painting import Painter
from .spectra import Float

CRS = "EPSG:4326"
_DEGREES_PER_PIXEL = 10 / 111_320

# How far an annotator's border strays from the true one: a kernel of this many pixels decides.
_LABEL_SIGMA, LABEL_REACH = 1.3, 4

# Names the way in which sites are drawn: another version makes other sites from the same seed.
_VERSION = 1


@dataclass(frozen=True)
class SimulatedSite:
    """One simulated site.

    Attributes:
        name: As the site's folder is called.
        images: Top-of-atmosphere DN (reflectance x 10000), int16 (years, 10, height, width).
        labels: Footprints as an annotator draws them, uint8 (years, height, width), 0 or 1.
        truth: Footprints as they are, same form.
        classes: What each pixel shows, uint8 (years, height, width), values of `LandCover`.
        years: The year of each image.
        crs: `"EPSG:4326"`.
        transform: Affine coefficients a b c d e f of the upper left pixel, in degrees.
    """

    name: str
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    classes: NDArray[np.uint8]
    years: tuple[int, ...]
    crs: str
    transform: tuple[float, float, float, float, float, float]


def simulate_site(
    name: str, *, years: Iterable[int] = range(2015, 2025), height: int, width: int, seed: int
) -> SimulatedSite:
    """Simulate one site.

    The result depends on the arguments alone, and each year on no later one: a site of fewer years is a
    slice of the site of more. Ten years take about 600 bytes of memory a pixel.

    Args:
        name: `{Country}_{number}`, spelled as in the archive (`Portuga_1`). Sites of the benchmark's
            countries lie there and look like there; others lie in central Europe.
        years: From 2015 on, ascending.
        height: Rows; a row is 10 m.
        width: Columns; a column is 10 m times the cosine of the latitude.
        seed: Not negative.

    Raises:
        ValueError: If an argument is out of range.
    """
    chosen = _checked_years(years)
    _check_name(name)
    _check_size(height, width)
    _check_seed(seed)
    region = _region(name)
    rng = _stream(seed, name, "site")
    latitude, longitude = rng.uniform(*region.latitude), rng.uniform(*region.longitude)
    grid = Grid(height, width, float(np.cos(np.radians(latitude))))

    kind = str(rng.choice(MINE_KINDS, p=np.array(region.mines) / sum(region.mines)))

    def year_stream(year: int) -> np.random.Generator:
        return _stream(seed, name, "pace", year)

    mines = make_mines(_stream(seed, name, "mines"), grid, kind, chosen[-1], year_stream)
    land = make_landscape(_stream(seed, name, "land"), grid, region)
    painter = Painter(_stream(seed, name, "look"), grid, region.soils, kind, land, mines)
    waver = noise(_stream(seed, name, "annotator"), grid, 14, 3.0)

    images = np.empty((len(chosen), 10, height, width), dtype=np.int16)
    labels, truth, classes = (np.empty((len(chosen), height, width), dtype=np.uint8) for _ in range(3))
    for index, year in enumerate(chosen):
        truth[index] = mines.footprint(year)
        images[index], classes[index] = painter.paint(year, partial(_stream, seed, name))
        labels[index] = _annotate(_stream(seed, name, "label", year), truth[index], waver)
    step = _DEGREES_PER_PIXEL
    return SimulatedSite(
        name, images, labels, truth, classes, chosen, CRS, (step, 0.0, longitude, 0.0, -step, latitude)
    )


def _stream(seed: int, name: str, *purpose: str | int) -> np.random.Generator:
    """Random numbers for one purpose of one site, whatever else is drawn before, after or beside."""
    key = hashlib.sha256(repr((_VERSION, seed, name, *purpose)).encode()).digest()
    return np.random.default_rng(np.frombuffer(key, dtype=np.uint32))


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

    The truth lies outside `EuroMineNet/`, so that nothing that reads the archive can see it. Complete sites
    of an earlier run with the same size, years and seed are kept; a site is complete or absent, so that a
    run that was killed and started again ends in the same bytes.

    Args:
        path: A new folder, or one that an earlier run wrote.
        sites: How many, or their names. A number takes the benchmark's own names in an order in which any
            first few fall into all three splits (5/1/2 of eight); beyond the 132 that are in a split, further
            numbers of the same countries, which only `splits.json` lists.
        years: As for `simulate_site`.
        size: Height and width of every scene.
        seed: As for `simulate_site`.
        workers: Processes; by default one per core. The result does not depend on it.
        progress: Show a progress bar.

    Returns:
        `path`.

    Raises:
        ValueError: If an argument is out of range, or `path` holds another simulation or another archive.
        OSError: If a file cannot be written.
    """
    root = Path(path)
    chosen_years = _checked_years(years)
    _check_size(*size)
    _check_seed(seed)
    if workers is not None and workers < 1:
        raise ValueError(f"Cannot simulate with {workers} processes; expected at least 1.")
    names = site_names(sites) if isinstance(sites, int) else _checked_names(sites)
    _claim(root, names, chosen_years, size, seed)

    missing = [name for name in names if not (root / "EuroMineNet" / name).is_dir()]
    write = partial(_write_site, root, years=chosen_years, size=size, seed=seed)
    written = in_processes(write, missing, workers or usable_cores(), "simulated a site")
    initial = len(names) - len(missing)
    with (
        tqdm(total=len(names), initial=initial, desc="Simulating", unit="site", disable=not progress) as bar,
        closing(written),
    ):
        for _ in written:
            bar.update()
    write_text(root / "splits.json", json.dumps(_splits(names), indent=2) + "\n")
    shutil.rmtree(root / _PARTIAL, ignore_errors=True)
    return root


def site_names(count: int) -> tuple[str, ...]:
    """The first `count` site names of a simulated archive.

    Countries alternate, and of every eight names five are in the benchmark's (corrected) training split, one
    in validation and two in test, as long as there are any; then training sites only, then new numbers.

    Raises:
        ValueError: If `count` is less than 1.
    """
    if count < 1:
        raise ValueError(f"An archive of {count} sites is empty; expected at least 1.")
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


def _claim(
    root: Path, names: Sequence[str], years: tuple[int, ...], size: tuple[int, int], seed: int
) -> None:
    """Note in a folder what is simulated in it, or check that it already is this simulation."""
    record = {"version": _VERSION, "height": size[0], "width": size[1], "years": list(years), "seed": seed}
    note, archive = root / SIMULATION_FILE, root / "EuroMineNet"
    if root.exists() and not root.is_dir():
        raise ValueError(f"{root} is a file; expected a new folder, or one that an earlier run wrote.")
    found = sorted(site.name for site in archive.iterdir()) if archive.is_dir() else []
    if note.is_file():
        if note.read_text(encoding="utf-8") != json.dumps(record) + "\n":
            raise ValueError(
                f"{note} tells of another size, other years or another seed than {record}; expected the "
                "same, or a new folder."
            )
    elif found:
        raise ValueError(f"{archive} is an archive that was not simulated; expected a new folder.")
    others = [name for name in found if name not in set(names)]
    if others:
        raise ValueError(
            f"{archive} holds sites that were not asked for ({_listed(others)}); expected all of its "
            f"{len(found)} sites among those asked for, or a new folder."
        )
    if (root / _PARTIAL).is_dir():
        # Moved away first: a worker that outlives a killed run could finish a folder that is half removed.
        (root / _PARTIAL).rename(root / f"{_PARTIAL}-{os.getpid()}")
    for left in root.glob(f"{_PARTIAL}-*"):
        shutil.rmtree(left, ignore_errors=True)
    for folder in (archive, root / "truth"):
        folder.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(record) + "\n")


def _write_site(root: Path, name: str, years: tuple[int, ...], size: tuple[int, int], seed: int) -> None:
    """Simulate and write one site; its folder appears last, complete."""
    # Only what writes GeoTIFFs needs rasterio.
    from euromine.dataset_script.archive import write_site

    site = simulate_site(name, years=years, height=size[0], width=size[1], seed=seed)
    # A worker that outlives a killed run writes beside the next run's, not into it.
    own = root / _PARTIAL / f"{name}-{os.getpid()}"
    own.mkdir(parents=True, exist_ok=True)
    truth = own / "truth.npz"
    np.savez_compressed(truth, truth=site.truth, classes=site.classes, years=np.array(years, dtype=np.int16))
    write_site(
        own,
        name,
        images=site.images,
        labels=site.labels,
        years=site.years,
        crs=site.crs,
        transform=site.transform,
    )
    truth.replace(root / "truth" / f"{name}.npz")
    finished = root / "EuroMineNet" / name
    try:
        (own / name).replace(finished)
    except OSError:
        # Another run was first, with the same bytes.
        if not finished.is_dir():
            raise
    shutil.rmtree(own, ignore_errors=True)


def _annotate(rng: np.random.Generator, truth: NDArray[np.uint8], waver: Float) -> NDArray[np.uint8]:
    """The footprint as an annotator draws it: rounder than it is, its border a pixel in or out.

    Most of the border is kept from year to year (`waver`); here and there a year is drawn anew. A pixel whose
    whole neighbourhood of `LABEL_REACH` pixels is of one kind is always labelled right.
    """
    near = ndimage.gaussian_filter(truth.astype(np.float32), _LABEL_SIGMA, radius=LABEL_REACH, mode="nearest")
    redrawn = np.clip(moved(rng, waver) - 1.3, 0, 1)
    strayed = np.float32(0.16) * waver + np.float32(0.35) * redrawn * moved(rng, waver)
    return (near + np.clip(strayed, -0.4, 0.4) > 0.5).astype(np.uint8)


def _region(name: str) -> Region:
    """The country of a site by its name; the release spells Portugal `Portuga`."""
    country = name.rpartition("_")[0]
    return REGIONS.get("Portugal" if country == "Portuga" else country, REGIONS["Germany"])


def _checked_years(years: Iterable[int]) -> tuple[int, ...]:
    chosen = tuple(int(year) for year in years)
    if not chosen:
        raise ValueError(f"No year to simulate was given; expected ascending years from {FIRST_YEAR} on.")
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise ValueError(
            f"The years {_listed(chosen)} are not in ascending order; expected for example 2015-2024."
        )
    if chosen[0] < FIRST_YEAR or chosen[-1] > _LAST_YEAR:
        raise ValueError(
            f"The years {chosen[0]} to {chosen[-1]} cannot be simulated; expected years from {FIRST_YEAR}, "
            f"Sentinel-2's first, to {_LAST_YEAR}."
        )
    return chosen


# A hundred years of growth are more than anyone asked for, and opening years are kept in 16 bits.
_LAST_YEAR = 2115


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values[:12])) + (", ..." if len(values) > 12 else "")


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*_[0-9]+", name):
        raise ValueError(
            f"The site name {name!r} is no folder of the archive; expected for example Germany_12."
        )


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if not names:
        raise ValueError("An archive of 0 sites is empty; expected at least 1.")
    for name in names:
        _check_name(name)
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(
            f"The sites {_listed(twice)} were asked for more than once; expected each name once."
        )
    return tuple(names)


def _check_size(height: int, width: int) -> None:
    if min(height, width) < 1:
        raise ValueError(f"A scene of {height} x {width} pixels is empty; expected at least 1 x 1.")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"The seed {seed} is negative; expected 0 or more.")
