"""Parts of a model card for components: scores by group and class, code, and rows about the training."""

from collections.abc import Mapping, Sequence
from typing import Any

from euromine.dataset_script.label_groups import ANY_COMPONENT, LabelGroups
from euromine.modeling.bands import RADAR_BANDS
from euromine.support.markdown import table
from euromine.support.run_records import Protocol, RunResults

from .component_scores import COMPONENT_IOU, component_headlines

_SUFFIXES = {
    "macro_iou": "mean IoU of the classes",
    "macro_f1": "mean F1 of the classes",
    "pooled_iou": "IoU of all classes pooled",
    "pooled_f1": "F1 of all classes pooled",
    "iou": "IoU",
    "of1": "mean F1 over years",
}
_HEADS_EXAMPLE = """\
image = np.zeros(({bands}, 160, 160), np.int16)  # {names}, any height and width
with torch.no_grad():
    maps = model.predict_maps(image_processor(image, return_tensors="pt").pixel_values)[0]
{group} = maps[{place}]  # 0 none, {values}"""
_ALONE_EXAMPLE = """\
image = np.zeros(({bands}, 160, 160), np.int16)  # {names}, any height and width
with torch.no_grad():
    outputs = model(**image_processor(image, return_tensors="pt"))
maps = image_processor.post_process_semantic_segmentation(outputs, [image.shape[-2:]])
{group} = maps[{place}]  # 0 none, {values}"""


def groups_of(protocol: Protocol) -> LabelGroups:
    """The label groups of a run that maps components."""
    classes = {name: tuple(each) for name, each in (protocol.label_groups or {}).items()}
    total = next((name for name, each in classes.items() if each == (ANY_COMPONENT,)), None)
    return LabelGroups({name: each for name, each in classes.items() if name != total}, total)


def component_score_names(protocol: Protocol) -> dict[str, tuple[str, str]]:
    """The title of each headline score, and its metric type on the Hub."""
    groups = groups_of(protocol)
    names = {}
    for headlines in component_headlines(groups).values():
        for headline in headlines.values():
            title = _title(headline, groups)
            names[headline] = (title, "f1" if "F1" in title else "mean_iou")
    return names


def _title(headline: str, groups: LabelGroups) -> str:
    if headline in _SUFFIXES:
        title = _SUFFIXES[headline]
        return title[0].upper() + title[1:]
    for name in groups.names:
        for score, title in _SUFFIXES.items():
            if headline in (f"{score}_{name}", f"{name}_{score}"):
                return f"{name}: {title}"
    return headline


def component_part_table(protocol: Protocol, details: Mapping[str, Mapping[str, Any]]) -> str:
    """IoU and F1 of each class, by group."""
    if COMPONENT_IOU not in details:
        return ""
    found = details[COMPONENT_IOU]
    places = {name: place for place, name in enumerate(found["classes"])}
    intervals = found.get("confidence_intervals")
    rows = []
    for group, classes in groups_of(protocol).groups.items():
        for name in classes:
            place = places[name]
            row = [group, name, _score(found["iou"][place]), _score(found["f1"][place])]
            if intervals:
                row.append(_interval(intervals.get(f"macro_iou_{name}")))
            rows.append(row)
        pooled = (found[f"pooled_{score}_{group}"] for score in ("iou", "f1"))
        limits = [_interval(intervals.get(f"pooled_iou_{group}"))] if intervals else []
        rows.append([group, "all, pooled", *map(_score, pooled), *limits])
    header = ("group", "class", "IoU", "F1", *(["95 % of IoU over sites"] if intervals else []))
    return table(header, rows)


def component_description(results: RunResults) -> str:
    """The first sentence of the card."""
    model, protocol = results.model, results.protocol
    groups = "; ".join(f"{name} ({', '.join(each)})" for name, each in groups_of(protocol).classes.items())
    heads = "with a head for each group" if model.class_name == "ComponentSegmenter" else "for one group"
    return (
        f"`{results.architecture}` ({model.class_name}, {model.parameters / 1e6:.2f} million parameters) "
        f"maps the components of mines, {heads}: {groups}. Within a group the later class wins where two "
        "overlap."
    )


def component_usage(results: RunResults) -> tuple[str, str]:
    """The Auto class that loads the model, and code that uses it."""
    protocol = results.protocol
    classes = groups_of(protocol).classes
    place, group = 0, next(iter(classes))
    radar = bool(set(protocol.bands) & set(RADAR_BANDS))
    names = "ten bands in EuroMineNet's order" + (", then VV and VH in dB x 100" if radar else "")
    fields = {
        "bands": 12 if radar else 10,
        "names": names,
        "group": group,
        "place": place,
        "values": ", ".join(f"{value} {name}" for value, name in enumerate(classes[group], 1)),
    }
    if results.model.class_name == "ComponentSegmenter":
        return "AutoModel", _HEADS_EXAMPLE.format(**fields)
    return "AutoModelForSemanticSegmentation", _ALONE_EXAMPLE.format(**fields)


def component_rows(protocol: Protocol) -> dict[str, str]:
    """Rows of the training table: groups, bands and facts of sites."""
    where = protocol.where or {}
    return {
        "label groups": ", ".join(protocol.label_groups or {}),
        "bands": ", ".join(protocol.bands),
        "sites chosen by": "; ".join(f"{name} {' or '.join(each)}" for name, each in where.items()) or "none",
    }


COMPONENT_NOTES = (
    "A class that is neither predicted nor in the reference has no score and is left out of the means, as "
    "are classes that were not annotated."
)


def _interval(limits: Sequence[float | None] | None) -> str:
    return f"{_score(limits[0])} to {_score(limits[1])}" if limits else "-"


def _score(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.4f}"
