"""Tables 4, 5 and 6 from beginning to end, on a dataset of a few patches and networks of a few weights."""

import csv
import importlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
import pytest
import yaml

from euromine.benchmark import table_training, tables
from euromine.benchmark.results import read_counts, read_run
from euromine.benchmark.table_jobs import Job, make_jobs, read_settings
from euromine.benchmark.table_pages import energy, markdown, write_pages
from euromine.benchmark.table_rows import LAYOUTS, rows_of
from euromine.benchmark.table_training import launcher
from euromine.benchmark.tables import describe_dataset, main, split_name
from euromine.dataset_script.shards import build_dataset
from euromine.dataset_script.splits import split_sites
from euromine.modeling.auto import list_models
from euromine.simulation.simulated_archive import simulate_archive
from euromine.support.errors import DataError

YEARS = (2015, 2016, 2018)
SETTINGS = {
    "segmentation": {
        "config_overrides": {
            "hidden_sizes": [8, 8, 8, 8],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 1, 1],
            "decoder_hidden_size": 8,
        }
    },
    "siamunet-diff": {"config_overrides": {"widths": [4, 4, 4, 4]}, "pairs_per_patch": 1},
}
QUICK = ("--seeds", "1", "--max_steps", "1", "--per_device_train_batch_size", "2", "--use_cpu")
BOTH = ("--architectures", "segformer-b0", "siamunet-diff")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight simulated sites of two overlapping patches, five of them to test on."""
    folder = tmp_path_factory.mktemp("simulated")
    names = {name: split_sites("corrected")[name] for name in ("train", "validation", "test")}
    sites = [*names["train"][:2], names["validation"][0], *names["test"][:5]]
    archive = simulate_archive(
        folder / "archive", sites=sites, size=(160, 200), years=YEARS, workers=1, progress=False
    )
    return build_dataset(
        archive, folder / f"shards_{uuid4().hex}", splits=archive / "splits.json", workers=1, progress=False
    )


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "small.yaml"
    path.write_text(yaml.safe_dump(SETTINGS))
    return path


@pytest.fixture(scope="module")
def finished(dataset: Path, settings: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a benchmark of two networks, the first of which is trained in a process of its own."""
    out = tmp_path_factory.mktemp("benchmark")
    assert benchmark(dataset, settings, out, *BOTH[:2]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_training, "run_child", run_here)
        assert benchmark(dataset, settings, out, *BOTH) == 0
    return out


def run_here(command: Sequence[str], _output: IO[str]) -> int:
    """In place of `run_child`: run a train script in this process, where PyTorch is loaded already."""
    _python, _m, module, *argv = command
    importlib.import_module(module).main(argv)
    return 0


def benchmark(dataset: Path, settings: Path, out: Path, *arguments: str) -> int:
    return main(
        ["--dataset", str(dataset), "--out", str(out), "--settings", str(settings), *QUICK, *arguments]
    )


def untrained(*_: Any) -> int:
    raise AssertionError("nothing was to be trained")


def test_a_run_keeps_what_it_was_made_with(finished, dataset):
    run = read_run(finished / "results" / "segmentation_segformer-b0_seed0.json")
    record = run.record
    metrics = json.loads((finished / record.checkpoint / "metrics.json").read_text())
    assert record.scores == metrics["scores"]
    assert record.kind.protocol == "corrected"
    assert record.kind.sites == sorted(split_sites("corrected")["test"][:5])
    assert record.dataset.simulated is True
    assert record.split == "a part of the corrected lists"
    assert record.training.steps == 1
    assert set(record.versions) >= {"euromine", "torch", "transformers"}
    assert record.costs.run_seconds > record.costs.series_seconds > 0
    assert record.costs.run_is_whole
    # What is counted is what each site owns: 160 x 200 pixels in each of three years.
    assert set(run.counts["annual_f1"].by_year[..., 3].ravel()) == {160 * 200}
    rows = {row.network: row for row in rows_of([run], LAYOUTS["segmentation"])}
    assert rows["segformer-b0"].headlines["of1"].values == (metrics["scores"]["test"]["of1"],)


