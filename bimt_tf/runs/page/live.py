"""For the page: the network, to be evaluated there, and the examples on which its loss is measured there."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bimt_tf.errors import InputError
from bimt_tf.models.modes import evaluating
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.runs.page.live_inputs import LiveInput, live_inputs, with_positions
from bimt_tf.runs.page.live_loss import LiveLoss, live_loss
from bimt_tf.runs.page.live_truth import DERIVED, TRUTHS, agree, expression, names_in, value_of
from bimt_tf.runs.page.sample import MOST_EXAMPLES
from bimt_tf.runs.trained import Trained
from bimt_tf.scene.scene import scene_of
from bimt_tf.tasks.groups import GroupTask
from bimt_tf.viewer.live_network import LiveNetwork, live_network
from bimt_tf.viewer.packing import numbers

__all__ = ["live_part"]

MOST_NUMBERS = 60_000
"""Of the stored examples' inputs: wide ones are fewer."""


def live_part(run: Trained) -> dict[str, Any]:
    """The network as steps, its inputs, stored held-out examples, the task's loss, and what the outputs should be.

    ``{"reason": ...}`` for a network that a page does not evaluate, or without examples.
    """
    try:
        inputs = run.held_out.inputs
        positions = inputs.shape[1] if inputs.ndim == 3 else 1
        network = live_network(run.model, positions)
        _require_rows(run, network)
    except InputError as error:
        return {"reason": str(error)}
    n = max(1, min(MOST_EXAMPLES, MOST_NUMBERS // inputs[0].numel(), len(inputs)))
    with evaluating(run.model), torch.no_grad():
        outputs = run.model(inputs[:n])
    loss = live_loss(run, outputs, run.held_out.targets[:n])
    offered = live_inputs(run)
    return {
        **network.as_dict(),
        "inputs": [one._asdict() for one in offered],
        "examples": numbers(with_positions(inputs[:n])),
        "of": len(inputs),
        "loss": None if loss is None else loss.as_dict(),
        "answer": _answer(loss, outputs),
        "outputs": _names(run, loss, outputs),
        **_truth(run, offered, loss, n),
    }


def _require_rows(run: Trained, network: LiveNetwork) -> None:
    """The page's other panels name neurons by the scene's rows: they must be the same."""
    drawn = {row.name: row.size for row in scene_of(run.bimt, run.threshold).rows}
    if drawn != {name: row.size for name, row in network.rows.items()}:
        raise InputError("this network's wiring has rows of its own, which the page does not evaluate")


def _answer(loss: LiveLoss | None, outputs: Tensor) -> int:
    """The position that the loss reads, the last of several; the last one if that is not known."""
    if outputs.ndim == 2:
        return 0
    return outputs.shape[1] - 1 if loss is None else max(loss.cells) // outputs.shape[2]


def _names(run: Trained, loss: LiveLoss | None, outputs: Tensor) -> list[dict[str, Any]]:
    """The outputs that the loss reads, all if that is not known: position, feature and name."""
    width = outputs.shape[-1]
    labels = run.task.labels(run.config.data).get("output", [])
    cells = range(outputs[0].numel()) if loss is None else loss.cells
    positions = {cell // width for cell in cells}
    found = []
    for cell in cells:
        position, feature = divmod(cell, width)
        name = labels[feature] if feature < len(labels) else f"output {feature}"
        name = name if len(positions) == 1 else f"{name}, token {position}"
        found.append({"name": name, "position": position, "feature": feature})
    return found


def _truth(run: Trained, offered: list[LiveInput], loss: LiveLoss | None, n: int) -> dict[str, Any]:
    """``truth``: what the outputs should be, None if that is not known; ``derived``: what follows from the inputs."""
    data, options, name = run.held_out, run.config.data, run.config.task
    if isinstance(run.task, GroupTask) and isinstance(run.model, TokenMLP):
        return {"truth": {"kind": "table", "table": run.task.table(options).tolist()}, "derived": []}
    quantities = {one.name: with_positions(data.inputs)[:, one.position, one.feature].double().cpu() for one in offered}
    truth, derived = None, []
    found = [expression(text) for text in TRUTHS.get(name, ())]
    read = set().union(*map(names_in, found)) if found else set()
    if read and read == set(quantities) and loss is not None and loss.targets is not None:
        values = [value_of(one, quantities)[:n] for one in found]
        if len(values) == loss.targets.shape[1] and agree(values, loss.targets.cpu(), data.inputs.dtype):
            truth = {"kind": "expressions", "expressions": found}
            for quantity, text in DERIVED.get(name, {}).items():
                own = data.quantities[quantity]
                limits = {"low": float(own.min()), "high": float(own.max())}
                derived.append({"name": quantity, "expression": expression(text), **limits})
    return {"truth": truth, "derived": derived}
