"""Slow plain references: loops written from the paper, without wiring, layout or cost of bimt_tf.

A model is a list of wires, one record a weight; everything else is a Python loop over them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Slots = Mapping[str, Sequence[int]]


class Wire(NamedTuple):
    """One weight: where it is stored, the linear layer it counts with, the neurons it joins (a bias has one)."""

    parameter: str
    index: tuple[int, ...]
    layer: str
    is_bias: bool
    ends: tuple[tuple[str, int], ...]
    weight: float


def wires_of(model: nn.Module, spell: Mapping[str, object]) -> list[Wire]:
    """Records of the parameters named by ``spell``: name -> (layer, is_bias, index -> ends)."""
    parameters = dict(model.named_parameters())
    found = []
    for name, (layer, is_bias, ends) in spell.items():
        values = parameters[name].detach().double().numpy()
        found += [Wire(name, i, layer, is_bias, ends(*i), float(values[i])) for i in np.ndindex(values.shape)]
    return found


def transformer_wires(model: nn.Module) -> list[Wire]:
    """Every weight of a RegressionTransformer (paper, Section 3.4: [W_Q, W_K, W_V] is one layer)."""
    e = model.cfg.d_head
    res = "residual"
    spell = {
        "embed.W_E": ("embed", False, lambda i, m: (("input", i), (res, m))),
        "embed.b_E": ("embed", True, lambda m: ((res, m),)),
        "unembed.W_U": ("unembed", False, lambda m, o: ((res, m), ("output", o))),
        "unembed.b_U": ("unembed", True, lambda o: (("output", o),)),
    }
    for layer in range(model.cfg.n_layers):
        b = f"blocks.{layer}"
        for x, pop in (("Q", f"{b}.qk"), ("K", f"{b}.qk"), ("V", f"{b}.ov")):
            spell[f"{b}.attn.W_{x}"] = (
                f"{b}.qkv",
                False,
                lambda h, m, k, pop=pop: ((res, m), (pop, h * e + k)),
            )
            spell[f"{b}.attn.b_{x}"] = (f"{b}.qkv", True, lambda h, k, pop=pop: ((pop, h * e + k),))
        ov, mlp = f"{b}.ov", f"{b}.mlp"
        spell[f"{b}.attn.W_O"] = (f"{b}.o", False, lambda h, k, m, ov=ov: ((ov, h * e + k), (res, m)))
        spell[f"{b}.attn.b_O"] = (f"{b}.o", True, lambda m: ((res, m),))
        spell[f"{b}.mlp.W_in"] = (f"{b}.in", False, lambda m, n, mlp=mlp: ((res, m), (mlp, n)))
        spell[f"{b}.mlp.b_in"] = (f"{b}.in", True, lambda n, mlp=mlp: ((mlp, n),))
        spell[f"{b}.mlp.W_out"] = (f"{b}.out", False, lambda n, m, mlp=mlp: ((mlp, n), (res, m)))
        spell[f"{b}.mlp.b_out"] = (f"{b}.out", True, lambda m: ((res, m),))
    return wires_of(model, spell)


def mlp_wires(model: nn.Module) -> list[Wire]:
    """Every weight of an MLP with ``layers.{i}.weight`` [out, in]."""
    last = len(model.layers) - 1
    spell = {}
    for i in range(last + 1):
        before = "input" if i == 0 else f"hidden{i - 1}"
        after = "output" if i == last else f"hidden{i}"
        spell[f"layers.{i}.weight"] = (
            str(i),
            False,
            lambda o, j, before=before, after=after: ((before, j), (after, o)),
        )
        spell[f"layers.{i}.bias"] = (str(i), True, lambda o, after=after: ((after, o),))
    return wires_of(model, spell)


def unit_coordinates(shape: object, n: int) -> list[tuple[float, ...]]:
    """Slot coordinates in units of the width (paper, Section 2.1; notebooks: slot centres)."""
    if isinstance(shape, Tensor):
        return [tuple(float(x) for x in row) for row in shape]
    if shape == "line":
        return [((j + 0.5) / n,) for j in range(n)]
    if shape == "ring":
        angles = [2 * math.pi * (j + 0.5) / n for j in range(n)]
        return [(0.5 + math.cos(a) / 2, 0.5 + math.sin(a) / 2) for a in angles]
    if shape == "grid":
        columns = next(c for c in itertools.count(1) if c * c >= n)
        shape = (-(-n // columns), columns)
    rows, columns = shape
    cells = [((c + 0.5) / columns, (r + 0.5) / rows) for r in range(rows) for c in range(columns)]
    return cells[:n]


def wire_length(a: Sequence[float], b: Sequence[float], width: float, gap: float, norm: str) -> float:
    """Distance of two slots of neighbouring layers; missing dimensions stand in the centre."""
    dims = max(len(a), len(b))
    a, b = (list(x) + [0.5] * (dims - len(x)) for x in (a, b))
    steps = [width * abs(p - q) for p, q in zip(a, b, strict=True)]
    if norm == "l1":
        return sum(steps) + gap
    return math.sqrt(sum(s * s for s in steps) + gap * gap)


class Space(NamedTuple):
    """Width A, layer gap y_star, norm, shapes, reduction and parameters that pay no length, for the loops below."""

    width: float = 2.0
    gap: float = 0.5
    norm: str = "l1"
    shapes: Mapping[str, object] = {}
    reduction: str = "mean"
    distance_free: Sequence[str] = ()


def lengths(wires: Sequence[Wire], slots: Slots, space: Space) -> list[float]:
    """What each weight pays per unit of |w|: d or y_star, over the entries it is averaged with."""
    units = {name: unit_coordinates(space.shapes.get(name, "line"), len(s)) for name, s in slots.items()}
    entries: dict[tuple[str, bool], int] = {}
    for wire in wires:
        key = wire.layer, wire.is_bias
        entries[key] = entries.get(key, 0) + 1
    found = []
    for wire in wires:
        if len(wire.ends) == 2 and wire.parameter not in space.distance_free:
            (p, i), (q, j) = wire.ends
            length = wire_length(units[p][slots[p][i]], units[q][slots[q][j]], *space[:3])
        else:
            length = space.gap
        found.append(length / (1 if space.reduction == "sum" else entries[wire.layer, wire.is_bias]))
    return found


def loop_cost(wires: Sequence[Wire], slots: Slots, space: Space) -> float:
    """Equation 3 (sum), or the notebooks' mean per linear layer."""
    return math.fsum(c * abs(w.weight) for c, w in zip(lengths(wires, slots, space), wires, strict=True))


