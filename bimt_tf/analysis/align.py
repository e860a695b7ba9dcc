"""The same neurons in several networks of one shape: matching, what recurs, and what chance would give.

Networks that learned the same from other random starts may hold the same circuit under other names. One of them, the
medoid (the one that is most like all others), is the reference; every other network's active neurons are matched to
its active neurons within the wiring's symmetries (align_symmetry.py), by their activations on common examples or by
their weights. A neuron, an edge or a module **recurs** if it is found in other networks too. A match takes the best
pairs there are, so its figures stand beside those of rewired copies of the same networks (align_chance.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from bimt_tf.analysis.align_match import NONE, full_order
from bimt_tf.analysis.align_pairs import By, Matched, Network, alikeness, match, network_of, rewired_matches
from bimt_tf.analysis.align_recurrence import MOST_EDGES, Parts, agreement, edges_of, fits, large, overlap, parts_of
from bimt_tf.analysis.align_results import (
    Alignment,
    BesideChance,
    Comparison,
    NeuronPair,
    PopulationMatch,
    Recurring,
    RecurringEdge,
    RecurringModule,
)
from bimt_tf.analysis.align_symmetry import Sparse, require_one_shape, sign_free, sparse_of
from bimt_tf.analysis.progress import Progress
from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.core.population import Node
from bimt_tf.errors import InputError, require_known, require_seed, require_whole, unknown

__all__ = ["align_networks"]

BEYOND = 0.05
"""What is found: at most this share of rewired networks has a partner as similar, or a module that fits as well."""
ALIKE = 0.9
"""Similarity from which on two neurons are called alike."""
ROUNDING = 1e-9


class _Pair(NamedTuple):
    """Another network, matched; its rewired copies, matched; and its modules and theirs, where they are looked for."""

    name: str
    network: Network
    matched: Matched
    drawn: list[tuple[Sparse, Matched]]
    parts: Parts | None
    drawn_parts: list[Parts]


def align_networks(
    networks: Sequence[BIMT],
    inputs: Shaped[Tensor, "batch ..."] | None = None,
    *,
    names: Sequence[str] | None = None,
    thresholds: Sequence[float] | None = None,
    by: By = "activations",
    reference: str | None = None,
    draws: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> Alignment:
    """Match the neurons of several networks of one shape to those of one of them.

    Args:
        networks: two or more, of the same populations and parameters.
        inputs: common examples, the batch first; needed to match by activations.
        names: what the networks are called in the result; "0", "1" ... unless given.
        thresholds: of each network, the size above which a weight is active; 0 unless given.
        by: "activations": correlation on the examples; "weights": products of weights, summed over all tensors.
        reference: the name of the network that the others are matched to; the medoid unless given.
        draws: rewired copies of each network that the chance figures are taken from.
        seed: of those draws, and of the random starts of weight matching.
        progress: told (done, of) behind every network.

    Raises:
        InputError: for fewer than two networks, networks of different shapes (the first difference is named), one
            without active weights, names that are not one a network, or matching by activations without examples.
    """
    called = _checked(networks, inputs, names, by, reference, draws, seed)
    limits = [0.0] * len(networks) if thresholds is None else list(thresholds)
    signs = sign_free(networks[0])
    generator = np.random.default_rng(seed)
    compared = [network_of(sparse_of(bimt, limit), by, inputs) for bimt, limit in zip(networks, limits, strict=True)]
    alike = _alike(compared, signs, generator)
    chosen = int(alike.sum(1).argmax()) if reference is None else called.index(reference)
    mine = compared[chosen]
    parts = _parts(mine.sparse)
    pairs: list[_Pair] = []
    for name, other in zip(called, compared, strict=True):
        if other is not mine:
            matched = match(mine, other, signs, generator)
            drawn = rewired_matches(mine, other.sparse, signs, inputs, generator, draws)
            there = None if parts is None else _parts(other.sparse)
            drawn_parts = [] if there is None else [parts_of(one) for one, _ in drawn]
            pairs.append(_Pair(name, other, matched, drawn, there, drawn_parts))
            if progress is not None:
                progress(1 + len(pairs), len(networks))
    made = partial(
        Alignment, by=by, names=tuple(called), alike=tuple(tuple(map(float, row)) for row in alike),
        examples=None if inputs is None or by == "weights" else len(inputs), draws=draws, seed=seed,
        signs=tuple(sorted(signs)),
    )  # fmt: skip
    return _gathered(made, called, called[chosen], mine.sparse, parts, pairs)


def _gathered(
    made: Callable[..., Alignment],
    names: Sequence[str],
    reference: str,
    mine: Sparse,
    parts: Parts | None,
    pairs: Sequence[_Pair],
) -> Alignment:
    """What all pairs together say; ``made`` knows how it was made."""
    chance = [one.similarity for pair in pairs for _, one in pair.drawn]
    comparisons = tuple(_comparison(mine, parts, pair, chance) for pair in pairs)
    edges, own = _edges(reference, mine, pairs, names)
    return made(
        reference=reference,
        comparisons=comparisons,
        neurons=_recurring(comparisons),
        edges=edges,
        own_edges=own,
        modules=_modules(parts, pairs),
        layouts={reference: mine.bimt.layout} | {pair.name: _layout(mine.bimt, pair) for pair in pairs},
    )


def _checked(
    networks: Sequence[BIMT],
    inputs: Tensor | None,
    names: Sequence[str] | None,
    by: By,
    reference: str | None,
    draws: int,
    seed: int,
) -> list[str]:
    """The names of the networks, once everything that was given is found to fit."""
    if len(networks) < 2:
        raise InputError(f"an alignment takes two networks or more, found {len(networks)}")
    called = [str(i) for i in range(len(networks))] if names is None else list(names)
    if len(called) != len(networks) or len(set(called)) < len(called):
        raise InputError(f"names must be one a network, each another, found {', '.join(called)}")
    require_known("way to align", by, ("activations", "weights"))
    require_whole("draws", draws)
    require_seed(seed)
    if by == "activations" and inputs is None:
        raise InputError("aligning by activations needs examples: give inputs, or by='weights'")
    if reference is not None and reference not in called:
        raise unknown("network to align to", reference, called)
    require_one_shape(networks, called)
    return called


def _alike(networks: Sequence[Network], signs: frozenset[str], generator: np.random.Generator) -> np.ndarray:
    """How alike every two networks are, [networks, networks]."""
    found = np.eye(len(networks))
    for i, j in combinations(range(len(networks)), 2):
        matched = match(networks[i], networks[j], signs, generator)
        found[i, j] = found[j, i] = alikeness(networks[i].sparse, networks[j].sparse, matched)
    return found


def _parts(network: Sparse) -> Parts | None:
    """The modules; None of a network with too many weights."""
    few = sum(int((w != 0).sum()) for w in network.weights.values()) <= MOST_EDGES
    return parts_of(network) if few else None


def _comparison(mine: Sparse, parts: Parts | None, pair: _Pair, chance: Sequence[dict[str, np.ndarray]]) -> Comparison:
    """Another network beside the reference, and beside its rewired copies."""
    other, matched = pair.network, pair.matched
    alike = [alikeness(mine, network, one) for network, one in pair.drawn]
    edges = [overlap(mine, network, one.matching) for network, one in pair.drawn]
    modules = None
    if parts is not None and pair.parts is not None:
        drawn = [agreement(parts, each, m.matching) for each, (_, m) in zip(pair.drawn_parts, pair.drawn, strict=True)]
        modules = _beside(agreement(parts, pair.parts, matched.matching), drawn)
    free = [p.name for p in mine.bimt.wiring.populations.values() if p.bakeable]
    return Comparison(
        name=pair.name,
        alike=_beside(alikeness(mine, other.sparse, matched), alike),
        edges=_beside(overlap(mine, other.sparse, matched.matching), edges),
        modules=modules,
        populations=tuple(_population(name, mine, pair, chance) for name in free),
        matching=matched.matching,
    )


def _beside(value: float, drawn: Sequence[float]) -> BesideChance:
    p = (1 + sum(one >= value - ROUNDING for one in drawn)) / (1 + len(drawn))
    return BesideChance(value, float(np.mean(drawn)), float(np.quantile(drawn, 1 - BEYOND)), p)


def _population(name: str, mine: Sparse, pair: _Pair, chance: Sequence[dict[str, np.ndarray]]) -> PopulationMatch:
    partner, similar = pair.matched.matching.partner[name], pair.matched.similarity[name]
    reached = (np.stack([one[name] for one in chance]) >= similar - ROUNDING).sum(0)
    p = (1 + reached) / (1 + len(chance))
    matched = np.flatnonzero(partner != NONE)
    signs = pair.matched.signs[name]
    pairs = (NeuronPair(int(a), int(partner[a]), int(signs[a]), float(similar[a]), float(p[a])) for a in matched)
    alone = np.flatnonzero(mine.active[name] & (partner == NONE))
    there = np.setdiff1d(np.flatnonzero(pair.network.sparse.active[name]), partner)
    return PopulationMatch(name, tuple(pairs), tuple(alone.tolist()), tuple(there.tolist()))


def _recurring(comparisons: Sequence[Comparison]) -> tuple[Recurring, ...]:
    """Every active reference neuron that may be relabelled, those found most often first."""
    pairs: dict[Node, list[tuple[str, NeuronPair]]] = {}
    for one in comparisons:
        for population in one.populations:
            for neuron in population.alone:
                pairs.setdefault((population.population, neuron), [])
            for pair in population.pairs:
                pairs.setdefault((population.population, pair.neuron), []).append((one.name, pair))
    neurons = [
        Recurring(
            *key,
            tuple(name for name, pair in found if pair.similarity >= ALIKE),
            tuple(name for name, pair in found if pair.p <= BEYOND),
            sum(pair.similarity for _, pair in found) / len(comparisons),
        )
        for key, found in pairs.items()
    ]
    return tuple(sorted(neurons, key=lambda one: (-len(one.alike_in), -one.similarity)))


def _edges(
    reference: str, mine: Sparse, pairs: Sequence[_Pair], names: Sequence[str]
) -> tuple[tuple[RecurringEdge, ...], dict[str, int]]:
    """All edges in the reference's names, those that most networks have first; and how many have no place there."""
    sets = {pair.name: edges_of(pair.network.sparse, pair.matched.matching) for pair in pairs}
    sets[reference] = edges_of(mine)
    every = sorted(set().union(*(edges for edges, _ in sets.values())))
    found = [RecurringEdge(*edge, tuple(name for name in names if edge in sets[name][0])) for edge in every]
    own = {name: sets[name][1] for name in names}
    return tuple(sorted(found, key=lambda one: -len(one.found_in))), own


