"""Elimination from networks of many weights: the parts against slow references, then whole runs of small models."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_transformer import token_transformer
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.training import eliminate as elimination
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination import large_search
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.distillation import evaluating, refit_loss
from bimt_tf.training.elimination.large import guarded
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.many_weights import DAMPING, remove_, wire_lengths
from bimt_tf.training.elimination.minibatch_refit import refit_
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.objective import CrossEntropy, objective_of
from bimt_tf.training.elimination.reach import reach
from bimt_tf.training.elimination.rounds import Round, Standing, dependencies, put_
from bimt_tf.training.elimination.sampled_curvature import Sampled, grouped, rows, sampled_curvature, unrows
from bimt_tf.training.elimination.set_apart import set_apart

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


def named(bimt):
    return {w.parameter: bimt.parameters[w.parameter] for w in bimt.wiring.wired}


def connections(bimt):
    return {c.parameter: c for c in bimt.wiring.connections}


STARTS = torch.arange(5).repeat(4)
TEXTS = (STARTS[:, None] + torch.arange(5)) % 5
DATA = TEXTS[:, :-1], TEXTS[:, 1:]
"""Each token is followed by the next number."""


def untaught(dtype=torch.float32):
    return BIMT(token_transformer(5, 4, d_model=4, n_layers=1, n_heads=1, d_mlp=8, dtype=dtype))


@pytest.fixture(scope="module")
def taught():
    """Weights at which the loss is about a hundredth."""
    bimt = untaught(F64)
    batches = Minibatches.of(bimt.model, named(bimt), CrossEntropy(), Examples(*DATA))
    refit_(batches, 100, 0.03, torch.Generator().manual_seed(0), lambda: False)
    assert 1e-3 < batches.mean() < 0.05
    return {name: p.detach().clone() for name, p in bimt.parameters.items()}


@pytest.fixture
def language(taught):
    bimt = untaught()
    put_(bimt, taught)
    return bimt


@torch.no_grad()
def mean_loss(bimt, data):
    return float(nn.functional.cross_entropy(bimt.model(data[0]).flatten(0, -2), data[1].flatten()))


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(large_search, "STEPS", 30)
    monkeypatch.setattr(large_search, "RATE", 0.05)
    monkeypatch.setattr(large_search, "PROBES", 16)
    monkeypatch.setattr(large_search, "LEAST_SHARE", 0.05)


def exact_curvature(model, parameters, loss_of_outputs, x):
    """J' (d2 loss / d outputs2) J / 2 by loops, of all parameters end to end, for a loss of outputs [n, k]."""
    outputs = model(x)
    curvature = 0.0
    for i in range(len(x)):
        jacobian = torch.stack(
            [
                torch.cat([g.flatten() for g in torch.autograd.grad(o, parameters, retain_graph=True)])
                for o in outputs[i].flatten()
            ]
        )
        bent = torch.autograd.functional.hessian(loss_of_outputs(i), outputs[i].detach().flatten())
        curvature = curvature + jacobian.mT @ bent @ jacobian / 2
    return curvature / len(x)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_random_gradients_have_the_curvature_as_their_mean_square(loss):
    bimt = BIMT(MLP([2, 3, 2], "silu", dtype=F64))
    x = numbers(6, 2)
    y = numbers(6, 2, seed=1) if loss == "squared" else torch.tensor([0, 1, 1, 0, 1, 0])
    parameters = named(bimt)

    def of(i):
        if loss == "squared":  # a mean over outputs too
            return lambda outputs: (outputs - y[i]).square().mean()
        return lambda outputs: nn.functional.cross_entropy(outputs, y[i])

    expected = exact_curvature(bimt.model, list(parameters.values()), of, x)
    batches = Minibatches.of(bimt.model, parameters, objective_of(loss, bimt.model(x), y), Examples(x, y))
    found = sampled_curvature(batches, connections(bimt), 2_000, torch.Generator().manual_seed(0))
    diagonal = torch.cat([d.flatten() for d in found.diagonal.values()])
    torch.testing.assert_close(diagonal, expected.diagonal(), rtol=0.15, atol=1e-3)
    weight = "layers.0.weight" if "layers.0.weight" in parameters else next(iter(connections(bimt)))
    entries = torch.arange(sum(p.numel() for p in parameters.values())).split([p.numel() for p in parameters.values()])
    places = dict(zip(parameters, entries, strict=True))[weight].view(parameters[weight].shape)
    row_wise = rows(connections(bimt)[weight], places)
    joint = sum(expected[row][:, row] for row in row_wise)
    torch.testing.assert_close(found.joint[weight][0], joint, rtol=0.15, atol=2e-3)


