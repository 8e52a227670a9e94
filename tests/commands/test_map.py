"""The command `map`: its options reach acquisition and series, and mistakes are reported before downloads."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from euromine.commands import app
from euromine.monitoring import monitor, place_history
from euromine.support.errors import EuroMineError

PLACE = ("--bbox", "-6.7,37.6,-6.5,37.8")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """The calls of `map_place`, which does nothing here; a model that is always there."""
    found = []

    def map_place(name, models, out, options, **others):
        found.append(SimpleNamespace(name=name, models=models, out=out, options=options, **others))
        raise KeyboardInterrupt  # as a user may do

    monkeypatch.setattr(place_history, "map_place", map_place)
    monkeypatch.setattr(monitor.MineMonitor, "from_pretrained", lambda *arguments, **_: arguments)
    return found


def run(*arguments: str, out: Path, years: str = "2017-2019"):
    return CliRunner().invoke(
        app, ["map", "Tharsis", "--years", years, "--model", "org/unet", "--out", str(out), *arguments]
    )


def test_options_reach_the_acquisition_and_the_series(calls, tmp_path) -> None:
    options = "--months 5-9 --level L2A --scenes 6 --fill nodata --margin 250 --radar --smooth none"
    series = "--pairs consecutive --threshold 0.4 --smallest-mapping-unit 0.5 --device cpu --pdf"
    result = run(*PLACE, *options.split(), *series.split(), "--permits", "permits.gpkg", out=tmp_path)
    assert result.exit_code == 130, result.output
    assert "Run the same command again to resume." in result.output
    (call,) = calls
    assert (call.name, call.models, call.out) == ("Tharsis", ("org/unet", None, "cpu"), tmp_path)
    assert (call.bbox, call.geometry, call.kind) == ((-6.7, 37.6, -6.5, 37.8), None, "pdf")
    asked = call.options
    assert (asked.years, asked.months, asked.level) == ((2017, 2018, 2019), (5, 6, 7, 8, 9), "l2a")
    assert (asked.scenes, asked.fill, asked.margin, asked.radar) == (6, "nodata", 250, True)
    made = call.settings
    assert (made.smoothing, made.pairs, made.threshold) == ("none", "consecutive", 0.4)
    assert (made.minimum_mapping_unit, made.permits, made.site) == (0.5, Path("permits.gpkg"), "Tharsis")


def test_options_on_the_ground_around_a_mine_reach_the_series(calls, tmp_path) -> None:
    options = "--indices nbr,mndwi --surroundings 500 --reclamation terraces.gpkg --reference forest.gpkg"
    land = "--land-cover own.tif --land-cover-legend own.csv --land-cover-year 2012 --docx"
    run(*PLACE, *options.split(), *land.split(), out=tmp_path)
    (call,) = calls
    impact = call.settings.impact
    assert (call.kind, impact.indices, impact.surroundings) == ("docx", ("mndwi", "nbr"), 500)
    assert (impact.reclamation, impact.reference) == (Path("terraces.gpkg"), Path("forest.gpkg"))
    assert (impact.land_cover, impact.land_cover_legend, impact.land_cover_year) == (
        Path("own.tif"),
        "own.csv",
        2012,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PLACE, "--pdf", "--docx"), "--docx: found --pdf, too; expected one of them."),
        ((*PLACE, "--indices", "ndwj"), "--indices: found 'ndwj'"),
        (("--bbox", "1,2,3"), "--bbox: found '1,2,3'; expected west,south,east,north"),
        ((*PLACE, "--months", "summer"), "--months: found 'summer'"),
        ((*PLACE, "--level", "l3"), "--level: found 'l3'; expected l1c or l2a"),
        ((*PLACE, "--smooth", "mean"), "--smooth: found 'mean'"),
        ((*PLACE, "--threshold", "1"), "threshold: found 1.0"),
        ((*PLACE, "--pairs", "some"), "pairs: found 'some'"),
        ((*PLACE, "--catalogue", "nowhere"), "catalogue"),
    ],
)
def test_mistakes_are_reported_before_anything_is_fetched(calls, tmp_path, arguments, message: str) -> None:
    result = run(*arguments, out=tmp_path / "out")
    assert isinstance(result.exception, EuroMineError), result.output
    assert message in str(result.exception)
    assert calls == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Tharsis", "--bbox", "1,2,1,3"), "bbox: found a box without area"),
        (("../x", *PLACE), "NAME: found '../x'; expected the name of a folder"),
    ],
)
def test_a_place_that_does_not_fit_is_refused_before_the_model_is_loaded(
    tmp_path, monkeypatch, arguments, message
) -> None:
    monkeypatch.setattr(monitor.MineMonitor, "from_pretrained", None)
    given = ["map", *arguments, "--years", "2021", "--model", "org/unet", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, given)
    assert isinstance(result.exception, EuroMineError), result.output
    assert message in str(result.exception)


def test_impossible_years_are_refused(calls, tmp_path) -> None:
    result = run(*PLACE, out=tmp_path, years="2019-2017")
    assert "--years: found 2019-2017; expected ascending years" in str(result.exception)
    result = run(*PLACE, out=tmp_path, years="2013-2017")
    assert "expected 2015 or later" in str(result.exception)
