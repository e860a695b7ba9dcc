"""Interchange and minimal sets on networks whose truth is planted."""

import json

import pytest
import torch
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from bimt_tf import MLP, RegressionTransformer
from bimt_tf.analysis.exchange import Site
from bimt_tf.analysis.interchange import interchange, interchange_map
from bimt_tf.analysis.minimal_set import minimal_set
from bimt_tf.analysis.moves import Line
from bimt_tf.errors import InputError

HOOK = "layers.0.hook_post"


def no_hooks(model):
    return all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def planted():
    """(w, x) -> 2 w + x: w is copied into neuron 5, which is read; x into neuron 2; 3 is a decoy that carries w and is
    read by nobody; the others are mixtures that nobody reads."""
    model = MLP([2, 8, 1], act_fn="identity", seed=0, dtype=torch.float64)
    with torch.no_grad():
        model.layers[0].weight[5] = torch.tensor([1.0, 0.0])
        model.layers[0].weight[3] = torch.tensor([4.0, 0.0])
        model.layers[0].weight[2] = torch.tensor([0.0, 1.0])
        model.layers[1].weight.zero_()
        model.layers[1].weight[0, 5], model.layers[1].weight[0, 2] = 2.0, 1.0
        for layer in model.layers:
            layer.bias.zero_()
    return model


@pytest.fixture
def pairs():
    """A, B (the same x, another w), and what A should give with B's w."""
    a = rand(60, 2)
    b = torch.stack([a[:, 0].roll(1), a[:, 1]], dim=1)
    return a, b, (2 * b[:, 0] + a[:, 1])[:, None]


@pytest.fixture
def redundant():
    """w, at least 0 -> max of two copies of it, in neurons 1 and 4: each alone is enough to keep w."""
    model = MLP([1, 6, 2, 1], act_fn="relu", seed=0, dtype=torch.float64)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.zero_(), layer.bias.zero_()
        model.layers[0].weight[[1, 4]] = 1.0
        model.layers[0].weight[2] = 0.5  # a third that nobody reads
        model.layers[1].weight[0, 1], model.layers[1].weight[0, 4] = 1.0, -1.0  # relu(a - b)
        model.layers[1].weight[1, 4] = 1.0  # b
        model.layers[2].weight[:] = 1.0
    return model


def test_the_neuron_that_carries_it_moves_all_of_it(planted, pairs):
    found = interchange(planted, Site(HOOK, [5]), *pairs)
    assert found.share == pytest.approx(1) and found.slope == pytest.approx(1) and found.r2 == pytest.approx(1)
    assert found.interval == pytest.approx((1, 1)) and found.ceiling.share == pytest.approx(1)
    assert found.floor == (0, 0, None) and found.pairs == 60
    null = found.null
    assert (null.sets, null.possible, null.varying) == (7, 8, [8]) and null.reached == 0 and null.best == 0
    assert found.wanted_rms == pytest.approx(float((pairs[2] - planted(pairs[0]).detach()).square().mean().sqrt()))


def test_a_decoy_that_carries_it_and_is_not_read_moves_nothing(planted, pairs):
    found = interchange(planted, Site(HOOK, [3]), *pairs)
    assert found.share == 0 and found.slope == 0 and found.r2 is None
    assert found.null.best == pytest.approx(1) and found.null.reached == 7


def test_half_a_move(planted, pairs):
    """Half of the weight on another copy: slope 1/2, share 3/4, all of it on the line."""
    with torch.no_grad():
        planted.layers[0].weight[7] = torch.tensor([1.0, 0.0])
        planted.layers[1].weight[0, 5] = planted.layers[1].weight[0, 7] = 1.0
    found = interchange(planted, Site(HOOK, [5]), *pairs)
    assert found.slope == pytest.approx(0.5) and found.share == pytest.approx(0.75) and found.r2 == pytest.approx(1)


def test_what_else_moves_is_off_the_line(planted, pairs):
    """B's neuron 2 carries x: with another x in B too, moving both leaves the line."""
    a, _, wanted = pairs
    b = torch.stack([a[:, 0].roll(1), a[:, 1].roll(7)], dim=1)
    assert interchange(planted, Site(HOOK, [5]), a, b, wanted).share == pytest.approx(1)
    both = interchange(planted, Site(HOOK, [2, 5]), a, b, wanted)
    assert both.share < 0.9 and both.r2 < 0.95
    assert both.ceiling.share == pytest.approx(both.share)


