"""Train a network that finds changes between any two years, and score it over all pairs of each series.

    accelerate launch train_cd.py --dataset euromine --architecture tinycd --output_dir runs/tinycd

All of transformers' TrainingArguments are options, too. A JSON or YAML file as the first argument sets any of
them. `--help` lists all options; `training/recipes.py` holds their defaults.
"""

from collections.abc import Sequence

from euromine.support.environment import prepare_process
from euromine.support.interrupts import answer_interrupts_of_imports

answer_interrupts_of_imports(__name__, "train_cd.py")  # the rest takes seconds
if __name__ == "__main__":
    prepare_process()  # before PyTorch is loaded

from transformers import TrainingArguments, set_seed

from euromine.modeling.auto import create_model
from euromine.support.errors import as_user_error, reported_errors
from euromine.support.run_records import RunResults
from euromine.training.arguments import ChangeDetectionArguments, parse_arguments
from euromine.training.collation import SeriesCollator
from euromine.training.console import configure_logging
from euromine.training.data import make_image_processor, read_splits, training_dataset, training_sampler
from euromine.training.evaluation import SeriesScores
from euromine.training.finishing import finish_run
from euromine.training.hub_push import use_token
from euromine.training.run_folder import begin_run, find_run, hold_folder
from euromine.training.series_trainer import SeriesTrainer, data_seed
from euromine.training.training_checks import check_network


def main(argv: Sequence[str] | None = None) -> RunResults:
    """Train, score and describe a change detector.

    Args:
        argv: The command line; default the program's own.

    Returns:
        The results, as in `metrics.json` in the output folder.

    Raises:
        SystemExit: Something went wrong; it was reported on standard error.
    """
    with reported_errors("train_cd.py"):
        return train(argv)


def train(argv: Sequence[str] | None = None) -> RunResults:
    """As `main`, with errors as exceptions."""
    script, training = parse_arguments(ChangeDetectionArguments, argv)
    configure_logging(training)
    with use_token(training), hold_folder(script, training):
        return _train(script, training)


def _train(script: ChangeDetectionArguments, training: TrainingArguments) -> RunResults:
    splits = read_splits(script, training.seed)
    run = find_run(script, training, splits)
    if run.results is not None:
        return run.results
    set_seed(training.seed)
    with as_user_error(script.architecture):
        model = create_model(
            script.architecture,
            bands=script.bands,
            pretrained=False if run.checkpoint else script.checkpoint_to_start_from,
            stem_init=script.stem_init,
            **script.model_config,
        )
    script.lay_out(model)
    trainer = SeriesTrainer(
        model,
        training,
        image_processor=make_image_processor(script, splits),
        train_dataset=training_dataset(script, splits, training),
        eval_dataset=splits.validation,
        collator=SeriesCollator(splits.sites, splits.years, script.counts_whole_patches),
        scores=SeriesScores(script.task, splits.sites, script.averaging),
        sampler=training_sampler(script, splits, data_seed(training)),
        augmentation=script.augmentation,
    )
    check_network(model, training)
    begin_run(run)
    return finish_run(run, trainer)


if __name__ == "__main__":
    main()
