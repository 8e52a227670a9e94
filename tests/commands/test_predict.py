"""`euromine predict` on the command line, with tiny SegFormers."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
import typer.testing
from numpy.typing import NDArray

from euromine.commands import app
from euromine.modeling import BANDS, EuroMineImageProcessor, create_model
from euromine.monitoring.mapping.many_scenes import _load
from euromine.support.errors import EuroMineError

TINY = {
    "hidden_sizes": [8, 8, 8, 8],
    "num_attention_heads": [1, 1, 1, 1],
    "depths": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}
TRANSFORM = rasterio.Affine(10, 0, 300_000, 0, -10, 5_000_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SegFormer with weights of chance."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    torch.manual_seed(0)
    create_model("segformer-b0", **TINY).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def _no_model_is_kept() -> Iterator[None]:
    yield
    _load.cache_clear()


def write_scene(path: Path, height: int = 70, width: int = 90, seed: int = 0, **profile: Any) -> Path:
    """Noise in ten named bands, unsigned."""
    image = np.random.default_rng(seed).integers(1, 4000, (10, height, width)).astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {"crs": "EPSG:32633", "transform": TRANSFORM, "count": 10, "dtype": "uint16", **profile}
    with rasterio.open(path, "w", driver="GTiff", height=height, width=width, **fields) as dataset:
        dataset.write(image[: fields["count"]].astype(fields["dtype"]))
        dataset.descriptions = BANDS[: fields["count"]]
    return path


def run(*arguments: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["predict", *map(str, arguments)])


def read(path: Path) -> NDArray[Any]:
    with rasterio.open(path) as dataset:
        values: NDArray[Any] = dataset.read(1)
        return values


def names(folder: Path) -> list[str]:
    """The maps in a folder, beside each of which lies its style."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    maps = [name for name in found if not name.endswith(".qml")]
    assert [name for name in found if name not in maps] == [f"{Path(name).stem}.qml" for name in maps]
    return maps


def test_scenes_are_mapped_as_the_network_predicts(model: Path, tmp_path: Path) -> None:
    """A scene that fits one window: what the network makes of it whole, mirrored beyond its borders."""
    from transformers import AutoModelForSemanticSegmentation

    scene = write_scene(tmp_path / "mine.tif")
    result = run(model, scene, "--out", tmp_path / "maps", "--probability", "--offset", 0)
    assert result.exit_code == 0, result.output
    assert f"Mapped 1 of 1 scenes to {tmp_path / 'maps'}." in result.output
    assert names(tmp_path / "maps") == ["mine_footprint.tif", "mine_probability.tif"]
    with rasterio.open(scene) as dataset:
        image = dataset.read()
    mirrored = np.pad(image, ((0, 0), (32, 160 - 70 - 32), (32, 160 - 90 - 32)), mode="reflect")
    pixel_values = EuroMineImageProcessor()(mirrored, return_tensors="pt").pixel_values
    with torch.no_grad():
        outputs = AutoModelForSemanticSegmentation.from_pretrained(model)(pixel_values=pixel_values)
    expected = (
        EuroMineImageProcessor()
        .post_process_semantic_segmentation(outputs, [mirrored.shape[1:]], probabilities=True)[0][1]
        .numpy()[32:102, 32:122]
    )
    probability = read(tmp_path / "maps" / "mine_probability.tif")
    np.testing.assert_allclose(probability, expected, atol=1e-5)
    np.testing.assert_array_equal(read(tmp_path / "maps" / "mine_footprint.tif"), probability > 0.5)


def test_a_type_of_probabilities_without_them_is_refused(tmp_path: Path) -> None:
    result = run("no model", "no.tif", "--out", tmp_path / "maps", "--probability-type", "uint8")
    assert str(result.exception) == (
        "--probability-type: found uint8 without a map of probability; expected one. Add --probability."
    )


def test_a_model_that_answers_the_same_everywhere_gives_it_everywhere(tmp_path: Path, logit: float) -> None:
    network = create_model("segformer-b0", **TINY)
    with torch.no_grad():
        network.decode_head.classifier.weight.zero_()
        network.decode_head.classifier.bias.copy_(torch.tensor([0, logit]))
    network.save_pretrained(tmp_path / "model")
    EuroMineImageProcessor().save_pretrained(tmp_path / "model")
    scene = write_scene(tmp_path / "mine.tif", 203, 131)
    layout = ("--window", 96, "--overlap", 32)
    result = run(
        tmp_path / "model", scene, "--out", tmp_path / "maps", "--probability", "--offset", 0, *layout
    )
    assert result.exit_code == 0, result.output
    assert np.unique(read(tmp_path / "maps" / "mine_probability.tif")).tolist() == [np.float32(0.7)]
    assert np.unique(read(tmp_path / "maps" / "mine_footprint.tif")).tolist() == [1]


