"""`euromine annotate` on the command line: pictures from an archive, labels back into it."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
import typer.testing

from euromine.commands import annotate, app
from euromine.dataset_script import Archive, write_site
from euromine.modeling import EuroMineImageProcessor, create_model

pytest.importorskip("geopandas")

TRANSFORM = (10, 0, 540_000, 0, -10, 5_260_000)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`EuroMineNet/` with Kiruna, a site of two years with labels; not to be written to."""
    root = tmp_path_factory.mktemp("archive") / "EuroMineNet"
    noise = np.random.default_rng(0)
    labels = np.zeros((2, 40, 50), np.uint8)
    labels[:, 5:20, 10:30] = 1
    labels[1, 10:14, 15:22] = 0
    images = noise.integers(200, 3000, (2, 10, 40, 50)).astype(np.int16)
    write_site(
        root,
        "Kiruna",
        images=images,
        labels=labels,
        years=[2020, 2021],
        crs="EPSG:32633",
        transform=TRANSFORM,
    )
    return root


@pytest.fixture
def archive(made: Path, tmp_path: Path) -> Path:
    """The same, without labels."""
    shutil.copytree(made, tmp_path / "EuroMineNet")
    shutil.rmtree(tmp_path / "EuroMineNet" / "Kiruna" / "label")
    return tmp_path / "EuroMineNet"


def run(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["annotate", *map(str, arguments)])


@pytest.mark.parametrize("form", ["mask", "polygon"])
def test_labels_go_out_and_come_back(form, made, archive, tmp_path):
    result = run("tasks", made, "--out", tmp_path / "tasks", "--from-labels", "--as", form, "--scale", 2)
    assert result.exit_code == 0, result.output
    assert f"Wrote 2 pictures of 2 images from 1 site to {tmp_path / 'tasks'}." in result.output
    assert "2 of them have shapes to start from" in result.output
    result = run("import", tmp_path / "tasks" / "prelabels_cvat.xml", archive)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    assert ["Kiruna", "2020", "1", "300", "3.00", "0"] in lines
    assert lines[3][3] == "272"
    with Archive(made).sites["Kiruna"].open() as before, Archive(archive).sites["Kiruna"].open() as after:
        for year in (2020, 2021):
            np.testing.assert_array_equal(after.read_label(year), before.read_label(year))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SegFormer that calls about half of the ground a mine."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    torch.manual_seed(0)
    sizes = {"hidden_sizes": [8] * 4, "num_attention_heads": [1] * 4, "depths": [1] * 4}
    network = create_model("segformer-b0", decoder_hidden_size=8, **sizes).eval()
    with torch.no_grad():
        logits = network(pixel_values=torch.randn(1, 10, 64, 64)).logits
        network.decode_head.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    network.save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


def test_a_model_draws_first(model, archive, tmp_path, caplog):
    """Uncorrected, the model's map becomes the label."""
    with rasterio.open(archive / "Kiruna" / "image" / "Year2020.tif", "r+") as dataset:
        dataset.nodata = 0
        dataset.write(np.zeros((10, 40, 50), np.int16))
    result = run("tasks", archive, "--out", tmp_path / "tasks", "--model", model)
    assert result.exit_code == 0, result.output
    assert not [each for each in caplog.records if each.name.endswith("scene_maps")]
    result = run("import", tmp_path / "tasks" / "prelabels_coco.json", archive)
    assert result.exit_code == 0, result.output
    maps = typer.testing.CliRunner().invoke(
        app,
        ["predict", str(model), str(archive / "Kiruna" / "image" / "Year2021.tif"), "--out", str(tmp_path)],
    )
    assert maps.exit_code == 0, maps.output
    with rasterio.open(tmp_path / "Year2021_footprint.tif") as dataset:
        expected = dataset.read(1)
    assert 0 < (expected == 1).sum() < expected.size
    with rasterio.open(archive / "Kiruna" / "label" / "Year2021.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)


def test_a_warning_of_all_images_is_given_once(caplog):
    logger, told = logging.getLogger("euromine.test"), annotate._Once()
    with caplog.at_level("INFO"):
        for year in (2020, 2021):
            with annotate._quiet(logger, told):
                logger.info("%s: mapped.", f"Year{year}.tif")
                logger.warning("%s: %s", f"Year{year}.tif", "L2A, but the model was trained on L1C")
                logger.warning("%s: cloudy in %d", f"Year{year}.tif", year)
        logger.info("after")
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "L2A, but the model was trained on L1C",
        "cloudy in 2020",
        "cloudy in 2021",
        "",
    ]


def test_the_report_names_what_was_made_and_left_out(files, tmp_path):
    root = tmp_path / "EuroMineNet"
    images = np.ones((2, 10, 12, 16), np.int16)
    labels = np.zeros((2, 12, 16), np.uint8)
    place = {"years": [2020, 2021], "crs": "EPSG:32633", "transform": TRANSFORM}
    write_site(root, "Testmine", images=images, labels=labels, **place)
    (tmp_path / "classes.yaml").write_text(
        "excavation: 1\ndumping_ground: 2\nsettling_pond: 3\ninfrastructure: 4\n"
    )
    options = ("--classes", tmp_path / "classes.yaml", "--overlap", "classes")
    result = run("import", files / "cvat_for_images_1.1.xml", root, *options)
    assert result.exit_code == 0, result.output
    for words in (
        "CVAT for images 1.1, imported as labels:",
        "dumping_ground: 0.22 ha",
        "Counted as mine: dumping_ground, excavation, infrastructure, settling_pond.",
        "Left out: lines: 1.",
        "Labels that are kept: Testmine 2020, Testmine 2021.",
    ):
        assert words in result.output


@pytest.fixture(scope="session")
def files(real_data: Path) -> Path:
    return real_data / "fixtures" / "annotations"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["tasks", "{archive}", "--out", "{archive}"],
            "found files in it; expected a new or an empty folder",
        ),
        (["tasks", "{archive}", "--out", "new", "--as", "lines"], "--as: found 'lines'"),
        (
            ["tasks", "{archive}", "--out", "new", "--model", "m", "--from-labels"],
            "--model: found --from-labels",
        ),
        (["tasks", "nowhere", "--out", "new"], "nowhere: found nothing there; expected the archive"),
        (["import", "missing.xml", "{archive}"], "missing.xml: found nothing there; expected annotations"),
        (["import", "missing.xml", "{archive}", "--year", "soon"], "--year: found 'soon'"),
        (["import", "missing.xml", "{archive}", "--site", "Kirun"], "--site: found 'Kirun'"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(arguments, words, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(*(argument.format(archive=archive) for argument in arguments))
    assert result.exit_code == 1
    assert words in str(result.exception)
    assert not (tmp_path / "new").exists()
