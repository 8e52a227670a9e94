"""Model cards: what a network is, its scores and how they came about, in words, tables and a picture."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from euromine.modeling.auto import CHANGE_DETECTION
from euromine.support import files
from euromine.support.run_records import Protocol, RunResults

from .licences import origin_name, weights_licence

PICTURE = "predictions.png"
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")

# How scores are named where people read them, and the kind that the Hub files them under.
_SCORE_NAMES = {
    "of1": ("OF1 (mean of the years' F1)", "f1"),
    "of1_pooled": ("F1 of all years together", "f1"),
    "precision": ("Precision", "precision"),
    "recall": ("Recall", "recall"),
    "iou": ("IoU", "mean_iou"),
    "gca_tiou": ("GCA-TIoU", "ca_tiou"),
    "lca_tiou": ("LCA-TIoU", "ca_tiou"),
    "change_of1_pooled": ("Change F1, all intervals together (post-classification)", "f1"),
    "change_of1_mean": ("Change F1, mean of the intervals (post-classification)", "f1"),
}
_CHANGE_SCORE_NAMES = {
    "of1_pooled": ("Change F1, all intervals together", "f1"),
    "of1_mean": ("Change F1, mean of the intervals", "f1"),
}

_USAGE = """\
import numpy as np
import torch
import euromine.modeling.auto  # registers the networks; without the package: trust_remote_code=True below
from transformers import AutoImageProcessor, {auto_class}

image_processor = AutoImageProcessor.from_pretrained("{name}")
model = {auto_class}.from_pretrained("{name}").eval()

{example}"""
_SEGMENTATION_EXAMPLE = """\
image = np.zeros((10, 160, 160), np.int16)  # ten bands of any size, in the order of EuroMineNet
with torch.no_grad():
    outputs = model(**image_processor(image, return_tensors="pt"))
footprint = image_processor.post_process_semantic_segmentation(outputs, [image.shape[-2:]])[0]"""
_CHANGE_EXAMPLE = """\
years = np.zeros((10, 10, 160, 160), np.int16)  # ten years of ten bands, in the order of EuroMineNet
series = image_processor(years[None], return_tensors="pt").pixel_values
with torch.no_grad():
    logits = model.predict_series(series)  # all 45 pairs of years, each year encoded once
change = logits.argmax(2)[0]  # (45, 160, 160): 0 no change, 1 change"""


def write_card(folder: Path, results: RunResults, picture: bytes | None = None) -> None:
    """Write `README.md`, and the picture beside it.

    Args:
        folder: Where the model lies.
        results: What `metrics.json` holds.
        picture: A PNG of predictions.
    """
    if picture is not None:
        files.write_bytes(folder / PICTURE, picture)
    files.write_text(folder / "README.md", make_card(results, with_picture=picture is not None))


def make_card(results: RunResults, with_picture: bool) -> str:
    """The card's text, its `model-index` filled from the scores."""
    split = results.scored_split
    changes = results.task == CHANGE_DETECTION
    protocol = results.protocol
    licence = weights_licence(protocol.pretrained)
    data = ModelCardData(
        model_name=_title(results),
        license=licence.identifier,
        license_name=licence.name,
        license_link=licence.link,
        library_name="transformers",
        pipeline_tag="image-segmentation",
        tags=[
            "remote-sensing",
            "earth-observation",
            "sentinel-2",
            "mining",
            "change-detection" if changes else "semantic-segmentation",
            *(["simulated-data"] if protocol.simulated else []),
        ],
        datasets=[protocol.dataset] if protocol.dataset_revision else None,
        base_model=_repositories(protocol.pretrained),
        eval_results=_eval_results(results, split) or None,
    )
    card = ModelCard.from_template(
        data,
        template_str=_TEMPLATE.read_text(encoding="utf-8"),
        title=_title(results),
        simulated=protocol.simulated,
        description=_description(results),
        picture=PICTURE if with_picture else None,
        picture_caption=(
            f"Patches {'' if split else 'that were trained on, '}in natural colour, the truth, and the "
            "prediction: white right, black rightly left out, red too much, green missed, grey unknown."
        ),
        scored_split=split,
        scored_sites=len(protocol.sites[split]) if split else 0,
        scores=score_table(results, split) if split else "",
        by_part=part_table(results, split) if split else "",
        averaging=f"{_averaging(protocol.average)} {_counting(protocol.protocol)}",
        score_notes=_score_notes(changes),
        usage=usage(results),
        bands=protocol.bands,
        training_table=table(("", ""), _protocol_rows(results), numbers=False),
        selection=_selection(results),
        limitations=_limitations(results),
        weights_licence=licence.sentence,
    )
    return re.sub(r"\n{3,}", "\n\n", str(card)).strip() + "\n"


