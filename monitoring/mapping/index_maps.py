"""Spectral indices of scenes as GeoTIFFs: int16, the index times 10,000, a band for each index."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window
from tqdm import tqdm

from euromine.monitoring.scenes.alignment import ReadsWindows
from euromine.monitoring.scenes.grids import Grid
from euromine.monitoring.scenes.locations import locate
from euromine.monitoring.scenes.scene import Scene, open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.monitoring.scenes.spectral_indices import INDICES, bands_of, parse_indices, spectral_indices
from euromine.support.errors import SceneError
from euromine.support.image_headers import DIGITAL_NUMBERS
from euromine.support.locks import lock_folder

from .geotiffs import CogWriter, is_mapped, map_record

logger = logging.getLogger(__name__)

INDEX_SCALE = 1e-4
"""The factor from a map's numbers to the index."""

NO_INDEX = -32768
"""The number of pixels without an index."""

_LARGEST = 32767
# Bytes of reflectance that are read at once where no network sets the size of windows.
_ROWS_MEMORY = 128 * 2**20
_MOST_ROWS = 512
# Pixels whose indices are computed at once, in float64.
_PIXELS = 2**18


def encode_indices(values: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Indices as int16: times 10,000, NaN as -32768; ratios end at 3.2767."""
    scaled = np.clip(np.asarray(values, np.float64) / INDEX_SCALE, -_LARGEST, _LARGEST).round()
    return np.where(np.isnan(scaled), NO_INDEX, scaled).astype(np.int16)


def decode_indices(numbers: NDArray[np.int16]) -> NDArray[np.float32]:
    """The inverse of `encode_indices`: float32, NaN where there is no index."""
    values = numbers * np.float32(INDEX_SCALE)
    values[numbers == NO_INDEX] = np.nan
    return np.asarray(values, np.float32)


def index_writer(path: Path, grid: Grid, names: Sequence[str], record: dict[str, Any]) -> CogWriter:
    """The file of a scene's indices, to be entered as a context."""
    return CogWriter(
        path,
        grid,
        np.int16,
        NO_INDEX,
        resampling="average",
        bands=names,
        scale=INDEX_SCALE,
        record=record,
    )


class IndexedScene:
    """A scene whose indices are written while a network reads it in windows.

    Windows come from left to right, then from top to bottom, and cover each row; they may overlap. Pixels
    without data in the network's bands have no index.

    Attributes:
        grid: The scene's grid.
    """

    def __init__(self, scene: ReadsWindows, writer: CogWriter, names: Sequence[str]) -> None:
        """Take a scene.

        Args:
            scene: An open scene.
            writer: The result of `index_writer`, entered.
            names: Names of the indices.
        """
        self.grid = scene.grid
        self._scene, self._writer, self._names = scene, writer, tuple(names)
        self._bands = bands_of(names)
        self._top = 0
        self._strip = self._empty(0)

    def cache_rows(self, rows: int) -> None:
        """As `Scene.cache_rows`."""
        self._scene.cache_rows(rows)

    def read(self, window: Window, bands: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """As `Scene.read`; bands that only the indices need are read beside these, each band once."""
        image, valid = self._scene.read(window, bands)
        known, further = valid, [band for band in self._bands if band not in bands]
        by_band = dict(zip(bands, image, strict=True))
        if further:
            more, known = self._scene.read(window, further)
            by_band |= dict(zip(further, more, strict=True))
            known = known & valid
        numbers = np.empty((len(self._names), *known.shape), np.int16)
        step = max(1, _PIXELS // known.shape[1])
        for top in range(0, len(known), step):
            rows = slice(top, top + step)
            numbers[:, rows] = self._numbers({band: by_band[band][rows] for band in self._bands})
        numbers[:, ~known] = NO_INDEX
        self._add(window, numbers)
        return image, valid

    def _numbers(self, bands: dict[str, NDArray[np.float32]]) -> NDArray[np.int16]:
        """The indices of bands in digital numbers, as they are written."""
        reflectance = {name: band / np.float32(DIGITAL_NUMBERS) for name, band in bands.items()}
        return encode_indices(spectral_indices(reflectance, self._names))

    def finish(self) -> None:
        """Write the last rows."""
        self._write(self.grid.height)

    def _add(self, window: Window, numbers: NDArray[np.int16]) -> None:
        top, left = int(window.row_off), int(window.col_off)
        self._write(top)
        if (missing := top + numbers.shape[1] - self._top - self._strip.shape[1]) > 0:
            self._strip = np.concatenate([self._strip, self._empty(missing)], axis=1)
        rows = slice(top - self._top, top - self._top + numbers.shape[1])
        self._strip[:, rows, left : left + numbers.shape[2]] = numbers

    def _write(self, until: int) -> None:
        """Write the rows above `until`, which no later window reaches."""
        if until > self._top:
            self._writer.write(self._strip[:, : until - self._top])
            self._strip = self._strip[:, until - self._top :]
            self._top = until

    def _empty(self, rows: int) -> NDArray[np.int16]:
        return np.full((len(self._names), rows, self.grid.width), NO_INDEX, np.int16)


def write_indices(
    scene: ReadsWindows,
    writer: CogWriter,
    names: Sequence[str],
    bands: Sequence[str] = (),
    *,
    shown: str = "",
    progress: bool = False,
) -> None:
    """Write the indices of a scene that no network reads.

    Args:
        scene: An open scene.
        writer: The result of `index_writer`, entered.
        names: Names of the indices.
        bands: Further bands without whose data a pixel has no index.
        shown: The scene's name beside the progress bar.
        progress: Whether to show a progress bar.

    Raises:
        SceneError: The scene cannot be read.
        OSError: The file cannot be written.
    """
    read = tuple(dict.fromkeys((*bands, *bands_of(names))))
    grid = scene.grid
    step = max(1, min(_MOST_ROWS, grid.height, _ROWS_MEMORY // (4 * len(read) * grid.width)))
    scene.cache_rows(step)
    indexed = IndexedScene(scene, writer, names)
    with tqdm(total=grid.height, desc=f"indices {shown}", unit="row", disable=not progress) as bar:
        for top in range(0, grid.height, step):
            rows = min(step, grid.height - top)
            indexed.read(Window(0, top, grid.width, rows), read)
            bar.update(rows)
    indexed.finish()


def map_indices(
    path: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    indices: str | Sequence[str] = "all",
    *,
    options: SceneOptions | None = None,
    progress: bool = False,
) -> Path:
    """Map the spectral indices of one scene: `<out_dir>/<scene>_indices.tif`.

    A Cloud-Optimised GeoTIFF on the scene's grid, written completely or not at all. A map made earlier of the
    same file with the same options is kept if it is undamaged.

    Args:
        path: A scene of any size, as for `open_scene`.
        out_dir: The folder of the map, created if it is missing.
        indices: Names of indices (`INDICES`), as text or one by one; "all" for all.
        options: Scene metadata; None for the file's own.
        progress: Whether to show a progress bar.

    Returns:
        The path of the map: int16, the index times 10,000, -32768 without data; one band for each index,
        described by its name, in the order of `INDICES`.

    Raises:
        SceneError: The scene cannot be read, lacks a band, or its scale or offset is unknown.
        ArgumentError: An index is unknown, or somebody else's file is in the map's place.
        BusyError: Another run is at work in the folder.
        OSError: The folder cannot be written to, or the disk is full.
    """
    names = parse_indices(indices)
    target = Path(out_dir) / f"{locate(path).stem}_indices.tif"
    with lock_folder(Path(out_dir)), open_scene(path, options) as scene:
        if scene.path is not None and map_record(scene.tags) is not None:
            raise SceneError(f"{scene.location.shown}: found a map that EuroMine made; expected imagery.")
        check_index_bands(scene, names)
        record = {
            "euromine": version("euromine"),
            "scene": scene.fingerprint(),
            "reflectance": asdict(scene.reflectance(bands_of(names))),
            "indices": names,
        }
        record = json.loads(json.dumps(record))  # turns tuples into lists, as in a record that is read back
        if is_mapped(target, record):
            logger.info("%s: mapped already, in %s", scene.location.shown, target)
            return target
        with index_writer(target, scene.grid, names, record) as writer:
            write_indices(scene, writer, names, shown=scene.location.name, progress=progress)
        if doubt := scene.doubt():
            logger.warning("%s: %s", scene.location.shown, doubt)
    return target


def check_index_bands(scene: Scene, names: Sequence[str], argument: str = "--indices") -> None:
    """Refuse indices whose bands a scene lacks.

    Raises:
        SceneError: A band is missing; the message names the indices that the scene has bands for.
    """
    missing = [band for band in bands_of(names) if band not in scene.bands]
    if not missing or not any(scene.bands):
        return  # without names of bands, reading them says how to give them
    without = [name for name in names if not set(INDICES[name].bands) <= set(scene.bands)]
    possible = ", ".join(name for name in names if name not in without)
    raise SceneError(
        f"{scene.location.shown}: found no band {', '.join(missing)}; expected "
        f"{'it' if len(missing) == 1 else 'them'} for {', '.join(without)}. Give {argument} other indices"
        f"{possible and f', such as {possible}'}."
    )
