"""Command lines of benchmarks: what is refused, and what `--help` states."""

import argparse
import sys
from importlib import import_module

import pytest

from euromine.benchmark.command_line import benchmark_parser, duration, not_negative, positive


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many"])
def test_a_count_of_nothing_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected a whole number of at least 1\.$"):
        positive(text)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "soon"])
def test_a_duration_that_never_ends_or_begins_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"expected seconds of at least 0\.$"):
        duration(text)


def test_sound_numbers_are_taken():
    assert (positive("3"), not_negative("0"), duration("0.5"), duration("0")) == (3, 0, 0.5, 0.0)


def test_help_states_defaults_where_there_are_any():
    parser = benchmark_parser("some", "Some speed.\n\nReturns:\n    The exit status.")
    parser.add_argument("--sizes", nargs="+", default=[160, 512], help="sides in pixels")
    parser.add_argument("--share", default="5%", help="of all")
    parser.add_argument("--side", help="512, for several years 256")
    parser.add_argument("--all", action="store_true", help="all networks")
    lines = [line.strip() for line in parser.format_help().splitlines()]
    assert "Some speed." in lines
    assert "Returns:" not in lines
    assert lines[0].startswith("usage: python -m euromine.benchmark.some ")
    words = " ".join(" ".join(lines).split())
    assert "sides in pixels; default 160 512" in words
    assert "of all; default 5%" in words
    assert "512, for several years 256 --all all networks" in words


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("acquisition_speed", "--repeats 0"),
        ("app_speed", "--requests -1"),
        ("build", "--side 0"),
        ("costs", "--bands 0"),
        ("engine_part_speed", "--networks nosuch"),
        ("engine_speed", "--networks nosuch"),
        ("engine_speed", "--turns 0"),
        ("loader", "--patches 0"),
        ("metrics", "--repeats 0"),
        ("network_speed", "--seconds nan"),
        ("network_versions", ". --sizes 0"),
        ("realism", "--sites 0"),
        ("scale", "--tiles 0"),
        ("scene_peers", "--sides 0"),
        ("scene_speed", "--networks tinycd"),
        ("series_growth", "--years 0"),
        ("series_speed", "--repeats 0"),
        ("series_stages", "--side 0"),
        ("shared_cores", "--networks nosuch"),
        ("window_comparison", "model --turns 0"),
    ],
)
def test_nothing_is_measured_with_an_argument_that_makes_no_sense(module, words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, *words.split()])
    with pytest.raises(SystemExit) as stopped:
        import_module(f"euromine.benchmark.{module}").main()
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"python -m euromine.benchmark.{module}: error: ")
    assert "found " in last
    assert "expected " in last
