"""What each defect of the published release does to the numbers, measured on simulated data.

`python -m euromine.experiments.defects --dataset runs/benchmark/euromine-simulated --out runs/defects` trains
a small footprint mapper once as it should be and once with each defect, seed by seed, and looks at the
others on the networks that it has: the standard deviation divided by sqrt(2), the training site that is
listed twice in the place of another, the learning rate that rises and falls every few batches, the checkpoint
that is chosen on the test sites, and the pixels of whole patches that are pooled. `docs/protocols.md` says
what they are.

What is finished is not run again, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

import euromine.modeling.auto  # noqa: F401 - registers the networks
from euromine.benchmark.hardware import device_name
from euromine.benchmark.results import percentiles, read_counts, resampled_scores, scores_of
from euromine.benchmark.tables import Job, device, train
from euromine.dataset_script.archive import write_site
from euromine.dataset_script.patches import PATCH_SIZE, owned_mask
from euromine.dataset_script.reading import read_dataset
from euromine.dataset_script.shards import build_dataset
from euromine.dataset_script.splits import split_sites
from euromine.metrics.annual_f1.annual_f1 import AnnualF1
from euromine.metrics.ca_tiou.ca_tiou import CATIoU
from euromine.metrics.counts import CountTable
from euromine.metrics.interval_f1.interval_f1 import IntervalF1
from euromine.modeling.auto import SEGMENTATION, list_models
from euromine.simulation.simulated_archive import simulate_site
from euromine.support import files
from euromine.training import checkpoints
from euromine.training.evaluation import predict_series
from euromine.training.model_cards import table
from euromine.training.runs import RESULTS, packed_counts

# The scores that are compared: metric, score, how a person calls it.
SCORES = (
    ("annual_f1", "of1", "OF1"),
    ("ca_tiou", "gca_tiou", "GCA-TIoU"),
    ("interval_f1", "of1_pooled", "change OF1"),
)
# The published code steps its cosine of ten epochs (T_max) once a batch, so that it turns every ten batches.
T_MAX = 10
LOOKS = 5
# A scene's sides are so many patches less a part of one: whole patches then count about 16 % more pixels than
# there are, as those of the published set do.
PATCHES, LACKING = (2, 5), (0, 70)

Counts = Mapping[str, CountTable]


@dataclass(frozen=True)
class Effect:
    """What a defect does to a score.

    Attributes:
        defect: Its name.
        what: What is compared.
        score: How the score is called.
        without: The score without the defect, one a seed.
        with_it: The score with it, one a seed.
        interval: Within which the mean difference lies in 95 % of resamples of the sites; None where they
            are too few.
    """

    defect: str
    what: str
    score: str
    without: tuple[float, ...]
    with_it: tuple[float, ...]
    interval: tuple[float, float] | None

    @property
    def differences(self) -> NDArray[np.float64]:
        """With the defect less without it, one a seed."""
        return np.subtract(self.with_it, self.without)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the release's defects do.

    Returns:
        The exit status: 0, 1 where a training failed, 2 for a mistake in the arguments, 130 if interrupted.
    """
    parser = argparse.ArgumentParser(
        prog="python -m euromine.experiments.defects", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--dataset", required=True, help="folder that `euromine build` wrote of simulated sites"
    )
    parser.add_argument("--out", type=Path, default=Path("runs") / "defects")
    parser.add_argument("--architecture", default="linknet", choices=list_models(SEGMENTATION))
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on")
    parser.add_argument("--steps", type=int, default=100, help="training steps")
    parser.add_argument("--batch", type=int, default=4, help="images of a step")
    parser.add_argument("--scenes", type=int, default=12, help="scenes of irregular size")
    options = parser.parse_args(argv)
    if min(options.seeds, options.steps // LOOKS, options.batch, options.scenes) < 1:
        sys.stderr.write(f"defects: expected at least 1 seed, image and scene, and {LOOKS} steps\n")
        return 2
    try:
        trained = train_all(options)
        effects = measure(trained, options)
    except KeyboardInterrupt:
        sys.stderr.write("defects: stopped; the same command goes on where it was\n")
        return 130
    except (ValueError, OSError) as error:
        sys.stderr.write(f"defects: {' '.join(str(error).split())}\n")
        return 1
    write(effects, trained, options)
    sys.stdout.write(f"{options.out / 'defects.md'}\n")
    return 0


def variants(options: argparse.Namespace) -> dict[str, dict[str, str]]:
    """What each training is told beside what all are told."""
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
        ValueError: One failed, or the dataset is not of simulated scenes of one patch.
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
        if not (folder / RESULTS).is_file() and train(job, options.out / name, folder / "log.txt", None):
            raise ValueError(f"the training {name} of seed {job.seed} failed, {folder / 'log.txt'} says why")
        folders.setdefault(name, []).append(folder)
    return folders


def check_arguments(options: argparse.Namespace) -> None:
    """Refuse a folder that was made with other arguments, and note them in a new one.

    Raises:
        ValueError: It was.
    """
    now = {name: getattr(options, name) for name in ("architecture", "steps", "batch", "scenes")}
    note = options.out / "arguments.json"
    if note.is_file() and (before := json.loads(note.read_text(encoding="utf-8"))) != now:
        raise ValueError(f"{options.out} was made with {before}, not with {now}: another --out keeps both")
    options.out.mkdir(parents=True, exist_ok=True)
    files.write_json(note, now)


def check_dataset(source: str) -> None:
    """Refuse a dataset on which the comparisons would not be clean.

    Raises:
        ValueError: A scene is no patch by itself, or the sites of the two lists are missing.
        OSError: There is no such dataset.
    """
    series: Any = read_dataset(source, "series", columns=("patch_id", "site", "own"))
    own = {tuple(box) for split in series for box in series[split].with_format(None)["own"]}
    if own != {(0, 0, 160, 160)}:
        raise ValueError(
            f"{source} has scenes that are no patch of 160 x 160; euromine simulate --size 160x160"
        )
    sites = set(series["train"].with_format(None)["site"])
    if not {"Germany_13", "Greece_3"} <= sites:
        raise ValueError(f"{source} lacks Germany_13 or Greece_3 in its training split; --sites 133 has both")


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
    """What pooling whole patches does, on scenes whose patches overlap or are filled up."""
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


def compared(
    defect: str, what: str, without: Sequence[Counts], with_it: Sequence[Counts], average: str = "site"
) -> list[Effect]:
    """The effect of a defect on each score.

    Args:
        defect: Its name.
        what: What is compared.
        without: The counts of networks without it, one a seed.
        with_it: Those with it, of the same seeds and sites.
        average: How sites are averaged with the defect; without it each is scored by itself.
    """
    effects = []
    for metric, score, called in SCORES:
        tables = [[each[metric] for each in counts] for counts in (without, with_it)]
        averages = ("site", average)
        found = [
            tuple(float(scores_of(each, metric, how)[score]) for each in group)
            for group, how in zip(tables, averages, strict=True)
        ]
        draws = [resampled_scores(group, metric, how) for group, how in zip(tables, averages, strict=True)]
        interval = percentiles(draws[1][score] - draws[0][score]) if all(draws) else None
        effects.append(Effect(defect, what, called, found[0], found[1], interval))
    return effects


def counted_once(
    path: Path, folder: Path, rows: Any, std_divisor: float = 1.0
) -> dict[str, dict[str, CountTable]]:
    """What `counted` finds, kept in a file.

    Args:
        path: The file.
        folder: A network.
        rows: Gives the rows.
        std_divisor: What the standard deviation of its image processor is divided by.

    Returns:
        The counts of owned pixels ("owned") and of whole patches ("whole"), by metric.
    """
    if not path.is_file():
        found = counted(folder, rows(), std_divisor)
        flat = {f"{way}-{name}": table for way, tables in found.items() for name, table in tables.items()}
        files.write_bytes(path, packed_counts(flat))
    kept: dict[str, dict[str, CountTable]] = {"owned": {}, "whole": {}}
    for name, each in read_counts(path).items():
        way, _, metric = name.partition("-")
        kept[way][metric] = each
    return kept


def counted(folder: Path, rows: Any, std_divisor: float = 1.0) -> dict[str, dict[str, Any]]:
    """Map series and count what is right, once each pixel and once whole patches, as `counted_once`."""
    network = AutoModelForSemanticSegmentation.from_pretrained(folder).eval().to(device())
    processor = AutoImageProcessor.from_pretrained(folder)
    processor.std = [value / std_divisor for value in processor.std]
    metrics = {way: (AnnualF1(), CATIoU(), IntervalF1()) for way in ("owned", "whole")}
    for row in _each(rows):
        maps = predict_series(network, processor, row["images"][None])[0].cpu().numpy()
        own = owned_mask(row["own"])
        for way, ignored in (("owned", ~own), ("whole", np.zeros_like(own))):
            prediction, reference = (np.where(ignored, np.uint8(255), each) for each in (maps, row["labels"]))
            for metric in metrics[way]:
                metric.add(
                    prediction=prediction, reference=reference, site=row["site"], years=list(row["years"])
                )
    return {way: {metric.metric_name: metric.table() for metric in group} for way, group in metrics.items()}


def _each(rows: Any) -> Iterator[Mapping[str, Any]]:
    for place in range(len(rows)):
        yield rows[place]


def rows_of(source: str, split: str) -> Any:
    """The series of a split."""
    return read_dataset(
        source, "series", split, columns=("images", "labels", "own", "site", "years", "patch_id")
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
    files.write_json(archive / "simulation.json", {"irregular": sizes})
    splits = archive / "splits.json"
    files.write_json(splits, {"train": [], "validation": [], "test": names})
    return build_dataset(archive, built, splits=splits, workers=1)


def doubled_share(counts: Mapping[str, Counts]) -> float:
    """How many pixels whole patches count beyond those of the scenes, as a share of these."""
    whole, owned = (int(counts[way]["annual_f1"].by_year[..., 3].sum()) for way in ("whole", "owned"))
    return whole / owned - 1


def write(
    effects: Sequence[Effect], trained: Mapping[str, Sequence[Path]], options: argparse.Namespace
) -> None:
    """Write `defects.md` and `defects.json`."""
    first = trained["corrected"][0]
    irregular = counted_once(first / "irregular.npz", first, lambda: None)
    files.write_json(
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
    results = json.loads((first / RESULTS).read_text(encoding="utf-8"))
    sites = {split: len(names) for split, names in results["protocol"]["sites"].items()}
    seeds = "1 seed" if options.seeds == 1 else f"{options.seeds} seeds"
    more = f"{100 * doubled_share(irregular):.0f} %"
    setup = (
        f"`{options.architecture}`, {options.steps} steps of {options.batch} images, {seeds}, "
        f"{device_name(device())}; {sites['train']} training, {sites['validation']} validation and "
        f"{sites['test']} test sites of one patch each; whole patches on {options.scenes} scenes of "
        f"several patches, which count {more} more pixels than the scenes have. Differences: with the defect "
        "less without it, mean ± standard deviation over the seeds; 95 % by bootstrap over the test sites."
    )
    title = "# What the release's defects do (simulated data)"
    text = "\n\n".join([title, setup, markdown(effects)])
    files.write_text(options.out / "defects.md", text + "\n")


def markdown(effects: Sequence[Effect]) -> str:
    """The table: a line a defect and score."""
    lines = []
    before = ""
    for effect in effects:
        differences = effect.differences
        spread = f" ± {np.std(differences, ddof=1):.4f}" if len(differences) > 1 else ""
        interval = (
            "-" if effect.interval is None else f"{effect.interval[0]:+.4f} to {effect.interval[1]:+.4f}"
        )
        name = f"{effect.defect}: {effect.what}" if effect.defect != before else ""
        lines.append(
            (
                name,
                effect.score,
                f"{np.mean(effect.without):.4f}",
                f"{np.mean(effect.with_it):.4f}",
                f"{np.mean(differences):+.4f}{spread}",
                interval,
            )
        )
        before = effect.defect
    header = ("defect: what is compared", "score", "without", "with", "difference", "95 % over sites")
    return table(header, lines)


if __name__ == "__main__":
    sys.exit(main())
