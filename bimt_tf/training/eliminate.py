"""Elimination: from a trained network to a circuit of few weights, by curvature instead of gradients alone.

1. Of classes by a softmax, choose its gauge, which moves no probability (elimination/softmax_gauge.py).
2. Of more than some hundred weights, take out most in quick rounds on few examples (elimination/early_rounds.py).
3. Refit the live weights by Levenberg-Marquardt (elimination/levenberg_marquardt.py).
4. If asked, take out whole neurons (elimination/whole_neurons.py), before single weights, after them, or both.
5. Take out weights by optimal brain surgeon, a share of them a round, refitting after each
   (elimination/single_weights.py), as long as the budget allows.
6. Take out heads, modules and neurons that others carry (elimination/structure.py), and weights again if one went.
7. If asked, whole neurons, which fewer weights hold now, and weights again; or the wires are shortened
   (elimination/shortening.py).

Or, if asked, 1 and then rounds of a penalty in the place of all others (elimination/pressing.py), of a model of any
size: for losses that have hardly any curvature. Which stages there are, and when, stages.py says.

Everything is computed in float64 on a copy, whatever the model's dtype; the model is written to once, at the end. All
that the search depends on is in its rounds, so that one which was stopped goes on from them to the same bits.

From TransformerBridges, and models of more weights than curvature can be held of, weights go by minibatches in the
model's own dtype (elimination/large_search.py); where few enough are left of a model in plain torch, 1 to 7 go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from bimt_tf.adapters import bridge
from bimt_tf.bimt import BIMT
from bimt_tf.core.sharing import memory
from bimt_tf.core.threads import few_threads
from bimt_tf.errors import InputError, require_known
from bimt_tf.training.elimination.budget import Budget, budget_of
from bimt_tf.training.elimination.large import (
    NOT_EXACT,
    Task,
    limits_for,
    live_weights,
    remove_from_large,
    require_finite_loss,
)  # fmt: skip
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.manner import Manner, WholeNeurons
from bimt_tf.training.elimination.objective import Loss, Objective, objective_of, require_classes
from bimt_tf.training.elimination.rounds import Dependency, Round, put_
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.set_apart import set_apart, shuffled
from bimt_tf.training.elimination.softmax_gauge import GAUGE
from bimt_tf.training.elimination.stages import stages

__all__ = ["Elimination", "eliminate"]

MOST_WEIGHTS = 6_000
"""The curvature of so many weights takes 288 MB, several times over, and a step about a minute.
Of more, weights go by minibatches first; of classes, of fewer (elimination/large.py)."""

FEW, VALIDATED = 3, 0.2
"""Where examples are fewer than so many times the live weights, and no validation examples are given, this share of the
examples is not fitted but validates."""


class Elimination(NamedTuple):
    """What an elimination did.

    ``path``: the rounds that were kept, the network as given first; the last is in the model. ``max_loss``: the largest
    loss that was allowed, infinite where a number of weights was asked for. ``examples``: how many the losses are means
    over, of how many given (``of``). ``severed``: all (output, input) pairs whose dependency ended. ``ended``: whether
    it came to its end, or was stopped. ``notes``: what a reader should know, as sentences.
    """

    path: tuple[Round, ...]
    max_loss: float
    examples: int
    of: int
    severed: tuple[Dependency, ...]
    ended: bool
    notes: tuple[str, ...]


def eliminate(
    bimt: BIMT,
    data: Sequence[Tensor],
    loss: Loss = "squared",
    *,
    max_loss: float | None = None,
    loss_factor: float | None = None,
    weights: int | None = None,
    neurons: int | None = None,
    whole_neurons: WholeNeurons = "no",
    stay_near: bool = False,
    short_wires: bool = False,
    press: bool = False,
    validation: Sequence[Tensor] | Literal[False] | None = None,
    examples: int = 2000,
    on_round: Callable[[Round], None] | None = None,
    stop: Callable[[], bool] | None = None,
    path: Sequence[Round] = (),
) -> Elimination:
    """Take weights out of ``bimt.model``, in place, as far as a budget allows.

    Give at most one of ``max_loss``, ``loss_factor``, ``weights`` and ``neurons``. The layout stays: ``bimt.swap()``.

    Args:
        bimt: the trained model with its wiring and layout.
        data: training inputs and targets [n, ...] (a ``Data``, or a pair).
        loss: "squared" for the mean of (outputs - targets)^2; "cross_entropy" for logits [n, ..., classes] and classes
            [n, ...]; or a function of outputs and targets that gives residuals [n, k], whose mean square is the loss,
            or a scalar, the mean over examples of a differentiable loss of each.
        max_loss: the training loss that must not be passed.
        loss_factor: the same, as a multiple of the loss of the model as it is; 1.05 where no budget is given.
        weights: go on down to so many active weights, whatever the loss.
        neurons: take whole neurons out, down to so many hidden ones; then weights, at 1.05 times the loss reached.
        whole_neurons: take out whole neurons too, "first", before single weights and again after them, or "last", after
            them alone; fewer neurons share more, which lowers Q. "first" ends with fewer neurons, "last" with higher Q.
        stay_near: keep weights near what they were: refits end as soon as the loss is within the budget, and every
            move costs; Q stays, fewer weights go. Not while weights go by minibatches.
        short_wires: keep biases and spend most of a loss budget on short wires at the end; both not by minibatches.
        press: take weights out by a penalty, not by curvature, which cross entropy near zero loss hardly has.
        validation: inputs and targets that nothing is fitted to; a round that loses on them is taken back (with
            ``max_loss`` and ``loss_factor``). Unless given, a fifth of ``data`` where there are fewer than three times
            as many examples as live weights; False for none.
        examples: at most so many of the training examples are used, drawn by a fixed seed; while weights go by
            minibatches, the loss is the mean over so many, and minibatches are drawn from all.
        on_round: called with each round that is kept, the network as given first; not with those of ``path``.
        stop: asked between two steps; True ends it at the last round that was kept.
        path: all rounds of one that was stopped: it goes on to the same bits, if everything else is as it was.

    Raises:
        InputError: for data, a loss or a budget that cannot be, or two parameters on one memory.
    """
    require_known("whole_neurons", whole_neurons, get_args(WholeNeurons))
    if not any(bimt.parameters[c.parameter].requires_grad for c in bimt.wiring.connections):
        raise InputError("all weights of the model are frozen, none can be taken out: set requires_grad where some may")
    _require_own_memory(bimt)
    limits = max_loss, loss_factor, weights, neurons
    with few_threads(sum(c.numel for c in bimt.wiring.connections)):
        task = _prepared(bimt, data, loss, validation, examples)
        kept, stopped = on_round or (lambda _: None), stop or (lambda: False)
        return _eliminate(bimt, task, limits, Manner(whole_neurons, stay_near, short_wires, press), kept, stopped, path)


def _eliminate(
    bimt: BIMT,
    task: Task,
    limits: tuple[float | None, float | None, int | None, int | None],
    manner: Manner,
    on_round: Callable[[Round], None],
    stop: Callable[[], bool],
    path: Sequence[Round],
) -> Elimination:
    """By minibatches where it must be, then exactly where that can be."""

    def budget_for(first: Round) -> Budget:
        return budget_of(*limits, first.loss, first.validation_loss)

    exact = not bridge.matches(bimt.model)  # a bridge is not computed example by example
    manner.require_possible(exact, weights=limits[2] is not None, neurons=limits[3] is not None)
    budget, before = None, tuple[Round, ...]()
    counted = limits[2] is not None or limits[3] is not None
    down_to, most = limits_for(task.objective, MOST_WEIGHTS, manner.stay_near or manner.short_wires, counted)
    if not exact or (live_weights(bimt) > down_to and not manner.press):
        large = remove_from_large(bimt, task, budget_for, down_to if exact else None, on_round, stop, path)
        if not exact or large.live > most or stop():
            left = (NOT_EXACT,) if exact and large.live > most and not stop() else ()
            return _written(bimt, large.path, large.budget, task, not stop(), (*task.notes, *left))
        budget, before = large.budget, large.path[:-1]
        path = (large.path[-1], *path[len(large.path) :])
    search = Search(bimt, task.training, task.held, task.objective, on_round, stop, path, manner)
    require_finite_loss(search.path[0])
    search.budget = budget or budget_for(search.path[0])
    for number, stage in enumerate(stages(limits[-1] is not None, manner, task.given)):
        if number >= search.stage and not search.stop():
            search.stage = number
            stage(search)
    ended = not search.stop()
    gauge = (GAUGE,) if any(one.what == "gauge" for one in search.path) else ()  # also of rounds before a stop
    return _written(bimt, (*before, *search.path), search.budget, task, ended, (*task.notes, *gauge, *search.notes))


def _require_own_memory(bimt: BIMT) -> None:
    """Raise InputError for two parameters on one memory: copies in float64 would come apart."""
    seen: dict[tuple[object, ...], str] = {}
    for name, parameter in bimt.parameters.items():
        first = seen.setdefault(memory(parameter), name)
        if first != name:
            raise InputError(
                f"{first!r} and {name!r} are two parameters on one memory, which eliminate would change apart: use one "
                "parameter in both places, or give each a memory of its own"
            )


def _prepared(
    bimt: BIMT, data: Sequence[Tensor], loss: Loss, validation: Sequence[Tensor] | Literal[False] | None, examples: int
) -> Task:
    """What is fitted, from what the user gave."""
    device = next(bimt.model.parameters()).device
    device = torch.device("cpu") if device.type == "mps" else device  # as double() does
    given = _pair("data", data, device)
    held = _pair("validation", validation, device) if validation else None
    notes, of = tuple[str, ...](), len(given.inputs)
    if validation is None and of < FEW * live_weights(bimt) and of > 1:
        given, held = set_apart(given, VALIDATED)
        notes = (
            f"{len(held.inputs)} of {of} examples were not fitted but validated each round; the network was "
            "trained on them before",
        )
    training = _at_most(given, examples)
    everything = (given.targets, held.targets) if held is not None else (given.targets,)
    return Task(given, training, held, _objective(bimt, training, loss, everything), of, notes)


def _written(
    bimt: BIMT, path: tuple[Round, ...], budget: Budget, task: Task, ended: bool, notes: tuple[str, ...]
) -> Elimination:
    """The result, once its last round is in the user's model."""
    put_(bimt, path[-1].state)
    severed = tuple(pair for one in path for pair in one.severed)
    return Elimination(path, budget.loss, len(task.training.inputs), task.of, severed, ended, notes)


