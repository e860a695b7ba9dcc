"""The parts of an elimination: refit, brain surgeon, network of live weights, budgets."""

import math

import pytest
import torch

from bimt_tf.bimt import BIMT
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer
from bimt_tf.training.elimination import live_network
from bimt_tf.training.elimination.brain_surgeon import choose, correct, cost_of
from bimt_tf.training.elimination.budget import budget_of
from bimt_tf.training.elimination.levenberg_marquardt import Normal, Pulled, damped, levenberg_marquardt
from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.objective import Squares
from bimt_tf.training.elimination.rounds import counts, dependencies

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class Linear:
    """r(w) = A w - b, whose least squares are known."""

    def __init__(self, rows=40, n=8, seed=0):
        self.A, self.b = numbers(rows, n, seed=seed), numbers(rows, seed=seed + 1)

    def loss(self, values):
        return float((self.A @ values - self.b).square().mean())

    def normal(self, values):
        r, m = self.A @ values - self.b, len(self.b)
        return Normal(self.loss(values), self.A.T @ r / m, self.A.T @ self.A / m)

    def bend(self, values, step):
        return torch.zeros_like(values)

    def best(self, columns):
        """The least squares over some columns alone."""
        values = torch.zeros(self.A.shape[1], dtype=F64)
        values[columns] = torch.linalg.lstsq(self.A[:, columns], self.b).solution
        return values


class Rosenbrock:
    def _residuals(self, w):
        return torch.stack([10 * (w[1] - w[0] ** 2), 1 - w[0]])

    def loss(self, values):
        return float(self._residuals(values).square().mean())

    def normal(self, values):
        J, r = torch.func.jacrev(self._residuals)(values), self._residuals(values)
        return Normal(self.loss(values), J.T @ r / 2, J.T @ J / 2)

    def bend(self, values, step):
        J = torch.func.jacrev(self._residuals)(values)
        return J.T @ torch.stack([-20 * step[0] ** 2, torch.zeros((), dtype=F64)]) / 2


def test_a_linear_problem_is_solved_by_the_normal_equations():
    problem = Linear()
    fit = levenberg_marquardt(problem, numbers(8, seed=5), steps=1, damping=1e-14)
    torch.testing.assert_close(fit.values, problem.best(range(8)), rtol=1e-9, atol=1e-9)
    assert fit.steps == 1 and fit.loss == problem.loss(fit.values)


def test_one_step_solves_the_damped_normal_equations():
    problem, start, damping = Linear(), numbers(8, seed=5), 0.3
    _, gradient, curvature = problem.normal(start)
    step = torch.linalg.solve(curvature + damping * curvature.diagonal().diag(), -gradient)
    fit = levenberg_marquardt(problem, start, steps=1, damping=damping)
    torch.testing.assert_close(fit.values, start + step)


def test_a_curved_valley_is_followed_and_the_loss_never_rises():
    start, losses = torch.tensor([-1.2, 1.0], dtype=F64), []
    for steps in range(1, 40):
        losses.append(levenberg_marquardt(Rosenbrock(), start, steps=steps, tolerance=0).loss)
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-20


def test_a_fit_ends_at_its_goal_and_when_it_is_stopped():
    start = torch.tensor([-1.2, 1.0], dtype=F64)
    assert 1e-8 < levenberg_marquardt(Rosenbrock(), start, steps=50, goal=1.0).loss <= 1.0
    asked = iter([False, False, True])
    assert levenberg_marquardt(Rosenbrock(), start, steps=50, stop=lambda: next(asked)).steps == 2


def test_a_pull_keeps_the_numbers_near():
    problem, start = Linear(), numbers(8, seed=5)
    fit = levenberg_marquardt(Pulled(problem, 0.3, torch.ones(8, dtype=F64)), start, steps=20, tolerance=1e-12)
    normal = problem.normal(torch.ones(8, dtype=F64))
    ridge = torch.linalg.solve(normal.curvature + 0.3 * torch.eye(8, dtype=F64), -normal.gradient)
    torch.testing.assert_close(fit.values - 1, ridge, rtol=1e-5, atol=1e-6)
    assert fit.loss == pytest.approx(problem.loss(fit.values) + 0.3 * float((fit.values - 1).square().sum()))


