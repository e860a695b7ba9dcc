"""The task of ``bimt_tf.train``: a model, examples and a loss that were given in Python.

No torch at import. Found by name, as when its run is opened again, it has no model and no examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Fitted, Split, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["OWN", "OwnModel", "OwnModelOptions", "OwnDataOptions"]


@dataclass(frozen=True)
class OwnDataOptions:
    """What a run directory tells of examples that were given in Python."""

    loss: Literal["squared", "cross_entropy", "own"] = "squared"
    """the loss: squared, cross_entropy, or own (a function given in Python)"""


@dataclass(frozen=True)
class OwnModelOptions:
    """What a run directory tells of a model that was given in Python: nothing."""


@dataclass(frozen=True)
class OwnModel(Task):
    """A model, examples and a loss of one's own; ``given`` and ``examples`` are None where only the name is known.

    ``loss_function`` takes outputs and targets to a scalar; ``more_metrics`` takes them to numbers by name.
    """

    Options: type[OwnDataOptions] = OwnDataOptions
    Model: type[OwnModelOptions] = OwnModelOptions
    given: nn.Module | None = None
    examples: Split | None = None
    loss_function: Callable[[Tensor, Tensor], Tensor] | None = None
    more_metrics: Callable[[Tensor, Tensor], Mapping[str, float]] | None = None

    def data(self, options: OwnDataOptions, seed: int, dtype: torch.dtype) -> Split:
        """The examples as they were given; raises InputError where only the task's name is known."""
        if self.examples is None:
            raise InputError(
                "the examples of this run were given in Python and are not in its directory: "
                "load_run(path, model=..., data=(inputs, targets)) takes some as held-out ones"
            )
        return self.examples

    def model(self, model: OwnModelOptions, options: OwnDataOptions, seed: int, dtype: torch.dtype) -> nn.Module:
        """The model itself; raises InputError where only the task's name is known."""
        if self.given is None:
            raise InputError("the model of this run was given in Python: load_run(path, model=...) takes one like it")
        return self.given

    def loss(self, options: OwnDataOptions, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss that was given or named.

        Raises:
            InputError: for outputs that do not fit the targets, a function that gives no scalar tensor or is not known
                any more.
        """
        if self.loss_function is not None:
            return _required_scalar(self.loss_function(outputs, targets), outputs)
        if options.loss == "own":
            raise InputError(
                "the loss of this run was a function given in Python and is not in its directory: "
                "load_run(path, model=..., data=..., loss=...) takes it"
            )
        if options.loss == "cross_entropy":
            from torch.nn.functional import cross_entropy

            if outputs.shape[:-1] != targets.shape:
                raise InputError(
                    f"cross_entropy takes outputs [..., classes] and targets [...], found {list(outputs.shape)} and "
                    f"{list(targets.shape)}"
                )
            return cross_entropy(outputs.flatten(0, -2), targets.flatten())
        if outputs.shape != targets.shape:  # broadcasting would make it another loss
            raise InputError(
                f"the squared loss takes outputs and targets of one shape, found {list(outputs.shape)} and "
                f"{list(targets.shape)}"
            )
        return (outputs - targets).square().mean()

    def fitted(self, options: OwnDataOptions) -> Fitted:
        """What the named loss compares; of a function, what it gives."""
        if self.loss_function is not None or options.loss == "own":
            return super().fitted(options)
        if options.loss == "cross_entropy":
            return Fitted("cross_entropy", lambda outputs, targets: (outputs, targets))
        return Fitted("squared", lambda outputs, targets: (outputs - targets).flatten(1))

    def metrics(self, options: OwnDataOptions, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss``, ``accuracy`` of classes, and the metrics that were given."""
        found = {"loss": float(self.loss(options, outputs, targets))}
        if options.loss == "cross_entropy":
            found["accuracy"] = float((outputs.argmax(-1) == targets).double().mean())
        if self.more_metrics is not None:
            found |= {name: float(value) for name, value in self.more_metrics(outputs, targets).items()}
        return found

    def measure(self, options: OwnDataOptions, model: nn.Module, examples: Data) -> dict[str, float]:
        """The metrics of the model in evaluation mode; every module's mode is put back."""
        from bimt_tf.models.modes import evaluating

        with evaluating(model):
            return super().measure(options, model, examples)

    def reported(self, options: OwnDataOptions, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """True and predicted numbers, end to end; classes for cross_entropy."""
        predicted = outputs.argmax(-1) if options.loss == "cross_entropy" else outputs
        return targets.flatten(), predicted.flatten()

    def labels(self, options: OwnDataOptions) -> Mapping[str, list[str]]:
        """Nothing: what the inputs mean is not known."""
        return {}


def _required_scalar(loss: object, outputs: Tensor) -> Tensor:
    """What a user's loss function gave, if it can be trained by; raises InputError if not."""
    import torch

    if not isinstance(loss, torch.Tensor):
        raise InputError(f"the loss must be a scalar tensor, the given function gives a {type(loss).__name__}")
    if loss.numel() != 1 or not loss.is_floating_point():
        kind = str(loss.dtype).removeprefix("torch.")
        raise InputError(f"the loss must be a scalar tensor, the given function gives {kind} of shape {[*loss.shape]}")
    if outputs.requires_grad and not loss.requires_grad:
        raise InputError("the given loss does not depend on the outputs by torch's operations: it has no gradient")
    return loss


OWN = OwnModel("own", "a model and data of one's own, given to bimt_tf.train", {"own": {}})
