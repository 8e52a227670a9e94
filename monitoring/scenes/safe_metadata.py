"""The metadata of a Sentinel-2 product: level, baseline, date, quantification and offsets.

Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), `Level-1C_User_Product` and
`Level-2A_User_Product`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from euromine.support.errors import SceneError
from euromine.support.processing_levels import Level, level_in
from euromine.support.sentinel2_products import baseline_name, baseline_offset, parse_baseline
from euromine.support.sidecars import number_or_none
from euromine.support.xml_documents import parse_xml

# MTD_MSIL2A.xml, and S2A_OPER_MTD_SAFL1C_PDMC_..., S2A_USER_MTD_SAFL2A_... until December 2016.
METADATA_NAME = re.compile(r"MTD_MSIL(?:1C|2A)\.xml|S2[A-D]_(?:OPER|USER)_MTD_SAFL(?:1C|2A)_\w+\.xml")
LARGEST_METADATA = 32 * 2**20

# `band_id` in lists of offsets.
_BANDS_BY_ID = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
# Baseline 99.99 stands for Sen2Cor run by a user. Its products list any offsets.
_OWN_PROCESSING = (90, 0)
_QUANTIFICATION = ("BOA_QUANTIFICATION_VALUE", "L2A_BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
_OFFSETS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
_TAGS = ("PRODUCT_START_TIME", "PRODUCT_URI", "PROCESSING_BASELINE", "PROCESSING_LEVEL", "PRODUCT_TYPE")


@dataclass(frozen=True)
class ProductMetadata:
    """The metadata of a product.

    Attributes:
        level: Its processing level.
        quantification: Numbers per reflectance.
        offsets: To add to the numbers of each band, in their units.
        nodata: The number of pixels without data.
        tags: Plain elements, by the names that GDAL's driver gives them.
    """

    level: Level
    quantification: float
    offsets: Mapping[str, float]
    nodata: float
    tags: Mapping[str, str] = field(default_factory=dict)


def parse_metadata(data: bytes, name: str) -> ProductMetadata:
    """The metadata in MTD_MSIL1C.xml or MTD_MSIL2A.xml.

    Args:
        data: The file's content.
        name: The file, for errors.

    Raises:
        SceneError: It is damaged, belongs to another product or contradicts itself.
    """
    root = parse_xml(data, name, SceneError)
    level = level_in(root.tag)
    if level is None or not root.tag.endswith("_User_Product"):
        raise SceneError(
            f"{name}: found the metadata {root.tag}; expected those of a Level-1C or Level-2A product."
        )
    elements = list(root.iter())
    quantification = _quantification(elements, name)
    baseline = parse_baseline(_text(elements, "PROCESSING_BASELINE"))
    if baseline is None:
        raise SceneError(
            f"{name}: found no PROCESSING_BASELINE; expected one, such as 05.09. Download the product again."
        )
    listed = _listed_offsets(elements, name)
    is_own = baseline >= _OWN_PROCESSING
    if baseline_offset(baseline) and not listed and not is_own:
        raise SceneError(
            f"{name}: found processing baseline {baseline_name(baseline)} without offsets of the bands; "
            f"expected {' or '.join(_OFFSETS)}. Download the product again."
        )
    offsets = {band: listed.get(band, 0.0) for band in _BANDS_BY_ID}
    tags = {tag: text for tag in _TAGS if (text := _text(elements, tag))}
    if is_own:
        del tags["PROCESSING_BASELINE"]
    return ProductMetadata(level, quantification, offsets, _nodata(elements), tags)


def _text(elements: list[Element], tag: str) -> str | None:
    return next((each.text.strip() for each in elements if each.tag == tag and each.text), None)


def _quantification(elements: list[Element], name: str) -> float:
    for tag in _QUANTIFICATION:
        value = number_or_none(_text(elements, tag))
        if value is not None and value > 0:
            return value
    raise SceneError(
        f"{name}: found no quantification value; expected one, such as 10000. Download the product again."
    )


def _listed_offsets(elements: list[Element], name: str) -> dict[str, float]:
    """The offset of each band that has one."""
    found = {}
    for each in elements:
        if each.tag in _OFFSETS:
            place, offset = number_or_none(each.get("band_id")), number_or_none(each.text)
            if place is None or offset is None or place not in range(len(_BANDS_BY_ID)):
                raise SceneError(
                    f"{name}: found {each.tag} {each.text!r} of band_id {each.get('band_id')!r}; expected "
                    f"a number for a band from 0 to {len(_BANDS_BY_ID) - 1}. Download the product again."
                )
            found[_BANDS_BY_ID[int(place)]] = offset
    return found


def _nodata(elements: list[Element]) -> float:
    """The number of pixels without data: 0 in all products so far."""
    for each in elements:
        if each.tag == "Special_Values" and (each.findtext("SPECIAL_VALUE_TEXT") or "").strip() == "NODATA":
            return number_or_none(each.findtext("SPECIAL_VALUE_INDEX")) or 0.0
    return 0.0
