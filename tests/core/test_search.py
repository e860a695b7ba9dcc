"""The search for a better layout, against brute force and against the paper's Step 3 with full recomputation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Space, best_cost, greedy, loop_cost, mlp_wires, transformer_wires
from scipy.optimize import linear_sum_assignment
from torch import nn

from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, wire
from bimt_tf.core.search import SwapReport
from bimt_tf.errors import InputError

F64 = torch.float64


def start(model: nn.Module, space: Space, seed: int, fixed: tuple[str, ...] = ()) -> BIMT:
    """BIMT on a random layout; the fixed populations are placed at random too, and then held."""
    layout = Layout.random(wire(model), torch.Generator().manual_seed(seed))
    geometry = Geometry(space.width, space.gap, space.norm, space.shapes)
    return BIMT(model, geometry, wire(model, fixed).distance_free(space.distance_free), space.reduction, layout)


def slots(bimt: BIMT) -> dict[str, list[int]]:
    return {name: s.tolist() for name, s in bimt.layout.slots.items()}


def wires(model: nn.Module) -> list:
    return mlp_wires(model) if isinstance(model, MLP) else transformer_wires(model)


def transformer(**kwargs: object) -> RegressionTransformer:
    sizes = dict(d_in=2, d_out=2, d_model=4, n_layers=1, n_heads=2, d_head=3, d_mlp=4, dtype=F64)
    return RegressionTransformer(**(sizes | kwargs))


@settings(max_examples=12)
@given(
    st.integers(1, 4), st.integers(2, 5), st.sampled_from(["l1", "l2"]), st.sampled_from(["sum", "mean"]),
    st.sampled_from([(), ("layers.1.weight",)]),
)  # fmt: skip
def test_assignment_of_one_population_equals_brute_force(outside, size, norm, reduction, distance_free):
    model = MLP([outside, size, 3], seed=size, dtype=F64)
    space = Space(1.5, 0.2, norm, {}, reduction, distance_free)
    bimt = start(model, space, seed=outside, fixed=("input", "output"))
    best = best_cost(wires(model), slots(bimt), space, ["hidden0"], 1)
    report = bimt.swap()
    assert report.cost_after == pytest.approx(best, rel=1e-12)
    assert loop_cost(wires(model), slots(bimt), space) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(("heads", "d_head"), [(1, 4), (2, 2), (3, 1), (4, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("priced", [False, True])
def test_assignment_of_heads_equals_brute_force(heads, d_head, priced, monkeypatch):
    if priced:
        monkeypatch.setattr("bimt_tf.core.linear_assignment.PRICED", 2)
    model = transformer(n_heads=heads, d_head=d_head, d_model=2, d_mlp=1, d_in=1, d_out=1, seed=heads)
    populations = wire(model).populations
    fixed = tuple(name for name, p in populations.items() if p.head_axis is None)
    space = Space()
    bimt = start(model, space, seed=d_head, fixed=fixed)
    before = loop_cost(wires(model), slots(bimt), space)
    best = best_cost(wires(model), slots(bimt), space, ["blocks.0.qk", "blocks.0.ov"], heads)
    report = bimt.swap()
    assert report.cost_before == pytest.approx(before, rel=1e-12)
    assert report.cost_after == pytest.approx(best, rel=1e-12)
    assert loop_cost(wires(model), slots(bimt), space) == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("live", [0, 1, 20, 45, 60])
@pytest.mark.parametrize("size", [60, 130])
def test_large_populations_are_placed_exactly(live, size, monkeypatch):
    """Large problems are solved at approximate prices; the solution is SciPy's optimum all the same."""
    monkeypatch.setattr("bimt_tf.core.linear_assignment.PRICED", 2)
    model = MLP([9, size, 7], seed=live, dtype=F64)
    with torch.no_grad():  # the dead neurons of a sparse network, some of them still with a bias
        model.layers[0].weight[live:] = 0.0
        model.layers[1].weight[:, live:] = 0.0
        model.layers[1].weight[torch.rand(7, size, generator=torch.Generator().manual_seed(live)) < 0.8] = 0.0
    bimt = start(model, Space(), seed=1, fixed=("input", "output"))
    placement, own = bimt.placement(), {name: s.numpy() for name, s in bimt.layout.slots.items()}
    table = placement.table("hidden0", own)
    rows, columns = linear_sum_assignment(table)
    before = table[rows, own["hidden0"]].sum()
    report = bimt.swap()
    assert report.cost_before - report.cost_after == pytest.approx(
        before - table[rows, columns].sum(), rel=1e-11, abs=1e-14
    )
    assert sorted(slots(bimt)["hidden0"]) == list(range(size))
    assert bimt.swap().moved == 0