def score_table(results: RunResults, split: str) -> str:
    """The scores of a split, with their intervals of confidence where there are any."""
    names = _names(results)
    scores = results.scores[split]
    intervals = results.confidence.get(split, {})
    rows = [
        (names[name][0], _number(value), *([_interval(intervals.get(name))] if intervals else []))
        for name, value in scores.items()
        if name in names
    ]
    return table(("score", split, *(["95 % over sites"] if intervals else [])), rows)


def part_table(results: RunResults, split: str) -> str:
    """F1 by year for a footprint mapper, and by interval for both kinds."""
    details = results.details.get(split)
    if not details:
        return ""
    tables: list[str] = []
    columns = ("f1", "precision", "recall")
    if annual := details.get("annual_f1"):
        rows = [
            (str(year), *(_number(annual[name][place]) for name in (*columns, "iou")))
            for place, year in enumerate(annual["years"])
        ]
        tables.append(table(("year", "F1", "precision", "recall", "IoU"), rows))
    interval = details["interval_f1"]
    rows = [
        (str(years), *(_number(interval[name][place]) for name in (*columns, "gain_f1", "loss_f1")))
        for place, years in enumerate(interval["intervals"])
    ]
    if rows:
        header = ("years between", "change F1", "precision", "recall", "gain F1", "loss F1")
        tables.append(table(header, rows))
    return "\n\n".join(tables)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: bool = True) -> str:
    """A Markdown table, aligned to be read as it stands: all but the first column to the right if numbers."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    ruled = ["-" * (width - 1) + (":" if numbers and place else "-") for place, width in enumerate(widths)]
    lines.insert(1, tuple(ruled))
    return "\n".join(
        "| "
        + " | ".join(
            cell.rjust(width) if numbers and place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + " |"
        for line in lines
    )


def usage(results: RunResults) -> str:
    """How to load and use the model, in code."""
    changes = results.task == CHANGE_DETECTION
    return _USAGE.format(
        name=results.model.repository or results.model.folder,
        auto_class="AutoModel" if changes else "AutoModelForSemanticSegmentation",
        example=_CHANGE_EXAMPLE if changes else _SEGMENTATION_EXAMPLE,
    )


def _title(results: RunResults) -> str:
    """A model's own name: its repository's, or what it is."""
    repository = results.model.repository
    return repository.split("/")[-1] if repository else f"euromine-{results.architecture}"


def _names(results: RunResults) -> Mapping[str, tuple[str, str]]:
    return _CHANGE_SCORE_NAMES if results.task == CHANGE_DETECTION else _SCORE_NAMES


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4f}"


def _interval(limits: Sequence[float | None] | None) -> str:
    return "-" if not limits else f"{_number(limits[0])} to {_number(limits[1])}"


def _repositories(pretrained: str | None) -> str | list[str] | None:
    """The Hub repositories that training began from, as a card's metadata names them."""
    sources = pretrained.split(", ") if pretrained else []
    named = [each for each in sources if re.fullmatch(r"[\w.-]+/[\w.-]+", each) and not Path(each).exists()]
    return named if len(named) > 1 else next(iter(named), None)


def _eval_results(results: RunResults, split: str | None) -> list[EvalResult]:
    if split is None:
        return []
    protocol, names = results.protocol, _names(results)
    changes = results.task == CHANGE_DETECTION
    return [
        EvalResult(
            task_type="image-segmentation",
            task_name="Change detection" if changes else "Semantic segmentation",
            dataset_type=protocol.dataset if protocol.dataset_revision else "euromine",
            dataset_name="EuroMineNet" + (" (simulated)" if protocol.simulated else ""),
            dataset_config="series",
            dataset_split=split,
            dataset_revision=protocol.dataset_revision,
            metric_type=names[score][1],
            metric_name=names[score][0],
            metric_value=round(value, 4),
            metric_args={"average": protocol.average},
        )
        for score, value in results.scores[split].items()
        if score in names and value is not None and value == value
    ]


