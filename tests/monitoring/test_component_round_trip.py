"""From drawings to polygons: annotations are imported, built, trained on, and mapped again."""

import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from scipy import ndimage

from euromine import train_seg
from euromine.annotation import import_labels
from euromine.dataset_script.label_groups import COMPONENT_CLASSES
from euromine.dataset_script.shards import build_dataset
from euromine.monitoring import MineMonitor

SITES = {"train": "Drawn_a", "validation": "Drawn_b", "test": "Drawn_c"}
GRID = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 540_000, 0, -10, 5_260_000)}
GROUPS = {
    "groups": {"ground": ["excavation"], "deposits": ["dumping_ground", "stockpile"]},
    "total": "transformed_area",
}


@pytest.fixture
def annotations(real_data: Path) -> Path:
    folder = real_data / "fixtures" / "annotations"
    if not folder.is_dir():
        pytest.skip(f"needs the annotation files in {folder}")
    return folder


@pytest.fixture
def drawn(annotations: Path) -> dict[str, np.ndarray]:
    """The classes of the polygons in `labels.gpkg`, drawn by hand: bool (12, 16)."""
    rows = json.loads((annotations / "expected_masks.json").read_text())["classes"]
    found = {}
    for name in ("excavation", "dumping_ground"):
        mask = np.array([[sign == "#" for sign in row] for row in rows[name]])
        # A smaller dump is drawn as a mask, which the file with polygons lacks.
        parts, _ = ndimage.label(mask)
        found[name] = parts == np.bincount(parts[mask]).argmax()
    return found


def write_sites(root: Path, drawn: dict[str, np.ndarray]) -> Path:
    """Three sites with the same shapes, each of which is bright in a band of its own."""
    for seed, site in enumerate(SITES.values()):
        image = np.random.default_rng(seed).integers(280, 320, (10, 12, 16)).astype(np.int16)
        for band, mask in enumerate(drawn.values()):
            image[band][mask] = 2500
        path = root / "EuroMineNet" / site / "image" / "Year2021.tif"
        path.parent.mkdir(parents=True)
        with rasterio.open(
            path, "w", driver="GTiff", count=10, dtype="int16", height=12, width=16, **GRID
        ) as file:
            file.write(image)
    return root / "EuroMineNet"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_drawn_components_come_back_as_polygons(annotations, drawn, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    archive = write_sites(tmp_path / "archive", drawn)
    for name, content in {
        "classes.json": {name: value for value, name in enumerate(COMPONENT_CLASSES, 1)},
        "splits.json": {split: [site] for split, site in SITES.items()},
        "groups.json": GROUPS,
    }.items():
        (tmp_path / name).write_text(json.dumps(content))
    import_labels(annotations / "labels.gpkg", archive, classes=tmp_path / "classes.json", overlap="keep")
    dataset = build_dataset(
        archive.parent, tmp_path / "shards", splits=tmp_path / "splits.json", workers=1, progress=False
    )
    arguments = {
        "dataset": dataset,
        "architecture": "unet",
        "config_overrides": json.dumps({"widths": [8] * 5}),
        "label_groups": tmp_path / "groups.json",
        "output_dir": tmp_path / "run",
        # After 50 steps, shapes are a pixel too wide. One image makes each step an epoch, and scores after
        # each would cost as much as the steps.
        "max_steps": 100,
        "eval_strategy": "no",
        "save_strategy": "no",
        "learning_rate": 0.03,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    train_seg.main([part for name, value in arguments.items() for part in (f"--{name}", str(value))])
    monitor = MineMonitor.from_pretrained(tmp_path / "run", device="cpu")
    made = monitor.series(archive / SITES["test"], tmp_path / "maps", window=160, overlap=0)
    polygons = made.polygons("components")
    assert set(polygons.year) == {2021}
    for name in ("excavation", "dumping_ground"):
        shapes = polygons[polygons.component == name].geometry
        found = rasterize(shapes, (12, 16), transform=GRID["transform"]).astype(bool)
        union = (found | drawn[name]).sum()
        # The dump has 16 pixels: one row too many leaves 0.8. Measured: 0.94, and 0.96 of the excavation.
        assert (found & drawn[name]).sum() / union > 0.8, name
    assert not (polygons.component == "stockpile").any()
    assert made.components.component.unique().tolist() == ["excavation", "dumping_ground", "stockpile"]
