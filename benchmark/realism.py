"""The realism of a simulated archive: its statistics, and how little a single pixel gives away.

`python -m euromine.benchmark.realism` prints the footprint's share of the pixels and how much of it a year
adds and removes (beside the paper's), the mean and standard deviation of each band (beside the published
ones), and the F1 of classifiers of single pixels, trained on the training sites and scored on the others: a
threshold must not solve the simulation. The last classifier also sees the surroundings of each pixel.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from tqdm import tqdm

from euromine.dataset_script.archive_bands import BANDS
from euromine.dataset_script.splits import split_sites
from euromine.dataset_script.statistics import PRESETS
from euromine.simulation.simulated_archive import site_names
from euromine.simulation.simulated_site import simulate_site
from euromine.support.errors import reported_errors

from .command_line import benchmark_parser, not_negative, positive

# The paper's Tables 2 and 3: footprints of all pixels, and of the footprint what a year adds and takes.
PAPER_SHARE, PAPER_GAIN, PAPER_LOSS = 0.19, 0.028, 0.019
LIMIT = 0.75
# Half widths of the windows, and the bands, that tell a classifier of a pixel's surroundings.
_WINDOWS, _WINDOW_BANDS = (2, 6), (0, 2, 6, 8)


@dataclass(frozen=True)
class SiteFigures:
    """Counts and samples of one site.

    `pixels`, `footprint`, `before`, `gained` and `lost` are counts over the years, of labels; `before` is the
    footprint of all years but the last. `band_sum` and `band_squares` are (10,); `samples` (n, 10) are DN and
    `surroundings` (n, features) their neighbourhood's, `mine` (n,) the labels.
    """

    name: str
    pixels: int
    footprint: int
    before: int
    gained: int
    lost: int
    band_sum: NDArray[np.float64]
    band_squares: NDArray[np.float64]
    samples: NDArray[np.float32]
    surroundings: NDArray[np.float32]
    mine: NDArray[np.uint8]


def figures_of(name: str, size: int, seed: int, samples: int) -> SiteFigures:
    """Simulate ten years of a site; count and sample them.

    Args:
        name: The site.
        size: Height and width.
        seed: Of the simulation.
        samples: Pixels to draw, evenly from three of the years.
    """
    site = simulate_site(name, height=size, width=size, seed=seed)
    labels = site.labels.astype(bool)
    values = site.images.astype(np.float64)
    rng = np.random.default_rng(seed)
    drawn, around, mine = [], [], []
    for year in (1, 5, 8):
        chosen = rng.integers(0, size * size, samples // 3)
        image = site.images[year].astype(np.float32)
        drawn.append(image.reshape(10, -1)[:, chosen].T)
        around.append(_surroundings(image).reshape(-1, size * size)[:, chosen].T)
        mine.append(site.labels[year].ravel()[chosen])
    return SiteFigures(
        name=name,
        pixels=labels.size,
        footprint=int(labels.sum()),
        before=int(labels[:-1].sum()),
        gained=int((labels[1:] & ~labels[:-1]).sum()),
        lost=int((labels[:-1] & ~labels[1:]).sum()),
        band_sum=values.sum(axis=(0, 2, 3)),
        band_squares=(values**2).sum(axis=(0, 2, 3)),
        samples=np.concatenate(drawn),
        surroundings=np.concatenate(around),
        mine=np.concatenate(mine),
    )


def _surroundings(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean and standard deviation of some bands in windows around each pixel: (features, height, width)."""
    features = []
    for half in _WINDOWS:
        for band in _WINDOW_BANDS:
            mean = ndimage.uniform_filter(image[band], 2 * half + 1)
            square = ndimage.uniform_filter(image[band] ** 2, 2 * half + 1)
            features += [mean, np.sqrt(np.maximum(square - mean**2, 0))]
    return np.stack(features)


def f1(predicted: NDArray[Any], mine: NDArray[np.uint8]) -> float:
    """F1 of the class mine; 0 where neither has a mine."""
    both = np.count_nonzero(predicted & (mine > 0))
    either = np.count_nonzero(predicted) + np.count_nonzero(mine)
    return 2 * both / either if either else 0.0