def test_a_direction_of_ones_own(pairs):
    """w along (1, 1) of two neurons whose difference is x: neither neuron is it, the direction is."""
    model = MLP([2, 3, 1], act_fn="identity", dtype=torch.float64)
    with torch.no_grad():
        model.layers[0].weight[:] = torch.tensor([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]])
        model.layers[1].weight[:] = torch.tensor([[1.5, 0.5, 1.0]])
        model.layers[0].bias.zero_(), model.layers[1].bias.zero_()
    along = torch.tensor([1.0, 1.0, 0.0])
    a, _, wanted = pairs
    b = torch.stack([a[:, 0].roll(1), a[:, 1].roll(7)], dim=1)
    found = interchange(model, Site(HOOK, direction=along), a, b, wanted)
    assert found.share == pytest.approx(1) and found.null.possible is None and found.null.sets == 200
    assert found.null.high < 1
    assert interchange(model, Site(HOOK, [0, 1]), a, b, wanted).share < 0.9
    for wrong in (torch.zeros(3), torch.ones(2), torch.tensor([1.0, torch.nan, 0.0])):
        with pytest.raises(InputError, match="direction must be a vector of 3 finite numbers"):
            interchange(model, Site(HOOK, direction=wrong), a, b, wanted)
    with pytest.raises(InputError, match="neurons or a direction, not both"):
        interchange(model, Site(HOOK, [0], direction=along), a, b, wanted)


def test_answers(planted):
    """Of classes the share of pairs whose answer becomes B's counts, among those in which it was another."""
    a = rand(80, 2)
    b = torch.stack([a[:, 0].roll(1), a[:, 1]], dim=1)

    def read(outputs):
        return (outputs[:, 0] > 1.5).long()

    wanted = read(planted(b))
    found = interchange(planted, Site(HOOK, [5]), a, b, wanted, read=read)
    assert found.share == 1 and found.slope is None and found.r2 is None and found.wanted_rms is None
    assert found.pairs == int((read(planted(a)) != wanted).sum()) < 80
    assert interchange(planted, Site(HOOK, [2]), a, b, wanted, read=read).share == 0
    assert minimal_set(planted, HOOK, a, b, wanted, read=read).neurons == [5]


def test_the_wanted_output_is_that_of_run_b_unless_given(planted, pairs):
    a, b, wanted = pairs
    assert interchange(planted, Site(HOOK, [5]), a, b).share == pytest.approx(
        interchange(planted, Site(HOOK, [5]), a, b, wanted).share
    )


def test_the_smallest_set_is_the_planted_neuron(planted, pairs):
    found = minimal_set(planted, HOOK, *pairs)
    assert found.neurons == [5] and found.proven and found.ties == [] and found.all_ties
    assert 2 not in found.candidates and {3, 5} <= set(found.candidates)
    assert found.share == pytest.approx(1) and found.steps[0].neurons == [5]
    assert found.null.best == 0


def test_two_redundant_copies_are_found_as_a_pair(redundant):
    a = rand(50, 1)
    b = a.roll(1, 0)
    from bimt_tf.analysis.ablate import ablate

    def loss(outputs):
        return float((outputs - a).square().mean())

    for one in (1, 4):
        assert ablate(redundant, {HOOK: [one]}, a, loss, value="zero").change == 0  # each alone can go
        assert interchange(redundant, Site(HOOK, [one]), a, b).share < 0.9  # and none alone carries it over
    assert ablate(redundant, {HOOK: [1, 4]}, a, loss, value="zero").change > 0.1
    found = minimal_set(redundant, HOOK, a, b)
    assert found.neurons == [1, 4] and found.proven and found.share == pytest.approx(1) and found.ties == []


def test_two_copies_of_which_each_is_enough_are_a_tie():
    """Each copy moves the output nearly all the way; both together, twice as far as it should go."""
    model = MLP([2, 3, 1], act_fn="identity", dtype=torch.float64)
    with torch.no_grad():
        model.layers[0].weight[:] = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        model.layers[1].weight[:] = torch.tensor([[0.93, 0.95, -0.88]])
        model.layers[0].bias.zero_(), model.layers[1].bias.zero_()
    a = rand(30, 1).repeat(1, 2)
    b = torch.stack([a[:, 0].roll(1), a[:, 1]], dim=1)
    found = minimal_set(model, HOOK, a, b, b[:, :1])
    assert found.ceiling.slope == pytest.approx(1.88) and found.ceiling.share < 0.3
    assert found.neurons == [1] and [one.neurons for one in found.ties] == [[0]] and found.ties[0].share < found.share


