"""Sentinel-2 products of a few pixels, written as ESA lays them out."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

SIDE = 24
BANDS_BY_RESOLUTION = {
    10: ("B02", "B03", "B04", "B08"),
    20: ("B05", "B06", "B07", "B8A", "B11", "B12"),
    60: ("B01", "B09"),
}
RESOLUTION = {band: side for side, bands in BANDS_BY_RESOLUTION.items() for band in bands}
_IDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]


def write_jp2(path: Path, bands: NDArray[Any], resolution: int = 10, **options: Any) -> Path:
    """Bands (count, height, width) as lossless JPEG 2000 of a resolution in metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "crs": "EPSG:32633",
        "transform": Affine(resolution, 0, 300_000, 0, -resolution, 5_000_000),
        "dtype": bands.dtype,
        **options,
    }
    count, height, width = bands.shape
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        QUALITY=100,
        REVERSIBLE="YES",
        count=count,
        height=height,
        width=width,
        **profile,
    ) as dataset:
        dataset.write(bands)
    path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)
    return path


def product_numbers() -> dict[str, NDArray[np.uint16]]:
    """The numbers of each band at its own resolution, (height, width)."""
    random = np.random.default_rng(11)
    return {
        band: random.integers(1100, 5000, (SIDE * 10 // side, SIDE * 10 // side)).astype("uint16")
        for band, side in RESOLUTION.items()
    }


def expected_numbers(numbers: dict[str, NDArray[np.uint16]], bands: tuple[str, ...]) -> NDArray[np.uint16]:
    """Bands (count, SIDE, SIDE) at 10 m, coarser pixels repeated: `kron` is the oracle."""
    parts = [
        np.kron(numbers[band], np.ones((RESOLUTION[band] // 10,) * 2, "uint16"))[:SIDE, :SIDE]
        for band in bands
    ]
    return np.stack(parts)


def metadata_xml(level: str, baseline: str, *, offset: int | None = None, year: int = 2022) -> str:
    """MTD_MSIL1C.xml or MTD_MSIL2A.xml, shortened to the elements around those that count."""
    tag, wrapper = ("BOA", "BOA_ADD_OFFSET") if level == "2A" else ("RADIO", "RADIO_ADD_OFFSET")
    quantification = (
        '<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE>'
        '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>'
        if level == "2A"
        else '<QUANTIFICATION_VALUE unit="none">10000</QUANTIFICATION_VALUE>'
    )
    offsets = "".join(
        f'<{wrapper} band_id="{place}">{offset}</{wrapper}>' for place in range(13) if offset is not None
    )
    listed = f"<{tag}_ADD_OFFSET_VALUES_LIST>{offsets}</{tag}_ADD_OFFSET_VALUES_LIST>" if offsets else ""
    return f"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd"
 xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{year}-02-26T09:50:29.024Z</PRODUCT_START_TIME>
<PRODUCT_STOP_TIME>{year}-02-26T09:50:29.024Z</PRODUCT_STOP_TIME>
<PROCESSING_LEVEL>Level-{level}</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI{level}</PRODUCT_TYPE>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE></Product_Info>
<Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX></Special_Values>
{quantification}{listed}
</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>
"""


def write_l2a(
    folder: Path,
    numbers: dict[str, NDArray[np.uint16]],
    *,
    classes: NDArray[np.uint8] | None = None,
    name: str = "S2B_MSIL2A_20220226T095029_N0400_R079_T33TWN_20220226T130213.SAFE",
    baseline: str = "04.00",
    offset: int | None = -1000,
    year: int = 2022,
) -> Path:
    """A Level-2A product with folders R10m, R20m and R60m."""
    root = folder / name
    images = root / "GRANULE" / "L2A_T33TWN_A025987_20220226T095353" / "IMG_DATA"
    stem = "T33TWN_20220226T095029"
    for band, values in numbers.items():
        for side in (10, 20, 60):
            if side == RESOLUTION[band]:
                write_jp2(images / f"R{side}m" / f"{stem}_{band}_{side}m.jp2", values[None], side)
            elif side == 20 and RESOLUTION[band] == 10:
                # Averages, as the real ones have them, which must not be read.
                coarse = values.reshape(SIDE // 2, 2, SIDE // 2, 2).mean((1, 3)).astype("uint16")
                write_jp2(images / "R20m" / f"{stem}_{band}_20m.jp2", coarse[None], 20)
    if classes is not None:
        write_jp2(images / "R20m" / f"{stem}_SCL_20m.jp2", classes[None], 20)
    write_jp2(images / "R10m" / f"{stem}_TCI_10m.jp2", np.ones((3, SIDE, SIDE), "uint8"))
    (root / "MTD_MSIL2A.xml").write_text(metadata_xml("2A", baseline, offset=offset, year=year))
    (root / "manifest.safe").write_text("<xfdu/>")
    return root


def write_l1c(
    folder: Path,
    numbers: dict[str, NDArray[np.uint16]],
    *,
    clouds: NDArray[np.uint8] | None = None,
    is_old: bool = False,
) -> Path:
    """A Level-1C product, flat; with the long names of before December 2016 if it is old."""
    if is_old:
        root = folder / "S2A_OPER_PRD_MSIL1C_PDMC_20151230T202002_R008_V20151230T105153_20151230T105153.SAFE"
        tile = "S2A_OPER_MSI_L1C_TL_SGS__20151230T162056_A002723_T33TWN_N02.01"
        stem, metadata = (
            tile.removesuffix("_N02.01"),
            "S2A_OPER_MTD_SAFL1C_PDMC_20151230T202002_R008_V2015.xml",
        )
        metadata = metadata.replace("V2015", "V20151230T105153_20151230T105153")
        text = metadata_xml("1C", "02.01", year=2015)
    else:
        root = folder / "S2A_MSIL1C_20230703T101021_N0509_R022_T33TWN_20230703T121354.SAFE"
        tile, stem, metadata = (
            "L1C_T33TWN_A010601_20230703T101041",
            "T33TWN_20230703T101021",
            "MTD_MSIL1C.xml",
        )
        text = metadata_xml("1C", "05.09", offset=-1000, year=2023)
    for band, values in numbers.items():
        write_jp2(root / "GRANULE" / tile / "IMG_DATA" / f"{stem}_{band}.jp2", values[None], RESOLUTION[band])
    if clouds is not None:
        write_jp2(root / "GRANULE" / tile / "QI_DATA" / "MSK_CLASSI_B00.jp2", clouds, 60)
    (root / metadata).write_text(text)
    return root


def zipped(product: Path) -> Path:
    """A product in a zip beside it, as the archives deliver it."""
    path = product.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in sorted(product.rglob("*")):
            archive.write(each, each.relative_to(product.parent))
    return path
