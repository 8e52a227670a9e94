"""`euromine demo`: the whole pipeline, from an archive to maps, scores and a picture."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from euromine.dataset_script.build_record import BUILD_FILE
from euromine.support.errors import ArchiveError, ArgumentError
from euromine.support.files import atomic_file, write_json
from euromine.support.interrupts import child_beside, exit_status, run_child_with
from euromine.support.locks import lock_folder
from euromine.support.records import read_record
from euromine.support.run_records import RESULTS_FILE, RunResults

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from euromine.dataset_script.archive import Archive
    from euromine.dataset_script.site_scene import Site
    from euromine.support.ground_areas import PixelAreas

# Enough simulated sites for a held-out score, small enough for five minutes on two cores in all.
_SITES = 10
_SIZE = (224, 288)
_SEGMENTER, _CHANGE_DETECTOR = "segformer-b0", "tinycd"
# TinyCD's loss falls as fast per step with batches of 4 as of 8 (over the first 80 steps), in half the time.
# SegFormer-B0 with batches of 4 scored 0.74 on the held-out sites, where batches of 8 gave 0.77 to 0.78.
_BATCHES = {_SEGMENTER: 8, _CHANGE_DETECTOR: 4}
_METRICS, _PICTURE, _HISTORIES = "metrics.json", "demo.png", "sites"


def demo(
    out: Annotated[Path, typer.Argument(help="Folder of the results.")] = Path("runs/demo"),
    archive: Annotated[
        Path | None, typer.Option(help="An archive in the published layout; a simulated one if not given.")
    ] = None,
    segmenter_steps: Annotated[int, typer.Option(min=1, help="Training steps of SegFormer-B0.")] = 250,
    change_steps: Annotated[int, typer.Option(min=1, help="Training steps of TinyCD.")] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the simulation and of the training.")] = 0,
) -> None:
    """Run the pipeline: archive, shards, two trained networks, scores, maps and a picture.

    Steps that an earlier run finished are not repeated.
    """
    with lock_folder(out):
        _check_own(out)
        _run(out, archive, {_SEGMENTER: segmenter_steps, _CHANGE_DETECTOR: change_steps}, seed)


def _check_own(out: Path) -> None:
    """Refuse a folder whose files the last step would replace, unless an earlier demo got that far."""
    found = [name for name in (_METRICS, _PICTURE) if (out / name).exists()]
    if found and not (out / "euromine" / BUILD_FILE).is_file():
        raise ArgumentError(
            f"{out}: found {' and '.join(found)}, which no demo wrote; expected a new folder, or that of an "
            "earlier demo. Choose another one."
        )


def _run(out: Path, archive: Path | None, steps: Mapping[str, int], seed: int) -> None:
    from euromine.dataset_script.archive import Archive
    from euromine.dataset_script.labelled_sites import labelled_archive
    from euromine.dataset_script.shards import build_dataset

    start = time.perf_counter()
    simulated = archive is None
    with _step("Archive"):
        archive = _simulated_archive(out / "archive", seed) if archive is None else archive
        sites = labelled_archive(Archive(archive), skip_unlabelled=True)
        splits = _choose_splits(sites, out)
    with _step("Shards"):
        dataset = build_dataset(archive, out / "euromine", splits=splits, skip_unlabelled=True)
    results = _train(dataset, out, steps, seed)
    with _step("Maps"):
        site = _site_to_map(sites, results[_SEGMENTER])
        series = _map_site(site, out)
    is_shown = _write_history(site, out, simulated)
    _draw(series, out / _PICTURE, simulated)
    metrics = {
        "simulated": simulated,
        "archive": str(archive),
        "mapped_site": site.name,
        **{name: {"task": found.task, "scores": found.scores} for name, found in results.items()},
    }
    write_json(out / _METRICS, metrics)
    _summarise(metrics, out, time.perf_counter() - start)
    if is_shown:
        images = "" if simulated else f" --images {archive}"
        typer.echo(f"Open the history of {site.name} in a browser: euromine app {out}{images}")


def _write_history(site: Site, out: Path, simulated: bool) -> bool:
    """Map a site over its years with areas and indices, for the app; not from within a zip file."""
    if not all(Path(path).is_file() for path in site.image_paths.values()):
        return False
    from euromine.monitoring.history.impact_settings import ImpactSettings
    from euromine.monitoring.monitor import MineMonitor

    with _step("History"):
        MineMonitor.from_pretrained(out / _SEGMENTER).series(
            site.image_paths,
            out / _HISTORIES / site.name,
            site=site.name,
            simulated=simulated,
            impact=ImpactSettings(indices=("ndvi", "mndwi", "bsi")),
            progress=True,
        )
    return True


@contextmanager
def _step(title: str) -> Iterator[None]:
    start = time.perf_counter()
    typer.secho(f"\n{title}", bold=True, err=True)
    yield
    typer.echo(f"{title}: {time.perf_counter() - start:.0f} s", err=True)


def _simulated_archive(path: Path, seed: int) -> Path:
    from euromine.simulation.simulated_archive import simulate_archive

    return simulate_archive(path, sites=_SITES, size=_SIZE, seed=seed) / "EuroMineNet"


def _choose_splits(archive: Archive, out: Path) -> str:
    """The corrected split; for sites outside it, one that tests on the last fifth of them."""
    from euromine.dataset_script.splits import EXCLUDED_SITES, split_sites

    known = {site for sites in split_sites("corrected").values() for site in sites}
    names = sorted(archive.sites)
    if not set(names) - known - set(EXCLUDED_SITES):
        return "corrected"
    if len(names) < 2:
        raise ArchiveError(
            f"{archive.path}: found one site ({names[0]}); expected at least two, to train and to test."
        )
    tests = max(1, len(names) // 5)
    path = out / "splits.json"
    write_json(path, {"train": names[:-tests], "validation": [], "test": names[-tests:]})
    return str(path)


def _train(dataset: Path, out: Path, steps: Mapping[str, int], seed: int) -> dict[str, RunResults]:
    """Train both networks at once, as neither keeps all cores busy, and read their results."""
    # Few pixels change in a year, many in a decade: drawing intervals evenly, a few hundred steps suffice.
    pairs = {"pairs_per_patch": 9, "interval_sampling": "balanced"}
    segmenter, detector = (
        _train_command(
            script, name, dataset, out / name, {"max_steps": steps[name], "seed": seed, **settings}
        )
        for script, name, settings in (
            ("train_seg", _SEGMENTER, {"learning_rate": 1e-3}),
            ("train_cd", _CHANGE_DETECTOR, {"learning_rate": 4e-3, **pairs}),
        )
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        (Path(folder) / "output").open("w+b") as output,
        child_beside(detector, output) as beside,
    ):
        with _step(f"Train {_SEGMENTER}, and {_CHANGE_DETECTOR} beside it"):
            status = run_child_with(segmenter, beside)
            if status is not None:
                _check_status(_SEGMENTER, status)
        with _step(f"Train {_CHANGE_DETECTOR} to its end"):
            _relay(Path(output.name), beside)
            _check_status(_CHANGE_DETECTOR, exit_status(beside))
    return {name: read_record(RunResults, out / name / RESULTS_FILE) for name in _BATCHES}


def _relay(output: Path, program: subprocess.Popen[bytes]) -> None:
    """Print the output of a program, from its beginning to its end."""
    with output.open("rb") as printed:
        is_over = False
        while not is_over:
            is_over = program.poll() is not None
            typer.echo(printed.read(), nl=False, err=True)
            time.sleep(0 if is_over else 0.2)


def _check_status(architecture: str, status: int) -> None:
    if status:
        raise OSError(f"Training {architecture} ended with exit status {status}; its messages are above.")


def _train_command(
    script: str, architecture: str, dataset: Path, output_dir: Path, settings: Mapping[str, Any]
) -> list[str]:
    """The command of a training."""
    # Three evaluations on the validation sites suffice to select a checkpoint.
    look = math.ceil(settings["max_steps"] / 3)
    arguments = {
        "dataset": dataset,
        "architecture": architecture,
        "output_dir": output_dir,
        "per_device_train_batch_size": _BATCHES[architecture],
        "eval_strategy": "steps",
        "eval_steps": look,
        "save_steps": look,
        **settings,
    }
    command = [sys.executable, "-m", f"euromine.{script}"]
    return command + [part for name, value in arguments.items() for part in (f"--{name}", str(value))]


def _site_to_map(archive: Archive, results: RunResults) -> Site:
    """The first test site, unseen by training and by the selection of a checkpoint."""
    return archive.sites[results.protocol.sites["test"][0]]


@dataclass(frozen=True)
class _Series:
    """A scene over its years, with its labels and the networks' maps."""

    site: str
    years: tuple[int, ...]
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    footprints: NDArray[np.uint8]
    change: NDArray[np.uint8]
    pixel_areas: PixelAreas


