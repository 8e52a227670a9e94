"""Pixels of pictures against positions worked out by hand."""

import io
import math

import numpy as np
import pytest
import rasterio
from PIL import Image
from pyproj import Transformer

from euromine.app.layer_pictures import (
    LayerYear,
    encoded,
    full_image,
    layer_image,
    transparent,
    whole_picture,
)
from euromine.app.mercator import MercatorGrid, native_zoom, site_grid, tile_grid
from euromine.app.picture_cache import PictureCache
from euromine.app.picture_layers import layer_of, layers_of
from euromine.app.picture_sources import RasterSource, warped
from euromine.modeling import BANDS
from euromine.monitoring.mapping.map_styles import CHANGE, index_style
from euromine.support.contrast import contrast_limits, stretched
from euromine.support.errors import DataError

from .drawn_app import CLOUDS, CRS, HEIGHT, NO_DATA, TRANSFORM, WIDTH, YEARS, image_of, mined

CACHE = PictureCache()


def shown(place, key, year):
    return LayerYear(place, layer_of(place, key), year, CACHE)


def ground_pixels(grid, crs=CRS, transform=TRANSFORM):
    """Column and row on the site's grid of the middle of each Mercator pixel, by PROJ alone."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    x = grid.left + columns * (grid.right - grid.left) / grid.width
    y = grid.top - rows * (grid.top - grid.bottom) / grid.height
    easting, northing = Transformer.from_crs(3857, crs, always_xy=True).transform(x, y)
    return ~transform @ (easting, northing)


def test_the_site_has_the_layers_of_its_files_and_of_its_images(series_site, second_site):
    layers = {layer.key: layer for layer in layers_of(series_site)}
    assert [*layers][:3] == ["natural", "false_colour", "swir"]
    assert layers["natural"].years == YEARS
    assert {"ndvi", "mndwi", "nbr", "probability", "first_year", "last_year", "water", "change"} <= {*layers}
    assert "quicklook" not in layers
    assert "bsi" not in layers
    assert layers["first_year"].years == ("all",)
    assert "2018-2022" in layers["change"].years
    assert {layer.key for layer in layers_of(second_site)} >= {"quicklook", "first_year"}
    assert "natural" not in {layer.key for layer in layers_of(second_site)}


def test_legends_have_the_colours_of_the_maps_of_a_gis(series_site):
    found = layer_of(series_site, "change").to_dict()["legend"]
    named = [
        ("#{:02x}{:02x}{:02x}".format(*each.colour), each.name) for each in CHANGE.classes if each.is_shown
    ]
    assert [(each["colour"], each["label"]) for each in found] == named
    assert layer_of(series_site, "ndvi").to_dict()["range"] == [-1.0, 1.0]
    assert layer_of(series_site, "natural").to_dict()["legend"] is None


def test_bounds_are_those_of_the_site_and_pixels_as_large_as_its_own(series_site):
    grid = site_grid(series_site.series.manifest)
    corners = [TRANSFORM * corner for corner in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT))]
    x, y = Transformer.from_crs(CRS, 3857, always_xy=True).transform(*zip(*corners, strict=True))
    assert (grid.left, grid.bottom, grid.right, grid.top) == pytest.approx(
        (min(x), min(y), max(x), max(y)), abs=1
    )
    assert abs(grid.width - WIDTH) <= 1
    assert abs(grid.height - HEIGHT) <= 1
    # 10 m at 46 degrees north are 14.4 m in Web Mercator; tiles of zoom 14 have 9.6 m, those of 13 19.1 m.
    assert native_zoom(grid) == 14


def test_classes_are_those_of_the_nearest_pixel(series_site):
    layer = shown(series_site, "first_year", "all")
    grid = layer.layer.grid.squared(200)
    values = warped(layer.source, grid)[0]
    columns, rows = ground_pixels(grid)
    # Where the middle of a pixel lies within 0.05 of an edge, rounding may take either neighbour.
    apart = np.minimum(np.abs(columns - columns.round()), np.abs(rows - rows.round()))
    inside = (columns > 0) & (columns < WIDTH) & (rows > 0) & (rows < HEIGHT) & (apart > 0.15)
    with rasterio.open(series_site.series.path / "first_year.tif") as file:
        expected = file.read(1)
    found = values[inside]
    assert inside.mean() > 0.4
    assert {*np.unique(found)} == {*np.unique(expected)}
    np.testing.assert_array_equal(found, expected[rows[inside].astype(int), columns[inside].astype(int)])
    image = transparent(layer_image(layer, grid))
    alpha = np.asarray(image)[..., 3]
    assert (alpha[inside] == 255).sum() == ((found > 0) & (found < 65535)).sum()


def test_images_are_interpolated_between_their_pixels_and_stretched_year_by_year(series_site):
    for year in (2018, 2019):
        layer = shown(series_site, "natural", year)
        grid = layer.layer.grid
        columns, rows = (each - 0.5 for each in ground_pixels(grid))
        left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
        inside = (left >= 1) & (left < WIDTH - 2) & (top >= 1) & (top < HEIGHT - 2)
        image = image_of(year)[[BANDS.index(band) for band in ("B04", "B03", "B02")]].astype(float)
        left, top, right, down = left[inside], top[inside], (columns - left)[inside], (rows - top)[inside]
        expected = (
            image[:, top, left] * (1 - right) * (1 - down)
            + image[:, top, left + 1] * right * (1 - down)
            + image[:, top + 1, left] * (1 - right) * down
            + image[:, top + 1, left + 1] * right * down
        )
        values = warped(layer.source, grid)
        # GDAL widens the kernel slightly where pixels shrink.
        assert np.median(np.abs(values[:, inside] - expected)) < 6
        assert np.corrcoef(values[:, inside].ravel(), expected.ravel())[0, 1] > 0.99
        known = np.isfinite(values).all(axis=0)
        picture = np.asarray(layer_image(layer, grid))
        # Black and white are those of the year's own pixels.
        limits = layer.limits(layer.source)
        np.testing.assert_allclose(limits, contrast_limits(image.reshape(3, -1).T), rtol=0.03)
        colours = stretched(np.moveaxis(values, 0, -1), limits).astype(int)
        assert np.abs(picture[known][:, :3].astype(int) - colours[known]).max() <= 1


def test_pixels_without_data_are_transparent(series_site):
    layer = shown(series_site, "natural", 2021)
    grid = layer.layer.grid
    columns, rows = ground_pixels(grid)
    cloudy = np.zeros((HEIGHT, WIDTH), bool)
    cloudy[CLOUDS[2021]] = True
    at = (columns.astype(int).clip(0, WIDTH - 1), rows.astype(int).clip(0, HEIGHT - 1))
    inner = (columns > 61) & (columns < 71) & (rows > 1) & (rows < 5)
    alpha = np.asarray(layer_image(layer, grid))[..., 3]
    assert inner.sum() > 20
    assert cloudy[at[1], at[0]][inner].all()
    assert not alpha[inner].any()
    clear = (columns > 2) & (columns < 58) & (rows > 2) & (rows < HEIGHT - 2)
    assert (alpha[clear] == 255).all()
    assert warped(layer.source, grid)[:, inner].size
    assert NO_DATA not in warped(layer.source, grid)


def test_an_index_has_the_colour_of_its_value(series_site):
    layer = shown(series_site, "ndvi", 2018)
    grid = layer.layer.grid
    columns, rows = ground_pixels(grid)
    pit = np.zeros((HEIGHT, WIDTH), bool)
    pit[12:24, 12:24] = True
    inside = (columns > 13) & (columns < 23) & (rows > 13) & (rows < 23)
    image = image_of(2018).astype(float)
    red, near = image[BANDS.index("B04")], image[BANDS.index("B08")]
    mean = ((near - red) / (near + red))[pit & mined(2018)].mean()
    ramp = index_style("ndvi").ramp
    expected = [np.interp(mean, [value for value, _ in ramp], [c[i] for _, c in ramp]) for i in range(3)]
    found = np.asarray(full_image(layer_image(layer, grid)), float)[inside].mean(axis=0)
    assert np.abs(found - expected).max() < 12


def test_a_site_without_images_shows_its_quicklook(second_site):
    layer = shown(second_site, "quicklook", 2021)
    with Image.open(second_site.series.path / "quicklook_2021.png") as file:
        original = np.asarray(file.convert("RGB"), int)
    picture = np.asarray(layer_image(layer, layer.layer.grid), int)
    # In degrees, columns of both grids are the same, and rows nearly.
    assert picture.shape == original.shape
    assert np.abs(picture[2:-2, 2:-2] - original[2:-2, 2:-2]).mean() < 12
    assert layer.layer.format == "jpg"


def test_pictures_are_encoded_as_their_layer_promises(series_site):
    with Image.open(io.BytesIO(whole_picture(shown(series_site, "natural", 2021)).data)) as file:
        assert file.format == "WEBP"
        assert file.mode == "RGBA"
    with Image.open(io.BytesIO(whole_picture(shown(series_site, "first_year", "all")).data)) as file:
        assert file.format == "PNG"
        assert file.mode == "P"
        assert file.info["transparency"] == 0
    assert whole_picture(shown(series_site, "natural", 2018), 32).media_type == "image/webp"
    assert encoded(Image.new("RGB", (4, 4)), "jpg").media_type == "image/jpeg"


def test_overviews_are_read_where_they_are_fine_enough(tmp_path):
    path = tmp_path / "large.tif"
    profile = {
        "driver": "GTiff",
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:3857",
        "height": 512,
        "width": 512,
    }
    transform = rasterio.Affine(10, 0, 0, 0, -10, 5120)
    with rasterio.open(path, "w", transform=transform, tiled=True, **profile) as file:
        file.write(np.full((1, 512, 512), 10, np.uint8))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], rasterio.enums.Resampling.nearest)
    # Other values in the overview show whether it was read.
    with rasterio.open(path, "r+", overview_level=1) as file:
        file.write(np.full((1, 128, 128), 99, np.uint8))
    source = RasterSource(path, (1,), smooth=False)
    whole = MercatorGrid(0, 0, 5120, 5120, 512, 512)
    assert (warped(source, whole) == 10).all()
    assert (warped(source, whole.sized(256, 256)) == 10).all()
    assert (warped(source, whole.sized(128, 128)) == 99).all()
    assert (warped(source, whole.sized(64, 64)) == 99).all()


def test_zeros_in_all_bands_and_marks_in_any_are_no_data(tmp_path):
    profile = {"driver": "GTiff", "count": 3, "dtype": "int16", "crs": "EPSG:3857", "height": 8, "width": 8}
    transform = rasterio.Affine(10, 0, 0, 0, -10, 80)
    pixels = np.full((3, 8, 8), 500, np.int16)
    pixels[:, :2, :] = 0
    pixels[0, 5:, :] = 0
    for nodata, is_known in ((None, [False, True, True]), (0, [False, True, False])):
        path = tmp_path / f"{nodata}.tif"
        with rasterio.open(path, "w", transform=transform, nodata=nodata, **profile) as file:
            file.write(pixels)
        values = warped(RasterSource(path, (1, 2, 3), is_image=True), MercatorGrid(0, 0, 80, 80, 8, 8))
        known = np.isfinite(values).all(axis=0)
        assert [known[row].all() for row in (0, 3, 7)] == is_known, nodata


def test_a_damaged_map_is_an_error_of_its_file(tmp_path):
    path = tmp_path / "torn.tif"
    path.write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(DataError, match=r"torn\.tif: found"):
        warped(RasterSource(path, (1,)), MercatorGrid(0, 0, 80, 80, 8, 8))


def test_tiles_lie_where_the_scheme_of_the_web_puts_them():
    # Berlin, 52.52 N 13.405 E, at zoom 10: 550/335 (OpenStreetMap's formula, wiki "Slippy map tilenames").
    tile = tile_grid(10, 550, 335)
    west, south, east, north = tile.degrees
    assert west < 13.405 < east
    assert south < 52.52 < north
    assert east - west == pytest.approx(360 / 2**10)
    assert math.isclose(tile.right - tile.left, tile.top - tile.bottom)