@pytest.fixture
def logit() -> float:
    """The float32 whose sigmoid is that of 0.7."""
    found = np.float32(np.log(0.7 / 0.3))
    assert torch.full((64,), float(found)).sigmoid()[0].item() == np.float32(0.7)
    return float(found)


def test_options_replace_missing_metadata(model: Path, tmp_path: Path) -> None:
    """Reflectance from 0 to 1 in other bands' company gives the map that digital numbers give."""
    scene = write_scene(tmp_path / "mine.tif")
    with rasterio.open(scene) as dataset:
        image = dataset.read()
    profile = {
        "height": 70,
        "width": 90,
        "count": 12,
        "dtype": "float32",
        "crs": "EPSG:32633",
        "transform": TRANSFORM,
    }
    with rasterio.open(tmp_path / "other.tif", "w", driver="GTiff", **profile) as dataset:
        extra = np.zeros((1, 70, 90), np.float32) + 7
        dataset.write(np.concatenate([extra, image[::-1] / np.float32(10_000), extra]))
    out = tmp_path / "maps"
    assert run(model, scene, "--out", out, "--probability", "--offset", 0).exit_code == 0
    order = ",".join(["-", *reversed(BANDS), "-"])
    result = run(model, tmp_path / "other.tif", "--out", out, "--probability", "--scale", 1, "--bands", order)
    assert result.exit_code == 0, result.output
    np.testing.assert_allclose(
        read(out / "other_probability.tif"), read(out / "mine_probability.tif"), atol=1e-5
    )


def test_a_broken_scene_is_reported_and_the_others_are_mapped(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = [write_scene(tmp_path / f"good{number}.tif", seed=number) for number in range(2)]
    floats = write_scene(tmp_path / "floats.tif", dtype="float32")
    few = write_scene(tmp_path / "few.tif", count=7)
    short = write_scene(tmp_path / "short.tif", 300, 300)
    short.write_bytes(short.read_bytes()[:100_000])
    vrt = tmp_path / "vrt.tif"
    vrt.write_text(
        '<VRTDataset rasterXSize="9" rasterYSize="7"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>'
        f"<SourceFilename>{good[0]}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    empty = write_scene(tmp_path / "empty.tif", nodata=0)
    with rasterio.open(empty, "r+") as dataset:
        dataset.write(np.zeros((10, 70, 90), np.uint16))
    nowhere = write_scene(tmp_path / "nowhere.tif", crs=None)
    scenes = [good[0], floats, few, short, vrt, empty, nowhere, tmp_path / "missing.tif", good[1]]
    result = run(model, *scenes, "--out", tmp_path / "maps", "--offset", 0)
    assert result.exit_code == 1
    assert "Mapped 2 of 9 scenes" in result.output
    not_mapped = "floats.tif, few.tif, short.tif, vrt.tif, empty.tif, nowhere.tif, missing.tif"
    assert f"Not mapped, for the reasons above: {not_mapped}." in result.output
    assert names(tmp_path / "maps") == ["good0_footprint.tif", "good1_footprint.tif"]
    sentences = [record.message for record in caplog.records if record.levelname == "ERROR"]
    for name, words in {
        "floats": "found float32 numbers and no scale",
        "few": "found no band B8A, B11, B12 (it has B02",
        "short": "damaged",
        "vrt": "in it; expected rasters in the VRT's own folder",
        "empty": "found no pixel with data",
        "nowhere": "found no coordinate reference system",
        "missing": "No such file or directory",
    }.items():
        told = [sentence for sentence in sentences if f"{name}.tif" in sentence]
        assert len(told) == 1
        assert words in told[0]
        assert "\n" not in told[0]


def test_a_stopped_run_resumes(model: Path, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / f"mine{number}.tif", seed=number) for number in range(3)]
    out = tmp_path / "maps"
    assert run(model, *scenes[:2], "--out", out, "--offset", 0).exit_code == 0
    before = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    assert run(model, *scenes, "--out", out, "--offset", 0).exit_code == 0
    assert len(names(out)) == 3
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before


def test_a_killed_run_leaves_whole_files_and_resumes(model: Path, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / f"mine{number}.tif", 120, 150, seed=number) for number in range(5)]
    out = tmp_path / "maps"
    arguments = [model, *scenes, "--out", out, "--offset", 0, "--window", 32, "--overlap", 16]
    run_logging_imports = [sys.executable, "-X", "importtime", "-m", "euromine.commands", "predict"]
    command = [*run_logging_imports, *map(str, arguments)]
    log = tmp_path / "imports.txt"
    with log.open("w") as errors, subprocess.Popen(command, stdout=errors, stderr=errors) as process:
        # Killed in the middle of the second scene, or later on a quick machine.
        while process.poll() is None and not (out / "mine0_footprint.tif").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    whole = [path for path in out.glob("*.tif") if not path.name.startswith(".")]
    assert out / "mine0_footprint.tif" in whole
    for path in whole:
        assert read(path).shape == (120, 150)
    assert run(*arguments).exit_code == 0
    assert names(out) == [f"mine{number}_footprint.tif" for number in range(5)]
    # Libraries of other commands take seconds, too.
    loaded = set(re.findall(r"^import time:.*\| +(\w+)$", log.read_text(), re.MULTILINE))
    assert {"torch", "rasterio"} <= loaded
    others = {"datasets", "evaluate", "geopandas", "matplotlib", "pandas", "shapely", "openvino"}
    # transformers 5.18 loads scikit-learn where it is installed, as for these tests, and that loads pandas.
    assert not loaded & others - ({"pandas"} if "sklearn" in loaded else set())


