"""TransformerLens's activation patching with every position named.

``transformer_lens.patching`` takes the number of positions from the last axis of its input, which is tokens for a
language model and *features* for a model that reads numbers: of three tokens of two features, the last token, which is
the reported one, would never be patched, without a word. Here positions are those of the activation and are passed on
in ``index_df``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import require_examples
from bimt_tf.analysis.clean_run import clean_run, number_of, seen_at
from bimt_tf.analysis.written import whole_numbers
from bimt_tf.errors import InputError, require_callable, require_kind, require_known
from bimt_tf.models.modes import evaluating

__all__ = ["Patch", "activation_patch"]

_BY_TOKEN = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "mlp_post", "mlp_pre")
_BY_HEAD = ("q", "k", "v", "z")
_COLUMNS = ("layer", "pos", "head")


class Patch(NamedTuple):
    """The metric of run A with one activation of run B: of a layer, a position and, where there are heads, a head."""

    layer: int
    position: int
    head: int | None
    value: float
    change: float

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        return self._asdict()


def activation_patch(
    model: nn.Module,
    activation: str,
    inputs: Shaped[Tensor, "n ..."],
    source: Shaped[Tensor, "n ..."],
    metric: Callable[[Any], float],
    *,
    positions: Sequence[int] | None = None,
) -> list[Patch]:
    """Patch one kind of activation from run B into run A, at every layer and position (and head) in turn.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        activation: TransformerLens's short name: resid_pre, resid_mid, resid_post, attn_out, mlp_out, mlp_pre,
            mlp_post, or q, k, v, z, which are patched head by head.
        inputs: of run A ("corrupted" there), [n, ...].
        source: of run B ("clean" there), of the same shape.
        metric: the model's output -> a number.
        positions: tokens from 0; all of the activation's unless given.

    Returns:
        One row a layer, position and head, in this order; ``change`` is to the metric of run A as it is.

    Raises:
        InputError: for another activation, inputs that do not match, a position that is not there, or a metric that is
            not a finite number.
    """
    from transformer_lens import patching
    from transformer_lens.utilities.components_utils import get_act_name

    require_known("activation", activation, (*_BY_TOKEN, *_BY_HEAD))
    require_callable("metric", metric)
    _require_pairs(inputs, source)
    layers = int(getattr(getattr(model, "cfg", None), "n_layers", 0))
    names = [get_act_name(activation, layer) for layer in range(layers)]
    if not names:
        raise InputError(f"the model must be a transformer with layers, found a {type(model).__name__}")
    _, seen = seen_at(model, names, source)
    before, _ = clean_run(model, [], inputs, metric)
    heads = activation in _BY_HEAD
    rows = _rows([seen[name].shape for name in names], positions, heads)
    table = patching.make_df_from_ranges([layers, *seen[names[0]].shape[1 : 3 if heads else 2]], _COLUMNS[: 2 + heads])
    table = table[[row in set(rows) for row in table.itertuples(index=False, name=None)]]
    values: list[float] = []

    def measured(output: Any) -> Tensor:
        values.append(number_of(metric, output, f"of the run patched at {rows[len(values)]}"))
        return torch.tensor(values[-1])

    setter = patching.layer_pos_head_vector_patch_setter if heads else patching.layer_pos_patch_setter
    clean: Any = {name: seen[name].flat.reshape(seen[name].shape) for name in names}
    shown: Any = _Shown(model)
    with evaluating(model), torch.no_grad():
        patching.generic_activation_patch(
            shown, inputs, clean, measured, patch_setter=setter, activation_name=activation, index_df=table,
        )  # fmt: skip
    return [
        Patch(row[0], row[1], row[2] if len(row) > 2 else None, value, value - before)
        for row, value in zip(rows, values, strict=True)
    ]


def _require_pairs(inputs: Tensor, source: Tensor) -> None:
    require_examples(inputs)
    require_kind("source", source, Tensor)
    if source.shape != inputs.shape:
        raise InputError(f"source must have the shape of inputs, {list(inputs.shape)}, found {list(source.shape)}")


def _rows(shapes: Sequence[torch.Size], positions: Sequence[int] | None, heads: bool) -> list[tuple[int, ...]]:
    """(layer, position) or (layer, position, head) of everything that is patched."""
    found: list[tuple[int, ...]] = []
    for layer, shape in enumerate(shapes):
        if len(shape) != (4 if heads else 3):
            raise InputError(f"layer {layer} has no activation by {'head' if heads else 'position'}: {list(shape)}")
        chosen = range(shape[1]) if positions is None else whole_numbers(f"layer {layer}", positions, "position")
        for position in sorted(chosen):
            if not 0 <= position < shape[1]:
                raise InputError(f"there are positions 0 to {shape[1] - 1}, found {position}")
            found += [(layer, position, head) for head in range(shape[2])] if heads else [(layer, position)]
    return found


class _Shown:
    """A model as ``generic_activation_patch`` reads it: it asks for ``cfg.device``, which a model of numbers lacks."""

    def __init__(self, model: nn.Module) -> None:
        self.cfg = SimpleNamespace(device=next(model.parameters()).device)
        self.run_with_hooks = getattr(model, "run_with_hooks")  # noqa: B009
        self.training = False
