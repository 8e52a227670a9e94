"""The parts of `euromine demo` that its train scripts, tested elsewhere, do not cover."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from euromine.commands import demo, demo_training
from euromine.commands.demo_training import Trainings
from euromine.dataset_script.archive import Archive
from euromine.dataset_script.site_scene import Site
from euromine.support.errors import ArgumentError, BusyError
from euromine.support.locks import lock_folder


def test_sites_of_the_benchmark_take_its_corrected_split(tmp_path: Path) -> None:
    # Greece_3 is in the corrected split alone; an archive is listed without a look into its files.
    for kind in ("image", "label"):
        file = tmp_path / "EuroMineNet" / "Greece_3" / kind / "Year2015.tif"
        file.parent.mkdir(parents=True)
        file.touch()
    assert demo._choose_splits(Archive(tmp_path), tmp_path) == "corrected"


def test_other_sites_are_trained_on_but_for_the_last_fifth(real_data: Path, tmp_path: Path) -> None:
    # The first name of the real archive trains and the second tests, as the issue asks.
    path = demo._choose_splits(Archive(real_data / "real_archive"), tmp_path)
    splits = json.loads(Path(path).read_text(encoding="utf-8"))
    assert splits == {"train": ["France_1"], "validation": [], "test": ["Slovenia_1"]}


@pytest.mark.parametrize(("steps", "evaluations"), [(240, 3), (250, 3), (2, 2), (1, 1)])
def test_a_training_is_evaluated_three_times_at_most(steps: int, evaluations: int) -> None:
    command = demo_training.train_command(
        "train_cd", "tinycd", Path("data"), Path("run"), {"max_steps": steps}
    )
    options = dict(zip(command[3::2], command[4::2], strict=True))
    # transformers evaluates every so many steps, and after the last one in any case.
    every = int(options["--eval_steps"])
    assert len({*range(every, steps + 1, every), steps}) == evaluations
    assert options["--save_steps"] == options["--eval_steps"]


@pytest.fixture
def trainings(tmp_path: Path) -> Trainings:
    return Trainings(tmp_path / "data", tmp_path, {"segformer-b0": 1, "tinycd": 1}, seed=0)


def stand_in(monkeypatch: pytest.MonkeyPatch, **programs: str) -> None:
    """Programs in place of the train scripts: Python, which may use `out`, the folder of the run."""
    commands = {
        script: [sys.executable, "-c", f"import pathlib, sys, time; {program}"]
        for script, program in programs.items()
    }
    monkeypatch.setattr(
        demo_training,
        "train_command",
        lambda script, name, data, out, settings: [*commands[script], str(out)],
    )
    monkeypatch.setattr(demo_training, "read_record", lambda kind, path: path)


def test_both_networks_train_at_once_and_the_detectors_output_follows(
    trainings: Trainings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started = tmp_path / "started"
    wait = f"any(time.sleep(0.01) for _ in iter(pathlib.Path({str(started)!r}).exists, True))"
    stand_in(
        monkeypatch,
        train_seg=f"{wait}; print('mapper')",
        train_cd=f"pathlib.Path({str(started)!r}).touch(); print('detector')",
    )
    with trainings.detector_beside() as detector:
        assert trainings.train_segmenter(detector) == tmp_path / "segformer-b0" / "metrics.json"
        assert capfd.readouterr().out.split() == ["mapper"]
        assert detector.results() == tmp_path / "tinycd" / "metrics.json"
    assert capfd.readouterr().err.split() == ["detector"]


@pytest.mark.parametrize("failing", ["train_seg", "train_cd"])
def test_a_training_that_fails_ends_the_other(
    failing: str, trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    programs = {"train_seg": "time.sleep(600)", "train_cd": "time.sleep(600)"}
    stand_in(monkeypatch, **{**programs, failing: "sys.exit('no memory')"})
    name = {"train_seg": "segformer-b0", "train_cd": "tinycd"}[failing]
    with (
        pytest.raises(OSError, match=f"Training {name} ended with exit status 1; its messages are above"),
        trainings.detector_beside() as detector,
    ):
        trainings.train_segmenter(detector)
    assert "no memory" in "".join(capfd.readouterr())


def test_a_detector_that_fails_after_the_mapper_is_reported(
    trainings: Trainings, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in(monkeypatch, train_seg="", train_cd="time.sleep(0.5); sys.exit('no memory')")
    with trainings.detector_beside() as detector:
        trainings.train_segmenter(detector)
        with pytest.raises(OSError, match="Training tinycd ended with exit status 1; its messages are above"):
            detector.results()
    assert "no memory" in capfd.readouterr().err


def test_gained_and_lost_pixels_have_their_own_colours() -> None:
    first = np.array([[0, 0, 1, 1]], np.uint8)
    last = np.array([[0, 1, 0, 1]], np.uint8)
    colours = demo._gained_and_lost(first, last)
    assert colours.tolist() == [[[0, 0, 0], [230, 120, 20], [40, 110, 220], [255, 255, 255]]]


@pytest.mark.parametrize("years", [2, 10])
def test_the_picture_shows_any_number_of_years(years: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((years, 40, 50)) < 0.3).astype(np.uint8)
    scene = demo._Scene(
        site="Spain_1",
        years=tuple(range(2015, 2015 + years)),
        images=rng.integers(0, 3000, (years, 10, 40, 50)).astype(np.int16),
        labels=labels,
        crs="EPSG:32630",
        transform=(10.0, 0.0, 500000.0, 0.0, -10.0, 4500000.0),
    )
    path = tmp_path / "demo.png"
    demo._draw(scene, 1 - labels, labels[0], path, simulated=True)
    with Image.open(io.BytesIO(path.read_bytes())) as picture:
        assert picture.format == "PNG"
        # Every truth pixel is missed and all else found wrongly: the palette's green and red are there.
        found = {
            colour for _, colour in picture.convert("RGB").getcolors(picture.width * picture.height) or []
        }
    assert {(255, 0, 0), (0, 255, 0), demo._GAINED, demo._LOST} <= found
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_with_files_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("mine")
    with pytest.raises(ArgumentError, match=r"found metrics\.json, which no demo wrote"):
        demo.demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.json"]
    (tmp_path / "euromine").mkdir()
    (tmp_path / "euromine" / "build.json").touch()
    demo._check_own(tmp_path)


def test_a_second_demo_in_one_folder_is_refused(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(BusyError, match="found another run at work"):
        demo.demo(tmp_path)


def test_a_history_is_not_made_from_within_a_zip_file(tmp_path: Path) -> None:
    site = Site("Spain_1", "Spain", {2015: "/vsizip/archive.zip/Spain_1/image/Year2015.tif"}, {})
    assert demo._write_history(site, tmp_path, simulated=False) is False
    assert list(tmp_path.iterdir()) == []
