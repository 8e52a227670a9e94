"""The command: what a person types becomes the archive they meant, or a sentence."""

import pytest
import rasterio

from euromine.commands.simulate import parse_sites, parse_size, parse_years, simulate


def test_the_command_writes_the_archive_that_was_asked_for(tmp_path, capsys):
    simulate(tmp_path / "out", sites="Italy_2,Spain_9", years="2017-2018", size="20x30", seed=4, workers=1)
    site = tmp_path / "out" / "EuroMineNet" / "Spain_9"
    assert sorted(path.name for path in (site / "image").iterdir()) == ["Year2017.tif", "Year2018.tif"]
    with rasterio.open(site / "image" / "Year2018.tif") as image:
        assert (image.height, image.width) == (20, 30)
    assert str(tmp_path / "out" / "truth") in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("2015-2018", [2015, 2016, 2017, 2018]),
        ("2016", [2016]),
        ("2015, 2018-2019", [2015, 2018, 2019]),
    ],
)
def test_years_are_single_or_in_ranges(text, years):
    assert parse_years(text) == years


@pytest.mark.parametrize("text", ["", "15-24", "2015..2024", "2015-", "all", "2015,,2016"])
def test_years_that_cannot_be_read_are_named(text):
    with pytest.raises(ValueError, match=r"--years: found '.*'; expected years such as 2015-2024"):
        parse_years(text)


def test_years_that_run_backwards_are_turned_round_in_the_answer():
    with pytest.raises(ValueError, match="--years: found 2024-2015; expected ascending years, 2015-2024"):
        parse_years("2024-2015")


def test_the_size_is_height_by_width():
    assert parse_size("320x480") == (320, 480)
    assert parse_size(" 16 X 9 ") == (16, 9)


@pytest.mark.parametrize("text", ["", "320", "320x", "320x-4", "320,480", "large"])
def test_a_size_that_cannot_be_read_is_named(text):
    with pytest.raises(ValueError, match=r"--size: found '.*'; expected height x width"):
        parse_size(text)


def test_sites_are_a_number_or_names():
    assert parse_sites("12") == 12
    assert parse_sites("Germany_2, Spain_1") == ["Germany_2", "Spain_1"]


def test_no_sites_at_all_are_answered_with_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="sites: found 0; expected at least 1"):
        simulate(tmp_path / "out", sites="0")
    assert not (tmp_path / "out").exists()
