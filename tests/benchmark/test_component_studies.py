"""The studies of components: which trainings they need, and their tables from counts written by hand."""

from contextlib import nullcontext

import numpy as np
import pytest

from euromine.benchmark.component_costs import RunCosts
from euromine.benchmark.component_jobs import (
    BAND_SETS,
    STUDIES,
    ComponentJob,
    PlannedJob,
    SiteFactsOfSplits,
    StudyOptions,
    jobs_of,
)
from euromine.benchmark.component_pages import (
    Counted,
    StudyRow,
    joined,
    mean_scores,
    rows_of_study,
    study_page,
)
from euromine.benchmark.components import check_same, main
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, LabelGroups
from euromine.metrics.counts import CountTable
from euromine.modeling.bands import KNOWN_BANDS
from euromine.support.errors import ArgumentError
from euromine.support.records import write_record
from euromine.support.run_records import RESULTS_FILE, ModelFacts, Protocol, RunResults, TrainingFacts
from euromine.training.arguments import SegmentationArguments, parse_arguments

GROUPS = LabelGroups({"deposits": ("dumping_ground", "stockpile")}, "area")
COSTS = RunCosts(seconds=120, processor_seconds=90, parameters=3_700_000, gmacs=0.69)
FACTS = SiteFactsOfSplits(
    {
        "train": {
            "A": {"mine_type": "open-pit", "material": "coal"},
            "B": {"mine_type": "opencast", "material": None},
        },
        "test": {
            "C": {"mine_type": "open-pit", "material": "rock"},
            "D": {"mine_type": "opencast", "material": "coal"},
        },
    }
)


def counted(by_site: dict[str, dict[str, tuple[int, int, int, int]]]) -> Counted:
    """Counts of one year: hits, predicted, actual and valid pixels of each class that is named."""
    by_year = np.zeros((len(by_site), 1, 13, 4), np.int64)
    total = np.zeros((len(by_site), 1, 4), np.int64)
    for row, classes in enumerate(by_site.values()):
        for name, four in classes.items():
            if name == "area":
                total[row, 0] = four
            else:
                by_year[row, 0, COMPONENT_CLASSES.index(name)] = four
    sites, pairs = tuple(by_site), np.zeros((len(by_site), 1, 1, 0), np.int64)
    return Counted(
        CountTable(sites, (2020,), by_year.reshape(len(by_site), 1, 52), pairs),
        CountTable(sites, (2020,), total, pairs),
    )


COUNTED = counted(
    {
        "C": {"dumping_ground": (1, 2, 1, 10), "area": (5, 5, 10, 10)},
        "D": {"dumping_ground": (3, 3, 3, 30), "stockpile": (0, 1, 1, 30), "area": (30, 30, 30, 30)},
    }
)


def test_scores_are_means_over_sites_weighted_by_pixels():
    scores = mean_scores(StudyRow("x", (COUNTED,), COSTS), GROUPS)
    # C: 1/2 of the one class that it has. D: 1 and 0. Pooled: 1/2, and 3 of 5.
    assert scores["macro_iou"] == [pytest.approx((0.5 * 10 + 0.5 * 30) / 40)]
    assert scores["pooled_iou"] == [pytest.approx((0.5 * 10 + 0.6 * 30) / 40)]
    assert scores["total_iou"] == [pytest.approx((0.5 * 10 + 1 * 30) / 40)]


def test_networks_of_single_groups_count_as_one():
    first = counted({"C": {"dumping_ground": (1, 2, 1, 10)}})
    second = counted({"C": {"outcrop": (4, 4, 4, 10)}})
    total = Counted(None, counted({"C": {"area": (5, 5, 10, 10)}}).total)
    whole = joined([Counted(first.classes, None), Counted(second.classes, None), total])
    by_year = whole.classes.by_year.reshape(1, 1, 13, 4)
    assert by_year[0, 0, COMPONENT_CLASSES.index("outcrop")].tolist() == [4, 4, 4, 10]
    assert by_year[0, 0, COMPONENT_CLASSES.index("dumping_ground")].tolist() == [1, 2, 1, 10]
    assert whole.total.by_year[0, 0].tolist() == [5, 5, 10, 10]


