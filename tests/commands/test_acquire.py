"""Mistakes in `euromine acquire`, each answered in a sentence. Composites are tested in tests/acquisition."""

import pytest
from typer.testing import CliRunner

from euromine.commands import app
from euromine.support.errors import EuroMineError

PLACE = ["--site", "Pit_1", "--bbox", "14.9,47.1,15.0,47.2"]


def run(*arguments):
    result = CliRunner().invoke(app, ["acquire", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*PLACE, "--years", "2014-2016"], "years: found 2014; expected 2015 or later"),
        ([*PLACE, "--years", "2016-2014"], "--years: found 2016-2014; expected ascending years"),
        ([*PLACE, "--years", "all"], "--years: found 'all'; expected years such as 2015-2024"),
        ([*PLACE, "--years", "2021", "--months", "11-2"], "--months: found "),
        (
            [*PLACE, "--years", "2021", "--months", "june"],
            "--months: found 'june'; expected months such as 6-8",
        ),
        ([*PLACE, "--years", "2021", "--level", "l3"], "level: found 'l3'; expected l1c or l2a"),
        (
            [*PLACE, "--years", "2021", "--fill", "zero"],
            "fill: found 'zero'; expected least-cloudy or nodata",
        ),
        (
            [*PLACE, "--years", "2021", "--catalogue", "usgs"],
            "catalogue: found 'usgs'; expected earth-search",
        ),
        (
            ["--site", "Pit_1", "--years", "2021", "--bbox", "14.9,47.1"],
            "--bbox: found '14.9,47.1'; expected west",
        ),
        (["--site", "Pit_1", "--years", "2021", "--bbox", "1,2,1,3"], "bbox: found a box without area"),
        (
            ["--site", "Pit_1", "--years", "2021", "--bbox", "-5,97,-4,98"],
            "longitude and latitude were swapped",
        ),
        (["--site", "Pit_1", "--years", "2021"], "Pit_1: found no area; expected --bbox or --geometry"),
        (
            ["--site", "../x", "--years", "2021", "--bbox", "1,2,2,3"],
            "site: found '../x'; expected the name of a",
        ),
        (["--years", "2021"], "--site: found neither of --site and --sites; expected one of them"),
        ([*PLACE, "--years", "2021", "--sites", "a.gpkg"], "--site: found both of --site and --sites"),
        (
            ["--sites", "a", "--bbox", "1,2,2,3", "--years", "2021"],
            "--sites: found --bbox or --geometry, too",
        ),
        (
            [*PLACE, "--geometry", "a.gpkg", "--years", "2021"],
            "bbox: found a geometry, too; expected one of the two",
        ),
    ],
)
def test_mistakes_are_answered_in_a_sentence_and_nothing_is_written(tmp_path, arguments, message):
    with pytest.raises(EuroMineError) as caught:
        run(str(tmp_path / "out"), *arguments)
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OSError, match=r"none\.gpkg: there is no such file"):
        run(str(tmp_path), "--site", "Pit_1", "--years", "2021", "--geometry", str(tmp_path / "none.gpkg"))
