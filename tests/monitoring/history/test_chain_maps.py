"""A network for series over whole scenes, against the network itself on the whole images."""

import copy
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from euromine.modeling import SERIES, EuroMineImageProcessor, create_model
from euromine.monitoring.history import chain_maps, evidence_store, series, series_windows
from euromine.monitoring.history.chain_maps import maps_of_chains
from euromine.monitoring.history.series_settings import joint_window
from euromine.monitoring.history.series_windows import fill_from_years
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.map_values import GAIN, LOSS, NO_CHANGE, NODATA
from euromine.monitoring.monitor import MineMonitor
from euromine.monitoring.result import SeriesResult
from euromine.support.errors import ArgumentError, ModelError, SceneError

from .site_images import (
    HEIGHT,
    PLAIN,
    RATES,
    WIDTH,
    YEARS,
    image_of,
    read,
    series_of,
    write_image,
    write_site,
)

MIT = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 16, 16], "num_attention_heads": [1, 1, 2, 2]}
WINDOWS = {"window": 32, "overlap": 16}


@pytest.fixture(scope="module")
def network() -> LoadedModel:
    """A tiny network for series whose years see each other, and whose answers are far from one half."""
    torch.manual_seed(2)
    model = create_model(
        "euromine-series-b0", encoder_fields=MIT, decoder_width=8, detail_widths=[8, 8, 8]
    ).eval()
    processor = EuroMineImageProcessor()
    images = np.stack([image_of(year) for year in YEARS])
    with torch.no_grad():
        for layer in [*model.attention, *model.detail.mixing, model.mixing]:
            for zero in layer.zero_layers:
                for parameter in zero.parameters():
                    nn.init.normal_(parameter, std=0.3)
        model.rate_head.rates.weight.mul_(20)
        model.rate_head.rates.bias.fill_(1.0)
        pixel_values = processor(images, return_tensors="pt").pixel_values[None]
        logits = model.evidence(pixel_values, torch.tensor([YEARS]), None).potentials[:, :, 1]
        last = model.decoder.mine
        last.bias.sub_(logits.median()).mul_(6 / logits.std())
        last.weight.mul_(6 / logits.std())
    return LoadedModel("runs/tiny-series", SERIES, model, processor)


@pytest.fixture(autouse=True)
def _without_polygons(monkeypatch):
    """Polygons take most of the time of a small series."""
    monkeypatch.setattr(series, "outline", lambda plan, progress: [])


