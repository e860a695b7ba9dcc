"""Edits of the weights of symbolic (a) and (b) by hand, the formulas that they are predicted to make, and what happens.

symbolic (b). Its last hidden neurons hold squares or sums of them (Figure A2): h_j = a_j + sum_i B_ji x_i^2, fitted on
training examples. From these numbers alone, read-out weights w and a bias are solved for that make a formula the
network was never trained on: w B = wanted coefficients, bias = constant - w a. And the weights from one neuron to the
last output are doubled, which adds w_j B_j x^2 to that output, its constant taken off by the bias.

symbolic (a). The weights that leave x4 are halved: sin(pi x4) must become sin(pi x4 / 2), and the other output stay as
it is, since the modules share no path. And the sine is turned round: the weights from those last hidden neurons that
only x4 reaches change their sign, which must leave x2^2 - sin(pi x4). That is predicted only where no last hidden
neuron that the first output reads is reached by x2 and x4 both.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.paths import upstream
from bimt_tf.errors import InputError
from bimt_tf.paper.held import hidden_stages
from bimt_tf.runs.trained import Trained

__all__ = ["Edited", "edits_of"]

WANTED = (0.0, 2.0, -1.0)
"""The coefficients of x1^2, x2^2 and x3^2 in the formula that the first output of symbolic (b) is set to."""


class Edited(NamedTuple):
    """One edit: ``what`` was done, how many ``numbers`` were set, and what became of ``output``.

    By held-out example: what the prediction wants, what the network gave (``old``) and gives (``new``). ``r2`` with the
    predicted formula, ``r2_old`` with the formula of before; ``others``: the most that another output moved.
    """

    what: str
    numbers: int
    output: str
    before: str
    predicted: str
    wanted: Float[Tensor, " n"]
    old: Float[Tensor, " n"]
    new: Float[Tensor, " n"]
    r2: float
    r2_old: float
    others: float


class _Edit(NamedTuple):
    """``change`` sets weights of a copy and says how many; ``formula``: inputs [n, d] -> the ``output`` wanted [n]."""

    what: str
    output: int
    before: str
    predicted: str
    change: Callable[[Any], int]
    formula: Callable[[Tensor], Tensor]


def edits_of(run: Trained) -> list[Edited]:
    """The edits of a network of symbolic (a) or (b), made on copies and measured on its held-out examples.

    Raises:
        InputError: for a network of another task.
    """
    makers = {"symbolic-a": _of_a, "symbolic-b": _of_b}
    if run.config.task not in makers:
        raise InputError(f"edits are known of {' and '.join(makers)}, found {run.config.task}")
    return [_measured(run, edit) for edit in makers[run.config.task](run)]


def _measured(run: Trained, edit: _Edit) -> Edited:
    x = run.held_out.inputs
    model = copy.deepcopy(run.model)
    with torch.no_grad():
        numbers = edit.change(model)
        old, new = run.model(x).double(), model(x).double()
    wanted, was = edit.formula(x.double()), run.held_out.targets[:, edit.output].double()
    rest = [i for i in range(old.shape[1]) if i != edit.output]
    names = run.task.labels(run.config.data)["output"]
    return Edited(
        edit.what, numbers, names[edit.output], edit.before, edit.predicted, wanted, old[:, edit.output],
        new[:, edit.output], _r2(wanted, new[:, edit.output]), _r2(was, new[:, edit.output]),
        float((new - old)[:, rest].abs().max()),
    )  # fmt: skip


def _r2(wanted: Float[Tensor, " n"], found: Float[Tensor, " n"]) -> float:
    return 1 - float((wanted - found).square().sum() / (wanted - wanted.mean()).square().sum())


def _of_b(run: Trained) -> list[_Edit]:
    """Its read-out set from what the neurons hold, and one neuron's weight doubled."""
    neurons, constants, squares = _read_off(run)
    wanted = torch.tensor(WANTED, dtype=torch.float64)
    weights = torch.linalg.lstsq(squares.T, wanted[:, None]).solution[:, 0]
    bias = -float(weights @ constants)

    def set_read_out(model: Any) -> int:
        layer = _last(model)
        layer.weight[0] = 0.0
        layer.weight[0, neurons] = weights.to(layer.weight)
        layer.bias[0] = bias
        return len(neurons) + 1

    names = run.task.labels(run.config.data)["output"]
    last = len(names) - 1
    layer = _last(run.model)
    own = layer.weight[last, neurons].detach().double()
    chosen = int((own[:, None] * squares).abs().sum(1).argmax())  # the neuron that says most of this output
    added = own[chosen] * squares[chosen]

    def double(model: Any) -> int:
        layer = _last(model)
        layer.weight[last, neurons[chosen]] *= 2
        layer.bias[last] -= float(own[chosen] * constants[chosen])
        return 2

    return [
        _Edit("output 1 set from what the neurons hold", 0, names[0], _squares(wanted), set_read_out,
              lambda x: (x**2) @ wanted),
        _Edit(f"the weight of neuron {neurons[chosen]} to output 3 doubled", last, names[last],
              _squares(1 + added), double, lambda x: (x**2) @ (1 + added)),
    ]  # fmt: skip


