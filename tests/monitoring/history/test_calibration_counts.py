"""Calibration against counts over whole scenes, which know nothing of patches."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import datasets
import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix
from typer.testing import CliRunner

from euromine.commands import app
from euromine.commands import calibrate as calibrate_command
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.build_record import BuildRecord
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import create_model
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.modeling.series_model import Evidence, SeriesConfig, SeriesModel
from euromine.modeling.temporal_chain import log_transitions
from euromine.monitoring.history import calibration_counts
from euromine.monitoring.history.calibration import Calibration
from euromine.monitoring.history.calibration_counts import calibrate, series_probability
from euromine.monitoring.history.markov import posterior
from euromine.monitoring.history.pixel_counts import confusion_counts
from euromine.monitoring.history.smoothing import METHODS, smooth
from euromine.monitoring.history.switch_rates import estimate_switch_rates
from euromine.support.errors import ArgumentError, BusyError, ModelError
from euromine.support.locks import lock_file, lock_folder

YEARS = (2015, 2016, 2018)
SHAPES = {"Spain_1": (170, 200), "Italy_1": (160, 180), "Austria_1": (190, 165), "Poland_1": (120, 160)}
SPLITS = {"train": ["Spain_1", "Italy_1"], "validation": ["Austria_1", "Poland_1"], "test": []}


class ReadingModel(torch.nn.Module):
    """A mapper whose probability of a mine is written in the first band, in ten thousandths."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.config = SimpleNamespace(num_labels=2, to_dict=dict)
        self.device = torch.device("cpu")

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        mine = (pixel_values[:, 0] / 10_000).clamp(1e-4, 1 - 1e-4)
        return SimpleNamespace(logits=torch.stack([torch.zeros_like(mine), torch.logit(mine)], dim=1))


class ReadingSeriesModel(SeriesModel):
    """A network for series whose evidence in a year is the probability in the first band."""

    def __init__(self, config: SeriesConfig) -> None:
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.post_init()

    def evidence(
        self, pixel_values: torch.Tensor, years: torch.Tensor, mask: torch.Tensor | None
    ) -> Evidence:
        mine = torch.logit((pixel_values[:, :, 0] / 10_000).clamp(1e-4, 1 - 1e-4))
        rates = torch.ones_like(mine[:, 1:])
        return Evidence.of(mine, log_transitions(0.4 * rates, 0.3 * rates, years.diff(dim=1)), mask)


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="module")
def scenes():
    """Images that tell a probability, and labels that follow it loosely."""
    found = {}
    for number, (site, shape) in enumerate(SHAPES.items()):
        generator = np.random.default_rng(number)
        labels = (generator.random((len(YEARS), *shape)) < 0.3).astype(np.uint8)
        labels[1:][generator.random(labels[1:].shape) < 0.8] = 0
        images = generator.integers(0, 10_000, (len(YEARS), 10, *shape), dtype=np.int16)
        images[:, 0] = np.clip(images[:, 0] * 0.7 + 3000 * (labels == 1), 0, 9999)
        found[site] = images, labels
    return found