def test_an_interrupted_run_leaves_nothing_half_written(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "mine.tif", 900, 900)
    out = tmp_path / "maps"
    arguments = [model, scene, "--out", out, "--offset", 0, "--window", 32, "--overlap", 16]
    command = [sys.executable, "-m", "euromine.commands", "predict", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (out / ".mine_footprint.tif.partial").exists():
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.endswith("euromine: interrupted. Run the same command again to resume.\n")
    assert "Traceback" not in told
    assert not out.exists()


def test_the_processes_of_accelerate_share_the_scenes_out(model: Path, tmp_path: Path) -> None:
    scenes = [write_scene(tmp_path / f"mine{number}.tif", seed=number) for number in range(4)]
    (tmp_path / "broken.tif").write_text("no raster")
    arguments = [model, *scenes, tmp_path / "broken.tif", "--out", tmp_path / "maps", "--offset", 0]
    # With --cpu, accelerate would start one process, whatever their number.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += [
        "--main_process_port",
        "0",
        "--log_dir",
        str(tmp_path / "logs"),
        "--tee",
        "3",
    ]  # each line begins with its process
    command = [sys.executable, *launch, "-m", "euromine.commands", "predict", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode != 0
    assert done.stdout.count("Mapped 4 of 5 scenes") == 1, done.stderr
    assert done.stderr.count("broken.tif: found a file that is damaged or not a GeoTIFF") == 1
    begun = re.findall(r"\[default(\d)\]:.*?(mine\d)\.tif: scale", done.stderr)
    assert sorted(scene for _, scene in begun) == ["mine0", "mine1", "mine2", "mine3"], done.stderr
    assert {process for process, _ in begun} == {"0", "1"}
    alone = tmp_path / "alone"
    assert run(model, *scenes, "--out", alone, "--offset", 0).exit_code == 0
    assert names(tmp_path / "maps") == names(alone)
    for name in names(alone):
        np.testing.assert_array_equal(read(tmp_path / "maps" / name), read(alone / name))


def test_a_dask_cluster_gives_the_same_maps(model: Path, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    scenes = [write_scene(tmp_path / f"mine{number}.tif", seed=number) for number in range(3)]
    (tmp_path / "broken.tif").write_text("no raster")
    everything = [*scenes, tmp_path / "broken.tif"]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        address = cluster.scheduler_address
        result = run(model, *everything, "--out", tmp_path / "maps", "--offset", 0, "--dask", address)
    assert result.exit_code == 1
    assert "Mapped 3 of 4 scenes" in result.output
    assert "Not mapped, for the reasons above: broken.tif." in result.output
    assert run(model, *scenes, "--out", tmp_path / "alone", "--offset", 0).exit_code == 0
    assert names(tmp_path / "maps") == names(tmp_path / "alone")
    for name in names(tmp_path / "alone"):
        np.testing.assert_array_equal(read(tmp_path / "maps" / name), read(tmp_path / "alone" / name))


def sentence(*arguments: object) -> str:
    """The error of a run that fails as a whole."""
    result = run(*arguments)
    assert isinstance(result.exception, (EuroMineError, OSError)), result.output
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_a_change_detector_is_refused(tmp_path: Path) -> None:
    create_model("fc-ef").save_pretrained(tmp_path / "model")
    EuroMineImageProcessor().save_pretrained(tmp_path / "model")
    scene = write_scene(tmp_path / "mine.tif")
    told = sentence(tmp_path / "model", scene, "--out", tmp_path / "maps", "--offset", 0)
    assert told.endswith(
        "found a euromine_fc-ef, which finds changes between two years; "
        "expected a model that maps footprints."
    )


def test_sources_that_are_not_models_are_refused(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "mine.tif")
    arguments = (scene, "--out", tmp_path / "maps", "--offset", 0)
    assert "nothing: found no such folder; expected the folder of a checkpoint" in sentence(
        tmp_path / "nothing", *arguments
    )
    assert "cache on this machine does not hold the model" in sentence("no/repository", *arguments)

    def broken(change: Callable[[Path], object]) -> str:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(model, copy)
        change(copy)
        return sentence(copy, *arguments)

    def tear(folder: Path) -> None:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])

    def rename(folder: Path) -> None:
        config = folder / "config.json"
        config.write_text(config.read_text().replace('"segformer"', '"bert"'))

    def write_half(folder: Path) -> None:
        (folder / "config.json").write_text("{")

    def lose(name: str) -> Callable[[Path], None]:
        return lambda folder: (folder / name).unlink()

    assert "found a config.json that cannot be loaded" in broken(write_half)
    assert "found a config.json that cannot be loaded" in broken(rename)  # its fields are not a BERT's
    assert "model.safetensors: found no header of a safetensors file; expected a whole one" in broken(tear)
    assert "model.safetensors" in broken(lose("model.safetensors"))
    for name in ("config.json", "preprocessor_config.json"):
        assert f"found no {name}; expected a checkpoint with config.json" in broken(lose(name))
    assert not (tmp_path / "maps").exists()


