"""A small model's penalty on one vector: the bits of the same penalty taken parameter by parameter."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import nn

from bimt_tf import BIMT, MLP, RegressionTransformer
from bimt_tf.core import bundle, cost
from bimt_tf.core.layout import Layout

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=1e-2),
    "fused adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=1e-2, fused=True),
    "two groups": lambda model: torch.optim.Adam(
        [{"params": [p for p in model.parameters() if p.ndim > 1]},
         {"params": [p for p in model.parameters() if p.ndim < 2], "lr": 3e-2, "eps": 1e-4}], lr=1e-2
    ),
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9),
}  # fmt: skip


def mlp(dtype: torch.dtype = torch.float32, size: int = 9) -> MLP:
    return MLP([3, size, size, 2], "silu", seed=0, dtype=dtype)


def transformer(dtype: torch.dtype = torch.float32) -> RegressionTransformer:
    return RegressionTransformer(2, 2, 8, 2, 2, 12, 3, seed=0, dtype=dtype)


def train(model: nn.Module, kind: str, penalty: str, bundled: bool, between: Callable[[BIMT, int], None]) -> BIMT:
    """Eight steps with the penalty, through BIMT's methods or parameter by parameter."""
    bimt = BIMT(model, layout=Layout.random(BIMT(model).wiring, torch.Generator().manual_seed(1)))
    optimizer = OPTIMIZERS[kind](model)
    shape = (5, 3) if isinstance(model, MLP) else (5, 3, 2)
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(2), dtype=next(model.parameters()).dtype)
    for step in range(8):
        optimizer.zero_grad(set_to_none=step % 2 == 0)
        model(x).square().sum().backward()
        if penalty == "gradient":
            if bundled:
                bimt.add_cost_grad_(0.3)
            else:
                cost.add_gradient_(bimt._weights(), 0.3)
            optimizer.step()
        elif bundled:
            bimt.step_(optimizer, 0.3)
        else:
            optimizer.step()
            cost.shrink_(bimt._weights(), 0.3, optimizer)
        between(bimt, step)
    return bimt


def nothing(bimt: BIMT, step: int) -> None:
    pass


def swapped(bimt: BIMT, step: int) -> None:
    if step == 3:
        assert bimt.swap().moved


def moved(bimt: BIMT, step: int) -> None:
    """The weights lie elsewhere, as after a model was moved to a device and back."""
    if step == 3:
        for p in bimt.model.parameters():
            p.data = p.data.clone()


def frozen(bimt: BIMT, step: int) -> None:
    if step == 3:
        next(iter(bimt.charged.values())).requires_grad_(False)


def transposed(bimt: BIMT, step: int) -> None:
    """A weight that is not contiguous: no bundle, and the same step all the same."""
    if step == 3:
        weight = next(p for p in bimt.charged.values() if p.ndim > 1)
        weight.data = weight.data.T.contiguous().T


def turned(bimt: BIMT, step: int) -> None:
    """A square weight is turned on the memory that it has."""
    if step == 3:
        for p in bimt.charged.values():
            if p.ndim > 1 and p.shape[0] == p.shape[1]:
                p.data = p.data.T


