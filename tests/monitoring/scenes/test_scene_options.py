"""Scene metadata given by the user."""

import pytest

from euromine.monitoring.scenes.scene_options import SceneOptions


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"scale": 0}, "scale: found 0; expected a number above 0"),
        ({"scale": float("nan")}, "scale: found nan"),
        ({"scale": 1e300}, r"scale: found 1e\+300"),
        ({"offset": -1e300}, r"offset: found -1e\+300"),
        ({"offset": float("nan")}, "offset: found nan"),
        ({"offset": float("inf")}, "offset: found inf; expected a number"),
        ({"offset": -0.1}, "offset: found -0.1, which looks like reflectance"),
    ],
)
def test_impossible_options_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneOptions(**fields)


def test_bands_are_given_one_by_one_or_as_text() -> None:
    expected = SceneOptions(("B02", "-", "B08"), offset=-1000, level="l2a", keep_clouds=True)
    for bands in ("B02,,nir", ["B02", "-", "B08"]):
        assert SceneOptions.of(bands, offset=-1000, level="l2a", keep_clouds=True) == expected
    assert SceneOptions.of() == SceneOptions()
