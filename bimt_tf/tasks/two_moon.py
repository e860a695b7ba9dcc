"""Two moons (paper, Section 3.2): which of two interleaved half circles a point is in, by scikit-learn's make_moons.

The paper and the notebooks do not say how many points; here 1,000 to train on and 1,000 to test on, full batch,
10,000 steps at learning rate 0.002 with the phases of the symbolic tasks. ``circuit`` ends with an elimination, which
chooses the gauge of the softmax: all weights then lead to one class, at a lower Q (docs/elimination.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import require_non_negative, require_whole
from bimt_tf.tasks.base import Split
from bimt_tf.tasks.checks import require_split
from bimt_tf.tasks.kinds import AS_PUBLISHED, Classification, MLPOptions, split

if TYPE_CHECKING:
    import torch

    from bimt_tf.models.mlp import MLP

__all__ = ["TWO_MOON", "TwoMoonOptions", "TwoMoonTask"]


@dataclass(frozen=True)
class TwoMoonOptions:
    """The data of two moons."""

    samples: int = 2_000
    """examples, training and test together"""
    train_share: float = 0.5
    """share of the examples that is trained on"""
    noise: float = 0.1
    """standard deviation of the points around their half circle"""

    def __post_init__(self) -> None:
        require_whole("samples", self.samples)
        require_split(self.samples, self.train_share)
        require_non_negative("noise", self.noise)


@dataclass(frozen=True)
class TwoMoonTask(Classification):
    """Two interleaved half circles."""

    Options: type[TwoMoonOptions] = TwoMoonOptions
    Model: type[MLPOptions] = MLPOptions

    def data(self, options: TwoMoonOptions, seed: int, dtype: torch.dtype) -> Split:
        """Draw ``options.samples`` points [samples, 2]; quantities are their coordinates."""
        import torch
        from sklearn.datasets import make_moons

        points, classes = make_moons(options.samples, noise=options.noise, random_state=seed % 2**32)
        x, y = torch.from_numpy(points), torch.from_numpy(classes)
        return split(x, y, {"x1": x[:, 0], "x2": x[:, 1]}, options.train_share, dtype)

    def model(self, model: MLPOptions, options: TwoMoonOptions, seed: int, dtype: torch.dtype) -> MLP:
        """The untrained MLP: two coordinates in, a logit a moon out."""
        from bimt_tf.models.mlp import MLP

        return MLP([2, *model.hidden, 2], model.act_fn, seed, dtype=dtype)

    def labels(self, options: TwoMoonOptions) -> Mapping[str, list[str]]:
        """The coordinates and the moons."""
        return {"input": ["x1", "x2"], "output": ["upper", "lower"]}


_TRAINING: dict[str, Any] = {"steps": 10_000, "batch_size": 0, "lr": 2e-3, "reduction": "sum"}
_RISE_AND_FALL = ((0.0, 0.001), (0.25, 0.01), (0.75, 0.001))
_PLAIN: dict[str, Any] = {**_TRAINING, **AS_PUBLISHED}

_BEST: dict[str, dict[str, Any]] = {
    "geometry": {"width": 2.0, "layer_gap": 0.1},
    "training": {**_TRAINING, "lam": _RISE_AND_FALL, "penalty": "subgradient", "finish": 0.0},
}

TWO_MOON = TwoMoonTask(
    "two-moon",
    "which of two interleaved half circles a point is in (paper, Section 3.2)",
    {
        "best": _BEST,
        "paper": {
            "geometry": {"width": 2.0, "layer_gap": 0.1},
            "training": {**_PLAIN, "lam": ((0.0, 0.01),)},
        },
        "circuit": {
            **_BEST,
            "training": {**_BEST["training"], "eliminate": True},
            "elimination": {"max_loss": 0.01, "stay_near": True},
        },
        "notebook": {
            "geometry": {"width": 1.0, "layer_gap": 0.2},
            "training": {**_PLAIN, "lam": _RISE_AND_FALL, "top_k": 10},
        },
    },
)
