"""Small scenes that several tests share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from euromine.modeling import BANDS
from euromine.monitoring.scenes.scene import open_scene
from euromine.monitoring.scenes.scene_options import SceneOptions

WriteScene = Callable[..., Path]
NO_BASELINE = "found no processing baseline; expected one"


def numbers(dtype: str = "uint16", count: int = 10) -> NDArray[Any]:
    return np.random.default_rng(0).integers(1, 9000, (count, 6, 7)).astype(dtype)


def read(path: Path, options: SceneOptions | None = None, bands: tuple[str, ...] = BANDS) -> Any:
    with open_scene(path, options) as scene:
        return scene.read(Window(0, 0, scene.grid.width, scene.grid.height), bands)
