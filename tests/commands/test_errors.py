"""What a user sees when a command fails: one line for a mistake, a traceback for a bug."""

import signal
import subprocess
import sys
import textwrap
from importlib.metadata import version
from pathlib import Path

import pytest
import typer.testing

from euromine.commands import app, main
from euromine.support.errors import (
    ArgumentError,
    EuroMineError,
    MissingExtraError,
    SceneError,
    as_user_error,
    one_line,
    reported_errors,
)


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "euromine.commands", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def fail(error, **options):
    with pytest.raises(SystemExit) as exit_, reported_errors("euromine", **options):
        raise error
    return exit_.value.code


def test_the_version_is_that_of_the_distribution():
    result = typer.testing.CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"euromine {version('euromine')}\n")


def test_a_missing_archive_is_one_line(tmp_path):
    result = run("build", tmp_path / "nothing", tmp_path / "out")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"euromine: {tmp_path / 'nothing'}: found ")


@pytest.mark.parametrize("place", ["before", "behind", "environment"])
def test_debug_shows_the_traceback_of_a_mistake(tmp_path, place, euromine_here):
    arguments = ["build", tmp_path / "nothing", tmp_path / "out"]
    if place == "environment":
        status, told = euromine_here(*arguments, EUROMINE_DEBUG="1")
    elif place == "before":
        status, told = euromine_here("--debug", *arguments)
    else:
        status, told = euromine_here(*arguments, "--debug")
    assert status == 1
    assert told.startswith("Traceback (most recent call last)")
    assert told.splitlines()[-1].startswith("euromine: ")


def test_an_option_named_debug_behind_a_double_dash_is_left_alone(tmp_path, euromine_here):
    status, told = euromine_here("build", "--", "--debug", tmp_path / "out")
    assert status == 1
    assert told.startswith(f"euromine: {Path.cwd() / '--debug'}: found ")


@pytest.mark.parametrize(
    "error", [SceneError("a.tif: found a word; expected numbers."), MissingExtraError("polygons: x.")]
)
def test_a_user_error_is_one_line(error, capsys):
    assert fail(error) == 1
    assert capsys.readouterr().err == f"euromine: {error}\n"


def test_a_lack_of_memory_is_one_line(capsys):
    assert fail(MemoryError("Unable to allocate 35.5 PiB")) == 1
    assert capsys.readouterr().err == "euromine: there is not enough memory (Unable to allocate 35.5 PiB).\n"


@pytest.mark.parametrize("error", [ValueError("shapes differ"), KeyError("years"), ZeroDivisionError()])
def test_a_bug_shows_its_traceback_and_where_to_report_it(error, capsys):
    assert fail(error) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last)")
    assert type(error).__name__ in told
    assert "Please report it" in told.splitlines()[-1]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.tif"), "a.tif: No such file or directory"),
        (OSError(28, "no space left for the report in out."), "no space left for the report in out."),
        (OSError("out cannot\n be written."), "out cannot be written."),
        (OSError(18, "Invalid link", "a", None, "b"), "a -> b: Invalid link"),
    ],
)
def test_an_error_of_the_system_names_its_files_once(error, line):
    assert one_line(error) == line


def test_an_interrupt_ends_with_status_130(capsys):
    assert fail(KeyboardInterrupt()) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_program_that_is_interrupted_ends_with_status_130(tmp_path):
    script = textwrap.dedent("""
        import sys, time
        from euromine.support.errors import reported_errors
        with reported_errors("program"):
            print("ready", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (130, "program: interrupted.\n")


def test_only_the_value_that_a_user_gave_is_translated():
    with (
        pytest.raises(ArgumentError, match=r"^--architecture: found 'unett'; expected unet\.$"),
        as_user_error("--architecture"),
    ):
        raise ValueError("found 'unett'; expected unet.")
    with (
        pytest.raises(SceneError, match=r"^a\.tif: found no band; expected B02\.$"),
        as_user_error("--architecture"),
    ):
        raise SceneError("a.tif: found no band; expected B02.")
    with pytest.raises(KeyError), as_user_error("--architecture"):
        raise KeyError("a bug")


def test_every_user_error_is_a_value_error():
    assert issubclass(EuroMineError, ValueError)
    assert issubclass(MissingExtraError, ImportError)


@pytest.mark.parametrize(
    ("verb", "resumes"), [("build", True), ("simulate", True), ("publish", True), ("tables", False)]
)
def test_ctrl_c_is_one_line_that_says_how_to_go_on(verb, resumes, monkeypatch, capsys):
    def interrupt():
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    command = next(each for each in (*app.registered_commands, *app.registered_groups) if each.name == verb)
    if verb == "publish":
        (command,) = [each for each in command.typer_instance.registered_commands if each.name == "metric"]
    monkeypatch.setattr(command, "callback", interrupt)
    arguments = {"publish": ["publish", "metric"]}.get(verb, [verb])
    monkeypatch.setattr(sys, "argv", ["euromine", *arguments])
    try:
        with pytest.raises(SystemExit) as exit_:
            main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert exit_.value.code == 130
    advice = " Run the same command again to resume." if resumes else ""
    assert capsys.readouterr().err == f"euromine: interrupted.{advice}\n"
