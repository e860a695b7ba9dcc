"""bake_ looks at what it did: outputs on a batch, everything back if they moved, and where it went wrong."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bimt_tf import BIMT, MLP, Layout, RegressionTransformer, TokenMLP, Wiring
from bimt_tf.core.outputs import compare, outputs, quietly, tolerance_of
from bimt_tf.errors import InputError

F64 = torch.float64
TABLE = {
    "a.weight": "h input",
    "a.bias": "h",
    "b.weight": "k h",
    "b.bias": "k",
    "c.weight": "output k",
    "c.bias": "output",
}


class Chain(nn.Module):
    """Three layers; ``by_number``: what the second one's outputs are multiplied with, in code that no tensor shows."""

    def __init__(self, by_number: bool = True, n: int = 5) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.a, self.b, self.c = nn.Linear(3, n), nn.Linear(n, n), nn.Linear(n, 2)
        self.double()
        self.by_number = by_number

    def forward(self, x: Tensor) -> Tensor:
        h = self.b(self.a(x).relu())
        return self.c((h * torch.arange(1, h.shape[-1] + 1) if self.by_number else h).tanh())


def shuffled(net: nn.Module, seed: int = 0, **options: object) -> BIMT:
    bimt = BIMT(net, wiring=Wiring.from_table(TABLE, net, unbakeable=["input", "output"], **options))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
    return bimt


def batch() -> Tensor:
    return torch.randn(6, 3, dtype=F64, generator=torch.Generator().manual_seed(0))


def everything(net: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    grads = [p.grad for p in net.parameters()]
    states = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, Tensor)]
    return [t.clone() for t in (*net.state_dict().values(), *grads, *states)]


def test_outputs_that_move_put_everything_back_in_every_bit_and_say_where():
    net = Chain()
    bimt, optimizer = shuffled(net), torch.optim.Adam(net.parameters())
    net(batch()).sum().backward()
    optimizer.step()
    before, layout = everything(net, optimizer), bimt.layout
    with pytest.raises(InputError) as error:
        bimt.bake_(optimizer, check=batch())
    line = str(error.value)
    assert "bake_ moved 'output' by " in line and "part first at 'c'" in line and len(line) <= 600
    assert "The order of 'k' counts" in line and "holding(['k'])" in line  # and h, which is right, is not blamed
    assert bimt.layout == layout
    assert all(torch.equal(a, b) for a, b in zip(before, everything(net, optimizer), strict=True))
    out = net(batch())
    held = BIMT(net, wiring=bimt.wiring.holding(["k"]), layout=bimt.layout)  # the advice
    assert set(held.bake_(optimizer, check=batch())) == {"h"}
    torch.testing.assert_close(net(batch()), out, rtol=1e-12, atol=1e-12)
    assert held.wiring.unbaked["k"] == "its order"


def test_a_right_bake_passes_and_without_a_check_nothing_is_seen():
    net = Chain(by_number=False)
    out = net(batch())
    assert set(shuffled(net).bake_(check=batch())) == {"h", "k"}
    torch.testing.assert_close(net(batch()), out, rtol=1e-12, atol=1e-12)
    wrong = Chain()
    out = wrong(batch())
    shuffled(wrong).bake_(check=False)
    assert (wrong(batch()) - out).abs().max() > 0.01 * out.abs().max()


class Crashes(Chain):
    """Fails in its second forward pass."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == 2:
            raise KeyboardInterrupt
        return super().forward(x)


def test_an_interrupted_check_leaves_everything_as_it_was():
    net = Crashes(by_number=False)
    bimt = shuffled(net)
    before, layout = copy.deepcopy(net.state_dict()), bimt.layout
    with pytest.raises(KeyboardInterrupt):
        bimt.bake_(check=batch())
    assert bimt.layout == layout and all(torch.equal(t, before[n]) for n, t in net.state_dict().items())


class Noise(Chain):
    """Draws in every forward pass, from a generator of its own."""

    def forward(self, x: Tensor) -> Tensor:
        self.generator = getattr(self, "generator", torch.Generator().manual_seed(0))
        return super().forward(x) + torch.randn(1, generator=self.generator)


class Strange(nn.Module):
    """What a chain makes of its output: several tensors, or none to compare."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.net = Chain()
        self.how = how

    def forward(self, x: Tensor) -> object:
        y = self.net(x)
        some = {"dict": {"good": x.sum(), "bad": [y, y]}, "tuple": (x, {"y": y}), "nan": y * torch.nan, "none": None}
        return some[self.how]


@pytest.mark.parametrize(("how", "name"), [("dict", r"bad\[0\]"), ("tuple", r"\[1\].y")])
def test_every_tensor_of_the_output_is_compared_by_its_place(how, name):
    net = Strange(how)
    table = {f"net.{n}": axes for n, axes in TABLE.items()}
    bimt = BIMT(net, wiring=Wiring.from_table(table, net, unbakeable=["input", "output"]))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match=f"bake_ moved '{name}' by"):
        bimt.bake_(check=(batch(),))
    with pytest.raises(InputError, match=f"bake_ moved '{name}' by"):
        bimt.bake_(check={"x": batch()})


