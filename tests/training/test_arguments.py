import json
import os

import pytest
import torch
from huggingface_hub import get_token
from transformers import get_scheduler

from euromine import train_seg
from euromine.modeling.auto import create_model
from euromine.support.errors import ArgumentError, EuroMineError
from euromine.training.arguments import ChangeDetectionArguments, SegmentationArguments, parse_arguments
from euromine.training.recipes import recipe_defaults
from euromine.training.training_checks import check_layout, check_network

SEGMENT = ["--dataset", "shards", "--architecture", "segformer-b0", "--use_cpu"]
CHANGES = ["--dataset", "shards", "--architecture", "tinycd", "--use_cpu"]


def test_the_paper_recipe_is_the_papers():
    _, training = parse_arguments(SegmentationArguments, [*SEGMENT, "--recipe", "paper"])
    assert (training.optim, training.weight_decay, training.learning_rate) == ("adamw_torch", 0.0, 1e-4)
    assert training.per_device_train_batch_size == 32
    assert training.max_grad_norm == 0


def test_adamw_without_weight_decay_is_adam():
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 9)) for _ in range(2)]
    optimizers = [
        torch.optim.AdamW([weights[0]], lr=1e-4, weight_decay=0.0),
        torch.optim.Adam([weights[1]], lr=1e-4),
    ]
    for step in range(5):
        for weight, optimizer in zip(weights, optimizers, strict=True):
            optimizer.zero_grad()
            (weight**2 * (step + 1)).sum().backward()
            optimizer.step()
    assert torch.equal(*weights)


def test_the_papers_cosine_falls_to_its_end_once():
    _, training = parse_arguments(SegmentationArguments, [*SEGMENT, "--recipe", "paper"])
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=training.learning_rate)
    steps = 200
    scheduler = get_scheduler(
        training.lr_scheduler_type,
        optimizer,
        num_warmup_steps=training.get_warmup_steps(steps),
        num_training_steps=steps,
        scheduler_specific_kwargs=training.lr_scheduler_kwargs,
    )
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    # Half a cosine from 1e-4 to 1e-7, by its formula.
    expected = 1e-7 + (1e-4 - 1e-7) * (1 + torch.cos(torch.pi * torch.arange(steps + 1) / steps)) / 2
    torch.testing.assert_close(torch.tensor(rates), expected.to(torch.float32), rtol=1e-4, atol=1e-9)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("recipe", ["default", "paper"])
@pytest.mark.parametrize("kind", ["linear", "cosine", "polynomial", "constant", "constant_with_warmup"])
def test_another_schedule_gets_no_argument_of_the_recipes_own(recipe, kind):
    _, training = parse_arguments(
        SegmentationArguments, [*SEGMENT, "--recipe", recipe, "--lr_scheduler_type", kind]
    )
    assert not training.lr_scheduler_kwargs
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
    get_scheduler(training.lr_scheduler_type, optimizer, 1, 8, training.lr_scheduler_kwargs)


def test_a_schedules_own_arguments_are_kept_and_wrong_ones_are_refused():
    chosen = [*SEGMENT, "--lr_scheduler_type", "polynomial", "--lr_scheduler_kwargs"]
    _, training = parse_arguments(SegmentationArguments, [*chosen, '{"power": 2.0}'])
    assert training.lr_scheduler_kwargs == {"power": 2.0}
    with pytest.raises(
        ArgumentError, match=r"lr_scheduler_kwargs: found .* for --lr_scheduler_type polynomial"
    ):
        parse_arguments(SegmentationArguments, [*chosen, '{"min_lr_rate": 0.01}'])


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("label_smoothing_factor", "0.1", "expected 0.0"),
        ("bf16_full_eval", "true", "expected False"),
        ("fp16_full_eval", "true", "expected False"),
        ("prediction_loss_only", "true", "expected False"),
        ("batch_eval_metrics", "false", "expected True"),
        ("remove_unused_columns", "true", "expected False"),
        ("greater_is_better", "false", "expected True"),
        ("metric_for_best_model", "loss", "expected a validation score: of1, of1_pooled"),
    ],
)
def test_what_would_reach_the_scores_is_refused_first(option, value, expected):
    with pytest.raises(ArgumentError, match=rf"^--{option}: found .*{expected}"):
        parse_arguments(SegmentationArguments, [*SEGMENT, f"--{option}", value])


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("learning_rate", "-1"),
        ("learning_rate", "nan"),
        ("weight_decay", "inf"),
        ("per_device_train_batch_size", "0"),
        ("gradient_accumulation_steps", "0"),
        ("dataloader_num_workers", "-1"),
        ("num_train_epochs", "-1"),
        ("seed", "-1"),
        ("max_steps", "0"),
        ("max_steps", "-5"),
    ],
)
def test_a_number_that_trains_nothing_is_refused_first(option, value):
    with pytest.raises(ArgumentError, match=rf"^--{option}: found {value}.*; expected .*at least [01]\."):
        parse_arguments(SegmentationArguments, [*SEGMENT, f"--{option}", value])


