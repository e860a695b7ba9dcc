"""align_networks: relabelled copies are recognised in every part, unrelated networks are no more alike than chance."""

from __future__ import annotations

import copy
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bimt_tf.adapters.families import wire
from bimt_tf.analysis.align import align_networks
from bimt_tf.analysis.align_chance import rewired
from bimt_tf.analysis.align_match import NONE, match_group, random_matching
from bimt_tf.analysis.align_symmetry import sign_free, sparse_of
from bimt_tf.bimt import BIMT
from bimt_tf.core.layout import Layout
from bimt_tf.core.population import Population
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer

WAYS = ("activations", "weights")


def transformer(seed=0, **sizes):
    sizes = {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_mlp": 10, **sizes}
    return RegressionTransformer(**sizes, seed=seed, dtype=torch.float64)


def mlp(seed=0, **more):
    return MLP([4, 9, 7, 2], seed=seed, dtype=torch.float64, **more)


def thinned(model, keep=0.4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "W_" in name or name.endswith("weight"):
                p.mul_(torch.rand(p.shape, generator=generator) < keep)
    return model


def inputs_of(model, n=200):
    generator = torch.Generator().manual_seed(5)
    if isinstance(model, TokenMLP):
        return torch.randint(model.cfg.vocab, (n, model.cfg.n_tokens), generator=generator)
    shape = (n, 3, model.cfg.d_in) if isinstance(model, RegressionTransformer) else (n, model.cfg.sizes[0])
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def relabelled(model, seed=1, signs=True):
    """A copy whose neurons have other names, and other signs where that changes nothing; and old neuron -> new."""
    other = copy.deepcopy(model)
    bimt = BIMT(other)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
    orders = {name: bimt.layout.order(name).numpy() for name in bimt.wiring.populations}
    bimt.bake_()
    if signs:
        generator = torch.Generator().manual_seed(seed + 1)
        turn = {
            n: torch.randint(2, (p.size,), generator=generator) * 2.0 - 1 for n, p in bimt.wiring.populations.items()
        }
        free = sign_free(bimt)
        with torch.no_grad():
            for wired in bimt.wiring.wired:
                flat = wired.flatten(bimt.parameters[wired.parameter])
                for dim, stage in enumerate(wired.stages, start=1):
                    if stage.population in free:
                        shape = [1] * flat.ndim
                        shape[dim] = -1
                        flat = flat * turn[stage.population].reshape(shape).to(flat)
                bimt.parameters[wired.parameter].copy_(wired.unflatten(flat))
    place = {n: np.argsort(o) if bimt.wiring.populations[n].bakeable else np.arange(len(o)) for n, o in orders.items()}
    return other, place


MODELS = {
    "mlp": mlp,
    "sparse mlp": lambda: thinned(mlp()),
    "linear mlp": lambda: mlp(act_fn="identity"),
    "transformer": transformer,
    "sparse transformer": lambda: thinned(transformer()),
    "four heads": lambda: thinned(transformer(n_heads=4, n_layers=1)),
    "tokens": lambda: TokenMLP(6, 5, 2, [8, 6], dtype=torch.float64),
}


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_relabelled_copy_is_recognised(make, by):
    model = make()
    inputs = inputs_of(model)
    other, place = relabelled(model)
    with torch.no_grad():
        assert torch.allclose(model(inputs), other(inputs), atol=1e-9)
    found = align_networks([BIMT(model), BIMT(other)], inputs, names=["a", "b"], by=by, draws=3, reference="a")
    (one,) = found.comparisons
    assert one.alike.value == pytest.approx(1, abs=1e-6) and one.edges.value == 1.0
    assert one.modules is None or one.modules.value == pytest.approx(1)
    for name, partner in one.matching.partner.items():
        matched = partner != NONE
        assert (partner[matched] == place[name][matched]).all(), name
    for population in one.populations:
        assert not population.alone and not population.alone_there
        assert all(pair.similarity == pytest.approx(1, abs=1e-6) for pair in population.pairs)
    assert all(edge.found_in == ("a", "b") for edge in found.edges) and set(found.own_edges.values()) == {0}
    assert all(neuron.alike_in == ("b",) for neuron in found.neurons)


def test_the_layout_puts_partners_in_one_place():
    model = thinned(transformer())
    other, _ = relabelled(model)
    first, second = BIMT(model), BIMT(other)
    first.layout = Layout.random(first.wiring, torch.Generator().manual_seed(8))
    found = align_networks([first, second], inputs_of(model), names=["a", "b"], draws=1, reference="a")
    second.layout = found.layouts["b"]
    for name, partner in found.comparisons[0].matching.partner.items():
        mine, theirs = first.layout.slots[name].numpy(), second.layout.slots[name].numpy()
        matched = partner != NONE
        assert (mine[matched] == theirs[partner[matched]]).all()


@pytest.mark.parametrize("by", WAYS)
def test_random_networks_are_no_more_alike_than_chance(by):
    """Of ten pairs of random networks, p is below .05 hardly ever; a permutation test's p is uniform."""
    low, inputs = [], inputs_of(mlp())
    for seed in range(10):
        pair = [BIMT(thinned(mlp(2 * seed + i), seed=2 * seed + i)) for i in (0, 1)]
        found = align_networks(pair, inputs, by=by, draws=19, seed=seed)
        low += [found.comparisons[0].alike.p <= 0.05, found.comparisons[0].edges.p <= 0.05]
    assert sum(low) <= 4


@given(st.integers(0, 10_000))
def test_no_neuron_crosses_a_head(seed):
    wiring = wire(transformer(n_heads=4))
    generator = np.random.default_rng(seed)
    mine, others = ({n: generator.random(p.size) < 0.7 for n, p in wiring.populations.items()} for _ in (0, 1))
    found = random_matching(wiring, mine, others, generator)
    for name, p in wiring.populations.items():
        partner = found.partner[name]
        matched = np.flatnonzero(partner != NONE)
        assert (mine[name][matched] & others[name][partner[matched]]).all()
        assert len(set(partner[matched].tolist())) == len(matched)
        heads = found.heads[p.group]
        assert (heads[matched // p.head_size] == partner[matched] // p.head_size).all()
        if not p.bakeable:
            assert (partner[matched] == matched).all()


@given(st.integers(0, 10_000))
def test_a_group_is_matched_as_well_as_by_trying_all(seed):
    generator = np.random.default_rng(seed)
    group = tuple(Population(name, 4, heads=2, head_axis="h") for name in ("qk", "ov"))
    similar = [generator.normal(size=(4, 4)) for _ in group]
    everyone = {p.name: generator.random(4) < 0.8 for p in group}, {p.name: generator.random(4) < 0.8 for p in group}
    found = match_group(group, similar, *everyone)
    reached = sum(
        table[a, b]
        for p, table in zip(group, similar, strict=True)
        for a, b in enumerate(found.partner[p.name])
        if b != NONE
    )
    best = 0.0
    for heads in permutations(range(2)):
        total = 0.0
        for p, table in zip(group, similar, strict=True):
            ok = everyone[0][p.name][:, None] & everyone[1][p.name]
            gain = np.where(ok, np.maximum(table, 0), 0)
            for head, other in enumerate(heads):
                block = gain[2 * head : 2 * head + 2, 2 * other : 2 * other + 2]
                total += max(block[0, 0] + block[1, 1], block[0, 1] + block[1, 0])
        best = max(best, total)
    assert reached == pytest.approx(best)


def test_dead_neurons_are_not_matched():
    model = mlp()
    with torch.no_grad():
        model.layers[0].weight[3:] = 0  # six of nine neurons are dead
    other = mlp(1)
    found = align_networks([BIMT(model), BIMT(other)], inputs_of(model), names=["a", "b"], draws=2, reference="a")
    first = found.comparisons[0].populations[0]
    assert {pair.neuron for pair in first.pairs} | set(first.alone) == {0, 1, 2}
    assert len(first.alone_there) >= 6


def test_q_and_k_change_sign_together_and_their_scales_are_free():
    model = transformer(n_heads=1)
    other = copy.deepcopy(model)
    with torch.no_grad():
        attention = other.blocks[0].attn
        for q, k in ((attention.W_Q, attention.W_K), (attention.b_Q, attention.b_K)):
            q[..., 2] *= -5
            k[..., 2] /= -5
    found = align_networks([BIMT(model), BIMT(other)], inputs_of(model), draws=1, reference="0")
    (pairs,) = [p.pairs for p in found.comparisons[0].populations if p.population == "blocks.0.qk"]
    assert [(p.neuron, p.partner, p.sign) for p in pairs] == [(i, i, -1 if i == 2 else 1) for i in range(8)]
    assert all(p.similarity == pytest.approx(1) for p in pairs)


def test_rewired_networks_keep_every_neuron_s_number_of_weights():
    network = sparse_of(BIMT(thinned(transformer())), 0.0)
    drawn = rewired(network, np.random.default_rng(0))
    changed = 0
    for name, weights in network.weights.items():
        for axis in (1, 2):
            assert ((weights != 0).sum(axis) == (drawn.weights[name] != 0).sum(axis)).all()
        assert np.array_equal(np.sort(weights.ravel()), np.sort(drawn.weights[name].ravel()))
        changed += not np.array_equal(weights != 0, drawn.weights[name] != 0)
    assert changed >= 10


def test_models_are_left_as_they_were():
    model, other = thinned(transformer()), thinned(transformer(1), seed=1)
    before = [p.clone() for p in (*model.parameters(), *other.parameters())]
    align_networks([BIMT(model), BIMT(other)], inputs_of(model), draws=2)
    assert all(torch.equal(a, b) for a, b in zip(before, (*model.parameters(), *other.parameters()), strict=True))
    assert not any(point.fwd_hooks for point in model.hook_dict.values())


def test_the_same_seed_gives_the_same_result_and_json():
    import json

    pair = [BIMT(thinned(mlp(i), seed=i)) for i in (0, 1, 2)]
    one, two = (align_networks(pair, inputs_of(mlp()), draws=3, seed=4).as_dict() for _ in (0, 1))
    assert json.dumps(one) == json.dumps(two)
    assert one["reference"] in one["names"] and one["examples"] == 200


def test_what_cannot_be_aligned():
    a, inputs = BIMT(mlp()), inputs_of(mlp())
    severed = mlp()
    with torch.no_grad():
        severed.layers[1].weight.zero_()
    for networks, more, said in [
        ([a], {}, "two networks or more"),
        ([a, BIMT(MLP([4, 9, 8, 2]))], {}, "hidden1 is 7 neurons in 0 and 8 neurons in 1"),
        ([a, BIMT(severed)], {}, "no active weight"),
        ([a, a], {"by": "activation"}, "did you mean 'activations'"),
        ([a, a], {"names": ["x", "x"]}, "each another"),
        ([a, a], {"reference": "2"}, "unknown network"),
        ([a, a], {"draws": 0}, "draws"),
    ]:
        with pytest.raises(InputError, match=said):
            align_networks(networks, inputs, **more)
    with pytest.raises(InputError, match="by='weights'"):
        align_networks([a, a])
