"""The contestants of the acquisition benchmark compose the same image."""

import numpy as np
import rasterio

from euromine.benchmark import acquisition_speed
from euromine.benchmark.range_server import served


def test_all_contestants_give_the_same_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(acquisition_speed, "_TILE", 1024)
    with served(tmp_path, pause=0.001) as address:
        items = acquisition_speed.write_world(tmp_path, address, scenes=3)
        task = acquisition_speed.Task(items, 499_980 + 2000, 5_300_040 - 3000, 300)
        images = []
        for place, compose in enumerate(acquisition_speed.CONTESTANTS.values()):
            compose(task, tmp_path / f"{place}.tif")
            with rasterio.open(tmp_path / f"{place}.tif") as dataset:
                images.append(dataset.read())
    assert images[0].any()
    for image in images[1:]:
        np.testing.assert_array_equal(image, images[0])
