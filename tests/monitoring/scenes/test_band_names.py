"""Names that others give to Sentinel-2's bands."""

import json
from pathlib import Path

import pytest

from euromine.monitoring.scenes.band_names import canonical_band, parse_bands
from euromine.support.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "band"),
    [
        ("B02", "B02"),
        ("b2", "B02"),
        ("B8A", "B8A"),
        ("B08A", "B8A"),
        ("B12", "B12"),
        ("blue", "B02"),
        ("Blue (band 2)", "B02"),
        ("NIR 2 (band 8A)", "B8A"),
        ("nir08", "B8A"),
        ("nir", "B08"),
        ("rededge3", "B07"),
        ("swir16", "B11"),
        ("SWIR 2", "B12"),
        ("B4, central wavelength 665 nm", "B04"),
        ("S2_B05", "B05"),
        ("B02_10m", "B02"),
        ("VV", "VV"),
        ("band_3", "band_3"),
        # What any file's second band is called, Landsat's fifth, indices, classes:
        ("Band 2", None),
        ("SR_B5", None),
        ("B13", None),
        ("NDVI", None),
        ("B4/B8", None),
        ("", None),
        (None, None),
    ],
)
def test_bands_are_known_by_the_names_that_others_give_them(text: str | None, band: str | None) -> None:
    assert canonical_band(text) == band


def test_every_asset_of_earth_search_is_the_band_that_its_file_is_named_after(real_data: Path) -> None:
    items = sorted((real_data / "real" / "stac_items").glob("earthsearch_v1_S2*.json"))
    assert len(items) >= 15
    for path in items:
        assets = json.loads(path.read_text())["assets"]
        for key, asset in assets.items():
            file = Path(asset["href"]).stem
            if file.startswith("B"):
                assert canonical_band(key.removesuffix("-jp2")) == file
                if described := asset.get("eo:bands"):
                    for name in ("name", "description"):
                        assert [canonical_band(band[name]) for band in described] == [file]


def test_unknown_names_are_refused() -> None:
    assert parse_bands("blue,-,B3") == ("B02", "-", "B03")
    with pytest.raises(ArgumentError, match=r"^bands: found unknown band 'bleu'; expected B01"):
        parse_bands("bleu,red")