def test_assignment_of_the_residual_stream_equals_brute_force():
    model = transformer(d_model=5, n_layers=2, d_mlp=2, d_head=1)
    names = tuple(name for name in wire(model).populations if name != "residual")
    bimt = start(model, Space(), seed=3, fixed=names)
    best = best_cost(wires(model), slots(bimt), Space(), ["residual"], 1)
    assert bimt.swap().cost_after == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("method", ["assignment", "greedy"])
@given(
    heads=st.integers(1, 4), d_head=st.integers(1, 3), d_model=st.integers(1, 5), layers=st.integers(1, 2),
    norm=st.sampled_from(["l1", "l2"]), seed=st.integers(0, 999),
)  # fmt: skip
def test_swaps_lower_the_cost_as_reported_and_never_mix_heads(method, heads, d_head, d_model, layers, norm, seed):
    model = transformer(n_heads=heads, d_head=d_head, d_model=d_model, n_layers=layers, seed=seed)
    bimt = start(model, Space(norm=norm), seed)
    before, old = bimt.cost().item(), slots(bimt)
    report = bimt.swap(method)
    after = bimt.cost().item()
    assert report.cost_before == pytest.approx(before, rel=1e-12)
    assert report.cost_after == pytest.approx(after, rel=1e-12)
    assert after <= before * (1 + 1e-12)
    assert report.moved == sum(a != b for name in old for a, b in zip(old[name], slots(bimt)[name], strict=True))
    assert (report.moved == 0) == (report.cost_before == report.cost_after)
    segments = {}
    for name, p in bimt.wiring.populations.items():
        own = slots(bimt)[name]
        assert sorted(own) == list(range(p.size))
        for h in range(p.heads):
            found = {s // p.head_size for s in own[h * p.head_size : (h + 1) * p.head_size]}
            assert len(found) == 1
            segments.setdefault((p.group, h), set()).update(found)
    assert all(len(found) == 1 for found in segments.values())


@pytest.mark.parametrize("method", ["assignment", "greedy"])
@pytest.mark.parametrize("model", [MLP([3, 8, 8, 2], dtype=F64), transformer(d_model=6)], ids=["mlp", "transformer"])
def test_from_a_random_layout_both_methods_strictly_lower_the_cost(method, model):
    for seed in range(3):
        bimt = start(model, Space(), seed)
        before = bimt.cost().item()
        report = bimt.swap(method)
        assert bimt.cost().item() < 0.999 * before
        assert report.moved > 0 and report.sweeps >= 1


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_second_assignment_moves_nothing(seed, dtype):
    bimt = start(transformer(d_model=6, n_layers=2, seed=seed, dtype=dtype), Space(), seed)
    first = bimt.swap()
    kept = slots(bimt)
    second = bimt.swap()
    assert first.moved > 0 and second.moved == 0 and second.sweeps == 1
    assert second.cost_before == second.cost_after == first.cost_after
    assert slots(bimt) == kept
    layout = bimt.layout
    bimt.swap()
    assert bimt.layout is layout  # so that nothing that follows from it is made anew


def test_greedy_comes_to_rest():
    bimt = start(transformer(d_model=6), Space(), 0)
    for _ in range(50):
        if bimt.swap("greedy").moved == 0:
            break
    else:
        pytest.fail("50 greedy searches still move neurons")
    assert bimt.swap("assignment").cost_after <= bimt.cost().item() * (1 + 1e-12)


def test_a_large_models_search_ends_once_a_sweep_gains_little(monkeypatch):
    def swapped() -> tuple[SwapReport, BIMT]:
        bimt = start(transformer(d_model=24, n_layers=3, d_head=6, d_mlp=40), Space(), 3)
        return bimt.swap(), bimt

    to_rest, _ = swapped()
    monkeypatch.setattr("bimt_tf.core.exact_search.LARGE", 100)
    monkeypatch.setattr("bimt_tf.core.exact_search.SETTLED", 0.2)
    settled, bimt = swapped()
    assert settled.cost_before == to_rest.cost_before and 1 < settled.sweeps < to_rest.sweeps
    assert bimt.cost().item() == pytest.approx(settled.cost_after, rel=1e-12)
    gain = settled.cost_before - settled.cost_after
    assert gain > 0.8 * (to_rest.cost_before - to_rest.cost_after)
    for _ in range(50):  # swaps go on from there, and never upwards
        again = bimt.swap()
        assert again.cost_after <= again.cost_before
        if not again.moved:
            break
    assert again.moved == 0


def test_populations_on_equal_coordinates_share_their_distances():
    bimt = start(transformer(d_model=6, n_layers=2), Space(shapes={"blocks.0.mlp": "ring"}), 0)
    placement = bimt.placement()
    pairs = len(placement.distance)
    assert pairs == 2 * (2 + 2 * 3) and len({id(matrix) for matrix in placement.distance.values()}) < pairs
    at = bimt.geometry.coordinates(bimt.wiring)
    own = {name: s.numpy() for name, s in bimt.layout.slots.items()}
    for (p, q), matrix in placement.distance.items():
        np.testing.assert_array_equal(matrix, bimt.geometry.distance(at[p], at[q]).numpy())
    for name in placement.neighbours:
        table = sum(
            placement.strength[name, q] @ placement.distance[name, q][:, own[q]].T for q in placement.neighbours[name]
        )
        np.testing.assert_allclose(placement.table(name, own), table, rtol=1e-12)


def test_equal_costs_move_nothing():
    """Mirror images cost the same up to rounding: exchanging them is no progress."""
    model = MLP([2, 6, 1], seed=0, dtype=F64)
    nn.init.ones_(model.layers[0].weight)
    nn.init.ones_(model.layers[1].weight)
    for method in ("assignment", "greedy"):
        bimt = start(model, Space(norm="l2"), 1, fixed=("input", "output"))
        assert bimt.swap(method).moved == 0


GREEDY = [
    (lambda s: MLP([3, 5, 4, 2], seed=s, dtype=F64), Space(reduction="sum")),
    (lambda s: MLP([3, 5, 4, 2], seed=s, dtype=F64), Space(1.0, 0.1, "l2")),
    (lambda s: MLP([3, 5, 4, 2], seed=s, dtype=F64), Space(distance_free=("layers.1.weight",))),
    (lambda s: transformer(n_heads=1, seed=s), Space()),
    (lambda s: transformer(n_heads=2, d_head=2, seed=s), Space(norm="l2")),
    (lambda s: transformer(n_heads=3, d_head=2, d_model=3, d_mlp=3, seed=s), Space()),
]


@pytest.mark.parametrize("top_k", [1, 3, 30])
@pytest.mark.parametrize(
    ("make", "space"), GREEDY, ids=["mlp", "mlp-l2", "mlp-distance_free", "1-head", "2-heads", "3-heads"]
)
def test_greedy_equals_the_papers_step_3(make, space, top_k):
    model = make(top_k)
    bimt = start(model, space, seed=top_k + 1)
    groups = [([p.name for p in group], group[0].heads) for group in bimt.wiring.groups.values()]
    expected = greedy(wires(model), slots(bimt), space, groups, top_k)
    report = bimt.swap("greedy", top_k)
    assert slots(bimt) == expected
    assert report.moved > 0
    assert report.cost_after == pytest.approx(loop_cost(wires(model), expected, space), rel=1e-12)


def test_top_k_counts_neurons_not_heads():
    """Neighbouring projects applied k to the head axis: with k = 1 exactly one neuron a population may lead."""
    model = transformer(n_heads=4, d_head=4, d_model=4, seed=2)
    fixed = tuple(name for name, p in wire(model).populations.items() if p.head_axis is None)
    bimt = start(model, Space(), seed=0, fixed=fixed)
    with torch.no_grad():  # heads alike in strength, one neuron far above the rest
        for name in ("W_Q", "W_K", "W_V", "W_O"):
            getattr(model.blocks[0].attn, name).mul_(0.01)
        model.blocks[0].attn.W_V[2, :, 3] = torch.tensor([9.0, 0.0, 0.0, 0.0], dtype=F64)
    old = {name: s.clone() for name, s in bimt.layout.slots.items()}
    bimt.swap("greedy", top_k=1)
    inside_old, inside = (s["blocks.0.ov"] % 4 for s in (old, bimt.layout.slots))
    changed = (inside_old != inside).nonzero().flatten().tolist()
    assert len(changed) in (0, 2) and all(j // 4 == 2 for j in changed) and (not changed or 11 in changed)


@pytest.mark.parametrize("method", ["assignment", "greedy"])
def test_weights_that_pay_no_length_pull_no_neuron(method):
    model = MLP([3, 6, 4], seed=1, dtype=F64)
    bimt = start(model, Space(distance_free=("layers.1.weight",)), seed=2)
    assert bimt.placement().score["output"].min() > 0  # Eq. 5 counts them all the same
    old = slots(bimt)
    assert bimt.swap(method).moved > 0
    assert slots(bimt)["output"] == old["output"] and slots(bimt)["hidden0"] != old["hidden0"]
    bimt.swap()  # to rest
    with torch.no_grad():
        model.layers[1].weight[2] *= 1000
    assert bimt.swap(method).moved == 0
    nowhere = start(model, Space(distance_free=("layers.0.weight", "layers.1.weight")), seed=2)
    assert nowhere.swap(method).moved == 0


@pytest.mark.parametrize("method", ["assignment", "greedy"])
def test_fixed_populations_stay(method):
    model = transformer(d_model=6)
    bimt = start(model, Space(), seed=4, fixed=("input", "output", "blocks.0.qk"))
    old = slots(bimt)
    assert bimt.swap(method).moved > 0
    for name in ("input", "output", "blocks.0.qk", "blocks.0.ov"):  # q/k and v share their heads' segments
        assert slots(bimt)[name] == old[name]
    assert slots(bimt)["residual"] != old["residual"]


@pytest.mark.parametrize("method", ["assignment", "greedy"])
def test_a_swap_changes_no_parameter_and_no_output(method):
    model = transformer(d_model=6, n_layers=2, dtype=torch.float32)
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(3, 3, 2, generator=torch.Generator().manual_seed(0))
    out = model(x)
    bimt = start(model, Space(), 1)
    layout = bimt.layout
    kept = {name: s.clone() for name, s in layout.slots.items()}
    assert bimt.swap(method).moved > 0
    assert torch.equal(model(x), out)
    assert all(torch.equal(p, before[name]) for name, p in model.state_dict().items())
    assert all(torch.equal(s, kept[name]) for name, s in layout.slots.items())  # the old layout is not written to


def test_the_search_is_deterministic():
    found = [start(transformer(d_model=6), Space(), 1) for _ in range(2)]
    for bimt in found:
        bimt.swap()
    assert slots(found[0]) == slots(found[1])


@pytest.mark.parametrize("top_k", [0, -1, 2.5, True, "3"])
def test_bad_top_k(top_k):
    with pytest.raises(InputError, match="top_k"):
        BIMT(MLP([2, 3, 1])).swap("greedy", top_k)


def test_unknown_method():
    with pytest.raises(InputError, match=r"'gready'.*'greedy'"):
        BIMT(MLP([2, 3, 1])).swap("gready")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(value):
    model = MLP([2, 3, 1])
    bimt = BIMT(model)
    kept = slots(bimt)
    with torch.no_grad():
        model.layers[0].weight[0, 0] = value
    with pytest.raises(InputError, match="not finite"):
        bimt.swap()
    assert slots(bimt) == kept
    with pytest.raises(InputError, match="not finite"):
        bimt.placement()
    with torch.no_grad():
        model.layers[0].weight[0, 0] = 1.0
        model.layers[0].bias[0] = value  # pulls no neuron, and no report may hold it
    with pytest.raises(InputError, match="not finite"):
        bimt.swap()


def test_bfloat16_weights_are_placed():
    bimt = start(transformer(d_model=6, dtype=torch.bfloat16), Space(), 1)
    report = bimt.swap()
    assert report.cost_after < report.cost_before


def test_a_report_reads_as_a_sentence():
    assert repr(SwapReport(1.23, 0.98, 14, 3)) == "SwapReport(cost 1.23 -> 0.98, 14 neurons moved in 3 sweeps)"
    assert repr(SwapReport(1.0, 1.0, 1, 1)) == "SwapReport(cost 1 -> 1, 1 neuron moved in 1 sweep)"