def _read_off(run: Trained) -> tuple[list[int], Float[Tensor, " k"], Float[Tensor, "k 3"]]:
    """The last hidden layer's neurons that are read, and of each its constant and its coefficients of the squares."""
    stage = hidden_stages(run)[-1]
    x = run.part("train").inputs
    neurons = [int(i) for i in (_last(run.model).weight != 0).any(0).nonzero()[:, 0]]
    values = activations(run.model, f"layers.{stage.removeprefix('hidden')}.hook_post", inputs=x).double()[:, neurons]
    design = torch.cat([torch.ones(len(x), 1, dtype=torch.float64, device=x.device), x.double() ** 2], dim=1)
    found = torch.linalg.lstsq(design, values).solution
    return neurons, found[0], found[1:].T


def _squares(coefficients: Float[Tensor, " 3"]) -> str:
    """A formula in words, to two decimals."""
    terms = [(round(float(value), 2), f"x{i + 1}²") for i, value in enumerate(coefficients)]
    words = [f"{'−' if value < 0 else '+'} {'' if abs(value) == 1 else f'{abs(value):g} '}{name}"
             for value, name in terms if value]  # fmt: skip
    return " ".join(words).removeprefix("+ ") or "0"


def _of_a(run: Trained) -> list[_Edit]:
    """The weights of x4 halved; and the sine turned round, where neurons of it alone are read."""
    names = run.task.labels(run.config.data)["output"]

    def halve(model: Any) -> int:
        first = _first(model)
        count = int((first.weight[:, 3] != 0).sum())
        first.weight[:, 3] *= 0.5
        return count

    edits = [
        _Edit("the weights of x4 halved", 0, names[0], "x2²+sin(πx4/2)", halve,
              lambda x: x[:, 1] ** 2 + (math.pi * x[:, 3] / 2).sin())
    ]  # fmt: skip
    if neurons := neurons_of_the_sine(run):
        origin = torch.zeros_like(run.held_out.inputs[:1])
        hook = f"layers.{hidden_stages(run)[-1].removeprefix('hidden')}.hook_post"
        at_zero = activations(run.model, hook, inputs=origin)[0, neurons]

        def turn(model: Any) -> int:
            layer = _last(model)
            layer.bias[0] += 2 * (layer.weight[0, neurons] @ at_zero)
            layer.weight[0, neurons] *= -1
            return len(neurons) + 1

        edits.append(
            _Edit("the sine turned round", 0, names[0], "x2²−sin πx4", turn,
                  lambda x: x[:, 1] ** 2 - (math.pi * x[:, 3]).sin())
        )  # fmt: skip
    return edits


def neurons_of_the_sine(run: Trained) -> list[int]:
    """The last hidden neurons that output 1 of symbolic (a) reads and x4 alone reaches; [] if x2 reaches one too."""
    graph = connection_graph(run.bimt, residual="unrolled", threshold=run.threshold)
    stage = hidden_stages(run)[-1]
    read = [int(i) for i in _last(run.model).weight[0].nonzero()[:, 0]]
    reached = {i: {number for name, number in upstream(graph, (stage, i)) if name == "input"} for i in read}
    if any({1, 3} <= inputs for inputs in reached.values()):
        return []
    return [i for i, inputs in reached.items() if inputs == {3}]


def _first(model: nn.Module) -> Any:
    return next(iter(model.layers))  # type: ignore[arg-type]  # of an MLP


def _last(model: nn.Module) -> Any:
    return list(model.layers)[-1]  # type: ignore[arg-type]  # of an MLP
