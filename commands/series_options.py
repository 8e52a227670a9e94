"""Options of `euromine series`, some of them shared by `map`, `predict` and `calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from euromine.support.errors import ArgumentError

if TYPE_CHECKING:
    from euromine.monitoring.history.smoothing import Method
    from euromine.monitoring.mapping.engine_choice import EngineChoice
    from euromine.monitoring.result import SeriesResult

_SMOOTHING = ("viterbi", "median", "none")

MODEL_HELP = "A footprint mapper, a change detector or a network for series: a folder or a Hub repository."

ChangeModel = Annotated[
    str | None,
    typer.Option(help="A change detector to locate changes; the footprint mapper gives their direction."),
]
Smooth = Annotated[
    str | None,
    typer.Option(
        "--smooth",
        metavar="viterbi|median|none",
        help="Smoothing over the years; viterbi, the steadiest, needs a calibration, misses changes and has "
        "no components. By default median, and none with a network for series.",
    ),
]
Pairs = Annotated[
    str, typer.Option(metavar="all|consecutive|first-last", help="The pairs of years to compare.")
]
Threshold = Annotated[float, typer.Option(min=0, max=1, help="Pixels above this probability are mine.")]
ProbabilityType = Annotated[
    str,
    typer.Option(
        metavar="float32|uint16|uint8",
        help="The numbers in the maps of probability. uint16 and uint8 have a scale and take half and a "
        "fifth of the bytes.",
    ),
]
MinimumMappingUnit = Annotated[
    float,
    typer.Option(
        "--smallest-mapping-unit",
        metavar="HA",
        min=0,
        help="Leave out polygons and holes smaller than this, in hectares.",
    ),
]
Permits = Annotated[
    Path | None,
    typer.Option(help="A vector file with permits' outlines, to list mining outside them."),
]
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layer",
        help="A layer of the permits' file to read, such as a folder of a KML; may be repeated. By default "
        "the only one with outlines.",
    ),
]
SceneBands = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Names of the scenes' bands in order, such as B02,B03,-,B08; a dash for a band to ignore.",
    ),
]
Offset = Annotated[
    float | None,
    typer.Option(help="-1000 if processing baseline 04.00 or later added 1000, else 0."),
]
Nodata = Annotated[float | None, typer.Option(help="Value that marks pixels without data.")]
Override = Annotated[
    bool,
    typer.Option(
        help="Insist on bands, scale, offset, nodata and level where scenes say otherwise themselves."
    ),
]
KeepClouds = Annotated[
    bool,
    typer.Option("--keep-clouds", help="Map clouds, too, where a Sentinel-2 product has a mask of them."),
]
Window = Annotated[
    int | None,
    typer.Option(
        help="Largest side of a window in pixels, a multiple of 32. By default 512, and less with a network "
        "for series and many years.",
    ),
]
Overlap = Annotated[int, typer.Option(help="Pixels that neighbouring windows share.")]
Device = Annotated[
    str | None,
    typer.Option(help='Device of the models, such as "cpu"; by default a GPU if there is one.'),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="auto|eager|compile|openvino|onnxruntime",
        help="What runs the network. auto: the quickest of PyTorch and OpenVINO that is exact.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="float32|bfloat16|int8",
        help="Only float32 is exact; docs/benchmarks/engines.md has the losses of the others.",
    ),
]
ForcePrecision = Annotated[
    bool,
    typer.Option("--force-precision", help="Take a precision that loses more than half a point of F1."),
]


def parse_smoothing(text: str | None) -> "Method | None":
    """The method of smoothing; None for the default.

    Raises:
        ArgumentError: There is no such method.
    """
    if text is not None and text not in _SMOOTHING:
        raise ArgumentError(f"--smooth: found {text!r}; expected viterbi, median or none.")
    return cast("Method | None", text)


def chosen_engine(engine: str, precision: str, force_precision: bool) -> "EngineChoice":
    """The engine and precision of the models.

    Raises:
        ArgumentError: One is unknown, or the engine does not have the precision.
        MissingExtraError: The engine is not installed.
    """
    # Mistakes in the options come first, as torch and transformers take seconds to import.
    from euromine.monitoring.mapping.engine_choice import EngineChoice, check_installed

    choice = EngineChoice(engine, precision, force_precision)
    check_installed(choice.engine)
    return choice


def series_summary(result: "SeriesResult") -> list[str]:
    """A series in a few lines: its years, its mined area, its components, and the years without an image."""
    first, last = result.years[0], result.years[-1]
    years, changes = (
        f"1 {thing}" if count == 1 else f"{count} {thing}s"
        for count, thing in ((len(result.years), "year"), (len(result.pairs), "change"))
    )
    lines = [f"{result.path}: {result.manifest.site}, {years}, {changes}."]
    if result.manifest.maps_footprints:
        areas = result.areas.set_index("year")["area_ha"]
        mined = [f"{areas[year]:.1f} ha in {year}" for year in dict.fromkeys((first, last))]
        groups = result.component_groups
        what = "Mined"
        if groups is not None and groups.total is None:
            what = f"With a component of {', '.join(groups.groups)}"
        lines.append(f"{what}: {', '.join(mined)}.")
    if result.component_groups is not None:
        table = result.components
        areas = table[table["year"] == last].set_index("component")["area_ha"].sort_values(ascending=False)
        found = [f"{name} {area:.1f} ha" for name, area in areas.items() if area]
        lines.append(f"Components in {last}: {', '.join(found) or 'none'}.")
    if missing := result.manifest.missing_years:
        lines.append(f"No image of {', '.join(map(str, missing))}.")
    return lines
