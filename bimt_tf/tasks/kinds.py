"""What several tasks share: cutting examples in two, the sizes of an MLP, and the two usual kinds of job."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from bimt_tf.errors import InputError, require_known, require_whole
from bimt_tf.models.activation_names import ACT_FNS
from bimt_tf.tasks.base import Data, Fitted, Split, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["AS_PUBLISHED", "Classification", "MLPOptions", "Regression", "partners_of", "shuffled", "split"]

AS_PUBLISHED: Mapping[str, Any] = {
    "dtype": "float64",
    "penalty": "subgradient",
    "swap_every": 200,
    "swap_method": "greedy",
    "top_k": 30,
    "swap_starts": 1,
    "finish": 0.0,
    "cut": 0.0,
}
"""How the paper trains, and the notebooks where they do not differ; of the config's section ``training``."""


@dataclass(frozen=True)
class MLPOptions:
    """The sizes of an MLP; inputs and outputs follow from the data."""

    hidden: tuple[int, ...] = (20, 20)
    """neurons of each hidden layer, e.g. 20,20"""
    act_fn: str = "silu"
    """activation: gelu_new, relu, silu or identity"""

    def __post_init__(self) -> None:
        for neurons in self.hidden:
            require_whole("hidden", neurons)
        require_known("act_fn", self.act_fn, ACT_FNS)


def shuffled(samples: int, seed: int) -> Tensor:
    """A random order of ``samples`` numbers, for :func:`split` to cut."""
    import torch

    return torch.randperm(samples, generator=torch.Generator().manual_seed(seed))


def partners_of(examples: int, generator: torch.Generator) -> Tensor:
    """Another example for each, at random: none is its own partner, each is one's [examples].

    Raises:
        InputError: for fewer than two examples.
    """
    import torch

    if examples < 2:
        raise InputError(f"pairs need at least two examples, found {examples}")
    order = torch.randperm(examples, generator=generator)
    other = torch.empty_like(order)
    other[order] = order.roll(1)
    return other


def split(
    inputs: Tensor, targets: Tensor, quantities: Mapping[str, Tensor], train_share: float, dtype: torch.dtype
) -> Split:
    """The first ``train_share`` of the examples to train on, the others held out.

    Numbers are given in ``dtype``; tokens and classes stay whole numbers.
    """

    def fit(values: Tensor) -> Tensor:
        return values.to(dtype) if values.is_floating_point() else values

    train = round(len(inputs) * train_share)
    parts = (slice(0, train), slice(train, None))
    return Split(
        *(Data(fit(inputs[p]), fit(targets[p]), {k: v[p].to(dtype) for k, v in quantities.items()}) for p in parts)
    )


@dataclass(frozen=True)
class Regression(Task):
    """Numbers [n, outputs] from examples, by their mean squared error."""

    def loss(self, options: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error over examples and outputs."""
        return (outputs - targets).square().mean()

    def fitted(self, options: Any) -> Fitted:
        """The differences of outputs and targets."""
        return Fitted("squared", lambda outputs, targets: (outputs - targets).flatten(1))

    def metrics(self, options: Any, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss``: the mean squared error."""
        return {"loss": float(self.loss(options, outputs, targets))}

    def reported(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """True and predicted numbers of all outputs, end to end."""
        return targets.flatten(), outputs.flatten()


@dataclass(frozen=True)
class Classification(Task):
    """One class of several [n] from examples, by cross-entropy.

    A task whose outputs or targets are of other shapes says in :meth:`compared` what of them is compared.
    """

    kind: ClassVar[Literal["regression", "classification"]] = "classification"

    def compared(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(logits [n, classes], true classes [n]); unless overridden, outputs and targets as they are."""
        return outputs, targets

    def loss(self, options: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(*self.compared(options, outputs, targets))

    def fitted(self, options: Any) -> Fitted:
        """The logits and classes that are compared."""
        return Fitted("cross_entropy", partial(self.compared, options))

    def metrics(self, options: Any, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss``, and ``accuracy``: share of the classes that have the greatest logit."""
        logits, classes = self.compared(options, outputs, targets)
        right = (logits.argmax(-1) == classes).double().mean()
        return {"loss": float(self.loss(options, outputs, targets)), "accuracy": float(right)}

    def reported(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """True and predicted classes, [n] each."""
        logits, classes = self.compared(options, outputs, targets)
        return classes, logits.argmax(-1)
