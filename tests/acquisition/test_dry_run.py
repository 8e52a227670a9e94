"""`euromine acquire` and its dry run, from the command line."""

from typer.testing import CliRunner

from euromine.commands import app

from .small_world import box_of


def test_a_dry_run_lists_scenes_and_the_run_says_what_it_made(world, serve, faults, tmp_path):
    world.add("20210710", baseline="05.09", clouds=(slice(80, 100), slice(0, 240)))
    gone = world.add("20210720")
    faults.always = (f"{gone['id']}/swir22.tif",)
    out, catalogue = tmp_path / "out", serve(world.items)
    bounds = ",".join(f"{each:.7f}" for each in box_of(90, 80, 80, 60))
    arguments = ["acquire", str(out), "--site", "Pit_1", "--bbox", bounds, "--margin", "0"]
    arguments += ["--years", "2021,2022", "--catalogue", catalogue.address]

    dry = CliRunner().invoke(app, [*arguments, "--dry-run"]).stdout
    assert dry.startswith("Pit_1: 80 x 60 pixels of 10 m in EPSG:32633")
    # 20 of 60 rows, grown by one pixel of 20 m.
    cells = [
        cell.strip() for cell in next(line for line in dry.splitlines() if "20210710" in line).split("|")
    ]
    assert cells[1:7] == [
        "2021",
        "2021-07-10",
        "S2A_33TWN_20210710_0_L2A",
        "05.09",
        "-1000",
        f"{19 / 30:.0%}",
    ]
    assert float(cells[7]) > 0
    assert f"left out {gone['id']} B12: found no such file" in dry
    assert "2022: no scene of months 6,7,8" in dry
    assert not out.exists()

    done = CliRunner().invoke(app, arguments).stdout
    assert "Pit_1: 2021 composed, none kept." in done
    assert "No scene in 2022." in done
    again = CliRunner().invoke(app, [*arguments, "--dry-run"]).stdout
    assert "2021: is complete and will be kept." in again
    assert "0 scenes, 0.0 MB to read." in again
    (out / "EuroMineNet" / "Pit_1" / "image" / "Year2021.tif").unlink()
    anew = CliRunner().invoke(app, [*arguments, "--dry-run"]).stdout
    assert "1 scene, " in anew
    assert "will be kept" not in anew
