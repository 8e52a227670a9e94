"""The source of a model: the folder of a checkpoint on this machine, or a repository of the Hub."""

from __future__ import annotations

from pathlib import Path

from .errors import ModelError

CONFIG, PROCESSOR_CONFIG = "config.json", "preprocessor_config.json"


def check_model_source(source: str) -> None:
    """Refuse a name that means a folder where there is none, before the Hub is asked for it.

    Args:
        source: A folder, or a repository on the Hub such as "mines/segformer-b5".

    Raises:
        ModelError: It is a file, or looks like a folder and is none (`names_folder`).
    """
    path = Path(source)
    if path.is_dir():
        return
    if path.exists():
        raise ModelError(f"{source}: found a file; expected the folder of a checkpoint.")
    if not _could_be_repository(source):
        raise ModelError(
            f"{source}: found no such folder; expected the folder of a checkpoint, or a repository on the "
            "Hub such as organisation/model."
        )
    if names_folder(source):
        raise ModelError(
            f"{source}: found no such folder; expected the folder of a checkpoint, as there is a folder "
            f"{path.parent}. For a repository of that name on the Hub, run the command from another folder."
        )


def check_checkpoint(source: str) -> None:
    """As `check_model_source`, and refuse a folder without a checkpoint, before PyTorch is loaded.

    Args:
        source: A folder, or a repository on the Hub.

    Raises:
        ModelError: It is none.
    """
    check_model_source(source)
    folder = Path(source)
    if folder.is_dir() and not (folder / CONFIG).is_file():
        raise missing_file(source, CONFIG)


def missing_file(source: str, file: str) -> ModelError:
    """The error for a checkpoint without one of its files.

    Args:
        source: The checkpoint.
        file: The file.
    """
    return ModelError(
        f"{source}: found no {file}; expected a checkpoint with {CONFIG}, {PROCESSOR_CONFIG} and "
        "model.safetensors."
    )


def names_folder(source: str, base: Path = Path()) -> bool:
    """Whether a name means a folder of this machine rather than a repository of the Hub.

    Args:
        source: A name with "/" is a repository only in the form "organisation/model", and only where `base`
            has no folder of the organisation's name.
        base: The folder that relative paths begin in.
    """
    return not _could_be_repository(source) or ("/" in source and (base / source).parent.is_dir())


def _could_be_repository(source: str) -> bool:
    is_path = source.startswith((".", "~")) or "\\" in source or Path(source).is_absolute()
    return not is_path and source.count("/") <= 1
