"""Modularity beside that of other networks of about as many weights, such as L1 runs of the same task.

Q grows as networks get sparser, whatever their structure, so a comparison says how the numbers of weights match.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError

__all__ = ["Other", "MatchedComparison", "compare_matched"]


class Other(NamedTuple):
    """A network that is compared with: what it is called, its weights, its Q and its held-out loss."""

    label: str
    weights: int
    q: float
    loss: float


class MatchedComparison(NamedTuple):
    """Q against others': ``difference`` to their mean, their ``lowest`` and ``highest``, and ``ratios`` of weights.

    ``beats``: of how many of them Q is higher.
    """

    q: float
    weights: int
    others: tuple[Other, ...]
    mean: float
    difference: float
    lowest: float
    highest: float
    beats: int
    ratios: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line, which says how the numbers of weights match."""
        ratios = f"{min(self.ratios):.2f} to {max(self.ratios):.2f} times the weights"
        return (
            f"MatchedComparison(Q {self.q:.3f}, {self.difference:+.3f} from the mean of {len(self.others)} others, "
            f"which have {self.lowest:.3f} to {self.highest:.3f} with {ratios})"
        )


def compare_matched(q: float, weights: int, others: Sequence[Other]) -> MatchedComparison:
    """A network's Q beside others'.

    Args:
        q, weights: the network's modularity and number of weights.
        others: the networks beside it, whose Q was found in the same way.

    Raises:
        InputError: for no others, or a network without weights.
    """
    if not others:
        raise InputError("there is nothing to compare with: give at least one other network")
    if weights < 1:
        raise InputError("the network has no weights: it has no modularity to compare")
    qs = [one.q for one in others]
    mean = statistics.fmean(qs)
    ratios = tuple(one.weights / weights for one in others)
    beats = sum(q > each for each in qs)
    return MatchedComparison(q, weights, tuple(others), mean, q - mean, min(qs), max(qs), beats, ratios)
