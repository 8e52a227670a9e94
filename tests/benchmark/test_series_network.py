"""The comparison of networks for series, on four tiny sites and with networks of few weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from euromine.benchmark.costs import NetworkCosts
from euromine.benchmark.series_network import evidence_jobs, evidence_pages, site_series
from euromine.benchmark.series_network.__main__ import PAGE, main
from euromine.benchmark.series_network.competitors import COMPETITORS
from euromine.benchmark.series_network.equal_budget import Budget, draw_batch, drawn_pairs
from euromine.benchmark.series_network.site_series import SiteSeries, simulated_splits, under_condition

_MIT = {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1]}
SMALL = {
    "segformer-b0": {**_MIT, "decoder_hidden_size": 8},
    "euromine-series-b0": {"encoder_fields": _MIT, "decoder_width": 8, "detail_widths": [4, 4]},
    "utae": {
        "encoder_widths": (8, 8),
        "decoder_widths": (8, 8),
        "model_width": 8,
        "num_heads": 2,
        "key_width": 2,
    },
    "siamunet-diff": {"widths": [4, 4, 4, 4]},
}
QUICK = "--sites 4 --side 32 --crop 32 --series 1 --steps 1 --seeds 1 --learning-rates 1e-3 --validations 1"


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few weights, and another change detector in place of the two."""
    for name, each in dict(COMPETITORS).items():
        if each.maps_changes_only:
            each = replace(each, architecture="siamunet-diff")
        small = replace(each, config={**each.config, **SMALL[each.architecture]})
        monkeypatch.setitem(COMPETITORS, name, small)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)


@pytest.fixture(scope="module")
def splits() -> dict[str, SiteSeries]:
    return simulated_splits(4, 32)


def run(out: Path, *further: str) -> int:
    return main([*QUICK.split(), "--out", str(out), *further])


def test_a_run_resumes_and_writes_every_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    networks = ("--competitors", "segformer", "whole", "tinycd")
    conditions = (
        "--robust",
        "segformer",
        "whole",
        "--tested-under",
        "missing-years",
        "--trained-under",
        "label-noise",
    )
    train = evidence_jobs.train_network
    monkeypatch.setattr(evidence_pages, "series_costs", lambda name: (12.3, 4_560_000))

    def stopped(*arguments, **options):
        if (tmp_path / "runs" / "segformer_clean_seed0" / "training.json").exists():
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(evidence_jobs, "train_network", stopped)
    assert run(tmp_path, *networks, *conditions) == 130
    monkeypatch.setattr(evidence_jobs, "train_network", train)
    capsys.readouterr()
    assert run(tmp_path, *networks, *conditions) == 0
    assert "4 of 5 jobs are left" in capsys.readouterr().out
    monkeypatch.setattr(evidence_jobs, "train_network", None)
    assert run(tmp_path, *networks, *conditions) == 0
    text = (tmp_path / PAGE).read_text(encoding="utf-8")
    for row in (
        "SegFormer-B0, each year + HMM",
        "(the whole), most likely path",
        "TinyCD",
        "constant: mine everywhere",
        "three of ten years missing",
        "noisy training labels, trained so",
    ):
        assert row in text
    assert all("simulated data" in line for line in text.splitlines() if line.startswith("#"))
    constant = next(line for line in text.splitlines() if "constant: mine everywhere" in line).split("|")
    assert [cell.strip() for cell in constant[3:5]] == ["1.0000", "1.0000"]
    record = json.loads((tmp_path / "runs" / "whole_clean_seed0" / "training.json").read_text())
    assert record["curve"][-1]["step"] == 1


def test_a_series_costs_its_images_and_pairs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        evidence_pages,
        "network_costs",
        lambda network: NetworkCosts(7, 7, 3.0, encoder_gmacs=1.0, decoder_gmacs=0.5),
    )
    costs = evidence_pages.series_costs.__wrapped__
    assert costs("segformer") == (30.0, 7)
    assert costs("whole") == (3.0, 7)
    assert costs("tinycd") == (10 * 1.0 + 45 * 0.5, 7)
    monkeypatch.setattr(evidence_pages, "network_costs", lambda network: NetworkCosts(7, 7, 3.0))
    assert costs("tfi-gr") == (45 * 3.0, 7)


def test_other_settings_need_another_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(tmp_path, "--plan", "--competitors", "segformer") == 0
    assert run(tmp_path, "--plan", "--competitors", "segformer", "--steps", "2") == 1
    assert "found results with steps 1 instead of 2" in capsys.readouterr().err