def test_a_dense_random_network_has_no_small_set():
    model = MLP([4, 24, 24, 1], act_fn="silu", seed=3, dtype=torch.float64)
    a, b = rand(100, 4, seed=1), rand(100, 4, seed=2)
    found = minimal_set(model, "layers.0.hook_post", a, b, checks=400)
    assert found.neurons is not None and len(found.neurons) >= 6
    assert not found.proven and found.share >= 0.9 and found.ceiling.share == pytest.approx(1)
    none = minimal_set(model, "layers.0.hook_post", a, b, largest=2)
    assert none.neurons is None and none.proven and "at most 2 neurons reaches 0.9" in none.why_none
    assert none.null is None and none.share is None


def test_greedy_is_corrected_by_the_exact_search():
    """The neuron that moves furthest alone is not in the smallest set, whose two only work together."""
    model = MLP([1, 3, 3, 1], act_fn="relu", dtype=torch.float64)
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.zero_(), layer.bias.zero_()
        model.layers[0].weight[:] = 1.0
        model.layers[1].weight[0] = torch.tensor([5.0, -5.0, 1.0])
        model.layers[1].weight[1] = torch.tensor([-5.0, 5.0, 0.0])
        model.layers[1].weight[2] = torch.tensor([0.0, 0.45, 0.0])
        model.layers[2].weight[:] = torch.tensor([[1.0, -1.0, 1.0]])
    a = rand(40, 1)
    b = a.roll(1, 0)
    found = minimal_set(model, HOOK, a, b, reach=0.99)
    tried = {}
    for mask in range(1, 8):
        neurons = [i for i in range(3) if mask >> i & 1]
        tried[tuple(neurons)] = interchange(model, Site(HOOK, neurons), a, b, random_sets=0).share
    smallest = min(len(one) for one, share in tried.items() if share >= 0.99)
    best = max((share, one) for one, share in tried.items() if len(one) == smallest)
    assert found.proven and tuple(found.neurons) == best[1] and found.share == pytest.approx(best[0])


def test_a_hook_where_nothing_differs(planted, pairs):
    a, _, _ = pairs
    found = minimal_set(planted, HOOK, a, a, planted(a).detach() + 1)
    assert found.neurons is None and found.candidates == [] and "no neuron here differs" in found.why_none
    assert json.loads(json.dumps(found.as_dict()))["neurons"] is None and "no neuron" in repr(found)


def test_results_are_json_and_one_line(planted, pairs):
    found = interchange(planted, Site(HOOK, torch.tensor([5])), *pairs)
    assert json.loads(json.dumps(found.as_dict()))["sites"][0]["neurons"] == [5]
    small = minimal_set(planted, HOOK, *pairs)
    assert json.loads(json.dumps(small.as_dict()))["neurons"] == [5]
    rows = interchange_map(planted, ["hook_input", HOOK], *pairs)
    assert [(row.hook, row.position) for row in rows] == [("hook_input", None), (HOOK, None)]
    assert all(row.share == pytest.approx(1) for row in rows) and json.dumps(rows[0].as_dict())
    assert all("\n" not in repr(one) for one in (found, small))


