"""Planted formulas are found again, the stated errors are the true ones, and a dense network has no short formula.

The text of the paper's Eqs. A1-A4 is not at hand; what its networks do is planted instead: a square from two SiLU
neurons, a product from two squares, sums that share squares, and a cube as the product of a number and its square.
"""

import math
import re

import numpy as np
import pytest
import torch

from bimt_tf.analysis.formula import formula
from bimt_tf.analysis.formula_error import Budget, Judge, Sample, errors
from bimt_tf.analysis.formula_polynomial import Polynomial, variable
from bimt_tf.analysis.formula_program import Definition, Program
from bimt_tf.analysis.formula_recognise import recognised
from bimt_tf.analysis.formula_rounding import significant
from bimt_tf.analysis.formula_stages import stages_of_inputs
from bimt_tf.analysis.formula_terms import groups_of
from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer

F64 = torch.float64
SMALL = 0.02  # of a pre-activation: silu(z) + silu(-z) is z^2 / 2 up to z^4 / 24


def uniform(*shape, seed=0, low=-1.0, high=1.0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * (high - low) + low


def squares(model, layer, sums, first=0):
    """Let pairs of neurons of a layer, from ``first`` on, see SMALL times each weighted sum and its negative."""
    with torch.no_grad():
        for number, weights in enumerate(sums):
            for at, sign in ((0, 1), (1, -1)):
                model.layers[layer].weight[first + 2 * number + at, : len(weights)] = (
                    sign * SMALL * torch.tensor(weights, dtype=F64)
                )


def silent(sizes):
    model = MLP(sizes, "silu", dtype=F64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def sums_of_squares(sums, read):
    """Outputs that are weighted sums ``read`` [outputs, squares] of the squares of ``sums`` [squares, inputs]."""
    model = silent([len(sums[0]), 2 * len(sums), len(read)])
    squares(model, 0, sums)
    with torch.no_grad():
        model.layers[1].weight.copy_(torch.tensor(read, dtype=F64).repeat_interleave(2, dim=1) * 2 / SMALL**2)
    return model


def cube():
    """(x0 + x1)^3: the sum u and its square in layer 0, their product by two squares in layer 1."""
    model = silent([2, 4, 4, 1])
    squares(model, 0, [[1.0, 1.0]])
    with torch.no_grad():
        model.layers[0].weight[2] = 1.0
        model.layers[0].weight[3] = -1.0  # silu(u) - silu(-u) is u
        square = 2 / SMALL**2
        squares(model, 1, [[square, square, 1.0, -1.0], [square, square, -1.0, 1.0]])
        model.layers[2].weight[0] = torch.tensor([0.25, 0.25, -0.25, -0.25]) * 2 / SMALL**2
    return model


PRODUCT = [[1.0, 0, 0, 1.0], [1.0, 0, 0, -1.0], [0, 1.0, 1.0, 0], [0, 1.0, -1.0, 0]]
PLANTED = {
    "a square": (sums_of_squares([[1.0]], [[1.0]]), ["y0 = x0^2"]),
    "products (Figure 2)": (
        sums_of_squares(PRODUCT, [[0.25, -0.25, 0.25, -0.25], [0.25, -0.25, -0.25, 0.25]]),
        ["y0 = x0 x3 + x1 x2", "y1 = x0 x3 - x1 x2"],
    ),
    "shared squares (symbolic-b)": (
        sums_of_squares(np.eye(3).tolist(), [[1.0, 0, 0], [1.0, 1.0, 0], [1.0, 1.0, 1.0]]),
        ["y0 = x0^2", "y1 = x0^2 + x1^2", "y2 = x0^2 + x1^2 + x2^2"],
    ),
    "a cube (symbolic-a)": (cube(), ["y0 = x0^3 + 3 x0^2 x1 + 3 x0 x1^2 + x1^3"]),
}


@pytest.mark.parametrize(("model", "lines"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_formula_is_found(model, lines):
    inputs = uniform(300, model.cfg.sizes[0])
    found = formula(model, inputs, fit_inputs=uniform(300, model.cfg.sizes[0], seed=1))
    assert found.written.lines == lines
    assert found.r2 > 0.9999
    assert found.steps[0].network.max < 1e-9


def test_the_cube_is_recognised_as_one():
    found = formula(cube(), uniform(300, 2), fit_inputs=uniform(300, 2, seed=1))
    assert found.recognised.lines == ["u_x0_x1 = x0 + x1", "y0 = u_x0_x1^3"]


def near(program, low=-1.0, high=1.0, r2=0.9999):
    """What is recognised in a program that computes a known function."""
    samples = []
    for seed in (0, 1):
        inputs = {
            n: uniform(400, seed=10 * seed + i, low=low, high=high).numpy() for i, n in enumerate(program.variables)
        }
        samples.append(Sample(inputs, program.run(inputs, 400)))
    found = recognised(program, Judge(*samples, Budget(r2, None)), 0.8)
    return found, samples


def test_shapes_are_recognised():
    sine = Program(
        ("x", "z"),
        (Definition("s", "sin", (variable("x", 3.0),), ""),),
        {"y": variable("s", 2.0) + variable("z", -1.5)},
    )
    found, _ = near(sine)
    (one,) = (d for d in found.definitions if d.function == "sin")
    assert one.arguments[0].terms[(("x", 1),)] == pytest.approx(3.0, rel=1e-3)
    ratio = Program(("x", "y1", "x1"), (), {"y": Polynomial({(("x", 1), ("x1", -1), ("y1", 1)): 2.0})})
    found, _ = near(ratio, low=1.0, high=3.0)
    assert found.definitions == () and found.outputs["y"].terms[(("x", 1), ("x1", -1), ("y1", 1))] == pytest.approx(2.0)
    inside = Polynomial({(("a", 2),): 1.0, (("a", 1), ("b", 1)): -2.0, (("b", 2),): 1.0, (("c", 2),): 1.0})
    found, samples = near(Program(("a", "b", "c"), (Definition("r", "sqrt", (inside,), ""),), {"y": variable("r")}))
    assert [one.function for one in found.definitions] == ["sqrt"]
    assert errors(found.run(samples[1].inputs, 400), samples[1].network).r2 > 0.9999


def test_noise_has_no_shape():
    """A function of three inputs that oscillates is none of the shapes."""
    parts = [
        Definition(f"s{i}_9", "sin", (variable(n, 25.0 + i) + variable("a", 17.0),), "") for i, n in enumerate("bc")
    ]
    wild = Program(("a", "b", "c"), tuple(parts), {"y": variable("s0_9").product(variable("s1_9"))})
    assert near(wild)[0] is None


def trained(seed=0, sizes=(3, 6, 2), act="silu", scale=2.0):
    model = MLP(sizes, act, seed, dtype=F64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model


@pytest.mark.parametrize(
    "budget", [{"r2": 0.99}, {"r2": 0.9999}, {"r2": 0.999999}, {"max_error": 0.05}, {"max_error": 1e-3}]
)
def test_the_stated_errors_are_true_and_within_the_budget(budget):
    model, inputs = trained(act="relu" if budget == {"r2": 0.99} else "silu"), uniform(200, 3)
    targets = inputs[:, :2] * 2
    found = formula(model, inputs, targets=targets, fit_inputs=uniform(200, 3, seed=1), **budget)
    with torch.no_grad():
        true = model(inputs).numpy()
    space = {}
    exec(found.python(), space)
    columns = {f"x{i}": inputs[:, i].numpy() for i in range(3)}
    by_source = np.stack([np.broadcast_to(v, 200) for v in space["formula"](**columns).values()], axis=1)
    np.testing.assert_allclose(by_source, np.stack(list(found(columns).values()), axis=1), atol=1e-12)
    off = by_source - true
    said = found.steps[-1].network
    assert said.max == pytest.approx(np.abs(off).max())
    assert said.rms == pytest.approx(math.sqrt((off**2).mean()))
    r2 = 1 - (off**2).sum(0) / ((true - true.mean(0)) ** 2).sum(0)
    assert said.r2 == found.r2 == pytest.approx(r2.min())
    assert found.r2 >= budget["r2"] if "r2" in budget else said.max <= budget["max_error"]
    assert found.steps[-1].targets.max == pytest.approx(np.abs(by_source - targets.numpy()).max())


def test_a_wider_budget_gives_no_longer_formula():
    sizes = [formula(trained(), uniform(200, 3), r2=r2).size for r2 in (0.9, 0.999, 0.99999)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_a_dense_network_has_no_short_formula_and_says_so():
    found = formula(trained(sizes=(4, 9, 9, 2), scale=5.0), uniform(100, 4))
    assert found.size > 150 and any("this is no short formula" in note for note in found.notes)
    assert found.recognised is None
    assert not formula(PLANTED["a square"][0], uniform(200, 1)).notes


def test_a_large_network_is_refused_with_the_way():
    with pytest.raises(InputError, match=r"too large to be read.*bimt eliminate"):
        formula(MLP([4, 30, 30, 2], "silu"), uniform(20, 4).float())


def mean_of_tokens():
    model = RegressionTransformer(1, 1, 1, 1, 1, 1, 3, d_head=1, act_fn="relu", dtype=F64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for one in (model.embed.W_E, model.blocks[0].attn.W_V, model.blocks[0].attn.W_O, model.unembed.W_U):
            one.fill_(1.0)
    return model


def test_attention_that_looks_nowhere_is_a_mean():
    found = formula(mean_of_tokens(), uniform(300, 3, 1), r2=1 - 1e-9)
    terms = found.written.program.outputs["y0"].terms
    assert found.written.program.definitions == ()
    assert {m: round(c, 3) for m, c in terms.items()} == {
        (("x0_0", 1),): 0.333, (("x1_0", 1),): 0.333, (("x2_0", 1),): 1.333
    }  # fmt: skip
    assert formula(mean_of_tokens(), uniform(300, 3, 1), position=-3).written.lines == ["y0 = 2 x0_0"]


def test_a_planted_pattern_is_read():
    model = mean_of_tokens()
    with torch.no_grad():
        model.blocks[0].attn.W_Q.fill_(2.0)
        model.blocks[0].attn.W_K.fill_(3.0)
    found = formula(model, uniform(300, 3, 1, low=0.5, high=1.5), position=1, names=["a", "b", "c"])
    scores = [line for line in found.exact.lines if line.startswith("s0_1")]
    assert scores == ["s0_1_0 = 6 a b", "s0_1_1 = 6 b^2"]
    assert "a0_1_0 = softmax(s0_1_0; s0_1_1)" in found.exact.lines
    assert "\\operatorname{softmax}" in found.exact.latex()


def test_stages_keep_the_names_of_all_neurons():
    model = RegressionTransformer(1, 1, 2, 1, 1, 2, 2, seed=4, dtype=F64)
    inputs = uniform(100, 2, 1)
    whole, staged = (formula(model, inputs, stages=stages) for stages in (False, True))
    kinds = {re.match(r"[a-z]\d", one.name)[0] for one in staged.exact.program.definitions}
    assert {"r0", "q0", "k0", "v0", "s0", "a0", "z0", "m0", "h0", "r1"} <= kinds
    assert len(whole.exact.program.definitions) < len(staged.exact.program.definitions)
    assert staged.r2 > 0.9999


def test_a_stage_is_said_to_be_near_what_it_is():
    model = sums_of_squares([[1.0, 1.0], [1.0, -1.0]], [[0.25, -0.25]])
    found = formula(model, uniform(300, 2), r2=1 - 1e-9, stages=True)
    reading = found.readings["h0_0"]
    assert reading.r2 > 0.999 and reading.polynomial.terms[(("x0", 1),)] == pytest.approx(SMALL / 2, rel=0.05)


def test_inputs_that_do_not_vary_become_numbers():
    inputs = uniform(100, 3)
    inputs[:, 1] = 0.5
    found = formula(trained(), inputs, names=["a", "b", "c"])
    assert found.variables == ("a", "c") and any("b = 0.5" in note for note in found.notes)
    assert found.steps[0].network.max < 1e-9


def test_an_output_that_does_not_vary_has_no_r2():
    model = silent([2, 3, 1])
    with torch.no_grad():
        model.layers[1].bias.fill_(0.25)
    found = formula(model, uniform(50, 2))
    assert found.written.lines == ["y0 = 0.25"] and found.r2 is None and "not defined" in repr(found)
    assert any("R2 against it is not defined" in note for note in found.notes)


def test_outputs_can_be_chosen_and_named():
    found = formula(trained(), uniform(100, 3), outputs=[1], output_names=["distance"])
    assert list(found.written.outputs) == ["distance"] and "formula" in found.python()


def test_the_result_is_plain_and_has_latex():
    found = formula(PLANTED["a square"][0], uniform(100, 1))
    said = plain(found.as_dict())
    assert said["formula"] == ["y0 = x0^2"] and said["steps"][-1]["network"]["r2"] == found.r2
    assert found._repr_latex_() == "$$\n\\begin{aligned}\ny_{0} &= x_{0}^{2}\n\\end{aligned}\n$$"
    assert str(found.expressions["y0"]) == "x0**2"


def test_what_is_asked_is_told_and_missing_inputs_are_named():
    told = []
    found = formula(trained(), uniform(50, 3), told=told.append)
    assert "coefficients rounded" in told
    with pytest.raises(InputError, match="x1.*is missing"):
        found({"x0": np.zeros(2), "x2": np.zeros(2)})


WRONG = {
    "two budgets": ({"r2": 0.9, "max_error": 0.1}, "one budget"),
    "r2 of 1": ({"r2": 1.0}, "r2 must be below 1"),
    "no error": ({"max_error": 0.0}, "max_error must be above 0"),
    "a position of an MLP": ({"position": 0}, "an MLP has no positions"),
    "too few names": ({"names": ["a"]}, "3 different names"),
    "a name that is none": ({"names": ["a", "b", "x 1"]}, "found 'x 1'"),
    "a neuron's name": ({"names": ["a", "b", "h0_1"]}, "found 'h0_1'"),
    "an unknown output": ({"outputs": [2]}, "from 0 to 1, found 2"),
    "one name for two outputs": ({"output_names": ["y", "y"]}, "2 different names"),
    "an input's name": ({"output_names": ["x0", "y"]}, "as an input is"),
    "other targets": ({"targets": torch.zeros(3, 2)}, "targets must be"),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_is_refused(given, says):
    with pytest.raises(InputError, match=says):
        formula(trained(), uniform(50, 3), **given)


def test_wrong_examples_are_refused():
    for inputs in (uniform(50, 4), uniform(50, 3, 3), torch.full((2, 3), math.nan)):
        with pytest.raises(InputError, match="inputs"):
            formula(trained(), inputs)
    with pytest.raises(InputError, match="outputs must be finite and below 1e[+]150"):  # y = 0 was the answer
        formula(trained(), 1e200 * uniform(50, 3))
    with pytest.raises(InputError, match="position must be from 0 to 2"):
        formula(mean_of_tokens(), uniform(50, 3, 1), position=3)


def test_digits_and_groups():
    assert [significant(-0.04567, digits) for digits in (1, 2, 3)] == [-0.05, -0.046, -0.0457]
    meets = Definition("h0_0", "silu", (variable("a") + variable("b"),), "")
    program = Program(("a", "b", "c"), (meets,), {"y": variable("h0_0") + variable("c") + variable("a")})
    assert groups_of(program, "y") == [frozenset("ab"), frozenset("c")]


def test_a_stage_of_one_number_becomes_a_polynomial_of_it():
    """Behind a chain of activations of x alone stands one polynomial of x; what depends on three inputs stays."""
    chain = (
        Definition("h0_0_t0", "gelu_new", (variable("x", 0.5),), ""),
        Definition("h0_1_t0", "gelu_new", (variable("x", -0.3),), ""),
        Definition("h1_0_t0", "gelu_new", (variable("h0_0_t0", 0.5) + variable("h0_1_t0") + variable("x", 0.2),), ""),
        Definition("h1_1_t0", "silu", (variable("x") + variable("a", 3.0) + variable("b", 4.0),), ""),
    )
    program = Program(("x", "a", "b"), chain, {"y": variable("h1_0_t0", 5.0) + variable("h1_1_t0")})
    inputs = {name: uniform(200, seed=seed).numpy() for seed, name in enumerate(program.variables)}
    sample = Sample(inputs, program.run(inputs, 200))
    judge = Judge(sample, sample, Budget(0.9999, None))
    found, said = stages_of_inputs(program, judge, 0.35)
    assert [one.name for one in found.inlined().definitions] == ["h1_1_t0"]
    assert said == ["h1_0_t0: gelu_new by degree 3 in x"] and judge.allows(found, 0.35)
