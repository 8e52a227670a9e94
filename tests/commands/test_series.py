"""The commands `series` and `report`: from a folder of images to a page, or a sentence."""

import re
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from rasterio import Affine

from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.support.errors import ArgumentError, RecordError

YEARS = (2015, 2016)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "segformer-tiny"
    torch.manual_seed(0)
    create_model(
        "segformer-b0",
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    ).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "Mine_3"
    folder.mkdir()
    profile = {
        "driver": "GTiff",
        "count": 10,
        "height": 40,
        "width": 50,
        "dtype": "int16",
        "crs": "EPSG:32633",
    }
    for year in YEARS:
        values = np.random.default_rng(year).integers(300, 3000, (10, 40, 50)).astype(np.int16)
        affine = Affine(10, 0, 500_000, 0, -10, 5_100_000)
        with rasterio.open(folder / f"mine_{year}-08-01.tif", "w", transform=affine, **profile) as file:
            file.write(values)
    return folder


def euromine(*arguments):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "euromine.commands", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_a_folder_of_images_becomes_a_page(checkpoint, images, tmp_path, euromine_here):
    out = tmp_path / "out"
    bands = ",".join(EuroMineImageProcessor().bands)
    done = euromine(
        "series", checkpoint, images, "--years", "2015-2017", "--out", out, "--bands", bands, "--offset", "0"
    )
    assert done.returncode == 0, done.stderr
    assert "Mine_3, 2 years, 1 change." in done.stdout
    assert "No image of 2017." in done.stdout
    assert "Traceback" not in done.stderr
    assert euromine_here("report", out)[0] == 0
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_images_without_band_names_are_refused_in_a_sentence(checkpoint, images, tmp_path, euromine_here):
    status, told = euromine_here("series", checkpoint, images, "--out", tmp_path / "out")
    assert status == 1
    last = told.strip().splitlines()[-1]
    assert re.fullmatch(
        r"euromine: .*mine_2015-08-01\.tif: found 10 bands without names; expected B02, .*--bands\.", last
    )
    assert "Traceback" not in told


def test_mistakes_are_reported_before_anything_is_loaded(tmp_path):
    from euromine.commands.report import report
    from euromine.commands.series import series

    with pytest.raises(ArgumentError, match="found no such file or folder; expected a folder with one im"):
        series("model", [str(tmp_path / "nothing")], tmp_path / "out")
    for text in ("mosaic.tif", "=2020", "mosaic.tif=20", "mosaic.tif=1870"):
        with pytest.raises(
            ArgumentError, match=f"--year-of: found '{text}'; expected NAME=YEAR, .* from 1900"
        ):
            series("model", [str(tmp_path)], tmp_path / "out", year_of=[text])
    with pytest.raises(ArgumentError, match="--smooth: found 'mean'; expected viterbi, median or none"):
        series("model", [str(tmp_path)], tmp_path / "out", smoothing="mean")
    with pytest.raises(ArgumentError, match="--years: found 2016-2015; expected ascending years"):
        series("model", [str(tmp_path)], tmp_path / "out", years="2016-2015")
    for setting, message in (("pairs", "found 'some'; expected all"), ("probability_type", "found 'some'")):
        with pytest.raises(ArgumentError, match=f"{setting}: {message}"):
            series("model", [str(tmp_path)], tmp_path / "out", **{setting: "some"})
    with pytest.raises(RecordError, match=r"found no series\.json"):
        report(tmp_path)