def test_rows_are_by_target_neuron_and_come_back():
    for model in (
        RegressionTransformer(d_model=6, n_heads=2, d_mlp=5),
        token_transformer(5, 4, d_model=8, n_layers=1, n_heads=2),
    ):
        for connection in BIMT(model).wiring.connections:
            weight = torch.arange(float(connection.numel)).view(connection.shape)
            flat = rows(connection, weight)
            assert len(flat) == connection.flatten(weight).shape[-1]
            assert torch.equal(unrows(connection, flat), weight)


def test_groups_hold_neighbouring_sources():
    weight = torch.arange(2.0 * 300).view(2, 300)
    parts = grouped(weight)  # 16 at once, for there are only two targets
    assert parts.shape == (19, 2, 16) and torch.equal(parts[1, 1], weight[1, 16:32]) and not parts[18, :, 12:].any()


def test_the_rest_of_a_row_makes_up_for_what_goes_as_brain_surgeon_does():
    """One linear layer, for which the sampled curvature is exact: the input's second moment."""
    bimt = BIMT(MLP([4, 3], "silu", dtype=F64))
    x = numbers(50, 4) @ numbers(4, 4, seed=2)
    ((name, connection),) = connections(bimt).items()
    parameters = {name: bimt.parameters[name]}
    moment = x.mT @ x / len(x)
    with torch.no_grad():
        parameters[name].copy_(connection.unflatten(numbers(1, 4, 3, seed=3)))
    before = rows(connection, parameters[name].detach().clone())
    diagonal = {name: unrows(connection, moment.diagonal().expand(3, 4))}
    curvature = Sampled(diagonal, {name: moment[None]})
    remove_(parameters, {name: connection}, curvature, wire_lengths(bimt, parameters), 5)
    after = rows(connection, parameters[name].detach())
    costs = before.square() * moment.diagonal() / rows(connection, wire_lengths(bimt, parameters)[name])
    assert set((after == 0).flatten().nonzero().flatten().tolist()) == set(costs.flatten().argsort()[:5].tolist())
    raised = moment + DAMPING * moment.diagonal().mean() * torch.eye(4, dtype=F64)
    for old, new in zip(before, after, strict=True):
        gone, stays = (new == 0).nonzero()[:, 0], (new != 0).nonzero()[:, 0]
        expected = old[stays] + torch.linalg.solve(raised[stays][:, stays], raised[stays][:, gone] @ old[gone])
        torch.testing.assert_close(new[stays], expected)


def test_curvature_that_is_no_number_only_takes_weights_out():
    bimt = BIMT(MLP([4, 3], "silu", dtype=F64))
    parameters = named(bimt)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    flat = Sampled(
        {name: torch.ones_like(p) for name, p in before.items()},
        {name: torch.full((1, 4, 4), torch.nan, dtype=F64) for name in connections(bimt)},
    )
    remove_(parameters, connections(bimt), flat, wire_lengths(bimt, parameters), 4)
    assert all(torch.equal(p[p != 0], before[name][p != 0]) for name, p in parameters.items())
    assert sum(int((p == 0).sum()) for p in parameters.values()) == 4 + sum(
        int((p == 0).sum()) for p in before.values()
    )


