"""Checkpoints that cannot be loaded: each reason has a sentence of its own."""

import importlib
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.mapping import loading
from euromine.monitoring.mapping.loading import load_model, model_digest
from euromine.support.errors import ArgumentError, ModelError

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
    with pytest.raises(kind, match=f"^org/model: .*{message}"):
        load_model("org/model")


def test_a_model_is_loaded_with_its_processor(checkpoint: Path) -> None:
    loaded = load_model(checkpoint, task="change-detection", device="cpu")
    assert (loaded.source, loaded.task) == (str(checkpoint), "change-detection")
    assert not loaded.model.training
    digest = model_digest(loaded.model, loaded.image_processor)
    again = load_model(checkpoint, device="cpu")
    assert model_digest(again.model, again.image_processor) == digest
    assert model_digest(again.model, EuroMineImageProcessor(statistics="paper")) != digest


def test_a_device_that_cannot_be_used_is_refused(checkpoint: Path) -> None:
    with pytest.raises(ArgumentError, match=r"^device: found 'quantum', which cannot be used"):
        load_model(checkpoint, device="quantum")


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
