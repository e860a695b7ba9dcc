"""What an alignment of networks found (align.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bimt_tf.analysis.align_match import Matching
from bimt_tf.analysis.plain import plain
from bimt_tf.core.layout import Layout
from bimt_tf.core.population import Node

__all__ = [
    "Alignment",
    "BesideChance",
    "Comparison",
    "NeuronPair",
    "PopulationMatch",
    "Recurring",
    "RecurringEdge",
    "RecurringModule",
]


class BesideChance(NamedTuple):
    """A figure beside what rewired networks give: their mean, their 95% quantile, and the share that reaches it (p)."""

    value: float
    chance: float
    high: float
    p: float


class NeuronPair(NamedTuple):
    """A reference neuron's partner in another network: how similar, and the share of rewired networks that reach it.

    ``sign`` is -1 where the partner carries the same with the other sign, in populations whose signs are free.
    """

    neuron: int
    partner: int
    sign: int
    similarity: float
    p: float


class PopulationMatch(NamedTuple):
    """One population of another network. ``alone``: active reference neurons without a partner; ``alone_there``: the
    other network's.
    """

    population: str
    pairs: tuple[NeuronPair, ...]
    alone: tuple[int, ...]
    alone_there: tuple[int, ...]


class Comparison(NamedTuple):
    """Another network beside the reference.

    ``alike``: twice the summed similarity of all pairs over the active neurons of both, of populations that may be
    relabelled; ``edges``: active weights that both have over those that either has (Jaccard); ``modules``: how much
    the two divisions into modules agree (adjusted mutual information), None where there are too many weights.
    ``matching``: the reference's neurons and heads in this network's names.
    """

    name: str
    alike: BesideChance
    edges: BesideChance
    modules: BesideChance | None
    populations: tuple[PopulationMatch, ...]
    matching: Matching


class Recurring(NamedTuple):
    """A reference neuron in the other networks.

    ``alike_in``: those in which its partner's similarity is at least 0.9; ``found_in``: those in which it is beyond
    chance, reached by at most 5% of rewired networks, which is a stronger or a weaker demand as the wiring has it;
    ``similarity``: the mean over all other networks.
    """

    population: str
    neuron: int
    alike_in: tuple[str, ...]
    found_in: tuple[str, ...]
    similarity: float


class RecurringEdge(NamedTuple):
    """An active weight in the reference's names, and all networks, the reference among them, that have it."""

    parameter: str
    source: int
    target: int
    found_in: tuple[str, ...]


class RecurringModule(NamedTuple):
    """A module of the reference: its neurons, and how well one module of each other network fits it (Jaccard).

    ``number``: from 1; modules of fewer than three neurons have none. ``chance``: the
    same of rewired networks, their mean; ``found_in``: those in which it fits better than in 95% of
    rewired networks.
    """

    number: int
    neurons: tuple[Node, ...]
    overlap: Mapping[str, float]
    chance: float
    found_in: tuple[str, ...]


class Alignment(NamedTuple):
    """Several networks, matched to one of them.

    ``names``: of the networks; ``reference``: of the one that the others are matched to. ``alike``: [networks,
    networks] how alike every two are. ``own_edges``: network -> how many of its active weights have no place in the
    reference's names. ``layouts``: network -> the layout in which its neurons stand where their partners do in the
    reference. How it was made: ``by``, ``examples``, ``draws``, ``seed``, and ``signs``, the populations whose neurons
    may change sign.
    """

    by: str
    names: tuple[str, ...]
    reference: str
    alike: tuple[tuple[float, ...], ...]
    comparisons: tuple[Comparison, ...]
    neurons: tuple[Recurring, ...]
    edges: tuple[RecurringEdge, ...]
    own_edges: Mapping[str, int]
    modules: tuple[RecurringModule, ...]
    layouts: Mapping[str, Layout]
    examples: int | None
    draws: int
    seed: int
    signs: tuple[str, ...]

    def recurring(self, at_least: int) -> tuple[Recurring, ...]:
        """The reference's neurons with an alike partner in all of at least so many networks, itself among them."""
        return tuple(one for one in self.neurons if 1 + len(one.alike_in) >= at_least)

    def recurring_edges(self, at_least: int) -> tuple[RecurringEdge, ...]:
        """The edges that at least so many networks have."""
        return tuple(one for one in self.edges if len(one.found_in) >= at_least)

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists, words and numbers, ready for JSON; layouts as population -> neuron -> slot."""
        found = self._asdict()
        found["comparisons"] = [_plain_comparison(one) for one in self.comparisons]
        found["layouts"] = {name: {k: v.tolist() for k, v in one.slots.items()} for name, one in self.layouts.items()}
        return {name: plain(value) for name, value in found.items()}

    def __repr__(self) -> str:
        n = len(self.names)
        alike = sum(one.alike.value for one in self.comparisons) / len(self.comparisons)
        edges = sum(one.edges.value for one in self.comparisons) / len(self.comparisons)
        return (
            f"Alignment({n} networks to {self.reference} by {self.by}: alike {alike:.2f}, edges shared {edges:.2f}, "
            f"{len(self.recurring(n))} of {len(self.neurons)} neurons and {len(self.recurring_edges(n))} edges in all)"
        )


def _plain_comparison(one: Comparison) -> dict[str, Any]:
    found = one._asdict()
    found["matching"] = {"partner": one.matching.partner, "heads": one.matching.heads}
    return found
