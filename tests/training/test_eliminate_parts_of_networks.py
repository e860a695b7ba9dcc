"""Moves of whole parts: a softmax's gauge, neurons that others carry, heads, modules; with planted truths."""

import itertools
import math

import pytest
import torch
from torch import nn

from bimt_tf.bimt import BIMT
from bimt_tf.core.wiring import Wiring
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.folding import Dependence, dependences, fold_, hidden_stages
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.merging import merge_neuron
from bimt_tf.training.elimination.objective import CrossEntropy, Squares
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.softmax_gauge import (
    GAUGE,
    best_shifts,
    choose_gauge,
    equal_weights,
    shift_equal_weights,
)
from bimt_tf.training.elimination.structure import remove_parts
from bimt_tf.training.elimination.whole_parts import remove_head, remove_module, without_head

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def search_of(model, x, targets, objective=None, budget=1e-9, wiring=None):
    bimt = BIMT(model, wiring=wiring)
    made = Search(bimt, Examples(x, targets), None, objective or CrossEntropy(), lambda _: None, lambda: False)
    made.budget = Budget(budget, 0, math.inf)
    return made


def squares():
    return Squares(lambda o, t: (o - t).flatten(1))


# --- the gauge of a softmax


def brute_force(rows, lengths):
    """The fewest numbers, then classes, then cost, over all choices of one shift a row."""
    options = [[0.0, *row.tolist()] for row in rows]
    found = []
    for shifts in itertools.product(*options):
        moved = rows - torch.tensor(shifts, dtype=F64)[:, None]
        found.append((int((moved != 0).sum()), int((moved != 0).any(0).sum()), float((lengths * moved.abs()).sum())))
    return found


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("classes", [2, 3])
def test_the_best_shifts_are_those_of_all_choices(classes, seed):
    rows = (numbers(3, classes, seed=seed) * 2).round()  # whole numbers, so that several are equal and some are zero
    lengths = 1 + numbers(3, classes, seed=seed + 50).abs()
    moved = rows - best_shifts(rows, lengths)[:, None]
    size, led_to = int((moved != 0).sum()), int((moved != 0).any(0).sum())
    every = brute_force(rows, lengths)
    assert size == min(every)[0]
    if classes == 2:  # of more, emptying one class for all rows is all that is tried beside the best of each row
        assert (size, led_to) == min(every)[:2]
    of_each = sum(min(brute_force(rows[i : i + 1], lengths[i : i + 1]))[0] for i in range(3))
    assert size == of_each


@pytest.mark.parametrize("kind", ["mlp", "tokens", "sequential", "positions"])
def test_no_probability_moves_and_two_classes_come_down_to_one(kind):
    if kind == "tokens":
        model = TokenMLP(4, 3, 2, [5, 2], seed=0, dtype=F64)
        x = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    elif kind == "sequential":
        model, x = nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 2)).double(), numbers(30, 3)
    elif kind == "positions":
        model = RegressionTransformer(d_model=6, n_heads=2, d_head=2, d_mlp=6, n_layers=1, seed=1, dtype=F64)
        x = numbers(20, 3, 2)
    else:
        model, x = MLP([3, 5, 2], "silu", 0, dtype=F64), numbers(30, 3)
    with torch.no_grad():
        before = model(x).log_softmax(-1)
    targets = before.argmax(-1)
    search = search_of(model, x, targets)
    choose_gauge(search)
    assert [one.what for one in search.path] == ["as given", "gauge"]
    with torch.no_grad():
        after = search.bimt.model(x).log_softmax(-1)
    assert torch.allclose(before, after, rtol=0, atol=1e-12)
    last = [p for c in search.bimt.wiring.connections[-1:] for p in [c.flatten(search.bimt.parameters[c.parameter])]][0]
    assert int((last != 0).any(0).any(0).sum()) == 1
    assert search.now.weights < search.path[0].weights and search.now.loss == pytest.approx(search.path[0].loss)
    assert (
        {pair[0] for pair in search.now.severed} == {("output", 0)}
        or {pair[0] for pair in search.now.severed} == {("output", 1)}
        or kind == "positions"
    )
    choose_gauge(search)
    assert len(search.path) == 2  # nothing is left to choose