def test_wires_of_many_weights_have_lengths():
    bimt = BIMT(MLP([2_050, 2_050]), reduction="sum")  # more than core/charged.py keeps whole
    lengths, pays = wire_lengths(bimt, named(bimt)), bimt.coefficients()
    (first,) = connections(bimt)
    longest = float(pays[first].max())
    torch.testing.assert_close(lengths[first], pays[first] / longest)
    (bias,) = (found for name, found in lengths.items() if name != first)
    torch.testing.assert_close(bias, torch.full_like(bias, 0.5 / longest))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", ["regression", "tokens", "mlp", "attention"])
def test_dependencies_without_a_graph_are_those_of_the_graph(model, seed):
    made = {
        "regression": lambda: RegressionTransformer(d_model=4, n_heads=2, d_head=2, d_mlp=4, n_layers=2, seed=seed),
        "tokens": lambda: token_transformer(5, 4, d_model=4, n_layers=2, n_heads=2, d_mlp=4, seed=seed),
        "attention": lambda: token_transformer(3, 4, d_model=4, n_layers=1, n_heads=1, d_mlp=1, seed=seed),
        "mlp": lambda: MLP([3, 5, 5, 2], seed=seed),
    }[model]()
    bimt = BIMT(made)
    with torch.no_grad():
        for i, p in enumerate(bimt.parameters.values()):
            p.mul_(numbers(*p.shape, seed=50 * seed + i).abs() < (0.2, 0.3, 0.4, 0.6)[seed])
    found = reach(bimt)
    assert {(found.outputs[o], found.inputs[i]) for o, i in found.joined.nonzero().tolist()} == dependencies(bimt)


def test_what_was_lost_is_named():
    bimt = BIMT(MLP([2, 2, 1], seed=0))
    before = reach(bimt)
    with torch.no_grad():
        first = next(iter(connections(bimt).values()))
        weight = bimt.parameters[first.parameter]
        kept = rows(first, weight).clone()
        kept[:, 1] = 0
        weight.copy_(unrows(first, kept))
    ((output, lost),) = before.lost_in(reach(bimt))
    assert output == before.outputs[0] and lost == before.inputs[1]


@pytest.mark.usefixtures("few_steps")
def test_a_language_model_is_thinned_within_the_budget(language):
    bimt, data = language, DATA
    given, seen = mean_loss(bimt, data), []
    e = eliminate(bimt, data, "cross_entropy", validation=False, max_loss=0.1, on_round=seen.append)
    assert given < 0.1 and e.path[0].loss == pytest.approx(given, rel=1e-4)
    assert e.path[-1].weights < 0.5 * e.path[0].weights and all(one.loss <= 0.1 for one in e.path)
    assert mean_loss(bimt, data) == pytest.approx(e.path[-1].loss, rel=1e-4)
    assert active_weights(bimt, 0.0) == e.path[-1].weights and (e.examples, e.of) == (20, 20)
    assert {p.dtype for p in bimt.model.parameters()} == {torch.float32}
    assert all(one.state for one in seen) and [bool(one.state) for one in e.path[:-1]] == [False] * (len(seen) - 1)


@pytest.mark.usefixtures("few_steps")
def test_a_thinning_that_was_stopped_goes_on_to_the_same_bits(taught):
    whole, parts, kept = untaught(), untaught(), []
    put_(whole, taught)
    put_(parts, taught)
    e = eliminate(whole, DATA, "cross_entropy", validation=False, max_loss=0.1)
    first = eliminate(
        parts, DATA, "cross_entropy", validation=False, max_loss=0.1, on_round=kept.append, stop=lambda: len(kept) > 2
    )
    assert 2 < len(first.path) < len(e.path)
    put_(parts, taught)  # as the model was given at first: the path alone tells where to go on
    second = eliminate(parts, DATA, "cross_entropy", validation=False, max_loss=0.1, path=first.path)
    assert [one.weights for one in second.path] == [one.weights for one in e.path]
    assert all(torch.equal(p, parts.parameters[name]) for name, p in whole.parameters.items())


@pytest.mark.usefixtures("few_steps")
def test_a_round_is_stopped_in_its_midst_and_taken_back(language):
    bimt, data = language, DATA
    asked = []
    e = eliminate(
        bimt, data, "cross_entropy", validation=False, max_loss=0.1, stop=lambda: asked.append(0) or len(asked) > 10
    )
    assert len(e.path) == 1 and len(asked) >= 11 and active_weights(bimt, 0.0) == e.path[0].weights