def test_tinycd_is_trained_with_its_published_optimiser():
    _, training = parse_arguments(ChangeDetectionArguments, [*CHANGES, "--recipe", "paper"])
    assert training.learning_rate == 0.00356799066427741
    assert training.weight_decay == 0.009449677083344786
    assert training.num_train_epochs == 10


def test_the_papers_batch_is_divided_among_processes():
    options = {"pretrained": False, "bf16": False}
    arguments = recipe_defaults("paper", "segmentation", "unet", processes=4, **options)
    assert arguments["per_device_train_batch_size"] == 8
    with pytest.raises(
        ArgumentError,
        match="--recipe paper: found 3 processes; expected a number that divides its batch of 32",
    ):
        recipe_defaults("paper", "segmentation", "unet", processes=3, **options)


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
@pytest.mark.parametrize("in_first_place", [True, False])
def test_the_command_line_overrules_the_file_and_the_file_the_recipe(tmp_path, suffix, in_first_place):
    values = {
        "dataset": "shards",
        "architecture": "tinycd",
        "recipe": "paper",
        "learning_rate": "3e-4" if suffix == ".yaml" else 3e-4,
        "weight_decay": 0.5,
        "pairs_per_patch": 6,
        "years": [2015, 2016],
        "config_overrides": {"widths": [1, 2]},
        "augmentation": False,
        "use_cpu": True,
    }
    path = tmp_path / f"run{suffix}"
    path.write_text(json.dumps(values).replace('"3e-4"', "3e-4"))
    config = [str(path)] if in_first_place else ["--config", str(path)]
    script, training = parse_arguments(
        ChangeDetectionArguments, [*config, "--weight_decay", "0.25", "--interval_sampling", "inverse"]
    )
    assert (training.learning_rate, training.weight_decay) == (3e-4, 0.25)
    assert training.per_device_train_batch_size == 32
    assert (script.number_of_pairs, script.interval_sampling) == (6, "inverse")
    assert script.years == [2015, 2016]
    assert script.model_config == {"widths": [1, 2]}
    assert not script.augmentation


@pytest.mark.parametrize(
    ("given", "batch_size"),
    [
        ([], 16),
        (["--training", "series"], 1),
        (["--training", "series", "--pairs_per_patch", "5"], 3),
        (["--training", "series", "--pairs_per_patch", "5", "--recipe", "paper"], 6),
        (["--training", "series", "--pairs_per_patch", "99"], 1),
        (["--training", "series", "--per_device_train_batch_size", "7"], 7),
    ],
)
def test_a_batch_of_patches_has_about_as_many_pairs_as_one_of_pairs(given, batch_size):
    script, training = parse_arguments(ChangeDetectionArguments, [*CHANGES, *given])
    assert training.per_device_train_batch_size == batch_size
    assert script.training == ("series" if given else "pairs")


def test_channels_are_innermost_on_request():
    given = ["--dataset", "d", "--architecture", "unet", "--output_dir", "o", "--use_cpu"]
    for more, expected in (([], False), (["--channels_last"], True)):
        script, _ = parse_arguments(SegmentationArguments, [*given, *more])
        layer = torch.nn.Conv2d(10, 4, 3)
        script.lay_out(layer)
        assert layer.weight.is_contiguous(memory_format=torch.channels_last) == expected
        check_layout(layer, divides_weights=False)
    with pytest.raises(ArgumentError, match="--channels_last: found FSDP"):
        check_layout(layer, divides_weights=True)


