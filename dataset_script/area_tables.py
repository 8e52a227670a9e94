"""The paper's Tables 1, 2 and 3 from any archive: mine area by country and production, year, and interval."""

from __future__ import annotations

import csv
import io
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from euromine.support.csv_tables import csv_text
from euromine.support.errors import DataError
from euromine.support.markdown import escaped

from .archive import Archive
from .site_areas import SiteAreas
from .splits import split_sites

logger = logging.getLogger(__name__)

PRODUCTION_TYPES = ("metallic", "coal", "non_metallic", "quarry")
"""The paper's; a CSV may name others."""

UNKNOWN = "unknown"

_NAMED = 12

Cell: TypeAlias = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table to read and to compute with.

    Attributes:
        name: Its file's, without an ending.
        title: Heading above it.
        header: Names of the columns.
        rows: Cells by row; None for an empty cell.
        notes: Sentences below it.
    """

    name: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def to_csv(self) -> str:
        """As CSV, areas to the square metre."""
        return csv_text(
            self.header,
            ([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row] for row in self.rows),
        )

    def to_markdown(self) -> str:
        """As Markdown under its title, areas to the hectare."""
        lines = [self.header, *(tuple(escaped(_shown(cell)) for cell in row) for row in self.rows)]
        widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(self.header))]
        # Names to the left, numbers to the right.
        texts = [any(isinstance(row[column], str) for row in self.rows) for column in range(len(widths))]
        rule = ["-" * (width - 1) + ("-" if text else ":") for width, text in zip(widths, texts, strict=True)]
        cells = [
            [
                cell.ljust(width) if text else cell.rjust(width)
                for cell, width, text in zip(line, widths, texts, strict=True)
            ]
            for line in lines
        ]
        table = "\n".join(f"| {' | '.join(line)} |" for line in [cells[0], rule, *cells[1:]])
        return "\n\n".join([f"## {self.title}", table, *self.notes]) + "\n"


def read_production(path: str | os.PathLike[str]) -> dict[str, str]:
    """The production type of each site from a CSV file with the columns `site` and `production`.

    Other columns are ignored. Cells are separated by commas or semicolons; `Non-metallic` is `non_metallic`.

    Raises:
        DataError: A column is missing, a cell is empty, or a site has two types.
        OSError: The file cannot be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: found text that is not UTF-8 ({error.reason}); expected a CSV file."
        ) from None
    header = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text), delimiter=";" if header.count(";") > header.count(",") else ",")
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    if missing := [name for name in ("site", "production") if name not in columns]:
        raise DataError(
            f"{path}: found the columns {', '.join(columns) or '(none)'}; expected {' and '.join(missing)}."
        )
    found: dict[str, str] = {}
    for row in rows:
        site, kind = ((row[name] or "").strip() for name in ("site", "production"))
        kind = kind.lower().replace("-", "_").replace(" ", "_")
        if not site or not kind:
            raise DataError(
                f"{path}, line {rows.line_num}: found an empty cell; expected a site and its production."
            )
        if found.setdefault(site, kind) != kind:
            raise DataError(
                f"{path}, line {rows.line_num}: found {kind} for {site}, and {found[site]} above; "
                "expected one type."
            )
    return found


def make_tables(
    areas: Sequence[SiteAreas], production: Mapping[str, str] | None = None, *, beside_paper: bool = False
) -> list[Table]:
    """Tables 1 (by country, and by production type), 2 (by year) and 3 (by interval).

    Args:
        areas: The areas from `measure_archive`.
        production: Site -> production type; None leaves production out.
        beside_paper: Show the paper's Table 1 beside.
    """
    kinds = None if production is None else _kinds(areas, production)
    tables = [country_table(areas, kinds, beside_paper=beside_paper)]
    if kinds is not None:
        tables.append(production_table(areas, kinds))
    return [*tables, year_table(areas, kinds), interval_table(areas)]


