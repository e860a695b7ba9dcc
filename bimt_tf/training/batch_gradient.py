"""How a step is computed: eagerly, its loss first (adam.py), or as one graph by torch.compile (whole_step.py).

torch.compile pays when a run is long enough to earn back its half minute of compiling and a C++ compiler is there;
what was decided, and why, is said in ``note``.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.whole_step import PenaltyKind, WholeStep

__all__ = ["BatchGradient", "batch_gradient"]

WORTH_COMPILING = 15_000  # steps: about half a minute of compiling against about 2 ms saved a step

LossFn = Callable[[Tensor, Tensor], Tensor]


class BatchGradient(NamedTuple):
    """``loss(inputs, targets)`` gives the training loss with a graph behind it; ``whole``, if compiled, a step."""

    loss: LossFn
    whole: WholeStep | None
    note: str


def batch_gradient(
    model: nn.Module,
    loss: LossFn,
    wanted: str,
    steps: int,
    example: tuple[Tensor, Tensor],
    compiled: bool | None = None,
    *,
    flat: FlatParameters,
    penalty: PenaltyKind,
) -> BatchGradient:
    """The way to compute ``loss(model(inputs), targets)`` and a step down it.

    Args:
        model: the model, already on its device.
        loss: from outputs and targets to a scalar.
        wanted: the config's ``compile``: "auto", "yes" or "no".
        steps: steps still to run.
        example: a batch, to compile with.
        compiled: what an interrupted run did; a resumed one does the same, for the same bits.
        flat: the model's parameters as one vector.
        penalty: how the penalty acts in a step.
    """

    def eager(inputs: Tensor, targets: Tensor) -> Tensor:
        return loss(model(inputs), targets)

    if compiled is None:
        if wanted == "no" or (wanted == "auto" and steps < WORTH_COMPILING):
            why = "" if wanted == "no" else f" ({steps} steps do not earn compiling back)"
            return BatchGradient(eager, None, f"eager{why}")
    elif not compiled:
        return BatchGradient(eager, None, "eager, as before")
    if example[0].device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return BatchGradient(eager, None, "eager (torch.compile needs a C++ compiler; none was found)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch's own compiler, nothing the user can act on
            whole = WholeStep(model, loss, flat, penalty)
            whole.try_(example)
    except Exception as error:  # torch.compile fails in many ways; eager gives the same result
        return BatchGradient(eager, None, f"eager (torch.compile failed: {type(error).__name__})")
    return BatchGradient(eager, whole, "compiled")
