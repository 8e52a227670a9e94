"""Indices, water, reclamation and land taken of a small mine whose history is drawn by hand."""

import json
import shutil
from pathlib import Path

import geopandas
import geopandas.testing
import numpy as np
import pandas
import pytest
import rasterio
import shapely

from euromine.modeling import SEGMENTATION, EuroMineImageProcessor
from euromine.monitoring.history import (
    index_zones,
    land_cover,
    map_rows,
    outlined_maps,
    outside_parts,
    reclaimed_ground,
    yearly_indices,
    yearly_maps,
)
from euromine.monitoring.history.impact_settings import ImpactSettings
from euromine.monitoring.history.series import make_series
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.monitoring.history.yearly_images import find_scenes
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, DataError, SceneError

from .site_images import CRS, ORIGIN, series_of, write_image

YEARS = [2016, 2017, 2018, 2020, 2021]
HEIGHT, WIDTH = 40, 60
HECTARE_OF_PIXEL = 0.01 / 0.9996**2
# The mine: columns 10 to 30 from 2017 on; columns 10 to 20 are left from 2018 on.
LEFT, RIGHT, MIDDLE = 10, 30, 20
ROWS = slice(5, 25)
# NBR of the ground that is left, by year: forest, mine, then rows 5 to 14 recover and rows 15 to 24 do not.
NBR = {2016: (0.6, 0.6), 2017: (-0.2, -0.2), 2018: (-0.1, -0.1), 2020: (0.1, -0.1), 2021: (0.5, -0.2)}


def image_of_year(year: int) -> np.ndarray:
    """Ten bands, of which B01's stand-in, B02, marks the mine for the network."""
    image = np.full((10, HEIGHT, WIDTH), 1000, np.int16)
    set_index(image, slice(None), slice(None), 0.6)
    image[0] = 300
    if year >= 2017:
        image[0, ROWS, LEFT if year == 2017 else MIDDLE : RIGHT] = 3000
        set_index(image, ROWS, slice(MIDDLE, RIGHT), -0.2)
    upper, lower = NBR[year]
    set_index(image, slice(5, 15), slice(LEFT, MIDDLE), upper)
    set_index(image, slice(15, 25), slice(LEFT, MIDDLE), lower)
    if year == 2020:
        image[1, 20:25, 25:30] = 4000  # a pit lake: green above shortwave infrared
        image[8, 20:25, 25:30] = 400
    if year == 2021:
        image[:, 5:10, LEFT:MIDDLE] = -999  # clouds
    return image


def set_index(image: np.ndarray, rows: slice, columns: slice, nbr: float) -> None:
    """B08 and B12, the seventh and the last band, with this NBR to four digits."""
    image[6, rows, columns] = round(10_000 * (1 + nbr) / 2)
    image[9, rows, columns] = round(10_000 * (1 - nbr) / 2)


def square(left: int, top: int, right: int, bottom: int) -> shapely.Polygon:
    x, y = ORIGIN
    return shapely.box(x + 10 * left, y - 10 * bottom, x + 10 * right, y - 10 * top)