def test_a_shared_part_of_all_classes_goes_and_a_loss_that_is_no_softmax_keeps_it():
    model, x = MLP([3, 4, 5], "silu", 0, dtype=F64), numbers(60, 3)
    with torch.no_grad():
        model.layers[1].weight[:, 2] = torch.tensor([1.5, 1.5, 1.5, 1.5, 0.2])  # four equal: one weight says the same
    targets = model(x).argmax(-1)
    search = search_of(model, x, targets)
    choose_gauge(search)
    row = search.bimt.model.layers[1].weight[:, 2]
    assert torch.allclose(row, torch.tensor([0, 0, 0, 0, -1.3], dtype=F64))
    other = search_of(MLP([3, 4, 5], "silu", 0, dtype=F64), x, numbers(60, 5, seed=3), squares())
    choose_gauge(other)
    assert len(other.path) == 1


def test_logits_that_are_not_a_last_layer_s_are_left_alone():
    class Squashed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return torch.tanh(self.b(torch.tanh(self.a(x))))

    model, x = Squashed().double(), numbers(30, 3)
    table = {"a.weight": "hidden input", "a.bias": "hidden", "b.weight": "output hidden", "b.bias": "output"}
    search = search_of(model, x, model(x).argmax(-1), wiring=Wiring.from_table(table, model))
    choose_gauge(search)
    assert len(search.path) == 1


def test_sets_of_nearly_equal_weights():
    rows = torch.tensor([[2.0, 2.1, -2.0, 1.95, 0.0], [0.0, 0.0, 3.0, 0.0, 3.0], [0.1, -0.1, 1.0, 0.0, 0.0]], dtype=F64)
    shifts, equal, gains = equal_weights(rows, 0.1)
    assert equal[0].tolist() == [True, True, False, True, False] and float(shifts[0]) == pytest.approx(6.05 / 3)
    assert gains.tolist() == [2.0, -1.0, -1.0]


def test_a_sign_that_is_written_twice_is_written_once():
    """Half of the classes get +a, half -a; measured from one half, the other needs 2a, and half the weights go."""
    x = numbers(200, 2)
    model = MLP([2, 2, 6], "identity", 0, dtype=F64)
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.eye(2))
        model.layers[0].bias.zero_(), model.layers[1].bias.zero_()
        model.layers[1].weight[:, 0] = torch.tensor([3, 3, 3, -3, -3, -3]) + 0.05 * numbers(6, seed=2)
        model.layers[1].weight[:, 1] = torch.tensor([4.0, 0, 0, 4, 0, 0])
        targets = torch.distributions.Categorical(logits=model(x)).sample()
    search = search_of(model, x, targets)
    search.budget = search.budget._replace(loss=1.01 * search.now.loss)
    before = int(search.bimt.model.layers[1].weight[:, 0].count_nonzero())
    assert shift_equal_weights(search)
    assert (before, int(search.bimt.model.layers[1].weight[:, 0].count_nonzero())) == (6, 3)
    assert search.now.loss <= search.budget.loss


# --- neurons that others carry


def doubled(signs=(1.0,), act="identity"):
    """A network whose hidden neurons 1, 2, ... are neuron 0 times a factor, plus a constant."""
    model = MLP([3, 1 + len(signs) + 2, 2], act, 0, dtype=F64)
    with torch.no_grad():
        for i, sign in enumerate(signs, 1):
            model.layers[0].weight[i] = sign * model.layers[0].weight[0]
            model.layers[0].bias[i] = sign * model.layers[0].bias[0] + (0.7 if act == "identity" else 0)
    return model


