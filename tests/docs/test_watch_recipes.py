"""Schedules in docs/watch.md: the cron line runs in an empty environment; units and workflow are sound."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs" / "watch.md"
# A stand-in for the command, which shows its arguments and the password that it was given.
STUB = '#!/bin/sh\necho "$@"; echo "password: $SMTP_PASSWORD"; pwd\n'


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder of the recipes, with a stand-in for the command."""
    command = tmp_path / "venv" / "bin" / "euromine"
    command.parent.mkdir(parents=True)
    command.write_text(STUB)
    command.chmod(0o755)
    (tmp_path / "smtp").write_text("hush\n")
    return tmp_path


def test_the_cron_line_runs_in_an_empty_environment(place) -> None:
    (line,) = [line for block in blocks("text") for line in block.splitlines() if "euromine watch" in line]
    schedule, command = re.fullmatch(r"((?:\S+ ){4}\S+)\s+(.*)", line).groups()
    assert re.fullmatch(r"[\d*/, -]+", schedule)
    assert "%" not in command  # a line break to cron
    command = command.replace("/srv/mines", str(place)).replace("/run/secrets/smtp", str(place / "smtp"))
    done = subprocess.run(
        ["/bin/sh", "-c", command], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["watch watch.yaml", "password: hush", str(place)]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_units_are_sound(place) -> None:
    service, timer = blocks("ini")
    (place / "env").write_text("SMTP_PASSWORD=hush\n")
    service = service.replace("/srv/mines", str(place)).replace("/etc/euromine-watch.env", str(place / "env"))
    for name, text in (("service", service), ("timer", timer)):
        (place / f"euromine-watch.{name}").write_text(text)
    units = [str(place / f"euromine-watch.{name}") for name in ("service", "timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    (calendar,) = re.findall(r"OnCalendar=(.*)", timer)
    assert subprocess.run(["systemd-analyze", "calendar", calendar], capture_output=True).returncode == 0


def test_the_workflow_carries_its_state_from_run_to_run(place) -> None:
    (text,) = [block for block in blocks("yaml") if "runs-on" in block]
    workflow = yaml.load(text, yaml.BaseLoader)  # in which `on` is no boolean
    assert re.fullmatch(r"(\S+ ){4}\S+", workflow["on"]["schedule"][0]["cron"])
    assert workflow["concurrency"]
    (job,) = workflow["jobs"].values()
    assert all(len({"uses", "run"} & set(step)) == 1 for step in job["steps"])
    by_use = {step["uses"].split("@")[0]: step for step in job["steps"] if "uses" in step}
    restore, save = by_use["actions/cache/restore"]["with"], by_use["actions/cache/save"]["with"]
    assert restore["path"] == save["path"] == "watch"  # the default folder of a configuration
    assert save["key"].startswith(restore["restore-keys"])
    # Without it, a site that fails would lose the state, and the next run would send everything again.
    assert by_use["actions/cache/save"]["if"] == "always()"
    (run,) = [step for step in job["steps"] if step.get("run", "").startswith("euromine watch")]
    done = subprocess.run(
        ["/bin/sh", "-ec", run["run"]],
        env={"PATH": f"{place}/venv/bin:/usr/bin:/bin", **run["env"]},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[:2] == ["watch watch.yaml", "password: ${{ secrets.SMTP_PASSWORD }}"]
