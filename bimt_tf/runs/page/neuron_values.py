"""What every neuron of a scene's rows is on some examples, and what the model gives for them.

A row is read where its neurons are: at the hook of its stage (adapters/stage_hooks.py); values twice, as what a head
reads (``hook_v``) and as what it writes (``hook_z``); inputs and outputs, where no hook shows them, at the model's own
ends. Of an ``nn.Sequential``, which has no hooks, a layer's neurons are what the next linear layer is given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bimt_tf.adapters.stage_hooks import stage_hooks, written_into
from bimt_tf.analysis.activations import flat_neurons, run_hooked
from bimt_tf.bimt import BIMT
from bimt_tf.models.modes import evaluating
from bimt_tf.scene.rows import Row

__all__ = ["RowValues", "hooks_of_rows", "values_of_rows"]


class RowValues(NamedTuple):
    """Row name -> its neurons' values, [examples, neurons] or [examples, tokens, neurons]; and the model's output.

    Rows that nothing shows are left out. ``hooks``: row name -> the hook, of those that have one.
    """

    rows: dict[str, Tensor]
    hooks: dict[str, str]
    output: Any


def hooks_of_rows(model: nn.Module, bimt: BIMT, rows: Sequence[Row]) -> dict[str, str]:
    """Row name -> the hook whose activations are its neurons; of a row for one of several tokens, of all tokens."""
    hooks = stage_hooks(model, bimt.wiring)
    twice = {row.stage for row in rows if row.written}
    found = {}
    for row in rows:
        hook = hooks.get(row.stage, "")
        if row.stage in twice and not row.written:
            hook = written_into(hook)
        if hook in getattr(model, "hook_dict", {}):
            found[row.name] = hook
    return found


def values_of_rows(bimt: BIMT, rows: Sequence[Row], inputs: Tensor) -> RowValues:
    """The values of all neurons on a batch of inputs, without gradients and in evaluation mode.

    Args:
        bimt: the model.
        rows: of its scene.
        inputs: what the model takes, the batch first.

    Raises:
        InputError: for a hook that this run of the model does not reach.
    """
    model = bimt.model
    hooks = hooks_of_rows(model, bimt, rows)
    seen: dict[str, Tensor] = {}
    if hasattr(model, "run_with_hooks"):
        output = run_hooked(model, inputs, {hook: partial(_save, seen, hook) for hook in set(hooks.values())})
        by_row: dict[str, Tensor] = {row: seen[hook] for row, hook in hooks.items()}
    else:
        by_stage, output = _before_linears(bimt, inputs)
        by_row = {row.name: by_stage[row.stage] for row in rows if row.stage in by_stage}
    for row in rows:
        end = {"input": inputs, "output": output}.get(row.population)
        if row.name not in by_row and isinstance(end, Tensor) and end.is_floating_point():
            by_row[row.name] = end.detach()
    fitting = {row.name: _of_token(row, by_row[row.name]) for row in rows if row.name in by_row}
    sizes = {row.name: row.size for row in rows}
    return RowValues(
        {name: v for name, v in fitting.items() if v.ndim in (2, 3) and v.shape[-1] == sizes[name]}, hooks, output
    )


def _save(seen: dict[str, Tensor], hook: str, activation: Tensor) -> None:
    seen[hook] = flat_neurons(hook, activation).detach().clone()


def _of_token(row: Row, values: Tensor) -> Tensor:
    """Of a row for one token of several, that token's values."""
    return values if row.token is None or values.ndim != 3 else values[:, row.token]


def _before_linears(bimt: BIMT, inputs: Tensor) -> tuple[dict[str, Tensor], Any]:
    """Stage -> what the linear layer that reads it is given, and the model's output."""
    seen: dict[str, Tensor] = {}

    def save(stage: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen[stage] = given[0].detach().clone()

    with ExitStack() as stack, evaluating(bimt.model), torch.no_grad():
        for stage, module in _readers(bimt):
            handle = module.register_forward_pre_hook(partial(save, stage))
            stack.callback(handle.remove)
        output = bimt.model(inputs)
    return seen, output


def _readers(bimt: BIMT) -> Iterator[tuple[str, nn.Linear]]:
    modules: Mapping[str, nn.Module] = dict(bimt.model.named_modules())
    for connection in bimt.wiring.connections:
        module = modules.get(connection.parameter.rpartition(".")[0])
        if isinstance(module, nn.Linear):
            yield connection.source.name, module
