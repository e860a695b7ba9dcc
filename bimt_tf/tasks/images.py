"""What the tasks on images of handwritten digits share (paper, Section 3.5): an MLP in three dimensions, its presets.

Pixels lie on a grid in their own places and stay there, hidden layers on grids, the ten outputs on a ring. Targets are
one-hot, the loss is the squared error. The paper and the notebook do not say how long they train, what the activation
is and in which number type; here 20,000 steps, SiLU and, as published presets have it elsewhere, float64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bimt_tf.tasks.base import Fitted
from bimt_tf.tasks.kinds import AS_PUBLISHED, Classification, MLPOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bimt_tf.models.mlp import MLP

__all__ = ["BEST", "NOTEBOOK", "PAPER", "DigitImages", "ImageMLPOptions"]

CLASSES = 10


@dataclass(frozen=True)
class ImageMLPOptions(MLPOptions):
    """The sizes of the MLP; inputs and outputs follow from the images."""

    hidden: tuple[int, ...] = (100, 100)
    """neurons of each hidden layer, e.g. 20,20"""


@dataclass(frozen=True)
class DigitImages(Classification):
    """One of ten digits from ``pixels`` brightnesses between 0 and 1."""

    Model: type[ImageMLPOptions] = ImageMLPOptions
    pixels: int = field(kw_only=True)

    def model(self, model: ImageMLPOptions, options: Any, seed: int, dtype: torch.dtype) -> MLP:
        """The untrained MLP."""
        from bimt_tf.models.mlp import MLP

        return MLP([self.pixels, *model.hidden, CLASSES], model.act_fn, seed, dtype=dtype)

    def loss(self, options: Any, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error against one-hot targets."""
        return _errors(outputs, targets).square().mean()

    def fitted(self, options: Any) -> Fitted:
        """The differences of outputs and one-hot targets."""
        return Fitted("squared", _errors)

    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """The digits, on the way out."""
        return {"output": [str(i) for i in range(CLASSES)]}


def _errors(outputs: Tensor, targets: Tensor) -> Tensor:
    import torch

    classes = torch.arange(CLASSES, device=targets.device)  # one_hot is not known to vmap
    return outputs - (targets[..., None] == classes).to(outputs)


_GEOMETRY: Mapping[str, Any] = {
    "width": 2.0,
    "layer_gap": 0.5,
    "shapes": {"input": "grid", "hidden*": "grid", "output": "ring"},
}
"""Of the config's section ``geometry``, for any number of hidden layers."""

_TRAINING: Mapping[str, Any] = {"steps": 20_000, "batch_size": 100, "lr": 1e-3, "fixed": ("input",)}
"""Of the config's section ``training``, in every preset."""

_LAM = ((0.0, 0.001), (0.25, 0.01), (0.5, 0.1), (0.75, 0.3))
"""The text's phases of lambda."""

BEST: Mapping[str, Mapping[str, Any]] = {
    "geometry": _GEOMETRY, "training": {**_TRAINING, "lam": (*_LAM[:3], (0.75, 0.2))}
}  # fmt: skip
"""Ours: a last phase that presses less than the text's, for the accuracy of its vanilla network."""

PAPER: Mapping[str, Mapping[str, Any]] = {"geometry": _GEOMETRY, "training": {**_TRAINING, **AS_PUBLISHED, "lam": _LAM}}
"""The text's settings."""

NOTEBOOK: Mapping[str, Mapping[str, Any]] = {
    "geometry": {**_GEOMETRY, "distance_free": ("output",)},
    "training": {
        **_TRAINING, **AS_PUBLISHED, "lam": ((0.0, 0.01), (0.25, 0.1), (0.5, 1.0)), "swap_every": 500
    },
}  # fmt: skip
"""The notebook's: another schedule, rarer swaps, and a last layer whose weights pay by size only."""
