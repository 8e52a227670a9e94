"""Runs on a site whose mine grows as told, from images to the outbox."""

import json
import logging
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import geopandas
import pytest
import shapely
import yaml
from PIL import Image
from typer.testing import CliRunner

from euromine.commands import app
from euromine.support.errors import BusyError, ConfigError
from euromine.support.locks import lock_folder
from euromine.watch import deliveries, site_checks, site_images, watch_runs
from euromine.watch.config_reading import read_config
from euromine.watch.deliveries import DeliveryCounts
from euromine.watch.status_reports import status_text, watch_status
from euromine.watch.watch_runs import run_watch
from euromine.watch.watch_state import WatchState

PIT, SECOND = (slice(10, 30), slice(10, 30)), (slice(50, 60), slice(50, 60))
EVENTS = ["suspected", "confirmed", "grown", "resolved"]
NOW = datetime(2022, 9, 1, tzinfo=UTC)


@pytest.fixture
def config(tmp_path: Path, checkpoint, write_year, write_permits):
    """A pit of four hectares inside its permit, in two images."""
    for year in (2019, 2020):
        write_year(year, [PIT])
    write_permits(PIT)
    document = {
        "model": str(checkpoint),
        "sites": [{"name": "pit", "images": "pit", "permits": "permits.gpkg"}],
        "recipients": [{"name": "office", "webhook": {"url": "https://example.org"}, "events": EVENTS}],
        "rules": {"water_growth": False, "reclamation_stalled": False, "no_data": {"days": 300}},
    }
    path = tmp_path / "watch.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.fixture
def received(monkeypatch):
    """Events that reached the webhook."""
    reached = []
    monkeypatch.setattr(
        deliveries,
        "post_event",
        lambda delivery, webhook, now: reached.append(
            (delivery.document["properties"]["rule"], delivery.event)
        ),
    )
    return reached


def at(days: float):
    return lambda: NOW + timedelta(days=days)


def kinds(run):
    return sorted((event.alert.rule, event.kind, event.alert.year) for event in run.events)


def test_a_part_outside_is_told_once_confirmed_by_the_next_image_and_told_when_it_is_gone(
    config, write_year, received, tmp_path
) -> None:
    read = read_config(config)
    assert kinds(run_watch(read, clock=at(-700))) == []
    assert run_watch(read, clock=at(-699)).events == []

    write_year(2021, [PIT, SECOND])
    assert kinds(run_watch(read, clock=at(-300))) == [
        ("growth", "suspected", 2021),
        ("outside_permit", "suspected", 2021),
    ]
    folder = tmp_path / "watch"
    before = (folder / "alerts.geojson").read_bytes()
    again = run_watch(read, clock=at(-299))
    assert (again.events, again.deliveries.sent) == ([], 0)
    assert (folder / "alerts.geojson").read_bytes() == before

    write_year(2022, [PIT, SECOND])
    assert kinds(run_watch(read, clock=at(0))) == [
        ("growth", "confirmed", 2021),
        ("outside_permit", "confirmed", 2021),
    ]
    assert sorted(received) == [
        ("growth", "confirmed"),
        ("growth", "suspected"),
        ("outside_permit", "confirmed"),
        ("outside_permit", "suspected"),
    ]
    features = json.loads((folder / "alerts.geojson").read_text())["features"]
    (outside,) = [each for each in features if each["properties"]["rule"] == "outside_permit"]
    values = outside["properties"]
    # 10 x 10 pixels of 10 m: a hectare, but for the scale of the projection, 0.9996 squared.
    assert values["area_ha"] == pytest.approx(1.0, abs=0.002)
    assert values["low_ha"] == pytest.approx(0.81, abs=0.002)
    assert [name.split("@")[0] for name in values["images"]] == ["Year2021.tif", "Year2022.tif"]
    assert values["models"][0].startswith("red-mapper@")
    assert values["permits"].startswith("permits.gpkg@")
    assert values["latitude"] == pytest.approx(46.05, abs=0.01)
    for name in values["pictures"].values():
        with Image.open(folder / name) as picture:
            assert min(picture.size) >= 96
    assert set(values["pictures"]) == {"before", "after"}

    write_year(2023, [PIT])
    assert ("outside_permit", "resolved", 2021) in kinds(run_watch(read, clock=at(400)))


def test_on_the_first_run_earlier_years_are_history(config, write_year, received) -> None:
    write_year(2021, [PIT, SECOND])
    write_year(2022, [PIT, SECOND])
    assert kinds(run_watch(read_config(config), clock=at(0))) == []
    with WatchState(read_config(config).folder) as state:
        assert {each.alert.status for each in state.alerts()} == {"confirmed"}
    assert received == []