def _map_site(site: Site, out: Path) -> _Series:
    """Map a scene's footprints and its change from the first year to the last, and write them as GeoTIFFs."""
    import numpy as np
    from tqdm import tqdm
    from transformers import AutoImageProcessor, AutoModel, AutoModelForSemanticSegmentation

    import euromine.modeling  # noqa: F401 - registers the change detectors with AutoModel
    from euromine.dataset_script.patches import cut, patch_grid, stitch
    from euromine.modeling.segformer import use_quick_layers
    from euromine.support.ground_areas import pixel_areas
    from euromine.training.evaluation import predict_series

    with site.open() as scene:
        images = np.stack([scene.read_image(year) for year in scene.years])
        labels = np.stack([scene.read_label(year) for year in scene.years])
        crs, transform, height, width = scene.crs, scene.transform, scene.height, scene.width
    patches = patch_grid(height, width)
    maps = {}
    for name, auto_class in ((_SEGMENTER, AutoModelForSemanticSegmentation), (_CHANGE_DETECTOR, AutoModel)):
        model = auto_class.from_pretrained(out / name).eval()
        use_quick_layers(model)
        processor = AutoImageProcessor.from_pretrained(out / name)
        predictions = [
            predict_series(model, processor, cut(images, patch)[None])[0].numpy()
            for patch in tqdm(patches, desc=f"mapping with {name}", unit="patch")
        ]
        maps[name] = stitch(predictions, patches, height, width)
    # Pairs are in the order of itertools.combinations: the first year's last pair is the whole interval.
    change = maps[_CHANGE_DETECTOR][len(site.years) - 2]
    for year, footprint in zip(site.years, maps[_SEGMENTER], strict=True):
        _write_map(out / "maps" / f"{site.name}_{year}_footprint.tif", footprint, crs, transform)
    _write_map(
        out / "maps" / f"{site.name}_{site.years[0]}-{site.years[-1]}_change.tif", change, crs, transform
    )
    areas = pixel_areas(crs, transform, height, width)
    return _Series(site.name, site.years, images, labels, maps[_SEGMENTER], change, areas)


