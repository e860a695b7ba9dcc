"""No run ends as a success with numbers that are not finite."""

import dataclasses

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.training.finite import NonFiniteLoss, require_finite, require_finite_weights
from bimt_tf.training.setup import set_up


def small(**training):
    usual = {"steps": 20, "swap_every": 5, "log_every": 20, "checkpoint_every": 5, "compile": "no"}
    return make("symbolic-a", overrides={"training": {**usual, **training}})


@pytest.mark.parametrize("training", [
    {"lr": 1e30}, {"lr": 1e30, "steps": 1}, {"lr": 1e30, "steps": 1, "finish": 0.0}, {"finish_lr": 1e30},
    {"finish_lr": 1e38, "steps": 2, "finish": 0.5}, {"lr": 1e30, "method": "vanilla"},
    {"lr": 1e30, "steps": 2, "polish": 0.5}, {"weight_decay": 1e30}, {"lr": 1e38, "swap_every": 1},
])  # fmt: skip
def test_numbers_that_overflow_stop_the_run(training):
    method = training.pop("method", "bimt")
    trainer = set_up(dataclasses.replace(small(**training), method=method))
    records, saved = [], []
    with pytest.raises(NonFiniteLoss, match="at step"):
        trainer.run(on_record=records.append, on_checkpoint=saved.append)
    assert all(torch.isfinite(torch.tensor(record)).all() for record in records)
    assert all(torch.isfinite(w).all() for c in saved for w in c.model.values())


def test_a_loss_that_is_not_finite_on_held_out_examples_alone():
    trainer, records = set_up(small(lr=1e-3, log_every=12)), []
    trainer.held_out.inputs[0] = torch.inf
    with pytest.raises(NonFiniteLoss, match="held-out loss is nan at step 12"):
        trainer.run(on_record=records.append)
    assert records == []


def test_what_is_not_finite_is_named():
    require_finite(3, "the loss", 1.0)
    require_finite_weights(3, torch.ones(2))
    for value in (float("inf"), -float("inf"), float("nan"), 1e182):
        with pytest.raises(NonFiniteLoss, match=r"the loss is .* at step 3"):
            require_finite(3, "the loss", value)
    with pytest.raises(NonFiniteLoss, match="one of 2 weights is nan at step 4") as caught:
        require_finite_weights(4, torch.tensor([1.0, torch.nan]))
    assert caught.value.step == 4
