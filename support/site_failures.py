"""Work on many sites side by side: a bar, a warning for each that fails, and the error of them all."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

from .errors import DataError


class Outcome(Protocol):
    """The outcome of the work on a site."""

    @property
    def name(self) -> str:
        """The site's name."""
        ...

    @property
    def reason(self) -> str:
        """The reason of its failure; "" if it did not fail."""
        ...


AnyOutcome = TypeVar("AnyOutcome", bound=Outcome)


def collect_outcomes(
    outcomes: Generator[AnyOutcome, None, None],
    total: int,
    verb: str,
    logger: logging.Logger,
    *,
    progress: bool,
) -> list[AnyOutcome]:
    """Collect outcomes as they come, and log those of sites that failed.

    Args:
        outcomes: Closed in any case.
        total: Their number.
        verb: The work, in its past form.
        logger: The log for warnings.
        progress: Show a bar.

    Returns:
        All outcomes in the order of their names.
    """
    from tqdm import tqdm

    found = []
    with closing(outcomes), tqdm(total=total, disable=not progress, unit="site") as bar:
        for outcome in outcomes:
            bar.set_postfix_str(outcome.name, refresh=False)
            bar.update()
            if outcome.reason:
                logger.warning("%s: not %s. %s", outcome.name, verb, outcome.reason)
            found.append(outcome)
    return sorted(found, key=lambda outcome: outcome.name)


def failed_sites(
    sites: str | os.PathLike[str], failed: Sequence[Outcome], total: int, verb: str
) -> DataError:
    """The error of sites of which some failed.

    Args:
        sites: Their file or archive.
        failed: Those that failed, at least one.
        total: The number of all.
        verb: The work, in its past form.
    """
    names = ", ".join(sorted(outcome.name for outcome in failed))
    return DataError(
        f"{sites}: found {len(failed)} of {total} sites that could not be {verb} ({names}); "
        f"expected all. The first: {failed[0].reason} Run the same command again to resume."
    )
