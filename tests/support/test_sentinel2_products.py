"""The offset of a product's numbers by its STAC item."""

import pytest

from euromine.support.errors import SceneError
from euromine.support.sentinel2_products import item_baseline, item_offset

PRODUCT = "S2B_MSIL2A_20220226T095029_N{}_R079_T33TWN_20220226T130213.SAFE"


def item(baseline=None, applied=None, product=None):
    properties = {
        "s2:processing_baseline": baseline,
        "earthsearch:boa_offset_applied": applied,
        "s2:product_uri": product and PRODUCT.format(product),
    }
    return {"id": "a", "properties": {key: value for key, value in properties.items() if value is not None}}


@pytest.mark.parametrize(
    ("baseline", "applied", "expected"),
    [
        ("03.01", None, 0),
        ("04.00", None, -1000),
        ("05.09", False, -1000),
        ("05.09", True, 0),
        ("03.01", False, 0),
        (None, None, None),
    ],
)
def test_1000_is_subtracted_from_baseline_0400_on_unless_the_catalogue_did_it(baseline, applied, expected):
    assert item_offset(item(baseline, applied), "a") == expected


def test_the_products_name_tells_the_baseline_where_the_item_does_not():
    assert item_baseline(item(product="0511")) == (5, 11)
    assert item_offset(item(product="0511"), "a") == -1000
    assert item_offset(item(product="0301"), "a") == 0


def test_an_item_that_contradicts_itself_is_refused():
    with pytest.raises(
        SceneError, match=r"^a: found processing baseline 04\.00, but a product of baseline 03\.01"
    ):
        item_offset(item("04.00", product="0301"), "a")
    with pytest.raises(
        SceneError, match=r"a: found an offset of -0\.1 and processing baseline 03\.01.* Mend it\.$"
    ):
        item_offset(item("03.01"), "a", scale=0.0001, added=-0.1, advice="Mend it.")
    # What the raster extension still says counts no more once the catalogue has taken the offset out.
    assert item_offset(item("04.00", True, "0301"), "a", scale=0.0001, added=-0.1) == 0
