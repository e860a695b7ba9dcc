"""For the page: a task's reported loss as data, so that the page computes the same number.

Nothing is asked of the task but its metrics: each usual loss is tried on the network's outputs, and on the same with
noise, and the one that gives the task's own number is the task's loss.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from bimt_tf.runs.trained import Trained
from bimt_tf.viewer.packing import numbers

__all__ = ["LiveLoss", "live_loss"]

NOISE = 3.0
"""Of the outputs' own size: losses that agree on good outputs may differ on bad ones, such as a knock-out leaves."""
AGREES = 1e-9


class LiveLoss(NamedTuple):
    """``kind``: "squared" or "cross entropy"; ``cells``: which entries of an example's flat output it reads.

    Squared: ``targets`` [n, cells], the loss is the mean of all squared differences. Cross entropy: ``cells`` are
    ``groups`` lots of as many logits as there are classes. ``classes`` [n, groups]: the true ones, None without.
    """

    kind: str
    cells: list[int]
    groups: int
    targets: Float[Tensor, "n cells"] | None
    classes: Int[Tensor, "n groups"] | None

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        held = {name: None if (one := getattr(self, name)) is None else numbers(one) for name in ("targets", "classes")}
        return {"kind": self.kind, "cells": self.cells, "groups": self.groups, **held}

    def of(self, outputs: Tensor) -> float:
        """The loss of outputs [n, ...]."""
        read = outputs.flatten(1)[:, self.cells]
        if self.targets is not None:
            return float((read - self.targets).square().mean())
        assert self.classes is not None
        return float(cross_entropy(read.view(read.shape[0] * self.groups, -1), self.classes.flatten()))


def live_loss(trained: Trained, outputs: Tensor, targets: Tensor) -> LiveLoss | None:
    """The task's reported loss; None if it is none of those that a page computes.

    Args:
        trained: whose task.
        outputs: of the network, for some of its held-out examples.
        targets: of these.
    """
    outputs = outputs.double()
    targets = targets.double() if targets.is_floating_point() else targets
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(outputs.shape, generator=generator, dtype=torch.float64).to(outputs.device)
    noisy = outputs + NOISE * (outputs.abs().mean() + 1) * noise
    for one in (_squared(trained, outputs, targets), _one_hot(outputs, targets), _entropy(outputs, targets)):
        if one is not None and all(_agrees(one, trained, some, targets) for some in (outputs, noisy)):
            return one
    return None


def _agrees(one: LiveLoss, trained: Trained, outputs: Tensor, targets: Tensor) -> bool:
    wanted = trained.task.metrics(trained.config.data, outputs, targets)["loss"]
    return abs(one.of(outputs) - wanted) <= AGREES * abs(wanted) + 1e-300


def _squared(trained: Trained, outputs: Tensor, targets: Tensor) -> LiveLoss | None:
    """Of the numbers that the task reports: where they stand is seen by giving it the places as outputs."""
    if not targets.is_floating_point():
        return None
    n, cells = len(outputs), outputs[0].numel()
    places = (
        torch.arange(cells, dtype=torch.float64, device=outputs.device).view(1, *outputs.shape[1:]).expand_as(outputs)
    )
    true, predicted = trained.task.reported(trained.config.data, places, targets)
    if predicted.numel() % n or true.shape != predicted.shape:
        return None
    rows = predicted.reshape(n, -1)
    if not (rows == rows[0]).all() or not torch.isin(rows[0], places[0].flatten()).all():
        return None
    return LiveLoss("squared", rows[0].long().tolist(), 1, true.reshape(n, -1), None)


def _one_hot(outputs: Tensor, targets: Tensor) -> LiveLoss | None:
    if targets.is_floating_point() or targets.ndim != 1 or outputs.ndim != 2:
        return None
    wanted = one_hot(targets, outputs.shape[1]).double()
    return LiveLoss("squared", list(range(outputs.shape[1])), 1, wanted, targets[:, None])


def _entropy(outputs: Tensor, targets: Tensor) -> LiveLoss | None:
    if targets.is_floating_point() or outputs.shape[:-1] != targets.shape:
        return None
    classes = targets.reshape(len(targets), -1)
    return LiveLoss("cross entropy", list(range(outputs[0].numel())), classes.shape[1], None, classes)
