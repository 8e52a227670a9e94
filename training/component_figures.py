"""Pictures of predicted components: natural colour, reference and prediction of some patches."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from euromine.dataset_script.label_groups import (
    ANY_COMPONENT,
    COMPONENT_CLASSES,
    COMPONENT_COLOURS,
    NOT_ANNOTATED,
    UNKNOWN,
    LabelGroups,
)

from .component_scores import predict_components
from .figures import UNKNOWN as UNKNOWN_COLOUR
from .figures import Panel, draw_panels, natural_colour
from .run_folder import Run
from .series_trainer import SeriesTrainer

_EXAMPLES = 3
_CANDIDATES = 24
_NONE = (0, 0, 0)
_ANY = (255, 255, 255)
_SHOWN_BANDS = 10


def draw_components(groups: LabelGroups, run: Run, trainer: SeriesTrainer) -> bytes:
    """A picture of the last year of the patches with the most components, one a site, as PNG.

    Args:
        groups: The groups of the network's maps.
        run: The run.
        trainer: Its trainer.
    """
    trainer.network.eval()
    trainer.settle_divided_network()
    drawn = []
    for row in _examples(run.splits.pictured):
        images = torch.from_numpy(np.ascontiguousarray(row["images"][-1:]))
        with trainer.accelerator.autocast():
            maps = predict_components(trainer.network, trainer.image_processor, images[None])
        truth = groups.maps(np.asarray(row["labels"][-1]).astype(np.uint32))
        shown = np.asarray(row["images"][-1])[:_SHOWN_BANDS]
        drawn.append(
            [
                Panel(f"{row['site']} {row['years'][-1]}", natural_colour(shown)),
                Panel("reference", coloured_groups(truth, groups)),
                Panel("prediction", coloured_groups(maps[0, 0].cpu().numpy(), groups)),
            ]
        )
    pictures = [panel.image for row in drawn for panel in row[1:]]
    legend = {
        name: colour
        for name, colour in component_legend(groups).items()
        if any((picture == colour).all(axis=-1).any() for picture in pictures)
    }
    return draw_panels(drawn, "Components; where several are, that of the last group", legend)


def component_legend(groups: LabelGroups) -> dict[str, tuple[int, ...]]:
    """The colours in which `coloured_groups` shows the classes of groups, as red, green and blue."""
    names = [name for classes in groups.groups.values() for name in classes]
    legend = {name.replace("_", " "): _rgb(COMPONENT_COLOURS[name]) for name in names}
    if groups.total is not None:
        legend[f"{ANY_COMPONENT}, without a class" if names else ANY_COMPONENT] = _ANY
    return {**legend, "not annotated": UNKNOWN_COLOUR}


def coloured_groups(maps: NDArray[np.uint8], groups: LabelGroups) -> NDArray[np.uint8]:
    """The maps of label groups in one picture, later groups above earlier ones, the total below all.

    Args:
        maps: (groups, height, width), 255 unknown.
        groups: Their groups.

    Returns:
        uint8 (height, width, 3); grey where every group is unknown.
    """
    colours = np.empty((*maps.shape[1:], 3), np.uint8)
    colours[:] = _NONE
    # The total is the last of the maps, and is painted first.
    for (_, classes), values in sorted(
        zip(groups.classes.items(), maps, strict=True), key=lambda each: each[0][0] != groups.total
    ):
        for value, name in enumerate(classes, 1):
            colours[values == value] = _ANY if name == ANY_COMPONENT else _rgb(COMPONENT_COLOURS[name])
    colours[(maps == UNKNOWN).all(axis=0)] = UNKNOWN_COLOUR
    return colours


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _examples(rows: Any) -> list[Mapping[str, Any]]:
    """One row of each of several sites, those with the most pixels of components first."""
    best: dict[str, tuple[int, Mapping[str, Any]]] = {}
    classes = (1 << len(COMPONENT_CLASSES)) - 1
    for place in np.unique(np.linspace(0, len(rows) - 1, min(_CANDIDATES, len(rows))).round().astype(int)):
        row = rows[int(place)]
        bits = np.asarray(row["labels"][-1])
        pixels = int(((bits & classes > 0) & (bits >> NOT_ANNOTATED & 1 == 0)).sum())
        if row["site"] not in best or pixels > best[row["site"]][0]:
            best[row["site"]] = (pixels, row)
    ordered = sorted(best.values(), key=lambda found: -found[0])
    return [row for _, row in ordered[:_EXAMPLES]]
