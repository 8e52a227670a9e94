"""A built dataset of a few patches, and networks small enough to train in a second."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import datasets
import numpy as np
import pytest
from transformers import PreTrainedModel

from euromine.dataset_script.archive_writing import write_site
from euromine.dataset_script.shards import build_dataset
from euromine.modeling.auto import create_model

YEARS = (2015, 2016, 2018)
SITES = {
    # Height, width and number of years: patches that overlap, patches of one site, series of two years.
    "Spain_1": (160, 200, 3),
    "Italy_1": (160, 160, 3),
    "Austria_1": (170, 160, 3),
    "Poland_1": (160, 160, 2),
    "Greece_1": (160, 170, 3),
    "Poland_2": (160, 160, 2),
}
SPLITS = {
    "train": ["Spain_1", "Italy_1"],
    "validation": ["Austria_1", "Poland_1"],
    "test": ["Greece_1", "Poland_2"],
}
TINY_SEGFORMER = {
    "hidden_sizes": [8, 8, 8, 8],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 1, 1],
    "decoder_hidden_size": 8,
}


def _write_scene(archive: Path, name: str, height: int, width: int, years: int) -> None:
    """A bright disc that grows, on dark ground."""
    generator = np.random.default_rng(sum(name.encode()))
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 2)
    labels = np.stack([distance < 25 + 12 * year for year in range(years)]).astype(np.uint8)
    images = 1000 + 1500.0 * labels[:, None] + generator.normal(0, 100, (years, 10, height, width))
    write_site(
        archive,
        name,
        images=images.astype(np.int16),
        labels=labels,
        years=YEARS[:years],
        crs="EPSG:4326",
        transform=(1e-4, 0.0, 10.0, 0.0, -1e-4, 50.0),
    )


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What `datasets` caches of what is made here goes when the tests go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sites, and their splits beside them."""
    folder = tmp_path_factory.mktemp("archive")
    for name, shape in SITES.items():
        _write_scene(folder / "EuroMineNet", name, *shape)
    (folder / "splits.json").write_text(json.dumps(SPLITS))
    return folder


@pytest.fixture(scope="session")
def dataset(archive: Path) -> Path:
    """The archive's shards, in a folder whose name no other dataset ever had.

    `datasets` takes folders of one name and one pattern of files for the same dataset, wherever they lie.
    """
    return build_dataset(
        archive / "EuroMineNet",
        archive / f"shards_{uuid4().hex}",
        splits=archive / "splits.json",
        workers=1,
        progress=False,
    )


@pytest.fixture
def tiny_segformer() -> Callable[[], PreTrainedModel]:
    """A maker of SegFormers of 16,000 parameters."""
    return lambda: create_model("segformer-b0", **TINY_SEGFORMER)