def expected_maps(network: LoadedModel, years=YEARS, missing=()) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (years, height, width), and of changes (pairs, height, width), of the whole images."""
    images = np.stack([image_of(year) for year in years])
    with torch.no_grad():
        pixel_values = network.image_processor(images, return_tensors="pt").pixel_values[None]
        found = network.model(
            pixel_values,
            years=torch.tensor([years]),
            mask=torch.tensor([[year not in missing for year in years]]),
            pairs=list(combinations(range(len(years)), 2)) if len(years) > 1 else None,
        )
    changes = None if found.change_logits is None else found.change_logits[0, :, 1].exp().numpy()
    return found.logits[0, :, 1].exp().numpy(), changes


def test_a_scene_in_one_window_is_mapped_as_the_network_does_it(place, network, tmp_path):
    result = series_of([network], place, tmp_path, change_probability=True, **PLAIN)
    probability, changes = expected_maps(network)
    assert 0.1 < (probability > 0.5).mean() < 0.9
    for year, expected in zip(YEARS, probability, strict=True):
        np.testing.assert_allclose(result.probability(year), expected, atol=1e-5)
        is_clear = abs(expected - 0.5) > 1e-4
        np.testing.assert_array_equal(result.footprint(year)[is_clear], (expected > 0.5)[is_clear])
    for pair, expected in zip(result.pairs, changes, strict=True):
        first, second = (probability[YEARS.index(year)] for year in pair)
        kind = np.where(expected > 0.5, np.where(second > first, GAIN, LOSS), NO_CHANGE)
        is_clear = np.all([abs(each - 0.5) > 1e-4 for each in (first, second, expected)], axis=0)
        np.testing.assert_array_equal(result.change(*pair)[is_clear], kind[is_clear])
        assert set(np.unique(kind)) == {NO_CHANGE, GAIN, LOSS}
        name = "change_probability_{}_{}.tif".format(*pair)
        np.testing.assert_allclose(read(tmp_path / name), expected, atol=1e-5)
        assert name in result.manifest.files
    assert not (tmp_path / evidence_store.FOLDER).exists()
    report = result.report().read_text(encoding="utf-8")
    assert "Network for the series: tiny-series" in report
    assert "footprints and changes of all years, from one network for the series" in report
    assert "none needed: the network sees all years together" in report


def test_a_single_year_is_mapped_as_a_scene_is(place, network, tmp_path, monkeypatch):
    announced = []
    monkeypatch.setattr(series_windows, "expect_calls", lambda _, pixels, **calls: announced.append(calls))
    result = series_of([network], place, tmp_path, [2016], **PLAIN)
    probability, _ = expected_maps(network, [2016])
    np.testing.assert_allclose(result.probability(2016), probability[0], atol=1e-5)
    alone = MineMonitor([network]).predict(place / "image" / "Year2016.tif", **PLAIN)
    np.testing.assert_allclose(alone, probability[0], atol=1e-5)
    assert announced == [{"encode": 1, "pyramid": 1, "evidence": 1}]  # one window of one year


def test_the_order_in_which_years_are_given_and_the_size_of_passes_do_not_matter(
    blended, place, network, tmp_path, monkeypatch
):
    monkeypatch.setattr(chain_maps, "_FILES", 4)
    monkeypatch.setattr(chain_maps, "_PAIRS", 1)
    monkeypatch.setattr(chain_maps, "_PIXELS_OF_YEARS", 3000)
    monkeypatch.setattr(chain_maps, "ROWS_MEMORY", 60_000)
    scenes = {year: place / "image" / f"Year{year}.tif" for year in (2018, 2015, 2016)}
    result = MineMonitor([network]).series(scenes, tmp_path, **WINDOWS)
    assert result.years == list(YEARS)
    assert_equal_maps(result, blended)


def assert_equal_maps(first: SeriesResult, second: SeriesResult) -> None:
    names = [path.name for path in sorted(first.path.glob("*.tif"))]
    assert names == [path.name for path in sorted(second.path.glob("*.tif"))]
    for name in names:
        np.testing.assert_array_equal(read(first.path / name), read(second.path / name), err_msg=name)


@pytest.fixture(scope="module")
def blended(place, network, tmp_path_factory) -> SeriesResult:
    """The site in four rows of six windows that overlap."""
    return series_of([network], place, tmp_path_factory.mktemp("blended"), **WINDOWS)


def marginals(logits: np.ndarray, gain: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a mine (years, pixels) and of changes (pairs, pixels), summed over all paths.

    Args:
        logits: (years, pixels).
        gain: (years - 1, pixels), the probability that a mine follows other ground.
        loss: The reverse.
    """
    logits, gain, loss = (each.astype(np.float64) for each in (logits, gain, loss))
    years, pixels = logits.shape
    mine, total = np.zeros((years, pixels)), np.zeros(pixels)
    pairs = list(combinations(range(years), 2))
    changed = np.zeros((len(pairs), pixels))
    for path in product((0, 1), repeat=years):
        weight = np.exp(sum(logits[year] for year in range(years) if path[year]) + np.zeros(pixels))
        for step, (before, after) in enumerate(pairwise(path)):
            leaving = loss[step] if before else gain[step]
            weight *= leaving if before != after else 1 - leaving
        total += weight
        mine += np.array(path)[:, None] * weight
        for number, (first, second) in enumerate(pairs):
            changed[number] += weight * (path[first] != path[second])
    return mine / total, changed / total


def drawn_evidence(generator: np.random.Generator, years: int, pixels: int) -> np.ndarray:
    """Evidence (3 years - 2, pixels) as of `gather_evidence`, with rates as those of the chain."""
    steps = generator.uniform(1e-6, 0.45, (2 * (years - 1), pixels))
    return np.concatenate([generator.normal(0, 3, (years, pixels)), steps]).astype(np.float32)


