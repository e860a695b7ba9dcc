"""TokenMLP: tokens embedded by one table and read side by side.

Populations ``embed``, ``hidden0``, ..., ``output``. The tokens are folded onto the one population ``embed`` (paper,
Section 3.3); the vocabulary has no coordinates, so an entry of the table pays y_star.
"""

from __future__ import annotations

from torch import nn

from bimt_tf.adapters.anatomy import NOTHING, Given
from bimt_tf.adapters.mlp import chain, hidden
from bimt_tf.core.axes import ANY
from bimt_tf.core.wiring import Wiring

__all__ = ["matches", "wiring"]


def matches(model: nn.Module) -> bool:
    """Whether the model is a TokenMLP by its names: ``embed.weight`` and ``layers.{i}``, nothing else."""
    layers = getattr(model, "layers", None)
    if not hasattr(getattr(model, "cfg", None), "n_tokens") or not isinstance(layers, nn.ModuleList):
        return False
    named = {"embed.weight", *(f"layers.{i}.{kind}" for i in range(len(layers)) for kind in ("weight", "bias"))}
    return {name for name, _ in model.named_parameters()} == named


def wiring(model: nn.Module, given: Given = NOTHING) -> Wiring:
    """The wiring of a TokenMLP; all its parameters are known, so ``given`` adds only what is free of order."""
    names = [name.removesuffix(".bias") for name, _ in model.named_parameters() if name.endswith(".bias")]
    populations = ["embed", *hidden(len(names)), "output"]
    table, layers = chain(names, populations)
    table = {"embed.weight": f"{ANY} embed", **table, "layers.0.weight": f"{populations[1]} ({ANY} embed)"}
    rows = [[population] for population in populations]
    return Wiring.from_table(
        table, model, layers=layers, rows=rows, unbakeable=("output",), order_free=given.order_free
    )
