"""What the sections say in the cases that the page of a common series does not show."""

import dataclasses

import pandas
import pytest
from PIL import ImageFile

from euromine.monitoring.history import folder_files
from euromine.monitoring.history.manifest import CompositeRecord, ModelRecord
from euromine.monitoring.reporting.area_section import area_section
from euromine.monitoring.reporting.caveat_section import caveat_section
from euromine.monitoring.reporting.change_section import change_section
from euromine.monitoring.reporting.coloured_maps import change_map
from euromine.monitoring.reporting.map_section import map_section
from euromine.monitoring.reporting.outside_sums import outside_sums
from euromine.monitoring.reporting.permit_section import permit_section
from euromine.monitoring.reporting.provenance_section import provenance_section
from euromine.monitoring.reporting.report_data import MappedChange, read_report_data
from euromine.monitoring.reporting.sections import SECTIONS
from euromine.monitoring.reporting.summary import summary
from euromine.monitoring.reporting.years_section import years_section
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import DataError, MissingExtraError

from .written_series import CRS, DASH, TRANSFORM, YEARS, write_series

DETECTOR = ModelRecord("changes", "org/tinycd", "tinycd", 300_000, ["B04", "B03"], "ffff")
PERMIT_COLUMNS = ["year", "kind", "area_ha", "longitude", "latitude", "year_1"]


@pytest.fixture
def data(series):
    return read_report_data(series)


def with_manifest(data, **fields):
    """The same series with another manifest."""
    folder = SeriesResult(data.folder.path)
    folder.manifest = dataclasses.replace(folder.manifest, **fields)
    return dataclasses.replace(data, folder=folder)


def with_model(data, **fields):
    (model,) = data.manifest.models
    return with_manifest(data, models=[dataclasses.replace(model, **fields)])


def setting(data, name):
    return dict(provenance_section(data).settings)[name]


def test_sections_are_independent_and_have_their_own_place():
    for names in ([section.id for section in SECTIONS], [section.template for section in SECTIONS]):
        assert len(names) == len(set(names))


# Summary


def test_change_of_unknown_direction_is_counted_apart(data):
    changes = {**data.changes, (2015, 2018): MappedChange(2.16, 0.4, 1.5)}
    found = summary(dataclasses.replace(data, changes=changes))
    assert found.lead.endswith(
        "Another 1.50 ha are mapped as changed, but the footprints do not show in which direction."
    )
    assert [(figure.name, figure.value, figure.note) for figure in found.figures][1:] == [
        ("Gained", "+2.16 ha", f"2015{DASH}2018"),
        ("Lost", "\N{MINUS SIGN}0.40 ha", f"2015{DASH}2018, no longer mined"),
        ("Changed", "1.50 ha", f"2015{DASH}2018, direction unknown"),
    ]


def test_changes_alone_that_leave_out_the_whole_period_are_counted(tmp_path):
    data = read_report_data(SeriesResult(write_series(tmp_path / "series", mapper=False)))
    changes = {pair: change for pair, change in data.changes.items() if pair != (2015, 2018)}
    found = summary(dataclasses.replace(data, changes=changes))
    assert found.lead == "Change was mapped for 2 pairs of years, from images of 3 years."
    assert found.figures == []


def test_a_latest_year_without_an_interval_is_unknown(data):
    area = dataclasses.replace(data.areas[2018], low_ha=None, high_ha=None)
    data = dataclasses.replace(data, areas={**data.areas, 2018: area})
    assert summary(data).figures[0].note == "estimate 6.34 ha; 95% interval unknown"
    assert area_section(data).curve.caption == "Area as mapped. Some years have no interval: see the table."


def test_a_latest_year_without_an_estimate_is_as_mapped(data):
    area = dataclasses.replace(data.areas[2018], adjusted_ha=None, low_ha=None, high_ha=None)
    found = summary(dataclasses.replace(data, areas={**data.areas, 2018: area}))
    assert found.figures[0].note == "as mapped"
    assert found.lead.startswith("In 2018, 5.76 ha are mapped as mined. Compared with 2015,")


