"""Sentinel-2 products as ESA delivers them: SAFE folders and their zips, Level-1C and Level-2A."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

from euromine.support.errors import SceneError
from euromine.support.image_headers import ImageHeader
from euromine.support.rasters import check_blocks, open_raster
from euromine.support.sentinel2_products import year_of_timestamp

from .band_stacks import BandStack, StackedBand, fitted
from .product_files import FolderFiles, ProductFiles, ZipFiles
from .safe_metadata import LARGEST_METADATA, METADATA_NAME, ProductMetadata, parse_metadata
from .scene_rasters import CloudMask, SceneRaster

# T33TWN_20220226T095029_B02_10m.jp2 in R10m, or in IMG_DATA itself without its resolution.
_IMAGE = re.compile(r"GRANULE/([^/]+)/IMG_DATA/(?:R\d\dm/)?[^/]*_(B(?:0[1-9]|1[0-2]|8A))(?:_(\d\d)m)?\.jp2")
_CLASSES = re.compile(r"GRANULE/[^/]+/IMG_DATA/(?:R20m/)?[^/]*_SCL_20m\.jp2")
_L1C_CLOUDS = re.compile(r"GRANULE/[^/]+/QI_DATA/MSK_CLASSI_B00\.jp2")
_L1C_OUTLINES = re.compile(r"GRANULE/[^/]+/QI_DATA/(?:\w+_)?MSK_CLOUDS_\w+\.gml")

# Sen2Cor's scene classes: no data, saturated or defective, cloud shadow, clouds of medium and high
# probability, thin cirrus. Dark areas, water and snow are ground.
_CLOUDY = (0, 1, 3, 8, 9, 10)

_NO_MASK = "The product has no mask of clouds that is read, so clouds count as ground."


def is_safe_folder(path: Path) -> bool:
    """Whether a folder is a product, or the folder of one of its tiles."""
    if not path.is_dir():
        return False
    is_tile = path.parent.name == "GRANULE" and (path / "IMG_DATA").is_dir()
    return is_tile or ((path / "GRANULE").is_dir() and _metadata_in(path))


def _metadata_in(folder: Path) -> bool:
    return any(METADATA_NAME.fullmatch(each.name) for each in folder.iterdir())


def open_safe_folder(path: Path, files: ExitStack) -> SceneRaster:
    """Open a product's folder, its metadata file, or the folder of one of its tiles.

    Raises:
        SceneError: It is incomplete, damaged, or has several tiles.
    """
    root, tile = (path.parent if path.is_file() else path), None
    if root.parent.name == "GRANULE":
        root, tile = root.parent.parent, root.name
    return open_product(FolderFiles.of(root), files, tile)


def open_safe_zip(path: Path, files: ExitStack) -> SceneRaster:
    """Open the zip of a product, without unpacking it to disk.

    Raises:
        SceneError: It is no product, incomplete, damaged, or has several tiles.
    """
    return open_product(ZipFiles.of(path), files)


def open_product(product: ProductFiles, files: ExitStack, tile: str | None = None) -> SceneRaster:
    """Open the bands of a product at its finest resolution, 10 m.

    Bands of 20 and 60 m are repeated to 10 m (nearest neighbour), so that their numbers stay as they are.

    Args:
        product: Its files.
        files: Closes the rasters.
        tile: The folder of the tile to read, where the product has several.

    Raises:
        SceneError: It is incomplete, damaged, or has several tiles.
    """
    metadata_name = _metadata_name(product)
    shown = f"{product.shown}/{metadata_name}"
    metadata = parse_metadata(product.read(metadata_name, LARGEST_METADATA), shown)
    images = _images(product, tile)
    bands = sorted(images)
    stack = BandStack([_opened(product, images[band], files) for band in bands])
    clouds, caveat = _clouds(product, metadata, images[bands[0]], stack, files)
    header = ImageHeader(
        texts=tuple(bands),
        scales=(1 / metadata.quantification,) * len(bands),
        offsets=tuple(metadata.offsets[band] / metadata.quantification for band in bands),
        nodata=metadata.nodata,
        has_mask=False,
        alpha=None,
        level=metadata.level,
    )
    return SceneRaster(
        dataset=stack,
        header=header,
        tags=metadata.tags,
        blocks=stack.blocks + (clouds.blocks if clouds else ()),
        state=product.state((metadata_name, *images.values())),
        source=metadata_name,
        clouds=clouds,
        caveats=(caveat,) if caveat else (),
        year=year_of_timestamp(metadata.tags.get("PRODUCT_START_TIME", "")),
    )


def _metadata_name(product: ProductFiles) -> str:
    names = [name for name in product.names if METADATA_NAME.fullmatch(name)]
    if len(names) != 1:
        raise SceneError(
            f"{product.shown}: found {', '.join(names) or 'no MTD_MSIL1C.xml or MTD_MSIL2A.xml'}; expected "
            "the folder or zip of one Sentinel-2 product with its metadata."
        )
    return names[0]


def _images(product: ProductFiles, tile: str | None) -> dict[str, str]:
    """The finest image of each band.

    Raises:
        SceneError: There is none, or there are several tiles.
    """
    matches = [match for name in product.names if (match := _IMAGE.fullmatch(name))]
    tiles = sorted({match[1] for match in matches if tile in (None, match[1])})
    if len(tiles) > 1:
        raise SceneError(
            f"{product.shown}: found {len(tiles)} tiles; expected one. Give the folder of one of them: "
            f"GRANULE/{tiles[0]}."
        )
    if not tiles:
        raise SceneError(
            f"{product.shown}: found no images of bands (GRANULE/.../IMG_DATA/..._B02.jp2); expected a whole "
            "product. Download it again."
        )
    images: dict[str, tuple[int, str]] = {}
    for match in matches:
        if match[1] == tiles[0]:
            # Without a resolution in its name, an image has the band's own.
            found = (int(match[3] or 0), match[0])
            images[match[2]] = min(images.get(match[2], found), found)
    return {band: name for band, (_, name) in images.items()}


def _opened(product: ProductFiles, name: str, files: ExitStack, index: int = 1) -> StackedBand:
    shown = f"{product.shown}/{name}"
    dataset = open_raster(product.raster_path(name), files, SceneError, driver="JP2OpenJPEG", name=shown)
    check_blocks(dataset, shown, SceneError)
    return StackedBand(dataset, index, shown)


def _clouds(
    product: ProductFiles, metadata: ProductMetadata, image: str, stack: BandStack, files: ExitStack
) -> tuple[CloudMask | None, str | None]:
    """The mask of clouds of the image's tile, or a sentence on why there is none."""
    tile = image.split("/")[1]
    of_tile = [name for name in product.names if name.startswith(f"GRANULE/{tile}/")]
    if metadata.level == "L2A":
        names = [name for name in of_tile if _CLASSES.fullmatch(name)]
        if not names:
            return None, _NO_MASK
        band = fitted(_opened(product, names[0], files), stack, image)
        return CloudMask(((band, _CLOUDY),), "the product's scene classification (SCL)"), None
    names = [name for name in of_tile if _L1C_CLOUDS.fullmatch(name)]
    if not names:
        has_outlines = any(_L1C_OUTLINES.fullmatch(name) for name in of_tile)
        why = (
            "The product's mask of clouds is an outline (GML), which is not read, so clouds count as ground."
        )
        return None, why if has_outlines else _NO_MASK
    first = fitted(_opened(product, names[0], files), stack, image)
    # Opaque clouds, and cirrus.
    second = StackedBand(first.dataset, 2, first.shown, first.factor)
    return CloudMask(((first, (1,)), (second, (1,))), "the product's mask of clouds (MSK_CLASSI)"), None