def is_published(archive: Archive) -> bool:
    """Whether an archive holds all sites of the paper, so that the paper's Table 1 compares with it."""
    return {site for sites in split_sites("corrected").values() for site in sites} <= set(archive.sites)


def country_table(
    areas: Sequence[SiteAreas], kinds: Mapping[str, str] | None = None, *, beside_paper: bool = False
) -> Table:
    """Table 1: sites, by production type where it is known, and area in the first and the last year.

    Args:
        areas: The areas from `measure_archive`.
        kinds: Site -> production type, of all sites.
        beside_paper: Show the paper's areas beside.
    """
    ends = _ends(areas)
    columns = [] if kinds is None else _kinds_in_order(kinds.values())
    paper = published_countries() if beside_paper else {}
    countries = sorted({each.country for each in areas})
    rows = []
    for country, sites in [
        *((country, [each for each in areas if each.country == country]) for country in countries),
        ("all", list(areas)),
    ]:
        own = Counter(kinds[each.site] for each in sites) if kinds is not None else Counter()
        published = paper.get(country, {})
        rows.append(
            (
                country,
                len(sites),
                *(own[kind] for kind in columns),
                *_at_ends(sites, ends),
                *((published.get("area_2015_km2"), published.get("area_2024_km2")) if paper else ()),
            )
        )
    header = ("country", "sites", *columns, *_end_names(ends))
    header += ("paper_2015_km2", "paper_2024_km2") if paper else ()
    return Table("table1_countries", "Table 1: mine area by country", header, tuple(rows), _gaps(areas, ends))


def production_table(areas: Sequence[SiteAreas], kinds: Mapping[str, str]) -> Table:
    """Table 1, continued: sites and area by production type."""
    ends = _ends(areas)
    rows = []
    for kind in _kinds_in_order(kinds.values()):
        sites = [each for each in areas if kinds[each.site] == kind]
        rows.append((kind, len(sites), *_at_ends(sites, ends)))
    return Table(
        "table1_production",
        "Table 1: mine area by production type",
        ("production", "sites", *_end_names(ends)),
        tuple(rows),
        _gaps(areas, ends),
    )


def year_table(areas: Sequence[SiteAreas], kinds: Mapping[str, str] | None = None) -> Table:
    """Table 2: area by year, by production type where it is known, and its change since the year before.

    The change is over the sites that have both years.
    """
    columns = [] if kinds is None else _kinds_in_order(kinds.values())
    years = sorted({year for each in areas for year in each.years})
    rows = []
    for place, year in enumerate(years):
        sites = [each for each in areas if year in each.years]
        change: tuple[Cell, Cell] = (None, None)
        if place:
            both = [each for each in sites if years[place - 1] in each.years]
            before, after = (_area(both, each) for each in (years[place - 1], year))
            change = (after - before, 100 * (after - before) / before if before else None)
        parts = [
            _area([each for each in sites if (kinds or {})[each.site] == kind], year) for kind in columns
        ]
        rows.append((year, len(sites), _area(sites, year), *parts, *change))
    header = (
        "year",
        "sites",
        "area_km2",
        *(f"{kind}_km2" for kind in columns),
        "change_km2",
        "change_percent",
    )
    return Table("table2_years", "Table 2: mine area by year", header, tuple(rows))


