"""Small random networks with what a table of axis strings does not show: shared memory, buffers, code of its own.

    r = E x;   for each block b:  r = r + B_b (tanh(A_b r) * G_b r);   y = U r

A, G: "h_b r", B: "r h_b". Extras stand on r or on an h_b.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

F64 = torch.float64
EXTRAS = ("mask", "constant", "attribute", "list", "half", "gain", "twice", "batchnorm", "int")
KINDS = ("plain", "weight_norm", "spectral_norm", "tril", "subclass", "prune", "patched")
TIES = ("parameter", "data", "transposed", "module", "overlap", "expanded")


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


class ByOrder(nn.Linear):
    """A linear layer that treats its outputs by their number."""

    def forward(self, x: Tensor) -> Tensor:
        made = super().forward(x)
        return made * torch.arange(1, made.shape[-1] + 1, dtype=made.dtype)


class Tril(nn.Module):
    """Keeps the lower triangle of a weight."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.tril() + weight


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
        elif kind == "list":
            self.tables = [values]
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
        if self.kind in ("mask", "int", "constant"):
            return x * self.mask
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
    """The network of a case; ``table`` and ``left_out`` describe it as an honest user would."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        with torch.random.fork_rng():
            torch.manual_seed(case.seed)
            self._make(case)

    def _make(self, case: Case) -> None:
        d, m, kinds = case.width, case.hidden, dict(case.kinds)

        def linear(name: str, n_in: int, n_out: int) -> nn.Linear:
            kind = ByOrder if kinds.get(name) == "subclass" else nn.Linear
            return kind(n_in, n_out, bias=False, dtype=F64)

        self.layers = nn.ModuleDict({"E": linear("E", 5, d), "U": linear("U", d, 5)})
        for b in range(case.blocks):
            for name, n_in, n_out in ((f"A{b}", d, m), (f"G{b}", d, m), (f"B{b}", m, d)):
                self.layers[name] = linear(name, n_in, n_out)
        self.extras = nn.ModuleList([Extra(kind, d if at < 0 else m) for kind, at in case.extras])
        for kind, first, second in case.ties:
            self._tie(kind, first, second)
        for name, kind in case.kinds:
            layer = self.layers[name]
            if kind == "weight_norm":
                parametrizations.weight_norm(layer)
            elif kind == "spectral_norm":
                parametrizations.spectral_norm(layer)
            elif kind == "tril":
                parametrize.register_parametrization(layer, "weight", Tril())
            elif kind == "prune":
                prune.l1_unstructured(layer, "weight", 0.3)
            elif kind == "patched":
                layer.forward = lambda x, w=layer: x @ w.weight.T * torch.arange(1, len(w.weight) + 1)

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

    def axes(self, layer: str) -> str:
        if layer in "EU":
            return "r _" if layer == "E" else "_ r"
        return f"r h{layer[1:]}" if layer[0] == "B" else f"h{layer[1:]} r"

    @property
    def table(self) -> dict[str, str]:
        found = {}
        names = {n for n, _ in self.named_parameters(remove_duplicate=not self.case.named)}
        if self.case.named:
            names |= {n for n, _ in self.named_buffers() if "weight_mask" in n or n.endswith(".mask")}
        for name in sorted(names):
            if name.startswith("layers."):
                axes = self.axes(name.split(".")[1])
                norm = "original0" in name and "original1" in "".join(names)
                found[name] = f"{axes.split()[0]} _" if norm else axes
            else:
                _, i, own = name.split(".")[:3]
                population = self.case.extras[int(i)][1]
                if own != "gain" or self.case.named:
                    found[name] = "r" if population < 0 else f"h{population}"
        return found

    @property
    def left_out(self) -> list[str]:
        return [n for n, _ in self.named_parameters() if n.endswith(".gain") and not self.case.named]

    def _extra(self, x: Tensor, population: int) -> Tensor:
        for extra, (_, at) in zip(self.extras, self.case.extras, strict=True):
            x = extra(x) if at == population else x
        return x

    def forward(self, x: Tensor) -> Tensor:
        of = self.layers
        r = self._extra(of["E"](x), -1)
        for b in range(self.case.blocks):
            r = r + of[f"B{b}"](self._extra(of[f"A{b}"](r).tanh() * of[f"G{b}"](r), b))
        return of["U"](r)
