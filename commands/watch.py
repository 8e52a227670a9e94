"""`euromine watch`: check sites on a schedule, record alerts and deliver them."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from euromine.support.errors import ArgumentError, ConfigError, EuroMineError, one_line
from euromine.support.wording import counted

logger = logging.getLogger(__name__)

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SHORTEST, _LONGEST = timedelta(seconds=60), timedelta(days=366)


class _Verbs(typer.core.TyperGroup):
    """Takes `euromine watch CONFIG` for `euromine watch run CONFIG`."""

    default = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] != "--help":
            args.insert(0, self.default)
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_Verbs,
    help="Check sites on a schedule and deliver alerts: `euromine watch CONFIG.yaml`.",
    no_args_is_help=True,
    add_completion=False,
)
Config = Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="Sites, models, rules and recipients.")]


@app.command("run")
def run(
    config: Config,
    once: Annotated[bool, typer.Option("--once", help="Check once; the default.")] = False,
    every: Annotated[
        str | None, typer.Option(metavar="6h", help="Check again and again: 30m, 6h, 1d.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes for sites.")] = 1,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler, instead of processes.")
    ] = None,
) -> None:
    """Check all sites, record alerts and deliver them.

    The same command again does and sends nothing, and completes a run that was killed.
    """
    if once and every is not None:
        raise ArgumentError("--every: found --once, too; expected one of them.")
    pause = None if every is None else _parse_duration(every)
    from euromine.watch.config_reading import read_config

    while True:
        began = time.monotonic()
        try:
            failures = _run(read_config(config), workers, dask)
        except (EuroMineError, OSError) as error:
            if pause is None:
                raise
            logger.warning("The run failed: %s", one_line(error))
            failures = True
        if pause is None:
            raise typer.Exit(1 if failures else 0)
        time.sleep(max(0.0, pause.total_seconds() - (time.monotonic() - began)))


def _run(config: Any, workers: int, dask: str | None) -> bool:
    """Run once, print a summary, and return whether a site failed."""
    from euromine.watch.watch_runs import run_watch

    outcome = run_watch(config, workers=workers, dask=dask)
    for event in outcome.events:
        typer.echo(f"{event.kind}: {event.alert.title}. {event.alert.sentence}")
    counts = outcome.deliveries
    parts = [
        f"{outcome.sites - len(outcome.failures)} of {outcome.sites} sites checked",
        f"{len(outcome.events)} events",
        f"{counts.sent} delivered",
        *([f"{counts.waiting} waiting"] if counts.waiting else []),
        *([f"{counts.dead} given up"] if counts.dead else []),
    ]
    typer.echo(f"{', '.join(parts)}. Alerts: {config.folder / 'alerts.geojson'}")
    return bool(outcome.failures)


@app.command("status")
def status(
    config: Config,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Show the latest run, the open alerts and the outbox."""
    from euromine.watch.config_reading import read_config
    from euromine.watch.status_reports import status_text, watch_status

    found = watch_status(read_config(config))
    typer.echo(json.dumps(found, indent=2) if as_json else status_text(found))


@app.command("review")
def review(
    config: Config,
    alert: Annotated[str, typer.Argument(help="The alert's id.")],
    verdict: Annotated[str, typer.Argument(metavar="confirmed|rejected", help="The verdict.")],
    name: Annotated[str, typer.Option(help="The name of the person who decides.")],
    comment: Annotated[str, typer.Option(help="The reason.")] = "",
) -> None:
    """Confirm or reject an alert. Rejected alerts are not delivered any more."""
    from euromine.watch.config_reading import read_config
    from euromine.watch.status_reports import review_alert

    review_alert(read_config(config), alert, verdict, name, comment)


@app.command("retry")
def retry(config: Config) -> None:
    """Try deliveries that were given up once more, in the next run."""
    from euromine.watch.config_reading import read_config
    from euromine.watch.status_reports import retry_dead_letters

    typer.echo(f"{retry_dead_letters(read_config(config))} deliveries are in the outbox again.")


@app.command("check")
def check(config: Config) -> None:
    """Check a configuration with its models, images, places and permits; no network is used."""
    from euromine.watch.config_reading import read_config

    read = read_config(config)
    from euromine.watch.config_checks import check_config

    found = check_config(read)
    for note in found.notes:
        typer.echo(f"note: {note}")
    for mistake in found.mistakes:
        typer.echo(f"mistake: {mistake}")
    if found.mistakes:
        mistakes = counted(len(found.mistakes), "mistake")
        raise ConfigError(f"{config}: found {mistakes}, listed above; expected none.")
    sites, recipients = counted(len(read.sites), "site"), counted(len(read.recipients), "recipient")
    typer.echo(f"{config}: {sites}, {recipients}. No mistakes found.")


@app.command("schema")
def schema() -> None:
    """Print the configuration's JSON Schema, by which editors complete and check it."""
    from euromine.watch.config_reading import config_schema

    typer.echo(json.dumps(config_schema(), indent=2))


def _parse_duration(text: str) -> timedelta:
    """A duration such as "6h".

    Raises:
        ArgumentError: It is none, or below a minute.
    """
    match = _DURATION.fullmatch(text.strip())
    duration = (
        timedelta(seconds=float(match[1]) * _SECONDS[match[2]]) if match and len(match[1]) < 12 else None
    )
    if duration is None or not _SHORTEST <= duration <= _LONGEST:
        raise ArgumentError(
            f"--every: found {text!r}; expected a duration from 1m to 366d, such as 30m, 6h or 1d."
        )
    return duration
