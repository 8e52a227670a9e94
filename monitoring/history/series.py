"""All years of a place: probabilities, footprints, changes between any two years, areas, polygons, permits.

Each map is written in windows, takes its name when it is whole and carries what made it, so that a run that
was stopped continues with the first map that is missing or was made of something else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from rasterio.windows import Window
from torch import Tensor
from tqdm import tqdm

from euromine.modeling import CHANGE_DETECTION, SEGMENTATION, ChangeDetector
from euromine.monitoring.mapping.geotiffs import CogWriter, read_record
from euromine.monitoring.mapping.loading import LoadedModel, model_digest
from euromine.monitoring.mapping.prediction import (
    OVERLAP,
    WINDOW,
    cut_window,
    fill_nodata,
    predict_probability,
)
from euromine.monitoring.mapping.tiling import Blender, Tiling
from euromine.monitoring.scenes.alignment import AlignedScene, series_grid
from euromine.monitoring.scenes.quicklooks import Quicklook, write_quicklook
from euromine.monitoring.scenes.scene import Scene, SceneOptions, open_scene
from euromine.support.errors import SceneError
from euromine.support.rasters import crs_name, open_raster, read_raster
from euromine.support.workers import prefetch

from .area_estimation import Confusion
from .area_series import PairChange, YearArea, area_caveats, areas_by_year, changes_by_pair, write_areas
from .calibration import Calibration
from .change_maps import change_map
from .file_names import (
    AREAS,
    CHANGES_TABLE,
    FIRST_YEAR,
    LAST_YEAR,
    PERMIT_OUTLINES,
    PERMITS_POLYGONS,
    PERMITS_TABLE,
    change_name,
    footprint_name,
    probability_name,
    quicklook_name,
)
from .folder import SeriesFolder
from .manifest import CHANGES, FOOTPRINTS, Manifest, ModelRecord, SceneRecord
from .map_values import GAIN, LOSS, NEVER, NO_CHANGE, NODATA, UNDIRECTED, UNKNOWN_YEAR
from .permits import outside_permits, read_permits, write_findings
from .polygons import change_polygons, footprint_polygons, require_geopandas, write_polygons
from .smoothing import METHODS, Method, SwitchRates, change_probability, smooth

logger = logging.getLogger(__name__)

PAIRS = ("all", "consecutive", "first-last")
CHANGE_BY = ("footprints", "posterior")

_SUFFIXES = (".tif", ".tiff")
_IMAGE_FOLDERS = ("image", "images")
# Bytes of arrays that a step over rows of all years holds at once.
_ROWS_MEMORY = 128 * 2**20
# Bytes of half-blended change maps that are held at once; more pairs are found in several passes.
_BLENDING_MEMORY = 512 * 2**20
_LIBRARIES = ("euromine", "torch", "transformers", "rasterio", "numpy")


@dataclass(frozen=True)
class SeriesSettings:
    """How a series is made.

    Attributes:
        smoothing: "viterbi", "median" or "none". The median gains in all scores that were measured
            (docs/benchmarks/smoothing.md), viterbi loses most changes of weak mappers.
        rates: Switch rates instead of the calibration's.
        change_by: "footprints" compares two years' footprints, "posterior" takes the change that is more
            likely than not given all years, which needs switch rates. A change detector goes before both.
        pairs: "all", "consecutive" or "first-last".
        threshold: Above this probability is mined.
        smallest_mapping_unit: Of polygons, hectares.
        permits: A vector file of permitted outlines.
        site: The name of the place; None for that of the folder of the images.
        simulated: Whether the images are simulated; None to look for what `euromine simulate` leaves.
        window: The largest side of a window, a multiple of 32.
        overlap: Pixels that neighbouring windows share.
        batch_size: Windows that a footprint mapper sees at once.

    Raises:
        ValueError: A setting is none of those.
    """

    smoothing: Method = "median"
    rates: SwitchRates | None = None
    change_by: str = "footprints"
    pairs: str = "all"
    threshold: float = 0.5
    smallest_mapping_unit: float = 0.0
    permits: Path | None = None
    site: str | None = None
    simulated: bool | None = None
    window: int = WINDOW
    overlap: int = OVERLAP
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("smoothing", self.smoothing, METHODS),
            ("pairs", self.pairs, PAIRS),
            ("change_by", self.change_by, CHANGE_BY),
        ):
            if value not in known:
                names = ", ".join(str(each) for each in known if each is not None)
                raise ValueError(f"{name} is {value!r}, one of {names} was expected")
        if not 0 <= self.threshold < 1:
            raise ValueError(
                f"threshold is {self.threshold}, a probability of at least 0 and below 1 was expected"
            )
        if not self.smallest_mapping_unit >= 0:
            raise ValueError(
                f"smallest_mapping_unit is {self.smallest_mapping_unit}, hectares of at least 0 were expected"
            )
        Tiling.of(1, 1, self.window, self.overlap)


def find_scenes(
    folder: str | os.PathLike[str], years: Sequence[int] | None = None, options: SceneOptions | None = None
) -> dict[int, Path]:
    """The images of a folder by year.

    A year stands in a file's name (Year2015.tif, 2015.tif, S2B_MSIL2A_20180521T..., mine_20190801.tif) or in
    its metadata. Looked at are the folder's .tif and .tiff files and, where it has none, those of its folder
    `image`, as a site of the published archive has one; maps that this package wrote are passed over.

    Args:
        folder: The folder.
        years: The years of interest; default all.
        options: What the scenes do not say themselves.

    Raises:
        ValueError: There is no image of these years, a file tells no year, or two tell one.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"{folder} is no folder, one with a GeoTIFF for each year was expected")
    paths = _rasters(root)
    if not paths:
        paths = [path for name in _IMAGE_FOLDERS if (root / name).is_dir() for path in _rasters(root / name)]
    paths = [path for path in paths if read_record(path) is None]
    if not paths:
        raise ValueError(f"{folder} holds no image, a GeoTIFF (.tif) for each year was expected")
    return by_year(paths, years, options)


