"""Running a model with hooks: what is seen there, and hooks that cannot be used."""

from __future__ import annotations

import pytest
import torch
from transformer_lens.hook_points import HookPoint

from bimt_tf import MLP, ablate
from bimt_tf.analysis.activations import activations, run_hooked
from bimt_tf.errors import InputError

X = torch.ones(5, 3)


def with_a_hook_that_no_run_reaches() -> MLP:
    model = MLP([3, 4, 2])
    model.spare = HookPoint()
    model.setup()
    return model


def test_a_hook_that_is_not_reached_is_said():
    model = with_a_hook_that_no_run_reaches()
    for call in (
        lambda: activations(model, "spare", inputs=X),
        lambda: ablate(model, {"layers.0.hook_post": [1], "spare": [0]}, X, lambda outputs: outputs.sum()),
        lambda: run_hooked(model, X, {"spare": lambda activation: None}),
    ):
        with pytest.raises(InputError, match="'spare' has no activations.*does not reach it"):
            call()
    assert not any(hook.fwd_hooks for hook in model.hook_dict.values())


def test_an_edit_is_passed_on_and_the_modes_come_back():
    model = MLP([3, 4, 2])
    model.train()
    changed = run_hooked(model, X, {"layers.0.hook_post": torch.zeros_like})
    assert torch.equal(changed, model.layers[1].bias.expand(5, 2))
    assert all(module.training for module in model.modules())
