"""Handwritten digits of 8 x 8 pixels, from scikit-learn: the paper's MNIST (Section 3.5) in small, nothing to fetch.

Presets ``paper`` and ``notebook`` take the settings of MNIST (images.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bimt_tf.tasks.base import Split
from bimt_tf.tasks.checks import require_split
from bimt_tf.tasks.images import BEST, NOTEBOOK, PAPER, DigitImages
from bimt_tf.tasks.kinds import shuffled, split

if TYPE_CHECKING:
    import torch

__all__ = ["DIGITS", "DigitsOptions", "DigitsTask"]

IMAGES, PIXELS, BRIGHTEST = 1_797, 64, 16


@dataclass(frozen=True)
class DigitsOptions:
    """The data of the digits."""

    train_share: float = 0.8
    """share of the examples that is trained on"""

    def __post_init__(self) -> None:
        require_split(IMAGES, self.train_share)


@dataclass(frozen=True)
class DigitsTask(DigitImages):
    """One of ten digits from 8 x 8 pixels."""

    Options: type[DigitsOptions] = DigitsOptions

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


DIGITS = DigitsTask(
    "digits",
    "handwritten digits of 8 x 8 pixels, neurons in three dimensions (the paper's MNIST in small)",
    {"best": BEST, "paper": PAPER, "notebook": NOTEBOOK},
    pixels=PIXELS,
)