def test_all_models_of_simulated_data_are_named(data):
    (model,) = data.manifest.models
    models = [dataclasses.replace(record, simulated=True) for record in (model, DETECTOR)]
    (notice,) = summary(with_manifest(data, models=models)).warnings
    assert notice.text == (
        "segformer-b0 and tinycd were trained on simulated images. Do not rely on this report for statements "
        "about a real mine."
    )


# Areas and changes


def test_years_that_were_not_compared_are_blank(data):
    changes = {(2015, 2018): data.changes[2015, 2018]}
    data = dataclasses.replace(data, changes=changes)
    section = change_section(data)
    assert [[cell.text for cell in row.cells] for row in section.rows] == [
        ["", "", "+2.16"],
        ["", "", ""],
        ["\N{MINUS SIGN}0.40", "", ""],
    ]
    assert section.caption.endswith("Pairs of years that were not compared are blank.")
    areas = area_section(data)
    assert areas.bars is None
    assert [row.gain for row in areas.rows] == ["", "", ""]


def test_the_matrix_says_when_it_leaves_change_out(data):
    changes = {**data.changes, (2015, 2018): MappedChange(2.16, 0.4, 1.5)}
    assert "Change of unknown direction is not included." in (
        change_section(dataclasses.replace(data, changes=changes)).caption
    )


def test_years_that_were_not_compared_have_no_map_of_changes(data):
    assert change_map(dataclasses.replace(data, changes={}), (60, 40)) is None


# Pictures


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (["B08", "B04", "B03"], "Images of bands B08, B04 and B03 in red, green and blue, with"),
        (["B08"], "Images of band B08 in grey, with"),
    ],
)
def test_pictures_name_their_bands(data, bands, words):
    scenes = [dataclasses.replace(scene, quicklook_bands=bands) for scene in data.manifest.scenes]
    assert years_section(with_manifest(data, scenes=scenes)).note.startswith(words)


@pytest.mark.parametrize("contents", [None, b"no picture", b"cut off"])
def test_a_missing_or_damaged_picture_is_named(tmp_path, monkeypatch, contents):
    # Many scripts ask Pillow for this, and WeasyPrint does: a cut picture is damaged all the same.
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = read_report_data(SeriesResult(write_series(tmp_path / "series")))
    path = data.folder.path / "quicklook_2016.png"
    whole = path.read_bytes()
    path.unlink()
    if contents is not None:
        path.write_bytes(whole[:200] if contents == b"cut off" else contents)
    found = "no such file" if contents is None else "a damaged picture"
    with pytest.raises(
        DataError, match=rf"quicklook_2016\.png: found {found}.* Run `euromine series` again\.$"
    ):
        years_section(data)


# Permits


def outside(data, *rows):
    """A series with these rows of a table of permits."""
    table = pandas.DataFrame(rows, columns=PERMIT_COLUMNS)
    return dataclasses.replace(data, outside=outside_sums([table], data.last_year))


def test_without_permits_there_is_no_section(data):
    assert permit_section(data) is None


def test_nothing_outside_is_said(data):
    data = with_manifest(data, settings={"permits": "permits.shp"})
    section = permit_section(outside(data))
    assert (
        section.summary == "No ground mapped as mined lies outside the outlines in permits.shp in any year."
    )
    assert section.years == section.places == []


def test_ground_outside_is_listed_without_a_verdict(data):
    data = with_manifest(data, settings={"permits": "permits.shp"})
    data = outside(
        data,
        (2016, "mined", 1.0, 1.2, 43.6, 0),
        (2018, "mined", 2.0, 1.25, 43.65, 0),
        (2018, "new", 0.5, 1.26, 43.66, 2016),
        *[(2018, "mined", 0.1, 1.2, 43.6, 0)] * 24,
    )
    section = permit_section(data)
    assert section.summary == (
        "In 2018, 4.40 ha mapped as mined lie outside the outlines in permits.shp, in 25 places. Summed "
        "over the years, 0.50 ha outside them are mapped as newly mined."
    )
    assert [(row.year, row.mined, row.new, row.places) for row in section.years] == [
        ("2016", "1.00", "0", "1"),
        ("2018", "4.40", "0.50", "25"),
    ]
    assert [(place.status, place.area, place.position) for place in section.places[:2]] == [
        ("mined", "2.00", "43.65000, 1.25000"),
        ("newly mined since 2016", "0.50", "43.66000, 1.26000"),
    ]
    assert len(section.places) == 25
    assert section.places_caption == "Places in 2018, the largest first. 1 more is listed in permits.csv."
    assert section.note == (
        "This comparison does not establish that any mining lacked permission. The outlines may be "
        "incomplete, outdated or displaced, the maps contain errors, and a pixel is 10 m wide. Check the "
        "images and the permits themselves before drawing conclusions."
    )


