"""Networks on OpenVINO and ONNX Runtime: PyTorch's results, programs kept between runs, users' mistakes."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from euromine.modeling import CHANGE_DETECTION, SERIES, EuroMineImageProcessor, create_model
from euromine.modeling.change_detection import ChangeDetector
from euromine.modeling.configuration import ChangeDetectionConfig
from euromine.monitoring.mapping import (
    engine_cache,
    engine_choice,
    engine_parts,
    engine_programs,
    engines,
    precision_losses,
)
from euromine.monitoring.mapping.engine_cache import CACHE_VARIABLE, cache_folder, cached_program
from euromine.monitoring.mapping.engine_gains import OPENVINO_GAINS, Gain
from euromine.monitoring.mapping.engine_parts import EnginePart, PartSettings, Shapes
from euromine.monitoring.mapping.engines import EngineChoice, engine_record, expect_calls, on_engine
from euromine.monitoring.mapping.loading import LoadedModel
from euromine.monitoring.mapping.network_parts import architecture_name
from euromine.support.errors import ArgumentError, MissingExtraError, ModelError


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory) -> Path:
    """A cache that the tests of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield cache_folder()


@pytest.fixture(scope="module")
def pixel_values() -> Tensor:
    return torch.randn(2, 10, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def expected(mapper, pixel_values) -> Tensor:
    with torch.inference_mode():
        return mapper.model(pixel_values=pixel_values).logits


def logits(loaded: LoadedModel, pixel_values: Tensor) -> Tensor:
    with torch.inference_mode():
        return loaded.model(pixel_values=pixel_values).logits


@pytest.fixture
def no_conversions(monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise AssertionError("a network was converted")

    monkeypatch.setattr(engine_parts, "write_program", fails)


def test_a_mapper_on_openvino_gives_the_same_logits_to_rounding(mapper, pixel_values, expected):
    loaded = on_engine(mapper, EngineChoice("openvino"))
    for _ in range(2):  # the first call compares the engine with PyTorch
        found = logits(loaded, pixel_values)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
        assert torch.equal(found.argmax(1), expected.argmax(1))
    assert engine_record(loaded.model) == {}
    assert loaded.model.name_or_path == mapper.model.name_or_path
    assert torch.equal(mapper.model(pixel_values=pixel_values).logits, expected)  # itself unchanged


@pytest.fixture
def pointwise(network) -> LoadedModel:
    """A network that is quickly converted."""
    model = network(lambda images: images[:, 0] - images[:, 1])
    return LoadedModel("runs/pointwise", "segmentation", model, EuroMineImageProcessor())


def test_onnx_runtime_gives_the_same_logits_too(pointwise, pixel_values):
    """Of every architecture, tests/modeling/test_networks.py."""
    loaded = on_engine(pointwise, EngineChoice("onnxruntime"))
    for _ in range(2):
        torch.testing.assert_close(logits(loaded, pixel_values), logits(pointwise, pixel_values))


def test_a_program_is_kept_and_a_damaged_one_made_anew(pointwise, pixel_values, cache, monkeypatch, caplog):
    choice = EngineChoice("openvino")
    made = []
    write = engine_programs.write_program
    monkeypatch.setattr(engine_parts, "write_program", lambda *given: made.append(given) or write(*given))
    expected = logits(pointwise, pixel_values)
    for _ in range(2):
        torch.testing.assert_close(logits(on_engine(pointwise, choice), pixel_values), expected)
    assert len(made) == 1
    for path in cache.glob("*/program.xml"):
        path.write_bytes(path.read_bytes()[:-8] + b"damaged!")
    torch.testing.assert_close(logits(on_engine(pointwise, choice), pixel_values), expected)
    assert len(made) == 2
    assert "is damaged, so the program is converted again" in caplog.text
    assert not list(cache.glob("*.part"))


def test_two_processes_may_make_the_same_program(cache):
    made_of = {"model": "two"}

    def make(folder: Path) -> None:
        (folder / "program.xml").write_text("mine")
        if not made:  # the other process begins later and is done first
            made.append(folder)
            cached_program(made_of, make)

    made: list[Path] = []
    folder = cached_program(made_of, make)
    assert (folder / "program.xml").read_text() == "mine"
    assert cached_program(made_of, lambda _: pytest.fail("made again")) == folder
    assert not list(cache.glob("*.part"))


def test_two_processes_may_find_the_same_program_damaged(cache, monkeypatch):
    made_of = {"model": "two"}

    def make(folder: Path) -> None:
        (folder / "program.xml").write_text("mine")

    folder = cached_program(made_of, make)
    (folder / "program.xml").write_text("damaged")
    whole = engine_cache.is_whole_program
    answers = []

    def is_whole(found: Path, of: object) -> bool:
        answers.append(whole(found, of))
        if len(answers) == 2:  # the other process takes it away after this one looked
            shutil.rmtree(folder)
        return answers[-1]

    monkeypatch.setattr(engine_cache, "is_whole_program", is_whole)
    assert (cached_program(made_of, make) / "program.xml").read_text() == "mine"
    assert answers == [False, False]
    assert not list(cache.glob("*.part"))


def test_a_cache_that_cannot_be_written_to_is_done_without(
    pointwise, pixel_values, tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    found = logits(on_engine(pointwise, EngineChoice("openvino")), pixel_values)
    torch.testing.assert_close(found, logits(pointwise, pixel_values))
    assert "cannot be kept for later runs" in caplog.text


def test_a_siamese_detector_encodes_each_year_once_on_an_engine(detector, monkeypatch):
    loaded = on_engine(detector, EngineChoice("openvino"))
    series = torch.randn(1, 4, 10, 33, 40, generator=torch.Generator().manual_seed(2))
    pairs = [(0, 2), (0, 1), (2, 3)]
    with torch.inference_mode():
        expected = detector.model.predict_series(series, pairs)
        encoded = []
        call = EnginePart.__call__

        def count(part: EnginePart, *inputs: Tensor) -> tuple[Tensor, ...]:
            if part._part == "encode":
                encoded.append(len(inputs[0]))
            return call(part, *inputs)

        monkeypatch.setattr(EnginePart, "__call__", count)
        loaded.model.predict_series(series, pairs)
        found = loaded.model.predict_series(series, pairs)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert sum(encoded) == 2 * 4


@pytest.fixture(scope="module")
def series_network() -> LoadedModel:
    """A tiny network for series, whose years see each other."""
    torch.manual_seed(4)
    sides = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 8, 8, 8], "num_attention_heads": [1, 1, 1, 1]}
    model = create_model(
        "euromine-series-b0", encoder_fields=sides, decoder_width=8, detail_widths=[8, 8, 8]
    ).eval()
    with torch.no_grad():
        for layer in [*model.attention, *model.detail.mixing, model.mixing]:
            for zero in layer.zero_layers:
                zero.weight.normal_(std=0.3)
    return LoadedModel("runs/tiny-series", SERIES, model, EuroMineImageProcessor())


def test_a_network_for_series_runs_on_an_engine_with_missing_years(series_network, monkeypatch):
    """The last part by OpenVINO; the others stand in for programs, as SegFormer's own are tested above."""
    convert = EnginePart._program

    def program(part: EnginePart, engine: str, shapes: Shapes) -> Callable[..., tuple[Tensor, ...]]:
        return convert(part, engine, shapes) if part._part == "evidence" else part._function

    monkeypatch.setattr(EnginePart, "_program", program)
    loaded = on_engine(series_network, EngineChoice("openvino"))
    series = torch.randn(1, 4, 10, 33, 64, generator=torch.Generator().manual_seed(2))
    years = torch.tensor([[2015, 2017, 2018, 2024]])
    pairs = [(0, 1), (1, 3)]
    with torch.inference_mode():
        for mask in (None, torch.tensor([[True, False, True, True]]), None):
            expected = series_network.model(series, years=years, mask=mask, pairs=pairs)
            found = loaded.model(series, years=years, mask=mask, pairs=pairs)
            for name in ("logits", "change_logits"):
                scale = expected[name].abs().max().item()
                torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-4 * scale)
    parts = loaded.model._euromine_engine.parts
    assert {name: part.is_converted for name, part in parts.items()} == dict.fromkeys(
        ("encode", "detail_0", "detail_1", "detail_2", "pyramid", "evidence"), True
    )
    assert engine_record(loaded.model) == {}