@pytest.mark.usefixtures("few_steps")
def test_a_number_of_weights_is_reached(language):
    bimt, data = language, DATA
    e = eliminate(bimt, data, "cross_entropy", validation=False, weights=30)
    assert active_weights(bimt, 0.0) == e.path[-1].weights <= 30 and e.path[-1].weights > 15


@pytest.mark.usefixtures("few_steps")
def test_a_loss_above_the_budget_is_refitted_and_nothing_goes_if_that_fails(language):
    tokens, following = DATA
    data = torch.cat([tokens, tokens]), torch.cat([following, (following + 1) % 5])  # two right answers
    e = eliminate(language, data, "cross_entropy", validation=False, max_loss=1e-3)
    assert {one.what for one in e.path} <= {"as given", "refit"} and e.path[-1].weights == e.path[0].weights


@pytest.mark.usefixtures("few_steps")
def test_a_network_above_the_budget_is_not_learned_from(monkeypatch):
    """Half of the divergence from a network that knows nothing would keep the loss above 0.5."""
    monkeypatch.setattr(large_search, "RATE", 0.5)
    bimt = untaught()
    given = mean_loss(bimt, DATA)
    e = eliminate(bimt, DATA, "cross_entropy", validation=False, max_loss=0.3)
    assert given > 1.3 and [one.what for one in e.path[:2]] == ["as given", "refit"] and e.path[-1].loss <= 0.3


@pytest.mark.usefixtures("few_steps")
def test_validation_takes_rounds_back(language):
    bimt, data = language, DATA
    other = data[0][:5], (data[1][:5] + 1) % 5  # right on the training examples is wrong here
    e = eliminate(bimt, data, "cross_entropy", max_loss=0.1, validation=other)
    assert e.path[-1].validation_loss <= 1.1 * e.path[0].validation_loss


@pytest.mark.usefixtures("few_steps")
def test_a_frozen_parameter_and_zeros_stay_as_they_are(language):
    bimt, data = language, DATA
    name, frozen = next(iter(connections(bimt))), None
    with torch.no_grad():
        frozen = bimt.parameters[name].requires_grad_(False).clone()
        bias = next(p for n, p in bimt.parameters.items() if n.endswith("bias") and n != "unembed.bias")
        bias.zero_()
    eliminate(bimt, data, "cross_entropy", validation=False, max_loss=0.2)
    assert torch.equal(bimt.parameters[name], frozen) and not bias.any()


@pytest.mark.usefixtures("few_steps")
def test_few_enough_weights_go_on_by_exact_curvature(monkeypatch):
    monkeypatch.setattr(elimination, "MOST_WEIGHTS", 60)
    bimt = BIMT(MLP([3, 30, 2], "silu", dtype=torch.float32))
    x = numbers(60, 3)
    data = x, torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1)
    seen = []
    e = eliminate(bimt, data, max_loss=1e-3, on_round=seen.append)
    thinned = [one for one in e.path if one.weights + one.biases > 60]
    assert len(thinned) > 2 and [one.weights for one in seen] == [one.weights for one in e.path]
    assert e.path[-1].weights <= 20 and e.path[-1].loss <= 1e-3 == e.max_loss
    assert [one.seconds for one in e.path] == sorted(one.seconds for one in e.path)


