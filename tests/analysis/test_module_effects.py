"""Knock-outs, sufficiency, votes and read-outs of networks whose modules and effects are known."""

from __future__ import annotations

import pytest
import torch
from planted_modules import empty, join, two_blocks

from bimt_tf import BIMT, TokenMLP
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.module_effects import inner_nodes, knock_out, module_combinations, module_effects
from bimt_tf.analysis.module_probe import module_readouts
from bimt_tf.analysis.module_votes import module_votes
from bimt_tf.analysis.modules import find_modules
from bimt_tf.errors import InputError
from bimt_tf.models.transformer import RegressionTransformer

INPUTS = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))


def targets(bimt):
    wanted = bimt.model(INPUTS).detach()
    return {f"y{i + 1}": lambda out, i=i: float(((out - wanted)[:, i] ** 2).mean()) for i in (0, 1)}


def asked(bimt, inputs=INPUTS, **options):
    graph = connection_graph(bimt)
    return bimt.model, bimt.wiring, graph, find_modules(graph, **options), inputs


def test_each_block_makes_its_output():
    made = two_blocks(bridge=0.0)
    variance = [float(column.var(correction=0)) for column in made.model(INPUTS).detach().T]
    before = {name: value.clone() for name, value in made.model.state_dict().items()}
    found = module_effects(*asked(made), targets(made))
    first, second = found.modules
    assert first.neurons == second.neurons == 3
    assert found.whole == {"y1": 0.0, "y2": 0.0}
    assert found.nothing == pytest.approx({"y1": variance[0], "y2": variance[1]}, rel=1e-4)
    assert first.without == pytest.approx({"y1": variance[0], "y2": 0.0}, rel=1e-4, abs=1e-10)
    assert first.alone == pytest.approx({"y1": 0.0, "y2": variance[1]}, rel=1e-4, abs=1e-10)
    assert second.without == pytest.approx(first.alone, rel=1e-4, abs=1e-10)
    for low, high in first.random.values():
        assert 0 <= low < high
    assert all(torch.equal(before[name], value) for name, value in made.model.state_dict().items())
    assert not any(point.fwd_hooks for point in made.model.hook_dict.values())
    assert repr(found).startswith("ModuleEffects(y1 0; without module 1:")
    assert found == module_effects(*asked(made), targets(made))


def test_zero_or_mean():
    made = two_blocks(bridge=0.0)
    inputs = INPUTS + 1.0
    model, wiring, graph, found, _ = asked(made)
    total = {"sum": lambda out: float(out[:, 0].mean())}
    nodes = [node for node in inner_nodes(graph) if node in found.module(1).nodes]
    assert knock_out(model, wiring, nodes, inputs, total, value="zero") == {"sum": 0.0}
    kept = float(made.model(inputs)[:, 0].detach().mean())
    assert knock_out(model, wiring, nodes, inputs, total)["sum"] == pytest.approx(kept, rel=1e-5)


def test_combinations_are_all_of_them():
    made = two_blocks(bridge=0.0)
    found = module_combinations(*asked(made), targets(made))
    assert [one.out for one in found] == [(), (1,), (2,), (1, 2)]
    alone, both = {one.out: one.without for one in found}, found[-1].without
    assert alone[()] == {"y1": 0.0, "y2": 0.0}
    assert both["y1"] == pytest.approx(alone[1,]["y1"]) and both["y2"] == pytest.approx(alone[2,]["y2"])


def test_a_shared_stream_is_written_at_every_depth():
    """Without any neuron, a transformer's output does not depend on its input."""
    bimt = BIMT(RegressionTransformer(d_model=6, n_layers=2, n_heads=2, d_mlp=8, seed=0))
    inputs = torch.randn(50, 3, 2, generator=torch.Generator().manual_seed(1))
    graph = connection_graph(bimt)
    spread = {"spread": lambda out: float(out.std(0).max())}
    assert knock_out(bimt.model, bimt.wiring, inner_nodes(graph), inputs, spread)["spread"] < 1e-6
    found = module_effects(bimt.model, bimt.wiring, graph, find_modules(graph), inputs, spread, controls=2)
    assert found.whole["spread"] > 1e-3 > found.nothing["spread"]


def test_no_targets_or_no_neurons():
    with pytest.raises(InputError, match="found 0 targets"):
        module_effects(*asked(two_blocks()), {})
    nothing = empty([2, 2])
    join(nothing, 0, (0, 0), (1, 1))
    with pytest.raises(InputError, match="a neuron between input and output"):
        module_effects(*asked(nothing, torch.ones(3, 2)), {"sum": lambda out: float(out.sum())})


