import json
import shutil
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import LocalEntryNotFoundError, RemoteEntryNotFoundError
from transformers import TrainingArguments

from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.row_batches import StackedRows
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.image_processing import EuroMineImageProcessor
from euromine.support.errors import ArgumentError, DatasetError, RecordError
from euromine.training import dataset_files
from euromine.training.arguments import ChangeDetectionArguments, SegmentationArguments
from euromine.training.collation import SeriesCollator
from euromine.training.data import (
    column,
    describe,
    make_image_processor,
    read_splits,
    training_dataset,
    training_sampler,
)
from euromine.training.run_folder import make_run_record


def segmentation(dataset, **options):
    return SegmentationArguments(dataset=str(dataset), architecture="segformer-b0", **options)


def changes(dataset, **options):
    return ChangeDetectionArguments(dataset=str(dataset), architecture="tinycd", **options)


def test_a_mapper_is_trained_on_years_and_scored_on_series(dataset):
    splits = read_splits(segmentation(dataset), seed=0)
    # Spain_1 has two patches and Italy_1 one, of three years each.
    assert len(splits.train) == 9
    assert splits.train[0]["image"].dtype == np.int16
    read = training_dataset(segmentation(dataset), splits, TrainingArguments(use_cpu=True))
    batch = read.__getitems__([8, 1])
    for name in ("image", "label"):
        np.testing.assert_array_equal(batch[name], [splits.train[row][name] for row in (8, 1)])
    assert splits.sites == ("Austria_1", "Greece_1", "Poland_1", "Poland_2")
    assert splits.years == 3
    assert describe(splits) == (
        "train: 9 rows of 3 patches of 2 sites; validation: 3 series of 3 patches of 2 sites; "
        "test: 3 series of 3 patches of 2 sites"
    )


def test_a_change_detector_is_trained_on_pairs(dataset):
    splits = read_splits(changes(dataset), seed=0)
    assert len(splits.train) == 9
    assert sorted(column(splits.train, "interval")) == [1] * 3 + [2] * 3 + [3] * 3
    row = splits.train[0]
    read = training_dataset(changes(dataset), splits, TrainingArguments(use_cpu=True))
    batch = read.__getitems__([8, 0])
    for name in ("images", "change"):
        np.testing.assert_array_equal(batch[name], [splits.train[number][name] for number in (8, 0)])
    assert row["images"].shape == (2, 10, 160, 160)
    assert set(np.unique(row["change"])) == {0, 1}


def test_pairs_are_drawn_as_the_arguments_say(dataset):
    script = changes(dataset, pairs_per_patch="2", interval_sampling="balanced")
    splits = read_splits(script, seed=0)
    patches = [splits.train[row]["patch_id"] for row in training_sampler(script, splits, seed=0)]
    assert sorted(patches) == sorted(["Italy_1_0000", "Spain_1_0000", "Spain_1_0001"] * 2)
    assert len(training_sampler(changes(dataset), splits, seed=0)) == 9


@pytest.mark.parametrize("pairs_per_patch", ["all", "2"])
def test_a_patch_is_read_with_the_years_of_its_pairs(dataset, pairs_per_patch):
    script = changes(dataset, training="series", pairs_per_patch=pairs_per_patch)
    splits = read_splits(script, seed=0)
    rows = training_dataset(script, splits, TrainingArguments(use_cpu=True))
    samples = list(training_sampler(script, splits, seed=0))
    assert len(rows) == len(samples) == 3
    assert all(len(sample) == (3 if pairs_per_patch == "all" else 2) for sample in samples)
    for sample in samples:
        found = rows[sample]
        assert found["images"].dtype == np.int16
        # Any two of the three pairs of three years name all three.
        assert len(found["images"]) == 3
        for place, row in enumerate(sample):
            pair = splits.train[row]
            np.testing.assert_array_equal(found["images"][found["pairs"][place]], pair["images"])
            np.testing.assert_array_equal(found["changes"][place], pair["change"])


