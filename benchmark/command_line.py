"""Command lines of benchmarks: defaults in `--help`, and numbers and names checked before measuring."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence

from euromine.support.near_names import nearest_hint


def benchmark_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m euromine.benchmark.PROGRAM`, whose help states the defaults.

    Args:
        program: The module's name.
        description: A docstring, whose first line is shown.
    """
    return argparse.ArgumentParser(
        prog=f"python -m euromine.benchmark.{program}",
        description=(description or "").partition("\n")[0],
        formatter_class=_WithDefaults,
    )


def positive(text: str) -> int:
    """A whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    return _at_least(1, text)


def not_negative(text: str) -> int:
    """A whole number of at least 0.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    return _at_least(0, text)


def duration(text: str) -> float:
    """Seconds, at least 0.

    Raises:
        argparse.ArgumentTypeError: It is no such number.
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"found {text}; expected seconds of at least 0.")
    return seconds


def check_networks(parser: argparse.ArgumentParser, names: Sequence[str], known: Sequence[str]) -> None:
    """End the program with a sentence if a network is unknown.

    Raises:
        SystemExit: A name is not among the known ones.
    """
    for name in names:
        if name not in known:
            expected = f"{', '.join(known)}{nearest_hint(name, known)}"
            parser.error(f"network: found {name}; expected some of {expected}.")


def _at_least(smallest: int, text: str) -> int:
    if not text.isdecimal() or int(text) < smallest:
        raise argparse.ArgumentTypeError(f"found {text}; expected a whole number of at least {smallest}.")
    return int(text)


class _WithDefaults(argparse.HelpFormatter):
    """Adds the default to each option's help that does not state it."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        if "default" in text or default is None or isinstance(default, bool) or default == argparse.SUPPRESS:
            return text
        words = default if isinstance(default, (list, tuple)) else [default]
        return f"{text}; default {' '.join(str(word) for word in words)}".replace("%", "%%")
