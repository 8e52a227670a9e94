"""The Space of a metric: upload predictions and references, get the scores.

Edit `metrics/app.py`; `python -m euromine.metrics.synchronise` copies it into the folder of each metric,
which is published on its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import evaluate
import numpy as np

if TYPE_CHECKING:
    import gradio

FOLDER = Path(__file__).parent
METRICS = ("annual_f1", "ca_tiou", "component_iou", "interval_f1")
INPUTS = ("predictions", "references", "sites", "years")


def score_file(module: str, path: str, configuration: str, average: str, bootstrap: float) -> dict[str, Any]:
    """Scores an uploaded file.

    Args:
        module: Path of the metric's module.
        path: NumPy .npz file with `predictions` and `references` (batch, years, height, width) and,
            optionally, `sites` (batch,) and `years` (years,).
        configuration: One of the metric's configurations.
        average: "site" or "pooled".
        bootstrap: Number of resamples.

    Returns:
        The scores.

    Raises:
        ValueError: The file is not a readable .npz file, or an array is missing, unknown or refused by the
            metric.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise ValueError(
            f"{Path(path).name}: found no readable arrays ({error}); expected a NumPy .npz file."
        ) from error
    missing = [name for name in INPUTS[:2] if name not in arrays]
    unknown = [name for name in arrays if name not in INPUTS]
    if missing or unknown:
        raise ValueError(
            f"{Path(path).name}: found {sorted(arrays)}; expected predictions and references, and optionally "
            "sites and years."
        )
    metric = evaluate.load(module, configuration)
    return metric.compute(**arrays, average=average, bootstrap=int(bootstrap))


def build(folder: Path = FOLDER) -> gradio.Interface:
    """Builds the page of the metric in a folder."""
    import gradio

    module = next(folder / f"{name}.py" for name in METRICS if (folder / f"{name}.py").is_file())
    metric = evaluate.load(str(module))
    configurations = list(metric.config_names)

    def score(path: str | None, configuration: str, average: str, bootstrap: float) -> dict[str, Any]:
        if path is None:
            raise gradio.Error("No file was uploaded. Upload a NumPy .npz file.")
        try:
            return score_file(str(module), path, configuration, average, bootstrap)
        except ValueError as error:
            raise gradio.Error(str(error)) from error

    return gradio.Interface(
        fn=score,
        inputs=[
            gradio.File(
                label="NumPy .npz file with predictions, references and, optionally, sites and years",
                file_types=[".npz"],
            ),
            gradio.Dropdown(configurations, value=configurations[0], label="configuration"),
            gradio.Radio(["site", "pooled"], value="site", label="average"),
            gradio.Slider(
                0,
                10_000,
                value=0,
                step=100,
                label="bootstrap resamples of the sites (0: no confidence intervals)",
            ),
        ],
        outputs=gradio.JSON(label="scores"),
        title=metric.name,
        description=metric.description,
        # The README without its front matter.
        article=(folder / "README.md").read_text(encoding="utf-8").split("---", 2)[-1],
        flagging_mode="never",
    )


if __name__ == "__main__":
    build().launch()