def test_patches_are_collated_alike_one_by_one_and_stacked(dataset):
    script = changes(dataset, training="series", pairs_per_patch="2")
    splits = read_splits(script, seed=0)
    rows = training_dataset(script, splits, TrainingArguments(use_cpu=True))
    samples = list(training_sampler(script, splits, seed=0))
    collator = SeriesCollator()
    stacked = collator(rows.__getitems__(samples))
    single = collator([rows[sample] for sample in samples])
    assert stacked.keys() == single.keys()
    for name, values in single.items():
        assert stacked[name].dtype == values.dtype
        np.testing.assert_array_equal(stacked[name], values)


def test_a_year_without_data_is_filled_from_its_own_patch(dataset, monkeypatch):
    script = changes(dataset, training="series")
    splits = read_splits(script, seed=0)
    read = StackedRows.__getitems__

    def read_gaps(rows, numbers):
        batch = read(rows, numbers)
        batch["image"][3], batch["label"][3] = 0, 255
        return batch

    rows = training_dataset(script, splits, TrainingArguments(use_cpu=True))
    monkeypatch.setattr(StackedRows, "__getitems__", read_gaps)
    batch = rows.__getitems__(list(training_sampler(script, splits, seed=0)))
    # The first of the second patch's three years, beside the last of the first patch.
    np.testing.assert_array_equal(batch["images"][3], batch["images"][4])
    assert (batch["changes"][(batch["pairs"] == 3).any(axis=1)] == 255).all()
    assert batch["patches"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_years_that_no_drawn_pair_names_are_not_read(dataset):
    script = changes(dataset, training="series", pairs_per_patch="1")
    splits = read_splits(script, seed=0)
    rows = training_dataset(script, splits, TrainingArguments(use_cpu=True))
    for sample in training_sampler(script, splits, seed=0):
        assert rows[sample]["images"].shape == (2, 10, 160, 160)
        assert rows[sample]["pairs"].tolist() == [[0, 1]]


def test_at_most_so_many_patches_are_trained_on_with_all_of_their_pairs(dataset):
    script = changes(dataset, training="series", max_train_samples=2)
    splits = read_splits(script, seed=0)
    assert Counter(Counter(column(splits.train, "patch_id")).values()) == {3: 2}


def test_patches_are_not_divided_among_the_gpus_of_one_process(dataset):
    script = changes(dataset, training="series")
    training = TrainingArguments(use_cpu=True)
    training._n_gpu = 2
    message = (
        "--training series: found 2 GPUs in one process; expected one GPU per process. Start it with `acc"
    )
    with pytest.raises(ArgumentError, match=message):
        training_dataset(script, read_splits(script, seed=0), training)


def test_only_the_years_that_are_asked_for_are_seen(dataset):
    splits = read_splits(segmentation(dataset, years=[2015, 2018]), seed=0)
    assert set(column(splits.train, "year")) == {2015, 2018}
    assert {tuple(years) for years in column(splits.test, "years")} == {(2015, 2018), (2015,)}


def test_a_series_of_one_year_has_no_change_to_score(dataset, caplog):
    splits = read_splits(changes(dataset, years=[2015, 2018]), seed=0)
    assert {tuple(years) for years in column(splits.test, "years")} == {(2015, 2018)}
    assert "have a single year, so no change can be scored there." in caplog.text


def test_fewer_samples_are_drawn_with_the_seed_and_spread_over_sites(dataset):
    script = segmentation(dataset, max_train_samples=4, max_eval_samples=2)
    first, again, other = (read_splits(script, seed=seed) for seed in (0, 0, 1))
    assert len(first.train) == 4
    assert first.digest == again.digest != other.digest
    assert column(first.test, "site") == ["Greece_1", "Poland_2"]


def test_statistics_are_the_datasets_own_unless_others_are_named(dataset):
    splits = read_splits(segmentation(dataset), seed=0)
    pixels = np.stack([row["image"] for row in splits.train]).astype(np.float64)
    own = make_image_processor(segmentation(dataset), splits)
    assert own.statistics == "dataset"
    # Two patches overlap, so the mean over rows is only near the exact one.
    np.testing.assert_allclose(own.mean, pixels.mean((0, 2, 3)), rtol=0.05)
    paper = make_image_processor(segmentation(dataset, statistics="paper", bands=["B04", "B8A"]), splits)
    assert paper.mean == [912.91169804, 2551.81568494]
    assert paper.bands == ["B04", "B8A"]
    assert paper(np.zeros((10, 8, 8), np.int16)).pixel_values.shape == (1, 2, 8, 8)


def test_without_statistics_of_its_own_a_dataset_takes_the_corrected_ones(dataset, tmp_path):
    copy = tmp_path / f"copy_{uuid4().hex}"
    shutil.copytree(dataset, copy)
    (copy / "statistics.json").unlink()
    splits = read_splits(segmentation(copy), seed=0)
    assert make_image_processor(segmentation(copy), splits).statistics == "corrected"
    with pytest.raises(
        ArgumentError, match=r"--statistics: found dataset, but no statistics\.json with band"
    ):
        make_image_processor(segmentation(copy, statistics="dataset"), splits)
    (copy / "statistics.json").write_text("{")
    with pytest.raises(DatasetError, match=r"statistics\.json: found text that is not JSON \("):
        read_splits(segmentation(copy), seed=0)


def test_data_are_simulated_where_the_build_record_says_so(dataset, tmp_path):
    copy = tmp_path / f"copy_{uuid4().hex}"
    shutil.copytree(dataset, copy)
    card = copy / "README.md"
    card.write_text(card.read_text() + "\nNothing here is Simulated.\n")
    assert not read_splits(segmentation(copy), seed=0).simulated
    record = json.loads((copy / "build.json").read_text())
    (copy / "build.json").write_text(json.dumps({**record, "simulated": True}))
    assert read_splits(segmentation(copy), seed=0).simulated
    (copy / "build.json").write_text("{")
    with pytest.raises(RecordError, match=r"build\.json: found text that is not JSON"):
        read_splits(segmentation(copy), seed=0)
    (copy / "build.json").unlink()
    assert not read_splits(segmentation(copy), seed=0).simulated


def test_the_level_of_the_data_reaches_the_image_processor_and_the_records(dataset, tmp_path, caplog):
    copy = tmp_path / f"copy_{uuid4().hex}"
    shutil.copytree(dataset, copy)
    script = segmentation(copy)
    assert make_image_processor(script, read_splits(script, seed=0)).level is None
    record = json.loads((copy / "build.json").read_text())
    (copy / "build.json").write_text(json.dumps({**record, "level": "L2A", "level_source": "images"}))
    splits = read_splits(script, seed=0)
    make_image_processor(script, splits).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "preprocessor_config.json").read_text())["level"] == "L2A"
    assert EuroMineImageProcessor.from_pretrained(tmp_path).level == "L2A"
    arguments = TrainingArguments(str(tmp_path / "run"), report_to="none")
    assert make_run_record(script, arguments, splits).level == "L2A"
    assert "processing levels" not in caplog.text
    (copy / "build.json").write_text(json.dumps({**record, "level": "mixed", "level_source": "images"}))
    assert read_splits(script, seed=0).level == "mixed"
    assert "the images are of different or unknown processing levels (L1C, L2A)" in caplog.text


