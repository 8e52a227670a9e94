"""The metrics on the Hub, as Spaces from which `evaluate` loads them."""

import json
from pathlib import Path

import pytest

from euromine.hub.contents import Contents
from euromine.hub.publishing import plan_publication
from euromine.metrics.synchronise import FOLDER, METRICS
from euromine.support.errors import ArgumentError

from .card_rules import errors_of, missing_from
from .conftest import Worker
from .server import Hub


@pytest.mark.parametrize("metric", METRICS)
def test_others_load_it_by_its_repository(metric: str, publisher: Worker, reader: Worker, hub: Hub) -> None:
    status, output = publisher.euromine("publish", "metric", metric, f"mines/{metric}")
    assert status == 0, output
    files = hub.files("space", f"mines/{metric}")
    names = {path.name for path in (FOLDER / metric).iterdir() if path.is_file()} - {"__init__.py"}
    assert set(files) == names | {".gitattributes"}
    card = hub.read("space", f"mines/{metric}", "README.md").decode()
    assert errors_of(card, "space") == []
    assert missing_from(card, "space") == []
    assert f"mines/{metric}" in card
    # One pixel of two agrees in both years, and both years are right about half of it.
    module, scores = reader.run(
        """
import evaluate, numpy as np
metric = evaluate.load(repository)
maps = np.array([[[[1, 0]], [[1, 1]]]])
value = [type(metric).__module__, metric.compute(predictions=maps, references=maps, sites=["site"])]
""",
        repository=f"mines/{metric}",
    )
    assert module.startswith(f"evaluate_modules.metrics.mines--{metric}.")
    # A map that equals its reference is perfect by each of them.
    score = {
        "ca_tiou": "gca_tiou",
        "annual_f1": "of1",
        "component_iou": "macro_iou",
        "interval_f1": "of1_pooled",
    }[metric]
    assert scores[score] == 1.0


def test_the_space_runs_on_gradio(publisher: Worker, hub: Hub) -> None:
    with hub.noted() as requests:
        assert publisher.euromine("publish", "metric", "ca_tiou", "tester/ca_tiou")[0] == 0
    assert ("POST", "/api/repos/create") in requests
    settings = json.loads((hub.folder("space", "tester/ca_tiou") / "settings.json").read_text())
    assert settings["sdk"] == "gradio"


def test_another_metric_is_not_overwritten(publisher: Worker, hub: Hub) -> None:
    annual = (FOLDER / "annual_f1" / "annual_f1.py").read_bytes()
    hub.create("space", "euro/ca_tiou", {"annual_f1.py": annual, "README.md": b"---\nsdk: gradio\n---\n"})
    status, output = publisher.euromine("publish", "metric", "ca_tiou", "euro/ca_tiou")
    assert (status, "holds the metric annual_f1, not the metric ca_tiou" in output) == (1, True), output
    hub.create("space", "euro/annual_f1", {"app.py": b"print()"})
    status, output = publisher.euromine("publish", "metric", "annual_f1", "euro/annual_f1")
    assert (status, "holds a Space of something else" in output) == (1, True), output


def test_names_that_nobody_could_load_are_refused(publisher: Worker, tmp_path: Path) -> None:
    status, output = publisher.euromine("publish", "metric", "ca_tiuo", "mines/ca_tiuo")
    assert (status, "NAME: found 'ca_tiuo'; expected " in output) == (1, True), output
    status, output = publisher.euromine("publish", "metric", "ca_tiou", "mines/consistency")
    assert (status, "REPO: found mines/consistency; expected a repository named .../ca_tiou." in output) == (
        1,
        True,
    ), output


@pytest.mark.parametrize("revision", ["", " ", "-f", "a b", "../main"])
def test_a_revision_that_is_no_branch_is_refused_before_the_hub_is_asked(revision: str) -> None:
    contents = Contents("space", "a metric", (), (), (), lambda found: None)
    with pytest.raises(ArgumentError, match=r"^revision: found .*; expected the name of a branch"):
        plan_publication(contents, "org/name", revision=revision)