@pytest.fixture(scope="module")
def marked(network) -> LoadedModel:
    model = network(lambda pixel_values: (pixel_values[:, 0] - 1500) / 100)
    return LoadedModel("runs/marked", SEGMENTATION, model, EuroMineImageProcessor(do_normalize=False))


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place") / "Mine_3" / "image"
    for year in YEARS:
        write_image(folder / f"Year{year}.tif", image_of_year(year), nodata=-999)
    return folder.parent


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Outlines of reclaimed ground, reference ground, and land cover."""
    folder = tmp_path_factory.mktemp("given")
    outlines = geopandas.GeoDataFrame(
        {"name": ["=upper", "lower"], "start_year": [2018, None]},
        geometry=[square(LEFT, 10, MIDDLE, 15), square(LEFT, 15, MIDDLE, 25)],
        crs=CRS,
    )
    outlines.to_file(folder / "outlines.gpkg", driver="GPKG")
    reference = geopandas.GeoDataFrame(geometry=[square(40, 5, 50, 15)], crs=CRS)
    reference.to_file(folder / "reference.geojson", driver="GeoJSON")
    cover = np.full((1, HEIGHT, WIDTH), 10, np.uint8)
    cover[0, :, 25:] = 40
    write_image(folder / "ESA_WorldCover_10m_2015_v100_Map.tif", cover)
    return {path.suffix.removeprefix("."): path for path in folder.iterdir()}


SETTINGS = {"smoothing": "none", "window": 64, "overlap": 0, "pairs": "first-last"}


@pytest.fixture(scope="module")
def made(marked, images, files, tmp_path_factory):
    impact = ImpactSettings(
        indices="ndvi,mndwi,nbr", surroundings=35, reclamation=files["gpkg"], land_cover=files["tif"]
    )
    out = tmp_path_factory.mktemp("series") / "out"
    return series_of([marked], images, out, impact=impact, permits=files["gpkg"], **SETTINGS)


def table(result, name: str) -> pandas.DataFrame:
    return pandas.read_csv(result.path / f"{name}.csv")


def test_indices_are_mapped_with_names_where_the_maps_have_data(made):
    with rasterio.open(made.path / "indices_2021.tif") as file:
        assert file.descriptions == ("ndvi", "mndwi", "nbr")
        nbr = file.read(3)
    assert (nbr[5:10, LEFT:MIDDLE] == -32768).all()
    assert set(np.unique(nbr[10:15, LEFT:MIDDLE])) == {5000}
    assert set(np.unique(nbr[15:25, LEFT:MIDDLE])) == {-2000}


def test_zones_have_the_mean_and_spread_counted_pixel_by_pixel(made):
    found = table(made, "indices").set_index(["year", "zone", "polygon", "index"])
    footprint = made.footprint(2018) == 1
    assert footprint.sum() == 200
    with rasterio.open(made.path / "indices_2018.tif") as file:
        ndvi = file.read(1) * 1e-4
    rows, columns = np.nonzero(footprint)
    near = np.zeros_like(footprint)
    for row, column in np.ndindex(footprint.shape):
        near[row, column] = np.hypot(rows - row, columns - column).min() * 10 / 0.9996 <= 35
    for zone, mask in (("footprint", footprint), ("surroundings", near & ~footprint)):
        row = found.loc[(2018, zone, 0, "ndvi")]
        assert row["pixels"] == mask.sum()
        assert row["mean"] == pytest.approx(ndvi[mask].mean(), abs=1e-4)
        assert row["spread"] == pytest.approx(ndvi[mask].std(), abs=1e-4)
    of_polygon = found.loc[(2018, "polygon", 1, "ndvi")]
    assert of_polygon["mean"] == found.loc[(2018, "footprint", 0, "ndvi")]["mean"]
    cloudy = found.loc[(2021, "outline", 1, "nbr")]
    assert (cloudy["pixels"], cloudy["known_share"], cloudy["mean"]) == (50, 1, 0.5)
    assert found.loc[(2018, "outline", 2, "nbr")]["mean"] == -0.1
    assert (2016, "footprint", 0, "ndvi") in found.index
    assert found.loc[(2016, "footprint", 0, "ndvi")]["pixels"] == 0


def test_water_within_the_mine_is_mapped_and_measured(made):
    water = table(made, "water").set_index("year")
    assert water["water_ha"].tolist() == pytest.approx([0, 0, 0, 25 * HECTARE_OF_PIXEL, 0], abs=1e-3)
    assert water["mine_ha"].tolist() == pytest.approx(
        [pixels * HECTARE_OF_PIXEL for pixels in (0, 400, 400, 400, 400)], abs=1e-3
    )
    assert water["known_share"].tolist() == pytest.approx([0, 1, 1, 1, 350 / 400])
    with rasterio.open(made.path / "water_2020.tif") as file:
        assert file.read(1).sum() == 25
        assert file.tags(1)["CLASS_1"] == "water within the mine"


def test_ground_that_is_left_recovers_as_worked_out_by_hand(made):
    rows = table(made, "reclamation")
    total = rows[rows["zone"] == "all"].set_index("year")
    ground = [0, 0, 200, 200, 200]
    assert total["ground_ha"].tolist() == pytest.approx(np.array(ground) * HECTARE_OF_PIXEL, abs=1e-3)
    # The target is 0.6, 80 % of it 0.48. 2021: 50 pixels at 0.5, 50 in clouds, 100 fall for two years.
    assert total.loc[2020, "recovering_share"] == pytest.approx(0.5)
    assert total.loc[2021, "recovered_share"] == pytest.approx(0.25)
    assert total.loc[2021, "undecided_ha"] == pytest.approx(150 * HECTARE_OF_PIXEL, abs=1e-3)
    assert total.loc[2021, ["known_share", "target_share"]].tolist() == pytest.approx([0.75, 1])
    assert set(total["target"]) == {"before mining"}
    lower = rows[(rows["zone"] == "outline") & (rows["polygon"] == 2)].set_index("year")
    assert lower["dnbr"].fillna(9).tolist() == pytest.approx([9, 9, 0, 0, -0.1], abs=1e-3)
    assert lower.loc[2021, "yearly_rate"] == pytest.approx(-0.1 / 3, abs=1e-3)
    assert lower.loc[2021, "r80p"] == pytest.approx(-0.2 / 0.48, abs=1e-3)
    assert lower.loc[2021, "rri"] == pytest.approx(0, abs=1e-3)
    upper = rows[(rows["zone"] == "outline") & (rows["polygon"] == 1)].set_index("year")
    assert upper.loc[2021, ["dnbr", "r80p", "rri", "y2r"]].tolist() == pytest.approx(
        [0.6, 0.5 / 0.48, 0.6 / 0.7, 3], abs=1e-3
    )
    assert upper.loc[2020, "rri"] == pytest.approx(0.2 / 0.7, abs=1e-3)


def test_recovery_has_a_map_and_polygons_with_the_attributes_of_the_last_year(made):
    with rasterio.open(made.path / "reclamation.tif") as file:
        state = file.read(1)
    assert (state[10:15, LEFT:MIDDLE] == 1).all()
    assert (state[15:25, LEFT:MIDDLE] == 4).all()
    assert (state[5:10, LEFT:MIDDLE] == 4).all()  # in clouds
    assert not state[:, 30:].any()
    frame = geopandas.read_file(made.path / "reclamation.gpkg")
    assert frame["zone"].tolist() == ["mapped", "outline", "outline"]
    assert frame["name"].tolist() == ["", "=upper", "lower"]
    assert frame["recovered_share"].tolist()[1:] == pytest.approx([1, 0])
    assert (frame["year"] == 2021).all()


def test_land_taken_is_counted_by_class_and_year(made):
    rows = table(made, "land_cover")
    assert rows[["first_year", "code", "land_cover"]].values.tolist() == [
        [2017, 10, "Tree cover"],
        [2017, 40, "Cropland"],
    ]
    assert rows["area_ha"].tolist() == pytest.approx(
        [300 * HECTARE_OF_PIXEL, 100 * HECTARE_OF_PIXEL], abs=1e-3
    )


def test_the_manifest_lists_the_files_and_the_settings(made):
    manifest = made.manifest
    assert {"indices.csv", "water.csv", "land_cover.csv", "reclamation.gpkg"} <= set(manifest.files)
    assert {f"indices_{year}.tif" for year in YEARS} <= set(manifest.files)
    impact = manifest.settings["impact"]
    assert (impact["indices"], impact["surroundings"]) == (["ndvi", "mndwi", "nbr"], 35)
    assert impact["land_cover"]["year"] == 2015
    assert str(made.path.parent) not in json.dumps(impact)


def test_the_images_are_read_once_and_other_indices_leave_the_network_alone(
    made, marked, images, files, tmp_path, monkeypatch
):
    out = Path(shutil.copytree(made.path, tmp_path / "out"))
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    def never(*_, **__):
        raise AssertionError("the network or the images were read again")

    monkeypatch.setattr(yearly_maps, "predict_probability", never)
    with monkeypatch.context() as same:
        same.setattr(yearly_indices, "write_indices", never)
        same.setattr(reclaimed_ground, "BLOCK", 16)  # tiles of maps that are larger than these
        again = ImpactSettings(
            indices="ndvi,mndwi,nbr", surroundings=80, reclamation=files["gpkg"], land_cover=files["tif"]
        )
        series_of([marked], images, out, impact=again, **SETTINGS)
    assert (out / "reclamation.csv").read_text() == (made.path / "reclamation.csv").read_text()
    with (
        rasterio.open(out / "reclamation.tif") as state,
        rasterio.open(made.path / "reclamation.tif") as other,
    ):
        np.testing.assert_array_equal(state.read(), other.read())
    unchanged = [f"{name}_{year}.tif" for name in ("probability", "indices") for year in YEARS]
    assert all((out / name).stat().st_mtime_ns == before[name] for name in unchanged)
    result = series_of([marked], images, out, impact=ImpactSettings(indices="bsi"), **SETTINGS)
    with rasterio.open(out / "indices_2016.tif") as file:
        assert file.descriptions == ("bsi",)
    gone = ["water.csv", "water_2016.tif", "reclamation.gpkg", "reclamation.tif", "land_cover.csv"]
    assert not any((out / name).exists() for name in [*gone, "water_2016.qml"])
    assert (out / "probability_2016.tif").stat().st_mtime_ns == before["probability_2016.tif"]
    assert not set(gone) & set(result.manifest.files)


def test_a_few_rows_and_polygons_at_a_time_give_the_same_as_whole_maps(
    made, marked, images, files, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    out.mkdir()
    for path in made.path.glob("*_20??.tif"):
        shutil.copy(path, out)
    asked = []
    for module in (index_zones, reclaimed_ground, land_cover, map_rows):
        read = module.read_raster

        def read_noted(dataset, path, window, *rest, read=read, **options):
            asked.append(window[0][1] - window[0][0])
            return read(dataset, path, window, *rest, **options)

        monkeypatch.setattr(module, "read_raster", read_noted)
    monkeypatch.setattr(index_zones, "ROWS_MEMORY", 1)
    monkeypatch.setattr(map_rows, "ROWS_MEMORY", 1)
    monkeypatch.setattr(reclaimed_ground, "BLOCK", 8)
    monkeypatch.setattr(land_cover, "_BLOCK", 8)
    monkeypatch.setattr(land_cover, "_READ_PIXELS", 8)
    monkeypatch.setattr(outlined_maps, "_ROWS", 8)
    monkeypatch.setattr(outlined_maps, "_PIXELS", 1)
    monkeypatch.setattr(outside_parts, "_CORNERS", 1)
    impact = ImpactSettings(
        indices="ndvi,mndwi,nbr", surroundings=35, reclamation=files["gpkg"], land_cover=files["tif"]
    )
    found = series_of([marked], images, out, impact=impact, permits=files["gpkg"], **SETTINGS)
    assert max(asked) == 8
    for name in ("water", "reclamation", "land_cover", "permits"):
        assert (out / f"{name}.csv").read_text() == (made.path / f"{name}.csv").read_text()
    # Blocks of other rows change the last digits of sums, which the table may round the other way.
    indices, expected = table(found, "indices"), table(made, "indices")
    pandas.testing.assert_frame_equal(indices, expected, atol=1e-4)
    for name in ("reclamation", *(f"water_{year}" for year in YEARS)):
        with rasterio.open(out / f"{name}.tif") as new, rasterio.open(made.path / f"{name}.tif") as old:
            np.testing.assert_array_equal(new.read(), old.read())
    for name in ("reclamation", "permits"):
        frames = (geopandas.read_file(folder / f"{name}.gpkg") for folder in (out, made.path))
        geopandas.testing.assert_geodataframe_equal(*frames)


def test_indices_are_mapped_while_the_network_reads(made, marked, images, tmp_path, monkeypatch):
    def never(*_, **__):
        raise AssertionError("the images were read again")

    monkeypatch.setattr(yearly_indices, "write_indices", never)
    impact = ImpactSettings(indices="ndvi,nbr")
    windows = {"smoothing": "none", "window": 32, "overlap": 8, "pairs": "first-last"}
    result = series_of([marked], images, tmp_path / "out", impact=impact, **windows)
    for year in YEARS:
        with (
            rasterio.open(result.path / f"indices_{year}.tif") as found,
            rasterio.open(made.path / f"indices_{year}.tif") as expected,
        ):
            np.testing.assert_array_equal(found.read(), expected.read([1, 3]))


def test_reference_ground_replaces_the_value_before_mining(marked, images, files, tmp_path):
    impact = ImpactSettings(indices="nbr", reference=files["geojson"])
    result = series_of([marked], images, tmp_path / "out", impact=impact, **SETTINGS)
    rows = table(result, "reclamation")
    assert set(rows["target"]) == {"reference ground"}
    total = rows[rows["zone"] == "all"].set_index("year")
    assert total.loc[2021, "recovered_share"] == pytest.approx(0.25)


def test_a_detector_alone_has_indices_of_the_whole_scene(detector, images, tmp_path):
    impact = ImpactSettings(indices="ndvi,mndwi,nbr")
    result = series_of([detector], images, tmp_path / "out", impact=impact, **SETTINGS)
    rows = table(result, "indices")
    assert set(rows["zone"]) == {"scene"}
    assert rows.set_index(["year", "index"]).loc[(2021, "nbr"), "known_share"] == pytest.approx(
        1 - 50 / 2400, abs=1e-4
    )
    assert not (result.path / "water.csv").exists()
    assert not (result.path / "reclamation.csv").exists()


# Wrong input


def test_outlines_of_another_place_are_refused(marked, images, tmp_path):
    far = geopandas.GeoDataFrame(geometry=[shapely.box(0, 5e6, 100, 5.0001e6)], crs=CRS)
    far.to_file(tmp_path / "far.gpkg", driver="GPKG")
    impact = ImpactSettings(reclamation=tmp_path / "far.gpkg")
    with pytest.raises(DataError, match=r"far\.gpkg: found outlines of another place; expected reclaimed"):
        series_of([marked], images, tmp_path / "out", impact=impact, **SETTINGS)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [1999, "soon"])
def test_a_start_outside_the_series_is_refused(marked, images, tmp_path, value):
    frame = geopandas.GeoDataFrame({"start_year": [value]}, geometry=[square(10, 5, 20, 15)], crs=CRS)
    frame.to_file(tmp_path / "given.gpkg", driver="GPKG")
    impact = ImpactSettings(reclamation=tmp_path / "given.gpkg")
    with pytest.raises(DataError, match=rf"found the start_year '?{value}'?; expected a year of the series"):
        series_of([marked], images, tmp_path / "out", impact=impact, **SETTINGS)


def test_bare_reference_ground_is_refused(marked, images, tmp_path):
    frame = geopandas.GeoDataFrame(geometry=[square(22, 8, 28, 15)], crs=CRS)
    frame.to_file(tmp_path / "bare.gpkg", driver="GPKG")
    impact = ImpactSettings(indices="nbr", reference=tmp_path / "bare.gpkg")
    with pytest.raises(DataError, match=r"found no pixel with data that was never mined in it; expected"):
        series_of([marked], images, tmp_path / "out", impact=impact, **SETTINGS)


def test_a_band_that_is_missing_is_named_with_its_index(marked, tmp_path):
    for year in (2016, 2017):
        write_image(tmp_path / "Mine" / f"{year}.tif", image_of_year(year)[:8])
    model = LoadedModel(
        "runs/marked",
        SEGMENTATION,
        marked.model,
        EuroMineImageProcessor(bands=("B02",), source_bands=("B02",), do_normalize=False),
    )
    impact = ImpactSettings(indices="ndvi,mndwi")
    options = SceneOptions(("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A"), 1e-4, 0)
    with pytest.raises(SceneError, match=r"2016\.tif: found no band B11; expected it for mndwi\. .* ndvi\."):
        make_series(
            [model],
            find_scenes(tmp_path / "Mine", options=options),
            tmp_path / "out",
            SeriesSettings(impact=impact, **SETTINGS),
            options=options,
        )


def test_footprints_are_needed_for_reclamation_and_land_cover(detector, images, files, tmp_path):
    for name, option in (("gpkg", "reclamation"), ("tif", "land_cover")):
        with pytest.raises(
            ArgumentError, match=r"found a change detector alone; expected a footprint mapper"
        ):
            series_of(
                [detector],
                images,
                tmp_path / "out",
                impact=ImpactSettings(**{option: files[name]}),
                **SETTINGS,
            )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"indices": "ndvi,mdwi"}, r"indices: found 'mdwi'; .* of which mndwi is the nearest"),
        ({"surroundings": 0}, r"surroundings: found 0; expected metres above 0"),
        ({"land_cover_year": 2015}, r"land_cover: found its legend or year without the raster"),
        ({"reference": Path("a.gpkg")}, r"reference: found reference ground, but no recovery"),
    ],
)
def test_settings_of_no_use_are_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        ImpactSettings(**settings)