def voters():
    """Three classes; two modules, each with a vote: one tells class 0 from the others, one class 1 from 2."""
    made = empty([2, 2, 3])
    join(made, 0, (0, 0), (1, 1), weight=10.0)
    join(made, 1, (0, 0), weight=2.0)
    join(made, 1, (1, 1), weight=1.0)
    join(made, 1, (1, 2), weight=-1.0)
    inputs = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 1.0], [-1.0, -1.0]])
    return made, inputs, torch.tensor([0, 0, 1, 2])


def test_votes_add_up():
    made, inputs, classes = voters()
    model, wiring, graph, _, _ = asked(made, inputs)
    inner = graph.subgraph([node for node in graph if node[0] != "output"])
    found = find_modules(inner)
    assert len(found.modules) == 2
    votes = module_votes(model, wiring, inner, found, inputs, classes)
    assert votes.accuracy == 1.0 and votes.chance == pytest.approx(1 / 3)
    assert votes.additive == pytest.approx(1.0)
    first, second = votes.modules
    # alone, the first is right about class 0 and has no vote between 1 and 2, which argmax gives to 1
    assert first.accuracy == pytest.approx(0.75) and second.accuracy == pytest.approx(0.5)
    assert votes.together == 0.0
    assert first.rank == pytest.approx((0 + 0 + 0.25 + 0.25) / 4)
    assert "alone 1: 75%" in repr(votes)


def test_modules_that_multiply_do_not_add_up():
    """The second layer's neuron reads both blocks through a kink: what each block changes depends on the other."""
    made = empty([2, 2, 2, 2], act_fn="relu")
    join(made, 0, (0, 0), (1, 1))
    join(made, 1, (0, 0), (1, 0), weight=-1.0)
    join(made, 1, (0, 1), (1, 1), weight=1.0)
    join(made, 2, (0, 0), (1, 1))
    with torch.no_grad():
        made.model.get_parameter("layers.1.bias")[:] = torch.tensor([0.5, -0.5])
    inputs = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    graph = connection_graph(made)
    found = find_modules(graph, resolution=4.0)
    votes = module_votes(made.model, made.wiring, graph, found, inputs, made.model(inputs).argmax(1))
    assert votes.additive < 0.99


def test_read_outs_find_what_a_module_holds():
    made = two_blocks(bridge=0.0)
    own, other = INPUTS[:, 0] + INPUTS[:, 1], INPUTS[:, 2] + INPUTS[:, 3]
    quantities = {"own": own, "other": other, "square": own**2, "constant": torch.ones(300)}
    found = module_readouts(*asked(made), quantities)
    assert found.undefined == ("constant",)
    first, second = found.modules[1], found.modules[2]
    assert first["own"].r2 == pytest.approx(1) and second["other"].r2 == pytest.approx(1)
    assert first["other"].r2 < 0.1 and second["own"].r2 < 0.1
    assert first["square"].r2 < 0.5 and found.every["square"].r2 < 0.5
    assert found.inputs["own"].r2 == pytest.approx(1)
    assert all(abs(one.r2) < 0.2 and one.lowest <= one.r2 <= one.highest for one in found.shuffled.values())
    assert found == module_readouts(*asked(made), quantities)
    assert found.as_dict()["modules"]["1"]["own"]["r2"] == pytest.approx(1)


def test_what_is_learned_by_heart_of_a_token_is_not_read_out():
    """A random label of each element recurs with it; held out by element, no read-out knows it."""
    generator = torch.Generator().manual_seed(0)
    model = TokenMLP(24, 12, 2, [16, 24], seed=1)
    bimt = BIMT(model)
    tokens = torch.randint(24, (400, 2), generator=generator)
    labels = torch.randn(24, generator=generator)
    graph = connection_graph(bimt)
    found = module_readouts(model, bimt.wiring, graph, find_modules(graph), tokens, {"label": labels[tokens[:, 0]]})
    assert found.every["label"].r2 < 0.5 and found.inputs["label"].r2 < 0.5


def test_read_outs_need_examples():
    with pytest.raises(InputError, match="at least 10 examples, found 5"):
        module_readouts(*asked(two_blocks(), INPUTS[:5]), {"one": torch.ones(5)})
    with pytest.raises(InputError, match="quantity 'one' must be a finite number of each of the 300 examples"):
        module_readouts(*asked(two_blocks()), {"one": torch.ones(5)})