def contradictions(mine: np.ndarray, changed: np.ndarray) -> int:
    """How often a change is likely between two years that are both likelier mined, or both not."""
    pairs = combinations(range(len(mine)), 2)
    return sum(
        int(((mine[first] > 0.5) == (mine[second] > 0.5))[change > 0.5 + 1e-9].sum())
        for change, (first, second) in zip(changed, pairs, strict=True)
    )


def test_blended_windows_never_contradict_themselves_although_their_mean_probabilities_do():
    generator = np.random.default_rng(0)
    years, pairs = [2015, 2016, 2018, 2021], list(combinations(range(4), 2))
    one, other = drawn_evidence(generator, 4, 20_000), drawn_evidence(generator, 4, 20_000)
    weight = generator.uniform(0, 1, 20_000).astype(np.float32)
    each = [marginals(*np.split(evidence, [4, 7])) for evidence in (one, other)]
    mean = [(1 - weight) * first + weight * second for first, second in zip(*each, strict=True)]
    assert contradictions(*mean) > 100
    blend = one + weight * (other - one)
    mine, changed = marginals(*np.split(blend, [4, 7]))
    assert contradictions(mine, changed) == 0
    assert (changed > 0.5).any(axis=1).all()

    found = maps_of_chains(blend, years, pairs)
    np.testing.assert_allclose(found.probability, mine, atol=1e-5)
    is_clear = abs(mine - 0.5) > 1e-4
    np.testing.assert_array_equal(found.footprints[is_clear], (mine > 0.5)[is_clear])
    for change, likely, (first, second) in zip(found.changes, changed, pairs, strict=True):
        kind = np.where(likely > 0.5, np.where(mine[second] > mine[first], GAIN, LOSS), NO_CHANGE)
        is_clear = np.all([abs(part - 0.5) > 1e-4 for part in (mine[first], mine[second], likely)], axis=0)
        np.testing.assert_array_equal(change[is_clear], kind[is_clear])


@pytest.mark.parametrize("threshold", [0.5, 0.2, 0.9])
def test_with_any_threshold_no_change_is_marked_between_footprints_that_agree(threshold):
    evidence = drawn_evidence(np.random.default_rng(1), 4, 5000)
    pairs = list(combinations(range(4), 2))
    found = maps_of_chains(evidence, [2015, 2016, 2018, 2021], pairs, threshold=threshold)
    assert 0.05 < found.footprints.mean() < 0.95
    for change, (first, second) in zip(found.changes, pairs, strict=True):
        before, after = found.footprints[first], found.footprints[second]
        assert_signs_agree(change, before, after)


