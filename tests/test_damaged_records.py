"""Records that a stranger, a full disk or an editor damaged end in a sentence, whatever is in them.

A sound record of each kind is changed at random places: other types, depths, huge numbers, NaN, missing and
additional fields, another root. Reading and using it may fail with an error that a user can mend, and with
nothing else.
"""

import contextlib
import copy
import dataclasses
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from euromine.dataset_script.build_record import read_build_record
from euromine.dataset_script.splits import split_sites
from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.history.calibration import Calibration
from euromine.monitoring.history.folder import SeriesFolder
from euromine.monitoring.history.manifest import Manifest, ModelRecord, SceneRecord
from euromine.monitoring.history.output_files import listed_files
from euromine.monitoring.history.switch_rates import SwitchRates
from euromine.monitoring.mapping.loading import load_model
from euromine.simulation import simulate_archive
from euromine.support.errors import EuroMineError
from euromine.support.records import read_record, record_to_json, write_record
from euromine.support.run_records import RunRecord, RunResults
from euromine.support.sidecars import read_sidecar

ODD: list[Any] = [
    None, True, 0, -1, 7, 2**63, -(2**70), 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "x", "a\0b",
    "\ud800", "../../etc/passwd", "http://127.0.0.1:9/", "9" * 5000, [], {}, [[]], [None], ["x"], {"a": {}},
    {"x": 1}, "DEEP", "1e400",
]  # fmt: skip
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def places(document: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    if isinstance(document, dict | list):
        keys = document if isinstance(document, dict) else range(len(document))
        for key in keys:
            yield from places(document[key], (*place, key))


def damage(document: Any, changes: list[tuple[int, int, str]]) -> bytes:
    """A document with values changed, removed, wrapped or added at some of its places."""
    document = copy.deepcopy(document)
    for where, what, how in changes:
        every = list(places(document))
        place, odd = every[where % len(every)], copy.deepcopy(ODD[what % len(ODD)])
        if not place:
            document = odd if how == "set" else document
            continue
        holder = document
        for key in place[:-1]:
            holder = holder[key]
        if how == "set":
            holder[place[-1]] = odd
        elif how == "remove":
            del holder[place[-1]]
        elif how == "wrap":
            holder[place[-1]] = [holder[place[-1]]]
        elif isinstance(holder, dict):
            holder["added"] = odd
        else:
            holder.append(odd)
    text = json.dumps(document).replace('"DEEP"', "[" * 700 + "]" * 700).replace('"1e400"', "1e400")
    return text.encode()


changes = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, len(ODD) - 1),
        st.sampled_from(["set", "set", "set", "remove", "wrap", "add"]),
    ),
    min_size=1,
    max_size=3,
)


def counts(classes: int) -> dict[str, Any]:
    return {"sites": ["a", "b"], "counts": [[[5] * classes] * classes] * 2}


RESULTS = {
    "task": "segmentation",
    "architecture": "unet",
    "model": {"repository": None, "folder": "/a/b", "class": "UNet", "parameters": 5},
    "scores": {"test": {"of1": 0.5}},
    "confidence": {"test": {"of1": [0.1, 0.2]}},
    "details": {"test": {"annual_f1": {"f1": [0.5]}}},
    "training": {
        "steps": 1,
        "epochs": 1.0,
        "best_step": None,
        "selected_by": None,
        "batch_size": 2,
        "precision": "float32",
        "arguments": {"seed": 0, "betas": [0.9, 0.999]},
    },
    "protocol": {
        "dataset": "d",
        "dataset_revision": None,
        "simulated": True,
        "digest": "x",
        "sites": {"train": ["a"], "test": ["b"]},
        "years": [2015],
        "bands": ["B02"],
        "statistics": "corrected",
        "recipe": "paper",
        "augmentation": True,
        "protocol": "corrected",
        "average": "site",
        "pretrained": None,
    },
    "versions": {"torch": "2"},
    "hardware": "cpu",
    "history": [{"loss": 1}],
}
RUN = {"task": "segmentation", "data": "d", "arguments": {"a": 1, "b": [1, {"c": 2}]}}
BUILD = {
    "dataset": "euromine",
    "simulated": True,
    "format": 1,
    "shard_bytes": 5,
    "files": "x",
    "splits": {"train": ["a"]},
}
CALIBRATION = {
    "format": "euromine-calibration",
    "version": 1,
    "dataset": "d",
    "simulated": True,
    "digest": "x",
    "split": "validation",
    "threshold": 0.5,
    "rates": {"expansion": 0.1, "reclamation": 0.1, "prior": 0.1},
    "footprints": {"none": counts(2)},
    "changes": {"none": {"1": counts(3)}},
}
STAC = {
    "type": "Feature",
    "id": "S2A_MSIL2A_20230101T100000_N0509_R1",
    "properties": {"datetime": "2023-01-01T10:00:00Z", "s2:processing_baseline": "05.09"},
    "assets": {
        "red": {
            "href": "./a.tif",
            "roles": ["data"],
            "eo:bands": [{"name": "B04"}],
            "raster:bands": [{"scale": 0.0001, "offset": -0.1, "nodata": 0}],
            "bands": [{"name": "red", "raster:scale": 0.0001}],
        }
    },
}
SERIES = {
    "format": "euromine-series",
    "version": 1,
    **dataclasses.asdict(
        Manifest(
            "Mine",
            [2015, 2016],
            [(2015, 2016)],
            "EPSG:32631",
            (10.0, 0.0, 356040.0, 0.0, -10.0, 4835680.0),
            60,
            40,
            [ModelRecord("footprints", "m", "unet", 5, ["B04"], "01ab", scores={"of1": 0.5})],
            [
                SceneRecord(year, "a.tif", 1, 1, ["B04"], ["Offset 0."], "EPSG:32631", "")
                for year in (2015, 2016)
            ],
            {"smoothing": "none", "threshold": 0.5},
            complete=True,
            files={"areas.csv": "ab"},
        )
    ),
}


