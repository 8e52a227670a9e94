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

# Digital numbers of B02 B03 B04 B05 B06 B07 B08 B8A B11 B12. Only mines are above 2,000 in B04; NBR is 0.6 on
# grass and 0 on bare soil; MNDWI is above 0 on water only.
_GRASS = np.array([500, 800, 600, 1000, 2500, 3000, 3600, 3600, 1600, 900])
_MINE = np.array([2600, 2700, 3000, 3000, 3100, 3100, 3200, 3200, 3500, 3300])
_BARE = np.array([900, 1100, 1500, 1600, 1700, 1800, 2000, 2000, 2400, 2000])
_WATER = np.array([700, 900, 500, 400, 300, 300, 200, 200, 100, 100])


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
        model.head.weight[1, 1] = 1e-3  # probabilities that noise moves
        model.head.bias[1] = -2
    model.save_pretrained(folder)
    EuroMineImageProcessor(bands=("B03", "B04"), do_normalize=False).save_pretrained(folder)
    return folder


WriteYear = Callable[..., Path]


@pytest.fixture
def write_year(tmp_path: Path) -> WriteYear:
    """Writes a year's image of a site: grass, with boxes of mine, bare soil, water, or no data."""

    def write(
        year: int,
        boxes: Sequence[tuple[slice, slice]],
        *,
        site: str = "pit",
        empty: Sequence[tuple[slice, slice]] = (),
        bare: Sequence[tuple[slice, slice]] = (),
        water: Sequence[tuple[slice, slice]] = (),
    ) -> Path:
        noise = np.random.default_rng(year)
        image = _GRASS[:, None, None] + noise.integers(-40, 40, (10, SIDE, SIDE))
        for kind, places in ((_MINE, boxes), (_BARE, bare), (_WATER, water)):
            for rows, columns in places:
                image[:, rows, columns] = kind[:, None, None]  # without noise: bare soil gains nothing
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
