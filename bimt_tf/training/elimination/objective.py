"""What an elimination fits: a loss, and its generalised Gauss-Newton curvature (Schraudolph, 2002).

Near the weights w, with outputs o of u units over which the loss L is a mean, and the Hessian B of each unit's loss by
its own outputs,

    L(w + s)  ~  L + 2 g.s + s.H s,      g = grad L / 2,      H = sum of (do/dw)' B (do/dw) / 2u

With B = 2 S S', H = J'J / u for the Jacobian J of the rows S'o, S held as it is. A mean of squared residuals needs no
S: its rows are the residuals, and g = J'r / u. Of cross entropy with the probabilities p,

    B = diag(p) - p p',      S = (diag(sqrt p) - p sqrt(p)') / sqrt 2

which is that of the divergence from wanted probabilities too, for these do not hang on the weights. Any other loss has
its B computed by automatic differentiation, and made positive semidefinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.func import jacrev, vmap

from bimt_tf.errors import InputError, unknown

__all__ = [
    "CrossEntropy", "Divergence", "Loss", "Objective", "Scalar", "Squares", "divergence", "objective_of",
    "require_classes",
]  # fmt: skip

IGNORED = -100
"""The class of what counts for nothing."""


class Objective(Protocol):
    """A loss of outputs and targets [n, ...], and what its curvature is made of."""

    residuals: bool
    """Whether the rows are residuals, whose mean square is the loss."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The loss, a scalar."""
        ...

    def units(self, outputs: Tensor, targets: Tensor) -> int:
        """Over how many numbers it is a mean."""
        ...

    def factors(self, outputs: Tensor, targets: Tensor) -> Float[Tensor, "n ..."]:
        """S of the module's text for each example, to be held as it is; anything for residuals."""
        ...

    def rows(self, outputs: Tensor, targets: Tensor, factors: Float[Tensor, "n ..."]) -> Float[Tensor, "n rows"]:
        """What is differentiated by the weights."""
        ...

    def sizes(self, factors: Float[Tensor, "n ..."]) -> Float[Tensor, "n rows"] | None:
        """The squared size of each row's S, by which it counts; None where the rows are not told apart."""
        ...


class Squares:
    """The mean of squared residuals."""

    residuals = True

    def __init__(self, residuals: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._residuals = residuals

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean square."""
        return self._residuals(outputs, targets).square().mean()

    def units(self, outputs: Tensor, targets: Tensor) -> int:
        """The residuals."""
        return self._residuals(outputs, targets).numel()

    def factors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Nothing of use."""
        return outputs.new_zeros(len(outputs), 0)

    def rows(self, outputs: Tensor, targets: Tensor, factors: Tensor) -> Tensor:
        """The residuals."""
        return self._residuals(outputs, targets)

    def sizes(self, factors: Tensor) -> None:
        """All residuals count."""


class CrossEntropy:
    """The mean cross entropy of logits [n, ..., classes] and classes [n, ...], which ``read`` picks out of both.

    What has the class -100 counts for nothing, as everywhere in torch. A logit may be minus infinity.
    """

    residuals = False

    def __init__(self, read: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda o, t: (o, t)) -> None:
        self._read = read

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """In nats."""
        logits, classes = self._read(outputs, targets)
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), classes.reshape(-1).long())

    def units(self, outputs: Tensor, targets: Tensor) -> int:
        """The classes that are predicted."""
        return max(1, int((self._read(outputs, targets)[1] != IGNORED).sum()))

    def factors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The square roots of the probabilities, which S is made of."""
        counts = (self._read(outputs, targets)[1] != IGNORED).reshape(len(outputs), -1, 1)
        return self.logits(outputs, targets).softmax(-1).sqrt() * counts

    def rows(self, outputs: Tensor, targets: Tensor, factors: Tensor) -> Tensor:
        """S'o, without ever making S: sqrt(p) (o - p.o) / sqrt 2."""
        logits = self.logits(outputs, targets).masked_fill(factors == 0, 0.0)  # 0 times infinity is 0
        mean = (factors.square() * logits).sum(-1, keepdim=True)
        return (factors * (logits - mean) / 2**0.5).flatten(1)

    def sizes(self, factors: Tensor) -> Tensor:
        """p_c (1 - 2 p_c + p.p) / 2 of class c, the squared length of sqrt(p_c) (e_c - p) / sqrt 2."""
        p = factors.square()
        return (p * (1 - 2 * p + p.square().sum(-1, keepdim=True)) / 2).flatten(1)

    def logits(self, outputs: Tensor, targets: Tensor) -> Float[Tensor, "n positions classes"]:
        """Those that are compared with classes."""
        logits = self._read(outputs, targets)[0]
        return logits.reshape(len(outputs), -1, logits.shape[-1])