def test_ground_outside_adds_up_from_several_parts_of_the_table(data):
    rows = [
        (2018, "mined", 0.25, 1.1, 43.1, 0),
        (2016, "new", 2.0, 1.2, 43.2, 2015),
        (2018, "mined", 0.5, 1.3, 43.3, 0),
        (2018, "new", 0.25, 1.4, 43.4, 2016),
        (2018, "mined", None, 1.5, 43.5, 0),
        *[(2018, "mined", 0.125, 1.6, 43.6, 0)] * 24,
    ]
    parts = [pandas.DataFrame(rows[first : first + 2], columns=PERMIT_COLUMNS) for first in range(0, 29, 2)]
    section = permit_section(dataclasses.replace(data, outside=outside_sums(parts, 2018)))
    assert "In 2018, 3.75 ha mapped as mined" in section.summary  # 0.25 + 0.5 + 24 x 0.125
    assert "in 27 places. Summed over the years, 2.25 ha" in section.summary
    assert [(row.year, row.mined, row.new, row.places) for row in section.years] == [
        ("2016", "0", "2.00", "0"),
        ("2018", "3.75", "0.25", "27"),
    ]
    # The largest, and of equal ones the first.
    listed = [place.position.split()[1] for place in section.places]
    assert listed == ["1.30000", "1.10000", "1.40000", *["1.60000"] * 22]
    assert section.places_caption.endswith("3 more are listed in permits.csv.")


def test_only_outlines_of_the_last_year_are_drawn_some_at_a_time(tmp_path, monkeypatch):
    geopandas = pytest.importorskip("geopandas")
    from shapely import box

    path = write_series(tmp_path / "series")
    left, top = TRANSFORM[2], TRANSFORM[5]
    boxes = [box(left + 10 * n, top - 20, left + 10 * n + 5, top - 10) for n in range(12)]
    years, kinds = [2016, 2018, 2018] * 4, ["mined", "mined", "new"] * 4
    outside = geopandas.GeoDataFrame({"year": years, "kind": kinds}, geometry=boxes, crs=CRS)
    outside.to_file(path / "permits.gpkg")
    outside[:1].to_file(path / "permit_outlines.gpkg")
    monkeypatch.setattr(folder_files, "_OUTLINES", 2)
    data = read_report_data(SeriesResult(path))
    image = map_section(data).image
    for number, ring in zip([1, 4, 7, 10], image.outside.split("M")[1:], strict=True):
        points = [pair.split() for pair in ring.rstrip("z").split("L")]
        # The boxes are 10 m apart and 5 m wide; a pixel is 10 m.
        assert {float(x) for x, _ in points} == {number, number + 0.5}
        assert {float(y) for _, y in points} == {1.0, 2.0}
    parts = list(data.folder.outline_parts("permits.gpkg", {"year": 2018, "kind": "mined"}))
    assert [len(part) for part in parts] == [2, 2]
    with pytest.raises(DataError, match=r"permits\.gpkg: found no column month; expected kind and month"):
        list(data.folder.outline_parts("permits.gpkg", {"kind": "mined", "month": 1}))


def test_a_map_without_the_extra_for_permits_is_drawn_with_a_warning(tmp_path, monkeypatch, caplog):
    data = read_report_data(SeriesResult(write_series(tmp_path / "series")))
    for name in ("permits.gpkg", "permit_outlines.gpkg"):
        (data.folder.path / name).touch()

    def missing():
        raise MissingExtraError("polygons: found no geopandas; expected it.")

    monkeypatch.setattr("euromine.monitoring.reporting.map_section.require_geopandas", missing)
    image = map_section(data).image
    assert image.outside == image.permits == ""
    assert caplog.messages == [
        "The map does not show the permits: polygons: found no geopandas; expected it."
    ]