def test_singular_and_non_finite_curvature():
    class Flat(Linear):  # one number does nothing, one loss is no number
        def __init__(self):
            super().__init__()
            self.A[:, 3] = 0

        def loss(self, values):
            return math.nan if values[0] > 0 else super().loss(values)

    problem, start = Flat(), -torch.ones(8, dtype=F64)
    fit = levenberg_marquardt(problem, start, steps=20)
    assert fit.loss < problem.loss(start) and math.isfinite(fit.loss) and fit.values.isfinite().all()
    bad = torch.full((2, 2), math.nan, dtype=F64)
    assert damped(bad, 1e-3) is None and damped(-torch.eye(2, dtype=F64), 1e-3) is None
    infinite = levenberg_marquardt(problem, torch.ones(8, dtype=F64), steps=5)
    assert infinite.steps == 0 and math.isnan(infinite.loss)


@pytest.mark.parametrize("seed", range(5))
def test_brain_surgeon_is_exact_for_a_linear_model(seed):
    problem = Linear(seed=10 * seed)
    values = problem.best(range(8))
    inverse = torch.linalg.inv(problem.normal(values).curvature)
    ones = torch.ones(8, dtype=F64)
    least = [problem.loss(problem.best([i for i in range(8) if i != q])) for q in range(8)]
    (first,) = choose(values, inverse, 1, ones).tolist()
    assert first == min(range(8), key=least.__getitem__)
    removed = choose(values, inverse, 3, ones)
    rest, chosen = list(range(8)), []
    for _ in range(3):  # the greedy choice with a refit after each removal
        q = min(rest, key=lambda q: problem.loss(problem.best([i for i in rest if i != q])))
        rest.remove(q)
        chosen.append(q)
    assert removed.tolist() == chosen
    corrected = correct(values, inverse, removed)
    torch.testing.assert_close(corrected, problem.best(rest), rtol=1e-8, atol=1e-9)
    rise = problem.loss(corrected) - problem.loss(values)
    assert cost_of(values, inverse, removed) == pytest.approx(rise, rel=1e-6)


def test_of_two_equal_weights_the_longer_wire_goes():
    values, inverse = torch.tensor([1.0, 1.0, 3.0], dtype=F64), torch.eye(3, dtype=F64)
    assert choose(values, inverse, 1, torch.tensor([0.5, 1.0, 1.0], dtype=F64)).tolist() == [1]
    assert choose(values, inverse, 1, torch.tensor([1.0, 0.5, 1.0], dtype=F64)).tolist() == [0]


def test_a_block_that_cannot_be_solved_for_is_said():
    values, inverse = torch.ones(2, dtype=F64), torch.zeros(2, 2, dtype=F64)
    assert correct(values, inverse, torch.tensor([0])) is None
    assert cost_of(values, inverse, torch.tensor([0])) == math.inf


def sparse_mlp():
    model = MLP([3, 6, 5, 2], "silu", dtype=F64)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(numbers(*p.shape, seed=p.numel()) > -0.3)
    return BIMT(model)


def nothing(examples):
    """What squares hold of each example."""
    return torch.zeros(len(examples.inputs), 0, dtype=F64)


def residuals(network, values):
    with torch.no_grad():
        return network._rows(network._filled(values))


def difference(outputs, targets):
    return (outputs - targets).flatten(1)


def test_the_jacobian_is_that_of_the_live_weights():
    bimt = sparse_mlp()
    examples = Examples(numbers(7, 3), numbers(7, 2, seed=1))
    network = LiveNetwork(bimt, examples, Squares(difference))
    assert bool((network.start != 0).all())
    found = network.jacobian(network.start, examples, nothing(examples))
    for column in range(0, len(network.start), 7):
        step = torch.zeros_like(network.start)
        step[column] = 1e-6
        ends = [residuals(network, network.start + sign * step).flatten() for sign in (1, -1)]
        torch.testing.assert_close(found[:, column], (ends[0] - ends[1]) / 2e-6, rtol=1e-5, atol=1e-7)


