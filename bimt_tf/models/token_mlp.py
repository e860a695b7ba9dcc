"""A multilayer perceptron that reads tokens, one trained embedding for all of them (paper, Section 3.3: groups)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint

from bimt_tf.errors import InputError
from bimt_tf.models.layers import HookedModel, check_weights, layer_sizes, linear_layers, normal_, whole

__all__ = ["TokenMLP", "TokenMLPConfig"]


@dataclass(frozen=True)
class TokenMLPConfig:
    """``vocab`` tokens embedded in ``d_embed`` numbers, ``n_tokens`` of them read; ``sizes``: hidden layers, output."""

    vocab: int
    d_embed: int
    n_tokens: int
    sizes: tuple[int, ...]
    act_fn: str
    dtype: torch.dtype
    seed: int


class TokenMLP(HookedModel):
    """Embedding ``embed`` [vocab, d_embed], then linear layers ``layers.{i}`` as an MLP's.

    Layer 0 reads the tokens' vectors end to end: its weight [hidden, (n_tokens d_embed)] folds onto the ``d_embed``
    neurons of the embedding. Hooks: ``hook_embed`` [batch, n_tokens, d_embed], ``layers.{i}.hook_pre/hook_post``.

    Args:
        vocab: how many tokens there are.
        d_embed: neurons of the embedding.
        n_tokens: tokens of one example.
        sizes: neurons of each layer after the embedding, output included; at least one number.
        act_fn: "silu", "relu", "gelu_new" or "identity".
        seed: of the initial weights, which are nn.Embedding's and nn.Linear's.
        dtype: of the weights.
        device: of the weights.

    Raises:
        InputError: for sizes that are not whole numbers of at least 1, an unknown ``act_fn``, a seed that
            is none, a ``dtype`` of other than floating-point numbers, or a device that is not there.
    """

    def __init__(
        self,
        vocab: int,
        d_embed: int,
        n_tokens: int,
        sizes: Sequence[int],
        act_fn: str = "silu",
        seed: int = 0,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        check_weights(seed, dtype, device)
        checked = layer_sizes(sizes, "an output size", at_least=1)
        whole("vocab", vocab), whole("d_embed", d_embed), whole("n_tokens", n_tokens)
        self.cfg = TokenMLPConfig(vocab, d_embed, n_tokens, checked, act_fn, dtype, seed)
        generator = torch.Generator().manual_seed(seed)
        self.embed = nn.Embedding(vocab, d_embed, _weight=torch.empty(vocab, d_embed, dtype=dtype))
        normal_(self.embed.weight, generator)
        self.hook_embed = HookPoint()
        self.layers = linear_layers((n_tokens * d_embed, *checked), act_fn, dtype, generator)
        self.to(device)
        self.setup()

    def forward(self, tokens: Int[Tensor, "*batch n_tokens"]) -> Float[Tensor, "*batch d_out"]:
        """The network's output for a batch of tokens; raises InputError for another number of tokens."""
        if tokens.shape[-1] != self.cfg.n_tokens:
            raise InputError(f"tokens must be [..., {self.cfg.n_tokens}], found {list(tokens.shape)}")
        x = self.hook_embed(self.embed(tokens)).flatten(-2)
        for layer in self.layers:
            x = layer(x)
        return x