def pixel_classifiers(train: Sequence[SiteFigures], held_out: Sequence[SiteFigures]) -> dict[str, float]:
    """F1 on the held-out sites of classifiers trained on the others, by name and input."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def joined(sites: Sequence[SiteFigures], *names: str) -> NDArray[Any]:
        return np.concatenate([np.column_stack([getattr(site, name) for name in names]) for site in sites])

    def forest() -> Any:
        return RandomForestClassifier(100, min_samples_leaf=5, n_jobs=1, random_state=0)

    mine, expected = joined(train, "mine").ravel(), joined(held_out, "mine").ravel()
    logistic = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    logistic.fit(joined(train, "samples"), mine)
    likely = logistic.predict_proba(joined(held_out, "samples"))[:, 1]
    scores = {
        "logistic regression on the ten bands": f1(likely > 0.5, expected),
        "... with the threshold that is best on the held-out sites": max(
            f1(likely > threshold, expected) for threshold in np.linspace(0.1, 0.7, 25)
        ),
    }
    seen: dict[str, tuple[str, ...]] = {
        "random forest on the ten bands": ("samples",),
        "random forest on the ten bands and windows around the pixel": ("samples", "surroundings"),
    }
    for title, names in seen.items():
        fitted = forest().fit(joined(train, *names), mine)
        scores[title] = f1(fitted.predict(joined(held_out, *names)) > 0, expected)
    return scores


def markdown(sites: Sequence[SiteFigures], scores: dict[str, float], seconds: float) -> str:
    """The three tables."""

    def total(name: str) -> int:
        return sum(getattr(site, name) for site in sites)

    shares = [
        ("footprint, of all pixels", total("footprint") / total("pixels"), PAPER_SHARE),
        ("added in a year, of the footprint", total("gained") / total("before"), PAPER_GAIN),
        ("taken in a year, of the footprint", total("lost") / total("before"), PAPER_LOSS),
    ]
    mean = np.sum([site.band_sum for site in sites], axis=0) / total("pixels")
    deviation = np.sqrt(np.sum([site.band_squares for site in sites], axis=0) / total("pixels") - mean**2)
    published = PRESETS["corrected"]

    lines = [f"{len(sites)} sites, {seconds / len(sites):.2f} s each", ""]
    lines += ["| labels | simulated | paper |", "|---|---|---|"]
    lines += [f"| {title} | {share:.1%} | {paper:.1%} |" for title, share, paper in shares]
    lines += ["", "| band | mean | published | std | published (corrected) |", "|---|---|---|---|---|"]
    lines += [
        f"| {band} | {a:.0f} | {b:.0f} | {c:.0f} | {d:.0f} |"
        for band, a, b, c, d in zip(BANDS, mean, published.mean, deviation, published.std, strict=True)
    ]
    lines += ["", "| F1 on held-out sites | |", "|---|---|"]
    lines += [f"| {title} | {score:.3f} |" for title, score in scores.items()]
    first = next(iter(scores.values()))
    verdict = "under" if first < LIMIT else "NOT under"
    return "\n".join([*lines, "", f"Logistic regression is {verdict} {LIMIT:g}."]) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Measure a simulated archive beside the published one.

    Returns:
        The exit status: 1 if single pixels give too much away.
    """
    parser = benchmark_parser("realism", __doc__)
    parser.add_argument("--sites", type=positive, default=40, help="how many sites")
    parser.add_argument("--size", type=positive, default=320, help="height and width of a site")
    parser.add_argument("--samples", type=positive, default=3000, help="pixels drawn from a site")
    parser.add_argument("--seed", type=not_negative, default=0, help="of the simulation")
    options = parser.parse_args(arguments)

    started = time.process_time()
    sites = [
        figures_of(name, options.size, options.seed, options.samples)
        for name in tqdm(site_names(options.sites), desc="simulating", unit="site")
    ]
    seconds = time.process_time() - started
    training = set(split_sites("corrected")["train"])
    train = [site for site in sites if site.name in training]
    scores = pixel_classifiers(train, [site for site in sites if site.name not in training])
    sys.stdout.write(markdown(sites, scores, seconds))
    return 0 if next(iter(scores.values())) < LIMIT else 1


if __name__ == "__main__":
    with reported_errors("realism"):
        sys.exit(main())
