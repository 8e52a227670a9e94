"""`--push_to_hub`: publish the finished model as `euromine publish model` does."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from transformers import TrainingArguments
from transformers.trainer_utils import HubStrategy

from euromine.hub.contents import Contents
from euromine.hub.publishing import full_name, make_repository, plan_publication, publish
from euromine.hub.trained_model import model_contents, results_among
from euromine.support.errors import ArgumentError, EuroMineError, one_line
from euromine.support.run_records import RESULTS_FILE

from .arguments import ScriptArguments

logger = logging.getLogger(__name__)

_TOKEN = "HF_TOKEN"


@contextmanager
def use_token(training: TrainingArguments) -> Iterator[None]:
    """Give `--hub_token` to the Hub's client within the block, by the environment, which is restored.

    Args:
        training: transformers' arguments, from which the token is removed: they are saved and uploaded.
    """
    token, training.hub_token = training.hub_token, None
    if not token:
        yield
        return
    before = os.environ.get(_TOKEN)
    os.environ[_TOKEN] = token
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_TOKEN, None)
        else:
            os.environ[_TOKEN] = before


def prepare_repository(script: ScriptArguments, training: TrainingArguments, digest: str) -> None:
    """Check before training that its result can be published, and make the repository.

    Args:
        script: The script's arguments.
        training: transformers' arguments; `hub_model_id` becomes the repository's full name.
        digest: Digest of the data.

    Raises:
        ArgumentError: `hub_strategy` asks for more than the finished model, or the repository's name is
            invalid.
        FileExistsError: The repository holds another model.
        OSError: The Hub cannot be reached, or does not accept the token.
    """
    if training.hub_strategy != HubStrategy.END:
        raise ArgumentError(
            f"--hub_strategy: found {HubStrategy(training.hub_strategy).value}; expected end. Checkpoints "
            "hold optimiser states and no card, so only the finished model is published."
        )
    name = training.hub_model_id or Path(training.output_dir or "").absolute().name
    training.hub_model_id = full_name(name)
    if training.process_index:
        return
    contents = Contents(
        repo_type="model",
        title=f"{script.architecture} trained on these data",
        files=(),
        owned=(),
        identity=("config.json", RESULTS_FILE),
        difference=lambda found: _difference(script.architecture, digest, found),
    )
    private = bool(training.hub_private_repo)
    make_repository(plan_publication(contents, training.hub_model_id, private=private))


def publish_finished(output_dir: Path, training: TrainingArguments) -> None:
    """Publish a finished run, on the first process.

    Raises:
        OSError: It could not be published; the run itself is complete, and the message says so.
    """
    if training.process_index:
        return
    name = str(training.hub_model_id)
    try:
        contents = model_contents(output_dir, name)
        url = publish(plan_publication(contents, name, revision=training.hub_revision))
    except (OSError, EuroMineError) as error:
        raise OSError(
            f"{one_line(error)} The model is complete in {output_dir}: run the same command again, or "
            "`euromine publish model`, to publish it."
        ) from error
    logger.info("Published: %s", url)


def _difference(architecture: str, digest: str, found: Mapping[str, bytes]) -> str | None:
    """The other contents of a repository, as far as they are known before there is a model."""
    if "config.json" not in found:
        return "no model, but other files"
    results = results_among(found)
    if results is None:
        return "a model that none of these scripts trained"
    if results.architecture != architecture:
        return f"another model ({results.architecture})"
    if results.protocol.digest != digest:
        return "the same network trained on other data"
    return None
