import json

import pytest
import torch
from torch import nn

from euromine.benchmark import network_speed as models
from euromine.benchmark.network_speed import (
    Figures,
    in_channels_last,
    inputs,
    markdown,
    measure,
    measure_compiled,
    read,
    share_of_copies,
    training_step,
)
from euromine.modeling.auto import create_model

CPU = torch.device("cpu")


@pytest.fixture
def small_inputs(monkeypatch):
    monkeypatch.setattr(models, "PATCH_SIDE", 32)
    monkeypatch.setattr(models, "BATCH", 2)


@pytest.mark.usefixtures("small_inputs")
def test_all_figures_of_a_network_are_taken_and_read_again(tmp_path, capsys):
    figures = measure("siamunet-diff", CPU, seconds=0)
    assert figures.task == "change-detection"
    assert figures.parameters == sum(each.numel() for each in create_model("siamunet-diff").parameters())
    assert min(figures.one, figures.eight, figures.channels_last, figures.train_one, figures.train_eight) > 0
    assert 0 <= figures.copying < 1
    path = tmp_path / "siamunet-diff-plain.json"
    path.write_text(json.dumps(vars(figures)))
    (tmp_path / ".unfinished-plain.json").write_text("{")
    assert read(tmp_path, Figures, models.PLAIN) == [figures]
    assert "| `siamunet-diff` | 1.35 M |" in markdown([figures])
    # What lies there is not measured again.
    assert models.main(["siamunet-diff", "--results", str(tmp_path)]) == 0
    assert "| `siamunet-diff` |" in capsys.readouterr().out


@pytest.mark.usefixtures("small_inputs")
def test_what_the_compiler_stumbles_over_is_told(monkeypatch):
    def fails(network: nn.Module, **_: object) -> object:
        def call(**_: object) -> None:
            raise RuntimeError("no such thing\nat all")

        return call

    monkeypatch.setattr(torch, "compile", fails)
    figures = measure_compiled("siamunet-diff", CPU, seconds=0)
    assert figures.compiled is None
    assert figures.failure == "RuntimeError: no such thing"
    assert "RuntimeError: no such thing" in models.markdown_compiled([figures])


def test_a_training_step_changes_the_network():
    network = create_model("segformer-b0", num_channels=models.BANDS)
    before = network.decode_head.classifier.weight.detach().clone()
    training_step(network, 1, CPU)()
    assert not torch.equal(network.decode_head.classifier.weight, before)
    assert network.decode_head.classifier.weight.grad is None


def test_channels_last_changes_the_layout_alone():
    pairs, _ = inputs(create_model("siamunet-diff"), 2, CPU)
    last = in_channels_last(pairs)
    assert torch.equal(last, pairs)
    assert last[:, 0].stride(1) == 1


def test_copies_are_told_from_work():
    image = torch.randn(1, 8, 256, 256)
    assert share_of_copies(lambda: image.transpose(1, 3).contiguous(), CPU) > 0.5
    assert share_of_copies(lambda: image @ image, CPU) < 0.01


def test_an_unknown_network_is_refused(capsys):
    with pytest.raises(SystemExit):
        models.main(["resunet50"])
    assert ", of which resunet is the nearest." in capsys.readouterr().err
