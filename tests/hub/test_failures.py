"""The Hub out of order, and the way to it: waited for, gone on from, or said in one sentence."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Worker, WorkerError, person_environment
from .server import Fault, Hub


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A repository that no other test has."""
    short = "".join(letter for letter in request.node.name if letter.isalnum())[-60:]
    return f"mines/{short}"


@pytest.fixture
def fresh(dataset: Path, tmp_path: Path) -> Path:
    """The dataset with shards that no other test has sent: the Hub knows bytes that it was sent before."""
    folder = tmp_path / "fresh"
    shutil.copytree(dataset, folder)
    for shard in (folder / "data").rglob("*.parquet"):
        shard.write_bytes(str(tmp_path).encode() + shard.read_bytes())
    return folder


def sent(requests: list[tuple[str, str]]) -> list[str]:
    """The large files that came, by their hash."""
    return [path.rpartition("/")[2] for method, path in requests if method == "PUT"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", r"/api/datasets/mines/", status=503),
        Fault("POST", r"/api/repos/create", status=500),
        Fault("POST", r"/preupload/", status=502),
        Fault("POST", r"/objects/batch", kind="drop_answer"),
        Fault("PUT", r"/_lfs/", status=500, times=2),
        Fault("PUT", r"/_lfs/", kind="drop_request"),
        Fault("POST", r"/commit/", status=504),
        Fault("POST", r"/commit/", kind="drop_request"),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.method}{fault.pattern.strip('/')}",
)
def test_what_fails_for_a_moment_is_tried_again(
    fault: Fault, name: str, publisher: Worker, fresh: Path, hub: Hub
) -> None:
    with hub.failing(Fault(fault.method, fault.pattern, fault.kind, fault.status, fault.times)):
        status, output = publisher.euromine("publish", "dataset", fresh, name)
    assert status == 0, output
    here = {path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()}
    assert set(hub.files("dataset", name)) == here | {".gitattributes"}
    for path in here - {"README.md"}:
        assert hub.read("dataset", name, path) == (fresh / path).read_bytes()
    assert len(hub.history("dataset", name)) == 2


def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    name: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    with hub.failing(Fault("POST", "/commit/", kind="drop_answer")):
        status, output = publisher.euromine("publish", "dataset", dataset, name)
    assert status == 0, output
    assert len(hub.history("dataset", name)) == 2