def test_auto_converts_the_parts_of_a_network_for_series_that_gain(series_network, monkeypatch):
    """The encoder saves 9 s of the work announced, which its conversion costs; the last part saves 500."""
    name = architecture_name(series_network.model.config)
    assert name == "euromine_series/mit-b0"
    for part, seconds in (("encode", 0.018), ("evidence", 1.0)):
        monkeypatch.setitem(OPENVINO_GAINS, (name, part), Gain(2.0, 9.0, seconds))
    monkeypatch.setattr(EnginePart, "_program", lambda part, *_: part._function)
    loaded = on_engine(series_network)
    expect_calls(loaded.model, 32 * 32, encode=10**6, evidence=10**6)
    series = torch.randn(1, 2, 10, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(series).logits, series_network.model(series).logits)
    parts = loaded.model._euromine_engine.parts
    assert [name for name, part in parts.items() if part.is_converted] == ["evidence"]


def test_a_network_for_series_runs_in_bfloat16(series_network, monkeypatch):
    monkeypatch.setattr(engines, "_check_bfloat16", lambda *_: None)
    loaded = on_engine(series_network, EngineChoice("eager", "bfloat16"))
    series = torch.randn(1, 2, 10, 32, 32, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        expected, found = (each.model(series).logits for each in (series_network, loaded))
    off = (found - expected).abs().max() / expected.abs().max()
    assert found.dtype == torch.float32
    assert 1e-6 < off < 0.05


def test_series_networks_that_an_engine_cannot_run_are_refused(series_network):
    utae = create_model("utae", encoder_widths=[16, 16], decoder_widths=[16, 16]).eval()
    whole = LoadedModel("runs/utae", SERIES, utae, EuroMineImageProcessor())
    assert on_engine(whole).model is utae
    with pytest.raises(ModelError, match=r"runs/utae: found a euromine_utae, whose decoder mixes the years"):
        on_engine(whole, EngineChoice("openvino"))
    with pytest.raises(ModelError, match=r"a network for series, which is not quantised; .* or bfloat16"):
        on_engine(series_network, EngineChoice(precision="int8"))


class _Ratio(ChangeDetector):
    """A detector whose logits depend on the order of the years, which it sees together."""

    def __init__(self) -> None:
        super().__init__(ChangeDetectionConfig())
        self.scale = nn.Parameter(torch.ones(1))
        self.post_init()

    def compare(self, image_1: Tensor, image_2: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.scale * torch.stack([image_1[:, 0], image_1[:, 1] * image_2[:, 0]], 1)
        return logits, logits / 2


def test_a_detector_that_mixes_its_years_runs_pair_by_pair():
    model = _Ratio().eval()
    loaded = on_engine(
        LoadedModel("runs/ratio", CHANGE_DETECTION, model, EuroMineImageProcessor()), EngineChoice("openvino")
    )
    series = torch.randn(1, 3, 10, 32, 32)
    with torch.inference_mode():
        expected = torch.stack([model(series[:, pair]).logits for pair in ([0, 1], [0, 2], [1, 2])], 1)
        for _ in range(2):
            torch.testing.assert_close(loaded.model.predict_series(series), expected)


@pytest.mark.usefixtures("no_conversions")
def test_auto_leaves_small_work_to_pytorch(mapper, pixel_values, expected):
    loaded = on_engine(mapper)
    expect_calls(loaded.model, 32 * 32, forward=10)
    for _ in range(5):
        assert torch.equal(logits(loaded, pixel_values[:1, :, :32]), logits(mapper, pixel_values[:1, :, :32]))


def test_auto_changes_to_openvino_where_the_work_is_worth_it(
    mapper, pixel_values, expected, monkeypatch, caplog
):
    monkeypatch.setitem(OPENVINO_GAINS, ("segformer", "forward"), Gain(2.0, 5.0, 1.0))
    caplog.set_level("INFO")
    loaded = on_engine(mapper)
    expect_calls(loaded.model, 64 * 64, forward=10**9)
    for _ in range(4):
        found = logits(loaded, pixel_values)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    part = loaded.model._euromine_engine.parts["forward"]
    assert part.is_converted
    assert engine_record(loaded.model) == {}


def test_auto_decides_by_the_largest_work_announced(mapper, pixel_values, monkeypatch):
    """2 s a megapixel, half of it saved; conversion takes 9 s and loading 1: worth it above 10 megapixels."""
    monkeypatch.setitem(OPENVINO_GAINS, ("segformer", "forward"), Gain(2.0, 9.0, 2.0))
    monkeypatch.setattr(EnginePart, "_program", lambda *_: lambda x: tuple(mapper.model(x).values()))
    loaded = on_engine(mapper)
    part = loaded.model._euromine_engine.parts["forward"]
    for megapixels, converted in ((0, False), (9, False), (11, True), (1, True)):
        expect_calls(loaded.model, 10**6, forward=megapixels)
        for _ in range(3):
            logits(loaded, pixel_values)
        assert part.is_converted == converted


def test_auto_stays_with_pytorch_where_results_differ(mapper, pixel_values, expected, monkeypatch, caplog):
    monkeypatch.setitem(OPENVINO_GAINS, ("segformer", "forward"), Gain(2.0, 5.0, 1.0))
    wrong = lambda *_: lambda x: (torch.zeros_like(expected[: len(x)]),)  # noqa: E731
    monkeypatch.setattr(EnginePart, "_program", wrong)
    loaded = on_engine(mapper)
    expect_calls(loaded.model, 64 * 64, forward=10**9)
    for _ in range(4):
        assert torch.equal(logits(loaded, pixel_values), expected)
    assert "differ from PyTorch's" in caplog.text
    with pytest.raises(ModelError, match=r"results of openvino that differ .* Use --engine eager"):
        logits(on_engine(mapper, EngineChoice("openvino")), pixel_values)


@pytest.mark.usefixtures("signal_stack")
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_part_may_leave_inputs_unread(engine, tmp_path):
    shapes = [[2, 3], [4, 5, 6], [2, 3], [7]]
    engine_programs.write_program(
        engine, "tiny", torch.nn.Identity(), lambda a, _b, c, _d: (a - 2 * c,), shapes, tmp_path
    )
    first, second, third, fourth = (torch.rand(1, *shape) for shape in shapes)
    program = engine_programs.load_program(engine, "tiny", tmp_path, "float32")
    (found,) = program(first, second, third, fourth)
    torch.testing.assert_close(found, first - 2 * third)


@pytest.mark.usefixtures("signal_stack")
def test_freed_programs_leave_this_thread_a_stack_for_signals(tmp_path):
    from openvino import Model, opset13

    value = opset13.parameter([1, 2], np.float32)
    engine_programs.save_openvino(Model([opset13.relu(value)], [value]), tmp_path / "program.xml")
    programs = [engine_programs.load_program("openvino", "relu", tmp_path, "float32") for _ in range(2)]
    while programs:
        programs.pop(0)


@pytest.mark.parametrize("engine", ["auto", "eager", "openvino"])
def test_bfloat16_is_near_and_recorded(mapper, pixel_values, expected, engine, monkeypatch):
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("needs a CPU that computes in bfloat16")
    monkeypatch.setitem(precision_losses.MEASURED_LOSSES, ("segformer", "bfloat16"), 0.0)
    loaded = on_engine(mapper, EngineChoice(engine, "bfloat16"))
    logits(loaded, pixel_values)
    found = logits(loaded, pixel_values).float()
    off = (found - expected).abs().max() / expected.abs().max()
    assert 1e-5 < off < 0.05
    used = "eager" if engine == "eager" else "openvino"
    assert engine_record(loaded.model) == {"engine": used, "precision": "bfloat16"}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (("tensorrt",), "engine: found 'tensorrt'; expected auto, eager, compile, openvino or onnxruntime"),
        (("auto", "float16"), "precision: found 'float16'; expected float32, bfloat16 or int8"),
        (("eager", "int8"), "precision: found int8 with the engine eager; expected float32 or bfloat16"),
        (
            ("onnxruntime", "bfloat16"),
            "precision: found bfloat16 with the engine onnxruntime, which has none",
        ),
    ],
)
def test_choices_that_there_are_not_are_refused(choice, message):
    with pytest.raises(ArgumentError, match=message):
        EngineChoice(*choice)