def _description(results: RunResults) -> str:
    model = results.model
    millions = f"{model.parameters / 1e6:.2f} million parameters"
    if results.task == CHANGE_DETECTION:
        does = "finds what changed of a mine's footprint between any two years"
    else:
        does = "maps the footprint of mines in each year"
    return (
        f"`{results.architecture}` ({model.class_name}, {millions}): {does} of a Sentinel-2 series, "
        "as EuroMineNet's benchmark of mines in the European Union sets it."
    )


def _averaging(average: str) -> str:
    if average == "site":
        return (
            "Each site is scored from its own pixels, and the sites are averaged, weighted by their pixels."
        )
    return "The pixels of all sites are counted together."


def _counting(protocol: str) -> str:
    if protocol == "paper":
        return (
            "As the paper does, every pixel of a patch is counted: those where patches overlap more than "
            "once, and those that fill a patch up too; unknown ones (255) not at all."
        )
    return "Pixels are counted once each, in the patch that owns them; unknown ones (255) not at all."


def _score_notes(changes: bool) -> str:
    if changes:
        return "All pairs of a series' years are compared; a change has no direction in gain and loss F1."
    return (
        "CA-TIoU says how little a map flickers where the ground does not change: a map that is always the "
        "same scores 1, so read it beside F1. Change F1 is that of the differences between the yearly maps."
    )


def _selection(results: RunResults) -> str:
    training = results.training
    if training.best_step is not None:
        return (
            f"The checkpoint of step {training.best_step} of {training.steps} was chosen by "
            f"{training.selected_by} on the validation split. The test split was scored once, after that."
        )
    return (
        f"Nothing was selected: this is the last checkpoint, of step {training.steps}. "
        "The test split, if any, was scored once, after training."
    )


def _protocol_rows(results: RunResults) -> list[tuple[str, str]]:
    protocol, training = results.protocol, results.training
    arguments = training.arguments
    sites = protocol.sites
    rows = {
        "dataset": _dataset_name(protocol) + (" (simulated)" if protocol.simulated else ""),
        "revision": protocol.dataset_revision or f"none; digest {protocol.digest}",
        "sites": ", ".join(f"{len(sites[split])} {split}" for split in ("train", "validation", "test")),
        "years": ", ".join(map(str, protocol.years)) if protocol.years else "all",
        "protocol": protocol.protocol,
        "statistics": protocol.statistics,
        "recipe": protocol.recipe,
        "optimiser": f"{arguments['optim']}, weight decay {arguments['weight_decay']:g}",
        "learning rate": f"{arguments['learning_rate']:g}, {arguments['lr_scheduler_type']}",
        "batch": str(training.batch_size),
        "steps": f"{training.steps} ({training.epochs:g} epochs)",
        "augmentation": "flips and quarter turns" if protocol.augmentation else "none",
        "precision": training.precision,
        "seed": str(arguments["seed"]),
        "began from": origin_name(protocol.pretrained) if protocol.pretrained else "fresh weights",
        "hardware": results.hardware,
        "versions": ", ".join(f"{name} {version}" for name, version in results.versions.items()),
    }
    if results.task == CHANGE_DETECTION:
        rows["pairs"] = f"{protocol.pairs_per_patch} a patch and epoch, {protocol.interval_sampling}"
        if protocol.training == "series":
            rows["pairs"] += ", those of a patch together: each of its years is encoded once"
            rows["batch"] += " patches"
    return list(rows.items())


def _dataset_name(protocol: Protocol) -> str:
    """A repository's name; of a folder its last part: where it lay concerns nobody else."""
    return str(protocol.dataset if protocol.dataset_revision else Path(protocol.dataset).name)


def _limitations(results: RunResults) -> list[str]:
    limitations = [
        "Trained on mines of the European Union at 10 m: other climates, other sensors and pits of a few "
        "pixels are outside of what it has seen.",
        "Labels are footprints as experts drew them from the imagery, not concessions or legal boundaries.",
        "Haze, snow and a season unlike the training images' mislead it; nothing in it masks clouds.",
        "One training run with one seed: other seeds give other scores.",
    ]
    if results.task == CHANGE_DETECTION:
        limitations.append("It says where a footprint changed, not whether it grew or was reclaimed.")
    if results.protocol.simulated:
        limitations.insert(0, "Trained on simulated data: not to be used on real mines.")
    return limitations