def test_bands_are_separated_by_spaces_or_commas():
    script, _ = parse_arguments(SegmentationArguments, [*SEGMENT, "--bands", "B04,B03", "B02"])
    assert script.bands == ["B04", "B03", "B02"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], False), (["--pretrained"], True), (["--pretrained", "owner/name"], "owner/name")],
)
def test_pretrained_is_a_flag_or_names_a_source(given, expected):
    script, training = parse_arguments(SegmentationArguments, [*SEGMENT, *given])
    assert script.checkpoint_to_start_from == expected
    assert training.learning_rate == (1e-4 if expected else 1e-3)


def test_checkpoints_are_saved_as_often_as_is_evaluated():
    _, training = parse_arguments(
        SegmentationArguments, [*SEGMENT, "--eval_strategy", "steps", "--eval_steps", "7"]
    )
    assert (training.save_strategy, training.save_steps) == ("steps", 7)
    assert training.load_best_model_at_end
    _, training = parse_arguments(SegmentationArguments, [*SEGMENT, "--eval_strategy", "no"])
    assert training.save_strategy == "epoch"
    assert not training.load_best_model_at_end


@pytest.mark.parametrize("before", [None, "another"])
def test_a_token_is_in_the_environment_while_a_script_runs_and_in_nothing_saved(
    monkeypatch, tmp_path, before
):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if before is not None:
        monkeypatch.setenv("HF_TOKEN", before)
    seen = []

    def find_out(script, training):
        seen.append((get_token(), training.hub_token, "secret" in str(vars(training))))
        raise KeyError("enough")

    monkeypatch.setattr(train_seg, "_train", find_out)
    given = [*SEGMENT, "--output_dir", str(tmp_path / "run"), "--hub_token", "secret"]
    with pytest.raises(KeyError):
        train_seg.train(given)
    assert seen == [("secret", None, False)]
    assert os.environ.get("HF_TOKEN") == before


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ([], "--dataset: found no value; expected one, as it is required."),
        (["--dataset", "shards"], "--architecture: found no value; expected one, as it is required."),
        (
            [*SEGMENT, "--learning_rat", "1"],
            "command line: found the unknown option --learning_rat; expected --learning_rate",
        ),
        ([*SEGMENT, "--learning_rate", "fast"], "invalid float value: 'fast'"),
        ([*SEGMENT, "--recipe", "secret"], "--recipe: invalid choice: 'secret'"),
        ([*SEGMENT, "--max_train_samples", "0"], "--max_train_samples: found 0; expected at least 1."),
        (
            [*SEGMENT, "--config_overrides", "{depths}"],
            "--config_overrides: found '{depths}', which is not JSON (",
        ),
        (
            [*SEGMENT, "--config_overrides", "3"],
            "--config_overrides: found '3'; expected a JSON object of fields.",
        ),
        (
            ["--dataset", "shards", "--architecture", "tinycd"],
            "found tinycd, a change detector; expected a footprint mapper. Train it with train_cd.py.",
        ),
        (
            ["--dataset", "shards", "--architecture", "segfromer"],
            "--architecture: found 'segfromer'; expected segformer-b",
        ),
        (["missing.yaml"], "missing.yaml"),
    ],
)
def test_mistakes_are_told_in_a_sentence(argv, sentence):
    with pytest.raises((EuroMineError, OSError)) as raised:
        parse_arguments(SegmentationArguments, argv)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            ["--dataset", "shards", "--architecture", "unet"],
            "found unet, a footprint mapper; expected a change detector. Train it with train_seg.py.",
        ),
        (
            [*CHANGES, "--pairs_per_patch", "few"],
            "--pairs_per_patch: found 'few'; expected all or a number of at least 1.",
        ),
        (
            [*CHANGES, "--pairs_per_patch", "0"],
            "--pairs_per_patch: found '0'; expected all or a number of at least 1.",
        ),
        (
            [*CHANGES, "--interval_sampling", "balanced"],
            "--interval_sampling: found balanced with --pairs_per_patch all; expected a number of pairs",
        ),
    ],
)
def test_mistakes_of_change_detection_are_told_too(argv, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        parse_arguments(ChangeDetectionArguments, argv)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("learning_rat: 1", "found the unknown option learning_rat; expected learning_rate"),
        ("recipe: secret", "found 'secret' for recipe; expected one of default, paper."),
        ("- 1", "found no options; expected lines such as `architecture: segformer-b0`."),
        ("a: [", r"found text that is not YAML \(.*\); expected options and their values\."),
        ("[" * 20_000, r"found text that is not YAML \(.*\); expected options and their values\."),
    ],
)
def test_mistakes_in_a_file_name_it(tmp_path, text, sentence):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=sentence) as raised:
        parse_arguments(SegmentationArguments, [str(path)])
    assert str(path) in str(raised.value)


