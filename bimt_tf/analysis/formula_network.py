"""A network's computation, weight by weight, as a list of definitions (formula_program.py): nothing is approximated.

Neurons keep the numbers that they have in the whole network, those that do nothing are folded away first (compact.py).
Names: ``h0_7`` is neuron 7 of hidden layer 0, or of block 0's MLP, there with its token: ``h0_7_t2``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from bimt_tf.analysis.compact import compact
from bimt_tf.analysis.formula_attention import transformer_program
from bimt_tf.analysis.formula_functions import IDENTITY, activation_of
from bimt_tf.analysis.formula_polynomial import Polynomial, variable, weighted
from bimt_tf.analysis.formula_program import POLYNOMIAL, Definition, Program
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer, has_norm

__all__ = ["exact_network", "layer_widths", "live_weights", "network_program"]


def exact_network(model: nn.Module) -> nn.Module:
    """A copy of the model that computes in float64 on the CPU.

    Raises:
        InputError: for a model that is no MLP, no nn.Sequential of linear layers and no RegressionTransformer without
            norm.
    """
    if type(model) not in (MLP, RegressionTransformer) and not isinstance(model, nn.Sequential):
        reason = " (its inputs are tokens, not numbers)" if hasattr(model, "embed") else ""
        raise InputError(
            "formula reads an MLP, an nn.Sequential of linear layers and a RegressionTransformer, found a "
            f"{type(model).__name__}{reason}"
        )
    if has_norm(model):
        raise InputError(
            f"formula reads a RegressionTransformer without norm, found {model.cfg.normalization_type}: through a norm "
            "every definition would hold all neurons of the residual stream"
        )
    return copy.deepcopy(model).to("cpu", torch.float64).eval()


def layer_widths(model: nn.Module) -> tuple[int, int, int | None]:
    """Inputs and outputs, of a token where there are tokens; the longest input in tokens, None of an MLP."""
    if isinstance(model, RegressionTransformer):
        return model.cfg.d_in, model.cfg.d_out, model.cfg.n_ctx
    layers = [linear for linear, _ in _linear_layers(model)]
    return layers[0].in_features, layers[-1].out_features, None


def live_weights(model: nn.Module) -> int:
    """Weights and biases that are not zero, without those of neurons that do nothing."""
    return sum(int((parameter != 0).sum()) for parameter in compact(BIMT(model)).model.parameters())


def network_program(
    model: nn.Module, values: Sequence[Polynomial], outputs: Sequence[tuple[int, str]], position: int | None
) -> Program:
    """What the network computes.

    Args:
        model: as :func:`exact_network` gives it.
        values: each input's variable, or its number where it does not vary; tokens one after the other.
        outputs: number and name of the outputs that are wanted.
        position: the token that they are read at; None of an MLP.
    """
    variables = tuple(dict.fromkeys(name for value in values for name in sorted(value.names)))
    if isinstance(model, RegressionTransformer):
        assert position is not None
        return transformer_program(compact(BIMT(model)), values, outputs, position, variables).folded()
    return _chain(model, values, outputs, variables).folded()


def _chain(
    model: nn.Module, values: Sequence[Polynomial], outputs: Sequence[tuple[int, str]], variables: tuple[str, ...]
) -> Program:
    small = compact(BIMT(model))
    kept = [neurons.tolist() for name, neurons in small.kept.items() if name != "input"]
    definitions: list[Definition] = []
    reads = list(values)
    layers = _linear_layers(small.model)
    for number, (linear, act) in enumerate(layers):
        sums = [weighted(row.tolist(), reads, bias) for row, bias in zip(linear.weight, _biases(linear), strict=True)]
        if number == len(layers) - 1 and act == IDENTITY:
            return Program(variables, tuple(definitions), {name: sums[at] for at, name in outputs})
        reads = []
        for neuron, total in zip(kept[number], sums, strict=True):
            name = f"h{number}_{neuron}"
            function = POLYNOMIAL if act == IDENTITY else act
            definitions.append(Definition(name, function, (total,), f"hidden layer {number}, neuron {neuron}"))
            reads.append(variable(name))
    return Program(variables, tuple(definitions), {name: reads[at] for at, name in outputs})


def _biases(linear: nn.Linear) -> list[float]:
    return [0.0] * linear.out_features if linear.bias is None else linear.bias.tolist()


def _linear_layers(model: nn.Module) -> list[tuple[nn.Linear, str]]:
    """Each linear layer and the activation behind it."""
    if isinstance(model, MLP):
        acts = [model.cfg.act_fn] * (len(model.layers) - 1) + [IDENTITY]
        return [(layer, act) for layer, act in zip(model.layers, acts, strict=True) if isinstance(layer, nn.Linear)]
    found: list[tuple[nn.Linear, str]] = []
    for child in model._modules.values():  # named_children leaves out an activation that stands twice
        assert child is not None
        if isinstance(child, nn.Linear):
            found.append((child, IDENTITY))
        elif (act := activation_of(child)) != IDENTITY:
            linear, before = found[-1]
            if before != IDENTITY:
                raise InputError(f"formula reads one activation behind a linear layer, found {before} and {act}")
            found[-1] = (linear, act)
    return found