def loop_gradient(model: nn.Module, wires: Sequence[Wire], slots: Slots, space: Space) -> dict[str, np.ndarray]:
    """The gradient of :func:`loop_cost` by parameter."""
    grads = {name: np.zeros(tuple(p.shape)) for name, p in model.named_parameters()}
    for c, wire in zip(lengths(wires, slots, space), wires, strict=True):
        grads[wire.parameter][wire.index] = c * np.sign(wire.weight)
    return grads


def head_layouts(heads: int, head_size: int, populations: int) -> Iterator[list[list[int]]]:
    """Every way to place the populations of one head axis: segments shared, neurons inside their own."""
    inside = list(itertools.product(itertools.permutations(range(head_size)), repeat=heads))
    for segments in itertools.permutations(range(heads)):
        for chosen in itertools.product(inside, repeat=populations):
            yield [[segments[h] * head_size + s for h in range(heads) for s in own[h]] for own in chosen]


def best_cost(wires: Sequence[Wire], slots: Slots, space: Space, group: Sequence[str], heads: int) -> float:
    """The least cost over all layouts of one head group (or one population), the others fixed: brute force."""
    head_size = len(slots[group[0]]) // heads
    layouts = head_layouts(heads, head_size, len(group))
    scaled = list(zip(wires, lengths(wires, slots, space), strict=True))
    rest = math.fsum(c * abs(w.weight) for w, c in scaled if not any(p in group for p, _ in w.ends))
    touched = [w for w in wires if any(p in group for p, _ in w.ends)]
    counts: dict[tuple[str, bool], int] = {}
    for w in wires:
        counts[w.layer, w.is_bias] = counts.get((w.layer, w.is_bias), 0) + 1
    pay = [abs(w.weight) / (1 if space.reduction == "sum" else counts[w.layer, w.is_bias]) for w in touched]
    own_sum = space._replace(reduction="sum")
    return min(
        rest
        + math.fsum(
            weight * length
            for weight, length in zip(
                pay, lengths(touched, {**slots, **dict(zip(group, own, strict=True))}, own_sum), strict=True
            )
        )
        for own in layouts
    )


