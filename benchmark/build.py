"""The speed of building shards, beside compression of the same bytes alone, and the memory it takes.

`python -m euromine.benchmark.build` prints a Markdown table. Speed: one process builds a simulated site, ten
years of 1280 x 1280 pixels as `euromine simulate` writes it (deflated), in turn with zstd at level 3
compressing the bytes of its images and labels and nothing else, and with reading the GeoTIFFs alone. Reading
and compressing overlap on two cores, so both the clock and the processors' time are shown. Memory: the peak
of a process that builds ten years of 10,000 x 5,000 pixels.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.parquet_writing import COMPRESSION_LEVEL
from euromine.dataset_script.patch_rows import rows_of
from euromine.dataset_script.scene_windows import read_images, read_labels
from euromine.dataset_script.shards import SHARD_BYTES
from euromine.dataset_script.site_shards import SiteTask, build_site
from euromine.simulation.simulated_archive import simulate_archive
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, positive

SITE = "Germany_1"
YEARS = range(2015, 2025)
LARGE_SCENE = (10_000, 5_000)
LIMIT_GIGABYTES = 1.5


def simulate(folder: Path, side: int) -> Archive:
    """An archive of one site."""
    path = simulate_archive(folder / "archive", sites=[SITE], years=YEARS, size=(side, side), progress=False)
    return Archive(path)


def cells(archive: Archive) -> list[bytes]:
    """The bytes of all images and labels of the site, as its rows hold them."""
    with archive.sites[SITE].open() as scene:
        return [blob for row in rows_of(scene) for blob in (row["image"], row["label"]["bytes"])]


def measure_speed(archive: Archive, folder: Path, repeats: int) -> tuple[int, NDArray[np.float64]]:
    """Bytes, and the seconds of each repeat.

    Returns:
        The bytes of images and labels, and `(repeats, 3, 2)`: to compress them, to read the site, to build
        it; on the clock, and of processors.
    """
    data = cells(archive)
    codec = pa.Codec("zstd", compression_level=COMPRESSION_LEVEL)
    site = archive.sites[SITE]

    def compress() -> None:
        for cell in data:
            codec.compress(cell)

    def read() -> None:
        with site.open() as scene:
            for _ in zip(read_labels(scene), read_images(scene), strict=True):
                pass

    seconds = np.zeros((repeats, 3, 2))
    for repeat in range(repeats):
        parts = folder / f"parts-{repeat}"
        parts.mkdir()
        task = SiteTask(site, str(parts), SHARD_BYTES, "")
        works: tuple[Callable[[], object], ...] = (compress, read, partial(build_site, task))
        for number, work in enumerate(works):
            started = (time.perf_counter(), time.process_time())
            work()
            seconds[repeat, number] = np.subtract((time.perf_counter(), time.process_time()), started)
        shutil.rmtree(parts)
    return sum(map(len, data)), seconds


def write_large_scene(root: Path) -> None:
    """A scene of ten equal years: its contents do not matter to memory, and the file stays small."""
    height, width = LARGE_SCENE
    image = np.full((1, len(BANDS), height, width), 1234, dtype=np.int16)
    label = np.zeros((1, height, width), dtype=np.uint8)
    label[:, ::2] = 1
    transform = (10.0, 0.0, 0.0, 0.0, -10.0, 0.0)
    write_site(root, SITE, images=image, labels=label, years=YEARS[:1], crs="EPSG:32633", transform=transform)
    for year in YEARS[1:]:
        for kind in ("image", "label"):
            folder = root / SITE / kind
            shutil.copy(folder / f"Year{YEARS[0]}.tif", folder / f"Year{year}.tif")


def measure_memory(folder: Path) -> tuple[float, float]:
    """The peak memory, in GB, of a process that builds a large scene, and the minutes it takes."""
    this = [sys.executable, "-m", "euromine.benchmark.build"]
    subprocess.run([*this, "--write-large-scene", str(folder)], check=True)
    started = time.perf_counter()
    # In a process of its own: memory that was once taken counts to the end of a process.
    built = subprocess.run([*this, "--build-large-scene", str(folder)], check=True, capture_output=True)
    return float(built.stdout), (time.perf_counter() - started) / 60


def build_large_scene(root: Path) -> float:
    """Build it in this process; returns the peak memory in GB."""
    parts = root / "parts"
    parts.mkdir()
    build_site(SiteTask(Archive(root / "archive").sites[SITE], str(parts), SHARD_BYTES, ""))
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(peak) * 1024 / 1e9


def report_speed(total: int, seconds: NDArray[np.float64]) -> str:
    """The Markdown table of speed."""
    names = (f"zstd, level {COMPRESSION_LEVEL}, alone", "reading the GeoTIFFs alone", "build")
    lines = [
        f"{total / 1e6:.0f} MB of images and labels, medians of {len(seconds)} repeats",
        "",
        "| one process | MB/s on the clock | of zstd alone | MB per second of processors | of zstd alone |",
        "|---|--:|--:|--:|--:|",
    ]
    for number, name in enumerate(names):
        clock, processors = total / 1e6 / np.median(seconds[:, number], axis=0)
        of_clock, of_processors = np.median(seconds[:, 0] / seconds[:, number], axis=0)
        lines.append(f"| {name} | {clock:.0f} | {of_clock:.2f} | {processors:.0f} | {of_processors:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and print the tables."""
    parser = benchmark_parser("build", __doc__)
    parser.add_argument("--side", type=positive, default=1280, help="height and width of the simulated scene")
    parser.add_argument("--repeats", type=positive, default=7, help="turns of each")
    parser.add_argument("--skip-memory", action="store_true", help="leave out the large scene")
    parser.add_argument("--write-large-scene", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--build-large-scene", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write_large_scene:
        write_large_scene(arguments.write_large_scene / "archive")
        return
    if arguments.build_large_scene:
        sys.stdout.write(f"{build_large_scene(arguments.build_large_scene)}\n")
        return
    with tempfile.TemporaryDirectory() as name:
        total, seconds = measure_speed(simulate(Path(name), arguments.side), Path(name), arguments.repeats)
    sys.stdout.write(report_speed(total, seconds))
    if not arguments.skip_memory:
        with tempfile.TemporaryDirectory() as name:
            gigabytes, minutes = measure_memory(Path(name))
        height, width = LARGE_SCENE
        sys.stdout.write(
            f"\nA scene of {len(YEARS)} years x {height} x {width} pixels: {gigabytes:.2f} GB at the most "
            f"(limit {LIMIT_GIGABYTES}), {minutes:.1f} minutes.\n"
        )


if __name__ == "__main__":
    with reported_errors("build"):
        main()