def test_compiled_networks_give_the_same_logits_and_are_compiled_once_a_size(monkeypatch):
    """By a backend that runs the traced graph as it is; the default one takes a minute of a C++ compiler."""
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(engines.shutil, "which", lambda name: "/usr/bin/c++")
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    ratio = LoadedModel("runs/ratio", CHANGE_DETECTION, _Ratio().eval(), EuroMineImageProcessor())
    loaded = on_engine(ratio, EngineChoice("compile"))
    counts = []
    with torch.inference_mode():
        for side in (32, 32, 64):
            series = torch.randn(1, 3, 10, side, 32)
            expected = ratio.model.predict_series(series)
            torch.testing.assert_close(loaded.model.predict_series(series), expected)
            counts.append(len(graphs))
    assert counts == [1, 1, 2]
    assert engine_record(loaded.model) == {}


def test_compile_needs_a_compiler(mapper, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ArgumentError, match=r"found compile without a C\+\+ compiler \(no-such-compiler\)"):
        on_engine(mapper, EngineChoice("compile"))


def test_a_missing_extra_is_named(mapper, monkeypatch):
    monkeypatch.setattr(engine_choice.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"^engine: found no openvino .* 'euromine\[openvino\]'"):
        on_engine(mapper, EngineChoice("openvino"))
    assert on_engine(mapper).model is mapper.model


