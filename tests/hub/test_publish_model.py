"""A trained model on the Hub: loaded by people without the package, to the same logits."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSemanticSegmentation
from typer.testing import CliRunner

from euromine.commands import app
from euromine.hub.trained_model import model_contents
from euromine.modeling import AutoModelForChangeDetection
from euromine.support.errors import BusyError, ModelError
from euromine.support.locks import lock_folder

from .card_rules import errors_of, missing_from
from .conftest import Worker
from .server import Hub

TINY_SEGFORMER = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}
CHANGES, FOOTPRINTS = "mines/fc-ef", "mines/segformer"


@pytest.fixture(scope="module")
def folder(save_model: Callable[..., Path]) -> Path:
    """A change detector as `train_cd.py` leaves it."""
    return save_model()


@pytest.fixture(scope="module")
def published(publisher: Worker, folder: Path) -> str:
    """What the command says of its publication."""
    status, output = publisher.euromine("publish", "model", folder, CHANGES)
    assert status == 0, output
    return output


def test_what_the_model_needs_is_sent_and_nothing_else(published: str, folder: Path, hub: Hub) -> None:
    files = set(hub.files("model", CHANGES))
    modules = {path.name for path in folder.glob("*.py")}
    assert modules
    assert files == modules | {
        *(".gitattributes", "README.md", "config.json", "model.safetensors", "preprocessor_config.json"),
        *("predictions.png", "metrics.json"),
    }
    for name in files - {".gitattributes", "README.md", "metrics.json"}:
        assert hub.read("model", CHANGES, name) == (folder / name).read_bytes()


def test_the_card_is_what_the_hub_expects(published: str, folder: Path, hub: Hub) -> None:
    text = hub.read("model", CHANGES, "README.md").decode()
    assert errors_of(text, "model") == []
    assert missing_from(text, "model") == []
    assert f'from_pretrained("{CHANGES}"' in text
    assert "(predictions.png)" in text
    for licence in ("Code", "Data", "Weights"):
        assert f"- **{licence}**: " in text
    card = ModelCard(text).data
    assert [result.metric_value for result in card.eval_results or []] == [0.8, 0.7]


def test_nothing_says_where_things_lay_here(published: str, folder: Path, hub: Hub) -> None:
    for name in ("README.md", "metrics.json", "config.json"):
        text = hub.read("model", CHANGES, name).decode()
        assert str(folder) not in text
        assert "/home/somebody" not in text
    results = json.loads(hub.read("model", CHANGES, "metrics.json"))
    assert results["model"]["repository"] == CHANGES
    assert results["scores"] == {"test": {"of1_pooled": 0.8, "of1_mean": 0.7}}


def test_others_get_the_same_logits_without_the_package(
    published: str, folder: Path, reader: Worker, tmp_path: Path
) -> None:
    images = torch.randn(1, 2, 10, 32, 40, generator=torch.Generator().manual_seed(0))
    model = AutoModelForChangeDetection.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(images).logits.numpy()
    np.save(tmp_path / "images.npy", images.numpy())
    name, shape = reader.run(
        """
