"""The gauge of a softmax: what may be added to the weights of a last layer without any probability seeing it.

A softmax sees differences of logits alone. So one number may be taken from all the weights by which one neuron reaches
the classes, another from those of the next neuron, and one from all biases:

    W[j, k] - s_j,    b[k] - s

The shift s_j that many weights of the neuron are equal to makes these zero. The best shifts leave the fewest weights,
then the fewest classes that any weight leads to, then the shortest wires. Two classes always come down to one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Attachment, Connection
from bimt_tf.training.elimination.levenberg_marquardt import steps_for
from bimt_tf.training.elimination.live_network import LiveNetwork
from bimt_tf.training.elimination.objective import CrossEntropy
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.single_weights import TOLERANCE, goal_for

__all__ = ["GAUGE", "best_shifts", "choose_gauge", "equal_weights", "shift_equal_weights"]

GAUGE = (
    "the weights of some neurons into the classes were shifted together, which no softmax sees: a class without "
    "weights is where the others' logits are measured from, not one that depends on nothing"
)

ROUNDING = 1e-9
"""Of the largest logit, by which log-probabilities may move where a shift is to change nothing."""

ALIKE = (0.4, 0.2, 0.1, 0.05)
"""Weights of one neuron this close to one another, as shares of its largest, are tried as equal."""
TRIED = 6
"""Single neurons that are tried where all at once cannot go."""


class _Readout(NamedTuple):
    """The one layer behind which the logits stand."""

    weight: Connection
    bias: Attachment | None

    def rows(self, parameters: Mapping[str, Tensor]) -> Float[Tensor, "rows classes"]:
        """The weights of each neuron into the classes, and last the biases."""
        rows = self.weight.flatten(parameters[self.weight.parameter]).flatten(0, 1)
        return rows if self.bias is None else torch.cat([rows, self.bias.flatten(parameters[self.bias.parameter])])

    def parameters(self, rows: Float[Tensor, "rows classes"], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inverse of :meth:`rows`."""
        flat = self.weight.flatten(parameters[self.weight.parameter])
        weights = rows if self.bias is None else rows[:-1]
        found = {self.weight.parameter: self.weight.unflatten(weights.view_as(flat))}
        return found if self.bias is None else found | {self.bias.parameter: self.bias.unflatten(rows[-1:])}


@torch.no_grad()
def choose_gauge(search: Search) -> None:
    """Shift the weights into the classes of a softmax where fewer are left, or they lead to fewer classes."""
    readout = _readout(search)
    if readout is None or search.stop():
        return
    held = dict(search.bimt.parameters)
    rows = readout.rows(held)
    lengths = readout.rows(search.wire_lengths)
    shifted = rows - best_shifts(rows, lengths)[:, None]
    if not _simpler(readout, shifted, rows):
        return
    trial = search.trial(readout.parameters(shifted, held))
    if not _same_probabilities(search, trial):
        return
    allowed = search.budget
    search.budget = allowed._replace(loss=float("inf"), validation_loss=float("inf"))  # nothing but rounding moves
    search.attempt_trial("gauge", trial, steps=0, tolerance=0.0, goal=0.0)
    search.budget = allowed


def shift_equal_weights(search: Search) -> bool:
    """Take out the weights of a neuron that are nearly equal, by a shift of all its weights; whether one was kept."""
    readout = _readout(search)
    if readout is None:
        return False
    held = {name: p.detach() for name, p in search.bimt.parameters.items()}
    rows = readout.rows(held)
    for alike in ALIKE:
        shifts, equal, gains = equal_weights(rows, alike)
        single = [[int(row)] for row in gains.argsort(descending=True, stable=True)[:TRIED] if gains[row] > 0]
        together = [(gains > 0).nonzero().squeeze(1).tolist()] if len(single) > 1 else []
        for some in (*together, *single):
            shifted = rows.clone()
            shifted[some] = (rows[some] - shifts[some, None]).masked_fill(equal[some], 0.0)
            trial = search.trial(readout.parameters(shifted, held))
            n = len(trial.start)
            steps, goal = steps_for(n), goal_for(n, search)
            if search.stop():
                return False
            if search.hopeless(trial.loss(trial.start)):
                continue
            if search.attempt_trial("gauge", trial, steps=steps, tolerance=TOLERANCE, goal=goal, most=search.fair):
                return True
    return False