@pytest.mark.usefixtures("few_steps")
def test_what_was_stopped_behind_the_minibatches_goes_on_to_the_same_bits(monkeypatch):
    monkeypatch.setattr(elimination, "MOST_WEIGHTS", 60)
    x = numbers(60, 3)
    data = x, torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1)
    whole, parts = (BIMT(MLP([3, 20, 2], "silu", dtype=F64)) for _ in range(2))
    kept = []
    known = {name: p.detach().clone() for name, p in parts.parameters.items()}

    def over():
        return any(one.weights + one.biases < 45 for one in kept)

    e = eliminate(whole, data, max_loss=1e-3, validation=False)
    first = eliminate(parts, data, max_loss=1e-3, validation=False, on_round=kept.append, stop=over)
    stages = {one.standing.stage for one in first.path}
    assert not first.ended and len(first.path) < len(e.path) and min(stages) == -1 and max(stages) > 0
    put_(parts, known)
    second = eliminate(parts, data, max_loss=1e-3, validation=False, path=first.path)
    assert [one.weights for one in second.path] == [one.weights for one in e.path] and second.ended
    assert all(torch.equal(p, parts.parameters[name]) for name, p in whole.parameters.items())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": (torch.zeros(4, 4, dtype=torch.int64), torch.zeros(4))}, r"found \[2, 4, 5\] and float32 \[2\]"),
        ({"examples": 0}, "examples must be a whole number"),
        ({"weights": 3}, "found max_loss and weights"),
        ({"max_loss": None, "neurons": 3}, "neurons= needs a model in plain torch"),
    ],
)
def test_mistakes_are_named(change, said):
    bimt = BIMT(token_transformer(5, 4, d_model=4, n_layers=1, n_heads=1))
    tokens = torch.zeros(4, 4, dtype=torch.int64)
    given = {"data": (tokens, tokens), "loss": "cross_entropy", "max_loss": 1.0} | change
    with pytest.raises(InputError, match=said):
        eliminate(bimt, given.pop("data"), given.pop("loss"), **given)


def test_a_refit_learns_from_the_network_as_given_by_half():
    """Against the divergence written out, and the loss alone where classes are not drawn."""
    inputs, targets = torch.zeros(3, 2), torch.tensor([[0, 1], [2, 2], [1, 0]])
    outputs, said = numbers(3, 2, 4), numbers(3, 2, 4, seed=1)
    p, q = said.exp() / said.exp().sum(-1, keepdim=True), outputs.exp() / outputs.exp().sum(-1, keepdim=True)
    divergence = (p * (p / q).log()).sum() / 6
    own = -q.gather(-1, targets[..., None]).log().mean()
    found = refit_loss(CrossEntropy(), lambda _: said, inputs, outputs, targets)
    torch.testing.assert_close(found, own / 2 + divergence / 2)
    torch.testing.assert_close(refit_loss(CrossEntropy(), None, inputs, outputs, targets), own)
    squares = objective_of("squared", outputs, said)
    torch.testing.assert_close(
        refit_loss(squares, lambda _: 0 * said, inputs, outputs, said), (outputs - said).square().mean()
    )


def test_the_teacher_has_no_dropout_and_its_parts_keep_their_modes():
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout().eval(), nn.Linear(2, 2)))
    modes = [part.training for part in model.modules()]
    with pytest.raises(KeyError), evaluating(model):
        assert not any(part.training for part in model.modules())
        raise KeyError
    assert [part.training for part in model.modules()] == modes and len(set(modes)) == 2


@pytest.mark.usefixtures("few_steps")
def test_tables_and_gains_lose_nothing():
    """A token that the examples lack costs nothing, yet its row of the table stays."""
    bimt = BIMT(token_transformer(6, 4, d_model=4, n_layers=1, n_heads=1, d_mlp=8, normalization="rms"))
    names = {w.parameter for w in bimt.wiring.connections}
    names |= {a.parameter for a in bimt.wiring.attachments if a.is_bias and a.charged}
    before = {name: int(p.count_nonzero()) for name, p in bimt.parameters.items() if name not in names}
    assert {"embed.weight", "unembed.weight"} <= set(before) and any("ln" in name for name in before)
    e = eliminate(bimt, DATA, "cross_entropy", validation=False, weights=20)
    assert e.path[-1].weights <= 20
    assert {name: int(bimt.parameters[name].count_nonzero()) for name in before} == before


