"""What is read off a network is the network: every model, every activation, to rounding."""

import math

import numpy as np
import pytest
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bimt_tf.analysis.formula_functions import ACTIVATIONS, activation_of
from bimt_tf.analysis.formula_network import exact_network, network_program
from bimt_tf.analysis.formula_polynomial import Polynomial, constant, variable
from bimt_tf.analysis.formula_program import Program
from bimt_tf.analysis.formula_result import Written
from bimt_tf.errors import InputError
from bimt_tf.models.activation_names import ACT_FNS
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer

F64 = torch.float64


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def sparse_(model, share, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(torch.rand(parameter.shape, generator=generator) > share)
    return model


def read(model, inputs, position=None):
    """The program of a model, the inputs by name, and what the model itself gives [n, outputs]."""
    exact = exact_network(model)
    with torch.no_grad():
        out = exact(inputs)
    out = out if position is None else out[:, position]
    names = [f"x{i}" for i in range(inputs[0].numel())]
    program = network_program(
        exact, [variable(n) for n in names], [(i, f"y{i}") for i in range(out.shape[1])], position
    )
    return program, dict(zip(names, inputs.flatten(1).numpy().T, strict=True)), out.numpy()


def check(program, inputs, true, tolerance=1e-9):
    np.testing.assert_allclose(program.run(inputs, len(true)), true, rtol=0, atol=tolerance)


def check_sympy(program, inputs, true):
    """Each output's whole expression, computed by SymPy's own lambdify."""
    for explicit in (False, True):
        expressions = Written(program).expressions(explicit=explicit)
        for at, expression in enumerate(expressions.values()):
            compute = sympy.lambdify([sympy.Symbol(n) for n in inputs], expression, modules=["scipy", "numpy"])
            np.testing.assert_allclose(compute(*inputs.values()), true[:, at], rtol=0, atol=1e-9)


@given(seed=st.integers(0, 10_000), act=st.sampled_from(ACT_FNS), share=st.sampled_from([0.0, 0.5, 0.8]))
def test_an_mlp_is_read_exactly(seed, act, share):
    model = sparse_(MLP([3, 5, 4, 2], act, seed, dtype=F64), share, seed)
    program, inputs, true = read(model, numbers(9, 3, seed=seed))
    check(program, inputs, true)
    check(program.inlined(), inputs, true)
    assert program.inlined().size <= program.size


@given(
    seed=st.integers(0, 10_000), heads=st.sampled_from([1, 2]), share=st.sampled_from([0.0, 0.6, 0.9]),
    position=st.integers(0, 2), act=st.sampled_from(["gelu_new", "relu"]),
)  # fmt: skip
def test_a_transformer_is_read_exactly_at_every_position(seed, heads, share, position, act):
    model = sparse_(RegressionTransformer(2, 2, 4, 2, heads, 5, 3, act_fn=act, seed=seed, dtype=F64), share, seed)
    program, inputs, true = read(model, numbers(7, 3, 2, seed=seed), position)
    check(program, inputs, true)
    check(program.inlined(), inputs, true)
    later = {f"x{i}" for i in range(2 * position + 2, 6)}  # causal: tokens behind the position are not read
    assert not later & set(Written(program).variables)


@pytest.mark.parametrize("act", [nn.SiLU(), nn.GELU(), nn.GELU(approximate="tanh"), nn.ReLU(), nn.Tanh()])
def test_sympy_computes_the_same(act):
    model = nn.Sequential(nn.Linear(2, 3), act, nn.Linear(3, 2, bias=False), act, nn.Linear(2, 1)).double()
    program, inputs, true = read(model, numbers(8, 2))
    check(program, inputs, true)
    check_sympy(program.inlined(), inputs, true)


def test_sympy_computes_the_same_transformer():
    model = sparse_(RegressionTransformer(1, 1, 3, 1, 2, 2, 2, seed=3, dtype=F64), 0.4, 1)
    program, inputs, true = read(model, numbers(8, 2, 1), 1)
    assert any(one.function == "softmax" for one in program.definitions)
    check_sympy(program.inlined(), inputs, true)


def test_neurons_keep_their_numbers():
    model = MLP([2, 6, 1], "silu", dtype=F64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.layers[0].weight[4, 1] = 2.0
        model.layers[1].weight[0, 4] = -1.0
    program, inputs, true = read(model, numbers(5, 2))
    (one,) = program.definitions
    assert (
        one.name == "h0_4" and one.arguments[0] == variable("x1", 2.0) and program.outputs["y0"] == variable("h0_4", -1)
    )
    check(program, inputs, true)


def test_an_activation_behind_the_last_layer_is_read():
    program, inputs, true = read(nn.Sequential(nn.Linear(2, 2), nn.Tanh()).double(), numbers(5, 2))
    check(program, inputs, true)


def test_scores_are_shared_and_shares_of_attention_add_up_to_one():
    model = RegressionTransformer(1, 1, 3, 1, 1, 2, 3, seed=1, dtype=F64)
    program, inputs, _ = read(model, numbers(6, 3, 1), 2)
    values = program.inlined().values(inputs)
    np.testing.assert_allclose(sum(values[f"a0_2_{token}"] for token in range(3)), 1.0, atol=1e-12)


def test_what_all_scores_share_is_taken_off():
    model = RegressionTransformer(1, 1, 2, 1, 1, 2, 2, seed=1, dtype=F64)
    with torch.no_grad():
        model.blocks[0].attn.b_K.fill_(5.0)  # adds the same to all scores of a query
    program, inputs, true = read(model, numbers(6, 2, 1), 1)
    check(program.inlined(), inputs, true)
    scores = {one.name: one.arguments[0] for one in program.inlined().definitions if one.function == "score"}
    first, second = scores.values()
    assert not [m for m, c in first if math.isclose(second.terms.get(m, 0.0), c, rel_tol=1e-12)]


def test_an_untrained_model_is_left_as_it_is():
    model = MLP([2, 3, 1], "silu")
    before = {name: one.clone() for name, one in model.state_dict().items()}
    exact_network(model)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32


@pytest.mark.parametrize("model", [TokenMLP(4, 3, 2, [5, 2]), nn.Linear(2, 2)])
def test_other_models_are_refused(model):
    with pytest.raises(InputError, match="formula reads an MLP"):
        exact_network(model)


def test_other_activations_are_refused():
    with pytest.raises(InputError, match="SiLU, GELU.*found a Softplus"):
        activation_of(nn.Softplus())
    with pytest.raises(InputError, match="one activation behind"):
        read(nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.ReLU(), nn.Linear(2, 1)).double(), numbers(3, 2))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(-4, 4)), max_size=5))
