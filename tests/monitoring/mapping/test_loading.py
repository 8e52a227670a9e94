"""Checkpoints that cannot be loaded: each reason has a sentence of its own."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors.torch import load_file, save_file

from euromine.modeling import EuroMineImageProcessor, create_model, weight_sources
from euromine.monitoring.mapping import loading
from euromine.monitoring.mapping.loading import load_model, model_digest
from euromine.support.errors import ArgumentError, ModelError

SMALL = {
    "segformer-b0": {"hidden_sizes": [8, 8, 8, 8], "depths": [1] * 4, "num_attention_heads": [1] * 4},
    "unet": {"widths": [4, 4, 8, 8, 8]},
}

# httpx or httpx2, by the version of huggingface_hub.
httpx = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny change detector."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    create_model("fc-ef").save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """A checkpoint whose files were changed afterwards: fields of JSON files, and tensors."""

    def alter(
        name: str,
        *,
        config: dict | None = None,
        processor: dict | None = None,
        tensors: Callable | None = None,
    ) -> Path:
        torch.manual_seed(0)
        create_model(name, **SMALL.get(name, {})).save_pretrained(tmp_path)
        EuroMineImageProcessor().save_pretrained(tmp_path)
        for file, fields in (("config.json", config), ("preprocessor_config.json", processor)):
            stored = json.loads((tmp_path / file).read_text())
            (tmp_path / file).write_text(json.dumps({**stored, **(fields or {})}))
        if tensors is not None:
            weights = tmp_path / "model.safetensors"
            save_file(tensors(load_file(weights)), weights, metadata={"format": "pt"})
        return tmp_path

    return alter


def http_error(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    request = httpx.Request("HEAD", "https://huggingface.co/org/model/resolve/main/config.json")
    return kind("The Hub's answer.\nIts details.", response=httpx.Response(status, request=request))


def unreachable(cause: Exception) -> LocalEntryNotFoundError:
    error = LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("answer", "offline", "kind", "message"),
    [
        (
            http_error(RepositoryNotFoundError, 404),
            False,
            ModelError,
            "found no such folder, nor such a repo",
        ),
        (http_error(RemoteEntryNotFoundError, 404), False, ModelError, "found no config.json; expected a"),
        (http_error(GatedRepoError, 403), False, OSError, r"the Hub denies access \(The Hub's answer\)"),
        (http_error(HfHubHTTPError, 503), False, OSError, r"cannot be reached \(The Hub's answer\)"),
        (unreachable(httpx.ConnectError("no route")), False, OSError, r"cannot be reached \(no route\)"),
        (httpx.ReadTimeout("too slow"), False, OSError, r"cannot be reached \(too slow\)"),
        (unreachable(OfflineModeIsEnabled("offline")), True, OSError, "the Hub's cache on this machine does"),
    ],
)
def test_each_answer_of_the_hub_has_a_sentence(
    monkeypatch: pytest.MonkeyPatch, answer: Exception, offline: bool, kind: type[Exception], message: str
) -> None:
    def download(source: str, name: str) -> str:
        assert (source, name) == ("org/model", "config.json")
        raise answer

    monkeypatch.setattr(loading, "hf_hub_download", download)
    monkeypatch.setattr(loading, "is_offline_mode", lambda: offline)
    monkeypatch.setattr(weight_sources, "is_offline_mode", lambda: offline)
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: None)
    with pytest.raises(kind, match=f"^org/model: .*{message}"):
        load_model("org/model")


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (http_error(RepositoryNotFoundError, 404), ModelError, "found no such folder, nor such a repository"),
        (httpx.ConnectError("no route"), OSError, r"there is no such folder, and .* \(no route\)"),
    ],
)
def test_the_hub_is_asked_once_for_a_model_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, answer: Exception, kind: type[Exception], message: str
) -> None:
    def ask(api: object, name: str, *, timeout: float) -> None:
        assert (name, timeout) == ("org/model", 10)
        raise answer

    def download(*_: str) -> str:
        raise AssertionError("downloads are tried again for half a minute")

    monkeypatch.setattr(loading, "hf_hub_download", download)
    monkeypatch.setattr(loading, "is_offline_mode", lambda: False)
    monkeypatch.setattr(weight_sources, "is_offline_mode", lambda: False)
    monkeypatch.setattr(HfApi, "model_info", ask)
    with pytest.raises(kind, match=f"^org/model: {message}"):
        load_model("org/model")


def test_a_model_is_loaded_with_its_processor(checkpoint: Path) -> None:
    loaded = load_model(checkpoint, task="change-detection", device="cpu")
    assert (loaded.source, loaded.task) == (str(checkpoint), "change-detection")
    assert not loaded.model.training
    digest = model_digest(loaded.model, loaded.image_processor)
    again = load_model(checkpoint, device="cpu")
    assert model_digest(again.model, again.image_processor) == digest
    assert model_digest(again.model, EuroMineImageProcessor(statistics="paper")) != digest
    # A level changes no map, so that calibrations and maps of earlier versions stay valid.
    again.image_processor.level = "L2A"
    assert model_digest(again.model, again.image_processor) == digest
    del again.image_processor.level
    assert model_digest(again.model, again.image_processor) == digest


@pytest.mark.parametrize(
    "device",
    ["quantum", "", "meta", "cuda:99", "mps", "xla", "hpu", "vulkan", "privateuseone", "opengl", "cpu:-1"],
)
def test_a_device_that_cannot_be_used_is_refused_before_anything_is_read(device: str) -> None:
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("this machine has it")
    with pytest.raises(ArgumentError, match=rf"^device: found '{device}', which cannot be used"):
        load_model("no/such/model", device=device)


def test_a_processor_of_another_kind_or_with_unknown_bands_is_refused(
    checkpoint: Path, tmp_path: Path
) -> None:
    for file in checkpoint.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = tmp_path / "preprocessor_config.json"
    text = config.read_text()
    config.write_text(text.replace('"B02"', '"B77"'))
    with pytest.raises(ModelError, match=r"found a preprocessor_config\.json that cannot be loaded .*B77"):
        load_model(tmp_path)
    config.write_text("{")
    with pytest.raises(ModelError, match=r"found a preprocessor_config\.json that cannot be loaded"):
        load_model(tmp_path)
    config.write_text('{"image_processor_type": "ViTImageProcessor"}')
    with pytest.raises(
        ModelError, match=r"found a ViTImageProcessor\w*; expected the EuroMineImageProcessor"
    ):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [("unet", "head.weight"), ("segformer-b0", "decode_head.classifier.weight"), ("fc-ef", None)],
)
def test_weights_that_are_missing_are_never_filled_at_random(
    altered: Callable[..., Path], name: str, tensor: str | None
) -> None:
    def without(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        del tensors[tensor or min(tensors)]
        return tensors

    with pytest.raises(
        ModelError, match=rf"found no tensor {tensor or ''}.* for a .*; expected the complete"
    ):
        load_model(altered(name, tensors=without))


def test_weights_of_another_network_are_refused(altered: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"found no tensor .* and \d+ more for a segformer; expected the"):
        load_model(altered("unet", config={"model_type": "segformer"}))
    with pytest.raises(ModelError, match="found no tensor"):
        load_model(altered("unet", tensors=lambda tensors: {"something": torch.zeros(3)}))
    with pytest.raises(ModelError, match=r"found a tensor too many, something for a euromine_unet; expected"):
        load_model(altered("unet", tensors=lambda tensors: {**tensors, "something": torch.zeros(3)}))


def test_pickled_weights_are_refused(altered: Callable[..., Path]) -> None:
    folder = altered("unet")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"found pickled weights \(pytorch_model\.bin\), which can hold code; expected "
    ):
        load_model(folder)


def test_the_reason_is_named_where_it_follows_a_heading(altered: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"cannot be loaded .*field 'hidden_sizes': TypeError: .*'four'"):
        load_model(altered("segformer-b0", config={"hidden_sizes": "four"}))


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "found quantised weights"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "found quantised"),
        ({"attn_implementation": "someone/kernel"}, "asks for a kernel from the Hub"),
        ({"backbone_config": {"attn_implementation": "a/b"}}, "asks for a kernel from the Hub"),
        ({"use_pretrained_backbone": True}, "asks for the weights of another model"),
        ({"model_type": None}, "null in model_type; expected a string"),
        ({"widths": ["four"] * 5}, "found a config.json that cannot be loaded"),
        ({"widths": [[4]] * 5}, "found a config.json that cannot be loaded"),
        ({"architectures": 5}, "5 in architectures; expected a list or null"),
        ({"id2label": [1]}, "a list in id2label; expected an object"),
        ({"dtype": "../../etc/passwd"}, "found a config.json that cannot be loaded"),
        ({"bands": 5}, "5 in bands; expected a list or null"),
        ({"anything": 10**400}, "found the number 1000.*; expected at most 64 bits"),
    ],
)
def test_weights_in_need_of_other_code_or_files_are_refused(
    altered: Callable[..., Path], config: dict, found: str
) -> None:
    with pytest.raises(ModelError, match=found):
        load_model(altered("unet", config=config))


@pytest.mark.parametrize(
    ("processor", "found"),
    [
        ({"std": [0.0] * 10}, "found 0.0; expected a standard deviation above 0"),
        ({"std": [float("nan")] * 10}, r"null in std\[0\]; expected a number"),
        ({"mean": ["a word"] * 10}, r'"a word" in mean\[0\]; expected a number'),
        ({"mean": "a word"}, '"a word" in mean; expected a list or null'),
        ({"mean": {}}, "an object in mean"),
        ({"mean": [True] * 10}, r"true in mean\[0\]"),
        ({"std": [1e400] * 10}, r"std\[0\]|expected a finite number"),
        ({"mean": [1.0] * 3}, "expected a finite number for each of B02"),
        ({"scale": float("nan")}, "scale: found nan; expected a finite factor"),
        ({"scale": "ten"}, '"ten" in scale'),
        ({"offset": float("inf")}, "offset: found inf; expected a finite number"),
        ({"do_normalize": "no"}, '"no" in do_normalize'),
        ({"bands": 5}, "5 in bands; expected a list or null"),
    ],
)
def test_a_processor_whose_numbers_are_none_is_refused(
    altered: Callable[..., Path], processor: dict, found: str
) -> None:
    with pytest.raises(
        ModelError, match=rf"found a preprocessor_config\.json that cannot be loaded .*{found}"
    ):
        load_model(altered("unet", processor=processor))


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("text", ["[" * 200_000, "[]", "null", '"text"'])
def test_a_file_that_is_no_object_is_refused(altered: Callable[..., Path], file: str, text: str) -> None:
    folder = altered("unet")
    (folder / file).write_text(text)
    with pytest.raises(ModelError, match=rf"found a {file} that cannot be loaded"):
        load_model(folder)


@pytest.mark.parametrize("file", ["adapter_config.json", "processor_config.json"])
@pytest.mark.parametrize("text", ['{"base_model_name_or_path": "someone/base", "image_processor": {}}', "["])
def test_files_that_lead_transformers_to_other_weights_or_settings_are_refused(
    altered: Callable[..., Path], file: str, text: str
) -> None:
    folder = altered("unet")
    (folder / file).write_text(text)
    with pytest.raises(ModelError, match=rf"\({file}\); expected a checkpoint of .* without it"):
        load_model(folder)


@pytest.mark.parametrize("source", [None, "", 5, b"runs/unet"])
def test_a_source_that_is_no_name_is_refused(source: object) -> None:
    with pytest.raises(
        ModelError, match=r"^model: found .*; expected a folder or a repository on the Hub\.$"
    ):
        load_model(source)


def test_a_network_for_series_is_loaded_as_a_footprint_mapper_too(altered: Callable[..., Path]) -> None:
    folder = altered("utae")
    assert load_model(folder, device="cpu").task == "series"
    assert load_model(folder, task="segmentation", device="cpu").task == "series"
    with pytest.raises(
        ModelError, match="found a euromine_utae, which maps all years of a place at once; expected a model "
    ):
        load_model(folder, task="change-detection")
