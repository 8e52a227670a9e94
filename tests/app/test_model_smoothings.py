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

from .stand_in_job import command

GROUP = {"0": "none", "1": "open_pit", "2": "waste_dump"}
CALIBRATED, MEDIAN, NONE = ["viterbi", "median", "none"], ["median", "none"], ["none"]


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
    tmp_path, config, calibrated, smoothings, sentence
):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "config.json").write_text(json.dumps(config))
    if calibrated:
        (tmp_path / "tiny" / "calibration.json").write_text("{}")
    folder = tmp_path / "mines"
    folder.mkdir()
    app = FastAPI()
    add_error_answers(app, [folder])
    settings = AppSettings(folder, uploads=True, models=(str(tmp_path / "tiny"),))
    app.include_router(routes(AppContext.from_settings(settings), JobLimits(), command))
    with TestClient(app, base_url="http://localhost") as client:
        (model,) = client.get("/api/models").json()["models"]
        assert model["smoothings"] == smoothings
        answer = client.post(
            "/api/jobs",
            data={"name": "Own mine", "options": json.dumps({"smoothing": "viterbi"})},
            files=[("files", ("2015.tif", b"II*\0", "image/tiff"))],
        )
        if not sentence:
            assert answer.status_code == 201, answer.text
        else:
            assert answer.status_code == 400
            assert answer.json()["error"].startswith(sentence)
            assert client.get("/api/jobs").json() == {"jobs": []}


def test_the_types_of_networks_are_those_that_exist():
    assert {network.config_class.model_type for network, _ in SERIES_NETWORKS.values()} == {*SERIES_TYPES}
    assert ComponentSegmenterConfig.model_type == COMPONENTS_TYPE
