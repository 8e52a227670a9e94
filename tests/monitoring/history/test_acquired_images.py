"""The composite behind an acquired image."""

import numpy as np
import rasterio

from euromine.acquisition.acquisition_record import TAG, UsedItem, UsedPass, YearRecord, year_tags
from euromine.monitoring.history.acquired_images import composite_record
from euromine.monitoring.history.manifest import CompositeRecord

from .site_images import write_image


def used(day: str) -> UsedPass:
    item = UsedItem(
        id=f"S2A_33TWN_{day}_0_L2A",
        catalogue="earth-search",
        collection="sentinel-2-l2a",
        time=f"{day}T10:07:35Z",
        platform="sentinel-2a",
        tile="33TWN",
        sensing="",
        baseline="05.09",
        version="",
        offset=0,
        orbit=122,
    )
    return UsedPass(items=(item, item), clear_share=0.8)


def composite(path):
    with rasterio.open(path) as dataset:
        return composite_record(path, dataset.tags())


def test_an_acquired_image_tells_its_days_and_what_was_filled(tmp_path, caplog) -> None:
    path = write_image(tmp_path / "Year2021.tif", np.ones((2, 8, 8), np.int16))
    assert composite(path) is None
    passes = (used("2021-08-08"), used("2021-06-29"))
    record = YearRecord(year=2021, digest="0a", level="L2A", passes=passes, filled_share=0.05)
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**year_tags(record))
    assert composite(path) == CompositeRecord(["2021-06-29", "2021-08-08"], ["earth-search"], 0.05)
    assert caplog.text == ""
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(**{TAG: "{}"})
    assert composite(path) is None
    assert "Year2021.tif: found no year" in caplog.text
    assert composite_record(None, {}) is None
