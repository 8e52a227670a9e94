"""VRTs as gdalbuildvrt and gdal_translate write them, whose rasters all lie in the VRT's own folder.

GDAL would read any file of the machine, any address and any format that a VRT names. Here it gets a VRT of
checked elements only, with paths that were checked.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree.ElementTree import Element, tostring

from euromine.support.errors import SceneError
from euromine.support.files import read_bytes
from euromine.support.rasters import BlockRows, check_blocks, open_raster
from euromine.support.xml_documents import parse_xml

from .file_formats import DRIVERS, format_of
from .product_files import file_state
from .scene_rasters import SceneRaster

_LARGEST_VRT = 16 * 2**20
_MOST_SOURCES = 2000
_SOURCES = {"SimpleSource", "ComplexSource"}
# Other elements of a VRT compute pixels, or read something other than rasters.
_PLAIN = {
    "VRTDataset",
    "SRS",
    "GeoTransform",
    "Metadata",
    "MDI",
    "VRTRasterBand",
    "Description",
    "NoDataValue",
    "HideNoDataValue",
    "ColorInterp",
    "ColorTable",
    "Entry",
    "CategoryNames",
    "Category",
    "UnitType",
    "Offset",
    "Scale",
    "Histograms",
    "MaskBand",
    "SourceFilename",
    "SourceBand",
    "SourceProperties",
    "SrcRect",
    "DstRect",
    "NODATA",
    "UseMaskBand",
    "BlockXSize",
    "BlockYSize",
    *_SOURCES,
}
# Left out, as GDAL does not need them.
_DROPPED = {"Histograms", "OverviewList", "Overview"}


def virtual_sources(path: Path) -> list[Path]:
    """The rasters of a VRT, with links resolved.

    Raises:
        SceneError: See `open_virtual_raster`.
    """
    return list(_checked(path)[1])


def open_virtual_raster(path: Path, files: ExitStack) -> SceneRaster:
    """Open a VRT.

    Raises:
        SceneError: It is damaged, computes its pixels, or names anything but GeoTIFFs and JPEG 2000 images in
            its own folder.
    """
    root, sources = _checked(path)
    dataset = open_raster(tostring(root, "unicode"), files, SceneError, driver="VRT", name=str(path))
    return SceneRaster.of_dataset(
        dataset,
        str(path),
        SceneError,
        blocks=tuple(sources.values()),
        state=tuple(map(file_state, (path, *sources))),
        companion=str(path),
    )


def _checked(path: Path) -> tuple[Element, dict[Path, BlockRows]]:
    """A VRT with absolute paths, and the blocks of each of its rasters."""
    root = parse_xml(read_bytes(path, _LARGEST_VRT, SceneError), str(path), SceneError)
    sources: dict[Path, BlockRows] = {}
    _check(root, path, sources)
    return root, sources


def _check(element: Element, path: Path, sources: dict[Path, BlockRows]) -> None:
    """Check an element and all below it, and give sources their absolute paths."""
    for child in list(element):
        if child.tag in _DROPPED or (child.tag == "Metadata" and child.get("domain")):
            element.remove(child)
    if element.tag not in _PLAIN or element.get("subClass", "VRTRasterBand") != "VRTRasterBand":
        kind = element.get("subClass") or element.tag
        raise SceneError(
            f"{path}: found {kind} in it, which computes pixels or reads them from elsewhere; expected bands "
            f"that are copied from rasters ({', '.join(sorted(_SOURCES))}). Make a GeoTIFF of it with "
            "gdal_translate."
        )
    if element.get("resampling") is not None:
        del element.attrib["resampling"]
    if element.tag in _SOURCES and element.find("SourceFilename") is None:
        raise SceneError(
            f"{path}: found a {element.tag} without SourceFilename; expected one. Make a GeoTIFF of it "
            "with gdal_translate."
        )
    if element.tag == "SourceFilename":
        source = _source(element, path)
        if source not in sources:
            if len(sources) == _MOST_SOURCES:
                raise SceneError(
                    f"{path}: found more than {_MOST_SOURCES} rasters in it; expected fewer. Make a "
                    "GeoTIFF of it with gdal_translate."
                )
            sources[source] = _blocks(source)
        element.attrib.clear()
        element.set("relativeToVRT", "0")
        element.set("shared", "0")
        element.text = str(source)
    for child in element:
        _check(child, path, sources)


def _source(element: Element, path: Path) -> Path:
    """The file of a source, in the VRT's folder.

    Raises:
        SceneError: It lies elsewhere.
    """
    name = (element.text or "").strip()
    parts = PurePosixPath(name.replace("\\", "/")).parts
    folder = path.absolute().parent
    source = (folder / name).resolve()
    is_relative = element.get("relativeToVRT") == "1" and bool(parts) and ":" not in name
    if not is_relative or ".." in parts or parts[0] == "/" or not source.is_relative_to(folder.resolve()):
        raise SceneError(
            f"{path}: found {name!r} in it; expected rasters in the VRT's own folder, by relative paths "
            '(relativeToVRT="1"). Put both into one folder and build the VRT there, or make a GeoTIFF of it '
            "with gdal_translate."
        )
    return source


def _blocks(source: Path) -> BlockRows:
    """The blocks of a source, once its format is checked."""
    driver = DRIVERS.get(format_of(source))
    if driver is None:
        raise SceneError(
            f"{source}: found a file that is neither GeoTIFF nor JPEG 2000; expected one of these in a VRT. "
            "Convert it with gdal_translate."
        )
    with ExitStack() as files:
        dataset: Any = open_raster(str(source), files, SceneError, driver=driver)
        check_blocks(dataset, str(source), SceneError)
        return BlockRows.of(dataset)