def test_a_precision_that_the_machine_has_not_is_refused(mapper, monkeypatch):
    monkeypatch.setattr(engines, "openvino_has_bfloat16", lambda: False)
    with pytest.raises(ArgumentError, match="found bfloat16, which this machine does not compute in"):
        on_engine(mapper, EngineChoice("openvino", "bfloat16"))


def test_a_precision_that_loses_much_is_refused_unless_forced(mapper, monkeypatch, caplog):
    monkeypatch.setitem(precision_losses.MEASURED_LOSSES, ("segformer", "bfloat16"), 0.7)
    monkeypatch.setattr(engines, "_check_bfloat16", lambda *_: None)
    choice = EngineChoice("eager", "bfloat16")
    with pytest.raises(ArgumentError, match=r"a segformer, which lost 0\.7 points .* --force-precision"):
        on_engine(mapper, choice)
    on_engine(mapper, EngineChoice("eager", "bfloat16", force_precision=True))
    monkeypatch.delitem(precision_losses.MEASURED_LOSSES, ("segformer", "bfloat16"))
    on_engine(mapper, choice)
    assert "the loss of a segformer in bfloat16 was not measured" in caplog.text


def test_int8_needs_an_export_before_anything_is_mapped(mapper):
    with pytest.raises(
        ModelError, match=r"found no int8 export; .* `euromine export .* --format openvino --int8 DATASET`"
    ):
        on_engine(mapper, EngineChoice(precision="int8"))


