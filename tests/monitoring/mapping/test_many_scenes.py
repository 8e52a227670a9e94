"""Many scenes: checks before a model is loaded, and an outcome for each scene."""

import math
from pathlib import Path
from typing import Any

import pytest
from accelerate import PartialState

from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.mapping import many_scenes
from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.monitoring.mapping.many_scenes import Outcome, predict_scenes
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.errors import ArgumentError, BusyError, ModelError, SceneError
from euromine.support.locks import lock_folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"threshold": 1.0}, "threshold: found 1.0; expected a probability of at least 0 and below 1"),
        ({"threshold": math.nan}, "threshold: found nan"),
        ({"probability_type": "int8"}, "probability_type: found 'int8'; expected float32, uint16 or uint8"),
        ({"window": 100}, "window: found 100; expected a positive multiple of 32"),
        ({"overlap": 300}, "overlap: found 300; expected 0 to 256, half of the window"),
    ],
)
def test_settings_out_of_range_are_refused_before_a_model_is_loaded(
    tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        predict_scenes("no model", ["a.tif"], tmp_path / "maps", **settings)
    assert not (tmp_path / "maps").exists()


def test_scenes_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArgumentError, match=r"a/Year2015\.tif and .*b/Year2015\.tif, whose maps would have one name"
    ):
        predict_scenes("no model", [tmp_path / "a/Year2015.tif", tmp_path / "b/Year2015.tif"], tmp_path)
    with pytest.raises(ArgumentError, match="scenes: found none; expected at least one image"):
        predict_scenes("no model", [], tmp_path)


def test_an_outcome_is_a_map_or_a_sentence() -> None:
    assert Outcome("a.tif", footprint="a_footprint.tif").error is None
    assert Outcome("a.tif", error="why").footprint is None


def test_user_errors_become_outcomes_and_bugs_surface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Loaded:
        model = image_processor = None

    def map_scene(model: Any, image_processor: Any, path: str, out_dir: str, **_: Any) -> Path:
        if problem := problems.get(Path(path).stem):
            raise problem
        return Path(out_dir) / "map.tif"

    problems: dict[str, Exception] = {
        "b": SceneError("b.tif: found nothing; expected a scene."),
        "c": OSError(28, "no space left"),
    }
    monkeypatch.setattr(many_scenes, "_load", lambda *_: Loaded)
    monkeypatch.setattr(many_scenes, "predict_scene", map_scene)
    scenes = [tmp_path / f"{name}.tif" for name in "abc"]
    outcomes = predict_scenes("model", scenes, tmp_path)
    assert [outcome.path for outcome in outcomes] == list(map(str, scenes))
    assert [outcome.footprint for outcome in outcomes] == [str(tmp_path / "map.tif"), None, None]
    errors = [None, "b.tif: found nothing; expected a scene.", "no space left"]
    assert [outcome.error for outcome in outcomes] == errors
    problems["b"] = ValueError("a bug")
    with pytest.raises(ValueError, match="a bug"):
        predict_scenes("model", scenes, tmp_path)


def test_a_missing_int8_export_is_told_once_before_any_scene(tmp_path: Path) -> None:
    tiny = {"hidden_sizes": [8, 8, 8, 8], "depths": [1] * 4, "num_attention_heads": [1] * 4}
    create_model("segformer-b0", **tiny).save_pretrained(tmp_path / "model")
    EuroMineImageProcessor().save_pretrained(tmp_path / "model")
    scenes = [tmp_path / "a.tif", tmp_path / "b.tif"]
    with pytest.raises(ModelError, match="found no int8 export; expected one in openvino/int8"):
        predict_scenes(tmp_path / "model", scenes, tmp_path / "maps", engine=EngineChoice("openvino", "int8"))


