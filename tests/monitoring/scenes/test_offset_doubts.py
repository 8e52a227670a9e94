"""Warnings about offsets that the pixels contradict."""

from pathlib import Path

import numpy as np
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes.band_names import parse_bands
from euromine.monitoring.scenes.offset_doubts import offset_doubt
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions
from euromine.support.offset_check import OffsetCheck


def test_only_real_scenes_with_the_wrong_offset_are_doubted(real_data: Path) -> None:
    """One of the five places still carries the offset; another shows snow and clouds."""
    bands = parse_bands("B01,B02,B03,B04,B05,B06,B07,B08,B8A,B09,B11,B12")
    paths = sorted((real_data / "real" / "terramind_examples" / "S2L2A").glob("*.tif"))
    assert len(paths) == 5
    doubted: dict[float, set[str]] = {0: set(), -1000: set()}
    for offset, names in doubted.items():
        for path in paths:
            with open_scene(path, SceneOptions(bands=bands, offset=offset)) as scene:
                scene.read(Window(0, 0, 224, 224), BANDS)
                if scene.doubt():
                    names.add(path.stem)
    assert doubted == {0: {"433D_629L_3_1"}, -1000: {path.stem for path in paths} - {"433D_629L_3_1"}}


def test_negative_numbers_without_an_offset_lead_to_nodata() -> None:
    check = OffsetCheck()
    check.add(np.full((10, 10), -300.0))
    doubt = offset_doubt(check)
    assert doubt is not None
    assert doubt.startswith("100% of the reflectances are below 0")
    assert doubt.endswith("give --offset 0; in the second, that number with --nodata.")
