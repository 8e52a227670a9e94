"""Weights to start from that are nowhere: told after one question to the Hub, with a remedy."""

import importlib
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

from euromine.modeling import create_model, pretrained, weight_sources

# httpx or httpx2, by the version of huggingface_hub.
http = importlib.import_module(HfHubHTTPError.__mro__[1].__module__.partition(".")[0])
TINY = {"hidden_sizes": [8, 8, 8, 8], "depths": [1] * 4, "num_attention_heads": [1] * 4}


def answer(kind: type[HfHubHTTPError], status: int) -> HfHubHTTPError:
    return kind("An answer.", response=http.Response(status, request=http.Request("GET", "http://hub")))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Repositories that a Hub was asked for; a download, which is tried again for half a minute, fails."""
    monkeypatch.setattr(weight_sources, "is_offline_mode", lambda: False)
    for name in ("hf_hub_download", "cached_file"):
        monkeypatch.setattr(pretrained, name, lambda *_: pytest.fail("tried to download"))
    monkeypatch.setattr(
        pretrained.PreTrainedConfig, "get_config_dict", lambda *_: pytest.fail("tried to download")
    )
    return []


def answer_with(monkeypatch: pytest.MonkeyPatch, asked: list[str], error: Exception) -> None:
    def ask(api: HfApi, name: str, *, timeout: float) -> None:
        assert timeout <= 10
        asked.append(name)
        raise error

    monkeypatch.setattr(HfApi, "model_info", ask)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            answer(RepositoryNotFoundError, 404),
            "the Hub has no such repository; .* private .* token: .*HF_TOKEN",
        ),
        (answer(GatedRepoError, 403), "denies access; expected weights .* Accept the repository's terms"),
        (http.ConnectError("no route"), r"cannot be reached \(no route\); .* Check the connection"),
        (http.ReadTimeout(""), r"cannot be reached \(ReadTimeout\)"),
    ],
)
@pytest.mark.parametrize("name", ["segformer-b0", "pspnet", "euromine-series-b0"])
def test_absent_weights_are_told_after_one_question(monkeypatch, asked, error, sentence, name):
    answer_with(monkeypatch, asked, error)
    fields = TINY if name == "segformer-b0" else {}
    with pytest.raises(OSError, match=rf"^pretrained: found 'owner/unknown', .*{sentence}"):
        create_model(name, pretrained="owner/unknown", **fields)
    assert asked == ["owner/unknown"]


def test_weights_with_a_name_of_their_own_are_asked_for_in_their_repository(monkeypatch, asked):
    answer_with(monkeypatch, asked, http.ConnectError("no route"))
    with pytest.raises(OSError, match=r"^pretrained: found 'ssl4eo-resnet50-moco'"):
        create_model("linknet", pretrained="ssl4eo-resnet50-moco", depth=50, width=8)
    assert asked == ["torchgeo/resnet50_sentinel2_all_moco"]


def test_a_path_that_is_nothing_is_not_asked_for(monkeypatch, asked, tmp_path: Path):
    with pytest.raises(
        OSError, match=r"nothing', which is no folder or file; expected weights to start from.$"
    ):
        create_model("segformer-b0", pretrained=tmp_path / "nothing", **TINY)
    assert asked == []


def test_in_offline_mode_the_sentence_names_the_variable(monkeypatch):
    monkeypatch.setattr(HfApi, "model_info", lambda *_, **__: pytest.fail("the Hub was asked"))
    with pytest.raises(OSError, match=r"'owner/unknown', .* does not hold it; .* Unset HF_HUB_OFFLINE"):
        create_model("segformer-b0", pretrained="owner/unknown", **TINY)
