"""Polygons of maps that are read in blocks of rows and measured in batches, against GDAL's of whole maps."""

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.features import shapes
from scipy import ndimage

from euromine.monitoring.history import outlined_maps
from euromine.monitoring.history.polygon_tables import PolygonTables
from euromine.monitoring.history.polygons import change_polygons, footprint_polygons
from euromine.support import pixel_polygons

from .drawn_footprints import DEGREES, GRIDS, METRES, YEARS, noise

PAIRS = [(2015, 2016), (2016, 2019), (2015, 2019)]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Five rows of 40 pixels at once, and a batch for every few polygons."""
    monkeypatch.setattr(outlined_maps, "_PIXELS", 1)
    monkeypatch.setattr(outlined_maps, "_ROWS", 5)
    monkeypatch.setattr(outlined_maps, "_CORNERS", 60)
    monkeypatch.setattr(pixel_polygons, "_ROWS", 3)
    monkeypatch.setattr(pixel_polygons, "_CORNERS", 25)


def ragged(seed: int) -> np.ndarray:
    """Maps of gains, losses and unknown pixels: large parts with holes over all blocks, and crumbs."""
    generator = np.random.default_rng(seed)
    surface = ndimage.gaussian_filter(generator.standard_normal((3, 30, 40)), (0, 2, 2))
    maps = np.digitize(surface, [-0.02, 0.05]).astype(np.uint8)
    crumbs = generator.random(maps.shape)
    maps[crumbs < 0.1] = 0
    maps[crumbs > 0.97] = 255
    maps[:, 14, 3:9:2] = maps[:, 15, 4:10:2] = 1  # corners that meet on a seam
    return maps


def drawn_by_gdal(codes: np.ndarray, grid) -> list[tuple[int, str]]:
    """The code and normalised outline of each part of a map, holes that touch themselves made valid."""
    is_part = np.isin(codes, (1, 2, 3))
    found = shapes(codes, mask=is_part, connectivity=4, transform=grid.transform)
    outlines = [
        (int(code), shapely.make_valid(shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:])))
        for shape, code in found
    ]
    return sorted((code, shapely.normalize(outline).wkt) for code, outline in outlines)


@GRIDS
def test_the_polygons_of_all_blocks_are_those_of_gdal_with_the_largest_first(grid):
    changes = ragged(0)
    frame = change_polygons(changes, PAIRS, grid)
    kinds = {"gain": 1, "loss": 2}
    for pair, codes in zip(PAIRS, changes, strict=True):
        of_pair = frame[(frame.year_1 == pair[0]) & (frame.year_2 == pair[1])]
        found = [
            (kinds[row.kind], shapely.normalize(row.geometry).wkt) for row in of_pair.itertuples(index=False)
        ]
        assert sorted(found) == drawn_by_gdal(codes, grid)
        assert of_pair.area_ha.is_monotonic_decreasing
    assert list(zip(frame.year_1, frame.year_2, strict=True)) == sorted(
        zip(frame.year_1, frame.year_2, strict=True)
    )


def test_areas_and_perimeters_of_all_batches_are_those_on_the_ellipsoid():
    frame = change_polygons(ragged(1), PAIRS, DEGREES)
    geod = pyproj.Geod(ellps="WGS84")
    expected = [geod.geometry_length(geometry.boundary) for geometry in frame.geometry]
    np.testing.assert_allclose(frame.perimeter_m, expected, rtol=1e-9)
    areas = [abs(geod.geometry_area_perimeter(geometry.segmentize(1e-5))[0]) for geometry in frame.geometry]
    np.testing.assert_allclose(frame.area_ha, np.array(areas) / 10_000, rtol=1e-6)


def described(frame) -> set[tuple[int, int, int, str]]:
    """The years and the outline of each polygon."""
    outlines = frame.geometry.to_wkt()
    return set(zip(frame.year, frame.first_year, frame.last_year, outlines, strict=True))


@GRIDS
def test_footprints_tell_the_first_and_last_years_of_ground_in_several_blocks(grid, monkeypatch):
    footprints = noise(11)
    frame = footprint_polygons(footprints, YEARS, grid, minimum_mapping_unit=0.02)
    assert len(described(frame)) == len(frame) > 10
    monkeypatch.undo()
    whole = footprint_polygons(footprints, YEARS, grid, minimum_mapping_unit=0.02)
    assert described(frame) == described(whole)
    np.testing.assert_allclose(np.sort(frame.area_ha), np.sort(whole.area_ha), rtol=1e-8)


def test_tables_come_one_per_map_with_the_maps_read_block_by_block():
    changes, read = ragged(2), []

    class Rows:
        def __len__(self):
            return len(changes)

        def __getitem__(self, index):
            return changes[index]

        def read_rows(self, index, top, bottom):
            read.append((index, top, bottom))
            return changes[index, top:bottom].copy()

    tables = [*PolygonTables(METRES).of_changes(Rows(), PAIRS)]
    assert [len(table) > 0 for table in tables] == [True] * 3
    assert [set(zip(table.year_1, table.year_2, strict=True)) for table in tables] == [
        {pair} for pair in sorted(PAIRS)
    ]
    # The first row shows the type; no row is read twice after it.
    assert read == [(0, 0, 1), *((index, top, top + 5) for index in (0, 2, 1) for top in range(0, 30, 5))]
