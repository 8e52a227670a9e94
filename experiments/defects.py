"""The effect of each defect of the published release on the scores, measured on simulated data.

`python -m euromine.experiments.defects --dataset runs/benchmark/euromine-simulated --out runs/defects` trains
a small footprint mapper without and with each defect, seed by seed: the standard deviation divided by
sqrt(2), the training site that is listed twice in place of another, and the learning rate that rises and
falls every few batches. The others are measured on the networks trained without defects: selection on the
test sites, and pooling the pixels of whole patches. `docs/protocols.md` explains them.

Finished trainings are not repeated, so the same command resumes where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from euromine.benchmark.hardware import device_name
from euromine.benchmark.results import read_counts, scores_of
from euromine.benchmark.table_jobs import Job
from euromine.benchmark.table_training import device, train
from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.patches import PATCH_SIZE
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.dataset_script.splits import split_sites
from euromine.modeling.auto import list_models
from euromine.modeling.tasks import SEGMENTATION
from euromine.simulation.simulated_site import simulate_site
from euromine.support.errors import ArgumentError, DatasetError, EuroMineError, one_line
from euromine.support.files import write_json, write_text
from euromine.support.interrupts import INTERRUPTED, RESUME, say_interrupted
from euromine.support.locks import lock_folder
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE, RunResults
from euromine.training import checkpoints

from .effects import Counts, Effect, compared, markdown
from .recounting import counted_once, rows_of

# The published code steps a cosine of ten epochs (T_max) once per batch, so it turns every ten batches.
T_MAX = 10
LOOKS = 5
# A scene's sides are this many patches minus part of one: whole patches then count about 16 % too many
# pixels, as in the published set.
PATCHES, LACKING = (2, 5), (0, 70)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the effect of the release's defects.

    Returns:
        The exit status: 0, 1 where a training failed, 2 where an argument does not fit, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m euromine.experiments.defects", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--dataset", required=True, help="folder that `euromine build` wrote of simulated sites"
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / "defects")
    parser.add_argument("--architecture", default="linknet", choices=list_models(SEGMENTATION))
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument("--steps", type=int, default=100, help="training steps")
    parser.add_argument("--batch", type=int, default=4, help="images per step")
    parser.add_argument("--scenes", type=int, default=12, help="scenes of irregular size")
    options = parser.parse_args(argv)
    if min(options.seeds, options.steps // LOOKS, options.batch, options.scenes) < 1:
        sys.stderr.write(
            f"defects: found too small a number; expected at least 1 seed, image and scene, and {LOOKS} "
            "steps.\n"
        )
        return 2
    try:
        with lock_folder(options.out):
            trained = train_all(options)
            effects = measure(trained, options)
            write(effects, trained, options)
    except KeyboardInterrupt:
        say_interrupted("defects", RESUME)
        return INTERRUPTED
    except (EuroMineError, OSError) as error:
        sys.stderr.write(f"defects: {one_line(error)}\n")
        return 1
    sys.stdout.write(f"{options.out / 'defects.md'}\n")
    return 0


def variants(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """The arguments of each training, beside those of all."""
    oscillating = {"min_lr_rate": 0.001, "num_cycles": options.steps / (2 * T_MAX)}
    return {
        "corrected": {"statistics": "corrected"},
        "published-std": {"statistics": "paper"},
        # The scenes of the dataset are whole patches, so that its scores are counted alike.
        "official-list": {"protocol": "paper"},
        "oscillating-rate": {"statistics": "corrected", "lr_scheduler_kwargs": json.dumps(oscillating)},
    }


def train_all(options: argparse.Namespace) -> dict[str, list[Path]]:
    """The folders of all trainings, by variant and seed.

    Raises:
        DatasetError: The dataset does not consist of simulated scenes of one patch.
        OSError: A training failed.
    """
    check_dataset(options.dataset)
    check_arguments(options)
    common = {
        "dataset": options.dataset,
        "architecture": options.architecture,
        "recipe": "default",
        "max_steps": str(options.steps),
        "per_device_train_batch_size": str(options.batch),
        "eval_strategy": "steps",
        "eval_steps": str(options.steps // LOOKS),
        "save_total_limit": str(LOOKS + 1),
        "warmup_steps": "0",
    }
    jobs = [
        (name, Job(SEGMENTATION, options.architecture, seed, {**common, "seed": str(seed), **own}))
        for seed in range(options.seeds)
        for name, own in variants(options).items()
    ]
    folders: dict[str, list[Path]] = {}
    for name, job in tqdm(jobs, desc="trainings", unit="run"):
        folder = job.folder(options.out / name)
        if not (folder / RESULTS_FILE).is_file() and train(job, options.out / name, folder / "log.txt", None):
            raise OSError(f"the training {name} of seed {job.seed} failed; see {folder / 'log.txt'}.")
        folders.setdefault(name, []).append(folder)
    return folders


def check_arguments(options: argparse.Namespace) -> None:
    """Refuse a folder that was made with other arguments, and note them in a new one.

    Raises:
        ArgumentError: It was.
    """
    now = {name: getattr(options, name) for name in ("architecture", "steps", "batch", "scenes")}
    note = options.out / "arguments.json"
    if note.is_file() and (before := json.loads(note.read_text(encoding="utf-8"))) != now:
        raise ArgumentError(
            f"{options.out}: found results of {before}; expected those of {now}. Give another --out to keep "
            "both."
        )
    options.out.mkdir(parents=True, exist_ok=True)
    write_json(note, now)


def check_dataset(source: str) -> None:
    """Refuse a dataset on which the comparisons would not be clean.

    Raises:
        DatasetError: A scene is larger than a patch, or the sites of the two lists are missing.
        OSError: There is no such dataset.
    """
    series: Any = read_dataset(source, "series", columns=("patch_id", "site", "own"))
    own = {tuple(box) for split in series for box in series[split].with_format(None)["own"]}
    if own != {(0, 0, 160, 160)}:
        raise DatasetError(
            f"{source}: found scenes of several patches; expected scenes of 160 x 160 pixels. Make them with "
            "euromine simulate --size 160x160."
        )
    sites = set(series["train"].with_format(None)["site"])
    if not {"Germany_13", "Greece_3"} <= sites:
        raise DatasetError(
            f"{source}: found a training split without Germany_13 or Greece_3; expected both. Simulate the "
            "archive with --sites 133."
        )


def measure(trained: Mapping[str, Sequence[Path]], options: argparse.Namespace) -> list[Effect]:
    """The effects of all defects."""
    counts = {name: [read_counts(path / "counts.npz") for path in paths] for name, paths in trained.items()}
    effects = [
        *compared(
            "standard deviation / sqrt(2)",
            "trained and scored with the published standard deviation",
            counts["corrected"],
            counts["published-std"],
        ),
        *compared(
            "Germany_13 twice, Greece_3 missing",
            "trained on the official list (both with the published standard deviation)",
            counts["published-std"],
            counts["official-list"],
        ),
        *compared(
            "oscillating learning rate",
            f"cosine that turns every {T_MAX} batches instead of falling once",
            counts["corrected"],
            counts["oscillating-rate"],
        ),
    ]
    mismatched, best_on_test = [], []
    for folder in tqdm(trained["corrected"], desc="scoring", unit="network"):
        test = partial(rows_of, options.dataset, "test")
        mismatched.append(
            counted_once(folder / "mismatched.npz", folder, test, std_divisor=np.sqrt(2))["owned"]
        )
        looks = [
            counted_once(checkpoint / "test.npz", checkpoint, test)["owned"]
            for checkpoint in checkpoints.all_checkpoints(folder)
        ]
        best_on_test.append(
            max(looks, key=lambda each: scores_of(each["annual_f1"], "annual_f1", "site")["of1"])
        )
    effects += compared(
        "the other standard deviation",
        "a network trained with the corrected one, given images normalised with the published one",
        counts["corrected"],
        mismatched,
    )
    effects += compared(
        "choosing on the test sites",
        f"of {LOOKS} checkpoints the best on the test sites instead of the best on the validation sites",
        counts["corrected"],
        best_on_test,
    )
    return effects + whole_patches(trained["corrected"], options)


def whole_patches(folders: Sequence[Path], options: argparse.Namespace) -> list[Effect]:
    """The effect of pooling whole patches, on scenes whose patches overlap or are padded."""
    irregular = irregular_dataset(options.out, options.scenes)
    rows = partial(rows_of, str(irregular), "test")
    found = [counted_once(folder / "irregular.npz", folder, rows) for folder in folders]
    owned, whole = ([each[way] for each in found] for way in ("owned", "whole"))
    effects = compared(
        "whole patches counted",
        "every pixel of a patch instead of those that it owns; sites averaged",
        owned,
        whole,
    )
    effects += compared(
        "sites pooled",
        "the pixels of all sites together instead of the mean of the sites",
        owned,
        owned,
        "pooled",
    )
    return effects + compared(
        "whole patches pooled", "both: what the protocol `paper` does", owned, whole, "pooled"
    )


def irregular_dataset(out: Path, scenes: int) -> Path:
    """Simulated test sites of any height and width, built."""
    built = out / "irregular"
    if built.is_dir():
        return built
    archive = out / "irregular-archive"
    names = split_sites("corrected")["test"][:scenes]
    draw = np.random.default_rng(0)
    shape = (len(names), 2)
    sizes = (PATCH_SIZE * draw.integers(*PATCHES, shape) - draw.integers(*LACKING, shape)).tolist()
    for name, (height, width) in tqdm(list(zip(names, sizes, strict=True)), desc="simulating", unit="site"):
        site = simulate_site(name, height=height, width=width, seed=1)
        write_site(
            archive / "EuroMineNet",
            name,
            images=site.images,
            labels=site.labels,
            years=site.years,
            crs=site.crs,
            transform=site.transform,
        )
    write_json(archive / "simulation.json", {"irregular": sizes})
    splits = archive / "splits.json"
    write_json(splits, {"train": [], "validation": [], "test": names})
    return build_dataset(archive, built, splits=splits, workers=1)


def doubled_share(counts: Mapping[str, Counts]) -> float:
    """The pixels that whole patches count beyond those of the scenes, as a share of the latter."""
    whole, owned = (int(counts[way]["annual_f1"].by_year[..., 3].sum()) for way in ("whole", "owned"))
    return whole / owned - 1


def write(
    effects: Sequence[Effect], trained: Mapping[str, Sequence[Path]], options: argparse.Namespace
) -> None:
    """Write `defects.md` and `defects.json`."""
    first = trained["corrected"][0]
    irregular = counted_once(first / "irregular.npz", first, lambda: None)
    write_json(
        options.out / "defects.json",
        [
            {
                "defect": effect.defect,
                "what": effect.what,
                "score": effect.score,
                "without": effect.without,
                "with": effect.with_it,
                "interval": effect.interval,
            }
            for effect in effects
        ],
    )
    results = read_record(RunResults, first / RESULTS_FILE)
    sites = {split: len(names) for split, names in results.protocol.sites.items()}
    seeds = "1 seed" if options.seeds == 1 else f"{options.seeds} seeds"
    more = f"{100 * doubled_share(irregular):.0f} %"
    setup = (
        f"`{options.architecture}`, {options.steps} steps of {options.batch} images, {seeds}, "
        f"{device_name(device())}; {sites['train']} training, {sites['validation']} validation and "
        f"{sites['test']} test sites of one patch each; whole patches on {options.scenes} scenes of "
        f"several patches, which count {more} more pixels than the scenes have. Differences: with the defect "
        "minus without it, mean ± standard deviation over the seeds; 95 % by bootstrap over the test sites."
    )
    title = "# The effect of the release's defects (simulated data)"
    text = "\n\n".join([title, setup, markdown(effects)])
    write_text(options.out / "defects.md", text + "\n")


if __name__ == "__main__":
    sys.exit(main())
