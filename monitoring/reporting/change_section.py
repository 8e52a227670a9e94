"""Change between any two years, as a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from euromine.monitoring.mapping import colours

from .formatting import MINUS, hectares
from .report_data import MappedChange, ReportData


@dataclass(frozen=True)
class Cell:
    """A pair of years.

    Attributes:
        same: Whether both are the same year.
        text: Hectares with their sign; "" where the years were not compared.
        style: The background.
        title: The cell in words.
    """

    same: bool = False
    text: str = ""
    style: str = ""
    title: str = ""


@dataclass(frozen=True)
class MatrixRow:
    """All pairs of a year."""

    year: int
    cells: list[Cell]


@dataclass(frozen=True)
class ChangeSection:
    """Content of the section."""

    years: Sequence[int]
    rows: list[MatrixRow]
    caption: str


@dataclass(frozen=True)
class _Half:
    """One side of the diagonal: a field of `MappedChange`, its largest value and its looks."""

    field: str
    word: str
    sign: str
    colour: colours.Colour
    highest: float

    def cell(self, first: int, second: int, change: MappedChange) -> Cell:
        value: float = getattr(change, self.field)
        text = hectares(value)
        red, green, blue = self.colour
        opacity = 0.04 + 0.46 * value / self.highest
        return Cell(
            text=(self.sign if value else "") + text,
            style=f"rgba({red}, {green}, {blue}, {opacity:.2f})",
            title=f"{text} ha {self.word} between {first} and {second}",
        )


def change_section(data: ReportData) -> ChangeSection | None:
    """Gains above the diagonal, losses below; without footprints, change above. None for a single year."""
    if len(data.years) < 2:
        return None
    above, below = _halves(data)
    rows = [
        MatrixRow(year, [_cell(data, year, other, above, below) for other in data.years])
        for year in data.years
    ]
    return ChangeSection(years=data.years, rows=rows, caption=_caption(data))


def _halves(data: ReportData) -> tuple[_Half, _Half | None]:
    if not data.has_footprints:
        return _half(data, "undirected_ha", "changed", "", colours.UNDIRECTED), None
    return (
        _half(data, "gain_ha", "gained", "+", colours.GAIN),
        _half(data, "loss_ha", "lost", MINUS, colours.LOSS),
    )


def _half(data: ReportData, field: str, word: str, sign: str, colour: colours.Colour) -> _Half:
    highest = max([*(getattr(change, field) for change in data.changes.values()), 1e-9])
    return _Half(field, word, sign, colour, highest)


def _cell(data: ReportData, row: int, column: int, above: _Half, below: _Half | None) -> Cell:
    if row == column:
        return Cell(same=True)
    half = above if row < column else below
    pair = min(row, column), max(row, column)
    change = data.changes.get(pair)
    return Cell() if half is None or change is None else half.cell(*pair, change)


def _caption(data: ReportData) -> str:
    sentences = ["Hectares mapped as changed from the row's year to the column's year."]
    if data.has_footprints:
        sentences = [
            "Above the diagonal: hectares gained from the row's year to the column's year.",
            "Below it: hectares lost from the column's year to the row's year.",
        ]
    sentences.append("A stronger colour means a larger area.")
    if data.has_footprints and any(change.undirected_ha > 0 for change in data.changes.values()):
        sentences.append("Change of unknown direction is not included.")
    if len(data.changes) < len(data.years) * (len(data.years) - 1) // 2:
        sentences.append("Pairs of years that were not compared are blank.")
    return " ".join(sentences)