def test_a_stopped_publication_goes_on_where_it_was(name: str, fresh: Path, hub: Hub, tmp_path: Path) -> None:
    waiting = Fault("PUT", "/_lfs/", kind="wait", times=100)
    command = [sys.executable, "-m", "euromine.commands", "publish", "dataset", str(fresh), name]
    environment = person_environment(tmp_path / "home", hub.url)
    with hub.noted() as requests:
        hub.faults = [waiting]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert waiting.reached.wait(60)
        process.send_signal(signal.SIGINT)
        hub.faults = []
        waiting.released.set()
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert f"Stopped: {name} is as it was" in output
    assert "Traceback" not in output
    arrived = set(sent(requests))
    assert arrived
    assert len(hub.history("dataset", name)) == 1
    with hub.noted() as requests:
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert not arrived & set(sent(requests))
    assert len(hub.history("dataset", name)) == 2


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (
            None,
            "There is no token that could write to {name}: log in with `hf auth login`, or",
        ),
        ("hf_expired", "does not accept the token for {name}: it may have expired or be mistyped"),
        ("hf_reader", "The token may not write to {name}: it needs write access to mines"),
    ],
)
def test_a_token_that_will_not_do_is_said_so(
    token: str | None, expected: str, name: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    status, output = publisher.euromine("publish", "dataset", dataset, name, token=token)
    sentence = output.rpartition("euromine: ")[2]
    assert (status, expected.format(name=name) in sentence) == (1, True), output
    assert "\n" not in sentence
    assert not hub.exists("dataset", name)


def test_a_dry_run_without_a_token_lists_all_the_same(name: str, publisher: Worker, dataset: Path) -> None:
    status, output = publisher.euromine("publish", "dataset", dataset, name, "--dry-run", token=None)
    assert status == 0
    assert "data/annual/train-00000-of-00001.parquet" in output
    assert "Nothing can be sent: There is no token" in output


def test_what_somebody_else_commits_meanwhile_is_kept(
    name: str, publisher: Worker, dataset: Path, hub: Hub
) -> None:
    waiting = Fault("POST", "/objects/batch", kind="wait")

    def interfere() -> None:
        assert waiting.reached.wait(60)
        hub.write("dataset", name, {"theirs.csv": b"1"}, "Meanwhile")
        waiting.released.set()

    thread = threading.Thread(target=interfere)
    thread.start()
    with hub.failing(waiting):
        status, output = publisher.euromine("publish", "dataset", dataset, name)
    thread.join()
    sentence = output.rpartition("euromine: ")[2]
    assert (status, f"{name} was changed by somebody else in the meantime" in sentence) == (1, True), output
    assert "\n" not in sentence
    assert hub.history("dataset", name)[0] == "Meanwhile"


def test_a_card_that_the_hub_refuses_is_said_so(
    name: str, publisher: Worker, dataset: Path, hub: Hub, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    card = (copy / "README.md").read_text()
    (copy / "README.md").write_text(card.replace("license: cc-by-4.0", "license: cc-by-99"))
    with hub.noted() as requests:
        status, output = publisher.euromine("publish", "dataset", copy, name)
    assert (status, '"license" must be one of the known identifiers, not cc-by-99' in output) == (1, True), (
        output
    )
    assert sent(requests) == []


def test_offline_is_one_sentence(dataset: Path, hub: Hub, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "euromine.commands", "publish", "dataset", str(dataset), "mines/x"],
        env=person_environment(tmp_path, hub.url) | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "HF_HUB_OFFLINE is set, so mines/x cannot be reached; unset it to publish." in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.fixture(scope="module")
def published(publisher: Worker, dataset: Path, save_model: Callable[..., Path]) -> None:
    """Repositories of each kind, to read while things fail."""
    for name in ("one", "two"):
        for kind, folder in (("dataset", dataset), ("model", save_model())):
            status, output = publisher.euromine("publish", kind, folder, f"tester/{kind}-{name}")
            assert status == 0, output
    status, output = publisher.euromine("publish", "metric", "interval_f1", "tester/interval_f1")
    assert status == 0, output


LOADING = {
    "model": """
from transformers import AutoModel
AutoModel.from_pretrained(f"tester/model-{name}", trust_remote_code=True)
""",
    "dataset": """
from datasets import load_dataset
value = len(load_dataset(f"tester/dataset-{name}", "annual", split="train"))
""",
    "metric": """
import evaluate
value = evaluate.load("tester/interval_f1").name
""",
}


@pytest.mark.parametrize(
    ("kind", "pattern"), [("model", r"model\.safetensors"), ("dataset", r"annual/train-.*parquet")]
)
def test_a_truncated_download_is_detected_and_never_kept(
    kind: str, pattern: str, published: None, reader: Worker, hub: Hub
) -> None:
    # Half of it under a length that says it is all: the client knows better from the listing.
    with hub.failing(Fault("GET", pattern, kind="lie")), pytest.raises(WorkerError) as caught:
        reader.run(LOADING[kind], name="one")
    assert "Consistency check failed" in caught.value.trace
    # Half of it, then nothing: said as well, and half of it is kept to go on from.
    with hub.failing(Fault("GET", pattern, kind="truncate")), pytest.raises(WorkerError):
        reader.run(LOADING[kind], name="one")
    reader.run(LOADING[kind], name="one")


@pytest.fixture(scope="module")
def traveller(published: None, reader: Worker, start_person: Callable[..., Worker]) -> Worker:
    """Somebody who has loaded everything once and then lost the network."""
    for source in LOADING.values():
        reader.run(source, name="two")
    home = reader.environment["HF_HOME"]
    return start_person(alone=False, HF_HOME=home, HF_ENDPOINT="http://127.0.0.1:9")


@pytest.mark.parametrize("kind", LOADING)
def test_without_a_network_what_was_loaded_before_comes_from_the_cache(kind: str, traveller: Worker) -> None:
    traveller.run(LOADING[kind], name="two")


def test_without_a_network_what_was_never_loaded_is_said_so(traveller: Worker) -> None:
    with pytest.raises(WorkerError) as caught:
        traveller.run(
            'from euromine.dataset_script.reading import read_dataset; read_dataset("mines/never", "annual")'
        )
    assert "mines/never" in str(caught.value)
    assert caught.value.kind in ("ConnectionError", "FileNotFoundError")
    assert "\n" not in str(caught.value)


def test_without_a_network_publishing_says_so_in_one_sentence(traveller: Worker, dataset: Path) -> None:
    status, output = traveller.euromine("publish", "dataset", dataset, "mines/x")
    sentence = output.rpartition("euromine: ")[2]
    assert status == 1
    assert sentence.startswith("http://127.0.0.1:9 cannot be reached (")
    assert "the same command continues from there" in sentence
    assert "\n" not in sentence