def _write_map(path: Path, mask: NDArray[np.uint8], crs: str, transform: tuple[float, ...]) -> None:
    import rasterio

    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(path) as temporary,
        rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            height=mask.shape[0],
            width=mask.shape[1],
            count=1,
            dtype="uint8",
            crs=crs,
            transform=rasterio.Affine(*transform),
            nodata=255,
            compress="deflate",
        ) as dataset,
    ):
        dataset.write(mask, 1)


def _draw(series: _Series, path: Path, simulated: bool) -> None:
    """The years, the truth, the maps, the change from the first to the last year and the area by year."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from euromine.training import figures

    years = len(series.years)
    first, last = series.years[0], series.years[-1]
    figure = Figure(figsize=(1.9 * max(years, 7), 9.6), layout="constrained")
    FigureCanvasAgg(figure)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=(3, 2))
    above, below = subfigures
    rows = {
        "Sentinel-2": [figures.natural_colour(image) for image in series.images],
        "truth": [figures.black_and_white(label) for label in series.labels],
        _SEGMENTER: [figures.compared(*pair) for pair in zip(series.footprints, series.labels, strict=True)],
    }
    grid: Any = above.subplots(3, years, squeeze=False)
    for axes_row, (title, pictures) in zip(grid, rows.items(), strict=True):
        for axes, picture, year in zip(axes_row, pictures, series.years, strict=True):
            _show(axes, picture, str(year) if title == "Sentinel-2" else "")
        axes_row[0].set_ylabel(title)
    truth = _change(series.labels[0], series.labels[-1])
    post_classification = _change(series.footprints[0], series.footprints[-1])
    panels = below.subplots(1, 4, width_ratios=(1, 1, 1, 1.4))
    _show(panels[0], _gained_and_lost(series.labels[0], series.labels[-1]), f"change {first}-{last}")
    _show(panels[1], figures.compared(series.change, truth), f"found by {_CHANGE_DETECTOR}")
    _show(panels[2], figures.compared(post_classification, truth), f"found by {_SEGMENTER}'s two maps")
    _plot_areas(panels[3], series)
    colours = {
        "found (TP)": figures.TRUE_POSITIVE,
        "neither (TN)": figures.TRUE_NEGATIVE,
        "found, not there (FP)": figures.FALSE_POSITIVE,
        "missed (FN)": figures.FALSE_NEGATIVE,
        "gained": _GAINED,
        "lost": _LOST,
    }
    handles = [
        Patch(facecolor=(red / 255, green / 255, blue / 255), edgecolor="grey", label=name)
        for name, (red, green, blue) in colours.items()
    ]
    below.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    data = "simulated imagery" if simulated else "held-out site"
    figure.suptitle(f"{series.site}, {data}: footprints {first}-{last} and their change", fontsize=14)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90)


_GAINED, _LOST = (230, 120, 20), (40, 110, 220)


def _show(axes: Axes, picture: NDArray[np.uint8], title: str) -> None:
    axes.imshow(picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[], title=title)


def _change(first: NDArray[np.uint8], last: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from euromine.dataset_script.label_changes import change_between

    return change_between(first, last)


def _gained_and_lost(first: NDArray[np.uint8], last: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gained and lost pixels in colour, on the unchanged footprint in white."""
    import numpy as np

    colours = np.zeros((*first.shape, 3), np.uint8)
    colours[(first == 1) & (last == 1)] = 255
    colours[(first == 0) & (last == 1)] = _GAINED
    colours[(first == 1) & (last == 0)] = _LOST
    return colours


