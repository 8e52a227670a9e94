"""Pictures, tiles, printed maps and timelapses over HTTP."""

import dataclasses
import io
import math

import numpy as np
import pytest
from PIL import Image, ImageSequence

from euromine.app.layer_pictures import LayerYear, layer_image, transparent
from euromine.app.map_tiles import empty_tile, map_tile
from euromine.app.mercator import native_zoom, tile_grid
from euromine.app.picture_cache import PictureCache
from euromine.app.picture_layers import layer_of
from euromine.app.printed_maps import mappers_in_words
from euromine.monitoring.mapping.map_styles import CHANGE
from euromine.support.files import write_bytes

from .drawn_app import SECOND_ID, SITE_ID, YEARS

BASE = f"/api/sites/{SITE_ID}"


def opened(answer):
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))


def tile_at(place, key, zoom):
    """The number of the tile at the middle of the site."""
    west, south, east, north = layer_of(place, key).grid.degrees
    longitude, latitude = (west + east) / 2, math.radians((south + north) / 2)
    x = (longitude + 180) / 360 * 2**zoom
    y = (1 - math.asinh(math.tan(latitude)) / math.pi) / 2 * 2**zoom
    return int(x), int(y)


def test_pictures_come_with_their_type_and_an_etag_that_saves_the_second_one(client):
    answer = client.get(f"{BASE}/pictures/natural/2018.webp")
    assert opened(answer).format == "WEBP"
    assert answer.headers["content-type"] == "image/webp"
    held = client.get(f"{BASE}/pictures/natural/2018.webp", headers={"If-None-Match": answer.headers["etag"]})
    assert held.status_code == 304
    assert not held.content
    other = client.get(f"{BASE}/pictures/natural/2019.webp")
    assert other.headers["etag"] != answer.headers["etag"]
    small = opened(client.get(f"{BASE}/pictures/natural/2018.webp?side=64"))
    assert max(small.size) == 64


def test_every_layer_that_a_site_lists_has_its_pictures(client):
    for site in (SITE_ID, SECOND_ID):
        for layer in client.get(f"/api/sites/{site}").json()["layers"]:
            address = f"/api/sites/{site}/pictures/{layer['key']}/{layer['years'][-1]}.{layer['format']}"
            assert max(opened(client.get(address)).size) in (40, 72), address


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            f"{BASE}/pictures/nothing/2018.png",
            "layer: found 'nothing'; expected one of this site's: natural,",
        ),
        (f"{BASE}/pictures/natural/2017.webp", "year: found '2017'; expected one of 2018,"),
        (f"{BASE}/pictures/natural/2018.png", "suffix: found png; expected webp"),
        ("/api/sites/Elsewhere/pictures/natural/2018.png", "site: found no 'Elsewhere'"),
        (f"{BASE}/tiles/natural/2018/23/0/0.webp", "tile: found 23/0/0; expected a zoom"),
        (f"{BASE}/tiles/natural/2018/3/8/0.webp", "tile: found 3/8/0"),
        (f"{BASE}/tiles/natural/2018/3/-1/0.webp", "tile: found 3/-1/0"),
        (f"{BASE}/tiles/natural/2018/-1/0/0.webp", "tile: found -1/0/0"),
        (f"{BASE}/timelapse.gif?layer=change", "layer: found change, which has no single years"),
        (f"{BASE}/map.png?layer=natural&year=2018&compare=2017", "year: found '2017'"),
    ],
)
def test_unknown_names_are_not_found(client, address, words):
    answer = client.get(address)
    assert answer.status_code == 404
    assert words in answer.json()["error"]


def test_sizes_are_bounded(client):
    for address in ("pictures/natural/2018.webp?side=9000", "map.png?width=20000", "timelapse.gif?seconds=0"):
        assert client.get(f"{BASE}/{address}").status_code == 422, address
    assert client.get(f"{BASE}/tiles/natural/2018/3/0/0.webp?side=4096").status_code == 422


def test_a_tile_is_the_picture_of_its_ground(series_site):
    cache = PictureCache()
    for key, year in (("first_year", "all"), ("natural", 2018)):
        shown = LayerYear(series_site, layer_of(series_site, key), year, cache)
        zoom = native_zoom(shown.layer.grid) + 1
        x, y = tile_at(series_site, key, zoom)
        tile = tile_grid(zoom, x, y)
        with Image.open(io.BytesIO(map_tile(shown, zoom, x, y).data)) as file:
            found = np.asarray(transparent(file), int)
        expected = np.asarray(transparent(layer_image(shown, tile)), int)
        site = shown.layer.grid
        columns = tile.left + (np.arange(256) + 0.5) * (tile.right - tile.left) / 256
        rows = tile.top - (np.arange(256) + 0.5) * (tile.top - tile.bottom) / 256
        across = (columns > site.left) & (columns < site.right)
        down = (rows > site.bottom) & (rows < site.top)
        inside = down[:, None] & across & (expected[..., 3] > 0) & (found[..., 3] > 0)
        assert inside.sum() > 4000, key
        # WebP at the edge of an image keeps brightness better than colour; classes lose nothing.
        brightness = [each[..., :3].mean(axis=-1)[inside] for each in (found, expected)]
        assert np.abs(brightness[0] - brightness[1]).mean() < (6 if key == "natural" else 1e-9), key
        outside = ~(np.convolve(down, [1] * 3, "same") > 0)[:, None] | ~(
            np.convolve(across, [1] * 3, "same") > 0
        )
        assert not found[..., 3][outside].any(), key


