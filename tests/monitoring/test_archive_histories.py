"""All sites of an archive: the same bytes as one by one, in this process or on a cluster, and resumed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from euromine.commands import app
from euromine.monitoring import MineMonitor, archive_histories
from euromine.monitoring.archive_histories import ModelChoice, SiteHistory, map_archive
from euromine.monitoring.history.series_settings import SeriesSettings
from euromine.support.errors import ArchiveError, ArgumentError, DataError

from .history.site_images import PLAIN, series_of

SETTINGS = SeriesSettings(smoothing="none", pairs="consecutive", **PLAIN)


@pytest.fixture(scope="module")
def archive(place, tmp_path_factory) -> Path:
    """An archive of two sites with the same images, two years of one and the second of the other."""
    folder = tmp_path_factory.mktemp("archive")
    for name, years in (("Mine_7", (2015, 2016)), ("Mine_8", (2016,))):
        images = folder / "EuroMineNet" / name / "image"
        images.mkdir(parents=True)
        for year in years:
            shutil.copy(place / "image" / f"Year{year}.tif", images)
    return folder


@pytest.fixture(scope="module")
def models(mapper) -> Iterator[ModelChoice]:
    """The name of a model that is always there."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(archive_histories, "_monitor", lambda choice: MineMonitor([mapper]))
        yield ModelChoice(model="runs/tiny-mapper")


@pytest.fixture(scope="module")
def done(models, archive, tmp_path_factory) -> list[SiteHistory]:
    """All sites, mapped without interruption."""
    return map_archive(models, archive, tmp_path_factory.mktemp("done"), SETTINGS)


def maps(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.tif"))}


def test_each_site_has_the_maps_of_its_own_series(done, mapper, archive, tmp_path) -> None:
    assert [(site.name, site.folder.name) for site in done] == [("Mine_7", "Mine_7"), ("Mine_8", "Mine_8")]
    images = archive / "EuroMineNet" / "Mine_8"
    alone = series_of([mapper], images, tmp_path, smoothing="none", pairs="consecutive", **PLAIN)
    expected = maps(alone.path)
    assert {"footprint_2016.tif", "probability_2016.tif"} <= set(expected)
    assert maps(done[1].folder) == expected
    assert "change_2015_2016.tif" in maps(done[0].folder)


def test_a_cluster_completes_a_stopped_run_to_the_same_bytes(
    done, models, archive, tmp_path, monkeypatch
) -> None:
    distributed = pytest.importorskip("distributed")
    finished = archive_histories.make_series

    def stopped(loaded, scenes, out, *arguments, **options):
        if Path(out).name == "Mine_8":
            raise KeyboardInterrupt
        return finished(loaded, scenes, out, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(archive_histories, "make_series", stopped)
        with pytest.raises(KeyboardInterrupt):
            map_archive(models, archive, tmp_path, SETTINGS)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "Mine_7").iterdir()}
    assert not (tmp_path / "Mine_8").exists()
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        resumed = map_archive(models, archive, tmp_path, SETTINGS, dask=cluster.scheduler_address)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "Mine_7").iterdir()} == before
    assert [maps(site.folder) for site in resumed] == [maps(site.folder) for site in done]


def test_a_site_that_fails_is_named_and_stops_no_other(models, archive, tmp_path) -> None:
    shutil.copytree(archive, tmp_path / "archive")
    (tmp_path / "archive" / "EuroMineNet" / "Mine_7" / "image" / "Year2016.tif").write_bytes(b"II*\0")
    with pytest.raises(
        DataError, match=r"archive: found 1 of 2 sites that could not be mapped \(Mine_7\); .* to resume\."
    ):
        map_archive(models, tmp_path / "archive", tmp_path / "maps", SETTINGS)
    assert maps(tmp_path / "maps" / "Mine_8")
    with pytest.raises(DataError, match=r"\(Mine_8\); .* years: found no image of 2015"):
        map_archive(models, archive, tmp_path / "first", SETTINGS, years=[2015])


def test_mistakes_are_refused_before_anything_is_mapped(archive, tmp_path) -> None:
    models = ModelChoice(model="runs/tiny-mapper")
    with pytest.raises(ArgumentError, match="workers: found 0; expected at least 1"):
        map_archive(models, archive, tmp_path, workers=0)
    packed = shutil.make_archive(str(tmp_path / "EuroMineNet"), "zip", archive)
    with pytest.raises(ArchiveError, match=r"found a zip; expected a folder\. Unpack"):
        map_archive(models, packed, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "2"], "--workers: found it for one site; expected it for many. Add --each-site."),
        (["--each-site", "--site", "Mine"], "--site: found it with --each-site; expected it for a single"),
        (["--each-site", "--year-of", "a=2015"], "--year-of: found it with --each-site"),
        (["--each-site", "second"], "second: found no folder of an archive; expected one with --each-site"),
    ],
)
def test_the_command_refuses_options_that_do_not_go_together(arguments, message, archive, tmp_path) -> None:
    result = CliRunner().invoke(
        app, ["series", "runs/tiny-mapper", str(archive), "--out", str(tmp_path / "out"), *arguments]
    )
    assert result.exit_code != 0
    assert message in str(result.exception)


def test_the_options_of_the_command_reach_every_site(archive, tmp_path, monkeypatch) -> None:
    calls = []

    def called(*arguments, **options):
        calls.append((arguments, options))
        return [archive_histories.SiteHistory("Mine_7", tmp_path / "Mine_7")]

    monkeypatch.setattr(archive_histories, "map_archive", called)
    options = "--each-site --workers 2 --dask tcp://host:8786 --years 2015-2016 --pairs consecutive"
    options += " --bands B02,B03 --offset -1000 --device cpu --smooth none --precision bfloat16"
    result = CliRunner().invoke(
        app, ["series", "org/unet", str(archive), "--out", str(tmp_path), *options.split()]
    )
    assert result.exit_code == 0, result.output
    ((choice, read, out, settings), others) = calls[0]
    assert (choice.model, choice.device, choice.engine.precision) == ("org/unet", "cpu", "bfloat16")
    assert (read, out, settings.pairs, settings.smoothing) == (str(archive), tmp_path, "consecutive", "none")
    assert (others["years"], others["workers"], others["dask"]) == ([2015, 2016], 2, "tcp://host:8786")
    assert (others["options"].bands, others["options"].offset) == (("B02", "B03"), -1000)