def test_damaged_outlines_of_permits_are_named(tmp_path):
    pytest.importorskip("geopandas")
    data = read_report_data(SeriesResult(write_series(tmp_path / "series")))
    for name in ("permits.gpkg", "permit_outlines.gpkg"):
        (data.folder.path / name).write_bytes(b"no geopackage")
    with pytest.raises(DataError, match=r"permits\.gpkg: found another format than GeoPackage, or a table"):
        map_section(data)


# How it was made


@pytest.mark.parametrize(
    ("settings", "detector", "change", "threshold"),
    [
        (
            {},
            False,
            "footprints of the two years compared (post-classification)",
            "mined above a probability of 0.5",
        ),
        (
            {"smoothing": "viterbi", "change_by": "posterior", "threshold": 0.4},
            False,
            "where change between the two years is more likely than not, given the images of all years",
            "0.4, not used with this smoothing",
        ),
        (
            {"smoothing": "viterbi", "change_by": "detector"},
            True,
            "located by a change detector; the footprints of both years give the direction",
            "changed above a probability of 0.5",
        ),
        (
            {"smoothing": "median", "change_by": "detector"},
            True,
            "located by a change detector; the footprints of both years give the direction",
            "mined or changed above a probability of 0.5",
        ),
    ],
)
def test_settings_say_how_change_was_found(data, settings, detector, change, threshold):
    models = [*data.manifest.models, *([DETECTOR] if detector else [])]
    data = with_manifest(data, models=models, settings=settings)
    assert setting(data, "Change") == change
    assert setting(data, "Threshold") == threshold


def test_switch_rates_are_part_of_the_smoothing(data):
    rates = {"expansion": 0.002, "reclamation": 0.03}
    data = with_manifest(data, settings={"smoothing": "viterbi", "rates": rates})
    assert setting(data, "Smoothing") == (
        "most probable history of each pixel (two-state hidden Markov model, Viterbi algorithm); 0.20% of "
        "other ground becomes mined in a year, 3.00% of mined ground is reclaimed"
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "not recorded in the checkpoint"),
        ({"dataset": "euromine", "level": "L2A"}, "euromine, L2A images"),
        ({"simulated": True}, "simulated data"),
        ({"dataset": "euromine"}, "euromine"),
        ({"dataset": "euromine", "simulated": True}, "euromine (simulated)"),
    ],
)
def test_training_data_is_named_as_far_as_it_is_known(data, fields, words):
    (model,) = provenance_section(with_model(data, **fields)).models
    assert dict(model.rows)["Trained on"] == words


# Limitations


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"scores": {}}, "The checkpoint of segformer-b0 reports no scores, so its accuracy is unknown."),
        (
            {"scores": {"of1": None}},
            "The checkpoint of segformer-b0 reports no scores, so its accuracy is unknown.",
        ),
        (
            {"scored_sites": None},
            "The checkpoint of segformer-b0 reports scores (of1 0.781), but not for how many sites.",
        ),
        (
            {"simulated": True},
            "segformer-b0 was trained on simulated data. Its accuracy on real mines is unknown.",
        ),
    ],
)
def test_accuracy_is_claimed_only_as_far_as_it_was_measured(data, fields, sentence):
    assert caveat_section(with_model(data, **fields)).caveats[0] == sentence


def test_areas_without_an_interval_give_the_reason_of_the_series(tmp_path):
    data = read_report_data(SeriesResult(write_series(tmp_path / "series", interval=False)))
    assert (
        caveat_section(data)
        .caveats[1]
        .endswith("no error counts are available for this model with these settings.")
    )
    reason = "The errors of the model were counted at a single site."
    data = with_manifest(data, confusion=[[1.0, 2.0], [3.0, 4.0]], caveats=[reason])
    assert caveat_section(data).caveats[1] == reason


