"""Handwritten digits of 8 x 8 pixels, from scikit-learn: the paper's MNIST in small, with nothing to fetch.

Neurons lie in three dimensions: pixels on a grid in their own places, hidden layers on 10 x 10 grids, the ten outputs
on a ring. Presets ``paper`` and ``notebook`` take the settings of MNIST, but all layers are local in both (the notebook
switches the last one's locality off), the activation is SiLU as in the other MLPs, and a run has 20,000 steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bimt_tf.tasks.base import Split
from bimt_tf.tasks.parts import AS_PUBLISHED, Classification, require_split, shuffled, split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bimt_tf.models.mlp import MLP

__all__ = ["DIGITS", "DigitsMLPOptions", "DigitsOptions", "DigitsTask"]

IMAGES, PIXELS, CLASSES, BRIGHTEST = 1_797, 64, 10, 16


@dataclass(frozen=True)
class DigitsOptions:
    """The data of the digits."""

    train_share: float = 0.8
    """share of the examples that is trained on"""

    def __post_init__(self) -> None:
        require_split(IMAGES, self.train_share)


@dataclass(frozen=True)
class DigitsMLPOptions:
    """The sizes of the MLP."""

    hidden: tuple[int, ...] = (100, 100)
    """neurons of each hidden layer, e.g. 20,20"""
    act_fn: str = "silu"
    """activation: gelu_new, relu, silu or identity"""


@dataclass(frozen=True)
class DigitsTask(Classification):
    """One of ten digits from its pixels; one-hot targets and squared errors, as the paper's MNIST."""

    Options: type[DigitsOptions] = DigitsOptions
    Model: type[DigitsMLPOptions] = DigitsMLPOptions

    def data(self, options: DigitsOptions, seed: int, dtype: torch.dtype) -> Split:
        """The images [1797, 64], pixels from 0 to 1, in a random order."""
        import torch
        from sklearn.datasets import load_digits

        images, classes = load_digits(return_X_y=True)
        order = shuffled(IMAGES, seed)
        return split(
            torch.from_numpy(images)[order] / BRIGHTEST,
            torch.from_numpy(classes)[order],
            {},
            options.train_share,
            dtype,
        )

    def model(self, model: DigitsMLPOptions, options: DigitsOptions, seed: int, dtype: torch.dtype) -> MLP:
        """The untrained MLP."""
        from bimt_tf.models.mlp import MLP

        return MLP([PIXELS, *model.hidden, CLASSES], model.act_fn, seed, dtype=dtype)

    def loss(self, options: DigitsOptions, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error against one-hot targets."""
        from torch.nn.functional import one_hot

        return (outputs - one_hot(targets, CLASSES).to(outputs)).square().mean()

    def labels(self, options: DigitsOptions) -> Mapping[str, list[str]]:
        """The digits, on the way out."""
        return {"output": [str(i) for i in range(CLASSES)]}


_SHAPES = {"input": "grid", "hidden0": "grid", "hidden1": "grid", "output": "ring"}
_GEOMETRY = {"width": 2.0, "layer_gap": 0.5, "shapes": _SHAPES}
_TRAINING: dict[str, Any] = {"steps": 20_000, "batch_size": 100, "lr": 1e-3, "fixed": ("input",)}
_PLAIN: dict[str, Any] = {**_TRAINING, **AS_PUBLISHED}
_TEXT = ((0.0, 0.001), (0.25, 0.01), (0.5, 0.1), (0.75, 0.3))

DIGITS = DigitsTask(
    "digits",
    "handwritten digits of 8 x 8 pixels, neurons in three dimensions (the paper's MNIST in small)",
    {
        "best": {"geometry": _GEOMETRY, "training": {**_TRAINING, "lam": _TEXT}},
        "paper": {"geometry": _GEOMETRY, "training": {**_PLAIN, "lam": _TEXT}},
        "notebook": {
            "geometry": _GEOMETRY,
            "training": {**_PLAIN, "lam": ((0.0, 0.01), (0.25, 0.1), (0.5, 1.0)), "swap_every": 500},
        },
    },
)
