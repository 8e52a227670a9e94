"""Sites without labels belong to an archive; rows and area tables are made of labelled years only."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from euromine.commands import app
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.builder import EuroMine
from euromine.dataset_script.labelled_sites import labelled_archive
from euromine.dataset_script.level_summary import summarise_levels
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.dataset_script.site_areas import areas_of, measure_archive
from euromine.dataset_script.site_shards import SiteRecord
from euromine.dataset_script.statistics import statistics_of
from euromine.support.errors import ArchiveError, ArgumentError, DatasetError

from .sound_site import IMAGE, LABEL, PLACE, open_site, refuse

Writer = Callable[..., Path]


@pytest.fixture
def mixed(site: Path, tiff_writer: Writer) -> Path:
    """An archive: Austria_1 lacks the label of 2016, Kiruna has no label, Kiruna has radar."""
    (site / "label" / "Year2016.tif").unlink()
    kiruna = site.with_name("Kiruna")
    tiff_writer(kiruna / "image" / "Year2015.tif", IMAGE + 1, **PLACE)
    tiff_writer(kiruna / "radar" / "Year2015.tif", IMAGE[:2], **PLACE)
    return site.parent


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": ["Austria_1"], "validation": [], "test": []}))
    return path


def test_a_site_without_labels_is_listed_with_its_images(mixed: Path) -> None:
    sites = Archive(mixed).sites
    assert list(sites) == ["Austria_1", "Kiruna"]
    kiruna, austria = sites["Kiruna"], sites["Austria_1"]
    assert (kiruna.years, kiruna.labelled_years, kiruna.unlabelled_years) == ((2015,), (), (2015,))
    assert (austria.years, austria.labelled_years, austria.unlabelled_years) == (
        (2015, 2016),
        (2015,),
        (2016,),
    )
    assert list(kiruna.radar_paths) == [2015]
    with kiruna.open() as scene:
        np.testing.assert_array_equal(scene.read_image(2015), IMAGE + 1)
        assert scene.labelled_years == ()


def test_a_year_without_a_label_has_no_empty_one(mixed: Path) -> None:
    refuse(mixed / "Kiruna", mixed / "Kiruna" / "image" / "Year2015.tif", "found no label", "Kiruna/label/")
    with open_site(mixed / "Austria_1") as scene:
        np.testing.assert_array_equal(scene.read_label(2015), LABEL[0] == 255)
        with pytest.raises(ArchiveError, match=r"Year2016\.tif: found no label of the same year"):
            scene.read_label(2016)


def test_a_zip_lists_sites_without_labels_too(mixed: Path, tmp_path: Path) -> None:
    path = shutil.make_archive(str(tmp_path / "archive"), "zip", mixed.parent, mixed.name)
    assert {name: site.labelled_years for name, site in Archive(path).sites.items()} == {
        "Austria_1": (2015,),
        "Kiruna": (),
    }


def test_other_files_beside_radar_images_are_ignored(site: Path, tiff_writer: Writer) -> None:
    tiff_writer(site / "radar" / "mean_of_all.tif", IMAGE[:2], **PLACE)
    (site / "radar" / "Year2016.txt").write_text("orbit 22")
    assert Archive(site.parent).sites["Austria_1"].radar_paths == {}


def test_building_names_the_sites_without_labels(mixed: Path, splits: Path, tmp_path: Path) -> None:
    out = tmp_path / "euromine"
    with pytest.raises(
        ArchiveError,
        match=re.escape(
            f"{mixed}: found images without labels in Austria_1 (2016), Kiruna (all years); expected a label "
            "of each image. Leave these images out with --skip-unlabelled"
        ),
    ):
        build_dataset(mixed, out, splits=splits, progress=False)
    with pytest.raises(ArchiveError, match="found images without labels"):
        EuroMine(archive=mixed, splits=splits)
    assert not out.exists()


def test_building_from_the_labelled_years_says_what_it_skips(
    mixed: Path, splits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    out = tmp_path / "euromine"
    build_dataset(mixed, out, splits=splits, skip_unlabelled=True, workers=1, progress=False)
    assert "Skipped, without labels: Austria_1 (2016), Kiruna (all years)." in caplog.messages
    rows = datasets.Dataset.from_parquet(
        str(next(out.glob("data/annual/*.parquet"))), cache_dir=str(tmp_path / "cache")
    )
    assert {(row["site"], row["year"]) for row in rows.select_columns(["site", "year"])} == {
        ("Austria_1", 2015)
    }
    statistics = json.loads((out / "statistics.json").read_text())
    assert statistics["unlabelled_years"] == {"Austria_1": [2016], "Kiruna": [2015]}
    assert "no labels: Austria_1 (2016), Kiruna (2015)." in (out / "README.md").read_text()
    streamed = EuroMine(archive=mixed, splits=splits, skip_unlabelled=True, cache_dir=str(tmp_path / "cache"))
    streamed.download_and_prepare()
    assert streamed.as_dataset("train").select_columns(["year"])[:] == {"year": [2015]}


def test_an_archive_without_any_label_cannot_be_built(mixed: Path) -> None:
    shutil.rmtree(mixed / "Austria_1")
    with pytest.raises(ArchiveError, match=r"found no label in Kiruna \(all years\); expected"):
        labelled_archive(Archive(mixed), skip_unlabelled=True)


def test_areas_are_those_of_the_labelled_years(mixed: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    (areas,) = measure_archive(Archive(mixed), "paper", workers=1, progress=False)
    assert (areas.site, areas.years, areas.mine.tolist()) == ("Austria_1", (2015,), [40 * 100.0])
    assert "Skipped, without labels: Austria_1 (2016), Kiruna (all years)." in caplog.messages
    with pytest.raises(ArchiveError, match="Kiruna: found no label"):
        areas_of(Archive(mixed).sites["Kiruna"])


def test_tables_say_what_is_not_measured(mixed: Path) -> None:
    result = CliRunner().invoke(app, ["tables", str(mixed), "--workers", "1"])
    assert "Not measured, without labels: Austria_1 (2016), Kiruna (all years)." in result.stdout


def test_tables_say_where_the_images_have_gaps(site: Path, tiff_writer: Writer) -> None:
    image = IMAGE.copy()
    image[:, :, 15:] = -1
    tiff_writer(site / "image" / "Year2016.tif", image, nodata=-1, **PLACE)
    result = CliRunner().invoke(app, ["tables", str(site.parent), "--workers", "1"])
    assert "Not measured, labelled 255 in parts: Austria_1 2016 (50.0%)." in result.stdout
    (areas,) = measure_archive(Archive(site.parent), "paper", workers=1, progress=False)
    assert areas.mine.tolist() == [40 * 100.0, 20 * 100.0]
    assert areas.lost.tolist() == [[0, 0], [0, 0]]


def test_band_statistics_need_no_labels(mixed: Path) -> None:
    statistics = statistics_of(Archive(mixed), ["Kiruna"])
    np.testing.assert_allclose(statistics.mean, (IMAGE + 1.0).mean(axis=(1, 2)), rtol=1e-12)


def test_a_year_with_gaps_is_built_with_255_there(
    site: Path, splits: Path, tiff_writer: Writer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = IMAGE + np.int16(100)
    image[:, :, 15:] = 0  # over a half of the mine, which is on columns 10 to 19
    tiff_writer(site / "image" / "Year2015.tif", image, nodata=0, **PLACE)
    out = build_dataset(site.parent, tmp_path / "euromine", splits=splits, workers=1, progress=False)
    assert any(
        "where labels are 255: Austria_1 2015 (50.0%). --years leaves" in each for each in caplog.messages
    )
    statistics = json.loads((out / "statistics.json").read_text())
    assert statistics["years"]["2015"]["labelled_pixels"] == 20 * 15
    assert statistics["years"]["2015"]["mine_pixels"] == 4 * 5
    assert statistics["years"]["2016"]["labelled_pixels"] == 20 * 30
    pixels = np.concatenate([image[:, :, :15].reshape(10, -1), IMAGE.reshape(10, -1)], axis=1)
    assert statistics["band_statistics"]["pixels"] == pixels.shape[1]
    np.testing.assert_allclose(statistics["band_statistics"]["mean"], pixels.mean(axis=1), rtol=1e-12)
    (row, later) = read_dataset(out, "annual", "train", columns=("image", "label"))
    gap = slice(15, 30)
    assert not np.asarray(row["image"])[:, :20, gap].any()
    assert (np.asarray(row["label"])[:20, gap] == 255).all()
    np.testing.assert_array_equal(np.asarray(row["label"])[:20, :15], LABEL[0, :, :15] // 255)
    np.testing.assert_array_equal(np.asarray(later["label"])[:20, :30], LABEL[0] // 255)
    (pair,) = read_dataset(out, "pairs", "train", columns=("owned_pixels", "change", "lost_pixels"))
    assert (pair["owned_pixels"], pair["lost_pixels"]) == (20 * 15, 0)
    assert (np.asarray(pair["change"])[:20, gap] == 255).all()


@pytest.mark.parametrize("zipped", [False, True])
def test_years_can_be_left_out(
    site: Path, splits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, zipped: bool
) -> None:
    archive = site.parent
    if zipped:
        archive = Path(
            shutil.make_archive(str(tmp_path / "archive"), "zip", site.parent.parent, site.parent.name)
        )
    options = {"splits": splits, "workers": 1, "progress": False}
    out = build_dataset(archive, tmp_path / "euromine", years=[2016, 2017], **options)
    assert any("no image of 2017." in each for each in caplog.messages)
    assert list(json.loads((out / "statistics.json").read_text())["years"]) == ["2016"]
    with pytest.raises(DatasetError, match="or with other options"):
        build_dataset(archive, out, **options)
    with pytest.raises(
        ArgumentError, match=r"--years: found 2030; expected some of 2015, 2016, the years in"
    ):
        build_dataset(archive, tmp_path / "other", years=[2030], **options)
    hashes = {EuroMine(archive=archive, splits=splits, years=years).hash for years in (None, [2015], [2016])}
    assert len(hashes) == 3


def test_a_built_dataset_records_the_level_of_its_images(site: Path, splits: Path, tmp_path: Path) -> None:
    for path in (site / "image").iterdir():
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(PROCESSING_LEVEL="Level-2A")
    out = tmp_path / "euromine"
    for _ in range(2):  # the second time, the dataset is recognised
        build_dataset(site.parent, out, splits=splits, workers=1, progress=False)
    record, statistics = (json.loads((out / name).read_text()) for name in ("build.json", "statistics.json"))
    assert (record["level"], record["level_source"]) == ("L2A", "images")
    assert (statistics["level"], statistics["sites"]["Austria_1"]["level"]) == ("L2A", "L2A")
    assert "L2A: surface reflectance, as recorded in the images." in (out / "README.md").read_text()
    with pytest.raises(
        ArgumentError, match=r"level: found L1C, but another level in the images of Austria_1"
    ):
        build_dataset(site.parent, tmp_path / "b", splits=splits, level="l1c", workers=1, progress=False)


def test_a_level_can_be_stated_for_images_that_record_none(site: Path, splits: Path, tmp_path: Path) -> None:
    out = tmp_path / "euromine"
    for _ in range(2):
        build_dataset(site.parent, out, splits=splits, level="l1c", workers=1, progress=False)
    record = json.loads((out / "build.json").read_text())
    assert (record["level"], record["level_source"]) == ("L1C", "option")
    assert "as stated by who built the dataset" in (out / "README.md").read_text()


def test_the_card_claims_no_sites_for_the_published_archive(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, site.with_name("Kiruna*"))
    for names in (["Kiruna*"], ["Austria_1", "Kiruna*"]):
        splits = tmp_path / "splits.json"
        splits.write_text(json.dumps({"train": names, "validation": [], "test": []}))
        if names == ["Kiruna*"]:
            shutil.move(site, tmp_path / "Austria_1")
        else:
            shutil.move(tmp_path / "Austria_1", site)
        out = tmp_path / f"of_{len(names)}"
        build_dataset(site.parent, out, splits=splits, workers=1, progress=False)
        card = (out / "README.md").read_text()
        assert "license: unknown" in card
        sites = "Its sites" if len(names) == 1 else "1 of 2 sites"
        assert f"{sites} are no part of EuroMineNet." in card
        assert "is known here:\nKiruna\\*.\n" in card
        assert "European" not in card.split("```bibtex")[0]
        assert ("The other sites are from the published archive" in card) == (len(names) == 2)


def test_a_dataset_of_several_levels_is_told(caplog: pytest.LogCaptureFixture) -> None:
    records = [
        SiteRecord("A", "A", [2015], levels=["L2A"]),
        SiteRecord("B", "B", [2015, 2016], levels=["L1C", "L2A"]),
        SiteRecord("C", "C", [2015]),
    ]
    summary = summarise_levels(records)
    assert (summary.level, summary.by_site) == ("mixed", {"A": "L2A", "B": "mixed", "C": None})
    assert "not of one processing level (sites: 1 L2A, 1 mixed, 1 unknown)" in caplog.text
    assert summarise_levels(records[2:]).level is None
