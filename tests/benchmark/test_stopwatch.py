"""Times and peaks of memory that are known beforehand."""

import mmap

import torch

from euromine.benchmark.stopwatch import PeakMemory, Stopwatch

CPU = torch.device("cpu")


def test_the_peak_is_that_of_the_call_alone():
    peak = PeakMemory(CPU)
    # From the system, not from what the allocator still holds of earlier tests.
    with mmap.mmap(-1, 128 * 2**20) as block:
        block.write(b"1" * len(block))
    with mmap.mmap(-1, 2**20) as block:
        block.write(b"1" * len(block))
    # The block, and the bytes that are written to it, which may come from what the allocator holds.
    assert 120 * 2**20 < peak.bytes() < 300 * 2**20
    assert PeakMemory(CPU).bytes() < 60 * 2**20


def test_the_first_call_is_not_counted_however_long_it_is():
    calls: list[int] = []

    def slow_at_first() -> None:
        calls.append(sum(range(10 if calls else 3_000_000)))

    first = Stopwatch(CPU, seconds=0).once(lambda: sum(range(3_000_000)))
    assert Stopwatch(CPU, seconds=0).shortest(slow_at_first) < first / 10
    assert len(calls) == 2
    Stopwatch(CPU, seconds=0.01).shortest(slow_at_first)
    assert len(calls) > 10
