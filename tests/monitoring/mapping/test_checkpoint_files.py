"""Optional files beside a checkpoint: missing is one thing, a Hub that cannot be asked another."""

import importlib

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
)

from euromine.monitoring.mapping import checkpoint_files
from euromine.monitoring.mapping.checkpoint_files import checkpoint_file, local_file, may_have_file

TRANSPORT_ERROR = HfHubHTTPError.__mro__[1]
# httpx or httpx2, by the version of huggingface_hub.
httpx = importlib.import_module(TRANSPORT_ERROR.__module__.partition(".")[0])


def _http_error(kind, status):
    request = httpx.Request("HEAD", "https://huggingface.co/org/model/resolve/main/metrics.json")
    return kind("The Hub's answer.\nIts details.", response=httpx.Response(status, request=request))


def _unreachable(cause):
    error = LocalEntryNotFoundError("An error happened while trying to locate the file on the Hub.")
    error.__cause__ = cause
    return error


def _ask(monkeypatch, answer, offline=False):
    def download(source, name):
        assert (source, name) == ("org/model", "metrics.json")
        raise answer

    monkeypatch.setattr(checkpoint_files, "hf_hub_download", download)
    monkeypatch.setattr(checkpoint_files, "is_offline_mode", lambda: offline)
    return checkpoint_file("org/model", "metrics.json", otherwise="no scores are shown")


def test_a_folder_has_the_file_or_not(tmp_path, caplog):
    assert checkpoint_file(str(tmp_path), "metrics.json", otherwise="no scores are shown") is None
    (tmp_path / "metrics.json").write_text("{}", encoding="utf-8")
    path = checkpoint_file(str(tmp_path), "metrics.json", otherwise="no scores are shown")
    assert path == tmp_path / "metrics.json"
    assert not caplog.text


def test_a_repository_without_the_file_is_no_reason_to_warn(monkeypatch, caplog):
    assert _ask(monkeypatch, _http_error(RemoteEntryNotFoundError, 404)) is None
    assert not caplog.text


def test_offline_the_cache_is_all_there_is(monkeypatch, caplog):
    answer = _unreachable(OfflineModeIsEnabled("Offline mode is enabled."))
    assert _ask(monkeypatch, answer, offline=True) is None
    assert not caplog.text


def test_a_name_that_is_no_repository_has_no_files(caplog):
    assert checkpoint_file("in memory, not/on/the/Hub", "metrics.json", otherwise="nothing") is None
    assert not caplog.text


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (_unreachable(httpx.ConnectError("Name or service not known")), "Name or service not known"),
        (_http_error(RepositoryNotFoundError, 401), "The Hub's answer"),
        (_http_error(GatedRepoError, 403), "The Hub's answer"),
        (_http_error(HfHubHTTPError, 503), "The Hub's answer"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_a_hub_that_cannot_be_asked_is_a_warning_with_its_consequence(monkeypatch, caplog, answer, reason):
    assert _ask(monkeypatch, answer) is None
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelname == "WARNING"
    assert message.startswith("metrics.json of org/model could not be fetched from the Hub (")
    assert reason in message
    assert message.endswith("so no scores are shown. Run again once the Hub can be reached.")


def test_errors_of_the_transport_are_warnings_too(monkeypatch, caplog):
    """Httpx's own are no `OSError`, and the Hub's library passes some on."""
    assert not issubclass(TRANSPORT_ERROR, OSError)
    assert _ask(monkeypatch, TRANSPORT_ERROR("proxy refused")) is None
    assert "proxy refused" in caplog.text


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The Hub's cache with config.json of org/model, which has no calibration.json."""
    folder, commit = tmp_path / "models--org--model", "0123456789abcdef0123456789abcdef01234567"
    for name, text in (
        ("refs/main", commit),
        (f"snapshots/{commit}/config.json", "{}"),
        (f".no_exist/{commit}/calibration.json", ""),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(checkpoint_files, "is_offline_mode", lambda: False)
    return folder / "snapshots" / commit


def test_a_file_in_the_hub_s_cache_is_known_without_asking_the_hub(cache, monkeypatch):
    assert local_file("org/model", "config.json") == cache / "config.json"
    assert local_file("org/model", "calibration.json") is None
    assert may_have_file("org/model", "config.json")
    assert not may_have_file("org/model", "calibration.json")
    for unknown in ("org/model", "org/other", "no repository"):
        assert local_file(unknown, "metrics.json") is None
        assert may_have_file(unknown, "metrics.json")
    monkeypatch.setattr(checkpoint_files, "is_offline_mode", lambda: True)
    assert not may_have_file("org/model", "metrics.json")


def test_a_folder_has_the_files_that_are_in_it(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert local_file(str(tmp_path), "config.json") == tmp_path / "config.json"
    assert may_have_file(str(tmp_path), "config.json")
    assert local_file(str(tmp_path), "calibration.json") is None
    assert not may_have_file(str(tmp_path), "calibration.json")