import numpy as np, torch
from transformers import AutoImageProcessor, AutoModel
model = AutoModel.from_pretrained(repository, trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained(repository, trust_remote_code=True)
with torch.no_grad():
    logits = model(torch.from_numpy(np.load(folder + "/images.npy"))).logits
np.save(folder + "/logits.npy", logits.numpy())
pixel_values = processor(np.zeros((10, 8, 8), "int16"), return_tensors="pt").pixel_values
value = [type(model).__name__, list(pixel_values.shape)]
""",
        repository=CHANGES,
        folder=str(tmp_path),
    )
    assert name == type(model).__name__
    assert shape == [1, 10, 8, 8]
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)


def test_transformers_own_networks_need_no_remote_code(
    save_model: Callable[..., Path], publisher: Worker, reader: Worker, tmp_path: Path
) -> None:
    folder = save_model("segformer-b0", "segmentation", **TINY_SEGFORMER)
    status, output = publisher.euromine("publish", "model", folder, FOOTPRINTS)
    assert status == 0, output
    images = torch.randn(1, 10, 32, 40, generator=torch.Generator().manual_seed(0))
    model = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(images).logits.numpy()
    np.save(tmp_path / "images.npy", images.numpy())
    reader.run(
        """
import numpy as np, torch
from transformers import AutoModelForSemanticSegmentation
model = AutoModelForSemanticSegmentation.from_pretrained(repository).eval()
with torch.no_grad():
    np.save(folder + "/logits.npy", model(torch.from_numpy(np.load(folder + "/images.npy"))).logits.numpy())
""",
        repository=FOOTPRINTS,
        folder=str(tmp_path),
    )
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)


def test_new_weights_of_the_same_network_replace_the_old(
    published: str, publisher: Worker, save_model: Callable[..., Path], folder: Path, hub: Hub, tmp_path: Path
) -> None:
    newer = tmp_path / "newer"
    shutil.copytree(folder, newer)
    weights = bytearray((newer / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (newer / "model.safetensors").write_bytes(weights)
    assert publisher.euromine("publish", "model", newer, CHANGES)[0] == 0
    assert hub.read("model", CHANGES, "model.safetensors") == bytes(weights)
    assert publisher.euromine("publish", "model", folder, CHANGES)[0] == 0


def test_another_model_is_not_overwritten(
    published: str, publisher: Worker, save_model: Callable[..., Path], folder: Path, hub: Hub, tmp_path: Path
) -> None:
    before = hub.head("model", CHANGES)
    others = {"another model": save_model("fc-ef", bands=["B02", "B03"])}
    others["the same network trained on other data"] = tmp_path / "other_data"
    shutil.copytree(folder, tmp_path / "other_data")
    results = json.loads((folder / "metrics.json").read_text())
    results["protocol"]["digest"] = "fedcba"
    (tmp_path / "other_data" / "metrics.json").write_text(json.dumps(results))
    for held, other in others.items():
        status, output = publisher.euromine("publish", "model", other, CHANGES)
        assert (status, f"{CHANGES} holds {held}" in output) == (1, True), output
    assert hub.head("model", CHANGES) == before
    hub.create("model", "mines/weights", {"pytorch_model.bin": b"weights"})
    status, output = publisher.euromine("publish", "model", folder, "mines/weights")
    assert (status, "holds no model, but other files" in output) == (1, True), output


def test_weights_in_several_files_are_sent_with_their_index(
    publisher: Worker, save_model: Callable[..., Path], folder: Path, hub: Hub, tmp_path: Path
) -> None:
    sharded = tmp_path / "sharded"
    shutil.copytree(folder, sharded)
    (sharded / "model.safetensors").unlink()
    AutoModelForChangeDetection.from_pretrained(folder).save_pretrained(sharded, max_shard_size="2MB")
    shards = {path.name for path in sharded.glob("model-*.safetensors")}
    assert len(shards) > 1
    assert publisher.euromine("publish", "model", sharded, "mines/sharded")[0] == 0
    assert shards | {"model.safetensors.index.json"} <= set(hub.files("model", "mines/sharded"))
    # One file in their place: theirs would be read by nobody, and fetched by everybody.
    assert publisher.euromine("publish", "model", folder, "mines/sharded")[0] == 0
    assert {name for name in hub.files("model", "mines/sharded") if "safetensors" in name} == {
        "model.safetensors"
    }


def test_what_is_no_whole_model_is_refused(
    publisher: Worker, folder: Path, dataset: Path, tmp_path: Path
) -> None:
    def without(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(folder, copy)
        (copy / name).unlink()
        return copy

    cut_off = tmp_path / "cut_off"
    shutil.copytree(folder, cut_off)
    (cut_off / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-10])
    for broken, message in (
        (dataset, "found no config.json that names bands; expected a model of this project."),
        (without("README.md"), "found no README.md; expected a card"),
        (
            without("preprocessor_config.json"),
            "found no preprocessor_config.json; expected the image processor",
        ),
        (without("model.safetensors"), "found no model.safetensors; expected the weights"),
        (without("fc_ef.py"), "found no fc_ef.py; expected the code"),
        (without("losses.py"), "found no losses.py; expected the code"),
        (without("predictions.png"), "found no predictions.png for the picture it shows"),
        (cut_off, "The file was not written whole."),
    ):
        status, output = publisher.euromine("publish", "model", broken, "mines/broken")
        assert (status, message in output) == (1, True), output


def test_no_path_of_this_machine_is_published(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "model")
    results = json.loads((copy / "metrics.json").read_text())
    results["protocol"]["pretrained"] = "/home/me/runs/unet, C:\\Users\\me\\heads\\, org/model"
    results["training"]["arguments"] = {
        "pretrained": "/home/me/runs/unet",
        "others": ["../mine/x", "~/y", "org/model"],
    }
    (copy / "metrics.json").write_text(json.dumps(results))
    files = {file.path: file.source for file in model_contents(copy, CHANGES).files}
    assert isinstance(files["metrics.json"], bytes)
    public = json.loads(files["metrics.json"])
    assert public["protocol"]["pretrained"] == "unet, heads, org/model"
    assert public["training"]["arguments"] == {"pretrained": "unet", "others": ["x", "y", "org/model"]}


def test_exports_in_the_models_folder_are_published(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    names = ["onnx/README.md", "onnx/model.onnx", "openvino/int8/forward/program.bin"]
    for name in [*names, "onnx/notes.txt", "openvino/_export1/model.xml"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text(name)
    sent = {file.path for file in model_contents(copy, CHANGES).files}
    assert sent - {file.path for file in model_contents(folder, CHANGES).files} == set(names)


def test_an_export_of_other_weights_is_not_published(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    (copy / "onnx").mkdir()
    digest = hashlib.sha256((copy / "model.safetensors").read_bytes()).hexdigest()
    (copy / "onnx/README.md").write_text(f"Its weights have the SHA-256 `{digest}`.\n")
    assert "onnx/README.md" in {file.path for file in model_contents(copy, CHANGES).files}

    weights = load_file(copy / "model.safetensors")
    save_file({name: values + 1 for name, values in weights.items()}, copy / "model.safetensors")
    with pytest.raises(ModelError, match=r"onnx: found an export of other weights; .*--format onnx"):
        model_contents(copy, CHANGES)


def test_a_model_is_not_published_while_a_training_writes_to_its_folder(tmp_path: Path) -> None:
    with lock_folder(tmp_path):
        result = CliRunner().invoke(app, ["publish", "model", str(tmp_path), "someone/model", "--dry-run"])
    assert isinstance(result.exception, BusyError)
    assert "found another run at work" in str(result.exception)
