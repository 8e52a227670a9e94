"""VRTs: bands of files in their own folder, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

from euromine.modeling import BANDS
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.monitoring.scenes.virtual_rasters import virtual_sources
from euromine.support.errors import SceneError

from .drawn_products import write_jp2
from .scene_files import WriteScene, numbers, read

GRID = (
    '<VRTDataset rasterXSize="7" rasterYSize="6"><SRS>EPSG:32633</SRS>'
    "<GeoTransform>300000,10,0,5000000,0,-10</GeoTransform>{bands}</VRTDataset>"
)


def vrt(*sources: str, band: str = "VRTRasterBand", source: str = "SimpleSource", extra: str = "") -> str:
    """A band of each source, named as in the archive."""
    bands = "".join(
        f'<VRTRasterBand dataType="UInt16" band="{place}"{"" if band == "VRTRasterBand" else band}>'
        f"<Description>{name}</Description><{source}>{each}"
        f"<SourceBand>1</SourceBand>{extra}</{source}></VRTRasterBand>"
        for place, (name, each) in enumerate(zip(BANDS, sources, strict=False), 1)
    )
    return GRID.format(bands=bands)


def relative(name: str) -> str:
    return f'<SourceFilename relativeToVRT="1">{name}</SourceFilename>'


@pytest.fixture
def parts(write_scene: WriteScene, tmp_path: Path) -> list[str]:
    """A file per band, the first as JPEG 2000."""
    image = numbers()
    names = ["parts/B02.jp2", *(f"parts/{band}.tif" for band in BANDS[1:])]
    write_jp2(tmp_path / names[0], image[:1])
    for name, band in zip(names[1:], image[1:], strict=True):
        write_scene(name, band[None], names=None)
    return names


def test_bands_of_files_in_the_folder_are_read(tmp_path: Path, parts: list[str]) -> None:
    path = tmp_path / "stack_2019.vrt"
    path.write_text(vrt(*map(relative, parts)))
    values, valid = read(path, SceneOptions(offset=0))
    np.testing.assert_array_equal(values, numbers())
    assert valid.all()
    with open_scene(path, SceneOptions(offset=0)) as scene:
        assert scene.year == 2019
        first = scene.fingerprint()
    assert {source.name for source in virtual_sources(path)} == {Path(name).name for name in parts}
    with rasterio.open(tmp_path / parts[3], "r+") as dataset:
        dataset.write(np.ones((1, 6, 7), "uint16"))
    with open_scene(path) as scene:
        assert scene.fingerprint() != first


def test_a_mosaic_with_nodata_is_read_as_gdal_reads_it(write_scene: WriteScene, tmp_path: Path) -> None:
    image = numbers(count=1)
    image[0, :, 2] = 0
    write_scene("left.tif", image, names=None)
    write_scene("right.tif", image[:, :, ::-1], names=None)
    sources = "".join(
        f"<ComplexSource>{relative(name)}<SourceBand>1</SourceBand>"
        f'<SrcRect xOff="0" yOff="0" xSize="7" ySize="6"/>'
        f'<DstRect xOff="{left}" yOff="0" xSize="7" ySize="6"/>'
        "<NODATA>0</NODATA></ComplexSource>"
        for name, left in (("left.tif", 0), ("right.tif", 5))
    )
    path = tmp_path / "mosaic.vrt"
    band = f'<VRTRasterBand dataType="UInt16" band="1"><NoDataValue>0</NoDataValue>{sources}</VRTRasterBand>'
    path.write_text(GRID.format(bands=band).replace('rasterXSize="7"', 'rasterXSize="12"'))
    values, valid = read(path, SceneOptions(offset=0, bands=("B02",)), ("B02",))
    expected = np.zeros((6, 12), np.uint16)
    for part, left in ((image[0], 0), (image[0, :, ::-1], 5)):
        expected[:, left : left + 7] = np.where(part > 0, part, expected[:, left : left + 7])
    np.testing.assert_array_equal(np.where(valid, values[0], 0), expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            vrt(relative("../outside.tif")),
            r"found '\.\./outside.tif' in it; expected rasters in the VRT's own",
        ),
        (vrt(relative("sub/../../outside.tif")), "expected rasters in the VRT's own folder"),
        (vrt("<SourceFilename>inside.tif</SourceFilename>"), "expected rasters in the VRT's own folder"),
        (vrt(relative("/vsicurl/https://example.org/a.tif")), "expected rasters in the VRT's own folder"),
        (vrt(relative("/etc/hostname")), "expected rasters in the VRT's own folder"),
        (vrt(relative("link.tif")), "found 'link.tif' in it; expected rasters in the VRT's own folder"),
        (vrt(relative("NETCDF:inside.nc:B02")), "expected rasters in the VRT's own folder"),
        (vrt(relative("nested.vrt")), r"nested.vrt: found a file that is neither GeoTIFF nor JPEG 2000"),
        (vrt(relative("disguised.tif")), "found a file that is neither GeoTIFF nor JPEG 2000; expected one"),
        (vrt(relative("missing.tif")), "missing.tif: found a file that is neither GeoTIFF nor JPEG 2000"),
        (
            vrt(relative("inside.tif"), band=' subClass="VRTDerivedRasterBand"'),
            "found VRTDerivedRasterBand in it",
        ),
        (vrt(relative("inside.tif"), band=' subClass="VRTRawRasterBand"'), "found VRTRawRasterBand in it"),
        (
            vrt(relative("inside.tif"), source="KernelFilteredSource"),
            "found KernelFilteredSource in it, which",
        ),
        (
            vrt(relative("inside.tif"), extra="<OpenOptions><OOI key='a'>b</OOI></OpenOptions>"),
            "found OpenOptions in it, which computes pixels or reads them from elsewhere",
        ),
        (vrt("<SourceFilename/>"), "expected rasters in the VRT's own folder"),
        (vrt(""), "found a SimpleSource without SourceFilename"),
        (GRID.format(bands="<GDALWarpOptions/>"), "found GDALWarpOptions in it"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>' + vrt(relative("inside.tif")), "found a document type in XML"),
        (vrt(relative("inside.tif"))[:-9], "found damaged XML"),
    ],
)
def test_a_vrt_that_leads_elsewhere_or_computes_is_refused(
    write_scene: WriteScene, tmp_path: Path, content: str, message: str
) -> None:
    write_scene("outside.tif", numbers(count=1), names=None)
    write_scene("here/inside.tif", numbers(count=1), names=None)
    (tmp_path / "here" / "link.tif").symlink_to(tmp_path / "outside.tif")
    nested = vrt("<SourceFilename>/etc/hostname</SourceFilename>")
    (tmp_path / "here" / "nested.vrt").write_text(nested)
    (tmp_path / "here" / "disguised.tif").write_text(nested)
    path = tmp_path / "here" / "scene.vrt"
    path.write_text(content)
    with pytest.raises(SceneError, match=message) as caught:
        open_scene(path)
    assert "\n" not in str(caught.value)


def test_sources_in_metadata_are_left_out(write_scene: WriteScene, tmp_path: Path) -> None:
    write_scene("inside.tif", numbers(count=1), names=None)
    hidden = vrt(relative("inside.tif")).replace(
        "<Description>",
        '<Metadata domain="new_vrt_sources"><MDI key="source_0">&lt;SimpleSource&gt;&lt;SourceFilename&gt;'
        "/etc/hostname&lt;/SourceFilename&gt;&lt;/SimpleSource&gt;</MDI></Metadata><Description>",
    )
    path = tmp_path / "scene.vrt"
    path.write_text(hidden)
    values, _ = read(path, SceneOptions(offset=0), ("B02",))
    np.testing.assert_array_equal(values, numbers(count=1))
