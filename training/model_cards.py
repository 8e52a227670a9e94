"""Model cards: a network's description, its scores and the protocol behind them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from euromine.dataset_script.splits import sites_beyond_release
from euromine.modeling.auto import list_models
from euromine.modeling.bands import RADAR_BANDS
from euromine.modeling.tasks import CHANGE_DETECTION, SERIES
from euromine.support import files
from euromine.support.markdown import escaped, table
from euromine.support.processing_levels import MEANINGS
from euromine.support.run_records import Protocol, RunResults

from .component_cards import (
    COMPONENT_NOTES,
    component_description,
    component_part_table,
    component_rows,
    component_score_names,
)
from .licences import origin_name, weights_licence
from .usage_examples import usage

PICTURE = "predictions.png"
_TEMPLATE = Path(__file__).with_name("model_card.md.jinja")

# The title of each score, and its metric type on the Hub.
_SCORE_NAMES = {
    "of1": ("OF1 (mean F1 over years)", "f1"),
    "of1_pooled": ("F1 pooled over years", "f1"),
    "precision": ("Precision", "precision"),
    "recall": ("Recall", "recall"),
    "iou": ("IoU", "mean_iou"),
    "gca_tiou": ("GCA-TIoU", "ca_tiou"),
    "lca_tiou": ("LCA-TIoU", "ca_tiou"),
    "change_of1_pooled": ("Change F1 pooled over intervals (post-classification)", "f1"),
    "change_of1_mean": ("Change F1, mean over intervals (post-classification)", "f1"),
}
_CHANGE_SCORE_NAMES = {
    "of1_pooled": ("Change F1 pooled over intervals", "f1"),
    "of1_mean": ("Change F1, mean over intervals", "f1"),
}


def write_card(folder: Path, results: RunResults, picture: bytes | None = None) -> None:
    """Write `README.md`, and the picture beside it.

    Args:
        folder: The model's folder.
        results: The results of its run.
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
            *(["mine-components"] if protocol.label_groups else []),
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
        picture_caption=_caption(results, split),
        scored_split=split,
        scored_sites=len(protocol.sites[split]) if split else 0,
        scores=score_table(results, split) if split else "",
        by_part=part_table(results, split) if split else "",
        averaging=f"{_averaging(protocol.average)} {_counting(protocol.protocol)}",
        score_notes=COMPONENT_NOTES if protocol.label_groups else _score_notes(changes),
        usage=usage(results),
        bands=protocol.bands,
        components=protocol.label_groups is not None,
        radar=bool({*RADAR_BANDS} & {*protocol.bands}),
        training_table=table(("", ""), _protocol_rows(results), numbers=False),
        selection=_selection(results),
        limitations=_limitations(results),
        data_licence=_data_licence(protocol),
        weights_licence=licence.sentence,
    )
    return re.sub(r"\n{3,}", "\n\n", str(card)).strip() + "\n"


def _caption(results: RunResults, split: str | None) -> str:
    patches = f"{'Patches' if split else 'Training patches'} in natural colour, the reference, and the "
    if results.protocol.label_groups:
        return f"{patches}prediction: the classes in their colours, unknown pixels grey."
    return (
        f"{patches}prediction: true positives white, true negatives black, false positives red, false "
        "negatives green, unknown pixels grey."
    )


def score_table(results: RunResults, split: str) -> str:
    """The scores of a split, with their confidence intervals where there are any."""
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
    """F1 by interval and, for a footprint mapper, by year."""
    details = results.details.get(split)
    if not details:
        return ""
    if results.protocol.label_groups:
        return component_part_table(results.protocol, details)
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
        header = ("interval (years)", "change F1", "precision", "recall", "gain F1", "loss F1")
        tables.append(table(header, rows))
    return "\n\n".join(tables)


def _title(results: RunResults) -> str:
    """The model's name: its repository's, or its architecture's."""
    repository = results.model.repository
    return repository.split("/")[-1] if repository else f"euromine-{results.architecture}"


def _names(results: RunResults) -> Mapping[str, tuple[str, str]]:
    if results.protocol.label_groups:
        return component_score_names(results.protocol)
    return _CHANGE_SCORE_NAMES if results.task == CHANGE_DETECTION else _SCORE_NAMES


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4f}"


def _interval(limits: Sequence[float | None] | None) -> str:
    return "-" if not limits else f"{_number(limits[0])} to {_number(limits[1])}"


def _repositories(pretrained: str | None) -> str | list[str] | None:
    """The Hub repositories that training started from, for the card's metadata."""
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
            dataset_name=_benchmark_name(protocol),
            dataset_config="components" if protocol.label_groups else "series",
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


def _benchmark_name(protocol: Protocol) -> str:
    if protocol.simulated:
        return "EuroMineNet (simulated)"
    return _dataset_name(protocol) if _own_sites(protocol) else "EuroMineNet"


def _description(results: RunResults) -> str:
    if results.protocol.label_groups:
        return component_description(results)
    model = results.model
    millions = f"{model.parameters / 1e6:.2f} million parameters"
    if results.task == CHANGE_DETECTION:
        does = "detects changes of mining footprints between any two years"
    else:
        does = "maps mining footprints in each year"
    mines = "" if _own_sites(results.protocol) else " for mines in the European Union"
    return (
        f"`{results.architecture}` ({model.class_name}, {millions}) {does} of a Sentinel-2 series, the task "
        f"of the EuroMineNet benchmark{mines}."
    )


def _averaging(average: str) -> str:
    if average == "site":
        return "Each site is scored on its own pixels; the score is the mean over sites, weighted by pixels."
    return "The pixels of all sites are pooled."


