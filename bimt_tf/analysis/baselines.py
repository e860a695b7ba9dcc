"""What a probe's read-out is compared with: the inputs that reach the place, the stage before it, an untrained network.

That a quantity can be read off a place is no finding if it can be read off the inputs just as well, or was there a
stage earlier, or would be there in a network that learned nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bimt_tf.adapters.hook_order import stage_before
from bimt_tf.analysis.probe_values import within_one
from bimt_tf.analysis.stages import Stage, reaching_tokens, stages, tokens_of, whole_stage
from bimt_tf.errors import InputError, unknown

__all__ = ["Baselines"]

MOST_FEATURES = 1024
"""Features of the inputs, at most; of more, those that vary most."""
KEPT = 4
"""Stages whose activations are kept at a time."""


class Baselines:
    """The activations of a model and what they are compared with, on the same inputs.

    Args:
        model: the model.
        inputs: what it takes, the batch first.
        untrained: a network of the same architecture with other, untrained weights; None for none.

    Raises:
        InputError: for no inputs, a model without hooks, or an untrained network of another architecture.
    """

    def __init__(self, model: nn.Module, inputs: Shaped[Tensor, "batch ..."], untrained: nn.Module | None) -> None:
        self._points: Mapping[str, object] = getattr(model, "hook_dict", {})
        self.inputs, self.has_untrained = inputs, untrained is not None
        self.stages: dict[str, Stage] = stages(model, inputs)
        if untrained is not None:
            theirs = stages(untrained, inputs)
            differing = [hook for hook, stage in self.stages.items() if theirs.get(hook) != stage]
            if differing:
                raise InputError(
                    f"untrained must be of the model's architecture: {differing[0]} differs or is not there"
                )
        # Of the architecture, if it can be asked: a trained network may have cut a token off.
        self._reached = reaching_tokens(model if untrained is None else untrained, inputs, self.stages)

        @lru_cache(KEPT)
        def whole(hook: str, trained: bool) -> tuple[np.ndarray, float]:
            activation = whole_stage(model if trained or untrained is None else untrained, inputs, hook)
            return activation.cpu().double().numpy(), float(torch.finfo(activation.dtype).eps)

        self._whole = whole

    def stage(self, hook: str) -> Stage:
        """What is known of a hook, under the name that it has here: a bridge has two of some.

        Raises:
            InputError: for one that is not there or holds no neurons.
        """
        point = self._points.get(hook)
        hook = next((name for name in self.stages if self._points[name] is point), hook)
        if hook not in self.stages:
            raise unknown("hook", hook, self.stages)
        return self.stages[hook]

    def activations(self, hook: str, position: int | None, head: int | None = None) -> Float[np.ndarray, "n neurons"]:
        """Activations at one token, within -1 and 1; of one head if it is given."""
        return self._at(hook, position, head, trained=True)

    def rounding(self, hook: str) -> float:
        """The relative rounding of a hook's activations."""
        return self._whole(hook, True)[1]

    def untrained(self, hook: str, position: int | None, head: int | None = None) -> Float[np.ndarray, "n neurons"]:
        """The same of the untrained network."""
        return self._at(hook, position, head, trained=False)

    def hook_before(self, hook: str) -> str | None:
        """The stage before a hook; None for the first."""
        return stage_before(hook, list(self.stages))

    def before(self, hook: str, position: int | None, head: int | None = None) -> Float[np.ndarray, "n neurons"] | None:
        """Activations of the stage before, at the same token; of all tokens where the hook itself has none."""
        earlier = self.hook_before(hook)
        if earlier is None:
            return None
        heads = self.stages[earlier].heads == self.stages[hook].heads
        same_tokens = self.stages[earlier].tokens == self.stages[hook].tokens
        return self._at(earlier, position if same_tokens else None, head if heads else None, trained=True)

    def reaching(self, hook: str, position: int | None) -> dict[str, Shaped[np.ndarray, "n ..."]]:
        """The parts of the input that reach a place, by name: its tokens, or the input as a whole."""
        values = self.inputs.detach().cpu().numpy()
        if tokens_of(self.inputs) is None:
            return {"the input": values}
        row = self._reached[hook][position if position is not None else 0]
        return {f"token {token}": values[:, token] for token in np.flatnonzero(row)}

    def input_features(self, hook: str, position: int | None) -> Float[np.ndarray, "n features"]:
        """What reaches a place as numbers: as they are, or a column for each value of each token."""
        columns: list[np.ndarray] = []
        for part in self.reaching(hook, position).values():
            if self.inputs.is_floating_point():
                columns.append(part.reshape(len(part), -1).astype(float))
            else:
                found, number = np.unique(part.reshape(len(part), -1), axis=0, return_inverse=True)
                columns.append(np.eye(len(found))[number.reshape(-1)])
        x = np.concatenate(columns, axis=1) if columns else np.zeros((len(self.inputs), 0))
        most = np.sort(np.argsort(-x.std(0), kind="stable")[:MOST_FEATURES])
        return within_one(x[:, most])

    def _at(self, hook: str, position: int | None, head: int | None, trained: bool) -> Float[np.ndarray, "n neurons"]:
        x, stage = self._whole(hook, trained)[0], self.stages[hook]
        if x.ndim == 3:
            x = x.reshape(len(x), -1) if position is None else x[:, position]
        if head is not None and stage.heads:
            width = stage.neurons // stage.heads
            x = x[:, head * width : (head + 1) * width]
        return within_one(x)
