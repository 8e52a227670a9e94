"""The folder of an app with two small sites drawn by hand: series, images, permits, a watch."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from rasterio import Affine

from euromine.modeling import BANDS, SEGMENTATION, EuroMineImageProcessor
from euromine.monitoring.history.impact_settings import ImpactSettings
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.watch.alert_pictures import write_pictures
from euromine.watch.alerts import Alert, alert_id
from euromine.watch.series_facts import SeriesFacts
from euromine.watch.watch_state import WatchState

from ..monitoring.band_networks import COMPONENT_BANDS, component_network  # noqa: TID252

SITE, SECOND = "Pit_7", "Grube <b>Süd</b>"
SITE_ID, SECOND_ID = "Pit_7", "Grube-b-Sud-b"
YEARS = (2018, 2019, 2021, 2022)
SECOND_YEARS = (2020, 2021)
HEIGHT, WIDTH = 48, 72
LEFT, TOP, CRS = 500_000.0, 5_100_000.0, "EPSG:32633"
TRANSFORM = Affine(10, 0, LEFT, 0, -10, TOP)
DEGREES = Affine(0.0001, 0, 10.0, 0, -0.0001, 50.0)
NO_DATA = -999
HIGH = 900
"""Digital number of a component in its band; the network maps it above 500."""

# Rows and columns of each component by year, as slices. The heap is gone by 2021, the pit moves east.
EXCAVATION = {
    2018: (slice(8, 28), slice(8, 28)),
    2019: (slice(8, 28), slice(8, 36)),
    2021: (slice(8, 28), slice(20, 48)),
    2022: (slice(8, 28), slice(20, 56)),
}
DUMP = {
    2018: (slice(0, 0), slice(0, 0)),
    2019: (slice(30, 36), slice(8, 20)),
    2021: (slice(30, 40), slice(8, 30)),
    2022: (slice(30, 40), slice(8, 30)),
}
HEAP = {
    2018: (slice(32, 40), slice(40, 52)),
    2019: (slice(32, 40), slice(40, 52)),
    2021: (slice(0, 0), slice(0, 0)),
    2022: (slice(0, 0), slice(0, 0)),
}
CLOUDS = {2021: (slice(0, 6), slice(60, 72))}
# The outline of the permit, as pixels: left, top, right, bottom.
PERMIT = (6, 6, 40, 42)
TIME = datetime(2026, 3, 1, 6, tzinfo=UTC)


def mined(year: int) -> np.ndarray:
    """The mined pixels of the first site in a year, bool (height, width)."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for parts in (EXCAVATION, DUMP, HEAP):
        mask[parts[year]] = True
    return mask


def image_of(year: int) -> np.ndarray:
    """Ten bands of the first site, int16: dark plants with noise, components, clouds without data."""
    image = np.random.default_rng(year).integers(60, 140, (10, HEIGHT, WIDTH)).astype(np.int16)
    band = {name: place for place, name in enumerate(BANDS)}
    image[band["B08"]] += 250  # plants: NDVI and NBR above 0, below what counts as mined
    for name, parts in (("B02", EXCAVATION), ("B03", DUMP), ("B04", HEAP)):
        image[band[name]][parts[year]] = HIGH
    image[band["B08"]][mined(year)] = HIGH
    image[band["B12"]][mined(year)] = 2 * HIGH
    if year in CLOUDS:
        image[:, *CLOUDS[year]] = NO_DATA
    return image


def second_image(year: int) -> np.ndarray:
    """Ten bands of the second site: a square that grows."""
    image = np.random.default_rng(year).integers(60, 140, (10, 32, 40)).astype(np.int16)
    side = 8 if year == SECOND_YEARS[0] else 12
    for name in ("B02", "B08"):
        image[BANDS.index(name), 10 : 10 + side, 10 : 10 + side] = HIGH
    return image


