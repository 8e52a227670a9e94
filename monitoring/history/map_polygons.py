"""The polygons of one map, gathered in batches: where they are many, their outlines wait on disk.

Of each polygon, its part, area and perimeter stay in memory, so that a map's polygons can be sorted; 24 bytes
in place of several hundred.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Corners of a map's polygons above which outlines are written to disk; with those of many small polygons,
# a corner takes some 70 bytes.
_KEPT_CORNERS = 2**20
# Bytes of outlines that are read back at once: half a million corners.
_READ_BYTES = 2**23


@dataclass(frozen=True)
class MeasuredPolygons:
    """Polygons of a map, measured.

    Attributes:
        owners: (polygons,) their parts.
        geometry: (polygons,) shapely polygons.
        areas: (polygons,) in hectares on the ground.
        perimeters: (polygons,) in m on the ground, edges of holes included.
    """

    owners: NDArray[np.intp]
    geometry: NDArray[Any]
    areas: NDArray[np.float64]
    perimeters: NDArray[np.float64]

    def taken(self, index: NDArray[Any]) -> MeasuredPolygons:
        """The polygons at these places, or of this mask."""
        return MeasuredPolygons(
            self.owners[index], self.geometry[index], self.areas[index], self.perimeters[index]
        )


class MapPolygons:
    """Collects the polygons of a map; afterwards they are in the order of their parts.

    Args:
        folder: Where outlines wait in a temporary file if they are many; None to keep them in memory.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._measures: list[tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]] = []
        self._kept: list[NDArray[Any]] = []
        self._corners = 0
        self._file: _OutlineFile | None = None
        self._columns: Mapping[str, Any] = {}

    def add(self, polygons: MeasuredPolygons) -> None:
        """Take some polygons.

        Raises:
            OSError: Their outlines cannot be written.
        """
        import shapely

        self._measures.append((polygons.owners, polygons.areas, polygons.perimeters))
        self._kept.append(polygons.geometry)
        self._corners += int(shapely.get_num_coordinates(polygons.geometry).sum())
        if self._folder is not None and self._corners > _KEPT_CORNERS:
            self._file = self._file or _OutlineFile(self._folder)
            for geometry in self._kept:
                self._file.append(geometry)
            self._kept = []

    def finish(self, columns: Mapping[str, Any]) -> None:
        """Take the columns of the map's table once its polygons are complete.

        Args:
            columns: By name, a value for all polygons or an array of one for each part.
        """
        self._columns = columns

    def close(self) -> None:
        """Give up the outlines."""
        self._kept = []
        if self._file is not None:
            self._file.close()

    def columns(self) -> dict[str, Any]:
        """The table's columns by name: a value for all polygons or an array of one for each."""
        owners = self._measured[0]
        own = {name: each if np.ndim(each) == 0 else each[owners] for name, each in self._columns.items()}
        return {**own, "area_ha": self._measured[1], "perimeter_m": self._measured[2]}

    def batches(self, order: NDArray[np.intp]) -> Iterator[tuple[NDArray[np.intp], NDArray[Any]]]:
        """The polygons in some order, at least one batch of them.

        Args:
            order: Their places.

        Yields:
            The next of these places, and a shapely polygon for each.
        """
        places = self._arrivals[order]
        if self._file is None:
            yield order, np.concatenate([np.array([], object), *self._kept])[places]
            return
        for part in self._file.parts(places):
            yield order[part], self._file.read(places[part])

    @cached_property
    def _arrivals(self) -> NDArray[np.intp]:
        """The place of each polygon among those that were added, in the order of the parts."""
        owners = [np.array([], np.intp), *(each[0] for each in self._measures)]
        return np.argsort(np.concatenate(owners), kind="stable")

    @cached_property
    def _measured(self) -> list[NDArray[Any]]:
        """Owners, areas and perimeters in the order of the parts."""
        nothing = (np.array([], np.intp), np.array([], np.float64), np.array([], np.float64))
        columns = zip(nothing, *self._measures, strict=True)
        joined = [np.concatenate(column)[self._arrivals] for column in columns]
        self._measures = []  # which would be there twice
        return joined


class _OutlineFile:
    """Outlines in well-known binary in a temporary file, which vanishes once it is closed."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._lengths: list[NDArray[np.int64]] = []

    def close(self) -> None:
        self._file.close()

    def append(self, geometry: NDArray[Any]) -> None:
        import shapely

        binary = shapely.to_wkb(geometry)
        self._file.write(b"".join(binary))
        self._lengths.append(np.fromiter(map(len, binary), np.int64, len(binary)))

    def parts(self, places: NDArray[np.intp]) -> Iterator[slice]:
        """Parts of the places whose outlines are read at once."""
        ends = np.cumsum(self._spans[1][places])
        borders = np.flatnonzero(np.diff(ends // _READ_BYTES)) + 1
        for begin, end in zip([0, *borders], [*borders, len(places)], strict=True):
            yield slice(begin, end)

    def read(self, places: NDArray[np.intp]) -> NDArray[Any]:
        import shapely

        begins, lengths = (each[places].tolist() for each in self._spans)
        binary = np.empty(len(places), object)
        for place, (begin, length) in enumerate(zip(begins, lengths, strict=True)):
            self._file.seek(begin)
            binary[place] = self._file.read(length)
        return np.asarray(shapely.from_wkb(binary), object)

    @cached_property
    def _spans(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where each outline begins in the file, and its length."""
        lengths = np.concatenate(self._lengths)
        return np.cumsum(lengths) - lengths, lengths
