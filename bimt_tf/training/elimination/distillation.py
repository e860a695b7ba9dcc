"""Refitting by what the network said before, beside what is right (Hinton, Vinyals and Dean, 2015).

The classes of a text are drawn, not known: their loss can be lowered by learning them by heart. The probabilities of
the network as it was given say more of each term, and what it had not learned by heart is not learned from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bimt_tf.training.elimination.objective import CrossEntropy, Objective, divergence

__all__ = ["TAUGHT", "evaluating", "refit_loss"]

TAUGHT = 0.5
"""The share of the divergence from the network as given in the loss of a refit."""


def refit_loss(
    objective: Objective, teacher: nn.Module | None, inputs: Tensor, outputs: Tensor, targets: Tensor
) -> Tensor:
    """The loss that a refit lowers: the objective's own; half cross entropy, half the divergence KL(teacher || model).

    Args:
        objective: the loss.
        teacher: the network as it was given; None for the loss alone.
        inputs: of a minibatch [n, ...].
        outputs: the model's, of these.
        targets: [n, ...].
    """
    own = objective.loss(outputs, targets)
    if teacher is None or type(objective) is not CrossEntropy:  # others are not drawn, or already a divergence
        return own
    with torch.no_grad():
        wanted = objective.logits(teacher(inputs), targets).log_softmax(-1)
    found = objective.logits(outputs, targets).log_softmax(-1)
    return (1 - TAUGHT) * own + TAUGHT * divergence(wanted, found)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Within it dropout does nothing; behind it the model's parts are in the mode that each was in."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
