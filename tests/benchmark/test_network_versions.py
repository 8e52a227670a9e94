"""Two versions of a network side by side."""

from pathlib import Path

import pytest
import torch

from euromine.benchmark.network_versions import (
    Comparison,
    compare_forward,
    compare_training,
    in_turns,
    main,
    row,
    twins,
)
from euromine.modeling.auto import create_model


def test_versions_of_the_same_code_differ_in_nothing():
    networks = twins("siamunet-diff", create_model, create_model)
    assert networks[0] is not networks[1]
    forward = compare_forward("siamunet-diff", networks, batch=2, size=32, rounds=1)
    assert forward.difference == 0
    assert forward.what == "batch 2, 32 px"
    before = [parameter.clone() for parameter in networks[1].parameters()]
    step = compare_training("siamunet-diff", networks, batch=2, size=32, rounds=1)
    assert step.difference is None
    # A step is a whole one: weights move, those of both versions alike.
    assert not all(map(torch.equal, before, networks[1].parameters()))


def test_another_result_is_seen():
    networks = twins("fc-ef", create_model, create_model)
    with torch.no_grad():
        next(networks[1].parameters()).mul_(2)
    assert compare_forward("fc-ef", networks, batch=1, size=32, rounds=1).difference > 1e-3


def test_calls_take_turns():
    turns = []
    shortest = in_turns([lambda: turns.append("a"), lambda: turns.append("b")], rounds=2)
    assert turns == ["a", "b"] * 3
    assert len(shortest) == 2


def test_a_row_tells_the_gain():
    assert row(Comparison("unet", "batch 1, 160 px", 0.3, 0.2, 1e-6)) == (
        "| `unet` | batch 1, 160 px | 300 | 200 | 1.50 | 1e-06 |\n"
    )


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path), "unet"])
    assert "no checkout with a folder modeling/" in capsys.readouterr().err
