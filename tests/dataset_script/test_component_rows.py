"""The config `components`: every pixel as in the archive, beside the annual rows that it belongs to."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import rasterio

from euromine.dataset_script.archive import Archive
from euromine.dataset_script.archive_bands import NO_BACKSCATTER
from euromine.dataset_script.builder import EuroMine
from euromine.dataset_script.component_files import read_components
from euromine.dataset_script.component_layers import ComponentLayers
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, annual_label
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.support.errors import ArchiveError, DataError, DatasetError

from .conftest import SITES, TRANSFORM

pytestmark = [
    pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning"),
    pytest.mark.usefixtures("own_cache"),
]
# Austria_1 has components in all years, radar in one; Bulgaria_1 has values in one year; Czechia_2 has none.
WITH_COMPONENTS = {"Austria_1": (2015, 2016, 2017), "Bulgaria_1": (2016,)}
PLACE = {"crs": "EPSG:4326", "transform": TRANSFORM}
DRAWN = ("excavation", "dam")


def add_layers(root: Path, tiff_writer: Callable[..., Path]) -> Path:
    """Components, radar and facts beside the images of an archive."""
    for number, (site, height, width, _) in enumerate(SITES):
        for year in WITH_COMPONENTS.get(site, ()):
            random = np.random.default_rng([number, year])
            path = root / "EuroMineNet" / site / "components" / f"Year{year}.tif"
            if site == "Austria_1":
                bits = random.integers(0, 1 << 12, (1, height, width)) & random.integers(
                    0, 1 << 12, (1, height, width)
                )
                bits[0, :9, :5] = 1 << 15
                tiff_writer(path, bits.astype(np.uint16), **PLACE)
            else:
                values = random.choice(np.array([0, 1, 2, 255], np.uint8), (1, height, width))
                tiff_writer(path, values, **PLACE)
                with rasterio.open(path, "r+") as dataset:
                    dataset.update_tags(CLASSES=json.dumps({"Dam": 1, "excavation": 2}), ENCODING="values")
    radar = np.random.default_rng(0).integers(-2500, -500, (2, *SITES[0][1:3])).astype(np.int16)
    radar[:, :3] = NO_BACKSCATTER
    folder = root / "EuroMineNet" / "Austria_1"
    tiff_writer(folder / "radar" / "Year2016.tif", radar, nodata=NO_BACKSCATTER, **PLACE)
    (folder / "site.json").write_text('{"mine_type": "opencast", "material": "coal"}')
    return root


@pytest.fixture(scope="module")
def archive(
    small_archive: Path, tiff_writer: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    root = tmp_path_factory.mktemp("components") / "archive"
    shutil.copytree(small_archive, root)
    return add_layers(root, tiff_writer)


@pytest.fixture(scope="module")
def dataset(archive: Path, splits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "mines"
    return build_dataset(archive, folder, splits=splits, workers=1, progress=False)


def window_of(array: np.ndarray, row: dict) -> np.ndarray:
    """The patch of a row cut from its scene, which is repeated where it is too small."""
    rows = np.arange(row["top"], row["top"] + 160) % array.shape[-2]
    columns = np.arange(row["left"], row["left"] + 160) % array.shape[-1]
    return array[..., rows[:, None], columns]


def test_a_row_has_the_pixels_of_the_archive_and_of_its_annual_row(archive, dataset):
    found = {}
    for split in ("train", "test"):
        annual = read_dataset(dataset, "annual", split=split)
        places = {
            (row["patch_id"], row["year"]): number
            for number, row in enumerate(annual.select_columns(["patch_id", "year"]))
        }
        for row in read_dataset(dataset, "components", split=split):
            folder = archive / "EuroMineNet" / row["site"]
            bits, _ = read_components(folder / "components" / f"Year{row['year']}.tif")
            np.testing.assert_array_equal(row["components"], window_of(bits, row))
            beside = annual[places[row["patch_id"], row["year"]]]
            np.testing.assert_array_equal(row["image"], beside["image"])
            np.testing.assert_array_equal(row["label"], beside["label"])
            if (row["site"], row["year"]) == ("Austria_1", 2016):
                with rasterio.open(folder / "radar" / "Year2016.tif") as radar:
                    np.testing.assert_array_equal(row["radar"], window_of(radar.read(), row))
            else:
                assert (row["radar"] == NO_BACKSCATTER).all()
            found.setdefault((row["site"], row["year"]), []).append(row)
    assert set(found) == {(site, year) for site, years in WITH_COMPONENTS.items() for year in years}
    assert [len(found["Austria_1", year]) for year in (2015, 2016, 2017)] == [6, 6, 6]
    first = found["Austria_1", 2015][0]
    assert (first["mine_type"], first["material"]) == ("opencast", "coal")
    assert first["annotated"] == list(COMPONENT_CLASSES)
    other = found["Bulgaria_1", 2016][0]
    assert (other["mine_type"], other["annotated"]) == (None, list(DRAWN))


def test_streamed_rows_are_the_same(dataset):
    # Streamed pixels are lists, so that a whole image takes seconds to compare.
    for split, columns in (("train", ("patch_id", "year", "annotated", "radar")), ("test", None)):
        options = {"split": split, "years": [2016], "columns": columns}
        rows = read_dataset(dataset, "components", **options)
        streamed = list(read_dataset(dataset, "components", **options, streaming=True))
        assert len(streamed) == len(rows) > 0
        for row, other in zip(rows, streamed, strict=True):
            assert row.keys() == other.keys()
            for name, value in row.items():
                np.testing.assert_array_equal(other[name], value)


def test_rows_are_filtered_and_shuffled_like_others(dataset):
    rows = read_dataset(dataset, "components", split="train", columns=["patch_id", "year", "components"])
    by_place = {(row["patch_id"], row["year"]): row["components"] for row in rows}
    chosen = rows.shuffle(seed=1).filter(lambda year: year > 2015, input_columns="year")
    assert len(chosen) == 12
    batch = chosen[:5]
    assert batch["year"] != sorted(batch["year"])
    for name, year, bits in zip(batch["patch_id"], batch["year"], batch["components"], strict=True):
        assert bits.dtype == np.uint16
        np.testing.assert_array_equal(bits, by_place[name, year])


def test_any_reader_of_parquet_finds_the_annual_row(dataset):
    own = datasets.load_dataset(str(dataset), "components", split="train")
    annual = datasets.load_dataset(str(dataset), "annual", split="train")
    for row in own.select(range(0, len(own), 5)):
        beside = annual[row["row"]]
        assert (beside["patch_id"], beside["year"]) == (row["patch_id"], row["year"])
    assert np.asarray(own[0]["components"]).dtype == np.uint16
    assert own[0]["radar"] is None


def test_the_builder_and_the_zip_give_the_same_rows(archive, dataset, splits, tmp_path):
    path = tmp_path / "EuroMineNet.zip"
    with zipfile.ZipFile(path, "w") as opened:
        for file in sorted(archive.rglob("*")):
            opened.write(file, file.relative_to(archive))
    builder = EuroMine("components", archive=path, splits=splits, cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    for split in ("train", "test"):
        expected = datasets.load_dataset(str(dataset), "components", split=split)
        found = builder.as_dataset(split)
        assert found.data.table.to_pylist() == expected.data.table.to_pylist()


def test_statistics_and_card_count_owned_pixels_once(archive, dataset):
    statistics = json.loads((dataset / "statistics.json").read_text())["components"]
    scenes = {
        (site, year): read_components(archive / "EuroMineNet" / site / "components" / f"Year{year}.tif")[0]
        for site, years in WITH_COMPONENTS.items()
        for year in years
    }
    known = {place: bits[bits != 1 << 15] for place, bits in scenes.items()}
    for place, name in enumerate(COMPONENT_CLASSES):
        expected = sum(int((bits >> place & 1).sum()) for bits in known.values())
        assert statistics["classes"][name]["pixels"] == expected
    both = sum(int(((bits & 0b110) == 0b110).sum()) for bits in known.values())
    assert statistics["together"][1][2] == statistics["together"][2][1] == both
    assert statistics["splits"]["train"] == {
        "sites": 1,
        "rows": 18,
        "rows_with_radar": 6,
        "known_pixels": sum(bits.size for (site, _), bits in known.items() if site == "Austria_1"),
        "total_pixels": sum(
            int((bits > 0).sum()) for (site, _), bits in known.items() if site == "Austria_1"
        ),
    }
    assert statistics["classes"]["dam"]["annotated_sites"] == 2
    assert statistics["classes"]["outcrop"]["annotated_sites"] == 1
    assert statistics["mine_types"] == {"opencast": 1, "unknown": 1}
    card = (dataset / "README.md").read_text()
    assert "config_name: components" in card
    assert re.search(r"- deposits loses pixels where dumping_ground and stockpile overlap \(\d+\)", card)
    assert "\n\n\n" not in card


def test_without_components_a_dataset_keeps_its_bytes(archive, small_archive, splits, dataset, tmp_path):
    plain = build_dataset(small_archive, tmp_path / "a", splits=splits, workers=1, progress=False)
    skipped = build_dataset(
        archive, tmp_path / "b", splits=splits, skip_components=True, workers=1, progress=False
    )
    names = sorted(path.relative_to(plain) for path in plain.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(skipped) for path in skipped.rglob("*") if path.is_file())
    for name in names:
        assert (plain / name).read_bytes() == (skipped / name).read_bytes(), name
    for path in (plain / "data").rglob("*.parquet"):
        assert (dataset / path.relative_to(plain)).read_bytes() == path.read_bytes()
    with pytest.raises(DatasetError, match="found no data/components; expected a dataset whose archive has"):
        read_dataset(plain, "components", split="train")


def test_a_year_without_a_label_takes_that_of_its_components(archive, splits, tmp_path):
    root = tmp_path / "archive"
    shutil.copytree(archive, root)
    (root / "EuroMineNet" / "Austria_1" / "label" / "Year2016.tif").unlink()
    (root / "EuroMineNet" / "Bulgaria_1" / "label" / "Year2016.tif").unlink()
    assert Archive(root).sites["Austria_1"].unlabelled_years == (2016,)
    folder = build_dataset(root, tmp_path / "mines", splits=splits, workers=1, progress=False)
    for split, site in (("train", "Austria_1"), ("test", "Bulgaria_1")):
        rows = read_dataset(folder, "components", split=split, years=[2016])
        for row in rows:
            annotated = None if site == "Austria_1" else DRAWN
            np.testing.assert_array_equal(row["label"], annual_label(row["components"], annotated))
    derived = json.loads((folder / "statistics.json").read_text())["components"]["derived_labels"]
    assert derived == {"Austria_1": [2016], "Bulgaria_1": [2016]}
    assert "Labels derived from components" in (folder / "README.md").read_text()
    with pytest.raises(ArchiveError, match=r"found images without labels in Austria_1 \(2016\), Bulgaria_1"):
        build_dataset(root, tmp_path / "c", splits=splits, skip_components=True, workers=1, progress=False)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda write, site: write(
                site / "radar" / "Year2016.tif", np.ones((2, 215, 330), np.float32), **PLACE
            ),
            r"radar/Year2016.tif: found float32, as linear power or plain dB has; expected int16 VV",
        ),
        (
            lambda write, site: write(
                site / "radar" / "Year2016.tif", np.full((2, 215, 330), 90, np.int16), **PLACE
            ),
            r"radar/Year2016.tif: found a median of 90, not below 0 dB; expected backscatter in dB x 100",
        ),
        (
            # Linear power that was cast to integers.
            lambda write, site: write(
                site / "radar" / "Year2016.tif", np.zeros((2, 215, 330), np.int16), nodata=-32768, **PLACE
            ),
            r"radar/Year2016.tif: found a median of 0, not below 0 dB; expected backscatter in dB x 100",
        ),
        (
            lambda write, site: write(
                site / "radar" / "Year2016.tif", np.ones((1, 215, 330), np.int16), **PLACE
            ),
            "radar/Year2016.tif: found 1 band; expected int16 VV and VH in dB x 100",
        ),
        (
            lambda write, site: write(
                site / "components" / "Year2016.tif", np.ones((1, 9, 9), np.uint16), **PLACE
            ),
            "components/Year2016.tif: found 9 x 9 pixels; expected 215 x 330",
        ),
        (
            lambda write, site: write(
                site / "components" / "Year2014.tif", np.ones((1, 9, 9), np.uint16), **PLACE
            ),
            "components/Year2014.tif: found no image of the same year",
        ),
        (
            lambda write, site: (site / "site.json").write_text('{"mine_type": "opencas"}'),
            "site.json: mine_type: found 'opencas'; expected open-pit, opencast, mountain-top or null",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused_in_a_sentence(
    spoil, words, archive, splits, tiff_writer, tmp_path
):
    site = tmp_path / "archive" / "EuroMineNet" / "Austria_1"
    shutil.copytree(archive / "EuroMineNet" / "Austria_1", site)
    spoil(tiff_writer, site)
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": ["Austria_1"], "validation": [], "test": []}))
    with pytest.raises(DataError, match=words):
        build_dataset(tmp_path / "archive", tmp_path / "out", splits=splits, workers=1, progress=False)


def test_bands_of_radar_are_found_by_their_names(archive, dataset, tiff_writer, tmp_path):
    site_folder = tmp_path / "Austria_1"
    shutil.copytree(archive / "EuroMineNet" / "Austria_1", site_folder)
    path = site_folder / "radar" / "Year2016.tif"
    with rasterio.open(path) as opened:
        radar = opened.read()
    tiff_writer(path, radar[::-1], nodata=-32768, **PLACE)
    with rasterio.open(path, "r+") as opened:
        opened.descriptions = ("VH", "VV")
    site = Archive(tmp_path).sites["Austria_1"]
    with site.open() as scene, ComponentLayers(site, scene) as layers:
        np.testing.assert_array_equal(layers.read_radar(2016), radar)
        assert (layers.read_radar(2015) == NO_BACKSCATTER).all()


def test_zeros_of_a_radar_file_without_nodata_are_no_backscatter(archive, tiff_writer, tmp_path):
    site_folder = tmp_path / "Austria_1"
    shutil.copytree(archive / "EuroMineNet" / "Austria_1", site_folder)
    radar = np.full((2, 215, 330), -1200, np.int16)
    radar[:, :, 300:] = 0  # beyond the swath
    radar[0, 0, 0] = 0  # a bright target in one polarisation
    tiff_writer(site_folder / "radar" / "Year2016.tif", radar, **PLACE)
    site = Archive(tmp_path).sites["Austria_1"]
    with site.open() as scene, ComponentLayers(site, scene) as layers:
        found = layers.read_radar(2016)
    np.testing.assert_array_equal(found, np.where(np.arange(330) < 300, radar, NO_BACKSCATTER))
