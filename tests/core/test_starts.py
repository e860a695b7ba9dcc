"""Searches from several starts: never worse, heads whole, fixed populations in place, and as good as brute force."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Space, loop_cost, mlp_wires
from torch import nn

from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, wire
from bimt_tf.core.spectral import MOST_NEURONS, _fiedler_vectors, spectral_ordering, strength_graph
from bimt_tf.core.starts import other_starts
from bimt_tf.errors import InputError

F64 = torch.float64


def start(model: nn.Module, seed: int = 0, fixed: tuple[str, ...] = (), geometry: Geometry | None = None) -> BIMT:
    """BIMT on a random layout; the fixed populations are placed at random too, and then held."""
    wiring = wire(model, fixed)
    layout = Layout.random(wire(model), torch.Generator().manual_seed(seed))
    return BIMT(model, geometry if geometry is not None else Geometry(), wiring, layout=layout)


def transformer(**kwargs: object) -> RegressionTransformer:
    sizes = dict(d_in=2, d_out=2, d_model=4, n_layers=1, n_heads=2, d_head=3, d_mlp=4, dtype=F64)
    return RegressionTransformer(**(sizes | kwargs))


def slots(bimt: BIMT) -> dict[str, list[int]]:
    return {name: s.tolist() for name, s in bimt.layout.slots.items()}


def modules(count: int, size: int = 2) -> MLP:
    """``count`` separate networks in one, their neurons interleaved: neuron i is of network i % count."""
    model = MLP([count * size, count * size, count * size, count * size], "relu", dtype=F64)
    with torch.no_grad():
        for layer in model.layers:
            module = torch.arange(count * size) % count
            layer.weight.copy_((module[:, None] == module).double())
    return model


@pytest.mark.parametrize("shape", ["line", "grid", "ring"])
@pytest.mark.parametrize("method", ["assignment", "greedy"])
@given(
    heads=st.integers(1, 3), d_head=st.integers(1, 3), d_model=st.integers(1, 5), layers=st.integers(1, 2),
    fixed=st.sampled_from([(), ("input", "output"), ("residual",), ("blocks.0.qk",)]), seed=st.integers(0, 999),
)  # fmt: skip
@settings(max_examples=8)
def test_never_worse_heads_whole_and_what_is_fixed_in_place(shape, method, heads, d_head, d_model, layers, fixed, seed):
    model = transformer(n_heads=heads, d_head=d_head, d_model=d_model, n_layers=layers, seed=seed)
    with torch.no_grad():  # some dead neurons
        model.blocks[0].mlp.W_in[:, :2] = 0
        model.blocks[0].mlp.W_out[:2] = 0
    geometry = Geometry(shapes={} if shape == "line" else {"*": shape})
    bimt, alone = (start(model, seed, fixed, geometry) for _ in range(2))
    before = slots(bimt)
    least = alone.swap(method).cost_after
    report = bimt.swap(method, starts=9)
    assert report.cost_after <= least <= report.cost_before
    assert report.cost_after == pytest.approx(bimt.cost().item(), rel=1e-12)
    bimt.layout.check(bimt.wiring)
    for group in bimt.wiring.groups.values():
        if not all(p.movable for p in group):
            assert all(slots(bimt)[p.name] == before[p.name] for p in group)


@pytest.mark.parametrize("sizes", [[2, 3, 2], [3, 3, 3], [2, 3, 3, 2]])
@pytest.mark.parametrize("seed", range(3))
def test_many_starts_equal_brute_force(sizes, seed):
    model = MLP(sizes, seed=seed, dtype=F64)
    space = Space(2.0, 0.5, "l1", {}, "mean")
    bimt = start(model, seed)
    names = list(bimt.wiring.populations)
    every = product(*(permutations(range(p.size)) for p in bimt.wiring.populations.values()))
    best = min(loop_cost(mlp_wires(model), dict(zip(names, map(list, own), strict=True)), space) for own in every)
    assert bimt.swap(starts=100).cost_after == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_many_starts_equal_brute_force_with_heads(seed):
    """The residual stream and two heads of two, all of their layouts; inputs, outputs and the MLP are held."""
    model = transformer(d_model=3, d_head=2, seed=seed)
    bimt = start(model, seed, ("input", "output", "blocks.0.mlp"))
    placement, present = bimt.placement(), as_arrays(bimt)
    inside = list(product(permutations(range(2)), repeat=2))
    heads = [np.array([2 * s + e for s, own in zip(order, e2, strict=True) for e in own])
             for order in permutations(range(2)) for e2 in inside]  # fmt: skip
    best = min(
        placement.cost(present | {"residual": np.array(residual), "blocks.0.qk": qk, "blocks.0.ov": ov})
        for residual in permutations(range(3))
        for qk, ov in product(heads, heads)
        if qk[0] // 2 == ov[0] // 2
    )
    assert bimt.swap(starts=60).cost_after == pytest.approx(best, rel=1e-12)


@pytest.mark.parametrize(("count", "size"), [(8, 1), (5, 2), (3, 2)])
def test_whole_modules_change_sides(count, size):
    """What starts are for: one search leaves modules across each other, which 8 starts part in every case."""
    caught = 0
    for seed in range(10):
        bimt, alone = (start(modules(count, size), seed) for _ in range(2))
        least = alone.swap().cost_after
        report = bimt.swap(starts=8)
        side = {name: [slot // size for slot in own] for name, own in slots(bimt).items()}
        assert all(own == side["input"] and own[:count] * size == own for own in side.values())
        assert (report.start == "present") == (report.cost_after == least)
        caught += report.cost_after < least
    assert caught >= (8 if size == 1 else 2)


@pytest.mark.parametrize("fixed", [(), ("input",), ("input", "output")])
def test_the_first_start_is_the_spectral_one_and_puts_modules_side_by_side(fixed):
    bimt = start(modules(3), 5, fixed)
    kind, found = next(other_starts(bimt.placement(), as_arrays(bimt), torch.Generator()))
    assert kind == "spectral"
    for name in {"input", "hidden0", "hidden1", "output"} - set(fixed):
        side = found[name] // 2
        assert (side[:3] == side[3:]).all()  # neurons i and i + 3 are of module i
    for name in fixed:
        assert found[name].tolist() == slots(bimt)[name]


def as_arrays(bimt: BIMT) -> dict[str, np.ndarray]:
    return {name: s.numpy() for name, s in bimt.layout.slots.items()}


def test_a_path_is_ordered_along_itself():
    """A chain 0-0, 0-1, 1-1, 1-2 ... of inputs and outputs, shuffled, is found again up to its direction."""
    n = 12
    order = torch.randperm(n, generator=torch.Generator().manual_seed(3))
    model = MLP([n, n], dtype=F64)
    with torch.no_grad():
        chain = torch.eye(n, dtype=F64) + torch.diag(torch.ones(n - 1, dtype=F64), -1)
        model.layers[0].weight.copy_(chain[:, order])
    bimt = start(model, 1)
    _, found = next(other_starts(bimt.placement(), as_arrays(bimt), torch.Generator()))
    along = found["input"][torch.argsort(order).numpy()]
    assert along.tolist() in (list(range(n)), list(range(n))[::-1])
    assert found["output"].tolist() == along.tolist()


def test_dead_neurons_do_not_disturb_the_order():
    """The live neurons of a network with dead ones stand in the order of the network without them."""
    small, large = MLP([4, 5, 3], seed=1, dtype=F64), MLP([4, 20, 3], seed=1, dtype=F64)
    alive = torch.tensor([2, 5, 11, 12, 19])
    with torch.no_grad():
        large.layers[0].weight.zero_()[alive] = small.layers[0].weight
        large.layers[1].weight.zero_()[:, alive] = small.layers[1].weight
    graphs = [strength_graph(BIMT(model, reduction="sum").placement()) for model in (small, large)]
    assert graphs[1].neurons["hidden0"].tolist() == alive.tolist()
    near = np.arange(12.0)[:, None]
    rank = [spectral_ordering(graph, near, np.zeros(12, dtype=bool)) for graph in graphs]
    assert rank[0].tolist() == rank[1].tolist()
    bimt = start(large, 2)
    _, found = next(other_starts(bimt.placement(), as_arrays(bimt), torch.Generator()))
    assert sorted(found["hidden0"]) == list(range(20))
    by_rank = alive.numpy()[np.argsort(found["hidden0"][alive.numpy()])]
    expected = alive.numpy()[np.argsort(graphs[1].by_population(rank[1])["hidden0"][1][:, 0])]
    assert by_rank.tolist() in (expected.tolist(), expected[::-1].tolist())
    assert np.diff(np.sort(found["hidden0"][alive.numpy()])).min() >= 3  # spread over all slots


def test_nothing_but_the_generator_decides():
    def found(generator: torch.Generator | None) -> tuple[dict[str, list[int]], float]:
        bimt = start(MLP([4, 9, 9, 3], seed=2, dtype=F64), 7)
        return slots(bimt), bimt.swap(starts=12, generator=generator).cost_after

    torch.manual_seed(1)
    first = found(None)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    assert found(None) == first == found(torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator was not drawn from


def test_one_start_draws_nothing_and_is_the_plain_search():
    for method in ("assignment", "greedy"):
        generator = torch.Generator().manual_seed(4)
        state = generator.get_state()
        plain, one = (start(transformer(d_model=6), 3) for _ in range(2))
        assert plain.swap(method) == one.swap(method, starts=1, generator=generator)
        assert slots(plain) == slots(one) and torch.equal(generator.get_state(), state)


def test_one_start_finds_what_it_found_before_there_were_more():
    """Layouts of version 0.1, of weights that no random number generator makes; the dead neurons' slots included."""
    model = MLP([4, 12, 12, 3], dtype=F64)
    with torch.no_grad():
        for number, layer in enumerate(model.layers):
            n = torch.arange(layer.weight.numel(), dtype=F64).reshape(layer.weight.shape)
            layer.weight.copy_(torch.sin(7.3 * n + number) * (torch.sin(3.1 * n) > 0.3))
        model.layers[0].weight[[1, 4, 8]] = 0
        model.layers[1].weight[:, [1, 4, 8]] = 0
    bimt = BIMT(model, Geometry(width=3.0, layer_gap=0.1), reduction="sum")
    report = bimt.swap()
    assert slots(bimt) == GOLDEN
    assert report.sweeps == 4 and report.start == "present"


