"""The smoothings on offer are those with which a series of the model would run."""

import json

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from euromine.app.app_context import AppContext
from euromine.app.app_errors import add_error_answers
from euromine.app.app_settings import AppSettings
from euromine.app.job_limits import JobLimits
from euromine.app.job_routes import routes
from euromine.app.model_smoothings import COMPONENTS_TYPE, SERIES_TYPES
from euromine.modeling.auto import SERIES_NETWORKS
from euromine.modeling.component_segmenter import ComponentSegmenterConfig
from euromine.monitoring.mapping import checkpoint_files

from .stand_in_job import command

GROUP = {"0": "none", "1": "open_pit", "2": "waste_dump"}
CALIBRATED, MEDIAN, NONE = ["viterbi", "median", "none"], ["median", "none"], ["none"]


@pytest.fixture
def serve(tmp_path):
    """Makes a client of an app that offers a model for uploads."""

    def serve(model: str) -> TestClient:
        folder = tmp_path / "mines"
        folder.mkdir()
        app = FastAPI()
        add_error_answers(app, [folder])
        settings = AppSettings(folder, uploads=True, models=(model,))
        app.include_router(routes(AppContext.from_settings(settings), JobLimits(), command))
        return TestClient(app, base_url="http://localhost")

    return serve


def post(client: TestClient):
    """The answer to an upload of an image, to be smoothed by viterbi."""
    return client.post(
        "/api/jobs",
        data={"name": "Own mine", "options": json.dumps({"smoothing": "viterbi"})},
        files=[("files", ("2015.tif", b"II*\0", "image/tiff"))],
    )


@pytest.mark.parametrize(
    ("config", "calibrated", "smoothings", "sentence"),
    [
        ({"model_type": "euromine_unet"}, True, CALIBRATED, ""),
        (
            {"model_type": "segformer", "id2label": {"0": "background", "1": "mine"}},
            False,
            MEDIAN,
            "smoothing: found 'viterbi' with tiny, which has no switch rates (`euromine calibrate`); "
            "expected median or none.",
        ),
        (
            {"model_type": COMPONENTS_TYPE},
            True,
            MEDIAN,
            "smoothing: found 'viterbi' with tiny, which maps several components; viterbi is a chain of two "
            "states; expected median or none.",
        ),
        (
            {"model_type": "segformer", "id2label": GROUP, "label_group": "own"},
            True,
            MEDIAN,
            "smoothing: found 'viterbi' with tiny, which maps several components;",
        ),
        (
            {"model_type": "euromine_series"},
            False,
            NONE,
            "smoothing: found 'viterbi' with tiny, a network for series, whose maps of a year take all years "
            "into account; expected none.",
        ),
    ],
)
def test_a_smoothing_that_does_not_fit_is_not_offered_and_refused_at_once(
    serve, tmp_path, config, calibrated, smoothings, sentence
):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config))
    if calibrated:
        (tmp_path / "tiny" / "calibration.json").write_text("{}")
    with serve(str(tmp_path / "tiny")) as client:
        (model,) = client.get("/api/models").json()["models"]
        assert model["smoothings"] == smoothings
        answer = post(client)
        if not sentence:
            assert answer.status_code == 201, answer.text
        else:
            assert answer.status_code == 400
            assert answer.json()["error"].startswith(sentence)
            assert client.get("/api/jobs").json() == {"jobs": []}


def test_a_model_of_the_hub_is_described_once_its_files_are_in_the_cache(serve, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(checkpoint_files, "is_offline_mode", lambda: False)
    commit = "0123456789abcdef0123456789abcdef01234567"

    def cache(place: str, text: str) -> None:
        path = tmp_path / "hub" / "models--mines--tiny" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def offered() -> dict:
        (model,) = client.get("/api/models").json()["models"]
        return model

    unknown = {"architecture": "", "bands": None, "level": None, "simulated": None}
    with serve("mines/tiny") as client:
        assert offered() == {"id": "tiny", **unknown, "smoothings": CALIBRATED}
        # As a job leaves it; the commit of the branch, its files, and marks of files that it lacks.
        cache("refs/main", commit)
        cache(f"snapshots/{commit}/config.json", '{"model_type": "euromine_unet"}')
        cache(f"snapshots/{commit}/preprocessor_config.json", '{"bands": ["B03", "B04"], "level": "l2a"}')
        cache(f"snapshots/{commit}/metrics.json", '{"protocol": {"simulated": true}}')
        described = {
            "id": "tiny",
            "architecture": "euromine_unet",
            "bands": ["B03", "B04"],
            "level": "l2a",
            "simulated": True,
        }
        assert offered() == {**described, "smoothings": CALIBRATED}  # perhaps it has a calibration
        cache(f".no_exist/{commit}/calibration.json", "")
        assert offered() == {**described, "smoothings": MEDIAN}
        answer = post(client)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith(
            "smoothing: found 'viterbi' with tiny, which has no switch rates"
        )
        cache("refs/main", "f" * 40)  # a later commit, with a calibration
        cache(f"snapshots/{'f' * 40}/config.json", '{"model_type": "euromine_unet"}')
        cache(f"snapshots/{'f' * 40}/calibration.json", "{}")
        assert offered()["smoothings"] == CALIBRATED


def test_the_types_of_networks_are_those_that_exist():
    assert {network.config_class.model_type for network, _ in SERIES_NETWORKS.values()} == {*SERIES_TYPES}
    assert ComponentSegmenterConfig.model_type == COMPONENTS_TYPE
