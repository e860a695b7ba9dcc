"""The network that is being thinned: its present state, trials beside it, and the rounds that were kept."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.core.charged import ChargedWeights
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.levenberg_marquardt import Pulled, levenberg_marquardt
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.manner import AS_IT_COMES, Manner
from bimt_tf.training.elimination.objective import Objective
from bimt_tf.training.elimination.rounds import FIRST_PRESSURE, Round, Standing, What, counts, dependencies, put_

__all__ = ["Search", "double"]

FIRST_SHARE = 0.15
"""The share of the live weights that the first round takes out."""

LEVEL = 0.05
PULL = 0.01
"""See :attr:`Search.level` and :attr:`Search.pull`."""

HOPELESS = 1e4
"""See :meth:`Search.hopeless`: so many times what is allowed."""

NEAR_PULL = 10.0
"""In the place of ``PULL`` where the search stays near: harder, the loss hardly falls; softer, Q does."""


class Search:
    """``bimt``, a float64 model of the search's own, and ``path``, the rounds kept so far, the given network first.

    Args:
        bimt: of the user's model, which is read once and not changed.
        examples: what the loss is measured on.
        validation: what a round must not lose on; None for nothing.
        objective: what the loss is.
        on_round: called with each round that is kept.
        stop: asked between two steps; True ends the search where it is.
        path: rounds of a search that was stopped, to go on from the last.
        manner: in which manner weights go; of a search that stays near refits end as soon as the budget allows and hold
            weights hard (single_weights.py), of one for short wires biases stay.

    ``stage``, ``share`` and ``pressure`` say where the search stands (rounds.py); stages set them. ``wire_lengths``:
    parameter -> the length of each of its wires.
    """

    def __init__(
        self,
        bimt: BIMT,
        examples: Examples,
        validation: Examples | None,
        objective: Objective,
        on_round: Callable[[Round], None],
        stop: Callable[[], bool],
        path: Sequence[Round] = (),
        manner: Manner = AS_IT_COMES,
    ) -> None:
        self.bimt, self._scratch = double(bimt), double(bimt)
        self.examples, self.validation, self.objective = examples, validation, objective
        self.on_round, self.stop, self.path = on_round, stop, list[Round](path)
        self.stay_near, self.short_wires = manner.stay_near, manner.short_wires
        self.stage, self.share, self.pressure = 0, FIRST_SHARE, FIRST_PRESSURE
        self.notes = list[str]()
        self.budget = Budget(float("inf"), 0, float("inf"))
        self.wire_lengths = _lengths(self.bimt)
        wires = {connection.parameter for connection in self.bimt.wiring.connections}
        self.wires = {n: torch.full_like(p, float(n in wires)) for n, p in self.wire_lengths.items()}
        self._began = time.monotonic() - (path[-1].seconds if path else 0.0)
        if path:
            put_(self.bimt, path[0].state)
        self._joined = dependencies(self.bimt)
        network = self.network()
        self._size = float(network.start @ network.start)
        if not path:
            self._keep("as given", network)
        network.write_(network.start, self.bimt)  # without what does nothing, so that no dependency is claimed for it
        if len(path) > 1:
            put_(self.bimt, path[-1].state)
            self.stage, self.share, self.pressure = path[-1].standing
        self._joined = dependencies(self.bimt)

    @property
    def now(self) -> Round:
        """The last round that was kept."""
        return self.path[-1]

    @property
    def live(self) -> int:
        """How many numbers of the present network are not zero."""
        return sum(int(p.count_nonzero()) for p in self.bimt.parameters.values() if p.requires_grad)

    @property
    def reached(self) -> bool:
        """Whether so few weights or neurons are left as the budget asks for."""
        budget, now = self.budget, self.now
        return now.weights <= budget.weights or (budget.neurons > 0 and now.hidden_neurons <= budget.neurons)

    @property
    def level(self) -> float:
        """The loss that refits are measured by: the budget's, or without one a share of that of the given network."""
        return self.budget.loss if math.isfinite(self.budget.loss) else LEVEL * self.path[0].loss

    @property
    def fair(self) -> float:
        """The largest loss that a move may end with that is tried for itself: the budget's, or without one no more than
        the present.
        """
        return self.budget.loss if math.isfinite(self.budget.loss) else max(self.level, self.now.loss)

    def may_change(self, changed: Mapping[str, Tensor]) -> bool:
        """Whether these values of parameters leave those alone that are frozen."""
        held = self.bimt.parameters
        return all(held[name].requires_grad or torch.equal(values, held[name]) for name, values in changed.items())

    def fewer(self, trial: LiveNetwork) -> bool:
        """Whether a trial has fewer numbers that are not zero, and no more active weights among them."""
        if len(trial.start) >= self.live:
            return False
        trial.write_(trial.start, self._scratch)
        return active_weights(self._scratch, 0.0) <= self.now.weights

    def hopeless(self, loss: float) -> bool:
        """Whether no refit is worth trying from a loss, that of a move which is tried for itself."""
        return not loss <= HOPELESS * self.fair

    @property
    def pull(self) -> float:
        """How hard a refit holds weights: moving by as much as they were large at first costs a share of ``level``."""
        pull = NEAR_PULL if self.stay_near else PULL
        return pull * self.level / self._size if self._size else 0.0

    def network(self) -> LiveNetwork:
        """The present network, a function of its live weights."""
        return LiveNetwork(self.bimt, self.examples, self.objective, note=self.note)

    def note(self, sentence: str) -> None:
        """Keep what a reader of the result should know, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def lengths(self, network: LiveNetwork) -> Float[Tensor, " n"]:
        """How long the wire of each live weight is, as a share of the longest; a bias has the layer gap, or 0 where it
        stays.
        """
        lengths = network.gather(self.wire_lengths)
        longest = float(lengths.max()) if len(lengths) else 0.0
        shares = (lengths / longest).clamp_min(1e-2) if longest else lengths + 1
        return shares * network.gather(self.wires) if self.short_wires else shares

    def attempt(
        self,
        what: What,
        network: LiveNetwork,
        values: Float[Tensor, " n"],
        *,
        steps: int,
        tolerance: float,
        goal: float,
        most: float = float("inf"),
        dense: bool = False,
        share: float | None = None,
    ) -> bool:
        """Refit ``network`` from ``values`` and keep it if the budget allows, and its loss is at most ``most``.

        A trial that is not kept leaves the present network as it was, to the bit. None is kept whose refit was stopped:
        a search that goes on then takes the same steps as one that was not.

        Args:
            what: goes into the round.
            network: of which ``values`` are the live weights.
            values: where to begin; those that are zero stay zero, unless ``dense``.
            steps: of Levenberg-Marquardt, with its ``tolerance`` and ``goal``.
            tolerance: see ``steps``.
            goal: see ``steps``.
            most: the largest loss to keep, beside the budget.
            dense: give the neurons that are left all weights between them.
            share: the search's share behind it, if it is kept; the present one unless given.
        """
        network.write_(values, self._scratch)
        trial = LiveNetwork(self._scratch, self.examples, self.objective, dense)
        return self.attempt_trial(what, trial, steps=steps, tolerance=tolerance, goal=goal, most=most, share=share)

    @torch.no_grad()
    def trial(self, changed: Mapping[str, Tensor]) -> LiveNetwork:
        """The present network with some whole parameters changed, their zeros for good; it stands by itself."""
        for name, parameter in self._scratch.parameters.items():
            parameter.copy_(changed.get(name, self.bimt.parameters[name]))
        return LiveNetwork(self._scratch, self.examples, self.objective)

    def attempt_trial(
        self,
        what: What,
        trial: LiveNetwork,
        *,
        steps: int,
        tolerance: float,
        goal: float,
        most: float = float("inf"),
        share: float | None = None,
    ) -> bool:
        """Refit a trial from where it is, and keep it as :meth:`attempt` does."""
        start = trial.start
        pulled = Pulled(trial, self.pull, start)
        limit = min(most, self.budget.loss)
        fit = levenberg_marquardt(
            pulled, start, steps=steps, tolerance=tolerance, goal=goal, limit=limit, stop=self.stop
        )
        return self.keep(what, trial, fit.values, most=most, share=share)

    def keep(
        self,
        what: What,
        trial: LiveNetwork,
        values: Float[Tensor, " n"],
        *,
        most: float = float("inf"),
        share: float | None = None,
        pressure: float | None = None,
    ) -> bool:
        """Keep a trial with these live weights if the budget allows it and its loss is at most ``most``.

        ``share``, ``pressure``: the search's behind it; as they are unless given.
        """
        losses = trial.loss(values), self._validation_loss(trial, values)
        if self.stop() or losses[0] > most or not self.budget.allows(*losses):
            return False
        trial.write_(values, self.bimt)
        self.share = self.share if share is None else share
        self.pressure = self.pressure if pressure is None else pressure
        self._keep(what, trial, values)
        return True

    def _keep(
        self,
        what: What,
        network: LiveNetwork,
        values: Tensor | None = None,
    ) -> None:
        values = network.start if values is None else values
        joined = dependencies(self.bimt)
        severed, self._joined = tuple(sorted(self._joined - joined)), joined
        self.path.append(
            Round(
                what,
                *counts(self.bimt),
                loss=network.loss(values),
                validation_loss=self._validation_loss(network, values),
                severed=severed,
                seconds=time.monotonic() - self._began,
                state={name: p.detach().to_sparse() for name, p in self.bimt.parameters.items()},
                standing=Standing(self.stage, self.share, self.pressure),
            )
        )
        self.on_round(self.now)

    def _validation_loss(self, network: LiveNetwork, values: Tensor) -> float | None:
        return None if self.validation is None else network.loss(values, self.validation)


def double(bimt: BIMT) -> BIMT:
    """The same in float64, with a model of its own that is not training (dropout is off)."""
    model: nn.Module = copy.deepcopy(bimt.model)
    device = next(model.parameters()).device
    model = model.to("cpu" if device.type == "mps" else device).double().eval()  # Apple's GPUs know no float64
    return BIMT(model, bimt.geometry, bimt.wiring, bimt.reduction, bimt.layout)


def _lengths(bimt: BIMT) -> dict[str, Tensor]:
    """Parameter -> the length of each of its wires."""
    charged = ChargedWeights(bimt.wiring, bimt.geometry, "sum").coefficients(bimt.layout, bimt.parameters)
    gap = float(bimt.geometry.layer_gap)
    return {n: charged[n] if n in charged else p.detach().new_full(p.shape, gap) for n, p in bimt.parameters.items()}