def _modules(parts: Parts | None, pairs: Sequence[_Pair]) -> tuple[RecurringModule, ...]:
    """The reference's modules of three neurons or more, and where they are found."""
    if parts is None or any(pair.parts is None for pair in pairs):
        return ()
    own = large(parts)
    fitted = {pair.name: fits(own, large(pair.parts or []), pair.matched.matching) for pair in pairs}
    chance = np.stack(
        [
            fits(own, large(each), matched.matching)
            for pair in pairs
            for each, (_, matched) in zip(pair.drawn_parts, pair.drawn, strict=True)
        ]
    )
    found = []
    for i, part in enumerate(own):
        p = {name: (1 + (chance[:, i] >= fit[i] - ROUNDING).sum()) / (1 + len(chance)) for name, fit in fitted.items()}
        there = tuple(name for name in fitted if p[name] <= BEYOND)
        fit = {name: float(each[i]) for name, each in fitted.items()}
        found.append(RecurringModule(i + 1, tuple(sorted(part)), fit, float(chance[:, i].mean()), there))
    return tuple(found)


def _layout(reference: BIMT, pair: _Pair) -> Layout:
    """The other network's neurons in the slots of their partners; those without one in what is left."""
    there, wiring = pair.network.sparse.bimt, reference.wiring
    own = {name: there.layout.of(name) for name in wiring.populations}
    slots = {}
    for name, order in full_order(wiring, pair.matched.matching, own).items():
        places = np.empty_like(order)
        places[order] = reference.layout.of(name)
        slots[name] = torch.from_numpy(places)
    return Layout(slots)
