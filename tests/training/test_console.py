import pytest

from euromine.training.console import log_line


@pytest.mark.parametrize(
    ("logs", "line"),
    [
        (
            {"loss": 0.51234, "grad_norm": 1.0, "learning_rate": 3.21e-4, "epoch": 1.5},
            "step 3/9  epoch 1.50  loss 0.5123  learning rate 0.00032",
        ),
        (
            {"eval_of1_pooled": 0.25, "eval_runtime": 3.0, "epoch": 1.0},
            "step 3/9  epoch 1.00  validation  of1_pooled 0.2500",
        ),
        ({"train_runtime": 12.3, "epoch": 2.0}, "step 3/9  epoch 2.00  trained in 12 s"),
        ({"epoch": 2.0}, ""),
    ],
)
def test_a_log_is_one_line(logs, line):
    assert log_line(logs, 3, 9) == line