def rewrite(kind: Any) -> Callable[[Path], None]:
    def use(path: Path) -> None:
        record = read_record(kind, path)
        write_record(path.with_name("again.json"), record)
        record_to_json(record)

    return use


def use_calibration(path: Path) -> None:
    calibration = Calibration.load(path)
    calibration.rates.transition(3)
    for confusion in (*calibration.footprints.values(), *calibration.changes.get("none", {}).values()):
        confusion.pooled()


def use_series(path: Path) -> None:
    listed_files(path.parent)
    folder = SeriesFolder(path.parent)
    repr(folder)
    folder.manifest.write(path.parent)


def use_splits(path: Path) -> None:
    split_sites(path)


def use_simulation(path: Path) -> None:
    with pytest.raises(EuroMineError):  # a sound one is of another size
        simulate_archive(path.parent, sites=["Austria_1"], years=[2015], size=(160, 160), workers=1)


RECORDS: dict[str, tuple[Any, Callable[[Path], Any]]] = {
    "run.json": (RUN, rewrite(RunRecord)),
    "metrics.json": (RESULTS, rewrite(RunResults)),
    "build.json": (BUILD, lambda path: read_build_record(path.parent)),
    "calibration.json": (CALIBRATION, use_calibration),
    "rates.json": (CALIBRATION["rates"], SwitchRates.load),
    "series.json": (SERIES, use_series),
    "splits.json": ({"train": ["a"], "validation": ["b"], "test": ["c"]}, use_splits),
    "simulation.json": ({"version": 9, "height": 9, "width": 9, "years": [2015], "seed": 0}, use_simulation),
    "a.json": (STAC, lambda path: read_sidecar(path.with_suffix(".tif"))),
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)


@pytest.mark.parametrize("name", RECORDS)
def test_a_sound_record_is_read(tmp_path: Path, name: str) -> None:
    document, use = RECORDS[name]
    (tmp_path / name).write_text(json.dumps(document))
    use(tmp_path / name)


@pytest.mark.parametrize("name", RECORDS)
@EXAMPLES
@given(changes)
def test_a_damaged_record_ends_in_a_sentence(
    tmp_path: Path, name: str, changes: list[tuple[int, int, str]]
) -> None:
    document, use = RECORDS[name]
    (tmp_path / name).write_bytes(damage(document, changes))
    with contextlib.suppress(EuroMineError, OSError):
        use(tmp_path / name)


@pytest.mark.parametrize("name", [name for name in RECORDS if name not in ("a.json", "simulation.json")])
def test_a_folder_in_the_place_of_a_record_is_no_lack_of_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises((EuroMineError, OSError)):
        RECORDS[name][1](tmp_path / name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    create_model("unet", widths=[4, 4, 8, 8, 8]).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
@EXAMPLES
@given(changes)
def test_a_damaged_checkpoint_ends_in_a_sentence(
    checkpoint: Path, name: str, changes: list[tuple[int, int, str]]
) -> None:
    sound = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(damage(json.loads(sound), changes))
    try:
        with contextlib.suppress(EuroMineError, OSError):
            load_model(checkpoint)
    finally:
        (checkpoint / name).write_bytes(sound)
