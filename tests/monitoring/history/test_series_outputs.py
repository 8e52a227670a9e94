"""Tables, polygons and permits of a series, and what stays in its folder."""

import pytest

from .site_images import (
    CRS,
    HEIGHT,
    ORIGIN,
    PLAIN,
    RATES,
    WIDTH,
    YEARS,
    image_of,
    series_of,
    write_image,
)

# Of areas in the projection to those on the ground at the central meridian of UTM.
STRETCH = 0.9996**2


def test_tables_hold_the_ground_areas_of_the_maps(made):
    areas, changes = made.areas, made.changes
    assert areas["site"].unique().tolist() == ["Mine_7"]
    for row in areas.itertuples():
        assert row.pixels == (made.footprint(row.year) == 1).sum()
        assert row.area_ha == pytest.approx(row.pixels / 100 / STRETCH, abs=1e-4)
        assert row.known_share == 1
    for row in changes.itertuples():
        assert row.gain_ha == pytest.approx(
            (made.change(row.year_1, row.year_2) == 1).sum() / 100 / STRETCH, abs=1e-4
        )
        assert row.loss_ha == pytest.approx(
            (made.change(row.year_1, row.year_2) == 2).sum() / 100 / STRETCH, abs=1e-4
        )


def test_polygons_cover_what_the_maps_show(made):
    pytest.importorskip("geopandas")
    by_year = made.polygons().groupby("year")["area_ha"].sum()
    for row in made.areas.itertuples():
        assert by_year.get(row.year, 0) == pytest.approx(row.area_ha, rel=2e-3)
    assert set(made.polygons("changes")["kind"]) <= {"gain", "loss"}
    assert (made.path / "footprints.parquet").exists()


def test_what_an_earlier_series_left_in_the_folder_goes(place, mapper, tmp_path):
    series_of([mapper], place, tmp_path, smoothing="none", **PLAIN)
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    series_of([mapper], place, tmp_path, [2015, 2018], smoothing="none", **PLAIN)
    names = {path.name for path in tmp_path.iterdir()}
    assert "notes.txt" in names
    assert not [name for name in names if "2016" in name]


def test_permits_cut_out_what_they_allow(place, mapper, made, tmp_path):
    geopandas = pytest.importorskip("geopandas")
    from shapely.geometry import box

    # The upper half of the scene is permitted.
    half = box(ORIGIN[0], ORIGIN[1] - 10 * HEIGHT / 2, ORIGIN[0] + 10 * WIDTH, ORIGIN[1])
    path = tmp_path / "permits.geojson"
    geopandas.GeoDataFrame({"name": ["A"]}, geometry=[half], crs=CRS).to_crs("EPSG:4326").to_file(path)
    result = series_of([mapper], place, tmp_path / "out", smoothing="none", permits=path, **PLAIN)
    found = result.permits
    mined = found[found["kind"] == "mined"].groupby("year")["area_ha"].sum()
    for year in YEARS:
        expected = (made.footprint(year)[HEIGHT // 2 :] == 1).sum() / 100
        assert mined.get(year, 0) == pytest.approx(expected, rel=0.01, abs=0.05)
    page = result.report().read_text(encoding="utf-8")
    assert "Outside the permits" in page
    assert 'class="permit"' in page
    # Without permits nothing of theirs stays.
    series_of([mapper], place, tmp_path / "out", smoothing="none", **PLAIN)
    assert not list((tmp_path / "out").glob("permit*"))


@pytest.mark.parametrize("smoothing", ["none", "median", "viterbi"])
def test_the_known_share_is_what_the_image_showed_and_not_what_smoothing_filled_in(
    mapper, tmp_path, smoothing
):
    for year in (2015, 2016, 2017):
        image = image_of(year)
        if year == 2016:
            image[:, :, 24:] = -999  # three quarters of the 96 columns
        write_image(tmp_path / "mine" / "image" / f"Year{year}.tif", image, nodata=-999)
    result = series_of(
        [mapper], tmp_path / "mine", tmp_path / "out", smoothing=smoothing, rates=RATES, **PLAIN
    )
    assert result.areas["known_share"].tolist() == pytest.approx([1, 0.25, 1], abs=1e-3)
    assert result.changes["known_share"].tolist() == pytest.approx([0.25, 1, 0.25], abs=1e-3)
