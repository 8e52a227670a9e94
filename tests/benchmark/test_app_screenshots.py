import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from euromine.app.app_context import AppContext
from euromine.app.app_settings import AppSettings
from euromine.benchmark.app_screenshots import screenshots, small_png
from euromine.support.errors import DataError
from euromine.watch.watch_state import WatchState


def test_a_small_picture_keeps_even_ground_and_thin_outlines() -> None:
    pixels = np.random.default_rng(0).integers(60, 120, (200, 300, 3)).astype(np.uint8)
    pixels[:80] = (255, 255, 255)
    pixels[150, 20:280] = (255, 212, 0)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    found = Image.open(io.BytesIO(small_png(buffer.getvalue())))
    colours = np.asarray(found.convert("RGB")).astype(int)
    assert found.mode == "P"
    assert np.abs(colours[:80] - 255).max() <= 3
    assert np.abs(colours[150, 20:280] - (255, 212, 0)).max() <= 12


def test_a_folder_without_an_open_alert_is_refused(tmp_path: Path) -> None:
    (tmp_path / "watch").mkdir()
    with WatchState(tmp_path / "watch") as state:
        state.begin_run(datetime(2026, 3, 1, tzinfo=UTC))
    with pytest.raises(DataError, match="found no open alert outside permits"):
        screenshots(AppContext.from_settings(AppSettings(folder=tmp_path)))