def assert_signs_agree(change: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    np.testing.assert_array_equal(change[before == after], NO_CHANGE)
    assert (before[change == GAIN] < after[change == GAIN]).all()
    assert (before[change == LOSS] > after[change == LOSS]).all()
    assert {*np.unique(change)} == {NO_CHANGE, GAIN, LOSS}


def test_change_maps_never_mark_a_change_where_two_maps_agree(blended):
    for first, second in blended.pairs:
        assert_signs_agree(blended.change(first, second), blended.footprint(first), blended.footprint(second))


def test_changes_by_footprints_are_all_their_differences(place, network, tmp_path):
    years = [2015, 2018]
    result = series_of([network], place, tmp_path, years, change_by="footprints", **PLAIN)
    before, after = result.footprint(2015), result.footprint(2018)
    np.testing.assert_array_equal(result.change(2015, 2018) != NO_CHANGE, before != after)


def gappy_site(folder: Path) -> Path:
    """The site without data in some pixels of each year: 0 in all bands."""
    write_site(folder)
    for year, gap in GAPS.items():
        image = image_of(year)
        image[:, *gap] = 0
        write_image(folder / "image" / f"Year{year}.tif", image, nodata=0)
    return folder


GAPS = {
    2015: (slice(0, 8), slice(0, 20)),
    2016: (slice(16, 40), slice(30, 60)),
    2018: (slice(50, 64), slice(60, 96)),
}


def test_a_pixel_without_data_is_filled_between_two_years_with_data(network, tmp_path):
    result = series_of([network], gappy_site(tmp_path / "mine"), tmp_path / "maps", **PLAIN)
    images = np.stack([image_of(year) for year in YEARS])
    valid = np.ones((len(YEARS), HEIGHT, WIDTH), bool)
    for place, (year, other) in enumerate(zip(YEARS, (2016, 2015, 2016), strict=True)):
        valid[place, *GAPS[year]] = False
        images[place][:, *GAPS[year]] = image_of(other)[:, *GAPS[year]]
    with torch.no_grad():
        pixel_values = network.image_processor(images, return_tensors="pt").pixel_values[None]
        evidence = network.model.evidence(pixel_values, torch.tensor([YEARS]), None)
    logits = np.where(valid, evidence.potentials[0, :, 1], 0).reshape(3, -1)
    steps = evidence.transitions[0].exp().numpy().reshape(2, 2, 2, -1)
    mine, _ = marginals(logits, steps[:, 0, 1], steps[:, 1, 0])
    mine = mine.reshape(valid.shape)
    for place, year in enumerate(YEARS):
        np.testing.assert_allclose(
            result.probability(year), np.where(valid[place], mine[place], np.nan), atol=1e-5
        )
        mapped = np.where(valid[place] | (year == 2016), mine[place] > 0.5, NODATA)
        is_clear = abs(mine[place] - 0.5) > 1e-4
        np.testing.assert_array_equal(result.footprint(year)[is_clear], mapped[is_clear])
    unknown = ~(valid[0] & valid[2])
    np.testing.assert_array_equal(result.change(2015, 2018) == NODATA, unknown)
    shares = [record.known_share for record in result.manifest.scenes]
    assert shares == [pytest.approx(each.mean()) for each in valid]


def test_a_year_without_data_in_a_window_is_missing_there(network, tmp_path):
    site = write_site(tmp_path / "mine")
    image = image_of(2016)
    image[:, :, 32:] = 0
    write_image(site / "image" / "Year2016.tif", image, nodata=0)
    # The second of two windows, 64 columns of which half are mirrored, shows nothing of 2016.
    result = series_of([network], site, tmp_path / "maps", window=64, overlap=0)
    columns = np.r_[64:96, 94:62:-1]
    images = np.stack([image_of(year)[:, :, columns] for year in YEARS])
    with torch.no_grad():
        pixel_values = network.image_processor(images, return_tensors="pt").pixel_values[None]
        mask = torch.tensor([[True, False, True]])
        logits = network.model(pixel_values, years=torch.tensor([YEARS]), mask=mask).logits
    mine = logits[0, :, 1, :, :32].exp().numpy()
    for place, year in ((0, 2015), (2, 2018)):
        np.testing.assert_allclose(result.probability(year)[:, 64:], mine[place], atol=1e-5)
    assert np.isnan(result.probability(2016)[:, 64:]).all()
    is_clear = abs(mine[1] - 0.5) > 1e-4
    np.testing.assert_array_equal(result.footprint(2016)[:, 64:][is_clear], (mine[1] > 0.5)[is_clear])


def test_a_year_without_any_data_is_refused(network, tmp_path):
    site = write_site(tmp_path / "mine")
    write_image(site / "image" / "Year2016.tif", 0 * image_of(2016), nodata=0)
    with pytest.raises(SceneError, match=r"Year2016\.tif: found only clouds or nodata where all years meet"):
        series_of([network], site, tmp_path / "maps", **PLAIN)


class StoppedError(Exception):
    """A run that is killed."""


def test_a_stopped_run_is_completed_by_the_next(blended, place, network, tmp_path, monkeypatch):
    calls, run, kept = [], series_windows.evidence_of, series_windows.EvidenceStore.write
    monkeypatch.setattr(series_windows, "evidence_of", lambda *each: calls.append(1) or run(*each))

    def stop(*arguments):
        raise StoppedError

    def write(store, row, column, block):
        if (row, column) == (2, 2):
            stop()
        kept(store, row, column, block)

    with monkeypatch.context() as patch:
        patch.setattr(series_windows.EvidenceStore, "write", write)
        with pytest.raises(StoppedError):
            series_of([network], place, tmp_path, **WINDOWS)
    assert len(list((tmp_path / evidence_store.FOLDER).glob("*.float32"))) == 14
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(chain_maps, "_write", stop)
        with pytest.raises(StoppedError):
            series_of([network], place, tmp_path, **WINDOWS)
    # The incomplete third row of windows starts over, and so does the second, with which it overlaps.
    assert len(calls) == 18
    calls.clear()
    result = series_of([network], place, tmp_path, **WINDOWS)
    assert not calls
    assert_equal_maps(result, blended)
    assert not (tmp_path / evidence_store.FOLDER).exists()


def test_another_year_remakes_all_years_and_says_so(place, network, tmp_path, caplog):
    caplog.set_level("INFO")
    first = series_of([network], place, tmp_path, [2015, 2016], **PLAIN)
    before = first.probability(2016)
    result = series_of([network], place, tmp_path, **PLAIN)
    assert (
        "runs/tiny-series sees all years together, so other years, images or settings remake" in caplog.text
    )
    assert result.manifest.settings["joins_years"] is True
    probability, _ = expected_maps(network)
    np.testing.assert_allclose(result.probability(2016), probability[1], atol=1e-5)
    assert abs(result.probability(2016) - before).max() > 0.01
    caplog.clear()
    series_of([network], place, tmp_path, **PLAIN)
    assert "holds this series already" in caplog.text


def test_a_folder_of_the_users_is_not_taken_for_evidence(place, network, tmp_path):
    (tmp_path / ".evidence").mkdir()
    (tmp_path / ".evidence" / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match=r"\.evidence: found something that EuroMine did not write; "):
        series_of([network], place, tmp_path, **PLAIN)
    assert (tmp_path / ".evidence" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"smoothing": "median"},
            "smoothing: found 'median' with runs/tiny-series, a network for series, whose",
        ),
        (
            {"change_probability": True, "change_by": "footprints"},
            "change_probability: found it without changes by a network for series; expected one",
        ),
        ({"rates": RATES}, "rates: found switch rates beside runs/tiny-series, a network for series"),
    ],
)
def test_settings_that_a_network_for_series_replaces_are_refused(place, network, tmp_path, settings, message):
    with pytest.raises(ArgumentError, match=message):
        series_of([network], place, tmp_path, **settings)


