"""Small random networks with what a table of axis strings does not show: shared memory, buffers, code of its own.

    r = E x;   for each block b:  r = r + B_b (tanh(A_b r) * G_b r)  or  r + O_b attention(Q_b r, K_b r, V_b r); y = U r

A, G: "h_b r", B: "r h_b"; Q, K: "(head_b qk_b) r", V: "(head_b ov_b) r", O: "r (head_b ov_b)". Extras stand on r, on an
h_b or on an ov_b. ``draw`` makes a case from random numbers, those of hypothesis or of a seed.
"""

from __future__ import annotations

import random
import warnings
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

F64 = torch.float64
EXTRAS = ("mask", "fleeting", "constant", "attribute", "list", "nested", "array", "object", "hidden", "half", "gain",
          "twice", "batchnorm", "int", "heads", "per_head")  # fmt: skip
KINDS = ("plain", "weight_norm", "spectral_norm", "tril", "subclass", "prune", "patched", "old_weight_norm",
         "old_spectral_norm", "gradient_hook", "kept")  # fmt: skip
TIES = ("parameter", "data", "transposed", "module", "overlap", "expanded")
HEADS, D_HEAD = 2, 3


class Case(NamedTuple):
    """What a random network holds; ``named``: whether the table also names what it need not."""

    width: int
    hidden: int
    blocks: int
    extras: tuple[tuple[str, int], ...] = ()
    """(kind, the population: -1 is the residual stream, b the hidden one of block b)."""
    kinds: tuple[tuple[str, str], ...] = ()
    """(layer, kind)."""
    ties: tuple[tuple[str, str, str], ...] = ()
    """(kind, layer, layer)."""
    named: bool = False
    seed: int = 0
    attention: tuple[int, ...] = ()
    """Blocks that are attention."""
    frozen: tuple[str, ...] = ()
    single: tuple[str, ...] = ()
    """Layers in float32 among others in float64."""

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers' names."""
        kinds = ("QKVO" if b in self.attention else "AGB" for b in range(self.blocks))
        return ("E", "U", *(f"{kind}{b}" for b, own in enumerate(kinds) for kind in own))


def draw(rng: random.Random) -> Case:
    """A random case."""
    blocks = rng.randint(1, 2)
    case = Case(
        width=rng.choice([2, 4, 6, 7]),
        hidden=rng.choice([3, 4, 8]),
        blocks=blocks,
        attention=tuple(b for b in range(blocks) if rng.random() < 0.3),
        named=rng.random() < 0.6,
        seed=rng.randrange(1000),
    )
    layers = case.layers
    kinds = {rng.choice(layers): rng.choice(KINDS) for _ in range(rng.choice([0, 0, 1, 2]))}
    free = [layer for layer in layers if layer not in kinds]
    ties = [(rng.choice(TIES), *rng.sample(free, 2))] if rng.random() < 0.4 else []
    if rng.random() < 0.3:  # two layers that often go together
        first, second = rng.choice([pair for b in range(blocks) for pair in _pairs(case, b)])
        ties += [(rng.choice(TIES[:4]), first, second)] if not {first, second} & {*kinds} else []
    return case._replace(
        kinds=tuple(kinds.items()),
        ties=tuple(ties),
        extras=tuple((rng.choice(EXTRAS), rng.randint(-1, blocks - 1)) for _ in range(rng.choice([0, 1, 2]))),
        frozen=tuple(rng.sample(layers, rng.choice([0, 0, 1, 2]))),
        single=(rng.choice(layers),) if rng.random() < 0.15 and not ties else (),
    )


def _pairs(case: Case, b: int) -> list[tuple[str, str]]:
    names = ("QK", "QV", "KV", "VO") if b in case.attention else ("AG", "AB")
    return [(f"{pair[0]}{b}", f"{pair[1]}{b}") for pair in names]


class ByOrder(nn.Linear):
    """A linear layer that treats its outputs by their number."""

    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        return made * torch.arange(1, made.shape[-1] + 1, dtype=made.dtype)