def test_water_in_the_pit_and_ground_that_does_not_recover_are_told(
    config, write_year, received, tmp_path
) -> None:
    document = yaml.safe_load(config.read_text())
    document["rules"] = {"outside_permit": False, "growth": False, "no_data": False}
    config.write_text(yaml.safe_dump(document))
    left = (slice(10, 30), slice(10, 20))  # two hectares of the pit
    right = (slice(10, 30), slice(20, 30))
    for year in (2014, 2015):
        write_year(year, [])
    for year in (2016, 2017, 2018):
        write_year(year, [PIT])
    for year in (2019, 2020, 2021):
        write_year(year, [right], bare=[left])
    read = read_config(config)
    run_watch(read, clock=at(-300))
    write_year(2022, [], bare=[left], water=[right])
    run = run_watch(read, clock=at(0))
    assert kinds(run) == [("reclamation_stalled", "suspected", 2022), ("water_growth", "suspected", 2022)]
    areas = {event.alert.rule: event.alert.area_ha for event in run.events}
    assert areas == {
        "reclamation_stalled": pytest.approx(2.0, abs=0.01),
        "water_growth": pytest.approx(2.0, abs=0.01),
    }


def test_missing_images_are_told_once_and_resolved_by_the_next(config, write_year, received) -> None:
    read = read_config(config)
    run_watch(read, clock=at(-600))  # 31 December 2020 is 9 days ago
    assert kinds(run_watch(read, clock=at(-300))) == [("no_data", "confirmed", 2020)]
    assert kinds(run_watch(read, clock=at(-299))) == []
    write_year(2021, [PIT])
    assert kinds(run_watch(read, clock=at(-298))) == [("no_data", "resolved", 2020)]


def test_a_run_that_is_killed_anywhere_is_completed_by_the_next(
    config, write_year, received, monkeypatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_, **__):
        raise KilledError

    read = read_config(config)
    run_watch(read, clock=at(-600))
    write_year(2021, [PIT, SECOND])
    for module, name in (
        (site_checks, "write_pictures"),
        (watch_runs, "entries"),
        (watch_runs, "write_feeds"),
        (watch_runs, "deliver"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, killed)
            with pytest.raises(KilledError):
                run_watch(read, clock=at(-300))
        assert received == []
    run_watch(read, clock=at(-299))
    assert sorted(received) == [("growth", "suspected"), ("outside_permit", "suspected")]


def test_a_site_that_fails_does_not_stop_the_others(config, received, caplog, tmp_path) -> None:
    document = yaml.safe_load(config.read_text())
    document["sites"].insert(0, {"name": "gone", "images": "nowhere"})
    config.write_text(yaml.safe_dump(document))
    with caplog.at_level(logging.WARNING):
        run = run_watch(read_config(config), clock=at(-600))
    assert len(run.failures) == 1
    assert "gone: not checked. " in caplog.text
    assert "nowhere: found no such folder" in run.failures[0]
    with WatchState(tmp_path / "watch") as state:
        assert set(state.sites()) == {"pit"}
        assert state.latest_run()["failures"] == run.failures


def test_a_bug_in_one_site_is_raised_after_alerts_on_record_are_delivered(
    config, write_year, received, monkeypatch
) -> None:
    read = read_config(config)
    run_watch(read, clock=at(-600))
    write_year(2021, [PIT, SECOND])
    with monkeypatch.context() as patch:
        patch.setattr(watch_runs, "deliver", lambda *_: DeliveryCounts())
        run_watch(read, clock=at(-300))
    assert received == []

    def broken(_task):
        raise ZeroDivisionError

    monkeypatch.setattr(watch_runs, "check_site", broken)
    with pytest.raises(ZeroDivisionError):
        run_watch(read, clock=at(-299))
    assert sorted(received) == [("growth", "suspected"), ("outside_permit", "suspected")]


def test_two_runs_at_once_exclude_each_other(config, tmp_path) -> None:
    read = read_config(config)
    read.folder.mkdir()
    with lock_folder(read.folder), pytest.raises(BusyError, match="watch"):
        run_watch(read)


def test_the_command_and_its_status(config, write_year, received, tmp_path) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["watch", "status", str(config)])
    assert "found no watch.sqlite; expected that of an earlier run" in str(result.exception)
    first = runner.invoke(app, ["watch", str(config)])
    assert first.exit_code == 0, first.output
    assert "1 of 1 sites checked, 1 events, 1 delivered." in first.output  # no image for 300 days
    write_year(2021, [PIT, SECOND])
    second = runner.invoke(app, ["watch", str(config), "--once"])
    assert "suspected: New mining outside the outlines given: pit. Mined ground of 1.00 ha" in second.output
    shown = runner.invoke(app, ["watch", "status", str(config), "--json"])
    status = json.loads(shown.output)
    (name,) = [each["id"] for each in status["alerts"] if "outside" in each["title"]]
    rejected = runner.invoke(
        app,
        ["watch", "review", str(config), name[:8], "rejected", "--name", "A. Person", "--comment", "farm"],
    )
    assert rejected.exit_code == 0, rejected.output
    text = runner.invoke(app, ["watch", "status", str(config)]).output
    assert f"{name} rejected New mining outside the outlines given: pit." in text
    assert "Sites:\n  pit: checked " in text
    write_year(2022, [PIT, SECOND])
    received.clear()
    runner.invoke(app, ["watch", str(config)])
    assert ("outside_permit", "confirmed") not in received


