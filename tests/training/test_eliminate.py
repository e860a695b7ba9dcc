import math

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.tasks.base import Data
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.budget import Budget
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.objective import Squares
from bimt_tf.training.elimination.rounds import put_
from bimt_tf.training.elimination.search import Search

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


def square(n=200, seed=0):
    """Three inputs, of which the first squared and the second make two outputs."""
    x = numbers(n, 3, seed=seed)
    return Data(x, torch.stack([x[:, 0] ** 2, x[:, 1]], dim=1), {})


def mlp(dtype=F64, seed=0):
    return BIMT(MLP([3, 6, 2], "silu", seed, dtype=dtype))


def loss_of(bimt, data):
    with torch.no_grad():
        outputs = bimt.model(data[0].to(next(bimt.model.parameters()).dtype))
        return float((outputs - data[1]).square().mean())


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_weights_go_within_the_budget_and_the_model_holds_what_is_left(dtype):
    bimt, data, seen = mlp(dtype), square(), []
    places = bimt.layout
    e = eliminate(bimt, data, max_loss=1e-3, on_round=seen.append)
    assert e.path == tuple(seen) and [r.what for r in e.path][:2] == ["as given", "refit"]
    first, last = e.path[0], e.path[-1]
    assert first.weights == 30 and last.weights <= 14 and last.loss <= 1e-3 == e.max_loss
    assert all(r.loss <= 1e-3 for r in e.path if r.what == "weights")
    assert [r.weights + r.biases for r in e.path] == sorted((r.weights + r.biases for r in e.path), reverse=True)
    assert {p.dtype for p in bimt.model.parameters()} == {dtype} and bimt.layout is places
    assert active_weights(bimt, 0.0) == last.weights
    assert loss_of(bimt, data) == pytest.approx(last.loss, rel=1e-12 if dtype is F64 else 1e-2)
    assert (("output", 0), ("input", 2)) in e.severed  # the third input has no part in either output
    put_(bimt, e.path[1].state)
    assert loss_of(bimt, data) == pytest.approx(e.path[1].loss, rel=1e-12 if dtype is F64 else 1e-2)


def test_a_number_of_weights_is_reached_whatever_the_loss():
    bimt = mlp()
    e = eliminate(bimt, square(), weights=8)
    assert active_weights(bimt, 0.0) == e.path[-1].weights <= 8 and e.max_loss == math.inf
    assert min(r.weights for r in e.path[:-1]) > 8
    assert e.path[-1].loss < 0.1  # half a neuron for the square is better than none


def test_a_factor_is_of_the_loss_as_given():
    bimt, data = mlp(), square()
    eliminate(bimt, data, max_loss=1e-3)
    given = loss_of(bimt, data)
    e = eliminate(bimt, data, loss_factor=1.5)
    assert e.max_loss == pytest.approx(1.5 * given) and e.path[-1].loss <= e.max_loss


def test_whole_neurons_go():
    plain, bimt, data = mlp(), mlp(), square()
    few = eliminate(plain, data, max_loss=1e-3).path[-1].neurons["hidden0"]
    e = eliminate(bimt, data, max_loss=1e-3, whole_neurons="first")
    assert e.path[-1].neurons["hidden0"] <= min(few, 4) and e.path[-1].loss <= 1e-3
    assert loss_of(bimt, data) == pytest.approx(e.path[-1].loss)


def test_staying_near_keeps_weights_near():
    data, moved = square(), {}
    for stay_near in (False, True):
        given, bimt = mlp(), mlp()
        e = eliminate(bimt, data, max_loss=0.1, stay_near=stay_near)
        assert e.path[-1].loss <= 0.1 and e.path[-1].weights < e.path[0].weights
        moved[stay_near] = max(
            float((p.detach() - given.parameters[n].detach())[p != 0].abs().amax())
            for n, p in bimt.parameters.items()
            if p.count_nonzero()
        )
    assert moved[True] < 0.5 * moved[False]


def test_a_round_that_is_taken_back_leaves_the_same_bits():
    data = Examples(*square()[:2])
    search = Search(mlp(), data, None, Squares(lambda o, t: o - t), lambda _: None, lambda: False)
    search.budget = Budget(1e-9, 0, math.inf)
    before = {name: p.detach().clone() for name, p in search.bimt.parameters.items()}
    network = search.network()
    values = network.start.index_fill(0, torch.tensor([0, 1, 2]), 0)
    assert not search.attempt("weights", network, values, steps=3, tolerance=1e-3, goal=0.0)
    assert all(torch.equal(p, before[name]) for name, p in search.bimt.parameters.items()) and len(search.path) == 1