def greedy(
    wires: Sequence[Wire], slots: Slots, space: Space, groups: Sequence[tuple[Sequence[str], int]], top_k: int
) -> dict[str, list[int]]:
    """The paper's Step 3: every candidate exchange is applied to the layout and the whole cost is recomputed.

    ``groups``: populations that share heads, and their number of heads, in the order in which they are visited.
    """
    slots = {name: [int(s) for s in own] for name, own in slots.items()}
    score = {name: [0.0] * len(own) for name, own in slots.items()}
    for wire in wires:
        for name, neuron in wire.ends if len(wire.ends) == 2 else ():
            score[name][neuron] += abs(wire.weight)  # Eq. 5

    def exchange(sets: list[list[tuple[str, int]]], order: list[int], candidates: dict[int, list[int]]) -> None:
        """Exchange set j with the candidate set that lowers the cost most, if any does."""

        def apply(j: int, k: int) -> None:
            for (p, a), (_, b) in zip(sets[j], sets[k], strict=True):
                slots[p][a], slots[p][b] = slots[p][b], slots[p][a]

        for j in order:
            best, lowest = None, loop_cost(wires, slots, space) - 1e-11
            for k in candidates[j]:
                apply(j, k)
                cost = loop_cost(wires, slots, space)
                apply(j, k)
                if cost < lowest:
                    best, lowest = k, cost
            if best is not None:
                apply(j, best)

    for group, heads in groups:
        for name in group:
            size = len(slots[name]) // heads
            order = sorted(range(len(slots[name])), key=lambda j, name=name: -score[name][j])[:top_k]
            same_head = {j: [k for k in range(len(slots[name])) if k // size == j // size and k != j] for j in order}
            exchange([[(name, j)] for j in range(len(slots[name]))], order, same_head)
        if heads > 1:
            # a head's neurons by the place they have inside their segment, so that the inner order stays
            for_head = head_sets(slots, group, heads)
            summed = [sum(score[p][j] for p, j in members) for members in for_head]
            order = sorted(range(heads), key=lambda h: -summed[h])[:top_k]
            exchange(for_head, order, {h: [g for g in range(heads) if g != h] for h in order})
    return slots


def head_sets(slots: Slots, group: Sequence[str], heads: int) -> list[list[tuple[str, int]]]:
    """The neurons of each head, sorted by population and by place inside the segment."""
    sets = []
    for h in range(heads):
        members = []
        for name in group:
            size = len(slots[name]) // heads
            own = range(h * size, (h + 1) * size)
            members += [(name, j) for j in sorted(own, key=lambda j, name=name, size=size: slots[name][j] % size)]
        sets.append(members)
    return sets


def reordered(model: nn.Module, orders: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The parameters of a RegressionTransformer with neurons in the given orders (new position -> old neuron)."""
    wires = transformer_wires(model)
    position = {name: {int(old): new for new, old in enumerate(order)} for name, order in orders.items()}
    by_ends = {}
    for w in wires:
        ends = tuple((p, position[p][j] if p in position else j) for p, j in w.ends)
        by_ends[w.parameter, ends] = w.weight
    arrays = {name: np.zeros(tuple(p.shape)) for name, p in model.named_parameters()}
    for w in wires:
        arrays[w.parameter][w.index] = by_ends[w.parameter, w.ends]
    return arrays


def regression_forward(model: nn.Module, x: Tensor) -> Tensor:
    """RegressionTransformer's function, token by token and head by head, in nn.Linear's [out, in] terms."""
    p = dict(model.named_parameters())
    cfg = model.cfg
    act = {
        "gelu_new": lambda t: 0.5 * t * (1 + torch.tanh(math.sqrt(2 / math.pi) * (t + 0.044715 * t**3))),
        "relu": lambda t: t * (t > 0),
        "silu": lambda t: t / (1 + torch.exp(-t)),
        "identity": lambda t: t,
    }[cfg.act_fn]
    outs = []
    for sequence in x:
        r = [F.linear(token, p["embed.W_E"].T, p["embed.b_E"]) for token in sequence]
        for i in range(cfg.n_layers):
            a = f"blocks.{i}.attn."
            attn = [p[a + "b_O"] for _ in r]
            for h in range(cfg.n_heads):
                q, k, v = ([F.linear(t, p[f"{a}W_{n}"][h].T, p[f"{a}b_{n}"][h]) for t in r] for n in "QKV")
                for t in range(len(r)):
                    scores = torch.stack([(q[t] @ k[s]) / math.sqrt(cfg.d_head) for s in range(t + 1)])
                    weights = torch.exp(scores - scores.max())
                    weights = weights / weights.sum()
                    z = sum(weights[s] * v[s] for s in range(t + 1))
                    attn[t] = attn[t] + F.linear(z, p[a + "W_O"][h].T)
            r = [x_ + y for x_, y in zip(r, attn, strict=True)]
            m = f"blocks.{i}.mlp."
            hidden = [act(F.linear(t, p[m + "W_in"].T, p[m + "b_in"])) for t in r]
            r = [t + F.linear(z, p[m + "W_out"].T, p[m + "b_out"]) for t, z in zip(r, hidden, strict=True)]
        outs.append(torch.stack([F.linear(t, p["unembed.W_U"].T, p["unembed.b_U"]) for t in r]))
    return torch.stack(outs)


class _Named(nn.Module):
    def __init__(self, **shapes: tuple[int, ...]) -> None:
        super().__init__()
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.randn(shape, dtype=torch.float64)))


class TokenTransformer(nn.Module):
    """A token model with the parameter names of TransformerLens 2 and 3: LayerNorm, positions, biases, heads."""

    class Config(NamedTuple):
        d_vocab: int
        positional_embedding_type: str = "standard"

    def __init__(
        self,
        d_vocab: int = 7,
        d_model: int = 6,
        n_heads: int = 2,
        d_head: int = 4,
        d_mlp: int | None = 9,
        n_layers: int = 2,
        n_ctx: int = 5,
        n_kv_heads: int | None = None,
    ) -> None:
        super().__init__()
        self.cfg = self.Config(d_vocab)
        norm = {"w": (d_model,), "b": (d_model,)}
        self.embed = _Named(W_E=(d_vocab, d_model))
        self.pos_embed = _Named(W_pos=(n_ctx, d_model))
        self.blocks = nn.ModuleList()
        for _ in range(n_layers):
            block = nn.Module()
            block.ln1 = _Named(**norm)
            heads = {"Q": n_heads, "K": n_kv_heads or n_heads, "V": n_kv_heads or n_heads}
            name = {x: f"_{{}}_{x}" if n_kv_heads and x != "Q" else f"{{}}_{x}" for x in heads}
            block.attn = _Named(
                **{name[x].format("W"): (n, d_model, d_head) for x, n in heads.items()},
                **{name[x].format("b"): (n, d_head) for x, n in heads.items()},
                W_O=(n_heads, d_head, d_model),
                b_O=(d_model,),
            )
            if d_mlp is not None:
                block.ln2 = _Named(**norm)
                block.mlp = _Named(W_in=(d_model, d_mlp), b_in=(d_mlp,), W_out=(d_mlp, d_model), b_out=(d_model,))
            self.blocks.append(block)
        self.ln_final = _Named(**norm)
        self.unembed = _Named(W_U=(d_model, d_vocab), b_U=(d_vocab,))

    def forward(self, tokens: Tensor) -> Tensor:
        n = tokens.shape[1]
        r = self.embed.W_E[tokens] + self.pos_embed.W_pos[:n]
        for block in self.blocks:
            a = block.attn
            x = self._norm(block.ln1, r)
            w = {n.lstrip("_"): p for n, p in a.named_parameters()}
            q, k, v = (torch.einsum("btm,hme->bhte", x, w[f"W_{y}"]) + w[f"b_{y}"][:, None] for y in "QKV")
            k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], dim=1) for t in (k, v))
            z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            r = r + torch.einsum("bhte,hem->btm", z, a.W_O) + a.b_O
            if hasattr(block, "mlp"):
                hidden = F.gelu(self._norm(block.ln2, r) @ block.mlp.W_in + block.mlp.b_in)
                r = r + hidden @ block.mlp.W_out + block.mlp.b_out
        return self._norm(self.ln_final, r) @ self.unembed.W_U + self.unembed.b_U

    @staticmethod
    def _norm(ln: nn.Module, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], ln.w, ln.b)
