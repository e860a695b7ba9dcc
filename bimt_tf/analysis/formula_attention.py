"""A RegressionTransformer's computation at one position as a list of definitions, its attention patterns among them.

Names, t a token, b a block, n a neuron's number in the whole network (of q, k, v: head * d_head + e):
``r0_n_t`` the residual stream after the embedding, ``m``b behind block b's attention, ``r``(b+1) behind its MLP;
``q``b, ``k``b, ``v``b the head's neurons; ``s0_2_1`` the score of token 1 for the query at token 2, ``a0_2_1`` its
share of attention (with ``_h1`` behind it for head 1 of several); ``z``b what a head has gathered; ``h``b the MLP.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from bimt_tf.analysis.compact import Compact
from bimt_tf.analysis.formula_functions import IDENTITY, SOFTMAX
from bimt_tf.analysis.formula_polynomial import Polynomial, variable, weighted
from bimt_tf.analysis.formula_program import POLYNOMIAL, SCORE, Definition, Program
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.models.transformer_parts import Attention, Block

__all__ = ["transformer_program"]


def transformer_program(
    small: Compact,
    values: Sequence[Polynomial],
    outputs: Sequence[tuple[int, str]],
    position: int,
    variables: tuple[str, ...],
) -> Program:
    """What the transformer computes at ``position``, and what it needs for that at earlier ones.

    Args:
        small: the compact transformer, in float64.
        values: each input's variable or number, tokens one after the other, [pos * d_in].
        outputs: number and name of the outputs that are wanted.
        position: from 0.
        variables: the names that stand in ``values``.
    """
    model = cast(RegressionTransformer, small.model)
    d_in = model.cfg.d_in
    written = _Written([], small, position + 1)
    neurons = small.kept["residual"].tolist()
    stream = []
    for token in range(position + 1):
        read = values[token * d_in : (token + 1) * d_in]
        always: Tensor = model.embed.b_E
        if model.cfg.positional_embedding_type is not None:
            always = always + model.W_pos[token]
        sums = _affine(model.embed.W_E, read, always)
        stream.append(written.row(sums, [f"r0_{n}_t{token}" for n in neurons], "residual stream, embedded", token))
    for number, block in enumerate(model.blocks):
        stream = written.block(cast(Block, block), number, stream, neurons, model.cfg.act_fn)
    sums = _affine(model.unembed.W_U, stream[position], model.unembed.b_U)
    return Program(variables, tuple(written.definitions), {name: sums[at] for at, name in outputs})


class _Written(NamedTuple):
    """The definitions so far, of a compact transformer and so many tokens."""

    definitions: list[Definition]
    small: Compact
    n_tokens: int

    def one(self, name: str, function: str, arguments: Sequence[Polynomial], about: str) -> Polynomial:
        """Write a definition; what it is called."""
        self.definitions.append(Definition(name, function, tuple(arguments), about))
        return variable(name)

    def row(
        self, sums: Sequence[Polynomial], names: Sequence[str], about: str, token: int, function: str = POLYNOMIAL
    ) -> list[Polynomial]:
        """Neurons of one stage at one token."""
        said = [f"{about}, neuron {name.split('_')[1]}, token {token}" for name in names]
        return [self.one(name, function, (total,), text) for name, total, text in zip(names, sums, said, strict=True)]

    def block(
        self, block: Block, number: int, stream: list[list[Polynomial]], neurons: list[int], act_fn: str
    ) -> list[list[Polynomial]]:
        """The residual stream behind a block, token by token."""
        gathered = self.attention(block.attn, number, stream)
        mlp = block.mlp
        hidden = self.small.kept[f"blocks.{number}.mlp"].tolist()
        function = POLYNOMIAL if act_fn == IDENTITY else act_fn
        behind = []
        for token, (before, added) in enumerate(zip(stream, gathered, strict=True)):
            middle = [one + more for one, more in zip(before, added, strict=True)]
            where = f"residual stream behind block {number}'s"
            middle = self.row(middle, [f"m{number}_{n}_t{token}" for n in neurons], f"{where} attention", token)
            names = [f"h{number}_{n}_t{token}" for n in hidden]
            sums = _affine(mlp.W_in, middle, mlp.b_in)
            posts = self.row(sums, names, f"block {number}'s MLP", token, function)
            after = [one + more for one, more in zip(middle, _affine(mlp.W_out, posts, mlp.b_out), strict=True)]
            behind.append(self.row(after, [f"r{number + 1}_{n}_t{token}" for n in neurons], f"{where} MLP", token))
        return behind

    def attention(self, attn: Attention, number: int, stream: list[list[Polynomial]]) -> list[list[Polynomial]]:
        """What attention adds to the residual stream, token by token."""
        width = attn.b_O.shape[0]
        added = [[weighted([], [], bias) for bias in attn.b_O.tolist()] for _ in stream]
        n_heads = attn.W_Q.shape[0]
        for head in range(n_heads):
            q, k, v = (self._neurons(attn, number, head, kind, stream) for kind in "QKV")
            for query in range(self.n_tokens):
                pattern = self._pattern(q[query], k[: query + 1], attn.scale, number, head, n_heads, query)
                z = [weighted([], [], 0.0) for _ in v[0]]
                for share, value in zip(pattern, v, strict=False):
                    z = [total + share.product(one) for total, one in zip(z, value, strict=True)]
                names = [f"z{number}_{n}_t{query}" for n in self._numbers(number, head, "V")]
                z = self.row(z, names, f"block {number}, gathered by head {head}", query)
                more = _affine(attn.W_O[head], z, torch.zeros(width, dtype=torch.float64))
                added[query] = [total + one for total, one in zip(added[query], more, strict=True)]
        return added

    def _neurons(
        self, attn: Attention, number: int, head: int, kind: str, stream: list[list[Polynomial]]
    ) -> list[list[Polynomial]]:
        """q, k or v of a head at each token."""
        weight, bias = getattr(attn, f"W_{kind}")[head], getattr(attn, f"b_{kind}")[head]
        words = {"Q": "query", "K": "key", "V": "value"}[kind]
        found = []
        for token, before in enumerate(stream):
            names = [f"{kind.lower()}{number}_{n}_t{token}" for n in self._numbers(number, head, kind)]
            found.append(
                self.row(_affine(weight, before, bias), names, f"block {number}, {words} of head {head}", token)
            )
        return found

    def _numbers(self, number: int, head: int, kind: str) -> list[int]:
        """The numbers that a head's neurons have in the whole network, head * d_head + e."""
        places = self.small.entries[f"blocks.{number}.attn.b_{kind}"]
        return [int(place) for place in places[head]]

    def _pattern(
        self, q: list[Polynomial], keys: list[list[Polynomial]], scale: float, number: int, head: int, n_heads: int,
        query: int,
    ) -> list[Polynomial]:  # fmt: skip
        """How a query's attention is shared among the tokens up to its own."""
        of_head = f"_h{head}" if n_heads > 1 else ""
        scores = []
        for token, k in enumerate(keys):
            score = weighted([], [], 0.0)
            for one, other in zip(q, k, strict=True):
                score = score + one.product(other).times(1 / scale)
            about = f"block {number}, score of token {token} for token {query}, head {head}"
            scores.append(self.one(f"s{number}_{query}_{token}{of_head}", SCORE, (score,), about))
        shares = []
        for token, score in enumerate(scores):
            others = [other for at, other in enumerate(scores) if at != token]
            about = f"block {number}, attention of token {query} to token {token}, head {head}"
            shares.append(self.one(f"a{number}_{query}_{token}{of_head}", SOFTMAX, (score, *others), about))
        return shares


def _affine(weight: Tensor, reads: Sequence[Polynomial], bias: Tensor) -> list[Polynomial]:
    """The sums that a weight [reads, sums] makes of what it reads, and its biases."""
    return [weighted(column, reads, one) for column, one in zip(weight.mT.tolist(), bias.tolist(), strict=True)]