@pytest.mark.parametrize("every", ["6", "0h", "6 hours", "-6h", "1e9d", "30s"])
def test_wrong_durations_are_refused(config, every) -> None:
    result = CliRunner().invoke(app, ["watch", str(config), "--every", every])
    assert f"--every: found '{every}'; expected a duration from 1m to 366d" in str(result.exception)


def test_processes_and_a_dask_cluster_give_the_alerts_of_one_process(config, write_year, tmp_path) -> None:
    distributed = pytest.importorskip("distributed")
    document = yaml.safe_load(config.read_text())
    document["sites"].append({"name": "quarry", "images": "quarry", "permits": "permits.gpkg"})
    config.write_text(yaml.safe_dump(document | {"recipients": []}))
    for site in ("pit", "quarry"):
        write_year(2020, [PIT], site=site)
        write_year(2021, [PIT, SECOND], site=site)
    read = read_config(config)

    def alerts(**options) -> tuple[list, list, bytes]:
        run = run_watch(read, clock=at(0), **options)
        with WatchState(read.folder) as state:
            found = [(each.alert.to_dict(), each.opened, each.changed) for each in state.alerts()]
        feed = (read.folder / "alerts.geojson").read_bytes()
        shutil.rmtree(read.folder)
        return sorted(event.alert.id for event in run.events), found, feed

    alone = alerts()
    assert len(alone[0]) == len(alone[1]) == 4  # two rules at two sites
    assert alerts(workers=2) == alone
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        assert alerts(dask=cluster.scheduler_address) == alone


def changed(config: Path, **fields: object) -> None:
    document = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump({**document, **fields}))


def test_a_rule_that_was_off_opens_alerts_on_ground_that_is_still_there(config, write_year, received) -> None:
    run_watch(read_config(config), clock=at(-700))
    write_year(2021, [PIT, SECOND])
    run_watch(read_config(config), clock=at(-300))
    rules = yaml.safe_load(config.read_text())["rules"]
    changed(config, rules={**rules, "outside_permit": False, "growth": False})
    off = run_watch(read_config(config), clock=at(-200))
    assert {event.alert.sentence for event in off.events} == {
        "The rule outside_permit was turned off.",
        "The rule growth was turned off.",
    }
    third = (slice(70, 80), slice(70, 80))
    write_year(2022, [PIT, SECOND, third])  # an image while the rules are off
    assert kinds(run_watch(read_config(config), clock=at(0))) == []
    changed(config, rules=rules)
    assert kinds(run_watch(read_config(config), clock=at(1))) == [
        ("growth", "confirmed", 2021),
        ("growth", "suspected", 2022),
        ("outside_permit", "confirmed", 2021),
        ("outside_permit", "suspected", 2022),
    ]
    assert kinds(run_watch(read_config(config), clock=at(2))) == []


def test_alerts_of_a_site_that_was_removed_are_closed_and_open_again_when_it_returns(
    config, write_year, received
) -> None:
    run_watch(read_config(config), clock=at(-700))
    write_year(2021, [PIT, SECOND])
    run_watch(read_config(config), clock=at(-300))
    received.clear()
    sites = yaml.safe_load(config.read_text())["sites"]
    write_year(2021, [PIT], site="quarry")
    changed(config, sites=[{"name": "quarry", "images": "quarry"}])
    events = run_watch(read_config(config), clock=at(-200)).events
    assert [event.kind for event in events] == ["resolved"] * 2
    assert {event.alert.sentence for event in events} == {
        "The site was removed from the configuration, or renamed."
    }
    assert sorted(received) == [("growth", "resolved"), ("outside_permit", "resolved")]
    assert run_watch(read_config(config), clock=at(-199)).events == []
    changed(config, sites=sites)
    assert kinds(run_watch(read_config(config), clock=at(-198))) == [
        ("growth", "suspected", 2021),
        ("outside_permit", "suspected", 2021),
    ]