def test_a_folder_that_cannot_be_written_to_is_reported(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "mine.tif")
    (tmp_path / "file").touch()
    told = sentence(model, scene, "--out", tmp_path / "file" / "maps", "--offset", 0)
    assert told.startswith(f"{tmp_path / 'file'}: found a file; expected a folder")
    assert "Choose another place" in told


def test_a_full_disk_is_reported_and_leaves_nothing(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene = write_scene(tmp_path / "mine.tif", 300, 300)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # the probability has 360,000 bytes
    try:
        result = run(model, scene, "--out", tmp_path / "maps", "--offset", 0, "--probability")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert result.exit_code == 1
    assert "mine_probability.tif: could not be written in full" in caplog.text
    assert not (tmp_path / "maps").exists()


def test_wrong_options_are_reported(model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "mine.tif")
    out = ("--out", tmp_path / "maps")
    assert "offset: found -0.1, which looks like reflectance" in sentence(
        model, scene, *out, "--offset", -0.1
    )
    assert "bands: found unknown band 'bleu'; expected B01" in sentence(model, scene, *out, "--bands", "bleu")
    assert "window: found 100" in sentence(model, scene, *out, "--window", 100)
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
        assert "No Dask scheduler answers" in sentence(model, scene, *out, "--dask", "tcp://127.0.0.1:1")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(
        BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
        )
    ).save_pretrained(tmp_path / "model")
    told = sentence(tmp_path / "model", write_scene(tmp_path / "mine.tif"), "--out", tmp_path / "maps")
    assert "found a bert, which neither maps footprints nor finds changes" in told


WITHOUT_PYTORCH = """
import json, sys
from typer.testing import CliRunner
sys.modules["torch"] = None  # an import of it fails
from euromine.commands import app
print(json.dumps([str(CliRunner().invoke(app, words).exception) for words in json.loads(sys.argv[1])]))
"""


def test_mistakes_are_reported_before_pytorch_is_loaded(tmp_path: Path):
    expected = {
        ("--engine", "opnvino"): "--engine: found 'opnvino'; expected auto",
        ("--precision", "int8", "--engine", "eager"): "--precision: found int8 with the engine eager",
        ("--window", "100"): "--window: found 100; expected a positive multiple of 32",
        ("--bands", "B02,B99"): "B99",
        (): f"{tmp_path}: found no config.json; expected a checkpoint",
    }
    runs = [["predict", str(tmp_path), "a.tif", "--out", str(tmp_path), *options] for options in expected]
    command = [sys.executable, "-c", WITHOUT_PYTORCH, json.dumps(runs)]
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for sentence, words in zip(expected.values(), said, strict=True):
        assert sentence in words
