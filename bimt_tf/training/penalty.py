"""The penalty: lambda times the connection cost, as a run's weights pay it (paper, Eqs. 3 and 4).

    cost = sum over entries of  length * size

Its kinds differ in the size of an entry and in what an optimizer step owes. Plain: the size is |w|, whether lengths
come from the layout (BIMT) or not (plain L1). Effective (docs/norms.md): |w| times the gain of the norm before it.
The penalty acts by its gradient, which goes into the optimizer's, or by a soft threshold after the optimizer's step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.adapters.norms import norms
from bimt_tf.bimt import BIMT
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.training.effective_norms import EffectiveWeights
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.schedule import bias_step, final_width, width_at
from bimt_tf.training.threshold import OnVector
from bimt_tf.training.whole_step import PenaltyKind

__all__ = ["EffectivePenalty", "Penalty", "penalty_of"]


class Penalty:
    """What the weights pay as they are. Made for the first weights; :meth:`follow` before the first step.

    Args:
        bimt: the model with its wiring and layout; the penalty reads both and changes neither.
        flat: the model's trained parameters as one vector, which the penalty acts on.
        config: says whether lengths count, when biases begin to pay, and how the penalty acts (``kind``).
    """

    def __init__(self, bimt: BIMT, flat: FlatParameters, config: Config) -> None:
        self._bimt, self._flat = bimt, flat
        self._config = config
        self.kind: PenaltyKind = "proximal" if config.training.penalty == "proximal" else "gradient"
        if not METHODS[config.method].penalised:
            self.kind = "none"
        self._biases_pay_from = bias_step(config)
        self._biases = {a.parameter for a in bimt.wiring.attachments if a.is_bias}
        self._lengths = torch.zeros_like(flat.vector.detach())
        self._acts = OnVector(flat.vector)
        self._due = self._lengths  # what the entries pay in the step that is being taken

    def follow(self, step: int) -> None:
        """Take the lengths of the present layout and width, biases left out before the step from which they pay."""
        width = width_at(self._config, step) if METHODS[self._config.method].local else 0.0
        lengths = self._bimt.coefficients(None if width == final_width(self._config) else width)
        if step < self._biases_pay_from:
            lengths = {name: length for name, length in lengths.items() if name not in self._biases}
        self._lengths = self._flat.concatenate(lengths)

    def lengths(self) -> dict[str, Tensor]:
        """Parameter -> what each of its entries pays per unit of its size; 0 where it pays nothing."""
        return dict(zip(self._flat.named, self._flat.split(self._lengths), strict=True))

    def before_step_(self, lam: float) -> None:
        """What is to be done when the optimizer has its gradient: add the penalty's, if it acts by that."""
        self._due = self.owed()
        if self.kind == "gradient":
            self._acts.add_gradient_(self._due, lam)

    def after_step_(self, lam: float, optimizer: torch.optim.Optimizer) -> None:
        """What is to be done after the optimizer's step: the proximal step, if the penalty acts by that."""
        if self.kind == "proximal":
            self._acts.shrink_(self._due, lam, optimizer)

    def settle_(self) -> None:
        """What is to be done when a step is over, however the penalty acted in it: nothing."""

    def sizes(self) -> Float[Tensor, " entries"]:
        """What pays of each entry, per unit of its length."""
        return self._flat.vector.detach().abs()

    def weights(self) -> Mapping[str, Tensor] | None:
        """The weights that a search for a better layout sees, by parameter; None for the model's own."""
        return None

    def value(self) -> float:
        """The cost of the present weights."""
        return float((self._lengths * self.sizes()).sum())

    def owed(self) -> Float[Tensor, " entries"]:
        """The derivative of the cost by each |entry|; the same tensor as long as it has the same values."""
        return self._lengths


class EffectivePenalty(Penalty):
    """What the weights pay as they act: those behind a norm times its gain. Pins the residual stream's scale.

    The scale pinned is that of the weights at the time when the penalty is made: make it before a checkpoint is loaded.
    """

    def __init__(self, bimt: BIMT, flat: FlatParameters, config: Config) -> None:
        super().__init__(bimt, flat, config)
        self._effective = EffectiveWeights(flat, bimt.wiring, norms(bimt.model, bimt.wiring))

    def settle_(self) -> None:
        """The residual stream gets its scale back."""
        self._effective.pin_()

    def sizes(self) -> Float[Tensor, " entries"]:
        """|w| times the gain of the norm before it."""
        return super().sizes() * self._effective.gains()

    def weights(self) -> Mapping[str, Tensor]:
        """Weights times the gains of the norms before them."""
        effective = self._flat.vector.detach() * self._effective.gains()
        return dict(zip(self._flat.named, self._flat.split(effective), strict=True))

    def owed(self) -> Float[Tensor, " entries"]:
        return self._effective.charge(self._lengths)


KINDS: Mapping[str, type[Penalty]] = {"as-is": Penalty, "effective": EffectivePenalty}
"""The config's ``norms`` -> the kind of penalty."""


def penalty_of(bimt: BIMT, flat: FlatParameters, config: Config) -> Penalty:
    """The penalty that a config asks for."""
    return KINDS[config.training.norms](bimt, flat, config)
