"""`euromine simulate`: an archive with known truth, in the published layout."""

import re
from pathlib import Path
from typing import Annotated

import typer

from euromine.support.errors import ArgumentError

Years = Annotated[
    str | None,
    typer.Option(metavar="2016-2024", help="Years to take, also as 2016,2018,2020-2022; by default all."),
]


def simulate(
    out: Annotated[Path, typer.Argument(help="Folder to write the archive to, or to complete.")],
    sites: Annotated[str, typer.Option(help="Number of sites, or their names: Germany_2,Spain_1.")] = "8",
    years: Annotated[str, typer.Option(help="Years: 2015-2024, or 2015,2018,2020-2022.")] = "2015-2024",
    size: Annotated[
        str, typer.Option(metavar="HEIGHTxWIDTH", help="Size of each scene in pixels.")
    ] = "320x320",
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same archive.")] = 0,
    components: Annotated[
        bool, typer.Option("--components", help="Draw the twelve component classes of mines, too.")
    ] = False,
    radar: Annotated[
        bool, typer.Option("--radar", help="Draw Sentinel-1 backscatter, too; that of mines is assumed.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Number of processes; by default one per core.")] = None,
) -> None:
    """Simulate an archive: images, labels as drawn by annotators, and the true footprints.

    Run the same command again to resume a stopped run.
    """
    chosen_sites, chosen_years, chosen_size = parse_sites(sites), parse_years(years), parse_size(size)
    from euromine.simulation.simulated_archive import simulate_archive  # SciPy takes a moment to import

    folder = simulate_archive(
        out,
        sites=chosen_sites,
        years=chosen_years,
        size=chosen_size,
        seed=seed,
        components=components,
        radar=radar,
        workers=workers,
    )
    typer.echo(f"Simulated {folder}: the archive is {folder / 'EuroMineNet'}, the truth {folder / 'truth'}.")


def parse_sites(text: str) -> int | list[str]:
    """`"8"` -> 8; `"Germany_2,Spain_1"` -> their names."""
    text = text.strip()
    if re.fullmatch(r"[+-]?[0-9]+", text):
        return int(text)
    return [name.strip() for name in text.split(",")]


def parse_years(text: str) -> list[int]:
    """`"2015-2017,2020"` -> 2015, 2016, 2017, 2020.

    Raises:
        ArgumentError: The text is something else, or a range runs backwards.
    """
    years: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{4})\s*(?:-\s*([0-9]{4})\s*)?", part)
        if not found:
            raise ArgumentError(f"--years: found {text!r}; expected years such as 2015-2024 or 2015,2018.")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ArgumentError(f"--years: found {first}-{last}; expected ascending years, {last}-{first}.")
        years += range(first, last + 1)
    return years


def parse_size(text: str) -> tuple[int, int]:
    """`"320x480"` -> height 320, width 480.

    Raises:
        ArgumentError: The text is something else.
    """
    found = re.fullmatch(r"\s*([0-9]+)\s*[xX]\s*([0-9]+)\s*", text)
    if not found:
        raise ArgumentError(f"--size: found {text!r}; expected height x width in pixels, such as 320x320.")
    return int(found[1]), int(found[2])
