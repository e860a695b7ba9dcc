"""One step of the training loop, made of the trainer's own objects on a model that is given: what benchmarks time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import Tensor

from bimt_tf import BIMT
from bimt_tf.config.reading import make
from bimt_tf.tasks.base import Data
from bimt_tf.training.adam import adam_step_
from bimt_tf.training.batches import Drawn
from bimt_tf.training.setup import state_of

__all__ = ["METHODS", "Method", "trainer_step"]

Method = Literal["without", "gradient", "proximal"]
"""How the penalty acts in a step: not at all, by its gradient, or by a soft threshold after the optimizer's step."""

METHODS: dict[Method, tuple[str, str]] = {
    "without": ("vanilla", "proximal"), "gradient": ("bimt", "subgradient"), "proximal": ("bimt", "proximal"),
}  # fmt: skip
"""Of each, the config's ``method`` and ``penalty``."""


def trainer_step(
    bimt: BIMT,
    loss: Callable[[Tensor, Tensor], Tensor],
    batch: tuple[Tensor, Tensor],
    method: Method,
    *,
    lam: float,
    lr: float,
    compiled: bool = False,
) -> Callable[[], float]:
    """A function that takes one step on ``batch`` (inputs, targets) in place and gives its loss.

    ``loss`` takes outputs and targets to a scalar.
    """
    row, penalty = METHODS[method]
    training = {"penalty": penalty, "compile": "yes" if compiled else "no", "reduction": bimt.reduction}
    config = make("in-context", method=row, overrides={"training": training})  # any task: its settings alone are read
    state = state_of(config, bimt, Drawn(Data(*batch, {}), 0, 0), loss)
    state.penalty.follow(0)
    note = state.prepare()
    if state.compiled is not compiled:
        raise RuntimeError(f"the step is not computed as it was asked for: {note}")
    return partial(adam_step_, state, 0.0 if method == "without" else lam, lr)