def _counting(protocol: str) -> str:
    if protocol == "paper":
        return (
            "As in the paper, every pixel of a patch is counted, so pixels where patches overlap count more "
            "than once and padding counts too. Unknown pixels (255) are ignored."
        )
    return "Each pixel is counted once, in the patch that owns it. Unknown pixels (255) are ignored."


def _score_notes(changes: bool) -> str:
    if changes:
        return (
            "All pairs of years of a series are compared. Change maps have no direction, so gain and loss F1 "
            "take the direction of predicted changes from the reference."
        )
    return (
        "CA-TIoU measures temporal consistency where the ground does not change. A constant map scores 1, so "
        "read it together with F1. Change F1 is computed from the differences between the annual maps."
    )


def _selection(results: RunResults) -> str:
    training = results.training
    if training.best_step is not None:
        return (
            f"The checkpoint of step {training.best_step} of {training.steps} was selected by "
            f"{training.selected_by} on the validation split. The test split was scored once, afterwards."
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
        "processing level": _level_name(protocol),
        "recipe": protocol.recipe,
        "optimiser": f"{arguments['optim']}, weight decay {arguments['weight_decay']:g}",
        "learning rate": f"{arguments['learning_rate']:g}, {arguments['lr_scheduler_type']}",
        "batch": str(training.batch_size),
        "steps": f"{training.steps} ({training.epochs:g} epochs)",
        "augmentation": "flips and 90-degree rotations" if protocol.augmentation else "none",
        "precision": training.precision,
        "seed": str(arguments["seed"]),
        "started from": origin_name(protocol.pretrained) if protocol.pretrained else "random weights",
        "hardware": results.hardware,
        "versions": ", ".join(f"{name} {version}" for name, version in results.versions.items()),
    }
    if protocol.label_groups:
        rows |= component_rows(protocol)
    if results.architecture in list_models(SERIES):
        rows["batch"] += " patches, each with all of its years"
    elif results.task == CHANGE_DETECTION:
        rows["pairs"] = f"{protocol.pairs_per_patch} per patch and epoch, {protocol.interval_sampling}"
        if protocol.training == "series":
            rows["pairs"] += "; the pairs of a patch share a batch, and each of its years is encoded once"
            rows["batch"] += " patches"
    return [(name, escaped(value)) for name, value in rows.items()]


def _own_sites(protocol: Protocol) -> list[str]:
    """The sites outside EuroMineNet."""
    if protocol.simulated:
        return []
    return sites_beyond_release(site for sites in protocol.sites.values() for site in sites)


def _data_licence(protocol: Protocol) -> str:
    released = (
        "EuroMineNet, CC-BY-4.0, [doi:10.14278/rodare.4656](https://doi.org/10.14278/rodare.4656); it "
        "contains modified Copernicus Sentinel data (2015-2024)."
    )
    own, number = _own_sites(protocol), sum(map(len, protocol.sites.values()))
    if not own:
        return released
    sites = "the sites" if len(own) == number else f"{len(own)} of {number} sites"
    unknown = (
        f"{sites} are no part of EuroMineNet, and the licence of their images and labels is not known "
        "here. Sentinel-2 images contain modified Copernicus Sentinel data."
    )
    return unknown if len(own) == number else f"{unknown} The others: {released}"


def _training_limitations(protocol: Protocol) -> list[str]:
    if own := _own_sites(protocol):
        return [
            f"{len(own)} sites are no part of EuroMineNet: who drew their labels, and how, is not known "
            "here. Ground unlike that of the training sites, other sensors and pits of a few pixels are "
            "outside the training data."
        ]
    return [
        "Trained on mines in the European Union at 10 m resolution. Other climates, other sensors and pits "
        "of a few pixels are outside the training data.",
        "Labels are components as annotators drew them on the imagery: slopes, outcrops and overburden look "
        "like the ground around them."
        if protocol.label_groups
        else "Labels are footprints that experts drew on the imagery, not concessions or legal boundaries.",
    ]


def _level_name(protocol: Protocol) -> str:
    if protocol.level in MEANINGS:
        return f"{protocol.level} ({MEANINGS[protocol.level]})"
    return protocol.level or "not recorded"


def _level_limitation(protocol: Protocol) -> str:
    """The limitation to images of the training images' processing level."""
    if protocol.level is None:
        return (
            "The processing level of the training images is not recorded, so images of another level are not "
            "noticed. The published EuroMineNet looks like top-of-atmosphere reflectance (L1C), though its "
            "authors do not state it."
        )
    if protocol.level == "mixed":
        return "The training images are of different or unknown processing levels (L1C, L2A)."
    return f"Trained on {_level_name(protocol)}; expect less accurate maps of images of another level."


def _dataset_name(protocol: Protocol) -> str:
    """A repository's name, or the last part of a folder's path."""
    return str(protocol.dataset if protocol.dataset_revision else Path(protocol.dataset).name)


def _limitations(results: RunResults) -> list[str]:
    limitations = [
        *_training_limitations(results.protocol),
        *([] if results.protocol.simulated else [_level_limitation(results.protocol)]),
        "Haze, snow and seasons unlike those of the training images degrade the maps; clouds are not masked.",
        "The scores come from one training run with one seed; other seeds give other scores.",
    ]
    if results.task == CHANGE_DETECTION:
        limitations.append("It detects where a footprint changed, not whether it grew or was reclaimed.")
    if results.protocol.simulated:
        limitations.insert(0, "Trained on simulated data: do not use it on real mines.")
    return limitations