@pytest.mark.parametrize("how", ["nan", "none"])
def test_outputs_that_say_nothing_are_refused(how):
    net = Strange(how)
    table = {f"net.{n}": axes for n, axes in TABLE.items()}
    with pytest.raises(InputError, match="hold no finite numbers to compare"):
        BIMT(net, wiring=Wiring.from_table(table, net)).bake_(check=batch())


def test_outputs_that_are_not_reproducible_are_refused_and_a_bad_batch_too():
    bimt = shuffled(Noise(by_number=False))
    before = copy.deepcopy(bimt.model.state_dict())
    with pytest.raises(InputError, match="gives other outputs each time"):
        bimt.bake_(check=batch())
    assert all(torch.equal(t, before[n]) for n, t in bimt.model.state_dict().items())
    with pytest.raises(InputError, match=r"does not take the batch of bake_\(check=...\) \(RuntimeError: "):
        shuffled(Chain()).bake_(check=torch.zeros(2, 7, dtype=F64))
    with pytest.raises(InputError, match=r"no batch can be made for a Chain: give one, bake_\(check=batch\)"):
        shuffled(Chain()).bake_(check=True)
    with pytest.raises(InputError, match="tolerance must be at least 0, found -1"):
        shuffled(Chain()).bake_(check=batch(), tolerance=-1)


def test_a_tolerance_of_ones_own_counts():
    with pytest.raises(InputError, match="bake_ moved"):
        shuffled(Chain(by_number=False)).bake_(check=batch(), tolerance=0.0)
    assert shuffled(Chain()).bake_(check=batch(), tolerance=1e6)


class Random(nn.Module):
    """Dropout and a batch norm: other outputs in training mode, and statistics that a forward pass would change."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.d, self.c = nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 2)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.d(self.n(self.a(x))))


def test_a_check_leaves_modes_statistics_hooks_and_random_numbers_alone():
    net = Random().train()
    net.n.eval()
    axes = {"a.weight": "h _", "a.bias": "h", "n.weight": "h", "n.bias": "h", "c.weight": "_ h", "c.bias": "_"}
    del axes["c.bias"]
    bimt = BIMT(net, wiring=Wiring.from_table(axes, net, left_out=["c.bias"], order_free=["c.bias"]))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(2))
    modes, rng, mean = [m.training for m in net.modules()], torch.random.get_rng_state(), net.n.running_mean.clone()
    orders = bimt.bake_(check=batch())
    assert [m.training for m in net.modules()] == modes and torch.equal(torch.random.get_rng_state(), rng)
    assert torch.equal(net.n.running_mean, mean[orders["h"]])
    assert not any(m._forward_hooks for m in net.modules())


@pytest.mark.parametrize(
    "net",
    [
        RegressionTransformer(d_model=6, n_heads=2, d_head=3, seed=0),
        MLP([3, 5, 2]),
        TokenMLP(7, 4, 2, [5, 7]),
        nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)).half(),
    ],
    ids=lambda net: type(net).__name__,
)
def test_known_models_are_checked_without_being_asked(net, monkeypatch):
    seen = []
    monkeypatch.setattr("bimt_tf.core.checked_bake.compare", lambda *a: seen.append(a) or compare(*a))
    for check in (None, True):
        bimt = BIMT(net)
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(2))
        assert bimt.bake_(check=check)
    assert len(seen) == 2
    bimt.bake_(check=False)
    assert len(seen) == 2


def test_tolerances_are_those_documented():
    assert [tolerance_of(d) for d in (F64, torch.float32, torch.float16, torch.bfloat16)] == pytest.approx(
        [1e-5, 3.45e-4, 3.125e-2, 8.84e-2], rel=1e-2
    )


def test_masked_places_and_whole_numbers_must_stay():
    low = torch.finfo(torch.float32).min
    before = {"y": torch.tensor([1.0, -torch.inf, low, torch.nan]), "n": torch.tensor([1, 2])}
    assert compare(before, {k: v.clone() for k, v in before.items()}, None) is None
    moved = compare(before, before | {"y": torch.tensor([-torch.inf, 1.0, low, torch.nan])}, 1e9)
    assert moved is not None and moved.name == "y"
    assert compare(before, before | {"n": torch.tensor([2, 1])}, 1e9).name == "n"
    assert compare(before, {"y": before["y"]}, None).name == "n"
    near = before | {"y": torch.tensor([1.0 + 1e-5, -torch.inf, low, torch.nan])}
    assert compare(before, near, None) is None and compare(before, near, 1e-7) is not None


def test_fields_that_show_neurons_in_their_order_are_not_compared():
    class Hidden(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": x, "hidden_states": (x,), "past_key_values": x}

    with quietly(net := Hidden()):
        assert set(outputs(net, batch())) == {"logits"}