def by_year(
    paths: Iterable[str | os.PathLike[str]],
    years: Sequence[int] | None = None,
    options: SceneOptions | None = None,
) -> dict[int, Path]:
    """Images by the year that each tells.

    Args:
        paths: GeoTIFFs.
        years: The years of interest; default all.
        options: What the scenes do not say themselves.

    Raises:
        ValueError: There is no image of these years, a file tells no year, or two tell one.
    """
    found: dict[int, Path] = {}
    for path in map(Path, paths):
        with open_scene(path, options) as scene:
            year = scene.year
        if year is None:
            raise ValueError(
                f"{path} tells no year, one in its name was expected, such as Year2015.tif or "
                "mine_2015-07-03.tif"
            )
        if years is not None and year not in years:
            continue
        if year in found:
            raise ValueError(f"{found[year]} and {path} are both of {year}, one image a year was expected")
        found[year] = path
    if not found:
        asked = ", ".join(map(str, years or ()))
        raise ValueError(f"there is no image of {asked}, at least one was expected")
    return dict(sorted(found.items()))


def _rasters(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )


def choose_pairs(years: Sequence[int], which: str) -> list[tuple[int, int]]:
    """The pairs of years to compare: "all", "consecutive" or "first-last"."""
    if which == "all":
        return list(combinations(years, 2))
    if which == "consecutive":
        return list(pairwise(years))
    return [(years[0], years[-1])] if len(years) > 1 else []


def make_series(
    models: Sequence[LoadedModel],
    scenes: Mapping[int, str | os.PathLike[str]],
    out: str | os.PathLike[str],
    settings: SeriesSettings | None = None,
    *,
    options: SceneOptions | None = None,
    missing_years: Sequence[int] = (),
    progress: bool = False,
) -> SeriesFolder:
    """Map a place over its years.

    Args:
        models: A footprint mapper, a change detector, or one of each.
        scenes: An image for each year.
        out: The folder to make, or to complete.
        settings: How.
        options: What the scenes do not say themselves.
        missing_years: Years that were asked for and have no image.
        progress: Whether to show progress bars.

    Raises:
        SceneError: An image cannot be read, lacks a band, does not say what its numbers mean, has no data or
            no ground in common with the others.
        ValueError: The models or the settings do not fit.
        OSError: The folder cannot be written to, or has not the space.
    """
    settings = settings or SeriesSettings()
    folder = Path(out)
    _check_folder(folder)
    mapper, detector = _by_task(models)
    if detector is not None and len(scenes) < 2:
        raise ValueError(
            f"{detector.source} finds changes between years, and there is one year alone ({min(scenes)}); "
            "images of two or more years were expected"
        )
    if settings.permits is not None or settings.smallest_mapping_unit:
        require_geopandas()
    with ExitStack() as files:
        opened = {
            int(year): files.enter_context(open_scene(path, options)) for year, path in sorted(scenes.items())
        }
        series = _Series(folder, opened, mapper, detector, settings, tuple(missing_years), progress)
        return series.make()


