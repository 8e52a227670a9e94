"""Window and overlap of prediction: time, memory, seams and context, on one simulated scene, in one run.

`python -m euromine.benchmark.window_comparison MODEL` maps the scene with each choice of `--windows` in turn
and prints a Markdown table. The reference has windows as large as the largest, half of which overlaps, so
that each pixel is seen with much context.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from euromine.modeling import BANDS
from euromine.monitoring.mapping.loading import LoadedModel, load_model
from euromine.monitoring.mapping.prediction import predict_probability
from euromine.monitoring.mapping.tiling import Axis, Tiling
from euromine.monitoring.pipeline import ArrayScene
from euromine.simulation.simulated_site import simulate_site
from euromine.support.errors import reported_errors
from euromine.support.markdown import table

from .command_line import benchmark_parser, positive
from .hardware import device_name
from .stopwatch import PeakMemory

SIDE = 1792
CHOICES = ("512/64", "512/32", "1024/64", "1024/32")
REFERENCE = "1024/512"


@dataclass(frozen=True)
class WindowRow:
    """A choice of window and overlap.

    Attributes:
        choice: Such as "512/64".
        windows: The number of windows.
        computed: Pixels through the network, in units of the scene's.
        processor: Processor seconds, the shortest of all turns.
        memory: Peak memory in bytes beyond the loaded network and the scene.
        seam: Mean difference of neighbouring pixels' probabilities across the lines between two windows.
        natural: The same across the same lines in the reference, which has its seams elsewhere.
        flips: Share of pixels whose class differs from the reference's.
    """

    choice: str
    windows: int
    computed: float
    processor: float
    memory: int
    seam: float
    natural: float
    flips: float


def parse_choice(text: str) -> tuple[int, int]:
    """`"512/64"` -> 512, 64.

    Raises:
        ValueError: It is not two numbers.
    """
    window, overlap = map(int, text.split("/"))
    return window, overlap


def _choice(text: str) -> str:
    try:
        parse_choice(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"found {text!r}; expected WINDOW/OVERLAP, such as 512/64."
        ) from None
    return text


def seam_jump(probability: NDArray[np.float32], tiling: Tiling) -> float:
    """The mean difference of neighbouring pixels where one of the windows fades into the next.

    Args:
        probability: (height, width), of these windows or of others.
        tiling: The windows; several.
    """
    at_seams = []
    for values, axis in ((probability, tiling.rows), (probability.T, tiling.columns)):
        steps = np.abs(np.diff(values, axis=0)).mean(axis=1)
        at_seams.append(steps[_seam_lines(axis, len(steps))])
    return float(np.concatenate(at_seams).mean())


def _seam_lines(axis: Axis, steps: int) -> list[int]:
    """The steps between two pixels from the last pixel of one window alone to the first of the next alone."""
    lines: list[int] = []
    for number in range(1, axis.count):
        first = axis.begin(number) - axis.margin
        lines += range(max(first - 1, 0), min(first + axis.blended, steps))
    return lines


def mapped(loaded: LoadedModel, image: NDArray[np.int16], choice: str) -> NDArray[np.float32]:
    """The probabilities of a scene (height, width) by a choice of windows."""
    window, overlap = parse_choice(choice)
    scene = ArrayScene(image, BANDS)
    blocks = predict_probability(loaded.model, loaded.image_processor, scene, window=window, overlap=overlap)
    return np.concatenate([rows for _, rows in blocks])


def measure(
    loaded: LoadedModel, image: NDArray[np.int16], choices: list[str], reference: str, turns: int
) -> list[WindowRow]:
    """Map a scene by each choice in turn."""
    expected = mapped(loaded, image, reference)
    seconds: dict[str, list[float]] = {choice: [] for choice in choices}
    rows = {}
    for turn in range(turns):
        for choice in choices:
            peak = PeakMemory(loaded.model.device)
            started = time.process_time()
            probability = mapped(loaded, image, choice)
            seconds[choice].append(time.process_time() - started)
            if turn:
                continue
            _, height, width = image.shape
            window, overlap = parse_choice(choice)
            tiling = Tiling.of(height, width, window, overlap)
            pixels = len(tiling) * tiling.rows.size * tiling.columns.size
            rows[choice] = (
                len(tiling),
                pixels / probability.size,
                peak.bytes(),
                seam_jump(probability, tiling),
                seam_jump(expected, tiling),
                float(np.mean((probability > 0.5) != (expected > 0.5))),
            )
    found = []
    for choice, (windows, computed, memory, seam, natural, flips) in rows.items():
        found.append(WindowRow(choice, windows, computed, min(seconds[choice]), memory, seam, natural, flips))
    return found


def markdown(rows: list[WindowRow]) -> str:
    """The table."""
    header = ("window/overlap", "windows", "pixels computed", "processor s", "peak memory (MB)")
    more = ("jump at seams", "in the reference", "other class than the reference")
    cells = [
        (
            row.choice,
            str(row.windows),
            f"{row.computed:.2f}",
            f"{row.processor:.2f}",
            f"{row.memory / 1e6:.0f}",
            f"{row.seam:.4f}",
            f"{row.natural:.4f}",
            f"{row.flips:.3%}",
        )
        for row in rows
    ]
    return table((*header, *more), cells)


def main(arguments: list[str] | None = None) -> int:
    """Compare windows.

    Returns:
        The exit status.
    """
    parser = benchmark_parser("window_comparison", __doc__)
    parser.add_argument("model", help="a footprint mapper: a folder or a Hub repository")
    parser.add_argument("--side", type=positive, default=SIDE, help="of the scene in pixels")
    parser.add_argument(
        "--windows",
        nargs="+",
        type=_choice,
        default=CHOICES,
        metavar="WINDOW/OVERLAP",
        help="sides in pixels",
    )
    parser.add_argument(
        "--reference",
        type=_choice,
        default=REFERENCE,
        metavar="WINDOW/OVERLAP",
        help="what probabilities are compared with",
    )
    parser.add_argument("--turns", type=positive, default=2, help="how often each is run")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    loaded = load_model(options.model, device="cpu")
    site = simulate_site("Germany_1", years=[2021], height=options.side, width=options.side, seed=0)
    rows = measure(loaded, site.images[0], options.windows, options.reference, options.turns)
    sys.stdout.write(
        f"{Path(options.model).name}, a simulated scene of {options.side} x {options.side} pixels, "
        f"{device_name(loaded.model.device)}, the shortest of {options.turns}, load "
        f"{os.getloadavg()[0]:.1f}; reference {options.reference}:\n\n{markdown(rows)}\n"
    )
    return 0


if __name__ == "__main__":
    with reported_errors("window_comparison"):
        sys.exit(main())