def test_tables_csv_and_figures_lie_there(finished):
    page = (finished / "tables.md").read_text()
    assert page.startswith("# Tables 4, 5 and 6, protocol `corrected`, simulated data\n")
    assert "a single one, so the spread over seeds is unknown" in page
    for number in (4, 5, 6):
        assert f"## Table {number}: " in page
        assert (finished / f"table{number}.png").read_bytes().startswith(b"\x89PNG")
    assert (finished / "efficiency.png").read_bytes().startswith(b"\x89PNG")
    # The paper's number of SiamUNet-Diff, beside ours.
    with (finished / "table5.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["of1_pooled_paper"] == "0.3689"
    metrics = json.loads(
        (finished / "runs" / "change-detection" / "siamunet-diff" / "seed-0" / "metrics.json").read_text()
    )
    assert float(row["of1_pooled"]) == metrics["scores"]["test"]["of1_pooled"]
    # Table 6 comes from the maps of Table 4's networks.
    with (finished / "table6.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    run = json.loads((finished / "results" / "segmentation_segformer-b0_seed0.json").read_text())
    assert float(row["of1_mean"]) == run["scores"]["test"]["change_of1_mean"]
    with (finished / "runs.csv").open(newline="") as file:
        assert [row["table"] for row in csv.DictReader(file)] == ["4", "5", "6"]


def test_what_is_finished_is_not_run_again(finished, dataset, settings, monkeypatch, capsys):
    monkeypatch.setattr(tables, "train", untrained)
    (finished / "tables.md").unlink()
    assert benchmark(dataset, settings, finished, *BOTH) == 0
    assert capsys.readouterr().out == f"{finished / 'tables.md'}\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--max_steps", "2"),
            "found a run trained with max_steps 1 instead of 2; expected the same arguments. Give another",
        ),
        (("--max_grad_norm", "0.5"), "found a run trained with max_grad_norm unset instead of 0.5"),
        (("--protocol", "paper"), "Results of different protocol do not belong in one table"),
        (("--learning_rate", "fast"), "invalid float value"),
        (("--max_step", "2"), "found the unknown option --max_step; expected --max_steps"),
        (
            ("--output_dir", "elsewhere"),
            "--output_dir: found an argument that the benchmark passes to the scripts itself",
        ),
        (("--architectures", "unnet"), "--architectures: found 'unnet'; expected one of"),
        (
            ("--architectures", "tinycd", "--tasks", "segmentation"),
            "--architectures: found tinycd; expected networks of the tasks segmentation.",
        ),
        (("--settings", "missing.yaml"), "missing.yaml"),
        (("stray",), "stray: found a word without an option; expected --NAME VALUE."),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_is_trained(
    arguments, sentence, finished, dataset, settings, monkeypatch, capsys
):
    monkeypatch.setattr(tables, "train", untrained)
    words = ["--dataset", str(dataset), "--out", str(finished), "--settings", str(settings)]
    # A stray word would be taken for one more of a list before it.
    before, after = ((), arguments) if arguments[0] == "stray" else (arguments, ())
    assert main([*after, *words, *BOTH, *QUICK, *before]) == 2
    said = capsys.readouterr().err
    assert said.startswith("tables: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_another_dataset_is_refused(finished, settings, tmp_path, monkeypatch, capsys):
    archive = simulate_archive(
        tmp_path / "archive",
        sites=[split_sites("corrected")[split][0] for split in ("train", "validation", "test")],
        size=(160, 160),
        years=YEARS,
        workers=1,
        progress=False,
    )
    other = build_dataset(
        archive, tmp_path / f"shards_{uuid4().hex}", splits=archive / "splits.json", workers=1, progress=False
    )
    monkeypatch.setattr(tables, "train", untrained)
    assert benchmark(other, settings, finished, *BOTH) == 2
    assert "Results of different dataset do not belong in one table" in capsys.readouterr().err


def test_the_papers_protocol_counts_whole_patches_together(dataset, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(table_training, "run_child", run_here)
    assert (
        benchmark(dataset, settings, tmp_path, "--architectures", "segformer-b0", "--protocol", "paper") == 0
    )
    run = read_run(tmp_path / "results" / "segmentation_segformer-b0_seed0.json")
    assert (run.record.kind.average, run.record.kind.statistics) == ("pooled", "paper")
    assert run.record.recipe == "paper"
    # Two whole patches, though the scene has but 160 x 200 pixels.
    assert set(run.counts["annual_f1"].by_year[..., 3].ravel()) == {2 * 160 * 160}
    assert "protocol `paper`" in (tmp_path / "tables.md").read_text().splitlines()[0]


def test_a_failing_network_does_not_stop_the_others(
    finished, dataset, settings, tmp_path, monkeypatch, capsys
):
    def fail(job: Job, out: Path, log: Path, accelerate: Path | None) -> int:
        if job.task == "change-detection":
            log.parent.mkdir(parents=True)
            log.write_text("Loading\nCUDA is out of memory\n")
            return 1
        source = finished / "runs" / job.task / job.architecture / "seed-0"
        log.parent.parent.mkdir(parents=True)
        log.parent.symlink_to(source, target_is_directory=True)
        return 0

    monkeypatch.setattr(tables, "train", fail)
    assert benchmark(dataset, settings, tmp_path, *BOTH) == 1
    said = capsys.readouterr().err
    assert "change-detection_siamunet-diff_seed0 failed: CUDA is out of memory" in said
    assert "1 of 2 runs are missing" in said
    assert (tmp_path / "tables.md").read_text().startswith("# Tables 4 and 6, ")


def test_an_interrupt_says_how_to_go_on(dataset, settings, tmp_path, monkeypatch, capsys):
    def interrupt(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "train", interrupt)
    assert benchmark(dataset, settings, tmp_path, *BOTH) == 130
    assert "tables: interrupted. Run the same command again to resume." in capsys.readouterr().err


def options(**changed: Any) -> Any:
    words = ["--dataset", "euromine"]
    for name, value in changed.items():
        words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return tables._parse(words)[0]


def test_by_default_all_networks_of_the_paper_are_trained_seed_by_seed():
    jobs = make_jobs(options(), {}, {})
    assert len(jobs) == 3 * 31
    assert [job.seed for job in jobs] == [0] * 31 + [1] * 31 + [2] * 31
    first = [job.architecture for job in jobs[:31]]
    of_the_paper = {*list_models("segmentation"), *list_models("change-detection")}
    assert set(first) == of_the_paper - {f"segformer-b{size}" for size in range(5)}
    assert {job.arguments["recipe"] for job in jobs} == {"default"}


def test_post_classification_needs_the_footprint_mappers_alone():
    jobs = make_jobs(options(tasks=["post-classification"], seeds=1), {}, {})
    assert {job.task for job in jobs} == {"segmentation"}
    assert len(jobs) == 11


def test_a_networks_own_settings_overrule_those_of_its_task_and_the_command_line_both():
    settings = {"segmentation": {"max_steps": "10", "learning_rate": "0.1"}, "unet": {"max_steps": "20"}}
    jobs = make_jobs(options(architectures=["unet", "linknet"], seeds=1), settings, {"learning_rate": "0.2"})
    found = {job.architecture: job.arguments for job in jobs}
    assert (found["unet"]["max_steps"], found["linknet"]["max_steps"]) == ("20", "10")
    assert found["unet"]["learning_rate"] == "0.2"


def test_a_splits_name_is_that_of_the_list_it_follows():
    corrected, official = split_sites("corrected"), split_sites("official")
    assert split_name(corrected) == "corrected"
    assert split_name({name: sorted(set(sites)) for name, sites in official.items()}) == "official"
    assert (
        split_name({name: sites[:3] for name, sites in corrected.items()}) == "a part of the corrected lists"
    )
    assert split_name({**corrected, "test": ["Kiruna_1"]}) == "its own"


def test_a_dataset_with_the_official_split_is_refused_under_the_corrected_protocol(dataset, monkeypatch):
    monkeypatch.setattr(tables, "split_name", lambda sites: "official")
    with pytest.raises(ValueError, match="found the official split; expected the corrected one"):
        describe_dataset(str(dataset), None, "corrected")
    assert describe_dataset(str(dataset), None, "paper")["split"] == "official"


def test_scripts_are_started_through_accelerate_where_there_are_several_gpus(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert launcher(None)[1:] == ["-m"]
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert launcher(None)[1:] == [
        "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "4", "--module",
    ]  # fmt: skip
    assert launcher(Path("fsdp2.yaml"))[3:] == [
        "--config_file", "fsdp2.yaml", "--num_processes", "4", "--module",
    ]  # fmt: skip


def test_energy_is_shown_by_source_or_said_to_be_unreadable(finished):
    run = read_run(finished / "results" / "segmentation_segformer-b0_seed0.json")
    (row,) = rows_of([run], LAYOUTS["segmentation"])
    run.record.costs.joules.clear()
    assert energy(row) == "not readable"
    run.record.costs.joules.update({"GPUs": 12_340.0, "processors": 1000.0})
    assert energy(row) == "12.3 kJ GPUs, 1.0 kJ processors"


def test_an_interrupted_attempt_makes_the_time_of_a_run_a_lower_bound(finished, tmp_path, monkeypatch):
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    job = Job("segmentation", "segformer-b0", 0, {})
    monkeypatch.setattr(table_training, "run_child", interrupt)
    with pytest.raises(KeyboardInterrupt):
        table_training.train(job, tmp_path, job.folder(tmp_path) / "log.txt", None)
    (attempt,) = json.loads((job.folder(tmp_path) / "attempts.json").read_text())
    assert attempt["seconds"] >= 0
    assert "ended" not in attempt
    run = read_run(finished / "results" / "segmentation_segformer-b0_seed0.json")
    costs = replace(run.record.costs, run_is_whole=False)
    run = replace(run, record=replace(run.record, costs=costs))
    (row,) = rows_of([run], LAYOUTS["segmentation"])
    assert "≥ " in "".join(markdown({"segmentation": [row]}, [run]))


def test_tables_of_nothing_are_refused(finished, tmp_path):
    run = read_run(finished / "results" / "segmentation_segformer-b0_seed0.json")
    with pytest.raises(ValueError, match="found no finished run of change-detection; expected at least one"):
        write_pages(tmp_path, [run], ["change-detection"])


def test_counts_are_read_as_the_scripts_write_them(finished):
    path = finished / "runs" / "change-detection" / "siamunet-diff" / "seed-0" / "counts.npz"
    (table,) = read_counts(path).values()
    assert table.years == YEARS
    # Three pairs of years of five sites, above the diagonal.
    assert np.count_nonzero(table.by_pair[..., 3]) == 15


@pytest.mark.parametrize("seeds", ["0", "-1", "two", "99999999", ""])
def test_a_number_of_seeds_that_is_none_is_refused(dataset, seeds, capsys):
    with pytest.raises(SystemExit):
        tables.main(["--dataset", str(dataset), "--seeds", seeds])
    assert "expected 1 to 100 seeds." in capsys.readouterr().err


def test_settings_that_are_nested_too_deeply_are_refused(tmp_path):
    (tmp_path / "settings.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"settings\.json: found text that is not YAML"):
        read_settings(tmp_path / "settings.json")
