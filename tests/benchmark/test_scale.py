"""The benchmark of scale: its lines, its plans, its page, and the work on a tile."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from euromine.benchmark import scale, scale_costs
from euromine.benchmark.range_server import served
from euromine.benchmark.scale import run
from euromine.benchmark.scale_costs import Scenario, lines, scenario_cost
from euromine.benchmark.scale_pages import markdown, write_page
from euromine.benchmark.scale_records import CellRecord, Interruption, ScaleRecord, Throughput
from euromine.benchmark.scale_tiles import StageCost, TileCost, process_tile, tiles, write_scenes
from euromine.modeling import EuroMineImageProcessor, create_model
from euromine.monitoring.archive_histories import ModelChoice
from euromine.monitoring.mapping.engines import EngineChoice
from euromine.simulation.simulated_site import simulate_site
from euromine.support.errors import ArgumentError, ModelError
from euromine.support.records import read_record, write_record

DOCS = Path(__file__).parents[2] / "docs"


def tile_cost(compose=0.0, predict=0.0, series=0.0, began=0.0, ended=1.0, process=1, size=0) -> TileCost:
    stages = (StageCost(each, each) for each in (compose, predict, series))
    return TileCost("Tile_1", process, began, ended, *stages, size, size)


def cell(side: int, years: int, pairs: str) -> CellRecord:
    """A tile whose costs are whole numbers of its pixels, years and pairs."""
    megapixels = side * side / 1_000_000
    blocks = {1000: 1, 1500: 4}[side]
    compared = {("consecutive", 2): 1, ("consecutive", 3): 2, ("all", 3): 3}[pairs, years]
    series = 0.5 + 2 * megapixels * years + 0.25 * megapixels * compared
    cost = tile_cost(
        (blocks + 3 * megapixels) * years, 4 * megapixels, series, size=round(7e6 * megapixels * years)
    )
    return CellRecord(side, years, pairs, cost, round(40e6 * blocks * years), 0.0)


CELLS = [
    cell(side, years, pairs)
    for side in (1000, 1500)
    for years, pairs in ((2, "consecutive"), (3, "consecutive"), (3, "all"))
]


def test_lines_find_the_costs_that_tiles_were_made_of() -> None:
    found = lines(CELLS)
    assert found["compose"].coefficients == pytest.approx((1, 3))
    assert found["predict"].coefficients == pytest.approx((0, 4), abs=1e-9)
    assert found["series"].coefficients == pytest.approx((0.5, 2, 0.25))
    assert found["read"].coefficients == pytest.approx((40,))
    assert found["images"].coefficients == pytest.approx((0, 7), abs=1e-6)
    assert all(line.determination == pytest.approx(1) for line in found.values())
    assert max(abs(each) for line in found.values() for each in line.residuals) < 1e-6


def test_a_tile_off_the_line_has_a_residual() -> None:
    odd = CellRecord(3000, 2, "consecutive", tile_cost(predict=90.0), 0, 0.0)
    line = lines([*CELLS, odd])["predict"]
    assert line.residuals[-1] > 1
    assert line.determination < 1
    assert min(line.coefficients) >= 0


def test_a_plan_costs_its_areas_times_the_line() -> None:
    # 3,600 areas of a megapixel, each in two blocks; ten years, nine pairs.
    cost = scenario_cost(Scenario("", 3600, 1000, 9, 2), lines(CELLS))
    assert (cost.compose, cost.series) == pytest.approx((20 + 30, 0.5 + 20 + 2.25))
    assert (cost.read, cost.images) == pytest.approx((3.6 * 800, 3.6 * 70))


def test_a_tile_at_a_random_place_reads_more_blocks() -> None:
    # A tile of n pixels begins in any of 1,024 columns, and touches a second block in n - 1 of them.
    begins = range(1024)
    columns = [(begin + 512 - 1) // 1024 + 1 for begin in begins]
    assert scale_costs.blocks_anywhere(512) == pytest.approx((sum(columns) / len(columns)) ** 2)
    assert scale_costs.blocks_at_corner(10_980) == 121


def test_the_areas_of_the_eu_cover_it() -> None:
    plan = scale_costs.scenarios()[0]
    assert plan.areas * (plan.side / 100) ** 2 == pytest.approx(4_225_134, rel=0.001)
    assert {plan.pairs for plan in scale_costs.scenarios()} == {9, 45}


def test_throughput_counts_from_the_first_tile_to_the_last() -> None:
    costs = [tile_cost(2, 1, 1, began=10, ended=13, process=7), tile_cost(2, began=11, ended=16, process=8)]
    run = Throughput("dask", 2, 4.0, costs, 0.0)
    assert (run.clock, run.start, run.processor, run.processes) == (6, 6, 6, 2)


def test_a_page_keeps_its_prose_and_says_what_differs(tmp_path) -> None:
    record = ScaleRecord("net", False, 8, "A processor", [], "2.13")
    for number, each in enumerate(CELLS):
        record = record.with_part(f"cell {number}", each)
    record = record.with_part(
        "killed", Interruption("processes", "A process was killed.", 3, 9, 2, ["a.tif"])
    )
    page = tmp_path / "scale.md"
    page.write_text("Before.\n<!-- measured: begin -->\nold\n<!-- measured: end -->\nAfter.\n")
    write_page(page, record)
    text = page.read_text()
    assert text.startswith("Before.\n")
    assert text.endswith("<!-- measured: end -->\nAfter.\n")
    assert "old" not in text
    assert "of 9 files 1 differ from an undisturbed run's: `a.tif`" in text
    for words in ("**simulated**", "fresh weights", "No GPU was measured."):
        assert words in text
    page.write_text("Without marks.")
    with pytest.raises(ArgumentError, match="expected both"):
        write_page(page, record)


def test_the_documentation_shows_the_results() -> None:
    record = read_record(ScaleRecord, DOCS / "benchmarks" / "scale.json")
    assert record.simulated
    assert markdown(record) in (DOCS / "scale.md").read_text(encoding="utf-8")


def test_figures_of_another_network_are_not_continued(tmp_path) -> None:
    write_record(tmp_path / "scale.json", ScaleRecord("segformer-b0", True, 8, "A processor", [], "2.13"))
    with pytest.raises(
        ArgumentError, match=r"scale\.json: found figures with trained True; expected .* False"
    ):
        run(tmp_path, None, 8, 6)
    with pytest.raises(ArgumentError, match=r"found figures with scenes 8; expected .* 4"):
        run(tmp_path, "runs/segformer-b0", 4, 6)


def test_a_model_that_is_not_there_is_found_out_before_scenes_are_written(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(scale, "write_scenes", lambda *_: pytest.fail("scenes were written"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises((ModelError, OSError)):
        run(tmp_path / "out", str(tmp_path / "nosuch"), 8, 6)


def test_a_tile_is_composed_from_served_scenes_and_resumed(tmp_path) -> None:
    sent = multiprocessing.get_context("spawn").Value("q", 0)
    (tmp_path / "served").mkdir()
    torch.manual_seed(0)
    widths = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4}
    create_model("segformer-b0", **widths, decoder_hidden_size=8).save_pretrained(tmp_path / "model")
    EuroMineImageProcessor().save_pretrained(tmp_path / "model")
    models = ModelChoice(model=str(tmp_path / "model"), device="cpu", engine=EngineChoice("eager"))
    with served(tmp_path / "served", 0.0, sent) as address:
        items = write_scenes(tmp_path / "served", address, side=160, years=2, scenes=3)
        first, second = tiles(2, 64, 160, items, models, tmp_path)
        cost = process_tile(second)
        read = sent.value
        again = process_tile(second)
        assert sent.value == read > 0
    assert (first.column, second.column) == (0, 64)
    with rasterio.open(tmp_path / "EuroMineNet" / "Tile_2" / "image" / "Year2022.tif") as file:
        pixels = file.read()
    truth = simulate_site("Germany_1", years=(2021, 2022), height=160, width=160, seed=0).images[1]
    # B02 has pixels of 10 m, which a composite of equal scenes keeps wherever one is clear.
    assert np.mean(pixels[0] == truth[0, :64, 64:128]) > 0.9
    assert (tmp_path / "maps" / "Tile_2" / "change_2021_2022.tif").is_file()
    assert cost.map_bytes == again.map_bytes > 0
    assert cost.image_bytes > 0