@pytest.mark.parametrize(
    "variable", ["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"]
)
def test_every_launcher_of_several_processes_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    asked: list[bool] = []

    class Second:
        process_index, num_processes = 1, 2

        def __init__(self, cpu: bool, timeout: Any) -> None:
            asked.append(cpu)

    monkeypatch.setattr("accelerate.PartialState", Second)
    monkeypatch.setattr("accelerate.utils.gather_object", lambda outcomes: outcomes)
    monkeypatch.setattr(many_scenes.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(many_scenes, "_load", lambda *_: None)
    monkeypatch.setattr(many_scenes, "_run", lambda task, progress: Outcome(task.path))
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "2")
    scenes = [tmp_path / f"{name}.tif" for name in "abcd"]
    for scene, size in zip(scenes, (10, 40, 30, 20), strict=True):
        scene.write_bytes(bytes(size))
    shared = predict_scenes("model", scenes, tmp_path)
    # Of the sizes 40, 30, 20, 10 every second.
    assert [Path(outcome.path).stem for outcome in shared] == ["a", "c"]
    assert asked == [True]


def test_processes_that_cannot_reach_each_other_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # accelerate sets these, and keeps a state of the process.
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_PORT", "MASTER_ADDR"):
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    monkeypatch.setattr(PartialState, "_shared_state", {})
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1")
    monkeypatch.setattr(many_scenes.torch.cuda, "is_available", lambda: False)
    with pytest.raises(ArgumentError, match=r"found processes that cannot reach each other .*MASTER_ADDR"):
        predict_scenes("model", [tmp_path / "a.tif"], tmp_path)


def test_a_second_run_into_one_folder_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_scenes, "_load", lambda *_: pytest.fail("a model was loaded"))
    with lock_folder(tmp_path / "maps"), pytest.raises(BusyError, match="maps: found another run at work"):
        predict_scenes("model", [tmp_path / "a.tif"], tmp_path / "maps")


def test_the_first_process_locks_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = BusyError("maps: found another run at work; expected none.")
    second = many_scenes._Processes(1, 2, lambda own: [refused, *own])
    with pytest.raises(SystemExit) as end, many_scenes._hold(tmp_path / "maps", second):
        pytest.fail("the second process went on")
    assert end.value.code == 1
    assert not (tmp_path / "maps").exists(), "the second process locked the folder, too"


def test_what_a_killed_run_left_is_cleared_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many_scenes, "_load", lambda *_: None)
    monkeypatch.setattr(many_scenes, "_run", lambda task, progress: Outcome(task.path))
    kept = (".cache/rows.tif", ".photos.tif.partial/holiday.jpg", "a.tif.partial/rows.tif")
    for name in (".b_footprint.tif.partial/rows.tif", ".a_probability.tif.partial/copy.tif", *kept):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".c_footprint.tif.partial").mkdir()
    (tmp_path / ".d_footprint.tif.partial").symlink_to(tmp_path / ".cache")
    predict_scenes("model", [tmp_path / "a.tif"], tmp_path)
    left = {path.relative_to(tmp_path).parts[0] for path in tmp_path.iterdir()}
    assert left == {*(name.split("/")[0] for name in kept), ".d_footprint.tif.partial"}


def test_a_network_for_series_maps_scenes_one_by_one_and_says_so(
    tmp_path: Path, write_scene: Any, digital_numbers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = create_model("utae", encoder_widths=(8, 16), decoder_widths=(8, 16), model_width=16, num_heads=4)
    model.save_pretrained(tmp_path / "model")
    EuroMineImageProcessor().save_pretrained(tmp_path / "model")
    scenes = [write_scene(f"{year}.tif", digital_numbers(32, year - 1980)) for year in (2019, 2020)]
    options = SceneOptions(offset=0)
    outcomes = predict_scenes(tmp_path / "model", scenes, tmp_path / "maps", options=options)
    assert [Path(str(each.footprint)).name for each in outcomes] == [
        "2019_footprint.tif",
        "2020_footprint.tif",
    ]
    told = [record.message for record in caplog.records if "is a network for series" in record.message]
    assert len(told) == 1
    assert told[0].endswith("`euromine series` maps all years of a place together.")