def test_every_training_is_planned_once_and_seed_by_seed():
    jobs = jobs_of(STUDIES, GROUPS, FACTS, seeds=2)
    assert len(jobs) == len({job.name for job in jobs})
    # Five band sets; two types; coal, which both splits have; a network for each group and the total.
    assert len(jobs) == 2 * (5 + 2 + 1 + 2)
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    with pytest.raises(ArgumentError, match="--study: found types, but no mine_type that both"):
        jobs_of(["types"], GROUPS, SiteFactsOfSplits({"train": {}, "test": {}}), seeds=1)


def test_band_sets_grow_from_the_eye_to_radar():
    assert list(BAND_SETS) == ["RGB", "RGB+NIR", "MSI", "MSI+SAR", "RGB+NIR+SAR"]
    assert all(set(bands) <= set(KNOWN_BANDS) for bands in BAND_SETS.values())
    assert {*BAND_SETS["MSI+SAR"]} - {*BAND_SETS["MSI"]} == {"VV", "VH"}


def test_the_arguments_of_a_training_are_those_of_the_script(tmp_path):
    options = StudyOptions("ds", "segformer-b0", "preset", 40, 8, 1, {"learning_rate": "0.002"})
    job = ComponentJob("RGB+NIR+SAR", 1, ("mine_type", "open-pit"), "deposits")
    script, training = parse_arguments(SegmentationArguments, PlannedJob(job, options).argv(tmp_path))
    assert script.bands == ["B04", "B03", "B02", "B08", "VV", "VH"]
    assert script.groups.names == ("deposits",)
    assert script.wanted_facts == {"mine_type": ("open-pit",)}
    assert (training.max_steps, training.seed, training.learning_rate) == (40, 1, 0.002)


def test_a_type_is_compared_on_its_own_test_sites():
    whole, alone = ComponentJob("MSI", 0), ComponentJob("MSI", 0, ("mine_type", "opencast"))
    finished = {whole: (COUNTED, COSTS), alone: (COUNTED.of_sites(["D"]), COSTS)}
    rows = rows_of_study("types", finished, GROUPS, FACTS)
    compared = [(row.name, row.counted[0].classes.sites) for row, other in rows if other is not None]
    assert compared == [("opencast only", ("D",))]
    page = study_page("types", rows, GROUPS, simulated=True, note="One seed.")
    assert "## Training on one type of mine (simulated)" in page
    assert "opencast only - all sites, on opencast" in page
    # Both are the same counts.
    assert "+0.000" in page
    assert "training on one type of mine gave no gain" in page
    assert "3.70 M" in page


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"steps": 5}, "found a training with max_steps 4 instead of 5; expected the same"),
        ({"groups": LabelGroups({"deposits": ("stockpile",)}, "area")}, "with other label groups"),
        ({"facts": SiteFactsOfSplits({"test": {"E": {}}})}, "with other test sites"),
        ({}, None),
    ],
)
def test_finished_trainings_of_other_kinds_are_refused(tmp_path, changed, sentence):
    job = ComponentJob("RGB", 0)
    results = RunResults(
        task="segmentation",
        architecture="segformer-b0",
        model=ModelFacts(repository=None, folder=None, class_name="ComponentSegmenter", parameters=1),
        scores={},
        training=TrainingFacts(
            steps=4,
            epochs=1,
            best_step=None,
            selected_by=None,
            batch_size=8,
            precision="float32",
            arguments={"max_steps": 4, "seed": 0, "bands": ["B04", "B03", "B02"]},
        ),
        protocol=Protocol(
            dataset="ds",
            dataset_revision=None,
            simulated=True,
            digest="0",
            sites={"test": ["C", "D"]},
            years=None,
            bands=["B04", "B03", "B02"],
            statistics="dataset",
            recipe="default",
            augmentation=True,
            protocol="corrected",
            average="site",
            pretrained=None,
            label_groups={name: list(each) for name, each in GROUPS.classes.items()},
        ),
        versions={},
        hardware="CPU",
    )
    job.folder(tmp_path).mkdir(parents=True)
    write_record(job.folder(tmp_path) / RESULTS_FILE, results)
    options = StudyOptions("ds", "segformer-b0", "preset", changed.get("steps", 4), 8, 1, {})
    with pytest.raises(ArgumentError, match=sentence) if sentence else nullcontext():
        check_same(job, options, tmp_path, changed.get("facts", FACTS), changed.get("groups", GROUPS))


def test_mistakes_end_in_one_line(tmp_path, capsys):
    assert main(["--dataset", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
    assert main(["--dataset", "ds", "--where", "site=A"]) == 2
    assert "--where: found an argument that the studies pass" in capsys.readouterr().err