def _pair(what: str, data: Sequence[Tensor], device: torch.device) -> Examples:
    """Inputs and targets, numbers in float64.

    Raises:
        InputError: unless they are two tensors of one length, not empty.
    """
    if len(data) < 2 or not all(isinstance(part, Tensor) and part.ndim for part in data[:2]):
        raise InputError(f"{what} must be inputs and targets, two tensors with an example a row")
    inputs, targets = (part.to(device, torch.float64 if part.is_floating_point() else part.dtype) for part in data[:2])
    n = len(inputs)
    if n != len(targets) or not n:
        raise InputError(f"{what} must hold as many targets as inputs, at least one; found {n} and {len(targets)}")
    return Examples(inputs, targets)


def _at_most(given: Examples, most: int) -> Examples:
    """At most ``most`` of the examples, drawn by a fixed seed."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"examples must be a whole number of at least 1, found {most!r}")
    n = len(given.inputs)
    if most >= n:
        return given
    chosen = shuffled(n)[:most].sort().values.to(given.inputs.device)
    return Examples(*(part[chosen] for part in given))


def _objective(bimt: BIMT, examples: Examples, loss: Loss, everything: Sequence[Tensor]) -> Objective:
    """What is fitted, tried on two examples; classes are looked at in all targets."""
    dtype = next(bimt.model.parameters()).dtype
    with torch.no_grad():
        inputs, targets = (part[:2].to(dtype if part.is_floating_point() else part.dtype) for part in examples)
        device = next(bimt.model.parameters()).device
        outputs = bimt.model(inputs.to(device))
        if not isinstance(outputs, Tensor):
            raise InputError(f"eliminate takes models that give a tensor, found {type(outputs).__name__}")
        found = objective_of(loss, outputs, targets.to(device))
        for each in everything if loss == "cross_entropy" else ():
            require_classes(each, outputs.shape[-1])
        return found
