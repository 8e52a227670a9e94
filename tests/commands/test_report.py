"""`euromine report`, as it is typed."""

from typer.testing import CliRunner

from euromine.commands import app


def test_the_help_names_the_extra_with_its_brackets() -> None:
    result = CliRunner().invoke(app, ["report", "--help"], env={"COLUMNS": "200"})
    assert "needs euromine[pdf]" in result.output
    assert "needs euromine[docx]" in result.output