def _plot_areas(axes: Axes, series: _Series) -> None:
    from matplotlib.ticker import MaxNLocator

    for masks, label, line in ((series.labels, "truth", "ko-"), (series.footprints, _SEGMENTER, "rs--")):
        square_kilometres = series.pixel_areas.sums(series.pixel_areas.counts(masks == 1)) / 1e6
        axes.plot(series.years, square_kilometres, line, label=label)
    axes.set(title="footprint", ylabel="area (km$^2$)", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _summarise(metrics: Mapping[str, Any], out: Path, seconds: float) -> None:
    typer.secho(
        f"\n{'Simulated archive' if metrics['simulated'] else metrics['archive']}: test scores", bold=True
    )
    for name in (_SEGMENTER, _CHANGE_DETECTOR):
        scores = metrics[name]["scores"].get("test", {})
        typer.echo(f"  {name:14}" + "  ".join(f"{key} {_number(value)}" for key, value in scores.items()))
    typer.echo(
        f"\n{out} holds the archive, euromine/ (the shards), {_SEGMENTER}/ and {_CHANGE_DETECTOR}/\n"
        f"(checkpoints with their cards), maps/ (GeoTIFFs), {_HISTORIES}/ (a history), metrics.json, and\n"
        f"the picture, demo.png. {seconds:.0f} s."
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
