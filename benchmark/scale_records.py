"""The JSON record of the benchmark of scale."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .scale_tiles import TileCost


@dataclass(frozen=True)
class CellRecord:
    """A tile of some size and number of years, in one process with one thread.

    Attributes:
        side: In pixels.
        years: Their number.
        pairs: "consecutive" or "all".
        cost: Its cost.
        read_bytes: Sent by the server.
        load: The machine's load average over a minute at its end.
    """

    side: int
    years: int
    pairs: str
    cost: TileCost
    read_bytes: int
    load: float

    @property
    def megapixels(self) -> float:
        """Of a year."""
        return self.side**2 / 1e6

    @property
    def pair_count(self) -> int:
        """The number of pairs of years that are compared."""
        return self.years - 1 if self.pairs == "consecutive" else self.years * (self.years - 1) // 2


@dataclass(frozen=True)
class Throughput:
    """Tiles on some workers.

    Attributes:
        way: "processes" or "dask".
        workers: Their number, one thread each.
        started: Seconds since 1970 when the workers were started.
        costs: The cost of each tile.
        load: As in `CellRecord`.
    """

    way: str
    workers: int
    started: float
    costs: list[TileCost]
    load: float

    @property
    def clock(self) -> float:
        """Seconds from the begin of the first tile to the end of the last, without the workers' start."""
        return max(cost.ended for cost in self.costs) - min(cost.began for cost in self.costs)

    @property
    def start(self) -> float:
        """Seconds from the start of the workers to the begin of the first tile."""
        return min(cost.began for cost in self.costs) - self.started

    @property
    def processor(self) -> float:
        """Processor seconds of all tiles."""
        return sum(
            stage.processor for cost in self.costs for stage in (cost.compose, cost.predict, cost.series)
        )

    @property
    def processes(self) -> int:
        """The number of processes that worked."""
        return len({cost.process for cost in self.costs})


@dataclass(frozen=True)
class Interruption:
    """A run one of whose two workers was killed.

    Attributes:
        way: "processes" or "dask".
        message: The error of the run; "" if it completed by itself.
        left: Files after the kill.
        files: Files of an undisturbed run.
        finished: Tiles that the last run reported.
        different: Files that are missing, additional or differ in a byte from the undisturbed run's.
    """

    way: str
    message: str
    left: int
    files: int
    finished: int
    different: list[str]


@dataclass(frozen=True)
class ScaleRecord:
    """All parts of the benchmark that are complete.

    Attributes:
        network: Its name.
        trained: Whether its weights are trained.
        scenes: A year.
        processor: Its name.
        extensions: The processor's instructions for networks.
        torch: Its version.
        simulated: Whether the scenes are simulated.
        gpu: The GPU that was measured; None without one.
        cells: Tiles by name of the part.
        throughputs: Runs on workers, likewise.
        interruptions: Runs with a killed worker, likewise.
    """

    network: str
    trained: bool
    scenes: int
    processor: str
    extensions: list[str]
    torch: str
    simulated: bool = True
    gpu: str | None = None
    cells: dict[str, CellRecord] = field(default_factory=dict)
    throughputs: dict[str, Throughput] = field(default_factory=dict)
    interruptions: dict[str, Interruption] = field(default_factory=dict)

    @property
    def parts(self) -> frozenset[str]:
        """The names of all complete parts."""
        return frozenset([*self.cells, *self.throughputs, *self.interruptions])

    def with_part(self, name: str, part: Any) -> ScaleRecord:
        """The record with one more part."""
        for kind, place in (
            (CellRecord, "cells"),
            (Throughput, "throughputs"),
            (Interruption, "interruptions"),
        ):
            if isinstance(part, kind):
                changed: dict[str, Any] = {place: {**getattr(self, place), name: part}}
                return replace(self, **changed)
        raise TypeError(f"{name}: found a {type(part).__name__}; expected a part of the benchmark.")