class Divergence(CrossEntropy):
    """The mean divergence KL(wanted || softmax of the outputs) of logits [n, ..., classes], in nats.

    ``read`` gives logits and wanted log-probabilities of outputs and targets; it is asked for the loss alone, since it
    may be as dear as the outputs themselves (another model's outputs).
    """

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """In nats."""
        logits, wanted = self._read(outputs, targets)
        return divergence(wanted, logits.log_softmax(-1))

    def units(self, outputs: Tensor, targets: Tensor) -> int:
        """The distributions that are compared."""
        return outputs.shape[:-1].numel()

    def factors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The square roots of the probabilities, which S is made of."""
        return self.logits(outputs, targets).softmax(-1).sqrt()

    def logits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.reshape(len(outputs), -1, outputs.shape[-1])


def divergence(wanted: Tensor, found: Tensor) -> Tensor:
    """The mean of KL(wanted || found) of log-probabilities [..., classes]; what is never wanted adds nothing."""
    return (wanted.exp() * (wanted - found).masked_fill(wanted == -torch.inf, 0.0)).sum(-1).mean()


class Scalar:
    """Any loss that is the mean over the examples of a differentiable loss of each."""

    residuals = False

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._function = function

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What the function gives."""
        return self._function(outputs, targets)

    def units(self, outputs: Tensor, targets: Tensor) -> int:
        """The examples."""
        return len(outputs)

    def factors(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """S [n, outputs, rows] from the eigenvectors of B, eigenvalues below zero taken as zero."""

        def of_one(flat: Tensor, shaped: Tensor, target: Tensor) -> Tensor:
            return self._function(flat.view_as(shaped)[None], target[None])

        flat = outputs.flatten(1)
        bend = vmap(jacrev(jacrev(of_one)))(flat, outputs, targets)
        size, vectors = torch.linalg.eigh((bend + bend.mT) / 2)
        return vectors * (size.clamp_min(0) / 2).sqrt()[:, None, :]

    def rows(self, outputs: Tensor, targets: Tensor, factors: Tensor) -> Tensor:
        """S'o."""
        return torch.einsum("no,nor->nr", outputs.flatten(1), factors)

    def sizes(self, factors: Tensor) -> Tensor:
        """The squared length of each column of S."""
        return factors.square().sum(1)


Loss: TypeAlias = Literal["squared", "cross_entropy"] | Callable[[Tensor, Tensor], Tensor] | Objective
"""What is fitted: by name; a function of outputs and targets [n, ...] that gives residuals [n, k], whose mean square is
the loss, or a scalar, the mean over the examples of a loss of each; or an objective."""


def objective_of(loss: Loss, outputs: Shaped[Tensor, "n ..."], targets: Shaped[Tensor, "n ..."]) -> Objective:
    """The objective of a loss that a user gave, tried on a few outputs and targets.

    Raises:
        InputError: for a loss that cannot be computed of them, or gives something other than what :data:`Loss` says.
    """
    if loss == "squared":
        if outputs.shape != targets.shape:
            raise InputError(
                f"outputs {list(outputs.shape)} and targets {list(targets.shape)} differ in shape: give loss=, a "
                "function of outputs and targets that gives residuals [n, k]"
            )
        return Squares(_difference)
    if loss == "cross_entropy":
        if outputs.shape[:-1] != targets.shape or targets.is_floating_point():
            raise InputError(
                f"cross_entropy takes outputs [n, ..., classes] and whole numbers [n, ...], found "
                f"{list(outputs.shape)} and {str(targets.dtype).removeprefix('torch.')} {list(targets.shape)}"
            )
        return CrossEntropy()
    if isinstance(loss, str):
        raise unknown("loss", loss, ("squared", "cross_entropy"))
    if isinstance(loss, (Squares, CrossEntropy, Scalar)):
        return loss
    if not callable(loss):
        raise InputError(f"loss must be 'squared', 'cross_entropy' or a function, found {loss!r}")
    found = loss(outputs, targets)
    if not isinstance(found, Tensor):
        raise InputError(f"loss must give a tensor, the given function gives a {type(found).__name__}")
    if found.ndim == 2 and len(found) == len(outputs):
        return Squares(loss)
    if found.ndim == 0:
        return Scalar(loss)
    raise InputError(
        f"loss must give residuals [n, k], or a scalar; for {len(outputs)} examples it gave {list(found.shape)}"
    )


def require_classes(targets: Shaped[Tensor, "n ..."], classes: int) -> None:
    """Raise InputError unless all targets of a cross entropy are classes, or -100."""
    wrong = targets[((targets < 0) | (targets >= classes)) & (targets != IGNORED)]
    if len(wrong):
        raise InputError(
            f"targets of cross_entropy must be classes from 0 to {classes - 1}, or {IGNORED} for what counts for "
            f"nothing; found {int(wrong[0])}"
        )


def _difference(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).flatten(1)