def test_a_learning_rate_is_chosen_by_a_full_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    options = (
        "--competitors",
        "single",
        "--robust",
        "--learning-rates",
        "1e-9",
        "1e-2",
    )
    trainings = []
    train = evidence_jobs.train_network
    monkeypatch.setattr(evidence_jobs, "train_network", lambda *each: trainings.append(1) or train(*each))
    assert run(tmp_path, *options) == 0
    assert len(trainings) == 2
    scores = {
        rate: json.loads((tmp_path / "runs" / f"trial_single_{rate}" / "training.json").read_text())["curve"][
            -1
        ]["score"]
        for rate in ("1e-09", "0.01")
    }
    best = max(scores, key=scores.__getitem__)
    chosen = json.loads((tmp_path / "runs" / "single_clean_seed0" / "training.json").read_text())
    assert chosen["learning_rate"] == float(best)
    weights = [
        (tmp_path / "runs" / folder / "network" / "model.safetensors").read_bytes()
        for folder in ("single_clean_seed0", f"trial_single_{best}")
    ]
    assert weights[0] == weights[1]


def test_parts_of_the_network_can_be_left_out():
    single, mixing, attention, chain, whole = (
        COMPETITORS[name].create() for name in ("single", "mixing", "attention", "chain", "whole")
    )
    assert not len(single.attention)
    assert not len(single.detail.mixing)
    assert single.mixing is None
    assert single.rate_head is None
    assert not len(mixing.attention)
    assert len(mixing.detail.mixing) == 2
    assert len(attention.attention) == 3
    assert attention.mixing is not None
    assert attention.rate_head is None
    assert (
        attention.config.likelihood_weight
        == attention.config.pair_weight
        == attention.config.pair_dice_weight
        == 0
    )
    assert chain.rate_head is not None
    assert chain.config.likelihood_weight > 0
    assert chain.config.pair_weight == chain.config.pair_dice_weight == 0
    assert whole.config.pair_weight > 0
    assert whole.config.pair_dice_weight > 0


def test_competitors_see_the_same_crops_whatever_happened_before(splits: dict[str, SiteSeries]):
    budget = Budget(steps=3, series=2, crop=16, pairs=9)
    for again, first in zip(
        draw_batch(splits["train"], budget, 1, 2), draw_batch(splits["train"], budget, 1, 2), strict=True
    ):
        assert torch.equal(again, first)
    assert not torch.equal(
        draw_batch(splits["train"], budget, 1, 2)[0], draw_batch(splits["train"], budget, 1, 1)[0]
    )


def test_drawn_pairs_stay_within_a_series_and_favour_no_interval():
    years = torch.arange(2015, 2025).expand(2, 10)
    pairs = torch.cat([drawn_pairs(years, 1, np.random.default_rng(seed)) for seed in range(500)])
    assert torch.equal(pairs[:, 0] // 10, pairs[:, 1] // 10)
    share = torch.bincount(pairs[:, 1] - pairs[:, 0])[1:] / len(pairs)
    # Each of nine intervals; five standard deviations of 1000 draws.
    assert (share - 1 / 9).abs().max() < 5 * (8 / 81 / 1000) ** 0.5


@pytest.mark.parametrize("condition", site_series.CONDITIONS)
def test_a_condition_disturbs_its_own_part_alone_and_always_alike(
    condition: str, splits: dict[str, SiteSeries]
):
    before = splits["train"]
    after, again = (under_condition(before, condition, training=True) for _ in range(2))
    assert np.array_equal(after.images, again.images)
    assert np.array_equal(after.labels, again.labels)
    if condition == "missing-years":
        assert after.years.shape == (len(before), 7)
        places = np.searchsorted(before.years[0], after.years[0])
        assert np.array_equal(after.images[0], before.images[0, places])
        return
    disturbs_labels = condition in ("label-noise", "true-labels")
    assert np.array_equal(after.images, before.images) == disturbs_labels
    assert np.array_equal(after.labels, before.labels) != disturbs_labels
    assert set(np.unique(after.labels)) <= {0, 1}


def test_label_noise_stays_near_borders_and_leaves_test_labels_alone():
    sites = simulated_splits(4, 96)["train"]
    noisy = under_condition(sites, "label-noise", training=True)
    changed = noisy.labels != sites.labels
    edge = np.zeros_like(changed)
    for axis in (2, 3):
        for step in (-4, -3, -2, -1, 1, 2, 3, 4):
            edge |= np.roll(sites.labels, step, axis) != sites.labels
    assert changed.any()
    assert (changed & edge).sum() > 0.9 * changed.sum()
    assert under_condition(sites, "label-noise", training=False) is sites


def test_half_a_pixel_off_moves_the_image_by_half_a_pixel():
    ramp = np.broadcast_to(np.arange(64, dtype=np.int16) * 100 + 1000, (1, 3, 10, 64, 64)).copy()
    labels = np.zeros((1, 3, 64, 64), np.uint8)
    site = SiteSeries(("Spain_1",), np.arange(2015, 2018)[None], ramp, labels, labels)
    moved = (
        under_condition(site, "misregistration", training=False).images[0, :, 0, 32, 32]
        - ramp[0, :, 0, 32, 32]
    )
    # 100 a pixel along the columns, so at most 50, and not the same in every year.
    assert np.abs(moved).max() <= 51
    assert len(set(moved.tolist())) > 1