def test_a_budget_that_nothing_fits_into_leaves_all_weights():
    bimt = mlp()
    e = eliminate(bimt, square(), max_loss=1e-30)
    assert {r.what for r in e.path} == {"as given", "refit"} and active_weights(bimt, 0.0) == 30


def test_validation_keeps_what_training_examples_do_not_need():
    varied, validation = numbers(50, 2), numbers(50, 2, seed=3)
    training = varied * torch.tensor([1.0, 0.0])  # the second input is always 0
    start = MLP([2, 4, 1], "silu", dtype=F64)
    taught = BIMT(start)
    eliminate(taught, (varied, varied.sum(1, keepdim=True)), max_loss=1e-30)  # a refit, which knows of both inputs
    known = {name: p.detach().clone() for name, p in start.state_dict().items()}
    blind = eliminate(taught, (training, training.sum(1, keepdim=True)), max_loss=1e-3)
    assert (("output", 0), ("input", 1)) in blind.severed
    start.load_state_dict(known)
    pair = validation, validation.sum(1, keepdim=True)
    guarded = eliminate(taught, (training, training.sum(1, keepdim=True)), max_loss=1e-3, validation=pair)
    assert not guarded.severed and guarded.path[-1].validation_loss <= 1e-3
    assert loss_of(taught, pair) == pytest.approx(guarded.path[-1].validation_loss)


def test_it_stops_when_asked_with_the_last_round_kept():
    bimt, data, seen = mlp(), square(), []
    e = eliminate(bimt, data, max_loss=1e-2, on_round=seen.append, stop=lambda: len(seen) >= 3)
    assert len(e.path) == 3 and loss_of(bimt, data) == pytest.approx(e.path[-1].loss)


def test_a_sample_of_the_examples_is_stated():
    e = eliminate(mlp(), square(), max_loss=1e-2, examples=40)
    assert (e.examples, e.of, e.notes) == (40, 200, ())


def test_the_same_call_gives_the_same_bits():
    models = []
    for _ in range(2):
        models.append(mlp())
        eliminate(models[-1], square(), max_loss=1e-3)
    first, second = (bimt.parameters.values() for bimt in models)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("heads", [1, 4])
def test_a_circuit_planted_in_a_transformer_is_found_again(heads):
    model = RegressionTransformer(d_model=6, n_heads=heads, d_head=2, d_mlp=6, n_layers=1, seed=1, dtype=F64)
    x = numbers(60, 3, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(numbers(*p.shape, seed=p.numel()) > 0.5)
        targets = model(x)[:, -1, 0]
        planted = active_weights(BIMT(model), 0.0)
        for p in model.parameters():
            p.add_(numbers(*p.shape, seed=p.numel() + 1), alpha=0.01)
    e = eliminate(BIMT(model), (x, targets), lambda o, t: (o[:, -1, 0] - t)[:, None], max_loss=1e-6,
                  validation=False)  # fmt: skip
    with torch.no_grad():
        assert float((model(x)[:, -1, 0] - targets).square().mean()) == pytest.approx(e.path[-1].loss)
    assert e.path[0].weights > 2 * planted >= 2 * e.path[-1].weights and e.path[-1].loss <= 1e-6


def test_tokens():
    model = TokenMLP(4, 3, 2, [5, 1], seed=0, dtype=F64)
    tokens = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    targets = tokens.sum(1, keepdim=True).double() / 4
    e = eliminate(BIMT(model), (tokens, targets), max_loss=1e-3, whole_neurons="first")
    assert e.path[-1].loss <= 1e-3 and e.path[-1].weights < e.path[0].weights / 2


def test_a_model_that_compact_does_not_know():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(torch.sin(self.a(x)))

    from bimt_tf.core.wiring import Wiring

    model = Own().double()
    table = {"a.weight": "hidden input", "a.bias": "hidden", "b.weight": "output hidden", "b.bias": "output"}
    bimt, data = BIMT(model, wiring=Wiring.from_table(table, model)), square()
    e = eliminate(bimt, data, max_loss=1e-2)
    assert loss_of(bimt, data) == pytest.approx(e.path[-1].loss) and e.path[-1].weights < 20


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"whole_neurons": True}, "unknown whole_neurons 'True'"),
        ({"weights": 3}, "give one of max_loss, .* found max_loss and weights"),
        ({"loss": "cross_entropy"}, r"whole numbers \[n, ...\], found \[2, 2\] and float64 \[2, 2\]"),
        ({"loss": "sqared"}, "did you mean 'squared'"),
        ({"loss": 3}, "loss must be 'squared', 'cross_entropy' or a function, found 3"),
        ({"loss": lambda o, t: (o - t).square().sum(1)}, r"or a scalar; for 2 examples it gave \[2\]"),
        ({"loss": lambda o, t: 0.5}, "the given function gives a float"),
        ({"data": (numbers(5, 3), numbers(5))}, r"outputs \[2, 2\] and targets \[2\] differ in shape"),
        ({"data": (numbers(5, 3), numbers(4, 2))}, "as many targets as inputs, at least one; found 5 and 4"),
        ({"data": (numbers(5, 3), 2.0)}, "two tensors"),
        ({"examples": 0}, "examples must be a whole number"),
        ({"data": (numbers(5, 3), numbers(5, 2) * math.nan)}, "must be finite, found nan"),
    ],
)
def test_mistakes_are_named(change, said):
    given = {"data": square(), "loss": "squared", "max_loss": 1e-3} | change
    bimt = mlp()
    before = [p.detach().clone() for p in bimt.parameters.values()]
    with pytest.raises(InputError, match=said):
        eliminate(bimt, given.pop("data"), given.pop("loss"), **given)
    assert all(torch.equal(p, old) for p, old in zip(bimt.parameters.values(), before, strict=True))


