"""Numbers and lists in the words of a report."""

import math
from collections.abc import Sequence

EN_DASH, MINUS, TIMES = "\N{EN DASH}", "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_THOUSANDS = "\N{NARROW NO-BREAK SPACE}"


def hectares(value: float | None, *, signed: bool = False) -> str:
    """An area to three significant digits, whole hectares from 100 on; "unknown" without a value.

    Args:
        value: Hectares.
        signed: Whether a positive number has a plus sign.
    """
    if value is None or math.isnan(value):
        return "unknown"
    magnitude = abs(value)
    decimals = 0 if magnitude >= 100 else 1 if magnitude >= 10 else 2
    if float(f"{magnitude:.{decimals}f}") == 0:
        return "0"
    return sign(value, signed=signed) + grouped(magnitude, decimals)


def hectare_range(low: float | None, high: float | None) -> str:
    """An interval such as "5.18–7.49"; "unknown" where it has no ends."""
    if low is None or high is None:
        return "unknown"
    return f"{hectares(low)}{EN_DASH}{hectares(high)}"


def sign(value: float, *, signed: bool) -> str:
    """The sign before a number's magnitude: a minus, a plus where `signed`, or nothing."""
    return MINUS if value < 0 else "+" if signed else ""


def grouped(magnitude: float, decimals: int) -> str:
    """A number with its thousands set apart by a narrow space."""
    return f"{magnitude:,.{decimals}f}".replace(",", _THOUSANDS)


def percent(share: float) -> str:
    """A share in per cent; 100 only where nothing is missing."""
    if share >= 1:
        return "100%"
    return f"{min(100 * share, 99.9):.3g}%"


def decimal(value: float, places: int = 2) -> str:
    """A number such as "−0.25"; a dash where it is NaN."""
    if math.isnan(value):
        return EN_DASH
    rounded = round(value, places) or 0.0  # which has no sign
    return sign(rounded, signed=False) + f"{abs(rounded):.{places}f}"


def counted(count: int, noun: str) -> str:
    """A number with its noun: "1 site", "3 sites"."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def listed(items: Sequence[object], conjunction: str = "and") -> str:
    """A list in a sentence: "2015, 2016 and 2018"; "none" for an empty one."""
    words = [str(item) for item in items] or ["none"]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def crs_name(crs: str) -> str:
    """A code unchanged; the name of a coordinate system given as WKT."""
    if len(crs) < 40:
        return crs
    return crs.split('"', 2)[1] if crs.count('"') > 1 else crs[:40]
