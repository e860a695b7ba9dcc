"""What a task is: its data, its default model, its loss and metrics, and what its inputs and outputs are called.

A task of one's own is a frozen dataclass that inherits Task, or one of the ready-made kinds in tasks/kinds.py, and an
instance of it in a Python file (examples/my_task.py is complete):

    from bimt_tf.tasks.base import Data, Probe, Split, Task
    from bimt_tf.tasks.kinds import Classification, MLPOptions, Regression, split

This module imports no torch, since ``bimt --help`` reads the options of every task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from bimt_tf.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["Counterfactual", "Data", "Fitted", "Presets", "Probe", "Split", "Task"]

Presets = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Preset -> config section (``data``, ``model``, ``geometry``, ``training``) -> field -> value."""


class Data(NamedTuple):
    """Examples, one a row.

    ``inputs`` [n, ...]: what the model takes. ``targets`` [n, ...]: what the loss compares its outputs with; whole
    numbers [n] where classes are predicted. ``quantities`` name -> [n]: numbers of each example that a probe may look
    for; {} if there are none.
    """

    inputs: Tensor
    targets: Tensor
    quantities: Mapping[str, Tensor]


class Split(NamedTuple):
    """Training and held-out examples; both hold at least one."""

    train: Data
    test: Data


class Probe(NamedTuple):
    """What is probed without being asked for: the quantity ``target`` at token ``position`` of the hook ``hook``.

    ``position`` is None where activations have no tokens (an MLP).
    """

    hook: str
    target: str
    position: int | None


class Counterfactual(NamedTuple):
    """Examples in pairs A and B, and what A would be with one quantity of B: what an interchange is measured by.

    ``inputs`` [n, ...]: of A. ``partners`` [n, ...]: of B, which differs in everything. ``changed`` [n, ...]: of A with
    B's quantity, all else as it was. ``targets`` [n, ...]: those of ``changed``, as :attr:`Data.targets`.
    """

    inputs: Tensor
    partners: Tensor
    changed: Tensor
    targets: Tensor


class Fitted(NamedTuple):
    """What of outputs and targets a training loss is made of, for those who need its curvature.

    ``read`` takes outputs and targets [n, ...] and gives, for the ``kind`` "squared", residuals [n, k], whose mean
    square is the loss; for "cross_entropy" logits [n, ..., classes] and classes [n, ...]; for "divergence" the
    outputs, which are logits [n, ..., classes], and wanted log-probabilities of the same shape; for "other" the loss
    itself, which must be a mean over examples.
    """

    kind: Literal["squared", "cross_entropy", "divergence", "other"]
    read: Callable[[Tensor, Tensor], Any]


@dataclass(frozen=True)
class Task(ABC):
    """One supervised job. Its methods hold no state: they are given the options they depend on.

    Args:
        name: one word with hyphens; the default name of a run's directory begins with it.
        summary: one line that says what is learned.
        presets: preset -> section -> the config values in which it differs from the defaults. The first preset is used
            unless another is asked for; ``{"best": {}}`` is enough.
        Options: frozen dataclass of the data's settings. Every field has a type (int, float, str, a Literal, or
            tuple[int, ...]), a default and, in the line under it, a sentence: it becomes an option of the command line
            with this help. ``__post_init__`` raises InputError for values that cannot be (tasks/checks.py has the usual
            checks). Its methods receive an instance as ``options``.
        Model: frozen dataclass of the model's sizes, written in the same way (:class:`bimt_tf.tasks.kinds.MLPOptions`).

    ``kind`` says whether :meth:`reported` gives numbers or classes.
    """

    kind: ClassVar[Literal["regression", "classification"]] = "regression"
    pretrained: ClassVar[bool] = False
    """whether the model is one of Hugging Face's; a run then saves it in their format too"""

    name: str
    summary: str
    presets: Presets
    Options: type[Any]
    Model: type[Any]

    @abstractmethod
    def data(self, options: Any, seed: int, dtype: torch.dtype) -> Split:
        """The examples, on the CPU; the same options and seed give the same examples.

        Numbers are of ``dtype``; tokens and classes are whole numbers (int64). Draw from a ``torch.Generator`` of this
        seed, never from the global one. :func:`bimt_tf.tasks.kinds.split` cuts examples in two.
        """

    @abstractmethod
    def model(self, model: Any, options: Any, seed: int, dtype: torch.dtype) -> nn.Module:
        """The untrained model: a module with hooks that ``bimt_tf.wire`` knows, such as ``bimt_tf.MLP``.

        Args:
            model: an instance of ``Model``, the sizes.
            options: an instance of ``Options``, for what follows from the data.
            seed: of the initial weights; the same seed gives the same weights.
            dtype: of the weights.
        """

    @abstractmethod
    def loss(self, options: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        """The training loss: a differentiable scalar of outputs and targets, [batch, ...] each."""

    def fitted(self, options: Any) -> Fitted:
        """What :meth:`loss` is made of; an elimination is faster where that is said. Unless overridden, nothing is."""
        return Fitted("other", partial(self.loss, options))

    def largest_loss(self, options: Any) -> float | None:
        """Up to which training loss an elimination goes that is given no budget.

        Unless overridden None, a multiple of the trained network's own; a task whose training loss begins at 0 says
        more.
        """
        return None

    @abstractmethod
    def metrics(self, options: Any, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """What is reported of outputs and targets, by name, as finite numbers.

        ``loss`` is among them, and ``accuracy`` where classes are predicted; others get ``test_`` in front and stand in
        the summary of a run.
        """

    @abstractmethod
    def reported(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """(true, predicted) numbers or classes, [n] each, for a figure that sets one against the other."""

    @abstractmethod
    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """Population (usually ``input`` and ``output``) -> a name for each of its neurons; {} for no names."""

    def classes(self, options: Any) -> list[str]:
        """A name for each class of a classification, by number; unless overridden, those of the output's neurons."""
        return self.labels(options)["output"]

    def measure(self, options: Any, model: nn.Module, examples: Data) -> dict[str, float]:
        """The metrics of a model on examples; called without gradients. Override it to measure some of many."""
        return self.metrics(options, model(examples.inputs), examples.targets)

    def changeable(self, options: Any) -> tuple[str, ...]:
        """The quantities that :meth:`counterfactual` can change; none unless overridden."""
        return ()

    def counterfactual(self, options: Any, examples: Data, quantity: str, generator: torch.Generator) -> Counterfactual:
        """Pairs of examples, and each first one with a quantity of the second.

        Args:
            options: an instance of ``Options``.
            examples: to make pairs of; each is an A, and a B of another, if the result is one that the task knows.
            quantity: one of :meth:`changeable`.
            generator: of who is whose partner.

        Raises:
            InputError: for another quantity, or no two examples that make a pair.
        """
        raise InputError(
            f"{self.name} does not say how one quantity of an example is changed alone: give pairs of your own, "
            "(inputs of A, inputs of B, targets of A with what is looked for of B)"
        )

    def probes(self, options: Any) -> tuple[Probe, ...]:
        """What is probed at the end of a run; nothing unless overridden."""
        return ()