@pytest.fixture(scope="module")
def dataset(scenes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for site, (images, labels) in scenes.items():
        write_site(
            folder / "EuroMineNet",
            site,
            images=images,
            labels=labels,
            years=YEARS,
            crs="EPSG:4326",
            transform=(1e-4, 0.0, 10.0, 0.0, -1e-4, 50.0),
        )
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    return build_dataset(
        folder / "EuroMineNet",
        folder / f"shards_{uuid4().hex}",
        splits=folder / "splits.json",
        workers=1,
        progress=False,
    )


@pytest.fixture(scope="module")
def calibration(dataset: Path) -> Calibration:
    return calibrate(ReadingModel(), EuroMineImageProcessor(do_normalize=False), dataset)


def probability_of(images):
    return (images[:, 0] / 10_000).clip(1e-4, 1 - 1e-4).astype(np.float32)


def test_switch_rates_are_those_of_the_training_scenes(calibration, scenes):
    expected = estimate_switch_rates((scenes[site][1], YEARS) for site in SPLITS["train"])
    assert replace(calibration.rates, emission_prior=None) == expected


def test_the_prior_that_is_divided_by_fits_the_validation_scenes(calibration, scenes):
    def likelihood(rates):
        total = 0.0
        for site in SPLITS["validation"]:
            images, labels = scenes[site]
            mine = posterior(probability_of(images), rates, years=YEARS)
            total += np.log(np.where(labels == 1, mine, 1 - mine)).mean()
        return total

    best = likelihood(calibration.rates)
    for prior in (calibration.rates.prior, calibration.rates.emission_prior / 2, 0.8):
        assert likelihood(replace(calibration.rates, emission_prior=prior)) <= best


@pytest.mark.parametrize("method", METHODS)
def test_footprint_errors_are_those_of_whole_scenes(calibration, scenes, method):
    found = calibration.footprints[method]
    assert found.sites == ("Austria_1", "Poland_1")
    for site, counts in zip(found.sites, found.counts, strict=True):
        images, labels = scenes[site]
        maps = smooth(probability_of(images), method, calibration.rates, years=YEARS)
        expected = confusion_matrix(maps.ravel(), labels.ravel(), labels=[0, 1])
        np.testing.assert_array_equal(counts, expected)


def test_what_is_unknown_is_no_error():
    mapped = np.array([0, 0, 1, 255, 1, 255], np.uint8)
    reference = np.array([0, 1, 255, 1, 1, 255], np.uint8)
    assert confusion_counts(mapped, reference, 2).tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("method", METHODS)
def test_change_errors_are_those_of_whole_scenes_by_interval(calibration, scenes, method):
    assert sorted(calibration.changes[method]) == [1, 2, 3]
    for first, second in itertools.combinations(range(3), 2):
        found = calibration.changes[method][YEARS[second] - YEARS[first]]
        for site, counts in zip(found.sites, found.counts, strict=True):
            images, labels = scenes[site]
            maps = smooth(probability_of(images), method, calibration.rates, years=YEARS).astype(int)
            kinds = [
                np.where(after - before == 0, "stable", np.where(after > before, "gain", "loss")).ravel()
                for before, after in (
                    (maps[first], maps[second]),
                    (labels[first].astype(int), labels[second].astype(int)),
                )
            ]
            expected = confusion_matrix(*kinds, labels=["stable", "gain", "loss"])
            np.testing.assert_array_equal(counts, expected)


def test_errors_of_a_network_for_series_are_those_of_its_own_maps_and_changes(dataset, scenes):
    model = ReadingSeriesModel(SeriesConfig())
    calibration = calibrate(model, EuroMineImageProcessor(do_normalize=False), dataset)
    assert list(calibration.footprints) == list(calibration.changes) == ["none"]
    pairs = list(itertools.combinations(range(3), 2))
    for place, site in enumerate(SPLITS["validation"]):
        images, labels = scenes[site]
        with torch.no_grad():
            pixel_values = torch.from_numpy(images.astype(np.float32))[None]
            found = model(pixel_values, years=torch.tensor([YEARS]), pairs=pairs)
        maps = found.logits[0].argmax(1).numpy()
        expected = confusion_matrix(maps.ravel(), labels.ravel(), labels=[0, 1])
        np.testing.assert_array_equal(calibration.footprints["none"].counts[place], expected)
        changes = found.change_logits[0].argmax(1).numpy()
        for is_change, (first, second) in zip(changes, pairs, strict=True):
            mapped = is_change * (maps[second] - maps[first])
            actual = labels[second].astype(int) - labels[first]
            expected = confusion_matrix(mapped.ravel(), actual.ravel(), labels=[0, 1, -1])
            counts = calibration.changes["none"][YEARS[second] - YEARS[first]].counts[place]
            np.testing.assert_array_equal(counts, expected)


def test_a_change_detector_is_refused():
    model = create_model("fc-ef")
    with pytest.raises(ModelError, match=r"found a .*; expected a footprint mapper of two classes"):
        series_probability(model, EuroMineImageProcessor(), np.zeros((2, 10, 32, 32), np.int16))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tiny = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    folder = tmp_path_factory.mktemp("model")
    create_model("segformer-b0", **tiny, decoder_hidden_size=8).save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def test_the_command_leaves_a_calibration_beside_the_model(model_folder, dataset):
    result = run(model_folder, dataset, "--device", "cpu")
    assert result.exit_code == 0, result.output
    found = Calibration.load(model_folder)
    assert found.footprints["viterbi"].sites == ("Austria_1", "Poland_1")
    assert "2 sites of the split validation" in result.output


def test_the_command_says_where_it_cannot_write(dataset, tmp_path):
    result = run("someone/model", dataset)
    assert isinstance(result.exception, ArgumentError)
    assert "--out: found none for someone/model" in str(result.exception)
    result = run(tmp_path, dataset, "--out", tmp_path / "nowhere" / "file.json")
    assert isinstance(result.exception, ArgumentError)
    assert "found nothing at" in str(result.exception)
    assert "nowhere; expected an existing folder" in str(result.exception)


def test_a_file_that_is_no_calibration_is_kept_unless_told_otherwise(
    model_folder, dataset, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(calibrate_command, "_count", lambda *given: asked.append(given) or saved)
    saved = SimpleNamespace(
        save=lambda path: path,
        rates=SimpleNamespace(expansion=0.1, reclamation=0.1),
        footprints={"none": SimpleNamespace(sites=())},
        components={"ground": None, "deposits": None},
        component_transitions={},
    )
    mine = tmp_path / "notes.json"
    mine.write_text('{"format": "mine"}')
    result = run(model_folder, dataset, "--out", mine)
    assert isinstance(result.exception, ArgumentError)
    assert "notes.json: found a file of another kind" in str(result.exception)
    assert not asked
    replaced = run(model_folder, dataset, "--out", mine, "--overwrite")
    assert replaced.exit_code == 0
    assert "in the groups ground, deposits, and none on transitions, which need sites" in replaced.output
    mine.write_text('{"format": "euromine-calibration"}')
    assert run(model_folder, dataset, "--out", mine).exit_code == 0
    assert len(asked) == 2

    with lock_folder(model_folder):  # a training, say
        assert run(model_folder, dataset, "--out", mine).exit_code == 0
        result = run(model_folder, dataset)
        assert isinstance(result.exception, BusyError)
    with lock_file(mine):
        assert isinstance(run(model_folder, dataset, "--out", mine).exception, BusyError)
    assert not list(tmp_path.glob(".*"))


def test_a_network_for_other_images_is_refused(dataset):
    processor = EuroMineImageProcessor(do_normalize=False, bands=["B02"], source_bands=["B02", "B03"])
    with pytest.raises(ModelError, match=r"^images"):
        calibrate(ReadingModel(), processor, dataset)


def test_a_dataset_of_another_level_than_the_models_is_told(dataset, tmp_path, monkeypatch, caplog):
    record = BuildRecord(simulated=True, format=2, shard_bytes=1, files="", splits={}, level="L2A")
    monkeypatch.setattr(calibration_counts, "read_build_record", lambda folder: record)
    for level in (None, "L2A", "L1C"):
        processor = EuroMineImageProcessor(do_normalize=False, level=level)
        found = calibrate(ReadingModel(), processor, dataset, progress=False)
        assert found.simulated
        assert ("trained on L1C: the errors counted there are those of L2A" in caplog.text) == (
            level == "L1C"
        )


def test_a_split_that_is_missing_is_named(dataset):
    with pytest.raises(ValueError, match="nowhere"):
        calibrate(ReadingModel(), EuroMineImageProcessor(do_normalize=False), dataset, split="nowhere")