@pytest.mark.parametrize("between", [nothing, swapped, moved, frozen, transposed, turned])
@pytest.mark.parametrize("penalty", ["gradient", "proximal"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize(
    "make", [mlp, lambda: mlp(torch.float64), transformer, lambda: mlp(size=140)], ids=["mlp", "f64", "tf", "long"]
)
def test_the_bits_are_those_of_each_parameter_by_itself(make, kind, penalty, between):
    one, other = (train(make(), kind, penalty, bundled, between) for bundled in (True, False))
    bundles = [kept for _, kept in one._charged.bundles._kept.values() if kept is not None]
    if between not in (transposed, turned):
        assert bool(bundles) == (kind != "sgd" or penalty == "gradient")
    assert one.layout == other.layout
    for (name, p), q in zip(one.parameters.items(), other.parameters.values(), strict=True):
        assert torch.equal(p, q), name
    if penalty == "proximal" and kind != "sgd":
        assert any((p == 0).any() for p in one.charged.values())


def test_parameters_that_took_other_numbers_of_steps_are_thresholded_apart():
    def run(bundled: bool) -> MLP:
        model = mlp()
        bimt, optimizer = BIMT(model), torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(5):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            if step == 2:
                model.layers[0].weight.grad = None  # Adam leaves it out
            optimizer.step()
            cost.shrink_(bimt._weights(), 0.3, optimizer, bimt._charged.bundles if bundled else None)
        return model

    for p, q in zip(run(True).parameters(), run(False).parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_moment_of_zero_without_an_eps_is_divided_by_in_silence_as_torch_does():
    def run(bundled: bool) -> MLP:
        model = mlp()
        bimt, optimizer = BIMT(model), torch.optim.Adam(model.parameters(), lr=1e-2, eps=0.0)
        model(torch.tensor([[1.0, 0.0, 1.0]])).square().sum().backward()  # nothing flows from the second input
        optimizer.step()
        cost.shrink_(bimt._weights(), 0.3, optimizer, bimt._charged.bundles if bundled else None)
        return model

    for p, q in zip(run(True).parameters(), run(False).parameters(), strict=True):
        assert torch.equal(p.nan_to_num(), q.nan_to_num()) and torch.equal(p.isnan(), q.isnan())


def test_a_state_that_was_loaded_is_the_one_that_counts():
    model = mlp()
    bimt, optimizer = BIMT(model), torch.optim.Adam(model.parameters(), lr=1e-2)

    def step() -> None:
        optimizer.zero_grad()
        model(torch.ones(2, 3)).square().sum().backward()
        bimt.step_(optimizer, 0.3)

    step()
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
    step()
    expected = copy.deepcopy(model.state_dict())
    for _ in range(3):
        step()
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    step()
    assert all(torch.equal(p, expected[name]) for name, p in model.state_dict().items())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copys_step_leaves_the_first_model_alone(copied):
    bimt = train(mlp(), "adam", "gradient", True, nothing)
    before = copy.deepcopy(bimt.model.state_dict())
    other = copied(bimt)
    optimizer = torch.optim.Adam(other.model.parameters(), lr=1e-2)
    optimizer.zero_grad()
    other.model(torch.ones(2, 3)).square().sum().backward()
    other.step_(optimizer, 0.3)
    assert all(torch.equal(p, before[name]) for name, p in bimt.model.state_dict().items())
    assert not torch.equal(next(other.model.parameters()), next(bimt.model.parameters()))


def test_large_models_and_half_precision_have_no_bundle(monkeypatch):
    for dtype, most in ((torch.bfloat16, bundle.MOST), (torch.float32, 10)):
        monkeypatch.setattr(bundle, "MOST", most)
        bimt = BIMT(mlp(dtype))
        for p in bimt.charged.values():
            p.grad = torch.zeros_like(p)
        bimt.add_cost_grad_(0.1)
        assert [kept for _, kept in bimt._charged.bundles._kept.values()] == [None]


def test_few_bundles_are_kept():
    bimt = BIMT(mlp())
    for _ in range(3 * bundle.KEPT):
        for p in bimt.charged.values():
            p.data = p.data.clone()
        bimt.add_cost_grad_(0.1)
    assert len(bimt._charged.bundles._kept) == 1
    named = list(bimt.charged.values())
    for i in range(3 * bundle.KEPT):
        bimt._charged.bundles.of(named[i % 6 :], [torch.ones_like(p) for p in named[i % 6 :]])
    assert len(bimt._charged.bundles._kept) <= bundle.KEPT


def _turn(model: MLP, moments: dict[str, torch.Tensor]) -> None:
    model.layers[1].weight.data = model.layers[1].weight.data.T  # the same memory and shape, other axes


def _move_moments(model: MLP, moments: dict[str, torch.Tensor]) -> None:
    moments["exp_avg_sq"].data = 4 * moments["exp_avg_sq"].data  # the same tensor on other memory


@pytest.mark.parametrize("change", [_turn, _move_moments])
def test_what_takes_other_memory_under_the_same_name_is_seen(change):
    def run(bundled: bool) -> MLP:
        model = mlp()
        bimt, optimizer = BIMT(model), torch.optim.Adam(model.parameters(), lr=1e-2)
        for step in range(6):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            cost.shrink_(bimt._weights(), 0.3, optimizer, bimt._charged.bundles if bundled else None)
            if step == 3:
                change(model, optimizer.state[model.layers[1].weight])
        return model

    for p, q in zip(run(True).parameters(), run(False).parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_moments_and_weights_that_diverged_warn_of_nothing(eps):
    def run(bundled: bool) -> MLP:
        model = mlp()
        bimt, optimizer = BIMT(model), torch.optim.Adam(model.parameters(), lr=1e-2, eps=eps)
        model(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
        with torch.no_grad():
            optimizer.state[model.layers[0].weight]["exp_avg_sq"][0] = torch.tensor([0.0, 3e38, torch.inf])
            model.layers[0].weight[1, 0], model.layers[0].weight[2, 0] = torch.inf, torch.nan
        cost.shrink_(bimt._weights(), 0.3, optimizer, bimt._charged.bundles if bundled else None)
        return model

    for p, q in zip(run(True).parameters(), run(False).parameters(), strict=True):
        assert torch.equal(p.nan_to_num(7.0), q.nan_to_num(7.0))