def test_a_tile_inside_an_image_is_a_jpeg_within_a_step_of_the_picture(series_site):
    shown = LayerYear(series_site, layer_of(series_site, "natural"), 2018, PictureCache())
    zoom = 19
    x, y = tile_at(series_site, "natural", zoom)
    tile = map_tile(shown, zoom, x, y)
    assert tile.media_type == "image/jpeg"
    with Image.open(io.BytesIO(tile.data)) as file:
        found = np.asarray(file, int)
    expected = np.asarray(layer_image(shown, tile_grid(zoom, x, y)), int)
    # At quality 75 the coarsest step of brightness is about 14 (ITU T.81, table K.1, halved).
    assert np.abs(found.mean(axis=-1) - expected.mean(axis=-1)).max() < 14


def test_a_tile_far_outside_is_transparent(client):
    answer = client.get(f"{BASE}/tiles/natural/2018/5/0/0.webp")
    image = opened(answer)
    assert answer.headers["content-type"] == "image/png"
    assert image.size == (256, 256)
    assert not np.asarray(image.convert("RGBA"))[..., 3].any()
    assert len(empty_tile(512)) < 1000
    assert opened(client.get(f"{BASE}/tiles/natural/2018/5/0/0.webp?side=512")).size == (512, 512)


def test_an_image_that_was_replaced_gets_a_new_picture(own_app_folder):
    from starlette.testclient import TestClient

    from euromine.app.app_settings import AppSettings
    from euromine.app.server import create_app

    address = f"{BASE}/pictures/natural/2018.webp"
    with TestClient(create_app(AppSettings(folder=own_app_folder)), base_url="http://localhost") as client:
        before = client.get(address)
        image = own_app_folder / "images" / SITE_ID / "image" / "Year2018.tif"
        data = image.read_bytes()
        write_bytes(image, data)
        assert client.get(address).headers["etag"] != before.headers["etag"]
        image.unlink()
        assert client.get(address).status_code == 404


def test_a_printed_map_says_that_a_model_learned_from_simulated_images(series_site):
    manifest = series_site.series.manifest
    (model,) = manifest.models
    learned = dataclasses.replace(model, simulated=True)
    both = dataclasses.replace(manifest, models=[dataclasses.replace(model, simulated=None), learned])
    name = model.architecture
    assert mappers_in_words(both) == f"{name}, {name} (trained on simulated images)"


def test_a_printed_map_has_the_outlines_and_the_colours_of_its_legend(client):
    plain = np.asarray(opened(client.get(f"{BASE}/map.png?year=2018&width=800")), int)
    answer = client.get(f"{BASE}/map.png?year=2018&width=800&footprints=true&permits=true")
    outlined = np.asarray(opened(answer), int)
    assert plain.shape == outlined.shape
    assert plain.shape[1] == 800
    assert f'filename="{SITE_ID}_natural_2018.png"' in answer.headers["content-disposition"]
    outline = client.get("/api/portfolio").json()["colours"]["footprints"]
    colour = tuple(bytes.fromhex(outline.removeprefix("#")))
    drawn = (outlined == colour).all(axis=-1) & (outlined != plain).any(axis=-1)
    assert drawn.sum() > 500
    both = np.asarray(opened(client.get(f"{BASE}/map.png?year=2022&compare=2018&width=800")), int)
    assert both.shape[1] == 800
    assert both.shape[0] < plain.shape[0]
    change = np.asarray(opened(client.get(f"{BASE}/map.png?layer=change&year=2018-2022&width=800")), int)
    for each in CHANGE.classes:
        has_colour = (np.abs(change - each.colour).sum(axis=-1) == 0).any()
        assert has_colour or not each.is_shown, each.name


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_timelapse_has_a_frame_for_each_year(client, suffix):
    answer = client.get(f"{BASE}/timelapse.{suffix}?layer=natural&footprints=true&seconds=0.5")
    film = opened(answer)
    assert film.n_frames == len(YEARS)
    assert film.format == suffix.upper()
    frames = [
        (np.asarray(frame.convert("RGB"), int), frame.info["duration"])
        for frame in ImageSequence.Iterator(film)
    ]
    assert [duration for _, duration in frames] == [500] * (len(YEARS) - 1) + [1000]
    assert np.abs(frames[0][0] - frames[-1][0]).mean() > 2
    # The attribution below the picture is the same in all years.
    first, last = (frames[place][0][-40:] > 160 for place in (0, -1))
    assert (first == last).mean() > 0.98
    assert 0.02 < (~first).mean() < 0.3
