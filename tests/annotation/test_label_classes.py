"""Files of classes in JSON and YAML."""

import pytest

from euromine.annotation.label_classes import is_background, is_ignored, read_label_classes
from euromine.support.errors import AnnotationError


@pytest.mark.parametrize(
    "text",
    [
        '{"pit": 1, "Waste dump": 2}',
        '{"classes": {"pit": 1, "Waste dump": 2}}',
        '["pit", "Waste dump"]',
        "pit: 1\nWaste dump: 2\n",
        "classes:\n  pit: {value: 1}\n  Waste dump: {value: 2, color: '#00ff00'}\n",
        "- pit\n- Waste dump\n",
    ],
)
def test_names_and_values_can_be_written_in_several_ways(text, tmp_path):
    path = tmp_path / "classes"
    path.write_text(text)
    classes = read_label_classes(path)
    assert classes.values == {"pit": 1, "Waste dump": 2}
    assert classes.name("waste_dump") == classes.name(" WASTE-DUMP ") == "Waste dump"
    assert len(set(classes.colours.values())) == 2


def test_yaml_names_are_taken_as_they_are_written(tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text("no: 1\n12: 2\n")
    assert read_label_classes(path).values == {"no": 1, "12": 2}


# Ten levels of ten would be ten thousand million entries.
ALIASES = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found no classes"),
        ("[]", "found no classes"),
        ("[[1, 2]]", "found no classes"),
        ('{"pit": 1', "neither JSON nor YAML"),
        ("pit: [1", "neither JSON nor YAML"),
        ('{"pit": 1, "pit": 2}', "found the key 'pit' twice; expected it once"),
        ("pit: 1\npit: 2\n", "found the key 'pit' twice, the second time in line 2"),
        ('["pit", "pit"]', "found a class twice"),
        ('{"pit": 1, "dump": 1}', "found the value 1 for pit and for dump; expected one value each"),
        ('{"pit": 1, "Pit": 2}', "found 'pit' and 'Pit'; expected each class once"),
        ('{"pit": 0}', "found 0 as the value of pit; expected a whole number of 1 to 254"),
        ('{"pit": 255}', "found 255 as the value"),
        ('{"pit": true}', "found True as the value"),
        ('{"pit": "1"}', "found '1' as the value"),
        ('{"pit": {"color": "#ffffff"}}', "found None as the value"),
        ('{"pit": {"value": 1, "color": "red"}}', "found 'red' as the color of pit; expected one such as"),
        ('{"ignore": 1}', "found the class 'ignore', which has a meaning of its own"),
        ("? [a, b]\n: 1\n", "neither JSON nor YAML"),
        ("pit: !!python/object/apply:os.system [ls]\n", "neither JSON nor YAML"),
        (ALIASES, "as the value of a0"),
        ("{" * 100_000, "neither JSON nor YAML"),
    ],
)
def test_other_files_are_answered_in_a_sentence(text, words, tmp_path):
    path = tmp_path / "classes.yaml"
    path.write_text(text)
    with pytest.raises(AnnotationError) as caught:
        read_label_classes(path)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 500


def test_names_with_a_meaning_of_their_own_are_known_in_any_spelling():
    assert all(map(is_ignored, ("ignore", "Unknown", "VOID", "unsure", "nodata")))
    assert all(map(is_background, ("background", "No mine", "other", "not-mine")))
    assert not any(is_ignored(name) or is_background(name) for name in ("mine", "ignored pit", "quarry"))