def test_a_number_of_neurons_is_reached_whatever_the_loss():
    bimt, data = mlp(), square()
    e = eliminate(bimt, data, neurons=2)
    assert e.path[-1].neurons["hidden0"] <= 2
    last = max(i for i, one in enumerate(e.path) if one.what == "neuron")
    assert e.path[-1].loss <= 1.05 * e.path[last].loss and e.path[-1].weights <= e.path[last].weights


def test_examples_are_split_off_to_validate_where_they_are_few():
    e = eliminate(mlp(), square(60), max_loss=1e-2)
    assert (e.examples, e.of) == (48, 60) and e.path[-1].validation_loss is not None
    assert "12 of 60 examples were not fitted" in e.notes[0]
    assert eliminate(mlp(), square(60), max_loss=1e-2, validation=False).examples == 60


def stored(rounds):
    """Rounds as they come back from a file: of each parameter, indices and float64 values."""
    found = []
    for one in rounds:
        parts = {}
        for name, p in one.state.items():
            parts |= {f"{name} index": p.coalesce().indices(), f"{name} value": p.coalesce().values()}
        read = load(save(parts))
        state = {
            name: torch.sparse_coo_tensor(
                read[f"{name} index"], read[f"{name} value"], p.shape, check_invariants=True
            ).coalesce()
            for name, p in one.state.items()
        }
        found.append(one._replace(state=state))
    return found


@pytest.mark.parametrize(
    "more",
    [
        {"max_loss": 1e-2},
        {"weights": 6},
        {"neurons": 2},
        {"max_loss": 1e-2, "whole_neurons": "first"},
        {"max_loss": 1e-2, "whole_neurons": "last"},
        {"max_loss": 0.1, "stay_near": True},
    ],
)
def test_a_stopped_one_goes_on_to_the_same_bits(more):
    data = square(100)
    whole = eliminate(mlp(), data, **more)
    assert whole.ended and len(whole.path) > 3
    for at in range(1, len(whole.path)):
        seen = []
        part = eliminate(mlp(), data, on_round=seen.append, stop=lambda: len(seen) >= at, **more)  # noqa: B023
        assert not part.ended and len(part.path) == at
        bimt, after = mlp(), []
        rest = eliminate(bimt, data, path=stored(part.path), on_round=after.append, **more)
        assert rest.ended and len(rest.path) == len(whole.path) and tuple(after) == rest.path[at:]
        for mine, theirs in zip(rest.path, whole.path, strict=True):
            assert mine.standing == theirs.standing and mine.loss == theirs.loss
            assert mine.severed == theirs.severed
            assert all(torch.equal(p.to_dense(), theirs.state[n].to_dense()) for n, p in mine.state.items())


@pytest.mark.parametrize("asked", [5, 12, 31, 80])
def test_one_that_is_stopped_within_a_refit_goes_on_to_the_same_bits(asked):
    data, count = square(100), iter(range(10**6))
    whole = eliminate(mlp(), data, max_loss=1e-2)
    part = eliminate(mlp(), data, max_loss=1e-2, stop=lambda: next(count) >= asked)
    rest = eliminate(mlp(), data, max_loss=1e-2, path=part.path)
    assert not part.ended and [one.loss for one in rest.path] == [one.loss for one in whole.path]
