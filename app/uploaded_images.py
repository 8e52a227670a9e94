"""Checks of uploaded images by their headers alone, before any of their pixels is read.

GDAL's blocks are decoded as a whole, and a small file may claim terabytes: all sizes are bounded
first, those of masks and overviews inside the file, too.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from euromine.support.errors import DataError, SceneError
from euromine.support.rasters import check_blocks, gdal, gdal_errors, open_raster

from .job_records import JobImage, JobRecord
from .job_store import image_path

TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first four bytes of a TIFF or a BigTIFF."""

# GDAL keeps texts in memory for as long as a file is open, and the app opens it for its pictures.
_MOST_CHARACTERS = 2**20
_MOST_BANDS = 256
# Overviews, masks, and masks of overviews, of a file of a million pixels a side.
_MOST_DIRECTORIES = 64


def check_images(job: JobRecord, folder: Path, most_numbers: int) -> None:
    """Check the headers of all images of an upload: sizes, bands and the meaning of their numbers.

    Args:
        job: The job.
        folder: Its folder.
        most_numbers: Pixels times bands of an image, at most.

    Raises:
        SceneError: An image is no GeoTIFF, is too large, or lacks a band or the meaning of its numbers.
        EuroMineError: An option is out of range.
    """
    from euromine.monitoring.scenes.scene import open_scene
    from euromine.monitoring.scenes.scene_options import SceneOptions
    from euromine.monitoring.scenes.spectral_indices import bands_of, parse_indices

    from .job_models import model_bands

    given = job.options
    options = SceneOptions.of(
        given.bands,
        given.scale,
        given.offset,
        given.nodata,
        given.override,
        given.level,
        given.keep_clouds,
    )
    indices = parse_indices(given.indices, "indices") if given.indices else ()
    bands = tuple(dict.fromkeys([*(model_bands(job.model) or ()), *bands_of(indices)]))
    for image in job.images:
        check_header(image_path(folder, image), most_numbers)
    for image in job.images:
        with open_scene(image_path(folder, image), options) as scene:
            scene.indexes(bands)
            scene.reflectance(bands)


def check_header(path: Path, most_numbers: int) -> None:
    """Refuse a file that is no GeoTIFF, or whose header promises more than memory or time can hold.

    Args:
        path: The file.
        most_numbers: Pixels times bands, at most.

    Raises:
        SceneError: It is refused.
    """
    with ExitStack() as files:
        dataset = open_raster(str(path), files, SceneError)
        _check_numbers(dataset, path, most_numbers)
        check_blocks(dataset, str(path), SceneError)
        _check_texts(dataset, path)
        if dataset.subdatasets:
            raise SceneError(
                f"{path}: found {len(dataset.subdatasets)} images in one file; expected one. Save each as a "
                "file of its own."
            )
    _check_directories(path, most_numbers)


def _check_numbers(dataset: Any, path: Path, most_numbers: int) -> None:
    numbers = dataset.width * dataset.height * dataset.count
    if numbers > most_numbers:
        raise SceneError(
            f"{path}: found {dataset.height} x {dataset.width} pixels in {dataset.count} bands, "
            f"{numbers / 1e6:,.0f} million numbers; expected at most {most_numbers / 1e6:,.0f} million. Cut "
            "it to the mine and its surroundings with gdal_translate -projwin."
        )


def _check_texts(dataset: Any, path: Path) -> None:
    """Refuse a file with more metadata than any image needs."""
    if dataset.count > _MOST_BANDS:
        raise SceneError(
            f"{path}: found {dataset.count} bands; expected at most {_MOST_BANDS}. Select some with "
            "gdal_translate -b."
        )
    found = 0
    for band in range(dataset.count + 1):
        for namespace in ("", *dataset.tag_namespaces(band)):
            tags = dataset.tags(band, ns=namespace or None)
            found += sum(len(key) + len(value) for key, value in tags.items())
    if found > _MOST_CHARACTERS:
        raise SceneError(
            f"{path}: found {found / 2**20:.3g} MB of metadata; expected at most "
            f"{_MOST_CHARACTERS / 2**20:.0f} MB. Leave it out with gdal_translate -nomd."
        )


def _check_directories(path: Path, most_numbers: int) -> None:
    """Refuse masks and overviews inside a GeoTIFF whose blocks are too large.

    Raises:
        SceneError: One is, or there are too many.
    """
    import rasterio

    for number in range(1, _MOST_DIRECTORIES + 2):
        try:
            with gdal(), rasterio.open(f"GTIFF_DIR:{number}:{path}", driver="GTiff") as part:
                _check_numbers(part, path, most_numbers)
                check_blocks(part, str(path), SceneError)
        except DataError:
            raise
        except gdal_errors():
            return  # behind the last one
    raise SceneError(
        f"{path}: found more than {_MOST_DIRECTORIES} images, masks and overviews in one file; "
        "expected fewer."
    )


def in_visitors_words(sentence: str, images: list[JobImage], folder: Path) -> str:
    """A sentence with the visitor's names of files and without the dashes of the command's options.

    Args:
        sentence: A message.
        images: The images of the job.
        folder: The job's folder.
    """
    for image in images:
        for written in (str(image_path(folder, image)), image.file):
            sentence = sentence.replace(written, image.name)
        sentence = sentence.replace(f", or put a STAC item {Path(image.file).stem}.json beside the file", "")
    for option in ("bands", "scale", "offset", "nodata", "level", "override"):
        sentence = sentence.replace(f"--{option}", f"the option {option}")
    return sentence
