"""Pairs for interchange: each first example with one quantity of the second, and what then is its target."""

import pytest
import torch

from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Task
from bimt_tf.tasks.formulas import FORMULAS
from bimt_tf.tasks.groups import MODULAR_ADDITION, S4
from bimt_tf.tasks.in_context import IN_CONTEXT, InContextOptions
from bimt_tf.tasks.registry import TASKS


def made(task, options, quantity, seed=0):
    examples = task.data(options, 3, torch.float64).test
    return examples, task.counterfactual(options, examples, quantity, torch.Generator().manual_seed(seed))


def test_another_w_in_context():
    options = InContextOptions(samples=200)
    examples, pairs = made(IN_CONTEXT, options, "w")
    assert len(pairs.inputs) == 40 and torch.equal(pairs.inputs, examples.inputs)
    differs = (pairs.changed != pairs.inputs).any(0).nonzero().tolist()
    assert differs == [[1, 0]]
    w = {
        float(x[0]): float(w) for x, w in zip(examples.inputs.flatten(1)[:, 1:2], examples.quantities["w"], strict=True)
    }
    for a, b, changed, targets in zip(*pairs, strict=True):
        w_b = w[float(b[0, 1])]
        assert w_b != w[float(a[0, 1])]
        assert float(changed[1, 0]) == pytest.approx(w_b * float(a[0, 1]))
        assert targets.tolist() == pytest.approx([w_b * float(a[0, 1]), w_b * float(a[2, 1])])


@pytest.mark.parametrize(("quantity", "place"), [("x", [2, 1]), ("x1", [0, 1]), ("y1", [1, 0])])
def test_another_number_in_context(quantity, place):
    options = InContextOptions(samples=600)
    examples, pairs = made(IN_CONTEXT, options, quantity)
    assert (pairs.changed != pairs.inputs).any(0).nonzero().tolist() == [place]
    assert torch.equal(pairs.changed[:, place[0], place[1]], pairs.partners[:, place[0], place[1]])
    w = pairs.changed[:, 1, 0] / pairs.changed[:, 0, 1]
    assert torch.allclose(pairs.targets[:, 1], w * pairs.changed[:, 2, 1])
    assert torch.allclose(pairs.targets[:, 0], pairs.changed[:, 1, 0])
    assert w.abs().max() <= 1 + 1e-12 and len(w) == 120 if quantity == "x" else 20 < len(w) < 120


def test_several_features_and_solved_examples():
    options = InContextOptions(samples=50, dim=2, examples=3)
    examples, pairs = made(IN_CONTEXT, options, "w_2")
    old, new = (torch.stack([values[:, t, 0] for t in (1, 3, 5)], 1) for values in (pairs.inputs, pairs.changed))
    slopes = (new - old) / pairs.inputs[:, 0:-1:2, 2]
    assert torch.allclose(slopes, slopes[:, :1].expand_as(slopes)) and (slopes != 0).all()
    x = pairs.inputs[:, 0::2, 1:]
    w = torch.stack([examples.quantities["w_1"], examples.quantities["w_2"] + slopes[:, 0]], 1)
    assert torch.allclose(pairs.targets, torch.einsum("nd,ntd->nt", w, x))
    with pytest.raises(InputError, match="known: w, x"):
        made(IN_CONTEXT, InContextOptions(samples=50, examples=2), "x1")


@pytest.mark.parametrize("task", FORMULAS, ids=lambda task: task.name)
def test_another_variable_of_a_formula(task):
    options = task.Options(samples=40)
    for i, name in enumerate(task.changeable(options)):
        _, pairs = made(task, options, name)
        assert (pairs.changed != pairs.inputs).any(0).nonzero().flatten().tolist() == [i]
        assert torch.equal(pairs.changed[:, i], pairs.partners[:, i])
        assert torch.equal(pairs.targets, torch.stack(task.columns(pairs.changed), 1))


@pytest.mark.parametrize("task", [MODULAR_ADDITION, S4], ids=lambda task: task.name)
def test_another_element(task):
    options = task.Options()
    for i, name in enumerate(task.changeable(options)):
        _, pairs = made(task, options, name)
        assert torch.equal(pairs.changed[:, i], pairs.partners[:, i])
        assert torch.equal(pairs.changed[:, 1 - i], pairs.inputs[:, 1 - i])
        if task is MODULAR_ADDITION:
            assert torch.equal(pairs.targets, pairs.changed.sum(1) % 59)
        else:
            assert torch.equal(pairs.targets, task.table(options)[tuple(pairs.changed.T)])


def test_the_seed_says_who_is_whose_partner():
    options = InContextOptions(samples=200)
    first, again, other = (made(IN_CONTEXT, options, "w", seed)[1].partners for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    examples = IN_CONTEXT.data(options, 3, torch.float64).test
    assert not (first == examples.inputs).flatten(1).all(1).any()  # none is its own


def test_unknown_quantities_and_tasks_that_make_none():
    with pytest.raises(InputError, match=r"'y'; .*known: w, x, x1, y1|'y' .*known: w, x, x1, y1"):
        made(IN_CONTEXT, InContextOptions(samples=200), "y")
    with pytest.raises(InputError, match="two examples, found 1"):
        options = InContextOptions(samples=200)
        one = type(made(IN_CONTEXT, options, "w")[0])(
            *(part[:1] for part in IN_CONTEXT.data(options, 0, torch.float64).test[:2]),
            {k: v[:1] for k, v in IN_CONTEXT.data(options, 0, torch.float64).test.quantities.items()},
        )
        IN_CONTEXT.counterfactual(options, one, "w", torch.Generator())
    silent = TASKS["two-moon"]
    assert isinstance(silent, Task) and silent.changeable(silent.Options()) == ()
    with pytest.raises(InputError, match="give pairs of your own"):
        silent.counterfactual(silent.Options(), None, "x1", torch.Generator())
