"""Which neurons of two networks of one shape may stand for each other: the symmetries of the wiring.

Relabelling neurons leaves a network's function as it is wherever baking may move them (``Population.bakeable``): inside
a head, whole heads, the residual stream once for all its stages, q with k, v with z. Inputs, outputs, neurons that
rotary positions pin and heads that are anchored keep their names.

Some neurons may also change sign: those that are read and written linearly (the residual stream without norms, q with
k, v with z, neurons without an activation). Their scale is free too; correlations do not see it, and weight matching
does not use it: the penalty on weights settles it in training. Rotations of the residual stream and of a head's
dimensions, symmetries of the function as well, are not used: a penalty on single weights has no such symmetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bimt_tf.analysis.active import active_masks
from bimt_tf.bimt import BIMT
from bimt_tf.core.population import Population
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer, has_norm

__all__ = ["Sparse", "require_one_shape", "sign_free", "sparse_of"]

Flat = dict[str, np.ndarray]
"""Parameter -> its entries as its wiring flattens them, float64."""


class Sparse(NamedTuple):
    """A network's active part.

    ``weights``: parameter of a connection -> [copies, sources, targets], zeros where a weight is not active.
    ``vectors``: what hangs on one population (biases, tables, gains) -> [copies, neurons], zeros for neurons that are
    not active. ``active``: population -> which of its neurons an active weight reads or writes.
    """

    bimt: BIMT
    weights: Flat
    vectors: Flat
    active: dict[str, np.ndarray]


def sparse_of(bimt: BIMT, threshold: float) -> Sparse:
    """The active part of a network.

    Raises:
        InputError: as ``active_masks``, or for a network without any active weight.
    """
    masks, parameters = active_masks(bimt, threshold), bimt.parameters
    active = {name: np.zeros(p.size, dtype=bool) for name, p in bimt.wiring.populations.items()}
    weights, vectors = {}, {}
    for c in bimt.wiring.connections:
        mask = c.flatten(masks[c.parameter]).numpy(force=True)
        weights[c.parameter] = c.flatten(parameters[c.parameter].detach().double()).numpy(force=True) * mask
        active[c.source.population] |= mask.any((0, 2))
        active[c.target.population] |= mask.any((0, 1))
    if not any(one.any() for one in active.values()):
        raise InputError("a network has no active weight: no path leads from its input to its output")
    for a in bimt.wiring.attachments:
        values = a.flatten(parameters[a.parameter].detach().double()).numpy(force=True)
        vectors[a.parameter] = values * active[a.stage.population]
    return Sparse(bimt, weights, vectors, active)


def sign_free(bimt: BIMT) -> frozenset[str]:
    """The populations whose neurons may change sign without changing what the network computes.

    Known for the models of this package; none for others.
    """
    model, names = bimt.model, bimt.wiring.populations
    if isinstance(model, RegressionTransformer):
        linear = model.cfg.act_fn == "identity"
        free = {name for name in names if _bakes(names[name]) and (linear or not name.endswith(".mlp"))}
        # LayerNorm subtracts a mean, and a gain does not change its sign with its neuron
        return frozenset(free - {"residual"} if has_norm(model) else free)
    if isinstance(model, (MLP, TokenMLP)):
        linear = model.cfg.act_fn == "identity"
        return frozenset(name for name in names if _bakes(names[name]) and (linear or not name.startswith("hidden")))
    return frozenset()


def _bakes(population: Population) -> bool:
    return population.bakeable


def require_one_shape(networks: Sequence[BIMT], names: Sequence[str]) -> None:
    """Raise InputError unless all networks have the same populations and weights; the first difference is named."""
    first = _shape_of(networks[0])
    for bimt, name in zip(networks[1:], names[1:], strict=True):
        shape = _shape_of(bimt)
        for part in (*first, *shape):
            if first.get(part) != shape.get(part):
                found = [f"{there.get(part, 'none')} in {who}" for there, who in ((first, names[0]), (shape, name))]
                raise InputError(f"networks of one shape can be aligned: {part} is {' and '.join(found)}")


def _shape_of(bimt: BIMT) -> dict[str, str]:
    populations = {
        f"population {name}": f"{p.size} neurons" + (f" in {p.heads} heads" if p.head_axis else "")
        for name, p in bimt.wiring.populations.items()
    }
    wired = {f"parameter {w.parameter}": " x ".join(map(str, w.shape)) for w in bimt.wiring.wired}
    return populations | wired