def best_shifts(rows: Float[Tensor, "rows classes"], lengths: Float[Tensor, "rows classes"]) -> Float[Tensor, " rows"]:
    """The shift of each row, biases last, that the module's text asks for.

    Args:
        rows: weights of a neuron into the classes, a row each.
        lengths: of their wires.
    """
    candidates = torch.cat([rows.new_zeros(len(rows), 1), rows], 1)  # a row as it is, or measured from one class
    left, cost = torch.empty_like(candidates), torch.empty_like(candidates)
    for number, shift in enumerate(candidates.mT):
        moved = (rows - shift[:, None]).masked_fill(rows == shift[:, None], 0.0)
        left[:, number], cost[:, number] = (moved != 0).sum(1).to(rows), (lengths * moved.abs()).sum(1)
    fewest = left.min(1, keepdim=True).values
    each = cost.masked_fill(left > fewest, torch.inf).argmin(1)
    found = candidates.gather(1, each[:, None])[:, 0]
    as_few = (left[:, 1:].sum(0) == fewest.sum()).nonzero().squeeze(1)
    if len(as_few):
        one = as_few[cost[:, 1:].sum(0)[as_few].argmin()]
        if _led_to(rows - rows[:, one, None]) < _led_to(rows - found[:, None]):
            return rows[:, one]
    return found


def equal_weights(
    rows: Float[Tensor, "rows classes"], alike: float
) -> tuple[Float[Tensor, " rows"], Bool[Tensor, "rows classes"], Float[Tensor, " rows"]]:
    """For each row the mean of its largest set of nearly equal weights, the set, and how many more it has than zeros.

    Args:
        rows: weights of a neuron into the classes, a row each.
        alike: the widest difference in a set, as a share of the row's largest weight.
    """
    shifts, chosen = rows.new_zeros(len(rows)), torch.zeros_like(rows, dtype=torch.bool)
    for number in rows.any(1).nonzero().squeeze(1).tolist():
        row = rows[number]
        ordered = row[row != 0].sort().values
        ends = torch.searchsorted(ordered, ordered + alike * float(row.abs().max()), right=True)
        below = int((ordered < 0).sum())  # a set has one sign, for zeros are there already
        ends[:below] = ends[:below].clamp_max(below)
        many = ends - torch.arange(len(ordered), device=rows.device)
        first = int(many.argmax())
        same = ordered[first : int(ends[first])]
        shifts[number], chosen[number] = same.mean(), (row >= same[0]) & (row <= same[-1])
    return shifts, chosen, (chosen.sum(1) - (rows == 0).sum(1)).to(rows)


def _led_to(rows: Tensor) -> int:
    """To how many classes a number other than zero leads."""
    return int((rows != 0).any(0).sum())


def _simpler(readout: _Readout, shifted: Tensor, rows: Tensor) -> bool:
    """Whether there are fewer numbers, or as many that lead to fewer classes."""

    def size(of: Tensor) -> tuple[int, int]:
        return int((of != 0).sum()), _led_to(of if readout.bias is None else of[:-1])

    return size(shifted) < size(rows)


def _readout(search: Search) -> _Readout | None:
    """The layer whose outputs are the logits of a softmax, and nothing else; None where that is not plain."""
    if not isinstance(search.objective, CrossEntropy):
        return None
    bimt: BIMT = search.bimt
    wiring = bimt.wiring
    deepest = max(stage.depth for stage in wiring.stages)
    last = [stage for stage in wiring.stages if stage.depth == deepest]
    weights = [c for c in wiring.connections if c.target.depth == deepest]
    hanging = [a for a in wiring.attachments if a.stage.depth == deepest]
    stands = sum(stage.population == last[0].population for stage in wiring.stages)
    if len(last) != 1 or len(weights) != 1 or stands != 1 or len(hanging) > 1 or not all(a.is_bias for a in hanging):
        return None
    if not all(bimt.parameters[one.parameter].requires_grad for one in (*weights, *hanging)):
        return None
    if any(len(one.flatten(bimt.parameters[one.parameter])) != 1 for one in hanging):  # a bias for each position
        return None
    return _Readout(weights[0], hanging[0] if hanging else None)


def _same_probabilities(search: Search, trial: LiveNetwork) -> bool:
    """Whether a trial gives the same log-probabilities as the present network, to rounding."""
    assert isinstance(search.objective, CrossEntropy)
    targets = search.examples.targets
    logits = [search.objective.logits(one.outputs(), targets) for one in (search.network(), trial)]
    moved = (logits[0].log_softmax(-1) - logits[1].log_softmax(-1)).abs().amax()
    return bool(moved <= ROUNDING * (1 + max(float(one.abs().amax()) for one in logits)))
