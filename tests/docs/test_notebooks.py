"""The notebooks of the documentation run as they stand, on a network of a few thousand parameters."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.simulation.simulated_archive import simulate_archive

FOLDER = Path(__file__).parents[2] / "docs" / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A network that calls about half of the ground a mine."""
    folder = tmp_path_factory.mktemp("model") / "segformer-tiny"
    torch.manual_seed(0)
    model = create_model(
        "segformer-b0",
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=8,
    ).eval()
    with torch.no_grad():
        logits = model(pixel_values=torch.randn(1, 10, 160, 160)).logits
        model.decode_head.classifier.bias[1] -= (logits[:, 1] - logits[:, 0]).median()
    model.save_pretrained(folder)
    EuroMineImageProcessor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def mine(tmp_path_factory) -> Path:
    """A simulated mine of three years."""
    folder = simulate_archive(
        tmp_path_factory.mktemp("mine"),
        sites=["Italy_5"],
        years=[2015, 2019, 2024],
        size=(64, 96),
        workers=1,
    )
    return folder / "EuroMineNet" / "Italy_5"


@pytest.fixture(scope="module")
def executed(checkpoint, mine, tmp_path_factory) -> dict[str, list[Any]]:
    """The cells of each notebook with their outputs.

    One process runs them all, each without the names of the one before: loading the libraries takes longer
    than the notebooks do.
    """
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("geopandas")
    together = nbformat.v4.new_notebook()
    cells = {}
    for name in NOTEBOOKS:
        folder = tmp_path_factory.mktemp(Path(name).stem)
        notebook = nbformat.read(FOLDER / name, as_version=4)
        (parameters,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", []))
        given = {
            "MODEL": str(checkpoint),
            "IMAGE": str(mine / "image" / "Year2024.tif"),
            "IMAGES": str(mine),
            "WORK": str(folder / "work"),
        }
        named = re.findall(r"^([A-Z]+) =", parameters.source, re.M)
        parameters.source = "\n".join(f"{key} = {given[key]!r}" for key in named)
        begin = nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {folder}")
        cells[name] = [begin, *notebook.cells]
        together.cells.extend(cells[name])
    nbclient.NotebookClient(together, timeout=300, kernel_name="python3", allow_errors=True).execute()
    return cells


def test_there_are_notebooks():
    assert {"map_your_mine.ipynb", "history_of_a_mine.ipynb", "label_your_own_mines.ipynb"} <= set(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_the_top_to_the_bottom(name, executed):
    outputs = [output for cell in executed[name] for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    assert outputs


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs_and_paths_of_a_machine(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    cells = json.loads(text)["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
    assert not re.search(r"/(home|work|tmp|Users)/", text)
