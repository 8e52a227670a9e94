"""The benchmark of series against their pairs, on as little as it can be run."""

import pytest
import torch

from euromine.benchmark import series_speed as benchmark
from euromine.benchmark.costs import gmacs_of
from euromine.modeling.auto import CHANGE_DETECTORS, create_model


def test_the_table_holds_speed_up_ideal_and_share(capsys):
    assert benchmark.main(["siamunet-diff", "fc-ef", "--size", "32", "--bands", "3", "--repeats", "1"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "45 pairs; one thread of " in printed[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed[4:6]]
    assert [row[0] for row in rows] == ["siamunet-diff", "fc-ef"]
    speed_up, ideal, share = (float(cell) for cell in rows[0][3:6])
    # At 256 x 256 with three bands the files of the published networks allow 1.95; no size changes the ratio
    # much.
    assert ideal == pytest.approx(1.95, abs=0.02)
    assert share == pytest.approx(speed_up / ideal, abs=0.01)
    assert float(rows[1][4]) == 1


def test_speed_up_and_share_follow_from_the_times():
    row = benchmark.Row("a", apart=12.0, together=4.0, ideal=2.0, difference=1e-6)
    assert row.speed_up == 3
    assert row.share == 1.5


def test_what_is_slow_is_named():
    rows = [
        benchmark.Row("quick", apart=4.0, together=1.0, ideal=4.0, difference=0),
        benchmark.Row("below", apart=3.0, together=1.0, ideal=4.0, difference=0),
        benchmark.Row("slower", apart=0.9, together=1.0, ideal=1.0, difference=0),
    ]
    verdict = benchmark.markdown(rows, 160, 10, 3).splitlines()[-1]
    assert verdict == "Below 0.8 of the ideal: below. Slower than pair by pair: slower."


def test_a_series_that_differs_from_its_pairs_is_no_measurement(monkeypatch):
    monkeypatch.setattr(benchmark, "apart", lambda network, series: torch.ones(1, 45, 2, 32, 32))
    with pytest.raises(RuntimeError, match="siamunet-diff gives other logits"):
        benchmark.measure("siamunet-diff", size=32, bands=3, repeats=1)


def test_an_unknown_network_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["unet"])
    assert "network: found unet; expected some of " in capsys.readouterr().err


@pytest.mark.parametrize("name", sorted(CHANGE_DETECTORS))
def test_a_series_takes_no_more_products_than_encoder_and_decoder_by_hand(name):
    """An encoding a year and a decoding a pair, counted in the whole of what `predict_series` does."""
    years, pairs = 4, 6
    with torch.device("meta"):
        network = create_model(name, num_channels=3).eval()
        series = torch.zeros(1, years, 3, 64, 64)
    found, _ = gmacs_of(lambda: network.predict_series(series, chunk=years - 1))
    pair, _ = gmacs_of(lambda: network(series[:, :2]))
    if not network.encodes_years:
        assert found == pytest.approx(pairs * pair)
        return
    encoder, features = gmacs_of(lambda: network.encode(network.pad(series[:, 0])))
    decoder, _ = gmacs_of(lambda: network.decode(features, features))
    allowed = years * encoder + pairs * decoder
    if name in ("dminet", "icifnet"):  # their logits need one map of several
        assert found < 0.9 * allowed
    else:
        assert found == pytest.approx(allowed)
    assert found < pairs * pair