def test_a_folder_belongs_to_one_configuration(config, received, tmp_path) -> None:
    read = read_config(config)
    run_watch(read, clock=at(0))
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("name: pit", "name: quarry"))
    with pytest.raises(
        ConfigError, match=r"watch: found the alerts of .*watch\.yaml; expected .*other\.yaml\."
    ):
        run_watch(read_config(other), clock=at(1))
    run_watch(read_config(config), clock=at(2))
    moved = config.rename(tmp_path / "moved.yaml")
    assert run_watch(read_config(moved), clock=at(3)).failures == []
    link = tmp_path / "link.yaml"
    link.symlink_to(moved)
    assert run_watch(read_config(link), clock=at(4)).failures == []
    with WatchState(read.folder) as state:
        assert (list(state.sites()), state.configuration()) == (["pit"], str(moved.resolve()))


def test_a_year_that_was_removed_makes_no_second_alert_of_the_same_growth(
    config, write_year, received, tmp_path
) -> None:
    run_watch(read_config(config), clock=at(-700))
    write_year(2021, [PIT, SECOND]).unlink()
    changed(config, rules={"no_data": False, "outside_permit": False})
    write_year(2021, [PIT, SECOND])
    assert kinds(run_watch(read_config(config), clock=at(-300))) == [("growth", "suspected", 2021)]
    (tmp_path / "pit" / "image" / "Year2021.tif").unlink()
    write_year(2022, [PIT, SECOND])
    assert kinds(run_watch(read_config(config), clock=at(0))) == [("growth", "confirmed", 2021)]
    # Two hectares more are a gain of their own.
    (tmp_path / "pit" / "image" / "Year2022.tif").unlink()
    write_year(2023, [PIT, SECOND, (slice(70, 90), slice(70, 80))])
    (event,) = run_watch(read_config(config), clock=at(300)).events
    assert (event.kind, event.alert.year) == ("suspected", 2023)
    assert event.alert.area_ha == pytest.approx(2.0, abs=0.01)


def test_a_confirmed_gain_is_recorded_and_not_open(config, write_year, received) -> None:
    changed(config, rules={"no_data": False, "outside_permit": False})
    write_year(2021, [PIT, SECOND])
    write_year(2022, [PIT, SECOND])
    run_watch(read_config(config), clock=at(0))
    status = watch_status(read_config(config))
    assert (status["alerts"], status["closed_alerts"]) == ([], 0)
    assert [each["status"] for each in status["recorded"]] == ["recorded"]
    assert "Alerts: 0 open, 1 recorded, 0 closed." in status_text(status)


def test_permits_of_another_place_are_an_error_of_that_site(config, received, tmp_path) -> None:
    elsewhere = geopandas.GeoDataFrame(geometry=[shapely.box(-7.2, 37.5, -7.1, 37.6)], crs="EPSG:4326")
    elsewhere.to_file(tmp_path / "permits.gpkg", engine="pyogrio")
    run = run_watch(read_config(config), clock=at(0))
    assert run.failures == [
        f"pit: {tmp_path}/permits.gpkg: found outlines around longitude -7.15, latitude 37.55; expected some "
        "around longitude 15.01, latitude 46.05, where the images of pit lie. Give that site its own "
        "permits, or none."
    ]
    around = [shapely.box(14, 45, 14.1, 45.1), shapely.box(16, 47, 16.1, 47.1)]  # a country's
    geopandas.GeoDataFrame(geometry=around, crs="EPSG:4326").to_file(
        tmp_path / "permits.gpkg", engine="pyogrio"
    )
    assert run_watch(read_config(config), clock=at(0)).failures == []


def test_images_are_hashed_once_and_again_when_they_change(config, received, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "pit" / "image"
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    read = read_config(config)
    run_watch(read, clock=at(-600))
    hashed = []
    file_id = site_images.file_id
    monkeypatch.setattr(site_images, "file_id", lambda path: hashed.append(Path(path).name) or file_id(path))
    run_watch(read, clock=at(-599))
    assert hashed == ["permits.gpkg"]  # small, so always
    hashed.clear()
    os.utime(folder / "Year2020.tif", (2e9, 2e9))  # ahead of the clock: not to be remembered
    for _ in range(2):
        run_watch(read, clock=at(-598))
    assert hashed == ["Year2020.tif", "permits.gpkg"] * 2
