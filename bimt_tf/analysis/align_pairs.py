"""Two networks of one shape, matched: how alike every pair is, and the reference's neurons in the other's terms."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.align_activations import Activity, activity_of, correlations
from bimt_tf.analysis.align_chance import Carrier, rewired
from bimt_tf.analysis.align_match import NONE, Matching, match_group
from bimt_tf.analysis.align_symmetry import Sparse
from bimt_tf.analysis.align_weights import match_weights, weight_cosines
from bimt_tf.errors import InputError

__all__ = ["By", "Matched", "Network", "alikeness", "match", "network_of", "rewired_matches"]

By = Literal["activations", "weights"]


class Network(NamedTuple):
    """A network's active part, and what its neurons do on the common examples; None where weights are matched."""

    sparse: Sparse
    activity: Activity | None


class Matched(NamedTuple):
    """``matching`` of another network to the reference, and how alike each pair is.

    ``similarity``: population -> reference neuron -> correlation or cosine with its partner, 0 without one; its size,
    where signs are free. ``signs``: the sign that it then has, else 1.
    """

    matching: Matching
    similarity: dict[str, np.ndarray]
    signs: dict[str, np.ndarray]


def network_of(
    sparse: Sparse, by: By, inputs: Shaped[Tensor, "batch ..."] | None, model: nn.Module | None = None
) -> Network:
    """What is compared of a network; ``model`` in the place of its own one.

    Raises:
        InputError: as ``activity_of``, or if no hook shows the neurons of a population that may be relabelled.
    """
    if by == "weights" or inputs is None:
        return Network(sparse, None)
    wiring = sparse.bimt.wiring
    activity = activity_of(sparse.bimt.model if model is None else model, wiring, inputs, sparse.active)
    unseen = [n for n, p in wiring.populations.items() if p.bakeable and n not in activity.sets]
    if unseen:
        raise InputError(f"no hook of the model shows the neurons of {', '.join(unseen)}: align by weights")
    return Network(sparse, activity)


def match(mine: Network, other: Network, signs: frozenset[str], generator: np.random.Generator) -> Matched:
    """Match another network to the reference, by activations where both have them, else by weights."""
    if mine.activity is None or other.activity is None:
        matching, chosen = match_weights(mine.sparse, other.sparse, signs, generator)
        return Matched(matching, weight_cosines(mine.sparse, other.sparse, matching, chosen), chosen)
    populations = mine.sparse.bimt.wiring.populations
    tables = correlations(mine.activity, other.activity)
    sizes = {name: np.abs(table) if name in signs else table for name, table in tables.items()}
    partner: dict[str, np.ndarray] = {}
    heads: dict[str, np.ndarray] = {}
    for group in mine.sparse.bimt.wiring.groups.values():
        similar = [sizes.get(p.name, np.zeros((p.size, p.size))) for p in group]
        found = match_group(group, similar, mine.sparse.active, other.sparse.active)
        partner |= found.partner
        heads |= found.heads
    matching = Matching({name: partner[name] for name in populations}, heads)
    similarity = {name: _of_pairs(sizes.get(name), partner[name]) for name in populations}
    turned = {name: _of_pairs(tables.get(name), partner[name]) < 0 for name in populations}
    return Matched(matching, similarity, {name: np.where(turned[name], -1.0, 1.0) for name in populations})


def _of_pairs(table: np.ndarray | None, partner: np.ndarray) -> np.ndarray:
    """The similarity of each pair; of populations that keep their names and that no hook shows, 1."""
    if table is None:
        return np.where(partner == NONE, 0.0, 1.0)
    return np.where(partner == NONE, 0.0, table[np.arange(len(partner)), np.maximum(partner, 0)])


def alikeness(mine: Sparse, other: Sparse, matched: Matched) -> float:
    """Twice the summed similarity of all pairs over the active neurons of both, of populations that may be relabelled.

    1 for a relabelled copy; a neuron without a partner counts as one that is not similar at all.
    """
    free = [name for name, p in mine.bimt.wiring.populations.items() if p.bakeable]
    shared = sum(float(matched.similarity[name].sum()) for name in free)
    neurons = sum(int(one.active[name].sum()) for name in free for one in (mine, other))
    return 2 * shared / neurons if neurons else 1.0


def rewired_matches(
    mine: Network,
    other: Sparse,
    signs: frozenset[str],
    inputs: Shaped[Tensor, "batch ..."] | None,
    generator: np.random.Generator,
    draws: int,
) -> list[tuple[Sparse, Matched]]:
    """Rewired copies of another network (align_chance.py), each with its matching to the reference."""
    carrier = Carrier(other) if mine.activity is not None else None
    by: By = "weights" if carrier is None else "activations"
    found = []
    for _ in range(draws):
        drawn = rewired(other, generator)
        network = network_of(drawn, by, inputs, None if carrier is None else carrier.model(drawn))
        found.append((drawn, match(mine, network, signs, generator)))
    return found