def test_a_network_that_an_engine_cannot_run_is_refused_in_a_sentence(network, pixel_values):
    def answer(images: Tensor) -> Tensor:
        return images[:, 0] if images.sum() > 0 else images[:, 1]  # depends on the numbers themselves

    loaded = LoadedModel("runs/odd", "segmentation", network(answer), EuroMineImageProcessor())
    with pytest.raises(ModelError, match=r"runs/odd: found a network that openvino cannot run .* eager"):
        # Of sides that no other network of these weights was converted for.
        logits(on_engine(loaded, EngineChoice("openvino")), pixel_values[..., :32])


def test_every_gain_is_of_a_registered_network():
    from transformers import CONFIG_MAPPING

    assert [name for name, _ in OPENVINO_GAINS if name.partition("/")[0] not in CONFIG_MAPPING] == []


def test_parts_count_the_work_of_each_size():
    seen: list[int] = []
    settings = PartSettings("m", "unlisted", "auto", "float32", str)

    def function(images: Tensor) -> tuple[Tensor, ...]:
        seen.append(len(images))
        return (images + 1,)

    part = EnginePart("forward", nn.Identity(), function, settings)
    np.testing.assert_array_equal(part(torch.zeros(3, 1))[0].numpy(), np.ones((3, 1)))
    assert seen == [3]
    assert not part.is_converted


def test_empty_maps_differ_by_nothing():
    """HCGMNet's encoder passes the images' sides on in a map without channels."""
    empty = torch.empty(1, 0, 4, 4)
    assert engine_parts.largest_difference([empty], [empty]) == 0
    off = engine_parts.largest_difference(
        [empty, torch.tensor([2.0, 4.5])], [empty, torch.tensor([2.0, 4.0])]
    )
    assert off == pytest.approx(0.125)


def test_conversions_are_not_reported_to_the_makers_of_the_engine(monkeypatch, tmp_path):
    openvino = pytest.importorskip("openvino")
    telemetry = pytest.importorskip("openvino_telemetry")
    sent = []
    sender = "openvino_telemetry.utils.sender.TelemetrySender.send"
    monkeypatch.setattr(sender, lambda self, backend, message: sent.append(message))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    exported = torch.export.export(nn.ReLU(), (torch.zeros(1, 2),))

    def forget() -> None:
        """Let the next conversion ask again whether it may report."""
        one = telemetry.Telemetry(tid="none", app_name="none", backend="ga4", enable_opt_in_dialog=False)
        one.init(tid="none", app_name="none", backend="ga4", enable_opt_in_dialog=False)

    forget()
    engine_programs.converted_openvino("tiny", exported, [[2]])
    assert not sent
    forget()
    openvino.convert_model(exported)
    assert sent, "it reports conversions by itself"


def test_a_refused_precision_names_none_that_the_engine_refuses_as_well():
    with pytest.raises(ArgumentError, match=r"found int8 with the engine onnxruntime; expected float32\."):
        EngineChoice("onnxruntime", "int8")
    with pytest.raises(ArgumentError, match="the engine eager; expected float32 or bfloat16"):
        EngineChoice("eager", "int8")