@pytest.mark.parametrize(
    ("error", "warned"),
    [
        (RemoteEntryNotFoundError("no such file", response=SimpleNamespace(headers={}, request=None)), False),
        (LocalEntryNotFoundError("not in the cache, and no connection"), True),
        (ConnectionError("the network is down"), True),
    ],
)
def test_a_file_that_a_dataset_lacks_is_not_confused_with_a_hub_out_of_reach(
    error, warned, monkeypatch, caplog
):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(dataset_files, "hf_hub_download", fail)
    assert dataset_files.band_statistics(segmentation("mines/euromine")) is None
    warning = (
        f"statistics.json of mines/euromine could not be fetched ({error}): training goes on without it."
    )
    assert [record.getMessage() for record in caplog.records] == ([warning] if warned else [])


def test_a_commit_that_the_hub_does_not_tell_is_said(monkeypatch, caplog):
    def fail(*arguments, **options):
        raise ConnectionError("the network is down")

    monkeypatch.setattr(HfApi, "dataset_info", fail)
    assert dataset_files.dataset_revision(segmentation("mines/euromine", dataset_revision="v1")) == "v1"
    assert "The commit of mines/euromine is unknown (the network is down)" in caplog.text


def test_bands_that_the_dataset_lacks_are_named(dataset):
    with pytest.raises(ArgumentError, match="--bands: found VV, B01; expected some of B02, B03"):
        read_splits(segmentation(dataset, bands=["B02", "VV", "B01"]), seed=0)


