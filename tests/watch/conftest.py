"""A site whose mine is known beforehand, a checkpoint that maps it, and an entry of the outbox."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio import Affine
from torch import nn

from euromine.modeling import BANDS, EuroMineImageProcessor, create_model
from euromine.watch.alerts import Alert, feature
from euromine.watch.watch_state import Delivery

SIDE = 96
LEFT, TOP = 500_000.0, 5_100_000.0
TIME = "2026-03-01T06:00:00.000000+00:00"

# Rows and columns of the mine by year: 20 x 20 px, then 10 x 10 px further away, which stay.
PIT, SECOND = (slice(10, 30), slice(10, 30)), (slice(50, 60), slice(50, 60))


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    """A U-Net that maps a pixel as mine where B04 is above 2,000."""
    folder = tmp_path_factory.mktemp("checkpoint") / "red-mapper"
    model = create_model("unet", bands=("B03", "B04"), widths=(2, 2, 2, 2, 2))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.zero_()
                module.bias.zero_()
        for block in (model.encoder[0], model.decoder[-1]):
            for convolution in (block.first.conv, block.second.conv):
                for band in range(2):
                    convolution.weight[band, band, 1, 1] = 1
        model.head.weight[1, 1] = 1
        model.head.bias[1] = -2000
    model.save_pretrained(folder)
    EuroMineImageProcessor(bands=("B03", "B04"), do_normalize=False).save_pretrained(folder)
    return folder


WriteYear = Callable[..., Path]


@pytest.fixture
def write_year(tmp_path: Path) -> WriteYear:
    """Writes a year's image of a site: mined where the given boxes are, without data where asked."""

    def write(
        year: int,
        boxes: Sequence[tuple[slice, slice]],
        *,
        site: str = "pit",
        empty: Sequence[tuple[slice, slice]] = (),
        seed: int | None = None,
    ) -> Path:
        noise = np.random.default_rng(year if seed is None else seed)
        image = np.full((10, SIDE, SIDE), 900) + noise.integers(-40, 40, (10, SIDE, SIDE))
        for rows, columns in boxes:
            image[:, rows, columns] += 2200
        for rows, columns in empty:
            image[:, rows, columns] = 0
        path = tmp_path / site / "image" / f"Year{year}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {"count": 10, "height": SIDE, "width": SIDE, "dtype": "int16", "crs": "EPSG:32633"}
        transform = Affine(10, 0, LEFT, 0, -10, TOP)
        with rasterio.open(path, "w", driver="GTiff", transform=transform, nodata=0, **profile) as file:
            file.write(image.astype(np.int16))
            file.descriptions = BANDS
        return path

    return write


@pytest.fixture
def write_permits(tmp_path: Path) -> Callable[..., Path]:
    """Writes outlines of permits, given as boxes of pixels."""

    def write(*boxes: tuple[slice, slice]) -> Path:
        import geopandas
        import shapely

        outlines = [
            shapely.box(
                LEFT + 10 * columns.start,
                TOP - 10 * rows.stop,
                LEFT + 10 * columns.stop,
                TOP - 10 * rows.start,
            )
            for rows, columns in boxes
        ]
        path = tmp_path / "permits.gpkg"
        frame = geopandas.GeoDataFrame(geometry=outlines, crs="EPSG:32633")
        frame.to_file(path, engine="pyogrio")
        return path

    return write


@pytest.fixture
def alert() -> Callable[..., Alert]:
    """Makes an alert; any field may be given."""

    def make(**fields: object) -> Alert:
        values = {
            "id": "0123456789abcdef",
            "site": "Germany_12",
            "rule": "outside_permit",
            "status": "suspected",
            "year": 2026,
            "last_year": 2026,
            "before_year": 2025,
            "sentence": "Mined ground of 0.61 ha outside the outlines given is new since 2025.",
            "area_ha": 0.61,
            "low_ha": 0.5,
            "high_ha": 0.7,
            "interval": "half a pixel along the edge",
            "longitude": 14.1,
            "latitude": 51.5,
            "geometry": {"type": "Point", "coordinates": [14.1, 51.5]},
            "images": ["Year2026.tif@aaaaaaaaaaaa"],
            "models": ["org/mapper@bbbbbbbbbbbb"],
        }
        return Alert(**{**values, **fields})

    return make


@pytest.fixture
def delivery(alert) -> Callable[..., Delivery]:
    """Makes an entry of the outbox for an alert."""

    def make(event: str = "suspected", recipient: str = "office", **fields: object) -> Delivery:
        return Delivery(
            id="d" * 32,
            alert="0123456789abcdef",
            recipient=recipient,
            event=event,
            time=TIME,
            document=feature(alert(**fields)),
            state="pending",
            tries=0,
            due=TIME,
            problem="",
        )

    return make
