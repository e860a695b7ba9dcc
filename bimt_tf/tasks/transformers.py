"""Tasks on tokens by a transformer: the sizes of its model, and the groups' products read after an "=".

``bimt train modular-addition --model transformer`` is the task ``modular-addition-transformer``: data and model make a
task, so that each has settings, presets and saved configs of its own.

An example is a, b, "="; the logits at "=" are read. One block without norm, as is usual for this problem. Weight decay,
for all methods, makes the model generalise before lambda rises: pressed from the start, an L1 penalty freezes what was
remembered of a few pairs (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from bimt_tf.errors import require_known
from bimt_tf.models.activation_names import TOKEN_ACT_FNS
from bimt_tf.tasks.base import Data, Split
from bimt_tf.tasks.checks import require_transformer_sizes
from bimt_tf.tasks.groups import MODULAR_ADDITION, S4, GroupTask
from bimt_tf.tasks.kinds import Classification

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

__all__ = ["MODULAR_ADDITION_TRANSFORMER", "S4_TRANSFORMER", "GroupTransformer", "TokenTransformerOptions"]


@dataclass(frozen=True)
class TokenTransformerOptions:
    """The sizes of a transformer on tokens; vocabulary and context follow from the data."""

    d_model: int = 64
    """width of the residual stream"""
    n_layers: int = 1
    """transformer blocks"""
    n_heads: int = 4
    """attention heads of a block"""
    d_head: int | None = None
    """neurons of a head; d_model // n_heads unless given"""
    d_mlp: int | None = None
    """hidden neurons of a block's MLP; 4 d_model unless given"""
    act_fn: str = "relu"
    """activation: gelu_new, gelu, relu or silu"""
    normalization: Literal["none", "layer", "rms"] = "none"
    """norm of the residual stream: none (the paper), LayerNorm or RMSNorm (docs/norms.md)"""
    positions: Literal["standard", "rotary"] = "standard"
    """positions of tokens: a trained table, or rotations of q and k"""

    def __post_init__(self) -> None:
        require_transformer_sizes(self.n_layers, self.n_heads, self.d_model, self.d_head, self.d_mlp)
        require_known("act_fn", self.act_fn, TOKEN_ACT_FNS)

    def build(self, vocabulary: int, n_ctx: int, seed: int, dtype: torch.dtype) -> nn.Module:
        """The untrained model."""
        from bimt_tf.models.token_transformer import token_transformer

        return token_transformer(
            vocabulary,
            n_ctx,
            d_model=self.d_model,
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            d_head=self.d_head,
            d_mlp=self.d_mlp,
            act_fn=self.act_fn,
            normalization=self.normalization,
            positions=self.positions,
            seed=seed,
            dtype=dtype,
        )


@dataclass(frozen=True, kw_only=True)
class GroupTransformer(Classification):
    """The product of two elements of a finite group, by a transformer."""

    group: GroupTask
    """where the data come from"""
    Model: type[TokenTransformerOptions] = TokenTransformerOptions

    def data(self, options: Any, seed: int, dtype: torch.dtype) -> Split:
        """The group's pairs, each with "=" (the token after the last element) behind it: [pairs, 3]."""
        import torch

        equals = len(self.group.elements(options))

        def read(part: Data) -> Data:
            behind = torch.full((len(part.inputs), 1), equals)
            return part._replace(inputs=torch.cat([part.inputs, behind], dim=1))

        return Split(*map(read, self.group.data(options, seed, dtype)))

    def model(self, model: TokenTransformerOptions, options: Any, seed: int, dtype: torch.dtype) -> nn.Module:
        """The untrained transformer."""
        return model.build(len(self.group.elements(options)) + 1, 3, seed, dtype)

    def compared(self, options: Any, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The elements' logits at "=", and the true products."""
        return outputs[:, -1, : len(self.group.elements(options))], targets

    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """No labels, since a vocabulary is no population of neurons."""
        return {}

    def classes(self, options: Any) -> list[str]:
        """The elements."""
        return self.group.elements(options)


_TRAINING: dict[str, Any] = {
    "steps": 12_000,
    "batch_size": 512,
    "lr": 2e-3,
    "weight_decay": 0.2,
    "lam": ((0.0, 0.02), (0.2, 0.5), (0.4, 1.0), (0.6, 3.0)),
    "penalty": "subgradient",
    "finish": 0.15,
    "cut": 0.03,
    "compile": "no",
}

MODULAR_ADDITION_TRANSFORMER = GroupTransformer(
    name="modular-addition-transformer",
    summary="addition modulo 113 by a transformer of one block (modular-addition --model transformer)",
    presets={"best": {"data": {"modulus": 113}, "training": _TRAINING}},  # 59: too few pairs, some are remembered
    Options=MODULAR_ADDITION.Options,
    group=MODULAR_ADDITION,
)
S4_TRANSFORMER = GroupTransformer(
    name="s4-transformer",
    summary="composition of permutations by a transformer of one block (s4 --model transformer)",
    presets={"best": {"training": {**_TRAINING, "batch_size": 461}}},  # as many as there are to train on
    Options=S4.Options,
    group=S4,
)