def test_polynomials_agree_with_sympy(terms):
    x, y = sympy.symbols("x y")
    ours, theirs = constant(0), sympy.Integer(0)
    for i, j, c in terms:
        monomial = tuple((name, power) for name, power in (("x", i), ("y", j)) if power)
        ours, theirs = ours + Polynomial({monomial: float(c)} if c else {}), theirs + c * x**i * y**j
    shifted = ours.product(ours).of({"x": variable("y") + constant(2.0)})
    expected = sympy.Poly(sympy.expand((theirs**2).subs(x, y + 2)), x, y)
    for i, j in {*expected.as_dict()} | {(0, power) for power in range(12)}:
        monomial = tuple((name, power) for name, power in (("x", i), ("y", j)) if power)
        assert shifted.terms.get(monomial, 0.0) == float(expected.coeff_monomial(x**i * y**j))


def test_the_sources_of_the_functions_are_the_functions():
    z = np.linspace(-3, 3, 50)
    for one in ACTIVATIONS.values():
        found = eval(one.source, {"np": np, "math": math, "z": z})
        np.testing.assert_allclose(found, one.value(z), rtol=0, atol=1e-15)
        exact = [float(one.explicit(sympy.Float(float(value)))) for value in z]
        np.testing.assert_allclose(exact, one.value(z), rtol=0, atol=1e-12)


def test_an_expression_that_would_be_too_long_is_refused():
    definitions = Program(("x",), (), {"y": variable("x")})
    assert Written(definitions).expressions() == {"y": sympy.Symbol("x")}
    model = RegressionTransformer(2, 2, 6, 3, 1, 8, 3, seed=0, dtype=F64)
    program, _, _ = read(model, numbers(3, 3, 2), 2)
    with pytest.raises(InputError, match="read the definitions"):
        Written(program).expressions()
