"""What modules hold: a linear read-out of each quantity from each module's neurons, cross-validated.

The features are the activations of the module's neurons at all tokens. Beside each module stand the same read-out from
the model's inputs, from all neurons together, and from all neurons with the quantity shuffled over the examples, which
must give about 0. Inputs that are tokens count by their number, one feature each token (one-hot).

Held out are distinct inputs, or the values of one token where that token determines the quantity (probe_split.py): an
embedding that recurs in many examples is trained on in all of them, or in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from sklearn.base import clone
from sklearn.metrics import r2_score
from torch import Tensor, nn

from bimt_tf.analysis.ablate_nodes import places_of
from bimt_tf.analysis.activations import flat_neurons, require_examples, run_hooked
from bimt_tf.analysis.module_effects import inner_nodes
from bimt_tf.analysis.modules import Modules
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.probe_split import determines, units_of
from bimt_tf.analysis.regressors import linear_regressor
from bimt_tf.analysis.stages import tokens_of
from bimt_tf.core.population import Node
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError, require_seed

__all__ = ["ModuleReadouts", "ReadOut", "module_readouts"]

FOLDS = 5


class ReadOut(NamedTuple):
    """Held-out R2: the mean over the folds, and that of the worst and the best fold."""

    r2: float
    lowest: float
    highest: float


class ModuleReadouts(NamedTuple):
    """Read-outs by row and quantity. ``modules``: number -> quantity -> R2; None for a module without inner neurons.

    ``undefined``: quantities without R2, for they do not vary over the examples, or hang on fewer than ten distinct
    inputs.
    """

    modules: dict[int, dict[str, ReadOut] | None]
    inputs: dict[str, ReadOut]
    every: dict[str, ReadOut]
    shuffled: dict[str, ReadOut]
    undefined: tuple[str, ...]
    examples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}


def module_readouts(
    model: nn.Module,
    wiring: Wiring,
    graph: nx.Graph,
    found: Modules,
    inputs: Shaped[Tensor, "batch ..."],
    quantities: Mapping[str, Tensor],
    *,
    seed: int = 0,
) -> ModuleReadouts:
    """A linear read-out of each quantity from each module.

    Args:
        model: the model that the graph is of, with hooks.
        wiring: its wiring.
        graph: the connection graph in which the modules were found.
        found: the modules.
        inputs: what the model takes, the batch first; held out. At least ten examples.
        quantities: name -> a number of each example.
        seed: of the folds and of the shuffled control.

    Raises:
        InputError: for fewer than ten examples, quantities of another length, or ones that are not finite.
    """
    require_examples(inputs)
    require_seed(seed, bits=32)
    if len(inputs) < 2 * FOLDS:
        raise InputError(f"read-outs in {FOLDS} folds need at least {2 * FOLDS} examples, found {len(inputs)}")
    values = {name: _numbers(name, each, len(inputs)) for name, each in quantities.items()}
    units = {name: _units(each, inputs) for name, each in values.items()}
    undefined = tuple(n for n, each in values.items() if np.ptp(each) == 0 or units[n].max() + 1 < 2 * FOLDS)
    names = [name for name in values if name not in undefined]
    if not names:
        return ModuleReadouts({}, {}, {}, {}, undefined, len(inputs), seed)
    every = inner_nodes(graph)
    features = _features(model, wiring, every, inputs)
    parts = {one.number: [node for node in every if node in one.nodes] for one in found.modules}

    order = np.random.default_rng(seed).permutation(len(inputs))

    def scored(columns: list[np.ndarray], shuffled: bool = False) -> dict[str, ReadOut]:
        x = np.concatenate(columns, axis=1)
        return {n: _read_out(x, values[n][order] if shuffled else values[n], units[n], seed) for n in names}

    return ModuleReadouts(
        {number: scored([features[node] for node in nodes]) if nodes else None for number, nodes in parts.items()},
        scored([_as_numbers(inputs)]),
        scored(list(features.values())),
        scored(list(features.values()), shuffled=True),
        undefined,
        len(inputs),
        seed,
    )


def _features(
    model: nn.Module, wiring: Wiring, nodes: Sequence[Node], inputs: Tensor
) -> dict[Node, Float[np.ndarray, "batch features"]]:
    """The activations of each node, at all its stages and tokens."""
    places = {node: places_of(model, wiring, [node]) for node in nodes}
    seen: dict[str, np.ndarray] = {}

    def save(hook: str, activation: Tensor) -> None:
        flat = flat_neurons(hook, activation).detach().cpu().double()
        seen[hook] = flat.reshape(len(flat), -1, flat.shape[-1]).numpy()

    hooks = {hook for where in places.values() for hook in where}
    run_hooked(model, inputs, {hook: _saver(save, hook) for hook in sorted(hooks)})
    return {
        node: np.concatenate(
            [seen[hook][:, :, neuron] for hook, neurons in where.items() for neuron in neurons], axis=1
        )
        for node, where in places.items()
    }


def _saver(save: Any, hook: str) -> Any:
    return lambda activation: save(hook, activation)


def _as_numbers(inputs: Tensor) -> Float[np.ndarray, "batch features"]:
    flat = inputs.detach().cpu().reshape(len(inputs), -1)
    if not flat.is_floating_point():
        flat = torch.nn.functional.one_hot(flat.long()).reshape(len(flat), -1)
    return flat.double().numpy()


def _numbers(name: str, values: Any, n: int) -> Float[np.ndarray, " n"]:
    flat = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)
    if flat.shape != (n,) or not np.isfinite(flat).all():
        raise InputError(f"quantity {name!r} must be a finite number of each of the {n} examples, found {flat.shape}")
    return flat


def _units(values: Float[np.ndarray, " n"], inputs: Tensor) -> Int[np.ndarray, " n"]:
    """What is held out together: the examples of one input, or of one value of the token that tells the quantity."""
    rows = inputs.detach().cpu().numpy()
    unit = units_of(rows)
    for token in range(tokens_of(inputs) or 0):
        one = units_of(rows[:, token])
        if one.max() < unit.max() and determines(one, values):
            unit = one
    return unit


def _read_out(
    features: Float[np.ndarray, "n features"], wanted: Float[np.ndarray, " n"], unit: Int[np.ndarray, " n"], seed: int
) -> ReadOut:
    """Held-out R2 in folds of whole units; a fold in which the quantity does not vary is left out."""
    scale = features.std(0)
    varying = scale > 1e-9 * max(float(np.abs(features).max()), 1e-300)
    if not varying.any():
        return ReadOut(0.0, 0.0, 0.0)
    features = features[:, varying]
    scores = []
    for part in np.array_split(np.random.default_rng(seed).permutation(unit.max() + 1), FOLDS):
        held = np.isin(unit, part)
        if np.ptp(wanted[held]) == 0 or np.ptp(wanted[~held]) == 0:
            continue
        middle, width = features[~held].mean(0), features[~held].std(0)
        width[width == 0] = 1.0  # constant in training, so of no weight
        fitted = clone(linear_regressor()).fit((features[~held] - middle) / width, wanted[~held])
        scores.append(float(r2_score(wanted[held], fitted.predict((features[held] - middle) / width))))
    return ReadOut(float(np.mean(scores)), min(scores), max(scores)) if scores else ReadOut(0.0, 0.0, 0.0)
