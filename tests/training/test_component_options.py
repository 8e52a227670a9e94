"""The options of train_seg.py for components, each mistake in one sentence."""

import json

import pytest

from euromine.dataset_script.label_groups import LabelGroups
from euromine.support.errors import EuroMineError
from euromine.training.arguments import SegmentationArguments
from euromine.training.component_options import matches_of, no_site_error

FACTS = {
    "mine_type": ["open-pit", "open-pit", "opencast", None],
    "material": ["coal", "metal", "coal", "coal"],
    "country": ["Spain"] * 4,
    "site": ["Spain_1", "Spain_2", "Spain_3", "Spain_4"],
}


def arguments(**options) -> SegmentationArguments:
    return SegmentationArguments(dataset="euromine", architecture="segformer-b0", **options)


def test_groups_are_the_preset_a_file_or_one_of_its_groups(tmp_path):
    document = {"groups": {"deposits": ["stockpile", "dumping_ground"], "rock": ["outcrop"]}, "total": "area"}
    path = tmp_path / "groups.json"
    path.write_text(json.dumps(document))
    assert arguments().groups is None
    assert arguments(label_groups="preset").groups == LabelGroups.preset()
    assert arguments(label_groups=str(path)).groups.names == ("deposits", "rock", "area")
    alone = arguments(label_groups=str(path), group="deposits").groups
    assert alone.classes == {"deposits": ("stockpile", "dumping_ground")}
    assert arguments(label_groups=str(path), group="area").groups.classes == {"area": ("any component",)}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"group": "rock"}, "--group: found rock without --label_groups; expected both"),
        ({"where": "site=Spain_1"}, "--where: found site=Spain_1 without --label_groups; expected both"),
        ({"bands": ["B04", "VV"]}, "--bands: found VV without --label_groups; expected some of B02"),
        ({"label_groups": "nothing.yaml"}, "--label_groups: found no file nothing.yaml; expected a JSON"),
        (
            {"label_groups": "preset", "group": "rocks"},
            "--group: found 'rocks'; expected one of .*, of which rock is the nearest",
        ),
        (
            {"label_groups": "preset", "bands": ["B04", "vhh"]},
            "--bands: found vhh; expected some of .*, of which VH is the nearest",
        ),
        (
            {"label_groups": "preset", "where": "mine_typ=open-pit"},
            "--where: found 'mine_typ=open-pit'; expected NAME=VALUE .*, of which mine_type is the nearest",
        ),
        ({"label_groups": "preset", "where": "material"}, "--where: found 'material'; expected NAME=VALUE"),
        ({"label_groups": "preset", "protocol": "paper"}, "--protocol: found paper with --label_groups"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_read(options, sentence):
    with pytest.raises(EuroMineError, match=sentence):
        arguments(**options)


def test_a_network_for_series_maps_no_components():
    with pytest.raises(EuroMineError, match="found utae, which sees all years at once, with --label_groups"):
        SegmentationArguments(dataset="euromine", architecture="utae", label_groups="preset")


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("mine_type=open-pit", [0, 1]),
        ("mine_type=open-pit,material=coal", [0]),
        ("mine_type=open-pit,mine_type=opencast", [0, 1, 2]),
        ("mine_type=mountain-top", []),
    ],
)
def test_sites_are_chosen_by_all_facts_and_any_value_of_each(where, rows):
    assert matches_of(FACTS, arguments(label_groups="preset", where=where).wanted_facts) == rows


def test_facts_that_no_site_has_are_refused_with_the_nearest():
    error = no_site_error(FACTS, {"mine_type": ("open-pits",)}, "ds")
    assert str(error) == (
        "--where: found mine_type=open-pits, which no training site of ds has; expected one of open-pit, "
        "opencast, of which open-pit is the nearest."
    )
    error = no_site_error(FACTS, {"mine_type": ("opencast",), "material": ("metal",)}, "ds")
    assert "found mine_type=opencast,material=metal, which no training site of ds has together" in str(error)
