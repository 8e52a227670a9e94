"""Errors that end a program, in one line."""

import pytest

from euromine.support.errors import reported_errors


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "maps/Tr\udce4ne.gpkg",
            "program: maps/Tr\\udce4ne.gpkg: found a name that is not UTF-8; expected UTF-8.",
        ),
        ("x" * 5000 + "\udce4" + "y" * 5000, "program: xxx"),
    ],
)
def test_a_name_that_is_not_utf_8_is_no_bug(text, said, capsys):
    with pytest.raises(SystemExit), reported_errors("program"):
        text.encode()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
    assert line.endswith("Rename the file or the folder.")
    assert len(line) < 600


def test_another_text_that_cannot_be_encoded_stays_a_bug(capsys):
    with pytest.raises(SystemExit), reported_errors("program"):
        "Träne".encode("ascii")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1].startswith("program: this is a bug in EuroMine.")
