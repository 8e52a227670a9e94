"""A dataset that is no folder is looked for on the Hub once, and its absence is reported at once."""

import importlib
from typing import Any

import datasets
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from euromine.dataset_script.reading import read_dataset

# The HTTP library of the Hub's client, httpx or its successor.
http: Any = importlib.import_module(
    next(base for base in HfHubHTTPError.__mro__ if base.__name__ == "HTTPError").__module__.partition(".")[0]
)


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: pytest.fail("asked again"))


@pytest.mark.parametrize(
    ("answer", "kind", "sentence"),
    [
        (
            http.ConnectError("Name or service not known"),
            ConnectionError,
            r"^mines/euromine: there is no such folder, and the Hub cannot be reached .*not known\)\.$",
        ),
        (http.ReadTimeout(""), ConnectionError, r"\(ReadTimeout\)\.$"),
        (
            RepositoryNotFoundError(
                "404", response=http.Response(404, request=http.Request("GET", "http://h"))
            ),
            FileNotFoundError,
            "^mines/euromine: there is no such folder, and no such dataset on the Hub.* private .* HF_TOKEN",
        ),
    ],
)
def test_an_absent_dataset_is_told_after_one_question(monkeypatch, caplog, answer, kind, sentence):
    asked: list[str] = []

    def answered(self: HfApi, name: str, **options: Any) -> None:
        asked.append(name)
        raise answer

    monkeypatch.setattr(HfApi, "dataset_info", answered)
    with caplog.at_level("INFO"), pytest.raises(kind, match=sentence):
        read_dataset("mines/euromine", "annual", "train")
    assert asked == ["mines/euromine"]
    assert "There is no folder mines/euromine: looking for a dataset of that name on the Hub." in caplog.text


def test_offline_and_for_names_in_the_cache_the_hub_is_not_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(HfApi, "dataset_info", lambda *args, **options: pytest.fail("the Hub was asked"))
    loaded: list[str] = []

    def load(name: str, *args: Any, **options: Any) -> None:
        loaded.append(name)
        raise ConnectionError(name)

    monkeypatch.setattr(datasets, "load_dataset", load)
    (tmp_path / "mines___euromine").mkdir()
    with pytest.raises(ConnectionError):
        read_dataset("mines/euromine", "annual", "train")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConnectionError, match=r"^mines/other: .* Unset HF_HUB_OFFLINE to look for it"):
        read_dataset("mines/other", "annual", "train")
    assert loaded == ["mines/euromine", "mines/other"]
