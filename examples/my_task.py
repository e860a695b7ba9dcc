"""A task of one's own: y = sin(pi x1) + x2 x3 by an MLP. Train it with `bimt train examples/my_task.py:TASK`."""

import math
from dataclasses import dataclass

import torch

from bimt_tf.errors import require_whole
from bimt_tf.models.mlp import MLP
from bimt_tf.tasks.base import Split
from bimt_tf.tasks.checks import require_split
from bimt_tf.tasks.kinds import MLPOptions, Regression, split


@dataclass(frozen=True)
class Options:
    """The data. Each field is an option of the command line, and the sentence under it is its help."""

    samples: int = 1_000
    """examples, training and test together"""
    train_share: float = 0.5
    """share of the examples that is trained on"""

    def __post_init__(self) -> None:
        require_whole("samples", self.samples)
        require_split(self.samples, self.train_share)


@dataclass(frozen=True)
class SineAndProduct(Regression):
    """Three numbers in, one out. The loss, the metrics and the figure of a regression are inherited."""

    def data(self, options: Options, seed: int, dtype: torch.dtype) -> Split:
        x = 2 * torch.rand(options.samples, 3, generator=torch.Generator().manual_seed(seed)) - 1
        quantities = {"sine": (math.pi * x[:, 0]).sin(), "product": x[:, 1] * x[:, 2]}  # what `bimt probe` may look for
        y = quantities["sine"] + quantities["product"]
        return split(x, y[:, None], quantities, options.train_share, dtype)

    def model(self, model: MLPOptions, options: Options, seed: int, dtype: torch.dtype) -> MLP:
        return MLP([3, *model.hidden, 1], model.act_fn, seed, dtype=dtype)

    def labels(self, options: Options) -> dict[str, list[str]]:
        return {"input": ["x1", "x2", "x3"], "output": ["y"]}


TRAINING = {"steps": 5_000, "batch_size": 0, "lr": 2e-3, "reduction": "sum", "penalty": "subgradient", "lam": 0.003}
PRESETS = {"best": {"geometry": {"layer_gap": 0.1}, "training": TRAINING}}
TASK = SineAndProduct("sine-and-product", "sin(pi x1) + x2 x3", PRESETS, Options, MLPOptions)
