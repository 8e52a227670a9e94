"""The contents of a metric's Space, from which `evaluate.load` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from euromine.metrics.synchronise import FOLDER, METRICS, SHARED_FILES
from euromine.support.errors import ArgumentError

from .contents import CARD, Contents, PublishedFile


def metric_contents(name: str, repository: str) -> Contents:
    """The files of a metric's Space.

    Args:
        name: `ca_tiou`, `annual_f1`, `interval_f1` or `component_iou`.
        repository: Its name on the Hub, which must end in the metric's, or `evaluate` would not find it.

    Raises:
        ArgumentError: There is no such metric, or the repository has another name.
    """
    if name not in METRICS:
        raise ArgumentError(f"NAME: found {name!r}; expected {', '.join(METRICS)}.")
    if repository.rpartition("/")[2] != name:
        raise ArgumentError(
            f"REPO: found {repository}; expected a repository named .../{name}. evaluate.load looks in it "
            "for a file of the repository's own name."
        )
    folder = FOLDER / name
    card = (folder / CARD).read_text(encoding="utf-8").replace(f"<organisation>/{name}", repository)
    names = (f"{name}.py", *SHARED_FILES)
    return Contents(
        repo_type="space",
        title=f"the metric {name}",
        files=(
            PublishedFile(CARD, card.encode()),
            *(PublishedFile(each, folder / each) for each in names),
        ),
        owned=(),
        identity=tuple(f"{each}.py" for each in METRICS),
        difference=lambda found: _difference(name, found),
        space_sdk="gradio",
    )


def _difference(name: str, found: Mapping[str, bytes]) -> str | None:
    if f"{name}.py" in found:
        return None
    return f"the metric {Path(next(iter(found))).stem}" if found else "a Space of something else"