def test_dependences_are_those_of_least_squares():
    known = numbers(50, 3)
    values = torch.stack([known[:, 0], 2 - 3 * known[:, 0], known[:, 1], known[:, 0] + known[:, 1] - 1,
                          torch.full((50,), 4.0, dtype=F64)], 1)  # fmt: skip
    found = {(one.neuron, len(one.others)): one for one in dependences(values, [0, 1, 2, 3, 4], 2)}
    assert found[1, 1].others == (0,) and found[1, 1].left < 1e-12
    assert found[1, 1].slopes == pytest.approx((-3.0,)) and found[1, 1].constant == pytest.approx(2.0)
    assert found[4, 0].constant == pytest.approx(4.0) and found[4, 0].left < 1e-12
    assert found[3, 1].left > 0.3 and found[3, 2].left < 1e-12 and set(found[3, 2].others) <= {0, 1, 2}
    ones = torch.ones(50, 1, dtype=F64)
    for other in (0, 1, 3):  # the one other that explains it best
        columns = torch.cat([values[:, [other]], ones], 1)
        left = values[:, 2:3] - columns @ torch.linalg.lstsq(columns, values[:, 2:3]).solution
        assert found[2, 1].left <= float(left.square().mean().sqrt()) + 1e-12
        if found[2, 1].others == (other,):
            assert found[2, 1].left == pytest.approx(float(left.square().mean().sqrt()))


@pytest.mark.parametrize("act", ["identity", "relu"])
def test_neurons_that_carry_the_same_become_one_without_any_change(act):
    x = numbers(80, 3)
    model = doubled((2.0, -1.5) if act == "identity" else (2.0, 0.5), act)
    targets = model(x).detach()
    search = search_of(model, x, targets, squares(), budget=1e-20)
    counts = [search.now.hidden_neurons]
    while merge_neuron(search):
        counts.append(search.now.hidden_neurons)
    if act == "identity":
        assert counts[-1] <= 3 and search.path[2].loss < 1e-25  # two of five repeat another
    else:
        assert counts == [5, 4, 3]
    assert torch.allclose(search.bimt.model(x), targets, atol=1e-9)
    assert {one.what for one in search.path[1:]} == {"merge"}


def test_a_folded_neuron_moves_nothing_where_tokens_share_it():
    model = TokenMLP(5, 3, 2, [4, 3], seed=0, dtype=F64)
    with torch.no_grad():
        model.embed.weight[:, 2] = 2 * model.embed.weight[:, 0] - model.embed.weight[:, 1] + 0.3
    x = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    bimt, before = BIMT(model), model(x).detach()
    stage = hidden_stages(bimt)[0]
    assert stage.name == "embed" and [one.name for one in hidden_stages(bimt)] == ["embed", "hidden0"]
    one = next(
        d for d in dependences(model.embed.weight.detach(), [0, 1, 2], 2) if d.neuron == 2 and len(d.others) == 2
    )
    changed = {}
    assert fold_(bimt, changed, stage, one)
    with torch.no_grad():
        for name, values in changed.items():
            bimt.parameters[name].copy_(values)
    assert torch.allclose(model(x), before, atol=1e-12) and not changed["layers.0.weight"].view(4, 2, 3)[:, :, 2].any()


def test_what_leaves_more_weights_is_not_kept():
    """A neuron of an embedding that is the sum of two others: its table's 30 entries could go, for 4 weights more."""
    model = TokenMLP(30, 3, 2, [6], seed=0, dtype=F64)
    with torch.no_grad():
        model.embed.weight[:, 2] = model.embed.weight[:, 0] + model.embed.weight[:, 1]
        read = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 2], [0, 0, 1], [0, 0, 3]], dtype=F64)
        model.layers[0].weight.copy_(torch.cat([read, torch.zeros(6, 3, dtype=F64)], 1))
    x = torch.randint(30, (80, 2), generator=torch.Generator().manual_seed(0))
    search = search_of(model, x, model(x).detach(), squares(), budget=1e-20)
    changed = {}
    one = next(d for d in dependences(model.embed.weight.detach(), [0, 1, 2], 2) if (d.neuron, len(d.others)) == (2, 2))
    assert fold_(search.bimt, changed, hidden_stages(search.bimt)[0], one)
    trial = search.trial(changed)
    assert len(trial.start) < search.live and trial.loss(trial.start) < 1e-25 and not search.fewer(trial)
    assert not merge_neuron(search)


