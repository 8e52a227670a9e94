"""The picture of components: classes in their colours, overlaps in stripes."""

import io

import numpy as np
from PIL import Image

from euromine.benchmark.component_picture import component_colours, draw
from euromine.dataset_script.label_groups import COMPONENT_CLASSES, COMPONENT_COLOURS
from euromine.simulation.simulated_site import simulate_site


def colour(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(COMPONENT_COLOURS[name].lstrip("#")))


def test_classes_have_their_colours_and_a_dump_in_an_excavation_both():
    excavation, dump, road = (
        1 << COMPONENT_CLASSES.index(name) for name in ("excavation", "dumping_ground", "transport_slope")
    )
    bits = np.zeros((24, 40), np.uint16)
    bits[:, 10:20] = dump
    bits[:, 20:30] = dump | excavation
    bits[:, 30:] = road | excavation
    colours = component_colours(bits)
    found = [
        {tuple(each) for each in colours[:, left : left + 10].reshape(-1, 3)} for left in (0, 10, 20, 30)
    ]
    assert found == [
        {(244, 244, 244)},
        {colour("dumping_ground")},
        {colour("dumping_ground"), colour("excavation")},
        {colour("transport_slope")},
    ]


def test_a_site_is_drawn():
    site = simulate_site(
        "Germany_2", years=(2015, 2016), height=60, width=50, seed=0, components=True, radar=True
    )
    picture = Image.open(io.BytesIO(draw(site, (slice(0, 50), slice(5, 45)))))
    assert picture.format == "PNG"
    assert len(np.unique(np.asarray(picture.convert("L")))) > 100