def test_a_dataset_that_is_not_there_is_told_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--dataset: .*missing: there is no such folder"):
        read_splits(segmentation(tmp_path / "missing"), seed=0)
    with pytest.raises(DatasetError, match=r"found no README\.md and data/annual; expected the folder that"):
        read_splits(segmentation(tmp_path), seed=0)


def test_a_dataset_without_training_sites_is_refused(archive, tmp_path):
    splits = tmp_path / "splits.json"
    sites = [site for names in json.loads((archive / "splits.json").read_text()).values() for site in names]
    splits.write_text(json.dumps({"train": [], "validation": sites[:1], "test": sites[1:]}))
    built = build_dataset(
        archive / "EuroMineNet", tmp_path / f"shards_{uuid4().hex}", splits=splits, workers=1, progress=False
    )
    with pytest.raises(DatasetError, match="found no rows in the split train; expected some to train on"):
        read_splits(segmentation(built), seed=0)


def test_the_papers_protocol_trains_on_the_published_list_to_the_letter(tmp_path):
    noise = np.random.default_rng(0)
    names = ("Germany_13", "Greece_3", "Spain_1", "Kiruna_1", "Bulgaria_1")
    for name in names:
        write_site(
            tmp_path / "EuroMineNet",
            name,
            images=noise.integers(1, 4000, (2, 10, 160, 160), dtype=np.int16),
            labels=noise.integers(0, 2, (2, 160, 160), dtype=np.uint8),
            years=(2015, 2016),
            crs="EPSG:4326",
            transform=(1e-4, 0.0, 10.0, 0.0, -1e-4, 50.0),
        )
    splits = tmp_path / "splits.json"
    splits.write_text(json.dumps({"train": names[:4], "validation": [], "test": names[4:]}))
    built = build_dataset(
        tmp_path / "EuroMineNet", tmp_path / f"shards_{uuid4().hex}", splits=splits, workers=1, progress=False
    )
    corrected, paper = (
        read_splits(segmentation(built, protocol=protocol), seed=0) for protocol in ("corrected", "paper")
    )
    # Two years of each: Germany_13 stands twice in the published list and Greece_3 nowhere; nobody has
    # published anything of Kiruna_1.
    assert Counter(column(corrected.train, "site")) == dict.fromkeys(names[:4], 2)
    assert Counter(column(paper.train, "site")) == {"Germany_13": 4, "Spain_1": 2, "Kiruna_1": 2}
    assert column(paper.test, "site") == column(corrected.test, "site") == ["Bulgaria_1"]
    assert paper.digest != corrected.digest


def test_a_patch_that_the_published_list_names_twice_gives_its_pairs_twice(dataset):
    script = changes(dataset, pairs_per_patch="2")
    splits = read_splits(script, seed=0)
    rows = len(splits.train)
    twice = replace(splits, train=splits.train.select([*range(rows), *range(rows)]))
    assert len(training_sampler(script, twice, seed=0)) == 2 * len(training_sampler(script, splits, seed=0))
    series = changes(dataset, training="series", pairs_per_patch="2")
    for sample in training_sampler(series, twice, seed=0):
        assert len({twice.train[row]["interval"] for row in sample}) == 2
