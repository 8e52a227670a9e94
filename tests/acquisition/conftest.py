"""A small world behind servers on this machine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from euromine.acquisition import catalogue_search, ranged_files

from .faulty_servers import Catalogue, Faults, file_server, stac_api
from .small_world import SmallWorld


@pytest.fixture(autouse=True)
def _without_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranged_files, "_WAITS", (0.01, 0.02, 0.04, 0.08, 0.16))
    monkeypatch.setattr(catalogue_search, "_PAUSE", 0.01)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[SmallWorld]:
    """A world without scenes; `world.faults` are the faults of its file server."""
    folder = tmp_path / "world"
    folder.mkdir()
    with file_server(folder) as (address, faults):
        empty = SmallWorld(folder, address)
        empty.faults = faults  # type: ignore[attr-defined]
        yield empty


@pytest.fixture
def faults(world: Any) -> Faults:
    """The faults of the world's file server."""
    return world.faults


@pytest.fixture
def serve() -> Iterator[Callable[..., Catalogue]]:
    """Serve items as a STAC API."""
    with ExitStack() as servers:
        yield lambda items, *collections: servers.enter_context(stac_api(items, *collections))