@pytest.mark.usefixtures("few_steps")
def test_a_loss_of_zero_at_first_does_not_shrink_the_rounds(language):
    """The divergence from the network as given: whatever is small against a hundredth of a nat is no doubling."""
    bimt, data = language, DATA
    with torch.no_grad():
        wanted = bimt.model(data[0]).log_softmax(-1)

    def divergence(outputs, targets):
        return (targets.exp() * (targets - outputs.log_softmax(-1))).sum(-1).mean()

    e = eliminate(bimt, (data[0], wanted), divergence, validation=False, weights=60)
    assert e.path[0].loss < 1e-6 and e.path[-1].weights <= 60
    assert e.path[1].weights + e.path[1].biases <= 0.85 * (e.path[0].weights + e.path[0].biases)


def test_the_validation_loss_may_rise_as_the_loss_may():
    def first(loss, validation):
        return Round("as given", 9, 0, {}, loss, validation, (), 0.0, {}, Standing(-1, 0.2))

    assert guarded(Budget(1.0, 0, 2.2), first(1.0, 2.0)).validation_loss == 2.0
    assert guarded(Budget(1.05, 0, 2.2), first(1.0, 2.0)).validation_loss == pytest.approx(2.1)
    assert guarded(Budget(2.0, 0, 2.2), first(1.0, 2.0)).validation_loss == 2.2
    assert guarded(Budget(0.1, 0, 2.2), first(1.0, 2.0)).validation_loss == 2.0  # to be refitted first
    assert guarded(Budget(0.1, 0, 0.1), first(0.0, 0.0)).validation_loss == 0.1
    assert guarded(Budget(0.1, 0, math.inf), first(0.2, None)).validation_loss == math.inf


@pytest.mark.parametrize("size", [2, 4, 9])
def test_windows_that_validate_share_no_token_with_those_that_are_fitted(size):
    text = torch.arange(200)
    cut = text.unfold(0, size + 1, 1)
    n = len(cut)
    fitted, held = set_apart(Examples(cut[:, :-1], cut[:, 1:]), 0.2)
    assert len(held.inputs) == round(0.2 * n) and n - len(held.inputs) - len(fitted.inputs) == size - 1
    tokens = [set(part.inputs.flatten().tolist()) for part in (fitted, held)]
    assert not tokens[0] & tokens[1] and max(tokens[0]) + 1 == min(tokens[1])
    assert held.targets.data_ptr() - cut[:, 1:].data_ptr() == held.targets.storage_offset() * 8 - 8  # a view


def test_examples_apart_from_each_other_validate_at_random():
    x = torch.arange(40).view(20, 2)
    fitted, held = set_apart(Examples(x, x), 0.25)
    assert len(held.inputs) == 5 and held.inputs[:, 0].tolist() != list(range(30, 40, 2))
    assert sorted(fitted.inputs[:, 0].tolist() + held.inputs[:, 0].tolist()) == x[:, 0].tolist()


BOUNDED = """
import resource, torch
from bimt_tf import BIMT, MLP, eliminate
from bimt_tf.training.elimination import large_search
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.distillation import evaluating, refit_loss
from bimt_tf.training.elimination.large import guarded
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.minibatches import Minibatches
from bimt_tf.training.elimination.objective import Squares
large_search.STEPS, large_search.MORE, large_search.PROBES = 2, 1, 2
bimt = BIMT(MLP([300, 1500, 400]))
data, kept = (torch.randn(64, 300), torch.randn(64, 400)), []
peak = lambda: 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
batches = Minibatches.of(bimt.model, bimt.parameters, Squares(lambda o, t: o - t), Examples(*data))
for _ in batches.gradients(3, torch.Generator().manual_seed(0)):  # a minibatch's activations and gradients
    pass
before = peak()
eliminate(bimt, data, loss_factor=2.0, validation=False, on_round=kept.append, stop=lambda: len(kept) > 1)
print(peak() - before, 4 * sum(p.numel() for p in bimt.parameters.values()), len(kept))
"""


def test_memory_is_bounded_by_copies_of_the_weights():
    """A million weights: an n x n matrix would take four terabytes."""
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, check=True)
    grown, size, rounds = map(int, done.stdout.split())
    assert rounds >= 2 and grown < 100e6 + 20 * size
