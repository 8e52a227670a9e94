"""`euromine app`, as it is typed."""

import importlib.util
import socket
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from euromine.app import passwords, serving
from euromine.app.passwords import add_user
from euromine.commands import app
from euromine.support.errors import EuroMineError


def failure(*arguments: str) -> str:
    """The sentence in which the command ends."""
    result = CliRunner().invoke(app, ["app", *arguments])
    assert isinstance(result.exception, EuroMineError), result.output
    return str(result.exception)


def test_a_folder_without_sites_ends_in_a_sentence(tmp_path: Path) -> None:
    assert "found no finished series; expected some, made by `euromine series`" in failure(str(tmp_path))
    assert "found no folder" in failure(str(tmp_path / "nowhere"))
    assert "DIR: found nothing" in failure()


def test_files_and_folders_that_are_not_there_end_in_a_sentence(tmp_path: Path) -> None:
    missing = str(tmp_path / "nowhere")
    options = ("--uploads", "--port", "0")
    assert f"--images: found no folder {missing}" in failure(str(tmp_path), *options, "--images", missing)
    assert f"{missing}: found no file; expected users" in failure(str(tmp_path), *options, "--auth", missing)
    assert f"{missing}: found no such folder; expected the folder of a checkpoint" in failure(
        str(tmp_path), *options, "--model", missing
    )


def test_an_engine_that_cannot_run_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    options = (str(tmp_path), "--uploads", "--port", "0")
    sentence = failure(*options, "--engine", "eager", "--precision", "int8")
    assert "--precision: found int8 with the engine eager; expected float32 or bfloat16." in sentence
    find = importlib.util.find_spec
    without = {"onnxruntime", "onnx"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in without else find(name))
    assert "--engine: found no onnxruntime on this machine" in failure(*options, "--engine", "onnxruntime")


def test_a_port_in_use_ends_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"--port: found {port} in use" in failure(str(tmp_path), "--uploads", "--port", port)


def test_a_foreign_host_ends_in_a_sentence(tmp_path: Path) -> None:
    users = tmp_path / "users"
    add_user(users, "anna", "correct horse", cost=2)
    options = ("--uploads", "--auth", str(users), "--port", "0", "--host")
    assert "--host: found '192.0.2.1'; expected" in failure(str(tmp_path), *options, "192.0.2.1")
    assert "--host: found 'no host'" in failure(str(tmp_path), *options, "no host")


def test_uploads_from_everywhere_need_signing_in(tmp_path: Path) -> None:
    sentence = failure(str(tmp_path), "--uploads", "--host", "0.0.0.0")
    assert "--uploads: found --host 0.0.0.0 without --auth" in sentence


def test_an_open_app_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    failure(str(tmp_path), "--host", "0.0.0.0")
    assert "Everybody who reaches 0.0.0.0 can read everything" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("--basemap", "http://tiles.example/{z}/{x}/{y}.png"), "expected an address, https://"),
        (("--basemap", "https://tiles.example/{z}/{x}.png"), "found no {y}"),
        (("--basemap", "https://tiles.example/{z}/{x}/{y}.png"), "--basemap-attribution: found no text"),
        (("--basemap", "https://a.example; script-src *;/{z}{x}{y}"), "expected an address"),
        (("--address", "mines.example.org"), "--address: found 'mines.example.org'"),
        (("--add-user", "anna"), "expected --auth FILE"),
        (("--watch", "nowhere.yaml", "--uploads"), None),
    ],
)
def test_wrong_options_end_in_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], found: str | None
) -> None:
    if found is None:
        result = CliRunner().invoke(app, ["app", str(tmp_path), *arguments])
        assert isinstance(result.exception, FileNotFoundError)
    else:
        assert found in failure(str(tmp_path), *arguments)


def test_users_are_added_by_a_prompt(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(passwords, "add_user", partial(add_user, cost=2))
    path = tmp_path / "users"
    command = ["app", "--add-user", "anna", "--auth", str(path)]
    result = CliRunner().invoke(app, command, input="correct horse\ncorrect horse\n")
    assert f"Added anna in {path}." in result.output
    assert "correct horse" not in result.output
    assert path.read_text().startswith("anna:scrypt$")


def test_the_app_is_served_until_it_is_interrupted(app_folder, monkeypatch) -> None:
    def serve(served, listening, ready) -> None:
        ready()
        listening.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(serving, "serve", serve)
    result = CliRunner().invoke(app, ["app", str(app_folder), "--port", "0", "--no-open"])
    assert result.exit_code == 130
    assert "2 sites: http://127.0.0.1:" in result.output
    assert "(Ctrl-C ends the app)" in result.output
