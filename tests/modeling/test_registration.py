"""Importing the package loads little, and all Auto classes know its networks, in whatever order they come.

Each program runs in a process of its own, as imports cannot be undone.
"""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from euromine.modeling import EuroMineImageProcessor, create_model


def run(program: str, *arguments: str | Path) -> str:
    """What a program prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


Run = Callable[..., str]


@pytest.fixture(scope="module")
def change_detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("change-detector")
    create_model("fc-ef", bands=["B04", "B08"], widths=[2, 2, 2, 2]).save_pretrained(folder)
    EuroMineImageProcessor(bands=["B04", "B08"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("segmenter")
    create_model("sqnet", bands=["B04", "B08"], stem_width=2, squeezed_widths=[1, 1, 1]).save_pretrained(
        folder
    )
    return folder


def test_importing_the_package_loads_no_large_library() -> None:
    loaded = run("""
        import sys
        import euromine.modeling
        print(*{"torch", "transformers", "numpy"} & set(sys.modules))
    """)
    assert loaded == ""


def test_the_bands_are_known_without_torch() -> None:
    assert run("import sys; from euromine.modeling import BANDS; print('torch' in sys.modules)") == "False"


@pytest.mark.parametrize(
    ("auto_class", "expected"),
    [
        ("AutoConfig", "FCEFConfig"),
        ("AutoModel", "FCEFForChangeDetection"),
        ("AutoImageProcessor", "EuroMineImageProcessor"),
    ],
)
def test_an_auto_class_that_is_imported_alone_and_later_knows_the_networks(
    auto_class: str, expected: str, change_detector: Path, run_with_torch: Run
) -> None:
    program = f"""
        import sys
        import euromine.modeling
        from transformers import {auto_class}
        print(type({auto_class}.from_pretrained(sys.argv[1])).__name__)
    """
    assert run_with_torch(program, change_detector) == expected


def test_the_auto_class_of_the_segmenters_knows_them(segmenter: Path, run_with_torch: Run) -> None:
    program = """
        import sys
        import euromine.modeling
        from transformers import AutoModelForSemanticSegmentation
        print(type(AutoModelForSemanticSegmentation.from_pretrained(sys.argv[1])).__name__)
    """
    assert run_with_torch(program, segmenter) == "SQNetForSemanticSegmentation"


def test_the_auto_class_of_the_change_detectors_needs_no_other(
    change_detector: Path, run_with_torch: Run
) -> None:
    program = """
        import sys
        from euromine.modeling import AutoModelForChangeDetection
        print(type(AutoModelForChangeDetection.from_pretrained(sys.argv[1])).__name__)
    """
    assert run_with_torch(program, change_detector) == "FCEFForChangeDetection"


@pytest.mark.parametrize(
    "imports",
    [
        "from transformers import AutoModel; import euromine.modeling",
        "import transformers; import euromine.modeling; AutoModel = transformers.AutoModel",
        "import euromine.modeling; from transformers.models.auto.modeling_auto import AutoModel",
        # Its import is half done when it imports an Auto class.
        "import euromine.modeling; from transformers import SegformerForSemanticSegmentation, AutoModel",
        "import euromine.modeling; from transformers import pipeline, AutoModel",
        "from euromine.modeling.siamunet_diff import SiamUNetDiffConfig; from transformers import AutoModel",
    ],
)
def test_every_order_of_imports_makes_the_networks_known(
    imports: str, change_detector: Path, run_with_torch: Run
) -> None:
    program = f"""
        import sys
        {imports}
        print(type(AutoModel.from_pretrained(sys.argv[1])).__name__)
    """
    assert run_with_torch(program, change_detector) == "FCEFForChangeDetection"


def test_threads_that_import_at_the_same_time_make_the_networks_known(run_with_torch: Run) -> None:
    program = """
        import threading
        import euromine.modeling

        def load(program, barrier):
            barrier.wait()
            exec(program)

        programs = [
            "from transformers import SegformerForSemanticSegmentation",
            "from transformers import AutoImageProcessor",
            "from transformers import AutoModel",
        ]
        barrier = threading.Barrier(len(programs))
        threads = [threading.Thread(target=load, args=(each, barrier)) for each in programs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        from transformers import AutoConfig
        print(type(AutoConfig.for_model("euromine_tinycd")).__name__)
    """
    assert run_with_torch(program) == "TinyCDConfig"


def test_transformers_alone_does_not_load_the_package(run_with_torch: Run) -> None:
    program = """
        import sys
        from transformers import AutoModel
        print(*(name for name in sys.modules if name.startswith("euromine.")))
    """
    assert run_with_torch(program) == ""


def test_importing_the_package_leaves_transformers_own_classes_alone(run_with_torch: Run) -> None:
    program = """
        import euromine.modeling
        from transformers import AutoModel, AutoModelForSemanticSegmentation, BitConfig, SegformerConfig
        print(AutoModelForSemanticSegmentation._model_mapping[SegformerConfig].__module__)
        print(AutoModel._model_mapping[BitConfig].__module__)
    """
    modules = run_with_torch(program).split()
    assert [name.split(".")[:3] for name in modules] == [
        ["transformers", "models", "segformer"],
        ["transformers", "models", "bit"],
    ]


def test_an_unknown_name_is_an_attribute_error() -> None:
    import euromine.modeling

    assert set(euromine.modeling.__all__) <= set(dir(euromine.modeling))
    with pytest.raises(
        AttributeError, match=r"^module 'euromine\.modeling' has no attribute 'create_models'$"
    ):
        euromine.modeling.create_models  # noqa: B018
