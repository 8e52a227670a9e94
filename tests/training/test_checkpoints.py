from pathlib import Path

import pytest

from euromine.training import checkpoints


def make_checkpoint(output_dir: Path, step: int, publish: bool = True) -> Path:
    staged = output_dir / checkpoints.STAGING / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name in ("trainer_state.json", "optimizer.pt", "scheduler.pt", "model.safetensors"):
        (staged / name).write_bytes(b"x" * (10 + step))
    target = output_dir / f"checkpoint-{step}"
    if publish:
        checkpoints.publish(staged, target)
        checkpoints.remove(staged.parent)
    return target


def test_the_last_complete_checkpoint_is_found(tmp_path):
    assert checkpoints.last_complete_checkpoint(tmp_path) is None
    assert checkpoints.last_complete_checkpoint(tmp_path / "missing") is None
    for step in (9, 10, 8):
        make_checkpoint(tmp_path, step)
    make_checkpoint(tmp_path, 11, publish=False)
    assert checkpoints.last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json", "complete.json"])
@pytest.mark.parametrize("how", ["gone", "short"])
def test_a_checkpoint_copied_or_deleted_half_is_none(tmp_path, name, how):
    make_checkpoint(tmp_path, 1)
    broken = make_checkpoint(tmp_path, 2) / name
    if how == "gone":
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:-3])
    assert checkpoints.last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-1"


@pytest.mark.parametrize("name", ["optimizer.bin", "optimizer_0/part"])
def test_a_checkpoint_of_divided_weights_is_found_too(tmp_path, name):
    """FSDP calls the optimiser's file otherwise, or makes a folder of it."""
    staged = tmp_path / "staged"
    (staged / name).parent.mkdir(parents=True)
    for each in ("trainer_state.json", "scheduler.pt", "model.safetensors", name):
        (staged / each).write_bytes(b"x")
    checkpoints.publish(staged, tmp_path / "checkpoint-3")
    assert checkpoints.last_complete_checkpoint(tmp_path) == tmp_path / "checkpoint-3"
    (tmp_path / "checkpoint-3" / name).unlink()
    assert checkpoints.last_complete_checkpoint(tmp_path) is None


def test_a_checkpoint_of_weights_alone_cannot_be_continued(tmp_path):
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "model.safetensors").write_bytes(b"x")
    checkpoints.publish(staged, tmp_path / "checkpoint-3")
    assert checkpoints.is_complete(tmp_path / "checkpoint-3")
    assert checkpoints.last_complete_checkpoint(tmp_path) is None


def test_a_checkpoint_replaces_a_broken_one_of_the_same_step(tmp_path):
    (make_checkpoint(tmp_path, 5) / "complete.json").unlink()
    make_checkpoint(tmp_path, 5)
    assert checkpoints.is_complete(tmp_path / "checkpoint-5")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


@pytest.mark.parametrize(
    ("limit", "best", "left"),
    [
        (None, None, [1, 2, 3, 4]),
        (2, None, [3, 4]),
        (2, "checkpoint-1", [1, 4]),
        (1, "checkpoint-2", [2, 4]),
        (3, "checkpoint-4", [2, 3, 4]),
        (9, "checkpoint-1", [1, 2, 3, 4]),
    ],
)
def test_rotation_keeps_the_last_and_the_best(tmp_path, limit, best, left):
    for step in range(1, 5):
        make_checkpoint(tmp_path, step)
    checkpoints.rotate(tmp_path, limit, None if best is None else f"elsewhere/{best}")
    assert [path.name for path in checkpoints.all_checkpoints(tmp_path)] == [f"checkpoint-{n}" for n in left]


def test_what_a_dead_process_left_is_cleaned_and_nothing_else(tmp_path):
    make_checkpoint(tmp_path, 1)
    make_checkpoint(tmp_path, 2, publish=False)
    (tmp_path / "_deleted-checkpoint-0").mkdir()
    (tmp_path / "_deleted-_incomplete").mkdir()
    others = ["_deleted-photos", "_incomplete_thoughts", "notes.part"]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / "_deleted-checkpoint-9").symlink_to(tmp_path / "_deleted-photos")
    checkpoints.clean(tmp_path)
    left = {"checkpoint-1", "_deleted-checkpoint-9", *others}
    assert {path.name for path in tmp_path.iterdir()} == left
