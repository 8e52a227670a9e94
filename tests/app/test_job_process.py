"""The process of a job, called in this one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from euromine.app.job_process import make_series_of
from euromine.app.job_records import JobImage, JobRecord
from euromine.monitoring.mapping.engine_choice import EngineChoice
from euromine.monitoring.monitor import MineMonitor


def test_the_model_runs_on_the_engine_of_the_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chosen: list[Any] = []

    def from_pretrained(model: str, **options: Any) -> SimpleNamespace:
        chosen.append((model, options))
        return SimpleNamespace(series=lambda *images, **settings: chosen.append(settings["site"]))

    monkeypatch.setattr(MineMonitor, "from_pretrained", from_pretrained)
    engine = EngineChoice("openvino", "bfloat16")
    image = JobImage(file="a.tif", year=2015, name="a.tif", size=1)
    job = JobRecord(
        id="bcdfghjkmnpq", name="North", model="runs/m", images=[image], engine=engine, created=0.0
    )
    make_series_of(job, tmp_path)
    assert chosen == [("runs/m", {"engine": engine}), "North"]