def test_positions_of_a_transformer():
    model = RegressionTransformer(d_model=8, n_layers=2, n_heads=2, d_mlp=6, seed=1, dtype=torch.float64)
    a, b = rand(12, 3, 2), rand(12, 3, 2, seed=5)
    b[:, 2] = a[:, 2]

    def read(outputs):
        return outputs[:, 2, 0]

    rows = interchange_map(model, ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_post"], a, b, read=read)
    shares = {(row.hook, row.position): row.share for row in rows}
    assert len(shares) == 6
    assert shares["blocks.0.hook_resid_pre", 2] == 0 and shares["blocks.1.hook_resid_post", 0] == 0
    assert shares["blocks.1.hook_resid_post", 2] == pytest.approx(1)
    site = Site("blocks.0.hook_resid_pre", [0, 3], [0, -1])

    of_b = model.run_with_cache(b)[1][site.hook]

    def by_hand(tensor, hook):
        tensor = tensor.clone()
        for token in (0, 2):
            tensor[:, token, [0, 3]] = of_b[:, token, [0, 3]]
        return tensor

    with torch.no_grad():
        after = read(model.run_with_hooks(a, fwd_hooks=[(site.hook, by_hand)]))
        wanted = Line(read(model(a)), read(model(b))).move(after)
    found = interchange(model, site, a, b, read=read, random_sets=3)
    assert (found.share, found.slope, found.r2) == pytest.approx(tuple(wanted))
    assert found.null.sets == 3 and found.null.possible == 28
    every = interchange(model, [Site("blocks.0.hook_resid_pre"), Site("blocks.1.mlp.hook_post", [1])], a, b, read=read)
    assert every.null is None and "no other set of 8" in every.no_null


def test_a_bridge():
    config = TransformerBridgeConfig(
        n_layers=2, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=4, d_vocab=10, act_fn="gelu"
    )
    model = TransformerBridge.boot_native(config)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(10, (8, 3), generator=generator) for _ in range(2))

    def read(logits):
        return logits[:, -1]

    whole = interchange(model, Site("blocks.1.hook_resid_post", None, -1), a, b, read=read, random_sets=0)
    assert whole.share == pytest.approx(1, abs=1e-5)
    z = interchange(model, Site("blocks.0.attn.hook_z", [5, 6], 1), a, b, read=read, random_sets=4)

    seen = []
    model.run_with_hooks(b, fwd_hooks=[("blocks.0.attn.hook_z", lambda tensor, hook: seen.append(tensor))])
    (of_b,) = seen

    def by_hand(tensor, hook):
        tensor = tensor.clone()
        tensor[:, 1, 1, [1, 2]] = of_b[:, 1, 1, [1, 2]]
        return tensor

    with torch.no_grad():
        after = read(model.run_with_hooks(a, fwd_hooks=[("blocks.0.attn.hook_z", by_hand)]))
        assert z.share == pytest.approx(Line(read(model(a)), read(model(b))).move(after).share, rel=1e-4)
    assert z.share != 0 and no_hooks(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": Site("layers.0.hook_pots", [5])}, "unknown hook 'layers.0.hook_pots'; did you mean"),
        ({"sites": Site(HOOK, [8])}, "has neurons 0 to 7, found 8"),
        ({"sites": Site(HOOK, [])}, "names no neuron"),
        ({"sites": Site(HOOK, [5], 0)}, "has no positions"),
        ({"sites": []}, "sites must be a Site"),
        ({"sites": HOOK}, "sites must be a Site"),
        ({"sites": [Site(HOOK, [5]), Site(HOOK, [4])]}, "stands in 2 sites"),
        ({"source": torch.rand(59, 2)}, "source must have the shape of inputs"),
        ({"wanted": torch.rand(60)}, "wanted must have the shape"),
        ({"wanted": torch.zeros(60, 1, dtype=torch.long)}, "not whole"),
        ({"wanted": torch.full((60, 1), torch.nan)}, "NaN"),
        ({"read": lambda outputs: outputs.mean()}, "one row for each of 60 examples"),
        ({"read": 3}, "read must be a function"),
        ({"random_sets": -1}, "random_sets"),
        ({"seed": -1}, "seed"),
    ],
)
def test_mistakes_are_one_line(planted, pairs, change, message):
    a, b, wanted = pairs
    given = {"sites": Site(HOOK, [5]), "inputs": a, "source": b, "wanted": wanted, **change}
    sites, inputs, source, wanted = (given.pop(name) for name in ("sites", "inputs", "source", "wanted"))
    with pytest.raises(InputError, match=message) as caught:
        interchange(planted, sites, inputs, source, wanted, **given)
    assert "\n" not in str(caught.value) and no_hooks(planted)


def test_nothing_to_explain(planted, pairs):
    a, b, _ = pairs
    with pytest.raises(InputError, match="nothing is left to explain"):
        interchange(planted, Site(HOOK, [5]), a, b, planted(a))
    for reach in (0, 1.5, float("nan")):
        with pytest.raises(InputError, match="reach"):
            minimal_set(planted, HOOK, a, b, reach=reach)


def test_no_hook_survives_an_exception(planted, pairs):
    calls = []

    def fails(outputs):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("stop")
        return outputs

    planted.train()
    for call in (
        lambda: interchange(planted, Site(HOOK, [5]), *pairs, read=fails),
        lambda: minimal_set(planted, HOOK, *pairs, read=fails),
    ):
        calls.clear()
        with pytest.raises(RuntimeError, match="stop"):
            call()
        assert no_hooks(planted) and all(module.training for module in planted.modules())