def write_image(path: Path, image: np.ndarray, crs: str, transform: Affine) -> None:
    """A GeoTIFF; of ten bands, they are named and clouds are without data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = image.shape
    profile = {"crs": crs, "transform": transform, "dtype": image.dtype}
    if count == len(BANDS):
        profile["nodata"] = NO_DATA
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, **profile) as file:
        file.write(image)
        if count == len(BANDS):
            file.descriptions = BANDS


def square(left: int, top: int, right: int, bottom: int) -> shapely.Polygon:
    """Pixels of the first site as a polygon in its coordinate system."""
    return shapely.box(LEFT + 10 * left, TOP - 10 * bottom, LEFT + 10 * right, TOP - 10 * top)


def component_mapper() -> LoadedModel:
    """A mapper of three components, and of mined ground as their total."""
    processor = EuroMineImageProcessor(bands=COMPONENT_BANDS, do_normalize=False)
    return LoadedModel("runs/components", SEGMENTATION, component_network(), processor)


def write_app_folder(folder: Path) -> Path:
    """`sites/` with two series, `images/` with those of the first site, `watch/` with its state."""
    mapper = component_mapper()
    _write_given(folder / "given")
    images = folder / "images" / SITE
    for year in YEARS:
        write_image(images / "image" / f"Year{year}.tif", image_of(year), CRS, TRANSFORM)
    impact = ImpactSettings(
        indices=("ndvi", "mndwi", "nbr"),
        surroundings=60,
        land_cover=folder / "given" / "ESA_WorldCover_10m_2015_v100_Map.tif",
    )
    common = {"smoothing": "none", "window": 96, "overlap": 0}
    permits = folder / "given" / "permits.gpkg"
    settings = SeriesSettings(permits=permits, impact=impact, simulated=True, site=SITE, **common)
    out = folder / "sites" / SITE
    make_series([mapper], find_scenes(images, None), out, settings)
    elsewhere = folder.parent / "elsewhere"
    for year in SECOND_YEARS:
        write_image(elsewhere / "image" / f"Year{year}.tif", second_image(year), "EPSG:4326", DEGREES)
    settings = SeriesSettings(site=SECOND, simulated=False, **common)
    make_series([mapper], find_scenes(elsewhere, None), folder / "sites" / "second", settings)
    _write_watch(folder, images)
    return folder


def _write_given(folder: Path) -> None:
    folder.mkdir(parents=True)
    permits = geopandas.GeoDataFrame({"name": ["Licence 1"]}, geometry=[square(*PERMIT)], crs=CRS)
    permits.to_file(folder / "permits.gpkg", engine="pyogrio")
    cover = np.full((1, HEIGHT, WIDTH), 10, np.uint8)
    cover[0, :, 30:] = 40
    write_image(folder / "ESA_WorldCover_10m_2015_v100_Map.tif", cover, CRS, TRANSFORM)


def _write_watch(folder: Path, images: Path) -> None:
    """A configuration, and a state with a confirmed, a suspected and a resolved alert."""
    from euromine.monitoring.history.folder import SeriesFolder

    (folder / "watch.yaml").write_text(
        f"folder: watch\nmodel: model\nsites:\n"
        f"  - {{name: {SITE}, images: images/{SITE}, permits: given/permits.gpkg}}\n"
    )
    watch = folder / "watch"
    watch.mkdir()
    series = SeriesFolder(folder / "sites" / SITE)
    facts = SeriesFacts(SITE, series, {year: f"Year{year}.tif@{year}" for year in YEARS})
    grown = facts.new_outside(2022)[0]
    place = grown.representative_point()
    longitude, latitude = facts.degrees(place).coords[0]
    outside = Alert(
        id=alert_id(SITE, "outside_permit", "a"),
        site=SITE,
        rule="outside_permit",
        status="confirmed",
        year=2021,
        last_year=2022,
        before_year=2019,
        sentence="Mined ground of 1.60 ha outside the outlines given is new since 2021 (image of 2022).",
        area_ha=facts.hectares(grown),
        low_ha=1.2,
        high_ha=2.1,
        interval="half a pixel along the edge",
        longitude=longitude,
        latitude=latitude,
        geometry=facts.degrees(grown).__geo_interface__,
        images=["Year2021.tif@2021", "Year2022.tif@2022"],
        models=facts.models,
        permits="permits.gpkg@0123456789ab",
        simulated=True,
    )
    growth = Alert(
        id=alert_id(SITE, "growth", "b"),
        site=SITE,
        rule="growth",
        status="suspected",
        year=2022,
        last_year=2022,
        before_year=2021,
        sentence="Mined area grew by 1.60 ha (1.20 to 2.00 ha) from 2021 to 2022.",
        area_ha=1.6,
        longitude=longitude,
        latitude=latitude,
        geometry=facts.degrees(grown).__geo_interface__,
        simulated=True,
    )
    gone = Alert(
        id=alert_id(SITE, "no_data", "2020"),
        site=SITE,
        rule="no_data",
        status="resolved",
        year=2020,
        last_year=2020,
        before_year=None,
        sentence="The latest image is of 2019-08-01, 500 days ago.",
        simulated=True,
    )
    scenes = {year: images / "image" / f"Year{year}.tif" for year in YEARS}
    with WatchState(watch) as state:
        state.begin_run(TIME)
        with state.transaction():
            for number, alert in enumerate((gone, growth, outside)):
                state.put_alert(alert, TIME + timedelta(days=number))
            state.review(outside.id, "confirmed", "A. Berg", "Seen on the image of 2022.", TIME)
        state.end_run(TIME, TIME + timedelta(minutes=3), [])
    write_pictures(facts, outside, scenes, watch / "pictures")
