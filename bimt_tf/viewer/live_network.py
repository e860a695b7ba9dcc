"""A network as steps that a page can evaluate: every row of its scene, computed from the rows before it.

The rows are those that the scene draws, under their names, with all their neurons: of the weights those that are not
zero, of the biases all. So the page computes the value of every neuron, also of one that is constant or read by
nothing, and an intervention may write at any of them. (:func:`bimt_tf.analysis.compact.compact` folds constant neurons
into biases; what a zero in their place would do cannot be seen there.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer, has_norm
from bimt_tf.models.transformer_parts import Block
from bimt_tf.viewer.live_sequential import LiveLayer, sequential_layers
from bimt_tf.viewer.packing import matrix, numbers

__all__ = ["MOST_WEIGHTS", "LiveNetwork", "LiveRow", "live_network"]

MOST_WEIGHTS = 200_000
"""Weights other than zero, beyond which a network is not evaluated in a page: it would be megabytes, and slow."""

Step = dict[str, Any]


class LiveRow(NamedTuple):
    """``positions`` and ``size``: values [positions, size] an example; where ``bimt ablate`` finds the same neurons.

    ``hook``: None for a model's own inputs and outputs where no hook shows them; ``token``: the one token of the hook
    that the row is, None for all.
    """

    positions: int
    size: int
    hook: str | None
    token: int | None = None


class LiveNetwork(NamedTuple):
    """Rows by name in the order of their computation, the steps that compute them, and the weights in these.

    A step is a dict with ``op`` and ``to``, the row that it computes:

    - "input": the example's numbers.
    - "lookup": ``token``, ``table`` [vocabulary, neurons]: the row of the table that this token names.
    - "linear": ``acts`` in turn of (``bias`` + sum over ``parts`` of ``from`` @ ``weight``), + ``add``, a row or None.
    - "attend": ``q``, ``k``, ``v``, ``heads``, ``scale``: each head's causal softmax(q k / scale) v.
    """

    rows: dict[str, LiveRow]
    steps: list[Step]
    weights: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"rows": {name: row._asdict() for name, row in self.rows.items()}, "steps": self.steps}


def live_network(model: nn.Module, positions: int = 1) -> LiveNetwork:
    """The steps of a model.

    Args:
        model: an MLP, a TokenMLP, a RegressionTransformer, or an nn.Sequential of linear layers and activations.
        positions: tokens of an example; of an MLP, vectors that it reads one by one.

    Raises:
        InputError: for any other model, or one of more than MOST_WEIGHTS weights that are not zero.
    """
    if not isinstance(model, (MLP, TokenMLP, RegressionTransformer, nn.Sequential)):
        raise InputError(
            "a page evaluates MLP, TokenMLP, RegressionTransformer and nn.Sequential, "
            f"and this model is a {type(model).__name__}"
        )
    if has_norm(model):
        kind = model.cfg.normalization_type
        raise InputError(f"a page evaluates transformers without norm, and this model's residual stream has {kind}")
    if isinstance(model, RegressionTransformer) and model.cfg.positional_embedding_type is not None:
        raise InputError("a page evaluates transformers without positional embedding, and this model has one")
    weights = sum(int(one.count_nonzero()) for one in model.parameters() if one.ndim > 1)
    if weights > MOST_WEIGHTS:
        raise InputError(f"a page evaluates networks of at most {MOST_WEIGHTS:,} nonzero weights, this has {weights:,}")
    with torch.no_grad():
        made = _Steps({}, [])
        if isinstance(model, RegressionTransformer):
            _transformer(made, model, positions)
        else:
            _chain(made, model, positions)
    return LiveNetwork(made.rows, made.steps, weights)


class _Steps(NamedTuple):
    """What has been described so far."""

    rows: dict[str, LiveRow]
    steps: list[Step]

    def add(self, op: str, to: str, row: LiveRow, **step: Any) -> None:
        self.rows[to] = row
        self.steps.append({"op": op, "to": to, **step})

    def linear(
        self,
        to: str,
        row: LiveRow,
        parts: dict[str, Tensor],
        bias: Tensor,
        acts: Sequence[str] = (),
        add: str | None = None,
    ) -> None:
        described = [{"from": source, "weight": matrix(weight)} for source, weight in parts.items()]
        self.add("linear", to, row, parts=described, bias=numbers(bias), acts=list(acts), add=add)


def _chain(made: _Steps, model: MLP | TokenMLP | nn.Sequential, positions: int) -> None:
    layers = sequential_layers(model) if isinstance(model, nn.Sequential) else _layers(model)
    hooked = not isinstance(model, nn.Sequential)
    sources: dict[str, int]
    if isinstance(model, TokenMLP):
        positions, (width, tokens) = 1, (model.cfg.d_embed, model.cfg.n_tokens)
        names = ["embed"] if tokens == 1 else [f"embed[{token}]" for token in range(tokens)]
        for token, name in enumerate(names):
            row = LiveRow(1, width, "hook_embed", token)
            made.add("lookup", name, row, token=token, table=numbers(model.embed.weight))
        sources = dict.fromkeys(names, width)
    else:
        first = layers[0].linear.in_features
        made.add("input", "input", LiveRow(positions, first, "hook_input" if hooked else None))
        sources = {"input": first}
    for i, (linear, acts) in enumerate(layers):
        to, size = "output" if i == len(layers) - 1 else f"hidden{i}", linear.out_features
        parts = dict(zip(sources, linear.weight.mT.split(list(sources.values())), strict=True))
        row = LiveRow(positions, size, f"layers.{i}.hook_post" if hooked else None)
        bias = torch.zeros_like(linear.weight[:, 0]) if linear.bias is None else linear.bias
        made.linear(to, row, parts, bias, acts)
        sources = {to: size}


def _layers(model: MLP | TokenMLP) -> list[LiveLayer]:
    layers = [cast(nn.Linear, layer) for layer in model.layers]
    acts = [(model.cfg.act_fn,)] * (len(layers) - 1) + [()]
    return [LiveLayer(*pair) for pair in zip(layers, acts, strict=True)]


def _transformer(made: _Steps, model: RegressionTransformer, positions: int) -> None:
    d_in, d_model = model.embed.W_E.shape
    made.add("input", "input", LiveRow(positions, d_in, None))
    first = LiveRow(positions, d_model, "blocks.0.hook_resid_pre")
    made.linear("Res0", first, {"input": model.embed.W_E}, model.embed.b_E)
    for i, block in enumerate(model.blocks):
        _block(made, f"blocks.{i}", cast(Block, block), f"Res{2 * i}", (f"Res{2 * i + 1}", f"Res{2 * i + 2}"), model)
    last = LiveRow(positions, model.unembed.W_U.shape[1], None)
    made.linear("output", last, {f"Res{2 * len(model.blocks)}": model.unembed.W_U}, model.unembed.b_U)


def _block(
    made: _Steps, name: str, block: Block, before: str, after: tuple[str, str], model: RegressionTransformer
) -> None:
    attn, mlp, positions = block.attn, block.mlp, made.rows[before].positions
    heads, d_model, d_head = attn.W_Q.shape
    wide = heads * d_head
    for letter in "qkv":
        weight, bias = getattr(attn, f"W_{letter.upper()}"), getattr(attn, f"b_{letter.upper()}")
        row = LiveRow(positions, wide, f"{name}.attn.hook_{letter}")
        made.linear(f"{name}.{letter}", row, {before: weight.transpose(0, 1).reshape(d_model, wide)}, bias.flatten())
    z = LiveRow(positions, wide, f"{name}.attn.hook_z")
    read = {letter: f"{name}.{letter}" for letter in "qkv"}
    made.add("attend", f"{name}.v:z", z, **read, heads=heads, scale=attn.scale, block=name)
    middle, end = after
    written = {f"{name}.v:z": attn.W_O.reshape(wide, d_model)}
    made.linear(middle, LiveRow(positions, d_model, f"{name}.hook_resid_mid"), written, attn.b_O, add=before)
    hidden = LiveRow(positions, mlp.W_in.shape[1], f"{name}.mlp.hook_post")
    made.linear(f"{name}.mlp", hidden, {middle: mlp.W_in}, mlp.b_in, [model.cfg.act_fn])
    behind = LiveRow(positions, d_model, f"{name}.hook_resid_post")
    made.linear(end, behind, {f"{name}.mlp": mlp.W_out}, mlp.b_out, add=middle)
