"""Outlines of parts against the pixels that they were made of, and against GDAL's polygons."""

import numpy as np
import pytest
import shapely
from rasterio import Affine
from rasterio.features import rasterize, shapes
from scipy import ndimage

from euromine.support import pixel_polygons as module
from euromine.support.pixel_polygons import (
    PixelParts,
    PixelRuns,
    part_polygons,
    pixel_polygons,
    run_extremes,
)

METRES = Affine(10, 0, 500_000, 0, -10, 5_100_000)


def random_codes(seed: int, shape: tuple[int, int], codes: int, empty: float = 0.4) -> np.ndarray:
    generator = np.random.default_rng(seed)
    drawn = generator.integers(1, codes + 1, shape)
    return np.where(generator.random(shape) < empty, 0, drawn).astype(np.uint8)


MAPS = [
    random_codes(0, (1, 1), 1, 0),
    random_codes(1, (1, 12), 2),
    random_codes(2, (12, 1), 2),
    random_codes(3, (24, 31), 1),
    random_codes(4, (31, 24), 3, 0.1),
    random_codes(5, (30, 30), 1, 0.65),
    np.full((4, 5), 7, np.uint8),
    # Holes that meet the outside, and one another, in corners.
    np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], np.uint8),
]


@pytest.fixture(params=[3, 256])
def _rows_at_once(request, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", request.param)


@pytest.mark.usefixtures("_rows_at_once")
@pytest.mark.parametrize("codes", MAPS)
def test_burned_again_the_polygons_are_the_map(codes):
    polygons, parts = pixel_polygons(codes, METRES)
    drawn = zip(polygons, parts.codes.tolist(), strict=True)
    burned = rasterize(drawn, out_shape=codes.shape, transform=METRES, dtype="uint8")
    np.testing.assert_array_equal(burned, codes)
    # Pixels are burned where their middle is: areas show overlaps and what lies between middles.
    assert shapely.area(polygons).sum() == 100 * np.count_nonzero(codes)


@pytest.mark.parametrize("codes", MAPS)
def test_each_part_that_edges_connect_is_one_valid_polygon(codes):
    polygons, parts = pixel_polygons(codes, METRES)
    assert shapely.is_valid(polygons).all()
    for code in np.unique(codes[codes > 0]):
        labels, number = ndimage.label(codes == code)
        assert (parts.codes == code).sum() == number
        expected = sorted(100 * np.bincount(labels.ravel())[1:])
        assert sorted(shapely.area(polygons[parts.codes == code])) == expected


@pytest.mark.parametrize("codes", MAPS)
def test_the_polygons_are_those_of_gdal(codes):
    polygons, parts = pixel_polygons(codes, METRES)
    found = [
        (int(code), shapely.make_valid(shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:])))
        for shape, code in shapes(codes, mask=codes > 0, connectivity=4, transform=METRES)
    ]

    def text(code: int, polygon: shapely.Polygon) -> tuple[int, str]:
        return code, shapely.normalize(polygon).wkt

    expected = sorted(text(*each) for each in found)
    assert sorted(map(text, parts.codes.tolist(), polygons)) == expected


def test_outer_rings_run_anticlockwise_and_holes_clockwise():
    polygons, _ = pixel_polygons(np.pad(np.pad(np.zeros((1, 1), np.uint8), 1, constant_values=1), 2), METRES)
    (ring,) = polygons
    assert ring.exterior.is_ccw
    assert [hole.is_ccw for hole in ring.interiors] == [False]
    assert ring.exterior.coords[0] == (500_020, 5_099_980)


def test_a_rotated_grid_has_rotated_polygons():
    rotated = Affine(3, 4, 100, 4, -3, 200)
    polygons, _ = pixel_polygons(np.array([[0, 1]], np.uint8), rotated)
    assert polygons[0].equals(shapely.Polygon([(103, 204), (106, 208), (110, 205), (107, 201)]))


def test_a_map_without_parts_has_no_polygons():
    polygons, parts = pixel_polygons(np.zeros((3, 4), np.uint8), METRES)
    assert len(polygons) == len(parts) == 0
    assert len(parts.least(np.zeros(0, np.uint8))) == 0
    assert [*part_polygons(parts, METRES)] == []


def read_in_blocks(codes: np.ndarray, rows: int) -> PixelParts:
    runs = PixelRuns(codes.shape[1])
    for top in range(0, len(codes), rows):
        runs.add(codes[top : top + rows])
    return runs.parts()


def test_parts_have_the_least_and_the_largest_value_of_their_pixels():
    codes = random_codes(6, (20, 25), 2)
    codes[-1, -1] = 1
    values = np.random.default_rng(7).integers(0, 200, codes.shape).astype(np.uint8)
    runs = PixelRuns(25)
    extremes = []
    for top in (0, 7, 14):
        places = runs.add(codes[top : top + 7])
        extremes += [[run_extremes(each, values[top:], *places) for each in (np.minimum, np.maximum)]]
    parts = runs.parts()
    least, largest = map(np.concatenate, zip(*extremes, strict=True))
    owners = parts.owner(np.flatnonzero(codes))
    inside = values[codes > 0]
    for part in range(len(parts)):
        assert parts.least(least)[part] == inside[owners == part].min()
        assert parts.largest(largest)[part] == inside[owners == part].max()


@pytest.mark.usefixtures("_rows_at_once")
@pytest.mark.parametrize("codes", MAPS)
@pytest.mark.parametrize("rows", [1, 5])
def test_maps_that_are_read_and_outlined_in_blocks_have_the_polygons_of_gdal(codes, rows, monkeypatch):
    monkeypatch.setattr(module, "_CORNERS", 40)
    parts = read_in_blocks(codes, rows)
    box = parts.box
    inside = METRES @ Affine.translation(box[1].start, box[0].start)
    cut = parts.cut(box)
    np.testing.assert_array_equal(cut.rows(0, box[0].stop - box[0].start), codes[box])
    found = {}
    for owners, polygons in part_polygons(cut, inside):
        assert (np.diff(owners) > 0).all()
        assert found.keys().isdisjoint(owners.tolist())
        found |= zip(owners.tolist(), polygons, strict=True)
    assert sorted(found) == list(range(len(parts)))
    drawn = [
        (int(code), shapely.make_valid(shapely.Polygon(shape["coordinates"][0], shape["coordinates"][1:])))
        for shape, code in shapes(codes, mask=codes > 0, connectivity=4, transform=METRES)
    ]
    for part, polygon in found.items():
        of_code = [shape for code, shape in drawn if code == parts.codes[part]]
        assert any(shapely.normalize(polygon).wkt == shapely.normalize(shape).wkt for shape in of_code)
    assert len(drawn) == len(found)


def test_a_spiral_over_all_blocks_is_one_polygon_beside_parts_that_are_complete_before_it(monkeypatch):
    monkeypatch.setattr(module, "_ROWS", 4)
    monkeypatch.setattr(module, "_CORNERS", 8)
    codes = np.zeros((41, 43), np.uint8)
    for place in range(0, 20, 4):
        codes[place : 41 - place, place] = codes[place, place : 43 - place] = 1
        codes[place : 41 - place, 42 - place] = codes[40 - place, place + 2 : 43 - place] = 1
        codes[place + 2, place + 2 : place + 4] = 1
    order = []
    for owners, _ in part_polygons(read_in_blocks(codes, 4), METRES):
        order += owners.tolist()
    labels, number = ndimage.label(codes)
    assert len(order) == number == labels.max()
    assert order != sorted(order)  # the outer one is complete last
    assert order[-1] == 0
