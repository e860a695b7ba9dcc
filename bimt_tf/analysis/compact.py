"""The same function as a smaller model: rows, columns, heads and neurons that do nothing are removed.

A neuron does something if it varies with the input and an output depends on it through nonzero weights. What is
constant is folded into the biases that read it. Inputs and outputs all stay, so that the smaller model takes the place
of the whole one; attention keeps its scale, 1 / sqrt(d_head) of the whole model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from bimt_tf.adapters import mlp
from bimt_tf.analysis.compact_chain import compact_chain
from bimt_tf.analysis.compact_transformer import compact_transformer
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer, has_norm

__all__ = ["Compact", "can_compact", "compact", "expand_"]


class Compact(NamedTuple):
    """A smaller model, and where its parts are in the whole one.

    ``model``: of the same class, dtype and device. ``kept``: population of the wiring -> the neurons that stay, in
    their order. ``entries``: parameter -> for each of its entries in the smaller model, in its shape there, the place
    in the whole parameter, flattened.
    """

    model: nn.Module
    kept: Mapping[str, Int64[Tensor, " neurons"]]
    entries: Mapping[str, Int64[Tensor, "..."]]


def can_compact(model: nn.Module) -> bool:
    """Whether :func:`compact` knows the model."""
    if isinstance(model, nn.Sequential):
        linears = [module for module in model._modules.values() if isinstance(module, nn.Linear)]
        return mlp.matches(model) and len(linears) == len(set(linears))  # none stands twice
    return type(model) in (MLP, TokenMLP, RegressionTransformer) and not has_norm(model)


def compact(bimt: BIMT) -> Compact:
    """The function of ``bimt.model`` as a smaller model; outputs are equal but for rounding.

    Widths then differ by layer; heads of one block are as wide as its widest, and ``model.cfg`` gives the widest
    layer's. The whole model is not changed. Dropout is taken to be off.

    Args:
        bimt: of an MLP, a TokenMLP, a RegressionTransformer, or an nn.Sequential of linear layers and activations.

    Raises:
        InputError: for any other model. A norm, for example, makes every residual neuron depend on the others.
    """
    model = bimt.model
    if has_norm(model):
        raise InputError(
            f"compact cannot make a {type(model).__name__} with {model.cfg.normalization_type} smaller: through a norm "
            "every neuron of the residual stream depends on all others"
        )
    if not can_compact(model):
        raise InputError(
            f"compact knows MLP, TokenMLP, RegressionTransformer and nn.Sequential of linear layers, found a "
            f"{type(model).__name__}"
        )
    if isinstance(model, RegressionTransformer):
        made: nn.Module
        made, plan = compact_transformer(model)
    else:
        assert isinstance(model, (MLP, TokenMLP, nn.Sequential))
        made, plan = compact_chain(model)
    return Compact(made, plan.kept, plan.entries)


@torch.no_grad()
def expand_(bimt: BIMT, small: Compact) -> None:
    """Write a compact model back into the whole one: its weights in their places, zeros everywhere else."""
    for name, parameter in small.model.named_parameters():
        whole = bimt.parameters[name]
        flat = torch.zeros_like(whole).flatten()
        flat[small.entries[name].flatten()] = parameter.detach().to(whole).flatten()
        whole.copy_(flat.view(whole.shape))