def test_the_bend_of_the_residuals():
    examples = Examples(numbers(7, 3), numbers(7, 2, seed=1))
    network = LiveNetwork(sparse_mlp(), examples, Squares(difference))
    step = 0.01 * numbers(len(network.start), seed=3)
    jacobian = [network.jacobian(network.start + at * step, examples, nothing(examples)) for at in (1e-4, 0.0, -1e-4)]
    second = (jacobian[0] @ step - jacobian[2] @ step) / 2e-4
    found = network.bend(network.start, step)
    torch.testing.assert_close(found, jacobian[1].T @ second / 14, rtol=1e-3, atol=1e-9)


def test_normal_equations_are_summed_over_batches(monkeypatch):
    examples = Examples(numbers(7, 3), numbers(7, 2, seed=1))
    network = LiveNetwork(sparse_mlp(), examples, Squares(difference))
    whole = network.normal(network.start)
    monkeypatch.setattr(live_network, "BATCH_ENTRIES", 3 * 2 * len(network.compact_entries))
    parts = network.normal(network.start)
    J, r = network.jacobian(network.start, examples, nothing(examples)), residuals(network, network.start).flatten()
    for one in (whole, parts):
        torch.testing.assert_close(one.gradient, J.T @ r / 14)
        torch.testing.assert_close(one.curvature, J.T @ J / 14)
        assert one.loss == pytest.approx(network.loss(network.start))


@pytest.mark.parametrize("heads", [1, 2])
def test_live_weights_are_written_back_into_the_whole_model(heads):
    model = RegressionTransformer(d_model=6, n_heads=heads, d_head=3, d_mlp=7, dtype=F64)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(numbers(*p.shape, seed=p.numel()) > 0.8)
    bimt = BIMT(model)
    examples = Examples(numbers(5, 3, 2), numbers(5, seed=1))
    network = LiveNetwork(bimt, examples, Squares(lambda o, t: o[:, -1, :1] - t[:, None]))
    values = network.start + 0.1
    loss = network.loss(values)
    network.write_(values, bimt)
    written = (model(examples.inputs)[:, -1, 0] - examples.targets).square().mean().detach()
    assert float(written) == pytest.approx(loss)
    again = LiveNetwork(bimt, examples, Squares(lambda o, t: o[:, -1, :1] - t[:, None]))
    assert again.loss(again.start) == pytest.approx(loss) and len(again.start) <= len(values)


def test_frozen_parameters_are_not_live():
    bimt = sparse_mlp()
    bimt.model.layers[0].weight.requires_grad_(False)
    examples = Examples(numbers(7, 3), numbers(7, 2, seed=1))
    network, whole = (LiveNetwork(each, examples, Squares(difference)) for each in (bimt, sparse_mlp()))
    assert 0 < len(network.start) < len(whole.start)


def test_counts_and_dependencies():
    model = MLP([2, 3, 2], "silu", dtype=F64)
    with torch.no_grad():
        model.layers[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        model.layers[1].weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
        model.layers[1].bias.zero_()
    weights, biases, neurons = counts(BIMT(model))
    assert (weights, biases, neurons) == (4, 3, {"input": 2, "hidden0": 2, "output": 2})
    assert dependencies(BIMT(model)) == {(("output", i), ("input", i)) for i in range(2)}


def test_budgets():
    assert budget_of(1e-3, None, None, None, 1.0, None).loss == 1e-3
    assert budget_of(None, 1.5, None, None, 2.0, None).loss == 3.0
    assert budget_of(None, None, None, None, 2.0, None).loss == pytest.approx(2.1)
    assert budget_of(None, None, 7, None, 2.0, 5.0) == (math.inf, 7, math.inf, 0)
    assert budget_of(None, None, None, 7, 2.0, 5.0) == (math.inf, 0, math.inf, 7)
    budget = budget_of(1e-3, None, None, None, 1.0, 0.5)
    assert budget.allows(1e-3, 0.54) and not budget.allows(1e-3, 0.56) and not budget.allows(2e-3, None)
    assert not budget.allows(math.nan, None)
    wrong = ((1.0, 1.0, None), (-1.0, None, None), (None, None, 0), (None, None, 2.5), (None, None, True))
    for given in (*((*each, None) for each in wrong), (None, None, 3, 4), (None, None, None, 0)):
        with pytest.raises(InputError):
            budget_of(*given, 1.0, None)
