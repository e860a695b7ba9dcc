"""For the page: attention patterns by example."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bimt_tf.analysis.activations import run_hooked
from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.sample import class_names, held_out_of, is_language, named_inputs
from bimt_tf.tasks.base import Data
from bimt_tf.viewer.packing import packed

__all__ = ["attention_part"]

PATTERN = re.compile(r"blocks\.\d+\.attn\.hook_pattern")
NUMBERS = 60_000
"""Entries of patterns, at most: fewer examples of more heads."""
MOST_EXAMPLES = 100
MOST_TOKENS = 16
"""Tokens of a text: its beginning, which attends to nothing behind it."""


def attention_part(run: OpenedRun) -> dict[str, Any] | None:
    """Patterns of all heads on the first held-out examples; None for a model without attention, or without examples.

    Keys: ``n`` examples; ``tokens``; ``of``, of how many; ``labels`` [n][tokens]: what each token is; ``blocks``:
    block, hook, heads, and patterns (packed [n][heads][query][key]).
    """
    data, hooks = held_out_of(run), [name for name in getattr(run.model, "hook_dict", {}) if PATTERN.fullmatch(name)]
    if data is None or not hooks or data.inputs.ndim < 2:
        return None
    tokens = data.inputs.shape[1]
    inputs = data.inputs[:MOST_EXAMPLES, :MOST_TOKENS] if is_language(data) else data.inputs[:MOST_EXAMPLES]
    seen: dict[str, Tensor] = {}
    try:
        _look(run, hooks, inputs[:1], seen)
        shapes = [seen[hook].shape for hook in hooks]
        if any(len(shape) != 4 for shape in shapes):
            return None
        room = NUMBERS // sum(shape[1:].numel() for shape in shapes)
        inputs = inputs[: max(1, min(room, len(inputs)))]
        _look(run, hooks, inputs, seen)
    except InputError:  # hooks that this model never reaches
        return None
    blocks = [
        {"block": int(hook.split(".")[1]), "hook": hook, "heads": seen[hook].shape[1], "patterns": packed(seen[hook])}
        for hook in hooks
    ]
    if any(not bool(pattern.isfinite().all()) for pattern in seen.values()):
        return None
    labels = _labels(run, data, inputs)
    return {"n": len(inputs), "tokens": inputs.shape[1], "of": tokens, "labels": labels, "blocks": blocks}


def _look(run: OpenedRun, hooks: list[str], inputs: Tensor, seen: dict[str, Tensor]) -> None:
    def save(hook: str, pattern: Tensor) -> None:
        seen[hook] = pattern.detach().clone()

    run_hooked(run.model, inputs, {hook: partial(save, hook) for hook in hooks})


def _labels(run: OpenedRun, data: Data, inputs: Tensor) -> list[list[str]]:
    """What each token is: its characters, or those of its features that are not 0."""
    if not inputs.is_floating_point():
        names = class_names(run, int(data.inputs.max()) + 1)
        return [[names[int(token)] for token in one] for one in inputs]
    features = named_inputs(run, inputs.shape[-1]) if inputs.ndim == 3 else []
    if not features:
        return [[f"token {i}" for i in range(inputs.shape[1])] for _ in inputs]
    return [[_features(features, token) for token in one] for one in inputs.to(torch.float64).tolist()]


def _features(names: list[str], values: list[float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in zip(names, values, strict=True) if value) or "0"