class Tril(nn.Module):
    """Keeps the lower triangle of a weight."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.tril() + weight


class Holder:
    """No module, and holds a tensor."""

    def __init__(self, table: Tensor) -> None:
        self.table = table


class Extra(nn.Module):
    """Something on a population of ``n`` neurons."""

    def __init__(self, kind: str, n: int) -> None:
        super().__init__()
        self.kind = kind
        values = torch.randn(n, dtype=F64)
        if kind == "mask":
            self.register_buffer("mask", values)
        elif kind == "int":
            self.register_buffer("mask", torch.arange(n) + 1)
        elif kind == "constant":
            self.register_buffer("mask", torch.full((n,), 1.5, dtype=F64))
        elif kind == "attribute":
            self.table = values
        elif kind == "fleeting":
            self.register_buffer("mask", values, persistent=False)
        elif kind == "list":
            self.tables = [values]
        elif kind == "nested":
            self.tables = {"of": [(values,)]}
        elif kind == "array":
            self.table = values.numpy()
        elif kind == "object":
            self.holder = Holder(values)
        elif kind == "hidden":
            self.away = [nn.Linear(1, n, bias=False, dtype=F64).requires_grad_(False)]
        elif kind in ("heads", "per_head"):
            self.register_buffer("mask", torch.randn(HEADS if kind == "heads" else D_HEAD, dtype=F64))
        elif kind == "half":
            self.register_buffer("speeds", torch.randn(max(n // 2, 1), dtype=F64))
        elif kind == "twice":
            self.register_buffer("both", torch.randn(2 * n, dtype=F64))
        elif kind == "gain":
            self.gain = nn.Parameter(values)
        else:
            self.bn = nn.BatchNorm1d(n, dtype=F64)
            nn.init.normal_(self.bn.weight)
            self.bn.running_mean.copy_(values)
            self.bn.running_var.copy_(values.abs() + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[-1]
        if self.kind in ("mask", "int", "constant", "fleeting"):
            return x * self.mask
        if self.kind in ("heads", "per_head"):
            if n != HEADS * D_HEAD:
                return x * self.mask[0]
            each = self.mask.repeat_interleave(D_HEAD) if self.kind == "heads" else self.mask.repeat(HEADS)
            return x * each
        if self.kind == "nested":
            return x + self.tables["of"][0][0]
        if self.kind == "array":
            return x + torch.from_numpy(np.array(self.table))
        if self.kind == "object":
            return x + self.holder.table
        if self.kind == "hidden":
            return x + self.away[0].weight[:, 0]
        if self.kind == "attribute":
            return x + self.table
        if self.kind == "list":
            return x + self.tables[0]
        if self.kind == "half":
            return x + torch.cat([self.speeds.sin(), self.speeds.cos()])[:n] if n % 2 == 0 else x
        if self.kind == "twice":
            return x * self.both[:n] + self.both[n:]
        return x * self.gain if self.kind == "gain" else self.bn(x)


class Net(nn.Module):
    """The network of a case; ``table``, ``heads`` and ``left_out`` describe it as an honest user would."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the older norms are deprecated, and still met
            torch.manual_seed(case.seed)
            self._make(case)

    def _make(self, case: Case) -> None:
        kinds = dict(case.kinds)
        self.layers = nn.ModuleDict()
        for name in case.layers:
            kind = ByOrder if kinds.get(name) == "subclass" else nn.Linear
            n_out, n_in = (self._length(dim) for dim in self.axes(name))
            self.layers[name] = kind(n_in, n_out, bias=False, dtype=torch.float32 if name in case.single else F64)
        self.extras = nn.ModuleList(
            [Extra(kind, self._length("r" if at < 0 else self._inner(at))) for kind, at in case.extras]
        )
        for kind, first, second in case.ties:
            self._tie(kind, first, second)
        for name, kind in case.kinds:
            self._dress(self.layers[name], kind)
        for name in case.frozen:
            self.layers[name].requires_grad_(False)

    def _dress(self, layer: nn.Linear, kind: str) -> None:
        if kind == "weight_norm":
            parametrizations.weight_norm(layer)
        elif kind == "spectral_norm":
            parametrizations.spectral_norm(layer)
        elif kind == "old_weight_norm":
            torch.nn.utils.weight_norm(layer)
        elif kind == "old_spectral_norm":
            torch.nn.utils.spectral_norm(layer)
        elif kind == "tril":
            parametrize.register_parametrization(layer, "weight", Tril())
        elif kind == "prune":
            prune.l1_unstructured(layer, "weight", 0.3)
        elif kind == "patched":
            layer.forward = lambda x: x @ layer.weight.T * torch.arange(1, len(layer.weight) + 1)
        elif kind == "gradient_hook":
            mask = torch.rand(layer.weight.shape) < 0.5
            layer.weight.register_hook(lambda gradient: gradient * mask)
        elif kind == "kept":
            layer.weight.sum_of_gradients = torch.zeros_like(layer.weight)

    def _inner(self, b: int) -> str:
        return f"(head{b} ov{b})" if b in self.case.attention else f"h{b}"

    def _length(self, dim: str) -> int:
        if dim[0] == "(":
            return HEADS * D_HEAD
        return {"_": 5, "r": self.case.width}.get(dim, self.case.hidden)

    def _tie(self, kind: str, first: str, second: str) -> None:
        a, b = self.layers[first], self.layers[second]
        same = a.weight.shape == b.weight.shape
        if kind == "parameter" and same:
            b.weight = a.weight
        elif kind == "data" and same:
            b.weight.data = a.weight.data
        elif kind == "transposed" and a.weight.T.shape == b.weight.shape:
            b.weight.data = a.weight.data.T
        elif kind == "module" and same:
            self.layers[second] = a
        elif kind == "overlap" and same:
            flat = torch.randn(a.weight.numel() + 1, dtype=F64)
            a.weight.data, b.weight.data = flat[:-1].view(a.weight.shape), flat[1:].view(b.weight.shape)
        elif kind == "expanded":
            b.weight.data = torch.randn(1, b.weight.shape[1], dtype=F64).expand(b.weight.shape)

    def axes(self, layer: str) -> tuple[str, str]:
        """The axes of a layer's outputs and inputs."""
        kind, b = layer[0], layer[1:]
        inner = f"(head{b} qk{b})" if kind in "QK" else self._inner(int(b)) if b else "_"
        return {"E": ("r", "_"), "U": ("_", "r"), "B": ("r", inner), "O": ("r", inner)}.get(kind, (inner, "r"))

    @property
    def heads(self) -> dict[str, str]:
        """Population -> its head axis."""
        return {f"{name}{b}": f"head{b}" for b in self.case.attention for name in ("qk", "ov")}

    @property
    def table(self) -> dict[str, str]:
        """The axes of all parameters and, if ``named``, of what else moves along."""
        found = {}
        for name in [n for n, _ in self.named_parameters(remove_duplicate=not self.case.named)]:
            if name.startswith("layers."):
                rows, columns = self.axes(name.split(".")[1])
                size = name.endswith("weight_g") or (name.endswith("original0"))
                found[name] = f"{rows} _" if size else f"{rows} {columns}"
            elif self.case.named or not name.endswith(".gain"):
                at = self.case.extras[int(name.split(".")[1])][1]
                found[name] = "r" if at < 0 else self._inner(at)
        for name, _ in self.named_buffers() if self.case.named else ():
            if name.endswith(("weight_mask", "_u", "_v")):
                rows, columns = self.axes(name.split(".")[1])
                axes = f"{rows} {columns}" if name.endswith("mask") else rows if name.endswith("_u") else columns
                if axes != "_":
                    found[name] = axes
            elif name.endswith(".mask"):
                kind, at = self.case.extras[int(name.split(".")[1])]
                if kind not in ("heads", "per_head"):
                    found[name] = "r" if at < 0 else self._inner(at)
        return found

    @property
    def left_out(self) -> list[str]:
        """Parameters that the table does not name."""
        return [n for n, _ in self.named_parameters() if n not in self.table]

    def _extra(self, x: Tensor, population: int) -> Tensor:
        for extra, (_, at) in zip(self.extras, self.case.extras, strict=True):
            x = extra(x) if at == population else x
        return x

    def _at(self, name: str, x: Tensor) -> Tensor:
        return self.layers[name](x.float()).double() if name in self.case.single else self.layers[name](x)

    def forward(self, x: Tensor) -> Tensor:
        r = self._extra(self._at("E", x), -1)
        for b in range(self.case.blocks):
            if b in self.case.attention:  # the examples are tokens
                q, k, v = (self._at(f"{kind}{b}", r).unflatten(-1, (HEADS, D_HEAD)) for kind in "QKV")
                pattern = torch.einsum("shd,thd->hst", q, k).softmax(-1)
                inner, out = torch.einsum("hst,thd->shd", pattern, v).flatten(-2), "O"
            else:
                inner, out = self._at(f"A{b}", r).tanh() * self._at(f"G{b}", r), "B"
            r = r + self._at(f"{out}{b}", self._extra(inner, b))
        return self._at("U", r)
