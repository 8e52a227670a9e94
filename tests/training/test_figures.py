import io

import numpy as np
from PIL import Image

from euromine.training.figures import Panel, compared, draw_panels, natural_colour


def test_right_and_wrong_have_the_papers_colours():
    prediction = np.array([[1, 0, 1, 0, 1]], np.uint8)
    reference = np.array([[1, 0, 0, 1, 255]], np.uint8)
    white, black, red, green, grey = (255,) * 3, (0,) * 3, (255, 0, 0), (0, 255, 0), (128,) * 3
    assert compared(prediction, reference).tolist() == [[list(c) for c in (white, black, red, green, grey)]]


def test_natural_colour_is_red_green_blue():
    image = np.zeros((10, 2, 2), np.int16)
    image[2] = 3000
    assert natural_colour(image)[0, 0].tolist() == [255, 0, 0]
    image[:] = -500
    assert natural_colour(image).max() == 0


def test_a_picture_is_a_png_with_its_panels():
    panel = Panel("title", compared(np.ones((9, 9), np.uint8), np.zeros((9, 9), np.uint8)))
    picture = Image.open(io.BytesIO(draw_panels([[panel, panel], [panel, panel]], "caption")))
    assert picture.format == "PNG"
    red = (np.asarray(picture.convert("RGB")) == (255, 0, 0)).all(-1).mean()
    assert red > 0.3


def test_a_legend_shows_the_colours_of_its_names():
    panel = Panel("title", np.zeros((9, 9, 3), np.uint8))
    plain, with_legend = (
        np.asarray(Image.open(io.BytesIO(draw_panels([[panel]], "", legend))).convert("RGB"))
        for legend in (None, {"heap": (200, 10, 20), "pond": (30, 40, 250)})
    )
    for colour in ((200, 10, 20), (30, 40, 250)):
        assert not (plain == colour).all(-1).any()
        assert (with_legend == colour).all(-1).sum() > 20
