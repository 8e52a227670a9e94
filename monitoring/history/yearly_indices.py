"""The spectral indices of each year, mapped while a network reads the image where that is possible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from typing import Any, cast

from euromine.monitoring.mapping.geotiffs import CogWriter, read_map_record
from euromine.monitoring.mapping.index_maps import IndexedScene, index_writer, write_indices
from euromine.monitoring.scenes.alignment import ReadsWindows
from euromine.support.rasters import crs_name

from .file_names import index_name
from .series_plan import SeriesPlan


@contextmanager
def indexed_year(plan: SeriesPlan, year: int, image: ReadsWindows) -> Iterator[ReadsWindows]:
    """The image of a year for a network that reads all of it, whose indices are mapped on the way.

    Without indices to map, or where the folder holds them, it is the image alone.

    Args:
        plan: The series' plan.
        year: The year.
        image: Its image on the plan's grid.

    Raises:
        OSError: The map cannot be written.
    """
    try:
        if not plan.impact.indices or _is_made(plan, year):
            yield image
            return
        with _writer(plan, year) as writer:
            indexed = IndexedScene(image, writer, plan.impact.indices)
            yield indexed
            indexed.finish()
    finally:
        plan.scenes[year].free_rows()  # a scene stays open until all years are mapped


def map_year_indices(plan: SeriesPlan, year: int, *, progress: bool = False) -> None:
    """Map the indices of a year unless the folder holds that very map.

    Raises:
        SceneError: The image cannot be read.
        OSError: The map cannot be written.
    """
    if _is_made(plan, year):
        return
    with _writer(plan, year) as writer:
        write_indices(
            plan.scenes[year],
            writer,
            plan.impact.indices,
            _network_bands(plan),
            shown=str(year),
            progress=progress,
        )
    plan.scenes[year].free_rows()


def _is_made(plan: SeriesPlan, year: int) -> bool:
    return read_map_record(plan.folder / index_name(year)) == _record(plan, year)


def _writer(plan: SeriesPlan, year: int) -> CogWriter:
    return index_writer(plan.folder / index_name(year), plan.grid, plan.impact.indices, _record(plan, year))


def _network_bands(plan: SeriesPlan) -> tuple[str, ...]:
    """The bands without whose data a pixel is unknown in the maps."""
    network = plan.mapper or plan.detector
    assert network is not None
    return tuple(network.image_processor.bands)


def _record(plan: SeriesPlan, year: int) -> dict[str, Any]:
    """The inputs to a year's indices, by which a later run recognises a map that is up to date."""
    aligned, grid = plan.scenes[year], plan.grid
    read = tuple(sorted({*_network_bands(plan), *plan.impact.bands}))
    record = {
        "euromine": version("euromine"),
        "grid": [crs_name(grid.crs), *grid.transform[:6], grid.width, grid.height],
        "indices": plan.impact.indices,
        "bands": read,
        "scene": aligned.scene.fingerprint(),
        "reflectance": asdict(aligned.scene.reflectance(read)),
        "how": aligned.how,
    }
    return cast("dict[str, Any]", json.loads(json.dumps(record)))  # tuples as lists, as they are read back
