"""Elimination: from a trained network to a circuit of few weights, by curvature instead of gradients alone.

1. Of more than some hundred weights, take out most in quick rounds on few examples (elimination/early_rounds.py).
2. Refit the live weights by Levenberg-Marquardt (elimination/levenberg_marquardt.py).
3. If asked, take out whole neurons (elimination/whole_neurons.py).
4. Take out weights by optimal brain surgeon, a share of them a round, refitting after each
   (elimination/single_weights.py), as long as the budget allows.
5. If asked, whole neurons again, which fewer weights hold now, and weights again.

Everything is computed in float64 on a copy, whatever the model's dtype; the model is written to once, at the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from bimt_tf.adapters import bridge
from bimt_tf.bimt import BIMT
from bimt_tf.core.threads import few_threads
from bimt_tf.errors import InputError
from bimt_tf.training.elimination.budget import budget_of
from bimt_tf.training.elimination.early_rounds import early_rounds
from bimt_tf.training.elimination.levenberg_marquardt import steps_for
from bimt_tf.training.elimination.live_network import Examples, Residuals
from bimt_tf.training.elimination.rounds import Dependency, Round, put_
from bimt_tf.training.elimination.search import Search, double
from bimt_tf.training.elimination.single_weights import goal_for, remove_weights
from bimt_tf.training.elimination.whole_neurons import remove_neurons

__all__ = ["Elimination", "eliminate"]

MOST_WEIGHTS = 6_000
"""The curvature of so many weights takes 288 MB, several times over, and a step about a minute."""

FIRST_TOLERANCE = 5e-3
LONGER_STEPS, LONGER_TOLERANCE = 100, 1e-3
"""Of the first refit, and of the one that follows where its loss is above the budget."""


class Elimination(NamedTuple):
    """What an elimination did.

    ``path``: the rounds that were kept, the network as given first; the last is in the model. ``max_loss``: the largest
    loss that was allowed, infinite where a number of weights was asked for. ``examples``: how many the losses are means
    over, of how many given (``of``). ``severed``: all (output, input) pairs whose dependency ended.
    """

    path: tuple[Round, ...]
    max_loss: float
    examples: int
    of: int
    severed: tuple[Dependency, ...]


def eliminate(
    bimt: BIMT,
    data: Sequence[Tensor],
    loss: Literal["squared"] | Residuals = "squared",
    *,
    max_loss: float | None = None,
    loss_factor: float | None = None,
    weights: int | None = None,
    neurons: bool = False,
    validation: Sequence[Tensor] | None = None,
    examples: int = 2000,
    on_round: Callable[[Round], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Elimination:
    """Take weights out of ``bimt.model``, in place, as long as the training loss allows.

    Give one of ``max_loss``, ``loss_factor`` and ``weights``. The layout is left as it is; ``bimt.swap()`` afterwards
    shortens the wires of what is left.

    Args:
        bimt: the trained model with its wiring and layout.
        data: training inputs and targets [n, ...] (a ``Data``, or a pair).
        loss: "squared" for the mean of (outputs - targets)^2, or a function of outputs and targets that gives
            residuals [n, k], whose mean square is the loss.
        max_loss: the training loss that must not be passed.
        loss_factor: the same, as a multiple of the loss of the model as it is.
        weights: go on down to so many active weights, whatever the loss.
        neurons: take out whole neurons too, before single weights and after them; fewer share more, which lowers Q.
        validation: inputs and targets that nothing is fitted to; a round that loses on them is taken back (with
            ``max_loss`` and ``loss_factor``).
        examples: at most so many of the training examples are used, drawn by a fixed seed.
        on_round: called with each round that is kept, the network as given first.
        stop: asked between two steps; True ends the elimination at the last round that was kept.

    Raises:
        InputError: for data, a loss or a budget that cannot be, a TransformerBridge, or over 6,000 nonzero weights.
    """
    if bridge.matches(bimt.model):
        raise InputError(
            "eliminate cannot compute a TransformerBridge example by example: it knows models in plain torch"
        )
    device = next(double(bimt).model.parameters()).device
    training, of = _examples("data", data, examples, device)
    held = None if validation is None else _examples("validation", validation, None, device)[0]
    residuals = _checked(_difference if loss == "squared" else loss, training, bimt)
    with few_threads(sum(c.numel for c in bimt.wiring.connections)):
        search = Search(bimt, training, held, residuals, on_round or (lambda _: None), stop or (lambda: False))
        _require_possible(search)
        search.budget = budget_of(max_loss, loss_factor, weights, search.now.loss, search.now.validation_loss)
        early_rounds(search)
        _refit(search)
        if neurons:
            remove_neurons(search)
        remove_weights(search)
        if neurons:
            remove_neurons(search)
            remove_weights(search)
    put_(bimt, search.now.state)
    severed = tuple(pair for one in search.path for pair in one.severed)
    return Elimination(tuple(search.path), search.budget.loss, len(training.inputs), of, severed)


def _refit(search: Search) -> None:
    """Refit all live weights; of the budget only the validation loss matters yet, for the loss only falls."""
    allowed, level = search.budget, search.level
    search.budget = allowed._replace(loss=float("inf"))
    network = search.network()
    n = len(network.start)
    goal = goal_for(n, level)
    search.attempt("refit", network, network.start, steps=steps_for(n), tolerance=FIRST_TOLERANCE, goal=goal)
    if search.now.loss > allowed.loss:
        network = search.network()
        search.attempt("refit", network, network.start, steps=LONGER_STEPS, tolerance=LONGER_TOLERANCE, goal=goal)
    search.budget = allowed


def _examples(what: str, data: Sequence[Tensor], most: int | None, device: torch.device) -> tuple[Examples, int]:
    """Inputs and targets, numbers in float64, at most ``most`` of them; and how many there were."""
    if len(data) < 2 or not all(isinstance(part, Tensor) and part.ndim for part in data[:2]):
        raise InputError(f"{what} must be inputs and targets, two tensors with an example a row")
    inputs, targets = (part.to(device, torch.float64 if part.is_floating_point() else part.dtype) for part in data[:2])
    n = len(inputs)
    if n != len(targets) or not n:
        raise InputError(f"{what} must hold as many targets as inputs, at least one; found {n} and {len(targets)}")
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise InputError(f"examples must be a whole number of at least 1, found {most!r}")
    if most is not None and most < n:
        chosen = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].sort().values.to(inputs.device)
        inputs, targets = inputs[chosen], targets[chosen]
    return Examples(inputs, targets), n


def _require_possible(search: Search) -> None:
    """Raise InputError for a loss that is no number, or more weights than curvature can be computed of."""
    if not math.isfinite(search.now.loss):
        raise InputError(f"the loss of the model as it is must be finite, found {search.now.loss}")
    if (n := len(search.network().start)) > MOST_WEIGHTS:
        raise InputError(
            f"eliminate takes models of up to {MOST_WEIGHTS:,} weights that are not zero, found {n:,}: train with a "
            "penalty, or set the smallest to zero (analysis/prune.py) before"
        )


def _difference(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).flatten(1)


def _checked(residuals: Residuals | str, examples: Examples, bimt: BIMT) -> Residuals:
    """The function of residuals, tried on two examples."""
    if not callable(residuals):
        raise InputError(f"loss must be 'squared' or a function of outputs and targets, found {residuals!r}")
    with torch.no_grad():
        inputs, targets = (part[:2] for part in examples)
        outputs = double(bimt).model(inputs)
        if residuals is _difference and outputs.shape != targets.shape:
            raise InputError(
                f"outputs {list(outputs.shape)} and targets {list(targets.shape)} differ in shape: give loss=, a "
                "function of outputs and targets that gives residuals [n, k]"
            )
        found = residuals(outputs, targets)
    if found.ndim != 2 or len(found) != len(inputs):
        raise InputError(f"loss must give residuals [n, k]; for {len(inputs)} examples it gave {list(found.shape)}")
    return residuals
