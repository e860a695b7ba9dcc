"""The connection cost, its gradient and the proximal step, against loops written from Eqs. 3 and 4."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import Space, loop_cost, loop_gradient, mlp_wires, transformer_wires
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import bimt_tf.core.charged
from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, wire
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

F64 = torch.float64


def transformer(**kwargs: object) -> RegressionTransformer:
    sizes = dict(d_in=2, d_out=3, d_model=4, n_layers=1, n_heads=2, d_head=2, d_mlp=3, seed=1, dtype=F64)
    return RegressionTransformer(**(sizes | kwargs))


def bimt_of(model: nn.Module, space: Space, seed: int = 0) -> BIMT:
    geometry = Geometry(space.width, space.gap, space.norm, space.shapes)
    bimt = BIMT(model, geometry, wire(model).distance_free(space.distance_free), reduction=space.reduction)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
    return bimt


def slots(bimt: BIMT) -> dict[str, list[int]]:
    return {name: s.tolist() for name, s in bimt.layout.slots.items()}


SPACES = [
    Space(),
    Space(norm="l2"),
    Space(reduction="sum"),
    Space(1.3, 0.1, "l2", {}, "sum"),
    Space(width=0.0),
    Space(gap=0.0),
    Space(shapes={"residual": "grid", "output": "ring"}),
    Space(1.0, 0.2, "l2", {"residual": "ring", "input": (2, 1), "blocks.0.mlp": torch.rand(3, 3)}, "sum"),
    Space(1.0, 0.2, "l2", {"residual": "grid"}, "mean", ("unembed.W_U", "blocks.0.attn.W_V", "blocks.0.mlp.W_in")),
]


@pytest.mark.parametrize("space", SPACES, ids=range(len(SPACES)))
def test_transformer_cost_equals_the_loop(space):
    model = transformer()
    bimt = bimt_of(model, space, seed=5)
    expected = loop_cost(transformer_wires(model), slots(bimt), space)
    assert bimt.cost().item() == pytest.approx(expected, rel=1e-12)


@given(
    st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(1, 4),
    st.sampled_from(["l1", "l2"]), st.sampled_from(["sum", "mean"]), st.integers(0, 99),
)  # fmt: skip
def test_transformer_cost_equals_the_loop_for_any_size(d_model, heads, d_head, layers, d_mlp, norm, reduction, seed):
    model = transformer(d_model=d_model, n_heads=heads, d_head=d_head, n_layers=layers, d_mlp=d_mlp, seed=seed)
    space = Space(1.5, 0.3, norm, {}, reduction)
    bimt = bimt_of(model, space, seed)
    expected = loop_cost(transformer_wires(model), slots(bimt), space)
    assert bimt.cost().item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("space", [*SPACES[:5], Space(distance_free=("layers.2.weight",))], ids=range(6))
def test_mlp_cost_equals_the_loop(space):
    model = MLP(sizes=[2, 5, 4, 1], seed=3, dtype=F64)
    bimt = bimt_of(model, space, seed=2)
    expected = loop_cost(mlp_wires(model), slots(bimt), space)
    assert bimt.cost().item() == pytest.approx(expected, rel=1e-12)


def test_mean_fuses_q_k_v_and_averages_biases_apart():
    model = transformer()
    for p in model.parameters():
        nn.init.zeros_(p)
    attn = model.blocks[0].attn
    bimt = BIMT(model, Geometry(width=0.0, layer_gap=0.5), reduction="mean")
    with torch.no_grad():
        attn.W_K[0, 0, 0] = -6.0
    assert bimt.cost().item() == pytest.approx(0.5 * 6 / (3 * attn.W_K.numel()), rel=1e-12)
    with torch.no_grad():
        attn.W_K[0, 0, 0] = 0.0
        attn.b_V[1, 1] = 6.0
    assert bimt.cost().item() == pytest.approx(0.5 * 6 / (3 * attn.b_V.numel()), rel=1e-12)
    with torch.no_grad():
        attn.b_V[1, 1] = 0.0
        attn.W_O[1, 1, 1] = 6.0
    assert bimt.cost().item() == pytest.approx(0.5 * 6 / attn.W_O.numel(), rel=1e-12)


def test_zero_width_is_plain_l1():
    model = transformer()
    bimt = bimt_of(model, Space(width=0.0, gap=1.0, reduction="sum"))
    assert bimt.cost().item() == pytest.approx(sum(p.abs().sum().item() for p in model.parameters()), rel=1e-12)


@pytest.mark.parametrize("space", SPACES, ids=range(len(SPACES)))
def test_gradient_equals_autograd_and_the_loop(space):
    model = transformer()
    bimt = bimt_of(model, space, seed=7)
    expected = loop_gradient(model, transformer_wires(model), slots(bimt), space)
    (0.3 * bimt.cost()).backward()
    by_autograd = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    bimt.add_cost_grad_(0.3)
    assert sum(np.abs(g).sum() for g in expected.values()) > 0
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), 0.3 * expected[name], rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(by_autograd[name], p.grad, rtol=1e-12, atol=1e-15)


def test_gradient_equals_finite_differences():
    model = transformer()
    bimt = bimt_of(model, Space(norm="l2", reduction="sum"), seed=7)
    bimt.cost().backward()
    h = 1e-6
    for p in model.parameters():
        index = tuple(0 for _ in p.shape)
        with torch.no_grad():
            assert abs(p[index]) > 2 * h
            p[index] += h
            above = bimt.cost().item()
            p[index] -= 2 * h
            below = bimt.cost().item()
            p[index] += h
        assert p.grad[index].item() == pytest.approx((above - below) / (2 * h), rel=1e-6)


def test_add_cost_grad_adds_to_a_gradient_that_is_there():
    model = MLP([2, 3, 1], dtype=F64)
    bimt = BIMT(model)
    x = torch.randn(4, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    (model(x).square().mean() + 0.1 * bimt.cost()).backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    model(x).square().mean().backward()
    kept = [p.grad for p in model.parameters()]
    bimt.add_cost_grad_(0.1)
    for p, grad, before in zip(model.parameters(), expected, kept, strict=True):
        assert p.grad is before
        torch.testing.assert_close(p.grad, grad, rtol=1e-12, atol=1e-15)


def test_add_cost_grad_makes_missing_gradients_and_skips_frozen_parameters():
    model = MLP([2, 3, 1], dtype=F64)
    bimt = BIMT(model)
    model.layers[0].weight.requires_grad_(False)
    bimt.add_cost_grad_(0.1)
    assert model.layers[0].weight.grad is None
    for name, p in model.named_parameters():
        if name != "layers.0.weight":
            assert p.grad.abs().min() > 0 and not p.grad.requires_grad
    before = [p.detach().clone() for p in model.parameters()]
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()  # grads are apart in memory
    assert all(not torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True) if p.requires_grad)


def test_the_subgradient_at_zero_is_zero():
    model = MLP([2, 3, 1], dtype=F64)
    nn.init.zeros_(model.layers[0].weight)
    BIMT(model).add_cost_grad_(0.1)
    assert not model.layers[0].weight.grad.any()


@pytest.mark.parametrize("lam", [-0.1, math.nan, math.inf, "0.1"])
def test_bad_lambda_is_refused(lam):
    model = MLP([2, 3, 1])
    bimt = BIMT(model)
    with pytest.raises(InputError, match="lam"):
        bimt.add_cost_grad_(lam)
    with pytest.raises(InputError, match="lam"):
        bimt.shrink_(lam, torch.optim.SGD(model.parameters(), lr=0.1))
    assert all(p.grad is None for p in model.parameters())


OPTIMIZERS = {
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.02, betas=(0.8, 0.9)),
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.03, eps=1e-3),
    "amsgrad": lambda ps: torch.optim.Adam(ps, lr=0.02, amsgrad=True),
    "sgd": lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9),
    "groups": lambda ps: torch.optim.Adam([{"params": ps[:2], "lr": 0.01}, {"params": ps[2:], "lr": 0.04}]),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("lam", [0.0, 0.05, 2.0])
def test_proximal_step_equals_the_loop(make, lam):
    model = MLP([2, 4, 1], seed=4, dtype=F64)
    space = Space(reduction="sum")
    bimt = bimt_of(model, space, seed=1)
    optimizer = make(list(model.parameters()))
    generator = torch.Generator().manual_seed(0)
    zeros = 0
    for _ in range(3):
        x = torch.randn(8, 2, dtype=F64, generator=generator)
        optimizer.zero_grad()
        (model(x) - x[:, :1]).square().mean().backward()
        optimizer.step()
        before = copy.deepcopy(model)
        lengths = loop_gradient(before, mlp_wires(before), slots(bimt), space)
        bimt.shrink_(lam, optimizer)
        for (name, p), old in zip(model.named_parameters(), before.parameters(), strict=True):
            group = next(g for g in optimizer.param_groups if any(q is p for q in g["params"]))
            for index in np.ndindex(tuple(p.shape)):
                w, length = old[index].item(), abs(lengths[name][index])
                t = group["lr"] * lam * length
                state = optimizer.state[p]
                if "exp_avg_sq" in state:
                    v_hat = state["exp_avg_sq"][index].item() / (1 - group["betas"][1] ** state["step"].item())
                    t = min(group["lr"], t / (math.sqrt(v_hat) + group["eps"]))
                expected = math.copysign(max(abs(w) - t, 0.0), w)
                assert p[index].item() == pytest.approx(expected, rel=1e-12, abs=1e-15)
                assert p[index].item() * w >= 0  # no sign is flipped
                assert (p[index].item() == 0.0) == (abs(w) <= t)
                zeros += p[index].item() == 0.0
    assert zeros == 0 if lam == 0 else zeros > 0 or lam < 1


def test_shrink_gives_exact_zeros_and_leaves_frozen_parameters():
    model = MLP([2, 4, 1], seed=4)
    bimt = BIMT(model, reduction="sum")
    model.layers[0].bias.requires_grad_(False)
    kept = model.layers[0].bias.detach().clone()
    bimt.shrink_(10.0, torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0))
    assert torch.equal(model.layers[0].bias, kept)
    assert not model.layers[0].weight.any() and not model.layers[1].weight.any()


def test_shrink_needs_the_optimizer_of_the_model():
    model, other = MLP([2, 4, 1]), MLP([2, 4, 1])
    with pytest.raises(InputError, match="optimizer"):
        BIMT(model).shrink_(0.1, torch.optim.SGD(other.parameters(), lr=0.1))


def test_unknown_reduction_is_refused():
    with pytest.raises(InputError, match=r"'average'.*sum, mean"):
        BIMT(MLP([2, 3, 1]), reduction="average")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision(dtype):
    exact = transformer()
    model = transformer(dtype=dtype)
    cost = bimt_of(model, Space()).cost()
    assert cost.dtype == dtype and torch.isfinite(cost)
    expected = bimt_of(exact, Space()).cost().item()
    assert cost.item() == pytest.approx(expected, rel=1e-5 if dtype == torch.float32 else 0.03)
    bimt_of(model, Space()).add_cost_grad_(0.1)
    assert all(p.grad.dtype == dtype for p in model.parameters())


def test_coefficients_have_the_parameters_shapes_and_give_the_cost():
    model = transformer()
    bimt = bimt_of(model, Space())
    parameters = dict(model.named_parameters())
    coefficients = bimt.coefficients()
    assert set(coefficients) == set(parameters)
    assert all(c.shape == parameters[name].shape for name, c in coefficients.items())
    total = sum((c * parameters[name].abs()).sum().item() for name, c in coefficients.items())
    assert bimt.cost().item() == pytest.approx(total, rel=1e-12)


class Folded(nn.Module):
    """Every kind of axis: heads, query heads on a key head, '_' axes in and out of parentheses, a table, a gain."""

    TABLE = {
        "embed": "_ residual",
        "queries": "(head _ qk) residual",
        "keys": "head residual qk",
        "values": "head ov residual",
        "tokens": "(residual _) hidden",
        "positions": "_ hidden _ residual",
        "bias": "hidden",
        "gain": "residual",
    }

    def __init__(self) -> None:
        super().__init__()
        shapes = {
            "embed": (7, 5), "queries": (12, 5), "keys": (3, 5, 2), "values": (3, 4, 5), "tokens": (10, 6),
            "positions": (2, 6, 3, 5), "bias": (6,), "gain": (5,),
        }  # fmt: skip
        for i, (name, shape) in enumerate(shapes.items()):
            weights = torch.randn(shape, generator=torch.Generator().manual_seed(i), dtype=F64)
            setattr(self, name, nn.Parameter(torch.where(weights.abs() < 0.2, 0.0, weights)))

    def bimt(self, space: Space) -> BIMT:
        heads = {"qk": "head", "ov": "head"}
        rows = [["residual"], ["qk", "ov", "hidden"]]
        wiring = Wiring.from_table(self.TABLE, self, heads=heads, rows=rows, uncharged=["gain"]).distance_free(
            space.distance_free
        )
        layout = Layout.random(wiring, torch.Generator().manual_seed(1))
        return BIMT(self, Geometry(space.width, space.gap, space.norm, space.shapes), wiring, space.reduction, layout)


FOLDED = [
    Space(),
    Space(1.3, 0.1, "l2", {"residual": "ring", "hidden": (2, 3)}, "sum"),
    Space(distance_free=("keys", "tokens")),
]


def worked(block: int | None, act: Callable[[], list[torch.Tensor]]) -> list[torch.Tensor]:
    """What ``act()`` gives with coefficients made for ``block`` entries at a time, with whole ones if it is None."""
    with pytest.MonkeyPatch.context() as patch:
        if block is not None:
            patch.setattr(bimt_tf.core.charged, "KEPT_WHOLE", 0)
            patch.setattr(bimt_tf.core.coefficient, "BLOCK_ENTRIES", block)
        return act()


@pytest.mark.parametrize("space", FOLDED, ids=range(len(FOLDED)))
@pytest.mark.parametrize("block", [1, 4, 11, 10**6])
def test_blocks_give_what_whole_coefficients_give(space, block):
    def cost_and_gradients() -> list[torch.Tensor]:
        model = Folded()
        bimt = model.bimt(space)
        (0.3 * bimt.cost()).backward()
        by_autograd = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        model.zero_grad()
        bimt.add_cost_grad_(0.3)
        bimt.add_cost_grad_(0.1)
        found = [p.grad for p in model.parameters() if p.grad is not None]
        assert len(by_autograd) == len(found) == len(Folded.TABLE) - 1  # the gain pays nothing
        return [bimt.cost().detach(), *by_autograd, *found]

    for found, expected in zip(worked(block, cost_and_gradients), worked(None, cost_and_gradients), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)
        assert found.count_nonzero() == expected.count_nonzero() > 0


@pytest.mark.parametrize("make", [OPTIMIZERS["adamw"], OPTIMIZERS["sgd"], OPTIMIZERS["groups"]])
@pytest.mark.parametrize("block", [1, 7])
def test_the_proximal_step_in_blocks_is_the_whole_one(make, block):
    def step() -> list[torch.Tensor]:
        model = Folded()
        bimt = model.bimt(FOLDED[1])
        optimizer = make(list(model.parameters()))
        for _ in range(2):
            optimizer.zero_grad()
            sum(p.square().sum() for p in model.parameters()).backward()
            optimizer.step()
            bimt.shrink_(0.2, optimizer)
        return [p.detach() for p in model.parameters()]

    for found, expected in zip(worked(block, step), worked(None, step), strict=True):
        assert torch.equal(found, expected)


class Largest(TorchDispatchMode):
    """The largest memory that an operation takes anew, in entries."""

    entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        given = {t.untyped_storage().data_ptr() for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.entries = max(self.entries, tensor.untyped_storage().nbytes() // tensor.element_size())
        return found


@pytest.mark.parametrize("act", ["gradient", "proximal", "cost"])
def test_a_large_models_penalty_takes_no_more_memory_than_a_block(act, monkeypatch):
    model = MLP([40, 60, 50], seed=1)
    bimt = BIMT(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    do = {
        "gradient": lambda: bimt.add_cost_grad_(0.1),
        "proximal": lambda: bimt.shrink_(0.1, optimizer),
        "cost": lambda: bimt.cost(),
    }[act]
    with Largest() as whole:
        do()
    assert whole.entries >= 40 * 60
    monkeypatch.setattr(bimt_tf.core.charged, "KEPT_WHOLE", 0)
    monkeypatch.setattr(bimt_tf.core.coefficient, "BLOCK_ENTRIES", 128)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    with Largest() as blocks:
        do()
    assert 0 < blocks.entries <= 128