class _Series:
    """The making of one series, step by step."""

    def __init__(
        self,
        folder: Path,
        scenes: Mapping[int, Scene],
        mapper: LoadedModel | None,
        detector: LoadedModel | None,
        settings: SeriesSettings,
        missing_years: tuple[int, ...],
        progress: bool,
    ) -> None:
        self.folder, self.mapper, self.detector = folder, mapper, detector
        self.settings, self.missing_years, self.progress = settings, missing_years, progress
        self.years = list(scenes)
        self.pairs = choose_pairs(self.years, settings.pairs)
        self.bands = _bands_of(mapper, detector)
        decided = {}
        for year, scene in scenes.items():
            if read_record(scene.path) is not None:
                raise SceneError(f"{scene.path}: is a map that euromine made; expected imagery.")
            decided[year] = scene.reflectance(self.bands)
        self.decisions = decided
        self.grid = series_grid(list(scenes.values()))
        self.scenes = {year: AlignedScene(scene, self.grid) for year, scene in scenes.items()}
        self.calibration = _calibration_of(mapper)
        self.rates = settings.rates or (self.calibration.rates if self.calibration else None)
        self.smoothing = self._smoothing()
        if settings.change_by == "posterior" and self.rates is None:
            raise ValueError(
                "change_by is 'posterior', which needs switch rates; `euromine calibrate` counts them, or "
                "give --rates"
            )
        self.permits = None
        if settings.permits is not None:
            if mapper is None:
                raise ValueError("permits need a footprint mapper, a change detector alone was given")
            self.permits = read_permits(settings.permits, self.grid.crs)
        self.digests = {
            loaded.source: model_digest(loaded.model, loaded.image_processor)
            for loaded in (mapper, detector)
            if loaded is not None
        }
        # Shares of the grid with data, by year, as the network's bands have it.
        self.known: dict[int, float] = {}
        self.caveats: list[str] = []

    def make(self) -> SeriesFolder:
        """All that is not there yet."""
        manifest = self._manifest()
        if self._is_done(manifest):
            logger.info("%s holds this series already", self.folder)
            return SeriesFolder(self.folder)
        manifest.write(self.folder)
        if self.mapper is not None:
            for year in self.years:
                self._map_probability(year)
            self._map_footprints()
        if self.detector is not None:
            self._detect_changes()
        else:
            self._compare_footprints()
        self._draw_quicklooks()
        self._tell_areas()
        findings = self._outline()
        self._remove_others(findings)
        done = replace(
            self._manifest(),
            caveats=self.caveats,
            complete=True,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        done.write(self.folder)
        return SeriesFolder(self.folder)

    # What is told

    def _smoothing(self) -> Method:
        chosen = self.settings.smoothing
        if self.mapper is None or len(self.years) < 2:
            return "none"
        if chosen == "viterbi" and self.rates is None:
            raise ValueError(
                f"smoothing by viterbi needs switch rates, and none lie beside {self.mapper.source}; "
                "`euromine calibrate` counts them, --rates takes a file, --smooth median needs none"
            )
        return chosen

    def _manifest(self) -> Manifest:
        grid, settings = self.grid, self.settings
        a, b, c, d, e, f = (float(value) for value in grid.transform[:6])
        confusion = self._footprint_confusion()
        records = []
        for year, aligned in self.scenes.items():
            scene = aligned.scene
            status = scene.path.stat()
            decision = str(self.decisions[year])
            doubt = scene.doubt()
            records.append(
                SceneRecord(
                    year=year,
                    path=scene.path.name,
                    size=status.st_size,
                    modified=status.st_mtime_ns,
                    bands=[name or "?" for name in scene.bands],
                    decisions=[f"{decision[0].upper()}{decision[1:]}.", *([f"It {doubt}."] if doubt else [])],
                    crs=crs_name(scene.grid.crs),
                    resampled=aligned.how,
                    known_share=self.known.get(year),
                    quicklook_bands=list(_quicklook_bands(scene, self.bands)),
                )
            )
        return Manifest(
            site=self._site(),
            years=self.years,
            pairs=self.pairs,
            crs=crs_name(grid.crs),
            transform=(a, b, c, d, e, f),
            width=grid.width,
            height=grid.height,
            models=[
                _model_record(loaded, self.digests[loaded.source], self.calibration)
                for loaded in (self.mapper, self.detector)
                if loaded is not None
            ],
            scenes=records,
            settings={
                "smoothing": self.smoothing,
                "rates": asdict(self.rates) if self.rates and self._uses_rates() else None,
                "change_by": "detector" if self.detector else settings.change_by,
                "threshold": settings.threshold,
                "smallest_mapping_unit": settings.smallest_mapping_unit,
                "permits": settings.permits.name if settings.permits else None,
                "window": settings.window,
                "overlap": settings.overlap,
            },
            confusion=confusion.pooled().tolist() if confusion is not None else None,
            missing_years=list(self.missing_years),
            simulated=self._is_simulated(),
            versions={
                "Python": platform.python_version(),
                **{name: version(name) for name in _LIBRARIES},
            },
        )

    def _uses_rates(self) -> bool:
        return self.smoothing == "viterbi" or self.settings.change_by == "posterior"

    def _site(self) -> str:
        if self.settings.site:
            return self.settings.site
        folder = next(iter(self.scenes.values())).path.absolute().parent
        return folder.parent.name if folder.name in _IMAGE_FOLDERS else folder.name

    def _is_simulated(self) -> bool:
        """As told, or as the simulation.json above the images tells."""
        if self.settings.simulated is not None:
            return self.settings.simulated
        folder = next(iter(self.scenes.values())).path.absolute().parent
        return any((parent / "simulation.json").is_file() for parent in list(folder.parents)[:3])

    def _is_done(self, manifest: Manifest) -> bool:
        """Whether the folder holds this very series, whole."""
        try:
            there = SeriesFolder(self.folder)
        except ValueError:
            return False
        told = there.manifest
        same = replace(
            told,
            caveats=[],
            complete=False,
            created="",
            versions=manifest.versions,
            scenes=[replace(scene, known_share=None, decisions=scene.decisions[:1]) for scene in told.scenes],
        )
        wanted = replace(manifest, scenes=[replace(s, decisions=s.decisions[:1]) for s in manifest.scenes])
        permits = self.settings.permits
        is_newer = (
            permits is not None and permits.stat().st_mtime > (self.folder / "series.json").stat().st_mtime
        )
        return same == wanted and not is_newer and all((self.folder / name).exists() for name in self._maps())

    def _maps(self) -> list[str]:
        """The rasters and pictures of the series."""
        names = [quicklook_name(year) for year in self.years]
        names += [change_name(*pair) for pair in self.pairs]
        if self.mapper is not None:
            names += [name(year) for year in self.years for name in (probability_name, footprint_name)]
            names += [FIRST_YEAR, LAST_YEAR]
        return names

    # Maps

    def _record(self, **made_of: Any) -> dict[str, Any]:
        """What made a map, for its tag: JSON, which knows no tuples."""
        record = {
            "euromine": version("euromine"),
            "grid": [crs_name(self.grid.crs), *self.grid.transform[:6], self.grid.width, self.grid.height],
            **made_of,
        }
        return cast("dict[str, Any]", json.loads(json.dumps(record)))

    def _scene_of(self, year: int) -> dict[str, Any]:
        aligned = self.scenes[year]
        return {
            "scene": aligned.scene.fingerprint(),
            "reflectance": asdict(self.decisions[year]),
            "how": aligned.how,
        }

    def _probability_record(self, year: int) -> dict[str, Any]:
        assert self.mapper is not None
        return self._record(
            model=self.digests[self.mapper.source],
            window=self.settings.window,
            overlap=self.settings.overlap,
            **self._scene_of(year),
        )

    def _map_probability(self, year: int) -> None:
        assert self.mapper is not None
        path, record = self.folder / probability_name(year), self._probability_record(year)
        if read_record(path) == record:
            return
        scene = self.scenes[year]
        blocks = predict_probability(
            self.mapper.model,
            self.mapper.image_processor,
            scene,
            window=self.settings.window,
            overlap=self.settings.overlap,
            batch_size=self.settings.batch_size,
        )
        has_data = False
        with ExitStack() as files:
            writer = files.enter_context(
                CogWriter(
                    path,
                    self.grid,
                    np.float32,
                    math.nan,
                    resampling="average",
                    description="probability of a mine",
                    record=record,
                )
            )
            bar = files.enter_context(self._bar(self.grid.height, f"map {year}", "row"))
            for _, rows in files.enter_context(closing(prefetch(blocks, 1))):
                has_data = has_data or not np.isnan(rows).all()
                writer.write(rows)
                bar.update(len(rows))
            if not has_data:
                raise self._without_data(year)
        if doubt := scene.scene.doubt():
            logger.warning("%s: %s", scene.path, doubt)

    def _without_data(self, year: int) -> SceneError:
        return SceneError(
            f"{self.scenes[year].path}: has no pixel with data where all years meet, all are clouds or "
            "nodata; expected some ground to map, or leave its year out with --years."
        )

    def _footprint_record(self) -> dict[str, Any]:
        return self._record(
            probabilities=[_digest(self._probability_record(year)) for year in self.years],
            years=self.years,
            smoothing=self.smoothing,
            rates=asdict(self.rates) if self.rates and self.smoothing == "viterbi" else None,
            threshold=self.settings.threshold,
        )

    def _map_footprints(self) -> None:
        """Footprints of all years, and the first and the last year of each pixel, in one pass over rows."""
        record = self._footprint_record()
        names = [footprint_name(year) for year in self.years]
        names += [FIRST_YEAR, LAST_YEAR]
        is_there = all(read_record(self.folder / name) == record for name in names)
        with ExitStack() as files:
            writers = []
            if not is_there:
                for name in names:
                    is_year = name in (FIRST_YEAR, LAST_YEAR)
                    writers.append(
                        files.enter_context(
                            CogWriter(
                                self.folder / name,
                                self.grid,
                                np.uint16 if is_year else np.uint8,
                                UNKNOWN_YEAR if is_year else NODATA,
                                resampling="mode",
                                description=Path(name).stem.replace("_", " "),
                                record=record,
                            )
                        )
                    )
            seen = np.zeros(len(self.years), np.int64)
            bar = files.enter_context(self._bar(self.grid.height, "footprints", "row"))
            for probability in self._blocks([probability_name(year) for year in self.years]):
                seen += (~np.isnan(probability)).sum(axis=(1, 2))
                if writers:
                    footprints = smooth(
                        probability,
                        self.smoothing,
                        self.rates,
                        years=self.years,
                        threshold=self.settings.threshold,
                    )
                    rows = [*footprints, *first_and_last_years(footprints, self.years)]
                    for writer, each in zip(writers, rows, strict=True):
                        writer.write(each)
                bar.update(probability.shape[1])
        for year, count in zip(self.years, seen.tolist(), strict=True):
            self.known[year] = count / (self.grid.width * self.grid.height)

    def _change_record(self, pair: tuple[int, int]) -> dict[str, Any]:
        made_of: dict[str, Any] = {"pair": pair}
        if self.mapper is not None:
            made_of["footprints"] = _digest(self._footprint_record())
        if self.detector is not None:
            made_of |= {
                "model": self.digests[self.detector.source],
                "window": self.settings.window,
                "overlap": self.settings.overlap,
                "scenes": [self._scene_of(year) for year in pair],
            }
        elif self.settings.change_by == "posterior":
            made_of["rates"] = asdict(cast("SwitchRates", self.rates))
        return self._record(**made_of)

    def _change_writer(self, pair: tuple[int, int]) -> CogWriter:
        return CogWriter(
            self.folder / change_name(*pair),
            self.grid,
            np.uint8,
            NODATA,
            resampling="mode",
            description=f"change from {pair[0]} to {pair[1]}",
            record=self._change_record(pair),
        )

    def _missing_pairs(self) -> list[tuple[int, int]]:
        return [
            pair
            for pair in self.pairs
            if read_record(self.folder / change_name(*pair)) != self._change_record(pair)
        ]

    def _compare_footprints(self) -> None:
        """Post-classification, or the change that is more likely than not given all years."""
        missing = self._missing_pairs()
        if not missing:
            return
        is_posterior = self.settings.change_by == "posterior"
        name = probability_name if is_posterior else footprint_name
        places = {year: place for place, year in enumerate(self.years)}
        indexes = [(places[first], places[second]) for first, second in missing]
        # Gain and loss of each pair beside the years' maps.
        extra = 8 * len(missing) if is_posterior else len(missing)
        with ExitStack() as files:
            writers = [files.enter_context(self._change_writer(pair)) for pair in missing]
            bar = files.enter_context(self._bar(self.grid.height, "changes", "row"))
            for block in self._blocks([name(year) for year in self.years], extra):
                if is_posterior:
                    likely = change_probability(
                        block, cast("SwitchRates", self.rates), indexes, years=self.years
                    )
                    changes = [_likely_change(each) for each in likely]
                else:
                    changes = [change_map(block[first], block[second]) for first, second in indexes]
                for writer, change in zip(writers, changes, strict=True):
                    writer.write(change)
                bar.update(block.shape[1])

    def _detect_changes(self) -> None:
        """All pairs by the change detector: windows of all years, each year encoded once."""
        assert self.detector is not None
        missing = self._missing_pairs()
        if not missing:
            self._count_known()
            return
        tiling = Tiling.of(self.grid.height, self.grid.width, self.settings.window, self.settings.overlap)
        strip = 5 * tiling.rows.size * (tiling.columns.stride * tiling.columns.count + tiling.columns.overlap)
        at_once = max(1, _BLENDING_MEMORY // strip)
        for start in range(0, len(missing), at_once):
            self._detect_some(missing[start : start + at_once], tiling)
        self._count_known()

    def _detect_some(self, pairs: Sequence[tuple[int, int]], tiling: Tiling) -> None:
        assert self.detector is not None
        years = sorted({year for pair in pairs for year in pair})
        places = {year: place for place, year in enumerate(years)}
        indexes = [(places[first], places[second]) for first, second in pairs]
        for year in years:
            self.scenes[year].cache_rows(tiling.rows.size)
        blenders = [Blender(tiling) for _ in pairs]
        nothing = np.zeros((tiling.rows.size, tiling.columns.size), np.float32)
        with ExitStack() as files:
            writers = [files.enter_context(self._change_writer(pair)) for pair in pairs]
            windows = files.enter_context(closing(prefetch(self._windows(years, tiling), 1)))
            bar = files.enter_context(self._bar(len(tiling), "changes", "window"))
            top = 0
            for row, column, images, masks in windows:
                known = [place for place, mask in enumerate(masks) if mask.any()]
                asked = [pair for pair in indexes if set(pair) <= set(known)]
                found = dict(zip(asked, self._changes_of(images, known, asked), strict=True))
                complete = [
                    blender.add(row, column, found.get(pair, nothing), masks[pair[0]] & masks[pair[1]])
                    for blender, pair in zip(blenders, indexes, strict=True)
                ]
                if complete[0] is not None:
                    blocks = [cast("tuple[int, NDArray[np.float32]]", each)[1] for each in complete]
                    self._write_changes(writers, blocks, pairs, top)
                    top += len(blocks[0])
                bar.update()

    def _windows(
        self, years: Sequence[int], tiling: Tiling
    ) -> Iterator[tuple[int, int, NDArray[np.float32], list[NDArray[np.bool_]]]]:
        """Windows of all years: (years, bands, height, width) digital numbers, and where each has data."""
        assert self.detector is not None
        bands = tuple(self.detector.image_processor.bands)
        for row, column in tiling:
            rows, columns = tiling.rows.inside(row), tiling.columns.inside(column)
            images, masks = [], []
            for year in years:
                image, valid = cut_window(self.scenes[year], bands, rows, columns)
                if not valid.all() and valid.any():
                    image = fill_nodata(image, valid)
                images.append(image)
                masks.append(valid)
            yield row, column, np.stack(images), masks

    @torch.inference_mode()
    def _changes_of(
        self, images: NDArray[np.float32], known: Sequence[int], pairs: Sequence[tuple[int, int]]
    ) -> NDArray[np.float32]:
        """The probabilities of change (pairs, height, width) in a window."""
        assert self.detector is not None
        if not pairs:
            return np.zeros((0, *images.shape[-2:]), np.float32)
        model, processor = self.detector.model, self.detector.image_processor
        among = {place: number for number, place in enumerate(known)}
        pixel_values = processor.preprocess(
            images[list(known)], bands=tuple(processor.bands), return_tensors="np"
        ).pixel_values
        series = torch.from_numpy(pixel_values)[None].to(model.device, model.dtype)
        detector = cast("ChangeDetector", model)
        chosen = [(among[first], among[second]) for first, second in pairs]
        return detector.predict_series(series, chosen, transform=_change_share)[0].cpu().numpy()

    def _write_changes(
        self,
        writers: Sequence[CogWriter],
        blocks: Sequence[NDArray[np.float32]],
        pairs: Sequence[tuple[int, int]],
        top: int,
    ) -> None:
        """What the detector found, with the direction that the footprints tell."""
        window = Window(0, top, self.grid.width, len(blocks[0]))
        footprints = {}
        if self.mapper is not None:
            for year in {year for pair in pairs for year in pair}:
                footprints[year] = _read_rows(self.folder / footprint_name(year), window)
        for writer, block, (first, second) in zip(writers, blocks, pairs, strict=True):
            with np.errstate(invalid="ignore"):
                change = np.where(block > self.settings.threshold, UNDIRECTED, NO_CHANGE).astype(np.uint8)
            if footprints:
                direction = change_map(footprints[first], footprints[second])
                is_told = (change == UNDIRECTED) & ((direction == GAIN) | (direction == LOSS))
                change[is_told] = direction[is_told]
            change[np.isnan(block)] = NODATA
            writer.write(change)

    def _count_known(self) -> None:
        """Where nobody else has: the share of the grid that each year shows, from the changes' nodata."""
        if self.mapper is not None:
            return
        for year in self.years:
            names = [change_name(*pair) for pair in self.pairs if year in pair]
            # What is unknown of a year is unknown in each of its pairs.
            seen = sum(int((block != NODATA).any(axis=0).sum()) for block in self._blocks(names))
            self.known[year] = seen / (self.grid.width * self.grid.height)
            if not seen and len(names) > 1:
                raise self._without_data(year)

    def _blocks(self, names: Sequence[str], extra_bytes: int = 0) -> Iterator[NDArray[Any]]:
        """Rows of several maps, from the top: (maps, rows, width)."""
        width, height = self.grid.width, self.grid.height
        per_row = (5 * len(names) + extra_bytes) * width
        step = max(1, min(height, _ROWS_MEMORY // per_row))
        for top in range(0, height, step):
            window = Window(0, top, width, min(step, height - top))
            yield np.stack([_read_rows(self.folder / name, window) for name in names])

    # What is drawn from the maps

    def _draw_quicklooks(self) -> None:
        with self._bar(len(self.years), "pictures", "year") as bar:
            for year, aligned in self.scenes.items():
                look = Quicklook.of(aligned, _quicklook_bands(aligned.scene, self.bands))
                write_quicklook(look, self.folder / quicklook_name(year))
                bar.update()

    def _footprint_confusion(self) -> Confusion | None:
        calibration = self.calibration
        if calibration is None or self.mapper is None or not self._fits_calibration(calibration):
            return None
        return calibration.footprints.get(self.smoothing)

    def _change_confusion(self) -> Mapping[int, Confusion] | None:
        calibration = self.calibration
        if (
            calibration is None
            or self.detector is not None
            or self.settings.change_by != "footprints"
            or not self._fits_calibration(calibration)
        ):
            return None
        return calibration.changes.get(self.smoothing)

    def _fits_calibration(self, calibration: Calibration) -> bool:
        """Whether its errors are of maps that were made as these are."""
        is_thresholded = self.smoothing != "viterbi"
        rates = self.settings.rates
        return (not is_thresholded or calibration.threshold == self.settings.threshold) and (
            is_thresholded or rates is None or rates == calibration.rates
        )

    def _tell_areas(self) -> None:
        site = self._site()
        if self.mapper is not None:
            names = [footprint_name(year) for year in self.years]
            areas = areas_by_year(
                self._blocks(names), self.years, self.grid, site=site, confusion=self._footprint_confusion()
            )
            write_areas(areas, self.folder / AREAS, YearArea)
            if self._footprint_confusion() is not None:
                self.caveats = area_caveats(areas, self._footprint_confusion())
        changes = (
            changes_by_pair(
                self._blocks([change_name(*pair) for pair in self.pairs]),
                self.pairs,
                self.grid,
                site=site,
                confusion=self._change_confusion(),
            )
            if self.pairs
            else []
        )
        write_areas(changes, self.folder / CHANGES_TABLE, PairChange)

    def _outline(self) -> list[str]:
        """Polygons of footprints and changes, and what lies outside the permits; their files' names."""
        try:
            require_geopandas()
        except ImportError as error:
            logger.warning("no polygons are written: %s", error)
            return []
        written: list[str] = []
        unit, site = self.settings.smallest_mapping_unit, self._site()
        footprints = changes = None
        with self._bar(2, "polygons", "step") as bar:
            if self.mapper is not None:
                maps = _Maps(self.folder, [footprint_name(year) for year in self.years])
                footprints = footprint_polygons(
                    maps, self.years, self.grid, smallest_mapping_unit=unit, site=site
                )
                written += self._write_polygons(footprints, "footprints")
            bar.update()
            if self.pairs:
                maps = _Maps(self.folder, [change_name(*pair) for pair in self.pairs])
                changes = change_polygons(maps, self.pairs, self.grid, smallest_mapping_unit=unit, site=site)
                written += self._write_polygons(changes, "changes")
            bar.update()
        if self.settings.permits is not None:
            findings = outside_permits(footprints, changes, self.permits, pairs=self.pairs, smallest_ha=unit)
            write_findings(findings, self.folder / PERMITS_TABLE, self.folder / PERMITS_POLYGONS)
            write_polygons(self.permits, self.folder / PERMIT_OUTLINES)
            written += [PERMITS_TABLE, PERMITS_POLYGONS, PERMIT_OUTLINES]
        return written

    def _write_polygons(self, frame: Any, stem: str) -> list[str]:
        names = [f"{stem}.gpkg", f"{stem}.parquet"]
        for name in names:
            write_polygons(frame, self.folder / name)
        return names

    def _remove_others(self, written: Sequence[str]) -> None:
        """Delete what an earlier series in this folder left and this one has not."""
        kept = {*self._maps(), *written}
        if self.mapper is not None:
            kept.add(AREAS)
        for pattern in (
            "footprint_*.tif",
            "probability_*.tif",
            "change_*.tif",
            "*_year.tif",
            "quicklook_*.png",
            "footprints.*",
            "changes.gpkg",
            "changes.parquet",
            PERMITS_TABLE,
            PERMITS_POLYGONS,
            PERMIT_OUTLINES,
            AREAS,
        ):
            for path in self.folder.glob(pattern):
                is_ours = path.suffix != ".tif" or read_record(path) is not None
                if path.name not in kept and is_ours and path != self.settings.permits:
                    path.unlink()

    def _bar(self, total: int, what: str, unit: str) -> Any:
        return tqdm(total=total, desc=what, unit=unit, disable=not self.progress)


class _Maps(Sequence[NDArray[np.uint8]]):
    """Maps of a folder, each read when it is asked for."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, list(names)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        with ExitStack() as files:
            path = str(self._folder / self._names[index])
            dataset = open_raster(path, files)
            return read_raster(dataset, path, ((0, dataset.height), (0, dataset.width)))[0]


def first_and_last_years(
    footprints: NDArray[np.uint8], years: Sequence[int]
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The first and the last year in which each pixel is mined.

    Args:
        footprints: (years, height, width): 1 mined, 0 not, 255 unknown.
        years: The years.

    Returns:
        Two maps (height, width) uint16: 0 never, 65535 where no year is known.
    """
    first = np.full(footprints.shape[1:], NEVER, np.uint16)
    last = first.copy()
    for year, footprint in zip(years, footprints, strict=True):
        mined = footprint == 1
        first[mined & (first == NEVER)] = year
        last[mined] = year
    unknown = (footprints == NODATA).all(axis=0)
    first[unknown] = last[unknown] = UNKNOWN_YEAR
    return first, last


def _likely_change(likely: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Probabilities of gain and loss (2, height, width) -> the change that is more likely than not."""
    with np.errstate(invalid="ignore"):
        change = np.where(likely[0] > 0.5, GAIN, np.where(likely[1] > 0.5, LOSS, NO_CHANGE)).astype(np.uint8)
    change[np.isnan(likely[0])] = NODATA
    return change


def _change_share(logits: Tensor) -> Tensor:
    """Logits (batch, pairs, 2, height, width) -> the probability of change (batch, pairs, height, width)."""
    # Of two classes it is the sigmoid of their difference.
    return (logits[:, :, 1].float() - logits[:, :, 0].float()).sigmoid()


def _read_rows(path: Path, window: Window) -> NDArray[Any]:
    with ExitStack() as files:
        dataset = open_raster(str(path), files)
        top, height = int(window.row_off), int(window.height)
        return read_raster(dataset, str(path), ((top, top + height), (0, dataset.width)))[0]


def _digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:32]


def _by_task(models: Sequence[LoadedModel]) -> tuple[LoadedModel | None, LoadedModel | None]:
    """The footprint mapper and the change detector among one or two models."""
    found = {
        task: [loaded for loaded in models if loaded.task == task]
        for task in (SEGMENTATION, CHANGE_DETECTION)
    }
    for task, told in ((SEGMENTATION, "map footprints"), (CHANGE_DETECTION, "find changes")):
        if len(found[task]) > 1:
            sources = " and ".join(loaded.source for loaded in found[task])
            raise ValueError(
                f"{sources} both {told}, one that maps footprints and one that finds changes were expected"
            )
    if not models:
        raise ValueError("no model was given, a footprint mapper or a change detector was expected")
    return next(iter(found[SEGMENTATION]), None), next(iter(found[CHANGE_DETECTION]), None)


def _bands_of(*models: LoadedModel | None) -> tuple[str, ...]:
    """All bands that the models read, each once."""
    names = [band for loaded in models if loaded is not None for band in loaded.image_processor.bands]
    return tuple(dict.fromkeys(names))


def _quicklook_bands(scene: Scene, bands: Sequence[str]) -> tuple[str, ...]:
    """Natural colour where the file has it, else three bands that the models read, else one."""
    natural = ("B04", "B03", "B02")
    if set(natural) <= set(scene.bands):
        return natural
    return tuple(bands[:3]) if len(bands) >= 3 else tuple(bands[:1])


def checkpoint_file(source: str, name: str) -> Path | None:
    """A file beside a model's weights, in its folder or on the Hub; None where there is none."""
    folder = Path(source)
    if folder.is_dir():
        return folder / name if (folder / name).is_file() else None
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    with contextlib.suppress(HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return Path(hf_hub_download(source, name))
    return None


def _calibration_of(mapper: LoadedModel | None) -> Calibration | None:
    """What `euromine calibrate` left beside the mapper, if it is about these very weights."""
    if mapper is None:
        return None
    path = checkpoint_file(mapper.source, "calibration.json")
    if path is None:
        return None
    calibration = Calibration.load(path)
    if calibration.digest != model_digest(mapper.model, mapper.image_processor):
        logger.warning("%s is about other weights than %s has; it is left aside", path, mapper.source)
        return None
    return calibration


_SHOWN_SCORES = ("of1", "of1_pooled", "gca_tiou")


def _model_record(loaded: LoadedModel, digest: str, calibration: Calibration | None) -> ModelRecord:
    """A model as its checkpoint tells of it."""
    is_mapper = loaded.task == SEGMENTATION
    results: dict[str, Any] = {}
    path = checkpoint_file(loaded.source, "metrics.json")
    if path is not None:
        with contextlib.suppress(ValueError, OSError):
            results = json.loads(path.read_text(encoding="utf-8"))
    protocol = results.get("protocol", {})
    scores = results.get("scores", {})
    split = next((name for name in ("test", "validation") if name in scores), None)
    simulated = protocol.get("simulated")
    if calibration is not None and is_mapper:
        simulated = bool(simulated) or calibration.simulated
    return ModelRecord(
        task=FOOTPRINTS if is_mapper else CHANGES,
        source=Path(loaded.source).name if Path(loaded.source).is_dir() else loaded.source,
        architecture=str(results.get("architecture") or loaded.model.config.model_type),
        parameters=sum(parameter.numel() for parameter in loaded.model.parameters()),
        bands=list(loaded.image_processor.bands),
        digest=digest[:16],
        simulated=simulated,
        dataset=Path(str(protocol["dataset"])).name if protocol.get("dataset") else None,
        scores={name: scores[split][name] for name in _SHOWN_SCORES if name in scores[split]}
        if split
        else {},
        scored_split=split,
        scored_sites=len(protocol.get("sites", {}).get(split, ())) if split else None,
    )


def _check_folder(folder: Path) -> None:
    """Refuse at once a folder that cannot be written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"{folder} cannot be written to ({error.strerror}); expected a folder of one's own"
        ) from error
