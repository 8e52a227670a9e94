"""`euromine demo`: the whole pipeline, from an archive to maps, scores and a picture."""

from __future__ import annotations

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
from euromine.support.locks import lock_folder
from euromine.support.run_records import RunResults

from .demo_training import CHANGE_DETECTOR, SEGMENTER, Trainings

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
        _run(out, archive, {SEGMENTER: segmenter_steps, CHANGE_DETECTOR: change_steps}, seed)


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
    trainings = Trainings(dataset, out, steps, seed)
    with trainings.detector_beside() as detector:
        with _step(f"Train {SEGMENTER}, and {CHANGE_DETECTOR} beside it"):
            results = {SEGMENTER: trainings.train_segmenter(detector)}
        site = _site_to_map(sites, results[SEGMENTER])
        scene = _read_scene(site)
        with _step(f"Maps of {SEGMENTER}"):
            footprints = _map_footprints(scene, out)
            is_shown = _write_history(site, out, simulated)
        with _step(f"Train {CHANGE_DETECTOR} to its end"):
            results[CHANGE_DETECTOR] = detector.results()
    with _step(f"Map of {CHANGE_DETECTOR}, and the picture"):
        _draw(scene, footprints, _map_change(scene, out), out / _PICTURE, simulated)
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

    MineMonitor.from_pretrained(out / SEGMENTER).series(
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


def _site_to_map(archive: Archive, results: RunResults) -> Site:
    """The first test site, unseen by training and by the selection of a checkpoint."""
    return archive.sites[results.protocol.sites["test"][0]]


@dataclass(frozen=True)
class _Scene:
    """A site's images and labels over its years."""

    site: str
    years: tuple[int, ...]
    images: NDArray[np.int16]
    labels: NDArray[np.uint8]
    crs: str
    transform: tuple[float, ...]

    @property
    def pixel_areas(self) -> PixelAreas:
        """The pixels' areas on the ground."""
        from euromine.support.ground_areas import pixel_areas

        return pixel_areas(self.crs, self.transform, *self.labels.shape[1:])


def _read_scene(site: Site) -> _Scene:
    import numpy as np

    with site.open() as scene:
        images = np.stack([scene.read_image(year) for year in scene.years])
        labels = np.stack([scene.read_label(year) for year in scene.years])
        return _Scene(site.name, site.years, images, labels, scene.crs, scene.transform)


def _map_footprints(scene: _Scene, out: Path) -> NDArray[np.uint8]:
    """Map each year's footprint, uint8 (years, height, width), and write the maps as GeoTIFFs."""
    footprints = _predicted(out / SEGMENTER, scene.images)
    for year, footprint in zip(scene.years, footprints, strict=True):
        _write_map(out / "maps" / f"{scene.site}_{year}_footprint.tif", footprint, scene)
    return footprints


def _map_change(scene: _Scene, out: Path) -> NDArray[np.uint8]:
    """Map the change from the first year to the last, uint8 (height, width), and write it as a GeoTIFF."""
    (change,) = _predicted(out / CHANGE_DETECTOR, scene.images[[0, -1]])
    _write_map(out / "maps" / f"{scene.site}_{scene.years[0]}-{scene.years[-1]}_change.tif", change, scene)
    return change


def _predicted(checkpoint: Path, images: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Images (years, 10, height, width) -> a network's maps (years or pairs, height, width), uint8."""
    from tqdm import tqdm

    from euromine.dataset_script.patches import cut, patch_grid, stitch
    from euromine.monitoring.mapping.loading import load_model
    from euromine.training.evaluation import predict_series

    height, width = images.shape[-2:]
    patches = patch_grid(height, width)
    loaded = load_model(checkpoint)
    predictions = [
        predict_series(loaded.model, loaded.image_processor, cut(images, patch)[None])[0].cpu().numpy()
        for patch in tqdm(patches, desc=f"mapping with {checkpoint.name}", unit="patch")
    ]
    return stitch(predictions, patches, height, width)


def _write_map(path: Path, mask: NDArray[np.uint8], scene: _Scene) -> None:
    import rasterio

    from euromine.support.rasters import gdal

    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic_file(path) as temporary,
        gdal(),
        rasterio.open(
            temporary,
            "w",
            driver="GTiff",
            height=mask.shape[0],
            width=mask.shape[1],
            count=1,
            dtype="uint8",
            crs=scene.crs,
            transform=rasterio.Affine(*scene.transform),
            nodata=255,
            compress="deflate",
        ) as dataset,
    ):
        dataset.write(mask, 1)


def _draw(
    scene: _Scene, footprints: NDArray[np.uint8], change: NDArray[np.uint8], path: Path, simulated: bool
) -> None:
    """The years, the truth, the maps, the change from the first to the last year and the area by year."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from euromine.training import figures

    years = len(scene.years)
    first, last = scene.years[0], scene.years[-1]
    figure = Figure(figsize=(1.9 * max(years, 7), 9.6), layout="constrained")
    FigureCanvasAgg(figure)
    subfigures: Any = figure.subfigures(2, 1, height_ratios=(3, 2))
    above, below = subfigures
    rows = {
        "Sentinel-2": [figures.natural_colour(image) for image in scene.images],
        "truth": [figures.black_and_white(label) for label in scene.labels],
        SEGMENTER: [figures.compared(*pair) for pair in zip(footprints, scene.labels, strict=True)],
    }
    grid: Any = above.subplots(3, years, squeeze=False)
    for axes_row, (title, pictures) in zip(grid, rows.items(), strict=True):
        for axes, picture, year in zip(axes_row, pictures, scene.years, strict=True):
            _show(axes, picture, str(year) if title == "Sentinel-2" else "")
        axes_row[0].set_ylabel(title)
    truth = _change(scene.labels[0], scene.labels[-1])
    post_classification = _change(footprints[0], footprints[-1])
    panels = below.subplots(1, 4, width_ratios=(1, 1, 1, 1.4))
    _show(panels[0], _gained_and_lost(scene.labels[0], scene.labels[-1]), f"change {first}-{last}")
    _show(panels[1], figures.compared(change, truth), f"found by {CHANGE_DETECTOR}")
    _show(panels[2], figures.compared(post_classification, truth), f"found by {SEGMENTER}'s two maps")
    _plot_areas(panels[3], scene, footprints)
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
    figure.suptitle(f"{scene.site}, {data}: footprints {first}-{last} and their change", fontsize=14)
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


def _plot_areas(axes: Axes, scene: _Scene, footprints: NDArray[np.uint8]) -> None:
    from matplotlib.ticker import MaxNLocator

    areas = scene.pixel_areas
    for masks, label, line in ((scene.labels, "truth", "ko-"), (footprints, SEGMENTER, "rs--")):
        square_kilometres = areas.sums(areas.counts(masks == 1)) / 1e6
        axes.plot(scene.years, square_kilometres, line, label=label)
    axes.set(title="footprint", ylabel="area (km$^2$)", ylim=(0, None))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _summarise(metrics: Mapping[str, Any], out: Path, seconds: float) -> None:
    typer.secho(
        f"\n{'Simulated archive' if metrics['simulated'] else metrics['archive']}: test scores", bold=True
    )
    for name in (SEGMENTER, CHANGE_DETECTOR):
        scores = metrics[name]["scores"].get("test", {})
        typer.echo(f"  {name:14}" + "  ".join(f"{key} {_number(value)}" for key, value in scores.items()))
    typer.echo(
        f"\n{out} holds the archive, euromine/ (the shards), {SEGMENTER}/ and {CHANGE_DETECTOR}/\n"
        f"(checkpoints with their cards), maps/ (GeoTIFFs), {_HISTORIES}/ (a history), metrics.json, and\n"
        f"the picture, demo.png. {seconds:.0f} s."
    )


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"