def with_composites(data, shares):
    scenes = [
        dataclasses.replace(
            scene,
            level="L2A",
            composite=CompositeRecord(
                [f"{scene.year}-06-29", f"{scene.year}-08-08"], ["earth-search"], share
            ),
        )
        for scene, share in zip(data.manifest.scenes, shares, strict=True)
    ]
    return with_manifest(data, scenes=scenes)


def test_composites_tell_their_days_and_what_was_filled(data):
    section = provenance_section(with_composites(data, [0.054, 0.0002, 0.0]))
    assert [scene.composite for scene in section.scenes] == [
        "2 days, 2015-06-29 to 2015-08-08, earth-search; 5.4% filled",
        "2 days, 2016-06-29 to 2016-08-08, earth-search",
        "2 days, 2018-06-29 to 2018-08-08, earth-search",
    ]
    assert section.has_composites
    assert dict(section.settings)["Processing level"] == "L2A (surface reflectance)"
    assert not provenance_section(data).has_composites
    assert setting(data, "Processing level") == "not recorded in the images"


def test_clouds_of_composites_are_told_as_far_as_they_were_masked(data):
    caveats = caveat_section(with_composites(data, [0.054, 0.0002, 0.12])).caveats
    assert any("no clear day in 2015 (5.4%) and 2018 (12%)" in caveat for caveat in caveats)
    assert any(caveat.startswith("The images are medians of several days") for caveat in caveats)
    plain = caveat_section(data).caveats
    assert any("shadow are not masked" in caveat for caveat in plain)
    assert not any("clear day" in caveat for caveat in plain)


def test_years_without_the_radar_that_the_models_read_are_listed(data):
    first, second, *others = data.manifest.scenes
    scenes = [dataclasses.replace(first, radar=False), dataclasses.replace(second, radar=True), *others]
    caveats = caveat_section(with_manifest(data, scenes=scenes)).caveats
    assert [caveat for caveat in caveats if "radar" in caveat] == [
        "There is no radar image of 2015. These years are mapped with average backscatter, and may be mapped "
        "less accurately."
    ]


def test_several_resampled_or_missing_images_are_listed(data):
    scenes = [dataclasses.replace(scene, resampled="resampled bilinearly") for scene in data.manifest.scenes]
    caveats = caveat_section(with_manifest(data, scenes=scenes, missing_years=[2014, 2017])).caveats
    assert "There is no image of 2014 or 2017. Changes are mapped between years that have images." in caveats
    assert (
        "The images of 2015, 2016 and 2018 lie on a different grid and were resampled, which blurs detail "
        "by up to a pixel."
    ) in caveats


# Damaged tables


@pytest.mark.parametrize(
    ("name", "old", "new", "sentence"),
    [
        (
            "areas.csv",
            "low_ha",
            "lower",
            r"areas\.csv: found no column low_ha; expected the columns year, area_ha,",
        ),
        (
            "areas.csv",
            ",2016,",
            ",2026,",
            r"areas\.csv: found no row for 2016; expected one for each of 2015, 2016 and",
        ),
        (
            "changes.csv",
            ",2015,2018,",
            ",2015,2028,",
            r"changes\.csv: found no row for \(2015, 2018\); expected",
        ),
        (
            "changes.csv",
            ",2015,2018,",
            ",2015,x,",
            r"changes\.csv: found text among the numbers \(.*'x'.*\); expected",
        ),
    ],
)
def test_a_damaged_table_is_named(tmp_path, name, old, new, sentence):
    folder = write_series(tmp_path / "series")
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))
    with pytest.raises(DataError, match=sentence):
        read_report_data(SeriesResult(folder))


def test_a_single_year_has_areas_and_no_change(data):
    data = dataclasses.replace(
        with_manifest(data, years=[2015], pairs=[], missing_years=[]),
        areas={2015: data.areas[2015]},
        changes={},
    )
    assert change_section(data) is None
    assert map_section(data).coloured is None
    assert area_section(data).bars is None
    assert summary(data).title.endswith(", 2015")
    assert [picture.year for picture in years_section(data).pictures] == YEARS[:1]