GOLDEN = {
    "input": [0, 1, 3, 2],
    "hidden0": [8, 0, 10, 6, 1, 5, 7, 4, 11, 2, 9, 3],
    "hidden1": [1, 4, 5, 3, 2, 6, 0, 7, 9, 8, 11, 10],
    "output": [2, 1, 0],
}


def test_no_neuron_may_move_or_has_a_weight():
    model = MLP([3, 4, 2], dtype=F64)
    held = start(model, 1, ("input", "hidden0", "output"))
    before = slots(held)
    assert held.swap(starts=5).moved == 0 and slots(held) == before
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.zero_()
    assert start(model).swap(starts=5).moved == 0
    assert start(MLP([1, 1], dtype=F64)).swap(starts=5).moved == 0


def test_beyond_the_largest_graph_all_starts_are_grown(monkeypatch):
    monkeypatch.setattr("bimt_tf.core.spectral.MOST_NEURONS", 10)
    assert MOST_NEURONS > 1000
    bimt = start(modules(8, 1), 5)
    starts = other_starts(bimt.placement(), as_arrays(bimt), torch.Generator())
    assert [next(starts)[0] for _ in range(4)] == ["grown", "perturbed", "perturbed", "grown"]
    alone = start(modules(8, 1), 5).swap().cost_after
    assert bimt.swap(starts=20).cost_after < alone


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3", None])
def test_bad_starts(value):
    with pytest.raises(InputError, match=r"starts must be a whole number of at least 1, found"):
        BIMT(MLP([2, 3, 1])).swap(starts=value)


def test_what_is_no_generator():
    with pytest.raises(InputError, match="generator must be a Generator, found a int"):
        BIMT(MLP([2, 3, 1])).swap(starts=2, generator=3)


def test_the_report_names_the_start():
    report = start(modules(8, 1), 5).swap(starts=8)
    assert report.start == "spectral" and repr(report).endswith(" from a start of the kind spectral)")


def test_strengths_of_a_network_that_has_diverged_give_no_vectors():
    joined = np.array([[0.0, np.inf, 1.0], [np.inf, 0.0, 1e-300], [1.0, 1e-300, 0.0]])
    assert not _fiedler_vectors(joined, 1).any()
    assert _fiedler_vectors(np.ones((3, 3)) - np.eye(3), 1).shape == (3, 1)
