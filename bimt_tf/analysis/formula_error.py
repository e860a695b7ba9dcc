"""How far a formula is from the network it was read from, and how far it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.formula_polynomial import Array
from bimt_tf.analysis.formula_program import Program

__all__ = ["Budget", "Errors", "Judge", "Sample", "errors"]

EXACT = 1e-12  # of the network's mean square: what counts as no error where an output does not vary


class Errors(NamedTuple):
    """Of all outputs: greatest and root mean square error; ``r2`` of the worst output, None if one does not vary."""

    max: float
    rms: float
    r2: float | None


class Budget(NamedTuple):
    """What may be lost against the network: R2 of each output at least ``r2``, or the error at most ``max_error``."""

    r2: float | None
    max_error: float | None

    def wider(self, factor: float) -> Budget:
        """A budget of so many times the squared error."""
        if self.max_error is not None:
            return Budget(None, self.max_error * factor**0.5)
        assert self.r2 is not None
        return Budget(max(0.0, 1 - factor * (1 - self.r2)), None)

    def allows(self, found: Array, network: Array, share: float) -> bool:
        """Whether outputs [examples, outputs] are within a share of the budget (of squares where R2 is given)."""
        off = found - network
        if not np.isfinite(off).all():
            return False
        if self.max_error is not None:
            return bool(np.abs(off).max() <= share * self.max_error)
        assert self.r2 is not None
        spread = np.square(network - network.mean(0)).sum(0)
        most = np.maximum(share * (1 - self.r2) * spread, EXACT * np.square(network).sum(0))
        return bool((np.square(off).sum(0) <= most).all())


class Sample(NamedTuple):
    """Examples: variable -> [n], and what the network makes of them, [n, outputs]."""

    inputs: Mapping[str, Array]
    network: Array


class Judge(NamedTuple):
    """Says whether a formula is near enough to the network, on the examples it is fitted to and on held-out ones."""

    fit: Sample
    held_out: Sample
    budget: Budget

    def allows(self, program: Program, share: float) -> bool:
        """Whether a program stays within a share of the budget on both samples."""
        return all(
            self.budget.allows(program.run(sample.inputs, len(sample.network)), sample.network, share)
            for sample in (self.held_out, self.fit)
        )


def errors(found: Array, true: Array) -> Errors:
    """Errors of outputs [examples, outputs] against what they should be."""
    off = found - true
    spread = np.square(true - true.mean(0)).sum(0)
    r2 = None if (spread == 0).any() else float((1 - np.square(off).sum(0) / spread).min())
    return Errors(float(np.abs(off).max()), float(np.sqrt(np.square(off).mean())), r2)
