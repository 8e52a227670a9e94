"""Training steps beside busy processes: turns, ratios and the load."""

import multiprocessing

from euromine.benchmark import shared_cores
from euromine.benchmark.shared_cores import Step, busy_processes, markdown, measure, settings


def test_the_settings_take_turns_and_the_shortest_counted_step_counts(monkeypatch):
    turns: list[str] = []

    class Trainer:
        """Steps of 9 s, which is not counted, then 4, 2 and 3 s; half of it of the processor."""

        def __init__(self, network, batch, environment) -> None:
            self.name = " ".join(environment.values())
            self.clocks = iter((9.0, 4.0, 2.0, 3.0))

        def step(self) -> Step:
            turns.append(self.name)
            clock = next(self.clocks)
            return Step(clock, clock / 2)

        def close(self) -> None:
            turns.append("closed")

    monkeypatch.setattr(shared_cores, "Trainer", Trainer)
    steps = measure("tinycd", 8, 2, 3)
    assert set(steps.values()) == {Step(2.0, 1.0)}
    assert turns == [*(["1", "2", "2 ACTIVE", "2 PASSIVE"] * 4), *(["closed"] * 4)]
    assert list(steps) == list(settings(2))


def test_ratios_are_to_one_thread():
    steps = {"one thread": Step(2.0, 1.0), "asleep": Step(1.5, 1.1)}
    table = markdown([("tinycd", steps)], "Quiet, load 0.1").splitlines()
    assert table[0] == "Quiet, load 0.1:"
    assert table[-3:-1] == [
        "| `tinycd` | one thread | 2.00 | 1.00 | 1.00 | 1.00 |",
        "| `tinycd` | asleep | 1.50 | 0.75 | 1.10 | 1.10 |",
    ]


def test_busy_processes_run_until_the_block_ends():
    with busy_processes(2):
        assert len(multiprocessing.active_children()) == 2
    assert not multiprocessing.active_children()
    with busy_processes(0):
        assert not multiprocessing.active_children()
