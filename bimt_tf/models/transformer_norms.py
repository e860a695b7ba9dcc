"""The options of a RegressionTransformer's residual stream: norms before its layers, and a table of positions.

Names, hooks and arithmetic are TransformerLens 4's: ``hook_scale`` is what the stream is divided by,
``hook_normalized`` the quotient, before gain and bias. (TransformerLens 2 and 3 show LayerNorm's output there, gain and
bias included.)
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import require_known, require_positive
from bimt_tf.models.activation_names import NORMALIZATION_TYPES

__all__ = ["Norm", "PosEmbed", "checked_options"]

POSITIONS = ("standard",)
EXACT = (torch.float32, torch.float64)
"""Other numbers are too coarse for mean squares: there norms compute in float32."""


def checked_options(normalization_type: Any, positional_embedding_type: Any, eps: Any) -> dict[str, Any]:
    """The three options by name.

    Raises:
        InputError: for an unknown name, or an ``eps`` that is not a positive number.
    """
    if normalization_type is not None:
        require_known("normalization_type", normalization_type, NORMALIZATION_TYPES)
    if positional_embedding_type is not None:
        require_known("positional_embedding_type", positional_embedding_type, POSITIONS)
    require_positive("eps", eps)
    return {
        "normalization_type": normalization_type,
        "positional_embedding_type": positional_embedding_type,
        "eps": float(eps),
    }


class Norm(nn.Module):
    """x -> w (x - mean) / sqrt(mean square + eps) + b, over the neurons of the residual stream.

    "LN" does all of it, "LNPre" without w and b, "RMS" without mean and b, "RMSPre" without mean, w and b.
    """

    w: nn.Parameter | None
    b: nn.Parameter | None

    def __init__(self, normalization_type: str, d_model: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.eps, self.centres = eps, normalization_type.startswith("LN")
        gain, bias = normalization_type in ("LN", "RMS"), normalization_type == "LN"
        self.register_parameter("w", nn.Parameter(torch.ones(d_model, dtype=dtype)) if gain else None)
        self.register_parameter("b", nn.Parameter(torch.zeros(d_model, dtype=dtype)) if bias else None)
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Float[Tensor, "*batch d_model"]) -> Float[Tensor, "*batch d_model"]:
        wide = x if x.dtype in EXACT else x.float()
        if self.centres:
            wide = wide - wide.mean(-1, keepdim=True)
        scale = self.hook_scale((wide.square().mean(-1, keepdim=True) + self.eps).sqrt())
        normalized = self.hook_normalized(wide / scale)
        if self.w is not None:
            normalized = normalized * self.w
        if self.b is not None:
            normalized = normalized + self.b
        return normalized.to(x.dtype)


class PosEmbed(nn.Module):
    """A trained vector for each position: [batch pos ...] -> [batch pos d_model], the same for every example."""

    def __init__(self, n_ctx: int, d_model: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(torch.empty(n_ctx, d_model, dtype=dtype))

    def forward(self, x: Float[Tensor, "batch pos features"]) -> Float[Tensor, "batch pos d_model"]:
        return self.W_pos[: x.shape[1]].repeat(x.shape[0], 1, 1)