# --- heads and modules


def heads_of(bimt, block=0):
    return (bimt.parameters[f"blocks.{block}.attn.W_O"] != 0).any(-1).any(-1).tolist()


def test_a_head_that_does_next_to_nothing_goes():
    model = RegressionTransformer(d_model=6, n_heads=3, d_head=2, d_mlp=4, n_layers=1, seed=1, dtype=F64)
    x = numbers(50, 3, 2)
    targets = model(x)[:, -1].detach()
    with torch.no_grad():
        model.blocks[0].attn.W_O[1] *= 1e-3
        targets = model(x)[:, -1].detach() + 1e-5 * numbers(50, 2, seed=5)
    search = search_of(model, x, targets, Squares(lambda o, t: o[:, -1] - t), budget=1e-5)
    assert remove_head(search) and search.now.what == "head" and search.now.loss <= 1e-5
    assert heads_of(search.bimt) == [True, False, True]
    assert not search.bimt.parameters["blocks.0.attn.W_Q"][1].any()
    assert not search.bimt.parameters["blocks.0.attn.b_V"][1].any()


def test_without_a_head_is_as_if_it_gave_nothing():
    model = RegressionTransformer(d_model=6, n_heads=3, d_head=2, d_mlp=4, n_layers=1, seed=1, dtype=F64)
    bimt, x = BIMT(model), numbers(20, 3, 2)
    axis = bimt.wiring.populations["blocks.0.ov"].head_axis
    changed = without_head(bimt, axis, 2)
    with torch.no_grad():
        z = model.blocks[0].attn.hook_z
        z.add_hook(lambda tensor, hook: tensor.index_fill(2, torch.tensor([2]), 0.0))
        expected = model(x)
        model.reset_hooks()
        for name, values in changed.items():
            bimt.parameters[name].copy_(values)
        assert torch.allclose(model(x), expected, atol=1e-12)


