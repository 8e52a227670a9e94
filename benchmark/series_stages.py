"""Processor seconds of a whole series by stage, outside the network.

`python -m euromine.benchmark.series_stages` writes ten years of images, maps them with a network of one
layer as `euromine series` does, all 45 pairs of years, and prints a Markdown table. With
`git worktree add ../before COMMIT` and `--before ../before`, an older checkout maps the same images in turns
with this one, each in a process of its own, and every map of both is compared byte by byte. The shortest of
several turns counts; each is printed once it is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from scipy import ndimage

from euromine.benchmark.hardware import processor
from euromine.modeling.bands import BANDS
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, positive

YEARS = range(2015, 2025)
STAGES = (
    "network",
    "reading, blending, probabilities",
    "footprints",
    "changes",
    "pictures",
    "areas",
    "polygons",
    "GeoPackage and GeoParquet",
    "plan, records and manifest",
    "styles",
    "digests",
)
_HERE = Path(__file__).resolve().parent


def write_images(folder: Path, side: int, years: Sequence[int] = YEARS) -> None:
    """Images in which mines are bright, with ragged edges that differ a little from year to year."""
    folder.mkdir(parents=True, exist_ok=True)
    ground, texture = _field(0, side, 40), _field(1, side, 3)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": len(BANDS), "dtype": "int16"}
    storage = {"tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 2}
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 300_000, 0, -10, 5_000_000)}
    for number, year in enumerate(years):
        noise = np.random.default_rng(year)
        score = ground - 1.6 + 0.04 * number + 0.15 * texture + 0.06 * _field(year, side, 1.5)
        image = 2000 + 1400 * np.tanh(score) + noise.normal(0, 60, (len(BANDS), side, side))
        image = np.clip(image, 1, 10_000).astype(np.int16)
        image[:, :20, :30] = 0
        with rasterio.open(
            folder / f"Year{year}.tif", "w", **profile, **storage, **place, zlevel=1, nodata=0
        ) as file:
            file.descriptions = BANDS
            file.write(image)


def _field(seed: int, side: int, sigma: float) -> NDArray[np.float32]:
    """A random surface whose hills are so many pixels wide, with a standard deviation of 1."""
    noise = np.random.default_rng(seed).standard_normal((side, side), np.float32)
    surface = ndimage.gaussian_filter(noise, sigma, mode="wrap")
    return np.asarray(surface / surface.std(), np.float32)


def measure(checkout: Path, images: Path, out: Path) -> dict[str, Any]:
    """The figures of `series_stage_times.py` for one series by a checkout."""
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, str(_HERE / "series_stage_times.py"), str(checkout), str(images), str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def shortest(runs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The least seconds of each stage."""
    return {stage: min(run["seconds"].get(stage, 0.0) for run in runs) for stage in STAGES}


def different_maps(first: Path, second: Path) -> list[str]:
    """The maps that are not in both folders with the same bytes."""
    names = {path.name for folder in (first, second) for path in folder.glob("*.tif")}
    return sorted(
        name
        for name in names
        if not all((folder / name).is_file() for folder in (first, second))
        or (first / name).read_bytes() != (second / name).read_bytes()
    )


def run_line(checkout: Path, seconds: Mapping[str, float]) -> str:
    """The seconds of one run in a line, in the order of the stages."""
    stages = ", ".join(f"{stage} {seconds[stage]:.2f}" for stage in STAGES if stage in seconds)
    return f"{checkout}: {stages}\n"


def markdown(now: Mapping[str, float], before: Mapping[str, float] | None) -> str:
    """The seconds by stage as a Markdown table."""
    columns = [now] if before is None else [before, now]
    around = {"all stages but the network": {stage for stage in STAGES if stage != "network"}}
    lines = ["| stage | seconds |", "|---|---:|"]
    if before is not None:
        lines = ["| stage | then | now | ratio |", "|---|---:|---:|---:|"]
    for name, stages in [*((stage, {stage}) for stage in STAGES), *around.items()]:
        sums = [sum(column[stage] for stage in stages) for column in columns]
        cells = [f"{seconds:.2f}" for seconds in sums]
        if before is not None:
            cells.append(f"{sums[1] / sums[0]:.2f}" if sums[0] >= 0.05 else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Time a series by stage.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("series_stages", __doc__)
    parser.add_argument("--side", type=positive, default=1000, help="pixels of the images' side")
    parser.add_argument("--repeats", type=positive, default=2, help="turns of each checkout")
    parser.add_argument("--before", type=Path, help="an older checkout to compare with")
    parser.add_argument("--folder", type=Path, help="where images and maps are written")
    options = parser.parse_args(arguments)
    if options.before is not None and not (options.before / "monitoring").is_dir():
        parser.error(f"{options.before}: no checkout with a folder monitoring/")
    checkouts = [_HERE.parent, *([options.before] if options.before else [])]
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        images, outs = Path(name) / "site" / "image", [Path(name) / str(place) for place in range(2)]
        write_images(images, options.side)
        runs: list[list[dict[str, Any]]] = [[] for _ in checkouts]
        for _ in range(options.repeats):
            for checkout, out, found in zip(checkouts, outs, runs, strict=False):
                found.append(measure(checkout, images, out))
                sys.stdout.write(run_line(checkout, found[-1]["seconds"]))
                sys.stdout.flush()
        maps = different_maps(*outs) if options.before else []
    columns = [shortest(found) for found in runs]
    sys.stdout.write(
        f"\n{len(YEARS)} years of {options.side} x {options.side} pixels; {processor()}, load "
        f"{os.getloadavg()[0]:.1f}; processor seconds, the shortest of {options.repeats}.\n\n"
        f"{markdown(columns[0], columns[1] if options.before else None)}"
    )
    if options.before:
        sys.stdout.write(f"\nMaps that differ: {', '.join(maps) or 'none'}.\n")
    return 0


if __name__ == "__main__":
    with reported_errors("series_stages"):
        sys.exit(main())