def test_the_papers_protocol_normalises_and_pools_as_the_paper_does():
    script, _ = parse_arguments(SegmentationArguments, [*SEGMENT, "--protocol", "paper"])
    assert (script.statistics, script.averaging, script.counts_whole_patches) == ("paper", "pooled", True)
    script, _ = parse_arguments(SegmentationArguments, SEGMENT)
    assert (script.statistics, script.averaging, script.counts_whole_patches) == (None, "site", False)
    script, _ = parse_arguments(SegmentationArguments, [*SEGMENT, "--average", "pooled"])
    assert (script.averaging, script.counts_whole_patches) == ("pooled", False)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (("--average", "site"), "--average: found site with --protocol paper; expected pooled."),
        (("--statistics", "dataset"), "--statistics: found dataset with --protocol paper; expected paper."),
    ],
)
def test_the_papers_protocol_is_not_mixed_with_another(other, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        parse_arguments(SegmentationArguments, [*SEGMENT, "--protocol", "paper", *other])


def test_help_shows_the_defaults(capsys):
    with pytest.raises(SystemExit) as left:
        parse_arguments(ChangeDetectionArguments, ["--help"])
    assert left.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: uniform)" in shown
    assert " object at 0x" not in shown
    # Options that turn others off have no default and no help of their own.
    assert " ".join(shown.split()).count("Flip and rotate training patches.") == 1
    assert "Turn --augmentation off." in shown


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("adam_beta1", "2", "expected a number of at least 0 and below 1"),
        ("optim_args", "foo", "expected name=value"),
        ("optim_args", "foo=1", "found 'foo=1', which has no effect with --optim adamw_torch"),
        ("report_to", "foo", "foo is not supported, only "),
        ("deepspeed", "x", "found 'x', but no library deepspeed; expected it to be installed"),
        ("torch_compile_backend", "foo", "expected one of .*inductor"),
        ("torch_compile_mode", "foo", "expected one of default, "),
        ("optim", "galore_adamw", "found galore_adamw, whose library is missing .*galore_torch"),
        ("fsdp", "full_shard", "found one process; expected several"),
        ("neftune_noise_alpha", "5", "expected None"),
        ("use_liger_kernel", "true", "expected False"),
        ("gradient_checkpointing_kwargs", '{"use_reentrant": true}', "expected false"),
        ("max_grad_norm", "-1", "expected a number of at least 0"),
    ],
)
def test_what_only_a_library_would_refuse_is_refused_first(option, value, expected):
    with pytest.raises(ArgumentError, match=rf"^--{option}: .*{expected}"):
        parse_arguments(SegmentationArguments, [*SEGMENT, f"--{option}", value])


def test_an_argument_that_the_optimiser_takes_is_accepted():
    given = ["--optim", "sgd", "--optim_args", "momentum=0.9, nesterov=true"]
    _, training = parse_arguments(SegmentationArguments, [*SEGMENT, *given])
    assert training.optim_args == "momentum=0.9, nesterov=true"
    with pytest.raises(ArgumentError, match="found 'beta=1', which has no effect with --optim sgd"):
        parse_arguments(
            SegmentationArguments, [*SEGMENT, "--optim", "sgd", "--optim_args", "momentum=0.9,beta=1"]
        )


def test_a_field_of_a_json_option_that_is_unknown_is_told_in_a_sentence():
    with pytest.raises(ArgumentError, match=r"^TrainingArguments: found a value .*'foo'\); expected"):
        parse_arguments(SegmentationArguments, [*SEGMENT, "--accelerator_config", '{"foo": 1}'])


def test_gradient_checkpointing_of_a_network_without_layers_for_it_is_refused():
    _, training = parse_arguments(SegmentationArguments, [*SEGMENT, "--gradient_checkpointing"])
    check_network(create_model("unet"), training)
    for name in ("deeplabv3plus-mobilenetv2", "fc-ef"):
        with pytest.raises(
            ArgumentError, match=r"^--gradient_checkpointing: found .*; expected a network with"
        ):
            check_network(create_model(name), training)
