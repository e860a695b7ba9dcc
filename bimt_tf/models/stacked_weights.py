"""The weights of all blocks and heads together, and what TransformerLens's users compute from them.

``W_Q`` [layer head d_model d_head] and its like, the circuits ``QK`` and ``OV`` as FactoredMatrix (Elhage et al., A
Mathematical Framework for Transformer Circuits, 2021), composition scores, and the names by which ActivationCache asks.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens import FactoredMatrix

from bimt_tf.errors import InputError, require_known
from bimt_tf.models.layers import HookedModel
from bimt_tf.models.transformer_norms import Norm, PosEmbed
from bimt_tf.models.transformer_parts import Block, Embed, Unembed

__all__ = ["StackedWeights"]

_READ_BY = {"Q": "QK", "K": "QK", "V": "OV"}


class StackedWeights(HookedModel):
    """What a transformer of blocks has beside its layers. Stacks are copies: to train a weight, reach it in its block.

    Every stack raises InputError where blocks differ in shape, as those of a compact model may.
    """

    embed: Embed
    unembed: Unembed
    pos_embed: PosEmbed
    blocks: nn.ModuleList

    @property
    def W_E(self) -> Float[Tensor, "d_in d_model"]:
        """The embedding."""
        return self.embed.W_E

    @property
    def b_E(self) -> Float[Tensor, " d_model"]:
        """The embedding's bias."""
        return self.embed.b_E

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """The table of positions, where there is one."""
        return self.pos_embed.W_pos

    @property
    def W_U(self) -> Float[Tensor, "d_model d_out"]:
        """The unembedding."""
        return self.unembed.W_U

    @property
    def b_U(self) -> Float[Tensor, " d_out"]:
        """The unembedding's bias."""
        return self.unembed.b_U

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Query weights of all blocks."""
        return self._stacked("attn", "W_Q")

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Key weights of all blocks."""
        return self._stacked("attn", "W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        """Value weights of all blocks."""
        return self._stacked("attn", "W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        """Output weights of the heads of all blocks."""
        return self._stacked("attn", "W_O")

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        """Weights into the hidden neurons of all blocks."""
        return self._stacked("mlp", "W_in")

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        """Weights out of the hidden neurons of all blocks."""
        return self._stacked("mlp", "W_out")

    @property
    def b_Q(self) -> Float[Tensor, "layer head d_head"]:
        """Query biases of all blocks."""
        return self._stacked("attn", "b_Q")

    @property
    def b_K(self) -> Float[Tensor, "layer head d_head"]:
        """Key biases of all blocks."""
        return self._stacked("attn", "b_K")

    @property
    def b_V(self) -> Float[Tensor, "layer head d_head"]:
        """Value biases of all blocks."""
        return self._stacked("attn", "b_V")

    @property
    def b_O(self) -> Float[Tensor, "layer d_model"]:
        """Output biases of the attention of all blocks."""
        return self._stacked("attn", "b_O")

    @property
    def b_in(self) -> Float[Tensor, "layer d_mlp"]:
        """Biases of the hidden neurons of all blocks."""
        return self._stacked("mlp", "b_in")

    @property
    def b_out(self) -> Float[Tensor, "layer d_model"]:
        """Output biases of the MLPs of all blocks."""
        return self._stacked("mlp", "b_out")

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T of every head, [layer head d_model d_model]: which residual neurons attend to which."""
        return FactoredMatrix(self.W_Q, self.W_K.transpose(-2, -1))

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O of every head, [layer head d_model d_model]: what a head writes where it attends."""
        return FactoredMatrix(self.W_V, self.W_O)

    def all_head_labels(self) -> list[str]:
        """A name for every head, "L0H0", "L0H1", ..."""
        return [
            f"L{layer}H{head}"
            for layer, block in enumerate(self.blocks)
            for head in range(len(cast(Block, block).attn.W_Q))
        ]

    def all_composition_scores(self, mode: Literal["Q", "K", "V"]) -> Float[Tensor, "layer head layer head"]:
        """How strongly each head's output is read by the queries, keys or values of heads in later blocks.

        ||W_OV of the earlier, then the circuit of the later|| / (||W_OV|| ||circuit||), Frobenius norms (Elhage et
        al.); 0 between heads of which the first is not earlier, and beside a head whose weights are all zero.

        Raises:
            InputError: for another ``mode``.
        """
        require_known("mode", mode, tuple(_READ_BY))
        reads = self.QK if mode in "QK" else self.OV
        if mode == "K":
            reads = reads.T
        left = self.OV[:, :, None, None]
        right = reads[None, None]
        sizes = left.norm() * right.norm()
        scores = torch.where(sizes > 0, (left @ right).norm() / sizes, 0.0)
        layers = torch.arange(len(self.blocks), device=scores.device)
        earlier = (layers[:, None] < layers)[:, None, :, None]
        return torch.where(earlier, scores, 0.0)

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """The biases that the first ``layer`` blocks add to the residual stream (ActivationCache needs it).

        Args:
            layer: blocks counted.
            mlp_input: also the attention bias of block ``layer``.
            include_mlp_biases: count b_out as well as b_O.
        """
        blocks = [cast(Block, block) for block in self.blocks]
        total = torch.zeros_like(blocks[0].attn.b_O)
        for block in blocks[:layer]:
            total = total + block.attn.b_O + (block.mlp.b_out if include_mlp_biases else 0)
        return total + blocks[layer].attn.b_O if mlp_input else total

    def tokens_to_residual_directions(self, tokens: int | Tensor) -> Float[Tensor, "*tokens d_model"]:
        """The direction of the residual stream that an output feature reads: its column of W_U.

        ``ActivationCache.logit_attrs`` asks this of tokens. Of a model of numbers, they are output features: with
        ``cache.logit_attrs(stack, tokens=0)`` each component's part in output 0 comes out (``b_U`` aside). With a norm
        that has a gain, the column times the gain of ``ln_final``, so that the parts sum to the output here too
        (``b_U`` and what the norm's bias adds aside).

        Raises:
            InputError: for what is no whole number, or no output.
        """
        features = torch.as_tensor(tokens) if isinstance(tokens, (int, Tensor)) else None
        n = self.W_U.shape[1]
        if features is None or features.is_floating_point() or features.dtype == torch.bool:
            raise InputError(f"outputs are named by whole numbers, 0 to {n - 1}, found {tokens!r}")
        if ((features < 0) | (features >= n)).any():
            raise InputError(f"the model has outputs 0 to {n - 1}, found {features.tolist()}")
        gain = cast(Norm, self.ln_final).w if hasattr(self, "ln_final") else None
        read = self.W_U if gain is None else gain[:, None] * self.W_U
        return read.T[features.to(self.W_U.device)]

    def _stacked(self, part: str, name: str) -> Tensor:
        found: list[Any] = [getattr(getattr(block, part), name) for block in self.blocks]
        shapes = {tuple(one.shape) for one in found}
        if len(shapes) > 1:
            raise InputError(
                f"{name} differs in shape from block to block ({', '.join(map(str, sorted(shapes)))}), so there is no "
                f"stack of them: use blocks[i].{part}.{name}"
            )
        return torch.stack(found)
