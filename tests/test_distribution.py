"""The wheel and the source distribution: complete, and at work outside the repository."""

import os
import shutil
import subprocess
import sys
import tarfile
import textwrap
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SETTINGS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
# What a build of this checkout leaves beside the sources, and what git keeps.
NO_SOURCES = shutil.ignore_patterns(
    ".*", "build", "dist", "runs", "tests", "docs", "euromine", "*.egg-info", "__pycache__"
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source distribution of a copy of the sources."""
    folder = tmp_path_factory.mktemp("distributions")
    shutil.copytree(REPOSITORY, folder / "source", ignore=NO_SOURCES)
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        folder / "dist",
        folder / "source",
    ]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-3000:]
    printed = built.stdout + built.stderr
    assert "WARNING" not in printed, printed[printed.index("WARNING") :][:3000]
    return folder / "dist"


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    (path,) = distributions.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs a program of a fresh environment that holds the wheel, in an empty folder.

    The environment sees the libraries of this one, but neither its editable installation nor the checkout.
    """
    home = tmp_path_factory.mktemp("elsewhere")
    environment = home / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (own,) = [Path(path) for path in sys.path if Path(path).name == "site-packages"][:1]
    (site_packages / "libraries.pth").write_text(f"{own}\n")
    python = environment / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(list(map(str, install)), check=True)
    variables = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    variables |= {
        "HF_HOME": str(home / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    work = home / "work"
    work.mkdir()

    def run(*command: object) -> "subprocess.CompletedProcess[str]":
        program = environment / "bin" / str(command[0])
        result = subprocess.run(
            [str(program), *map(str, command[1:])],
            cwd=work,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}"
        return result

    return run


# The command that the wheel installs, as often as wanted in one process: loading the libraries takes longer
# than what the commands do here.
COMMAND = """
import sys
from importlib.metadata import entry_points

(script,) = entry_points(group="console_scripts", name="euromine")

def euromine(*arguments):
    sys.argv = ["euromine", *arguments]
    try:
        script.load()()
    except SystemExit as ended:
        assert not ended.code, arguments
"""


@pytest.fixture(scope="session")
def mine(installed: Run) -> Run:
    """The same, in a folder that holds an archive, its shards ./euromine and a network."""
    code = """
        sites = ("--sites", "Germany_2,Spain_1,Greece_3", "--size", "160x160", "--years", "2015-2016")
        euromine("simulate", "archive", *sites, "--workers", "1")
        euromine("build", "archive", "euromine", "--workers", "1")

        from euromine.modeling import EuroMineImageProcessor, create_model
        create_model("fc-ef").save_pretrained("detector")
        create_model("unet").save_pretrained("mapper")
        for name in ("detector", "mapper"):
            EuroMineImageProcessor.from_statistics("corrected").save_pretrained(name)
    """
    installed("python", "-c", COMMAND + textwrap.dedent(code))
    return installed


def names_in(package: str) -> set[str]:
    """All files of a subpackage that a user needs."""
    folder = REPOSITORY / package.removeprefix("euromine").lstrip(".").replace(".", "/")
    files = {
        path
        for path in folder.iterdir()
        if path.suffix in (".py", ".json", ".csv", ".jinja", ".typed") and not path.name.startswith(".")
    }
    pages = {path for path in (folder / "static").rglob("*") if path.is_file()}
    return {f"{package.replace('.', '/')}/{path.relative_to(folder).as_posix()}" for path in files | pages}


def test_every_folder_with_code_or_pages_is_a_package_of_the_distribution():
    found = {
        ".".join(("euromine", *path.parent.relative_to(REPOSITORY).parts))
        for path in REPOSITORY.glob("[a-z]*/**/__init__.py")
        if path.relative_to(REPOSITORY).parts[0] not in ("tests", "build", "runs", "docs")
    }
    static = REPOSITORY / "app" / "static"
    folders = (static, *(path for path in static.rglob("*") if path.is_dir()))
    pages = {".".join(("euromine", *path.relative_to(REPOSITORY).parts)) for path in folders}
    assert set(SETTINGS["tool"]["setuptools"]["packages"]) == {"euromine", *found, *pages}


def test_the_wheel_holds_all_code_and_data_and_nothing_else(wheel: Path):
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = SETTINGS["tool"]["setuptools"]["packages"]
    wanted = set().union(*(names_in(package) for package in packages if package != "euromine"))
    spaces = {
        name for name in files if name.startswith("euromine/metrics/") and name.endswith((".md", ".txt"))
    }
    assert files - spaces == wanted | {"euromine/train_seg.py", "euromine/train_cd.py"}
    assert len(spaces) == 8  # the page and the requirements of each metric's Space


def test_the_source_distribution_builds_the_same_wheel(distributions: Path, wheel: Path, tmp_path: Path):
    (source,) = distributions.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--wheel",
        "--outdir",
        tmp_path / "dist",
        folder,
    ]
    subprocess.run(list(map(str, command)), capture_output=True, check=True)
    (again,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert {file.filename: file.CRC for file in one.infolist()} == {
            file.filename: file.CRC for file in other.infolist()
        }


def test_the_command_runs_from_the_wheel(installed: Run):
    assert "Usage: euromine" in installed("euromine", "--help").stdout
    assert installed("euromine", "--version").stdout == f"euromine {SETTINGS['project']['version']}\n"
    where = installed("python", "-c", "import euromine.modeling as package; print(package.__file__)").stdout
    assert not Path(where.strip()).is_relative_to(REPOSITORY)


def test_three_lines_work_from_the_wheel(mine: Run):
    code = """
        import evaluate
        from datasets import load_dataset
        from transformers import AutoModel
        import euromine.modeling

        rows = load_dataset("euromine")
        assert rows["train"].features["image"].dtype == "binary", rows
        model = AutoModel.from_pretrained("detector")
        assert type(model).__name__ == "FCEFForChangeDetection", model
        metric = evaluate.load("ca_tiou")
        assert metric.name == "ca_tiou"
    """
    # The bare name of the metric is what `link` makes; the bare name of the data is the folder's own.
    mine("euromine", "link", "euromine")
    mine("python", "-c", textwrap.dedent(code))


def test_scenes_and_series_are_mapped_and_reported_from_the_wheel(mine: Run):
    images = "archive/EuroMineNet/Spain_1"
    mine("euromine", "predict", "mapper", f"{images}/image/Year2015.tif", "--out", "maps")
    code = f"""
        from pathlib import Path
        from euromine.monitoring import SeriesResult

        euromine("series", "mapper", "{images}", "--out", "history")
        euromine("report", "history")
        assert Path("maps/Year2015_footprint.tif").is_file()
        result = SeriesResult("history")
        assert result.years == [2015, 2016]
        assert result.footprint(2016).shape == (160, 160)
        assert "Spain_1" in Path("history/report.html").read_text()
    """
    mine("python", "-c", COMMAND + textwrap.dedent(code))