def test_a_network_for_series_stands_alone(place, network, detector, tmp_path):
    with pytest.raises(ModelError, match="of which runs/tiny-series maps footprints and changes of all"):
        series_of([network, detector], place, tmp_path)


def test_a_network_that_gives_nan_is_refused(place, network, tmp_path):
    broken = copy.deepcopy(network.model)
    with torch.no_grad():
        broken.decoder.mine.bias.fill_(torch.nan)
    with pytest.raises(ModelError, match=r"runs/tiny-series: found NaN in its logits; expected numbers\."):
        series_of([replace(network, model=broken)], place, tmp_path, **PLAIN)


def test_gaps_are_filled_from_the_nearest_year_and_then_the_nearest_pixel():
    images = np.arange(3 * 1 * 1 * 4, dtype=np.float32).reshape(3, 1, 1, 4)
    valid = np.array([[1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]], bool)[:, None]
    filled = fill_from_years(images, valid, [2015, 2016, 2018])
    assert filled[:, 0, 0].tolist() == [[0, 1, 2, 2], [4, 5, 6, 7], [8, 1, 10, 10]]
    assert fill_from_years(images, np.ones_like(valid), [2015, 2016, 2018]) is images


def test_windows_of_many_years_are_smaller():
    assert [joint_window(years) for years in (1, 5, 10, 20, 40, 400)] == [512, 448, 320, 224, 160, 128]
