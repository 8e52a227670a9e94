"""The components and the radar of a site, read in the windows of its scene."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from euromine.support.closable import Closable
from euromine.support.errors import ArchiveError
from euromine.support.rasters import open_raster, read_raster, shown
from euromine.support.wording import counted

from .archive_bands import NO_BACKSCATTER, RADAR_BANDS
from .component_files import component_encoding
from .label_groups import COMPONENT_CLASSES
from .scene_headers import check_same_place, check_size
from .site_scene import Scene, Site

# Backscatter of a median pixel lies far below: -5 dB is a city, 0 dB a field of corner reflectors.
_LARGEST_MEDIAN = 0


class ComponentLayers(Closable):
    """The open components and radar of a site, for the years that have components.

    It belongs to one thread; use it in a `with` statement beside its scene.

    Attributes:
        years: The years with components, sorted.
        radar_years: Those of them with radar.
        facts: Of the site.
    """

    def __init__(self, site: Site, scene: Scene) -> None:
        """Open the files and check their headers.

        Args:
            site: The site, with components.
            scene: Its open scene.

        Raises:
            ArchiveError: A file cannot be opened, lies on another grid than the image, or holds something
                else than components, or than backscatter in dB x 100.
        """
        self.years = tuple(sorted(site.component_paths))
        self.radar_years = tuple(year for year in self.years if year in site.radar_paths)
        self.facts = site.facts
        self._site, self._size = site, (scene.height, scene.width)
        first_path = site.image_paths[scene.years[0]]
        with ExitStack() as files:
            first = open_raster(first_path, files, ArchiveError)
            self._components, self._radar = (
                {year: open_raster(paths[year], files, ArchiveError) for year in years}
                for paths, years in (
                    (site.component_paths, self.years),
                    (site.radar_paths, self.radar_years),
                )
            )
            self._encodings, self._bands = {}, {}
            for year, dataset in self._components.items():
                path = site.component_paths[year]
                check_size(dataset, path)
                check_same_place(dataset, path, first, first_path)
                self._encodings[year] = component_encoding(dataset, path)
            for year, dataset in self._radar.items():
                path = site.radar_paths[year]
                check_size(dataset, path)
                self._bands[year] = _radar_indexes(dataset, path)
                check_same_place(dataset, path, first, first_path)
            self._files = files.pop_all()

    def close(self) -> None:
        """Close all rasters."""
        self._files.close()

    def annotated(self, year: int) -> tuple[str, ...]:
        """The component classes that annotators drew: by `site.json`, else by the header of the raster."""
        names = self._site.facts.annotated
        if names is None:
            names = self._encodings[year].classes
        return tuple(name for name in COMPONENT_CLASSES if name in names)

    def read_components(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.uint16]:
        """Read a window of a year's components; by default all.

        Returns:
            uint16 (height, width): bit i for class i of `COMPONENT_CLASSES`, and `NOT_ANNOTATED`.

        Raises:
            ArchiveError: The file is damaged, or holds values without a class.
        """
        path = self._site.component_paths[year]
        window = self._window(top, left, height, width)
        return self._encodings[year].bits(read_raster(self._components[year], path, window, ArchiveError)[0])

    def read_radar(
        self, year: int, top: int = 0, left: int = 0, height: int | None = None, width: int | None = None
    ) -> NDArray[np.int16]:
        """Read a window of a year's backscatter; by default all.

        Returns:
            int16 (2, height, width): VV and VH in dB x 100, `NO_BACKSCATTER` where there is none: everywhere
            in a year without radar, and where both are 0 in a file without a nodata value.

        Raises:
            ArchiveError: The file is damaged, or its values are no backscatter in dB x 100.
        """
        window = self._window(top, left, height, width)
        if year not in self._radar:
            (top, bottom), (left, right) = window
            return np.full((len(RADAR_BANDS), bottom - top, right - left), NO_BACKSCATTER, np.int16)
        dataset, path = self._radar[year], self._site.radar_paths[year]
        radar = read_raster(dataset, path, window, ArchiveError, indexes=self._bands[year])
        radar = radar.astype(np.int16, copy=False)
        if dataset.nodata is not None:
            radar[radar == dataset.nodata] = NO_BACKSCATTER
        else:  # a program that declares none fills with zeros
            radar[:, (radar == 0).all(axis=0)] = NO_BACKSCATTER
        known = radar[radar != NO_BACKSCATTER]
        middle = np.median(known) if known.size else -np.inf
        if middle >= _LARGEST_MEDIAN:
            raise ArchiveError(
                f"{shown(path)}: found a median of {middle:g}, not below 0 dB; expected backscatter in "
                "dB x 100 such as -1200, which is 1000 log10 of linear power, as `euromine acquire --radar` "
                "writes it."
            )
        return radar

    def _window(
        self, top: int, left: int, height: int | None, width: int | None
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        bottom = self._size[0] if height is None else top + height
        return (top, bottom), (left, self._size[1] if width is None else left + width)


def _radar_indexes(dataset: Any, path: str) -> list[int]:
    """The bands VV and VH, counted from 1: by their names, else in this order."""
    expected = f"int16 {' and '.join(RADAR_BANDS)} in dB x 100"
    if dataset.count != len(RADAR_BANDS):
        raise ArchiveError(f"{shown(path)}: found {counted(dataset.count, 'band')}; expected {expected}.")
    kinds = sorted(set(dataset.dtypes))
    if kinds != ["int16"]:
        reading = ", as linear power or plain dB has" if kinds[0].startswith("float") else ""
        raise ArchiveError(
            f"{shown(path)}: found {', '.join(kinds)}{reading}; expected {expected}, which is 1000 log10 of "
            "linear power. `euromine acquire --radar` writes it."
        )
    names = [str(name).strip().upper() for name in dataset.descriptions]
    if set(names) == set(RADAR_BANDS):
        return [names.index(name) + 1 for name in RADAR_BANDS]
    return [1, 2]