def interval_table(areas: Sequence[SiteAreas]) -> Table:
    """Table 3: area expanded, decreased and changed (both together) by the years between two dates.

    Summed over all sites and all pairs of years of an interval; and the mean of such a pair of years.
    """
    sums: dict[int, NDArray[np.float64]] = {}
    pairs: dict[int, set[tuple[int, int]]] = {}
    for each in areas:
        for first, second in combinations(range(len(each.years)), 2):
            interval = each.years[second] - each.years[first]
            found = np.array([each.gained[first, second], each.lost[first, second]]) / 1e6
            sums[interval] = sums.get(interval, np.zeros(2)) + found
            pairs.setdefault(interval, set()).add((each.years[first], each.years[second]))
    rows = []
    for interval in sorted(sums):
        expanded, decreased = sums[interval].tolist()
        number = len(pairs[interval])
        whole = (expanded, decreased, expanded + decreased)
        rows.append((interval, number, *whole, *(area / number for area in whole)))
    names = ("expanded", "decreased", "changed")
    header = (
        "interval_years",
        "year_pairs",
        *(f"{name}_km2" for name in names),
        *(f"{name}_km2_a_pair" for name in names),
    )
    notes = () if rows else ("No site has two years, so nothing can have changed.",)
    return Table("table3_intervals", "Table 3: mine area changed by interval", header, tuple(rows), notes)


def published_countries() -> dict[str, dict[str, float]]:
    """The paper's Table 1 by country, and their sum as `all`; areas in its own convention."""
    with Path(__file__).with_name("paper_table1.csv").open(encoding="utf-8", newline="") as file:
        rows = {
            row.pop("country"): {name: float(value) for name, value in row.items()}
            for row in csv.DictReader(file)
        }
    names = next(iter(rows.values()))
    return {**rows, "all": {name: sum(row[name] for row in rows.values()) for name in names}}


def _kinds(areas: Sequence[SiteAreas], production: Mapping[str, str]) -> dict[str, str]:
    """Each site's production type; a warning names those that the CSV lacks or has beside them."""
    sites = {each.site for each in areas}
    for lacking, words in (
        (sorted(sites - set(production)), "No production type is given for %s."),
        (sorted(set(production) - sites), "The production types name sites that are not measured: %s."),
    ):
        if lacking:
            logger.warning(words, _names(lacking))
    return {site: production.get(site, UNKNOWN) for site in sorted(sites)}


def _kinds_in_order(kinds: Iterable[str]) -> list[str]:
    """The paper's types, then others, then the unknown one if there is any."""
    others = sorted(set(kinds) - {*PRODUCTION_TYPES, UNKNOWN})
    return [*PRODUCTION_TYPES, *others, *([UNKNOWN] if UNKNOWN in set(kinds) else [])]


def _ends(areas: Sequence[SiteAreas]) -> tuple[int, ...]:
    """The first and the last year of all sites; one year if there is no other."""
    years = {year for each in areas for year in each.years}
    return tuple(sorted({min(years), max(years)}))


def _end_names(ends: Sequence[int]) -> tuple[str, ...]:
    return (*(f"area_{year}_km2" for year in ends), *(["change_percent"] if len(ends) > 1 else []))


def _at_ends(sites: Sequence[SiteAreas], ends: Sequence[int]) -> tuple[Cell, ...]:
    """Area in the first and the last year, and the change of the sites that have both in percent."""
    found: list[Cell] = [
        _area(sites, year) if any(year in each.years for each in sites) else None for year in ends
    ]
    if len(ends) > 1:
        both = [each for each in sites if set(ends) <= set(each.years)]
        before, after = (_area(both, year) for year in ends)
        found.append(100 * (after - before) / before if before else None)
    return tuple(found)


def _area(sites: Iterable[SiteAreas], year: int) -> float:
    """Area in km2 of the sites that have the year."""
    return sum(float(each.mine[each.years.index(year)]) for each in sites if year in each.years) / 1e6


def _gaps(areas: Sequence[SiteAreas], ends: Sequence[int]) -> tuple[str, ...]:
    """Sentences about sites without a label of the first or the last year."""
    gaps = {year: [each.site for each in areas if year not in each.years] for year in ends}
    return tuple(
        f"Without {_names(sites)} in {year}, of which the archive has no label there."
        for year, sites in gaps.items()
        if sites
    )


def _names(sites: Sequence[str]) -> str:
    others = len(sites) - _NAMED
    return ", ".join(sites[:_NAMED]) + (f" and {others} more" if others > 0 else "")


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)
