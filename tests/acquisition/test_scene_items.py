"""STAC items as records: real ones, duplicates, contradictions and hostile ones."""

import json

import pytest

from euromine.acquisition.catalogues import Catalogue, optical_catalogues
from euromine.acquisition.scene_items import optical_item, passes, radar_item, without_duplicates
from euromine.support.errors import SceneError

HERE = Catalogue("here", "http://127.0.0.1:1", ("sentinel-2-l2a",))


def parsed(item):
    return optical_item(item, HERE, "L2A")


def changed(item, **properties):
    return {**item, "properties": {**item["properties"], **properties}}


def test_real_items_of_both_catalogues_are_understood(real_data):
    known = {}
    for path in sorted((real_data / "real" / "stac_items").glob("*_S2*.json")):
        name = "planetary-computer" if path.name.startswith("planetary") else "earth-search"
        item = optical_item(json.loads(path.read_text()), optical_catalogues(name, "L2A")[0], "L2A")
        known[item.id] = (item.offset, item.tile, item.platform, item.epsg, item.sensing)
    assert known["S2B_33TWN_20220226_0_L2A"] == (-1000, "33TWN", "sentinel-2b", 32633, "20220226T095155")
    # Processing baseline 04.00, but Earth Search says that it has taken the offset out.
    assert known["S2B_33TWN_20220130_0_L2A"][0] == 0
    assert known["S2A_33TWN_20210629_0_L2A"] == (0, "33TWN", "sentinel-2a", 32633, "20210629T100408")
    of_planetary = known["S2B_MSIL2A_20190629T212529_R043_T06VVN_20201006T080531"]
    assert of_planetary == (0, "06VVN", "sentinel-2b", 32606, "20190629T212530")


def test_of_two_items_of_the_same_data_the_highest_baseline_counts_then_the_latest(world):
    first = world.add("20220704", baseline="04.00")
    second = json.loads(json.dumps(first).replace("04.00", "05.10").replace("N0400", "N0510"))
    second["id"] = first["id"].replace("_0_", "_1_")
    later = changed(second, **{"s2:generation_time": "2023-05-01T00:00:00Z"})
    later["id"] = first["id"].replace("_0_", "_2_")
    chosen = without_duplicates(map(parsed, (first, later, second)))
    assert [item.id for item in chosen] == [later["id"]]


def test_a_number_in_the_name_alone_makes_no_duplicate(world):
    first = world.add("20220704")
    other = world.add("20220704", kind="1")
    other = changed(
        other, **{"s2:datastrip_id": other["properties"]["s2:datastrip_id"].replace("100408", "100930")}
    )
    assert len(without_duplicates(map(parsed, (first, other)))) == 2


def test_tiles_of_one_pass_belong_together(world):
    items = [
        world.add("20220704"),
        world.add("20220704", tile="33TXN"),
        world.add("20220704", platform="b"),
        world.add("20220714"),
    ]
    groups = [[item.id for item in group] for group in passes(map(parsed, items))]
    assert sorted(map(len, groups)) == [1, 1, 2]
    assert ["S2A_33TWN_20220704_0_L2A", "S2A_33TXN_20220704_0_L2A"] in groups


def test_contradictory_flags_are_refused_and_named(world):
    item = world.add("20220704", baseline="04.00")
    product = item["properties"]["s2:product_uri"].replace("N0400", "N0301")
    with pytest.raises(SceneError, match=r"20220704_0_L2A: found processing baseline 04\.00, but a product"):
        parsed(changed(item, **{"s2:product_uri": product}))
    del item["properties"]["earthsearch:boa_offset_applied"]
    for asset in item["assets"].values():
        asset["raster:bands"] = [{"scale": 0.0001, "offset": 0}]
    with pytest.raises(SceneError, match="20220704_0_L2A: found an offset of 0 and processing baseline"):
        parsed(item)


def test_an_item_without_a_baseline_is_refused(world):
    item = world.add("20220704")
    for key in ("s2:processing_baseline", "s2:product_uri", "earthsearch:boa_offset_applied"):
        del item["properties"][key]
    with pytest.raises(SceneError, match="found no processing baseline; expected one"):
        parsed(item)


@pytest.mark.parametrize(
    "href",
    [
        "/vsicurl/https://example.com/a.tif",
        "/vsizip//etc/a.zip/b.tif",
        "file:///etc/passwd",
        "/etc/passwd",
        "s3://bucket/a.tif",
        "http://example.com/a.tif",
        "https://10.0.0.1/a.tif",
        "https://user:word@example.com/a.tif",
        "https:///vsimem/a.tif",
        "https://example.com:x/a.tif",
        "<VRTDataset/>",
        "https://example.com/a.tif\n",
        None,
    ],
)
def test_links_that_lead_elsewhere_are_refused(world, href):
    item = world.add("20220704")
    item["assets"]["nir"]["href"] = href
    with pytest.raises(SceneError, match=r"found the link .*; expected one that begins with https"):
        parsed(item)


def test_a_catalogue_elsewhere_may_not_link_to_this_machine(world):
    item = world.add("20220704")
    with pytest.raises(SceneError, match=r"found the link 'http://127\.0\.0\.1"):
        optical_item(item, optical_catalogues("earth-search", "L2A")[0], "L2A")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("properties", "proj:epsg"), 3857, "found 3857; expected that of a UTM zone"),
        (("properties", "proj:epsg"), None, "found no EPSG code"),
        (("properties", "datetime"), "yesterday", "found the time 'yesterday'"),
        (("properties", "datetime"), "2021-06-29T10:07:35", "found the time"),
        (("properties", "platform"), "landsat-8", "found the platform 'landsat-8'"),
        (("geometry",), None, "found no readable footprint"),
        (("geometry",), {"type": "Point", "coordinates": [15, 47]}, "found a footprint without area"),
        (("assets", "red", "type"), "image/jp2", "found no file of B04 as GeoTIFF"),
        (("assets",), [], "found no file of B02"),
        (("id",), 7, "found the id '7'"),
    ],
)
def test_items_that_lack_something_are_refused_in_a_sentence(world, path, value, message):
    item = world.add("20220704")
    place = item
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(SceneError, match=message):
        parsed(item)


def test_files_are_found_by_planetary_computers_names_and_newer_extensions(world):
    item = world.add("20220704")
    item["assets"] = {
        {"scl": "SCL"}.get(key, key): {**asset, "proj:code": "EPSG:32633"}
        for key, asset in item["assets"].items()
    }
    item["assets"]["B04"] = item["assets"].pop("red")
    item["assets"]["visual"] = {**item["assets"]["B04"], "eo:bands": [{"name": "red"}], "roles": ["visual"]}
    del item["properties"]["proj:epsg"]
    assert parsed(item).links["B04"].endswith("red.tif")
    assert parsed(item).epsg == 32633


def test_backscatter_in_radar_geometry_is_refused(world):
    item = world.add("20220704")
    item["properties"].update({"platform": "sentinel-1a", "sat:relative_orbit": 22})
    item["assets"] = {name: {"href": f"{world.address}/{name}.tif"} for name in ("vv", "vh")}
    assert radar_item(item, HERE).orbit == 22
    del item["properties"]["proj:epsg"]
    with pytest.raises(SceneError, match="found radar geometry; expected backscatter on a map"):
        radar_item(item, HERE)
