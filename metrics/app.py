"""The Space of a metric: upload predictions and references, read the scores.

The file is edited as `metrics/app.py`; `python -m euromine.metrics.synchronise` copies it into the folder of
each metric, because such a folder is published alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import evaluate
import numpy as np

if TYPE_CHECKING:
    import gradio

FOLDER = Path(__file__).parent
METRICS = ("annual_f1", "ca_tiou", "interval_f1")
INPUTS = ("predictions", "references", "sites", "years")


def score_file(module: str, path: str, configuration: str, average: str, bootstrap: float) -> dict[str, Any]:
    """Scores an uploaded file.

    Args:
        module: The path of the metric's module.
        path: A NumPy .npz file with `predictions` and `references` (batch, years, height, width) and, if
            they are known, `sites` (batch,) and `years` (years,).
        configuration: One of the metric's configurations.
        average: "site" or "pooled".
        bootstrap: The number of resamples.

    Returns:
        What the metric computes.

    Raises:
        ValueError: The file is no .npz file, lacks an array or has one that the metric does not take.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{Path(path).name} cannot be read, expected arrays in a NumPy .npz file: {error}."
        ) from error
    missing = [name for name in INPUTS[:2] if name not in arrays]
    unknown = [name for name in arrays if name not in INPUTS]
    if missing or unknown:
        raise ValueError(
            f"{Path(path).name} holds {sorted(arrays)}, expected predictions and references, and of the rest "
            "no more than sites and years."
        )
    metric = evaluate.load(module, configuration)
    return metric.compute(**arrays, average=average, bootstrap=int(bootstrap))


def build(folder: Path = FOLDER) -> gradio.Interface:
    """Builds the page of the metric that the folder holds."""
    import gradio

    module = next(folder / f"{name}.py" for name in METRICS if (folder / f"{name}.py").is_file())
    metric = evaluate.load(str(module))
    configurations = list(metric.config_names)

    def score(path: str | None, configuration: str, average: str, bootstrap: float) -> dict[str, Any]:
        if path is None:
            raise gradio.Error("No file was uploaded, expected a NumPy .npz file.")
        try:
            return score_file(str(module), path, configuration, average, bootstrap)
        except ValueError as error:
            raise gradio.Error(str(error)) from error

    return gradio.Interface(
        fn=score,
        inputs=[
            gradio.File(
                label="predictions, references, sites and years in one .npz file", file_types=[".npz"]
            ),
            gradio.Dropdown(configurations, value=configurations[0], label="configuration"),
            gradio.Radio(["site", "pooled"], value="site", label="average"),
            gradio.Slider(0, 10_000, value=0, step=100, label="bootstrap: resamples of the sites"),
        ],
        outputs=gradio.JSON(label="scores"),
        title=metric.name,
        description=metric.description,
        # The page's text is the README without its front matter.
        article=(folder / "README.md").read_text(encoding="utf-8").split("---", 2)[-1],
        flagging_mode="never",
    )


if __name__ == "__main__":
    build().launch()
