from pathlib import Path

import pytest

from euromine.benchmark.energy import EnergyMeter, RaplCounter, processor_counters


def make_zone(powercap: Path, name: str, energy: int, largest: int = 262_143_328_850) -> Path:
    """A zone as Linux shows it."""
    zone = powercap / name
    zone.mkdir(parents=True)
    (zone / "name").write_text("package-0\n")
    (zone / "energy_uj").write_text(f"{energy}\n")
    (zone / "max_energy_range_uj").write_text(f"{largest}\n")
    return zone


def test_a_counter_that_wraps_around_goes_on(tmp_path):
    zone = make_zone(tmp_path, "intel-rapl:0", 9_000_000, largest=9_999_999)
    counter = RaplCounter(zone)
    (zone / "energy_uj").write_text("9500000")
    assert counter.joules() == pytest.approx(0.5)
    # 499,999 uJ to the greatest value, one to 0, 250,000 beyond.
    (zone / "energy_uj").write_text("250000")
    assert counter.joules() == pytest.approx(0.5 + 0.75)


def test_packages_are_added_and_their_parts_are_not(tmp_path):
    packages = [make_zone(tmp_path, f"intel-rapl:{number}", 0) for number in range(2)]
    part = make_zone(tmp_path, "intel-rapl:0:0", 0)
    make_zone(tmp_path, "dtpm", 0)
    with EnergyMeter(lambda: processor_counters(tmp_path), list) as meter:
        for zone, joules in zip((*packages, part), (3, 4, 1), strict=True):
            (zone / "energy_uj").write_text(str(joules * 1_000_000))
    assert meter.joules == {"processors": pytest.approx(7.0)}
    assert meter.seconds > 0


def test_a_machine_that_tells_nothing_is_no_error(tmp_path):
    (make_zone(tmp_path, "intel-rapl:0", 0) / "energy_uj").unlink()
    with EnergyMeter(lambda: processor_counters(tmp_path), list) as meter:
        pass
    assert meter.joules == {}
    with EnergyMeter(lambda: processor_counters(tmp_path / "missing"), list) as meter:
        pass
    assert meter.joules == {}
