"""The benchmarks' plain programs compute what the library computes, so that their times are comparable."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from benchmarks.naive import exchange, naive_cost, naive_relocation, naive_step
from benchmarks.plain import PlainTransformer
from bimt_tf import BIMT, MLP, Geometry, RegressionTransformer

WIDTH, LAYER_GAP = 2.0, 0.5


def tiny(n_heads: int, **sizes: int) -> RegressionTransformer:
    given = dict(d_in=3, d_out=2, d_model=8, n_layers=2, n_heads=n_heads, d_mlp=12, n_ctx=3) | sizes
    return RegressionTransformer(**given, act_fn="gelu_new", seed=1, dtype=torch.float64)


def mlp() -> MLP:
    return MLP([4, 7, 6, 2], seed=1, dtype=torch.float64)


def bimt_of(model: RegressionTransformer | MLP) -> BIMT:
    return BIMT(model, Geometry(WIDTH, LAYER_GAP), reduction="mean")


MODELS = pytest.mark.parametrize("model", [partial(tiny, 1), partial(tiny, 4), mlp], ids=["1 head", "4 heads", "mlp"])


@MODELS
def test_naive_cost_is_the_librarys(model):
    model = model()
    expected = bimt_of(model).cost()
    assert naive_cost(model, WIDTH, LAYER_GAP).item() == pytest.approx(expected.item(), rel=1e-12)
    kept = {}
    for _ in range(2):
        assert naive_cost(model, WIDTH, LAYER_GAP, kept).item() == pytest.approx(expected.item(), rel=1e-12)
    assert kept


@MODELS
def test_naive_cost_has_the_gradient_the_library_adds(model):
    model = model()
    naive_cost(model, WIDTH, LAYER_GAP).backward()
    autograd = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    bimt_of(model).add_cost_grad_(1.0)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, autograd[name], rtol=1e-12, atol=1e-15)


def test_exchange_moves_both_rows():
    tensor = torch.arange(6.0).reshape(3, 2)
    exchange(tensor, 0, 0, 2)
    assert tensor.tolist() == [[4, 5], [2, 3], [0, 1]]


@pytest.mark.parametrize(("n_heads", "top_k"), [(1, 3), (1, 30), (2, 5), (4, 3), (4, 30), (None, 3), (None, 30)])
def test_naive_relocation_ends_where_the_greedy_swap_ends(n_heads, top_k):
    model = tiny(n_heads, d_head=3) if n_heads else mlp()
    bimt = bimt_of(model)
    report = bimt.swap("greedy", top_k=top_k)
    relocated = copy.deepcopy(model)
    naive = naive_relocation(relocated, top_k, WIDTH, LAYER_GAP)
    assert naive.measured == naive.total > 0
    assert naive.cost_before == pytest.approx(report.cost_before, rel=1e-12)
    assert naive.cost_after == pytest.approx(report.cost_after, abs=1e-9)
    assert naive.cost_after < naive.cost_before
    assert bimt_of(relocated).cost().item() == pytest.approx(naive.cost_after, rel=1e-12)
    for name, order in naive.order.items():
        assert order == bimt.layout.order(name).tolist(), name


@pytest.mark.parametrize("n_heads", [1, 4])
def test_naive_relocation_preserves_the_function(n_heads):
    model = tiny(n_heads)
    x = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = model(x)
    order = naive_relocation(model, 4, WIDTH, LAYER_GAP).order
    torch.testing.assert_close(model(x[..., order["input"]]), before[..., order["output"]], rtol=1e-12, atol=1e-12)


def test_naive_relocation_stops_at_its_limit_and_says_so():
    model = tiny(1)
    naive = naive_relocation(model, 4, WIDTH, LAYER_GAP, limit=7)
    assert naive.measured == 7 < naive.total


def test_exact_swap_ends_no_higher_than_the_naive_relocation():
    model = tiny(4)
    after = bimt_of(model).swap().cost_after
    assert after <= naive_relocation(model, 30, WIDTH, LAYER_GAP).cost_after + 1e-12


def test_naive_step_is_the_librarys_step():
    models = [tiny(1) for _ in range(2)]
    x = torch.randn(4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = x[:, :2, 0]

    def loss(model):
        return (model(x)[:, [0, 2], 0] - target).square().mean()

    plain, ours = (torch.optim.AdamW(m.parameters(), lr=1e-2, weight_decay=0.0) for m in models)
    bimt = bimt_of(models[1])
    for _ in range(5):
        naive_step(models[0], plain, partial(loss, models[0]), 0.1, WIDTH, LAYER_GAP)
        ours.zero_grad()
        loss(models[1]).backward()
        bimt.add_cost_grad_(0.1)
        ours.step()
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("n_heads", [1, 4])
def test_plain_transformer_is_the_regression_transformer(n_heads):
    model = tiny(n_heads, d_head=3)
    x = torch.randn(5, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(PlainTransformer(model)(x), model(x), rtol=1e-12, atol=1e-12)


def test_plain_transformer_refuses_another_activation():
    with pytest.raises(ValueError, match="relu"):
        PlainTransformer(RegressionTransformer(act_fn="relu"))


@pytest.mark.parametrize("method", ["without", "gradient", "proximal"])
def test_the_trainers_step_is_the_step_through_bimts_methods(method):
    from benchmarks import speed

    models = [speed.model() for _ in range(2)]
    steps = [speed.library_step(models[0], method, False), speed.trainers_step(models[1], method, False)]
    for step in steps:
        for _ in range(5):
            step()
    before = speed.model()
    for a, b, c in zip(*(m.parameters() for m in (*models, before)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
        assert not torch.equal(a, c)


def test_speed_sides_take_turns():
    from benchmarks.speed import take_turns

    calls: list[str] = []
    timing = take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, turns=2, calls=1)
    assert calls == ["a"] * 3 + ["b"] * 3 + ["a", "b", "b", "a"]
    assert [len(turns) for turns in timing.seconds.values()] == [2, 2]
    assert timing.ratio("a", "b")[0] > 0


@pytest.mark.parametrize(("met", "said"), [(True, "yes"), (False, "no"), (None, "")])
def test_speed_table_says_whether_a_target_is_met(met, said):
    from benchmarks.speed import Row, line

    cells = [cell.strip() for cell in line(Row("what", 2.5, "x", ">= 2", met, "how")).split("|")]
    assert cells == ["", "what", "2.50 x", ">= 2", said, "how", ""]


@pytest.mark.parametrize("sparse", [False, True])
def test_wide_tables_have_something_to_gain(sparse):
    from scipy.optimize import linear_sum_assignment

    from benchmarks.gpt2 import table

    cost = table(64, sparse)
    rows, best = linear_sum_assignment(cost)
    assert cost.shape == (64, 64) and cost[rows, best].sum() < 0.999 * cost.trace()


def test_the_gpt2_table_says_whether_a_target_is_met():
    from benchmarks.gpt2 import Row, line

    assert line(Row("a", "1 s")) == "| a | 1 s |  |  |"
    assert line(Row("a", "1 s", "2 s", True)) == "| a | 1 s | 2 s | yes |"
    assert line(Row("a", "3 s", "2 s", False)) == "| a | 3 s | 2 s | **no** |"
