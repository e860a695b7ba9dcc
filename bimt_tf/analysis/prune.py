"""Pruning: how the loss grows as small weights are cut (paper, Figure A1), and the cut itself.

A weight is an entry of a connection of the wiring; biases, norms and embedding tables are left alone. A cut at
threshold t zeroes every weight with |w| <= t.

A network is **severed** when no path of nonzero weights leads from its first stage to its last. Paths follow the
connections from stage to stage, through value and MLP neurons alike; neuron i of a population passes on to neuron i of
its next, deeper stage (the residual stream). Queries and keys are left out, since they choose what is read and carry
nothing: where they lie on a path, the values of their head lie on one too. The widest path (the one whose weakest
weight is strongest) tells for every threshold at once: the network is severed from that weight on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor, nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.analysis.finite import finite_number
from bimt_tf.bimt import BIMT
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_callable, require_kind, require_non_negative

__all__ = ["CutReport", "PrunePoint", "THRESHOLDS", "cut_", "prune", "severed", "widest_path"]

THRESHOLDS: tuple[float, ...] = (0.0, *(10.0 ** (k / 4) for k in range(-20, 1)))
"""No cut, then four thresholds a decade from 1e-5 to 1."""


class PrunePoint(NamedTuple):
    """One point of the curve: active weights left at a threshold, and the loss the model then has.

    ``active_weights``: those above the threshold and on a path from an input to an output (active.py). A nonzero weight
    that leads nowhere is not counted. ``severed``: no path is left (module docstring).
    """

    threshold: float
    active_weights: int
    loss: float
    severed: bool

    def as_dict(self) -> dict[str, float]:
        """The result as a dict of numbers and a bool, ready for JSON."""
        return self._asdict()


class CutReport(NamedTuple):
    """Nonzero weights kept and newly cut, and whether no path from input to output is left."""

    kept: int
    cut: int
    severed: bool


def prune(
    bimt: BIMT, evaluate: Callable[[nn.Module], float], thresholds: Sequence[float] = THRESHOLDS
) -> list[PrunePoint]:
    """Cut the model at each threshold, evaluate it, and put every weight back bit for bit, also after an exception.

    Args:
        bimt: the model and its wiring.
        evaluate: model -> loss, called under no_grad while the weights are cut. The model's mode is left as it is.
        thresholds: in the order wanted.

    Raises:
        InputError: for an argument of another type, no threshold, one that is negative or not finite, NaN weights, or a
            loss that is not a finite number.
    """
    require_kind("bimt", bimt, BIMT)
    require_callable("evaluate", evaluate)
    require_kind("thresholds", thresholds, Sequence)
    if len(thresholds) == 0:
        raise InputError("thresholds is empty; give at least one, e.g. [0.0, 1e-3, 1e-2]")
    for threshold in thresholds:
        require_non_negative("threshold", threshold)
    strengths = _strengths(bimt)
    widest = widest_path(bimt.wiring, strengths)
    parameters = bimt.parameters
    kept = {name: parameters[name].detach().clone() for name in strengths}
    points = []
    with torch.no_grad():
        for threshold in thresholds:
            try:
                _zero_(bimt, strengths, threshold)
                loss = finite_number(evaluate(bimt.model), "evaluate", f"at threshold {threshold:g}")
                left = active_weights(bimt, 0.0)
            finally:
                for name, weight in kept.items():
                    parameters[name].copy_(weight)
            points.append(PrunePoint(float(threshold), left, loss, threshold >= widest))
    return points


def cut_(bimt: BIMT, threshold: float, *, allow_severed: bool = False) -> CutReport:
    """Zero every weight with |w| <= threshold, in place.

    Args:
        bimt: the model and its wiring.
        threshold: in the unit of the weights.
        allow_severed: cut even where that leaves no path from input to output.

    Raises:
        InputError: for a threshold that is negative or not finite, NaN weights, or, unless ``allow_severed``, one that
            leaves no path; then nothing is cut.
    """
    require_kind("bimt", bimt, BIMT)
    require_non_negative("threshold", threshold)
    strengths = _strengths(bimt)
    widest = widest_path(bimt.wiring, strengths)
    before, kept = _above(strengths, 0.0), _above(strengths, threshold)
    if threshold >= widest and not allow_severed:
        first, last = bimt.wiring.stages[0].name, bimt.wiring.stages[-1].name
        advice = f"give one below {widest:.4g}" if widest > 0 else "the weights leave none as they are"
        raise InputError(
            f"a cut at threshold {threshold:g} keeps {kept} of {before} weights and leaves no path from {first!r} to "
            f"{last!r}; {advice}, or pass allow_severed=True"
        )
    _zero_(bimt, strengths, threshold)
    return CutReport(kept, before - kept, threshold >= widest)


def severed(bimt: BIMT) -> bool:
    """Whether no path of nonzero weights leads from the first stage to the last."""
    require_kind("bimt", bimt, BIMT)
    return widest_path(bimt.wiring, _strengths(bimt)) == 0


def widest_path(wiring: Wiring, strengths: dict[str, Tensor]) -> float:
    """The strongest weight |w| that some path from first to last stage never falls below.

    0 if no path of nonzero weights joins them; infinite if a population reaches from first to last stage by itself (a
    residual stream between token embedding and unembedding). Module docstring: what a path is.

    Args:
        wiring: the stages and connections.
        strengths: connection's parameter -> |w|, of the parameter's shape.

    Raises:
        InputError: for a connection between two stages of one row.
    """
    first = min(stage.depth for stage in wiring.stages)
    last = max(stage.depth for stage in wiring.stages)
    reach: dict[str, Float64[Tensor, "neurons"]] = {}
    for connection in wiring.connections:
        if connection.source.depth == connection.target.depth:
            raise InputError(f"{connection.parameter} joins two stages of one row; put them in two rows of the wiring")
    for stage in sorted(wiring.stages, key=lambda stage: stage.depth):
        size = wiring.populations[stage.population].size
        best = torch.full((size,), math.inf if stage.depth == first else 0.0, dtype=torch.float64)
        for before in wiring.stages:
            if before.population == stage.population and before.depth < stage.depth:
                best = torch.maximum(best, reach[before.name])
        for connection in wiring.connections:
            if connection.target == stage:
                weights = connection.flatten(strengths[connection.parameter]).amax(0)
                through = torch.minimum(reach[connection.source.name][:, None], weights)
                best = torch.maximum(best, through.amax(0))
        reach[stage.name] = best
    return max(float(reach[stage.name].max()) for stage in wiring.stages if stage.depth == last)


def _strengths(bimt: BIMT) -> dict[str, Tensor]:
    """Connection's parameter -> |w| in float64 on the CPU, so that every comparison with a threshold is the same."""
    parameters = bimt.parameters
    strengths = {}
    for connection in bimt.wiring.connections:
        name = connection.parameter
        strengths[name] = parameters[name].detach().cpu().double().abs()
        if strengths[name].isnan().any():
            raise InputError(f"parameter {name!r} holds NaN; there is nothing to cut")
    return strengths


def _above(strengths: dict[str, Tensor], threshold: float) -> int:
    return sum(int((strength > threshold).sum()) for strength in strengths.values())


def _zero_(bimt: BIMT, strengths: dict[str, Tensor], threshold: float) -> None:
    parameters = bimt.parameters
    with torch.no_grad():
        for name, strength in strengths.items():
            parameters[name].masked_fill_((strength <= threshold).to(parameters[name].device), 0.0)
