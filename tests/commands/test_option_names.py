"""Messages of the command name options; those of the library, its parameters."""

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from euromine.commands import app
from euromine.commands.option_names import name_options
from euromine.support.errors import ArgumentError, DataError, MissingExtraError

SAID = {
    "window: found 0; expected more.": "--window: found 0; expected more.",
    "unit: found -1; expected 0.": "--smallest-unit: found -1; expected 0.",
    "scene: found nothing; expected an image.": "scene: found nothing; expected an image.",  # no option
    "windows: found 0; expected more.": "windows: found 0; expected more.",
    "Give it with window: found none; expected one.": "Give it with window: found none; expected one.",
    "--window: found 0; expected more.": "--window: found 0; expected more.",
}


@pytest.fixture
def group() -> typer.Typer:
    """A command within a group that fails with the message it is given."""

    def fail(
        scene: str,
        kind: str = "argument",
        window: int = 0,
        unit: Annotated[float, typer.Option("--smallest-unit")] = 0,
    ) -> None:
        raise {"argument": ArgumentError, "data": DataError, "extra": MissingExtraError}[kind](scene)

    outer, inner = typer.Typer(), typer.Typer()
    inner.command("fail")(fail)
    inner.command("other")(lambda: None)
    outer.add_typer(inner, name="inner")
    name_options(outer)
    return outer


@pytest.mark.parametrize(("message", "said"), SAID.items())
def test_the_parameter_at_the_beginning_is_named_as_its_option(group, message, said) -> None:
    error = CliRunner().invoke(group, ["inner", "fail", "--", message]).exception
    assert isinstance(error, ArgumentError)
    assert str(error) == said


def test_missing_extras_are_of_options_and_files_are_not(group) -> None:
    message = "window: found none; expected one."
    results = [
        CliRunner().invoke(group, ["inner", "fail", "--kind", kind, message]).exception
        for kind in ("extra", "data")
    ]
    assert [(type(error), str(error)) for error in results] == [
        (MissingExtraError, f"--{message}"),
        (DataError, message),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--overlap", "400"), "--overlap: found 400; expected 0 to "),
        (("--threshold", "1"), "--threshold: found 1.0; expected a probability of at least 0 and below 1."),
        (("--smooth", "mean"), "--smooth: found 'mean'; expected"),
        (("--precision", "float16"), "--precision: found 'float16'; expected float32"),
        (("--surroundings", "0"), "--surroundings: found 0.0; expected metres above 0"),
        (("--land-cover-year", "2015"), "--land-cover: found its legend or year without the raster"),
    ],
)
def test_the_options_of_a_series_are_named(tmp_path: Path, options, said) -> None:
    (tmp_path / "config.json").write_text("{}")
    arguments = ["series", str(tmp_path), str(tmp_path), "--out", str(tmp_path / "out"), *options]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ArgumentError)
    assert str(error).startswith(said)