def two_parts(weak=1e-3):
    """Two outputs, of which the second is added to the first by a part of the network that hardly matters."""
    model = MLP([2, 4, 4, 2], "silu", 0, dtype=F64)
    with torch.no_grad():
        for layer in model.layers:
            rows, columns = layer.weight.shape
            mask = torch.zeros(rows, columns, dtype=F64)
            mask[: rows // 2, : columns // 2] = 1
            mask[rows // 2 :, columns // 2 :] = 1
            layer.weight.copy_(mask * (1 + 0.2 * numbers(rows, columns)))
        model.layers[2].weight[1] *= weak
    return model


def test_a_module_that_does_next_to_nothing_goes():
    model, x = two_parts(), numbers(80, 2)
    targets = model(x).detach()
    search = search_of(model, x, targets, squares(), budget=1e-4)
    assert remove_module(search)
    assert search.path[1].what == "module" and search.path[1].neurons["hidden0"] == 2
    assert search.path[1].neurons["hidden1"] == 2 and search.path[1].loss <= 1e-4
    kept = search_of(two_parts(1.0), x, two_parts(1.0)(x).detach(), squares(), budget=1e-12)
    assert not remove_module(kept)


def test_a_spare_module_of_a_classification_goes():
    """Two copies of what tells the classes apart: one of them, twice as strong, is enough."""
    model, x = MLP([2, 4, 2], "silu", 0, dtype=F64), numbers(100, 2, seed=1)
    with torch.no_grad():
        model.layers[0].weight[2:] = 1.05 * model.layers[0].weight[:2]
        model.layers[1].weight[:, 2:] = model.layers[1].weight[:, :2]
        targets = torch.distributions.Categorical(logits=model(x)).sample()
    search = search_of(model, x, targets)
    search.budget = search.budget._replace(loss=1.01 * search.now.loss)
    remove_parts(search)
    assert search.now.hidden_neurons <= 2 and search.now.loss <= search.budget.loss


@pytest.mark.parametrize("at", [2, 3, 4])
def test_a_stopped_one_goes_on_to_the_same_bits(at):
    x = numbers(120, 3)
    start = doubled((2.0, -1.5)).state_dict()

    def bimt():
        model = MLP([3, 5, 2], "identity", 0, dtype=F64)
        model.load_state_dict(start)
        return BIMT(model)

    targets = torch.distributions.Categorical(logits=bimt().model(x).detach()).sample()
    whole = eliminate(bimt(), (x, targets), "cross_entropy", loss_factor=1.01)
    seen = []
    part = eliminate(bimt(), (x, targets), "cross_entropy", loss_factor=1.01, on_round=seen.append,
                     stop=lambda: len(seen) >= at)  # fmt: skip
    rest = eliminate(bimt(), (x, targets), "cross_entropy", loss_factor=1.01, path=part.path)
    assert "gauge" in {one.what for one in whole.path} and len(rest.path) == len(whole.path) and rest.ended
    for mine, theirs in zip(rest.path, whole.path, strict=True):
        assert (mine.what, mine.loss, mine.standing) == (theirs.what, theirs.loss, theirs.standing)
        assert all(torch.equal(p.to_dense(), theirs.state[n].to_dense()) for n, p in mine.state.items())


def test_notes_of_a_search_that_goes_on_tell_of_the_gauge_before_it():
    x = numbers(120, 3)

    def bimt():
        return BIMT(MLP([3, 5, 2], "silu", 0, dtype=F64))

    data, seen = (x, bimt().model(x).argmax(-1)), []
    part = eliminate(bimt(), data, "cross_entropy", loss_factor=1.01, on_round=seen.append, stop=lambda: len(seen) > 2)
    assert [one.what for one in part.path][:2] == ["as given", "gauge"]
    assert GAUGE in part.notes and eliminate(bimt(), data, "cross_entropy", loss_factor=1.01, path=part.path).notes == (
        GAUGE,
    )


def test_frozen_weights_are_moved_by_no_part():
    model, x = doubled((2.0, -1.5)), numbers(80, 3)
    model.layers[1].requires_grad_(False)
    search = search_of(model, x, model(x).detach(), squares(), budget=1e6)
    assert not merge_neuron(search) and not remove_module(search)
    model = RegressionTransformer(d_model=6, n_heads=3, d_head=2, d_mlp=4, n_layers=1, seed=1, dtype=F64)
    model.blocks[0].attn.W_O.requires_grad_(False)
    x = numbers(50, 3, 2)
    search = search_of(model, x, model(x).detach(), squares(), budget=1e6)
    assert not remove_head(search) and all(heads_of(search.bimt))


def test_a_constant_part_needs_one_bias():
    """Of a bias with several entries a neuron none is the one that a constant goes into."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2, bias=False)
            self.c = nn.Parameter(torch.zeros(6))

        def forward(self, x):
            return self.b(torch.relu(self.a(x))) + self.c.view(3, 2).mean(0)

    model = Twice().double()
    table = {"a.weight": "hidden input", "a.bias": "hidden", "b.weight": "output hidden", "c": "(_ output)"}
    bimt = BIMT(model, wiring=Wiring.from_table(table, model))
    assert next(one for one in bimt.wiring.attachments if one.parameter == "c").is_bias
    stage = next(one for one in bimt.wiring.stages if one.name == "hidden")
    assert not fold_(bimt, {}, stage, Dependence(0, (), (), 1.0, 0.0))
    assert fold_(bimt, {}, stage, Dependence(0, (), (), 0.0, 0.0))
