"""Each metric's folder as a Space: alone, loaded by evaluate, its README true."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from euromine.metrics.synchronise import FOLDER, METRICS

PUBLISHED = {
    metric: [
        "README.md",
        "app.py",
        "averaging.py",
        "counts.py",
        "requirements.txt",
        "series_metric.py",
        f"{metric}.py",
    ]
    for metric in METRICS
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What two processes at once, sharing one cache, say of the folders that stand alone."""
    spaces = tmp_path_factory.mktemp("spaces")
    cache = tmp_path_factory.mktemp("cache")
    for metric, files in PUBLISHED.items():
        (spaces / metric).mkdir()
        for name in files:
            shutil.copy(FOLDER / metric / name, spaces / metric)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("HF_", "PYTHON"))
    }
    environment |= {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    folders = [tmp_path_factory.mktemp("outcome") for _ in range(2)]
    script = Path(__file__).with_name("standalone.py")
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(spaces), str(folder)],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for folder in folders
    ]
    texts = [process.communicate(timeout=300)[0] for process in processes]
    for process, text in zip(processes, texts, strict=True):
        assert process.returncode == 0, text
    return cache, [json.loads((folder / "results.json").read_text()) for folder in folders]


def test_folders_load_alone_without_this_package_in_two_processes_at_once(outcomes):
    _, (first, second) = outcomes
    assert first == second
    assert first["combined"] == 1.0
    assert first["configuration"] == "change"


@pytest.mark.parametrize("metric", METRICS)
def test_the_examples_of_a_readme_hold(outcomes, metric):
    _, results = outcomes
    for result in results:
        assert result[metric]["failed"] == 0
        assert result[metric]["examples"] >= 10


@pytest.mark.parametrize("metric", METRICS)
def test_the_page_says_what_is_wrong_with_a_file(outcomes, metric):
    _, (result, _) = outcomes
    nothing, wrong, text = result[metric]["refusals"]
    assert nothing.startswith("No file was uploaded")
    assert wrong.startswith("wrong.npz: found ['labels', 'predictions']; expected predictions and references")
    assert text.startswith("text.npz: found no readable arrays (")
    assert text.endswith("); expected a NumPy .npz file.")


def test_no_file_of_predictions_is_left_behind(outcomes):
    cache, _ = outcomes
    written = [path.relative_to(cache).parts[0] for path in cache.rglob("*") if path.is_file()]
    # The modules themselves, and no folder of metrics with Arrow files and locks.
    assert set(written) == {"modules"}


@pytest.mark.parametrize("metric", METRICS)
def test_the_front_matter_makes_a_space(metric):
    _, front_matter, text = (FOLDER / metric / "README.md").read_text(encoding="utf-8").split("---", 2)
    fields = yaml.safe_load(front_matter)
    assert fields["sdk"] == "gradio"
    assert (FOLDER / metric / fields["app_file"]).is_file()
    assert {"evaluate", "metric"} <= set(fields["tags"])
    for heading in ("## Inputs", "## Outputs", "## Examples", "## Limitations", "## Citation"):
        assert heading in text


def test_the_readme_of_ca_tiou_warns_of_constant_maps():
    text = (FOLDER / "ca_tiou" / "README.md").read_text(encoding="utf-8")
    assert "Never report it alone" in text
