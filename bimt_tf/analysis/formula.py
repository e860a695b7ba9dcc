"""The formula of a network: read off its weights, then made shorter step by step within a stated error.

Steps, each with its error on held-out examples: small coefficients are left out; activations and attention patterns are
replaced by polynomials where the error allows; an MLP's outputs are multiplied out where that is shorter; coefficients
are rounded. Apart from this, a short formula of the same function is looked for by its shape (formula_recognise.py).

A step is taken only if the formula stays near the network both on held-out examples and on those that polynomials are
fitted to; an MLP's also on new ones, for a hundred held-out examples say little. Work is bounded: any network of up to
500 weights takes seconds; a larger one is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.analysis.activations import require_examples
from bimt_tf.analysis.formula_activations import replace_activations
from bimt_tf.analysis.formula_error import errors
from bimt_tf.analysis.formula_meaning import readings
from bimt_tf.analysis.formula_network import exact_network, live_weights, network_program
from bimt_tf.analysis.formula_program import Program
from bimt_tf.analysis.formula_question import Question, Wanted, ask
from bimt_tf.analysis.formula_recognise import recognised
from bimt_tf.analysis.formula_result import Formula, FormulaMade, Step, Written
from bimt_tf.analysis.formula_rounding import drop_small, rounded
from bimt_tf.analysis.formula_stages import stages_of_inputs
from bimt_tf.analysis.formula_terms import multiplied_out
from bimt_tf.errors import InputError

__all__ = ["LONG", "MOST_WEIGHTS", "formula"]

MOST_WEIGHTS = 500
"""Weights and biases that a network may have to be read."""

LONG = 150
"""A formula of more terms and functions tells a reader no more than the weights do."""

LEFT_OUT, ROUNDED = "small coefficients left out", "coefficients rounded"
DEGREE_MLP, DEGREE_TRANSFORMER = 4, 2  # of an activation's polynomial; in a transformer it is read where it stands
DROPPED, OF_INPUTS, REPLACED, DROPPED_AGAIN, MULTIPLIED = (
    0.1,
    0.35,
    0.5,
    0.6,
    0.8,
)  # shares of the budget up to each step
RECOGNISED = 0.9  # the same of a recognised formula's coefficients, before they are rounded
WIDER = (1, 10, 100)  # budgets of a recognised formula: a network that learned it roughly is no nearer to it
SHORT = 20  # terms and functions that a recognised formula may have: more is no shape but a fit


def formula(
    model: nn.Module,
    inputs: Float[Tensor, "n ..."],
    *,
    targets: Float[Tensor, "n outputs"] | None = None,
    fit_inputs: Float[Tensor, "fitted ..."] | None = None,
    names: Sequence[str] | None = None,
    outputs: Sequence[int] | None = None,
    output_names: Sequence[str] | None = None,
    position: int | None = None,
    r2: float | None = None,
    max_error: float | None = None,
    stages: bool = False,
    told: Callable[[str], None] | None = None,
) -> Formula:
    """The formula of a network whose weights are few.

    Args:
        model: an MLP, an nn.Sequential of linear layers and activations, or a RegressionTransformer.
        inputs: held-out examples, [n, features] or [n, pos, features]: errors are stated on them.
        targets: what the wanted outputs should be, [n, outputs].
        fit_inputs: examples that polynomials are fitted to, such as the training ones; ``inputs`` unless given.
        names: of the inputs, tokens one after the other; x0, x1 ... or x0_0 (token, feature) ... unless given.
        outputs: numbers of the outputs that are wanted; all unless given.
        output_names: their names; y0, y1 ... unless given.
        position: the token that a transformer is read at, from the end if negative; the last one unless given.
        r2: budget: R2 of each output against the network's, at least; .9999 unless a budget is given.
        max_error: budget: the greatest error of any output on any example, at most.
        stages: keep every neuron's name: the residual stream, queries, keys and values among them.
        told: called with what is being done, a few words at a time.

    Raises:
        InputError: for another model, examples or names that do not fit it, two budgets, or a network of more than 500
            weights and biases that do something.
    """
    require_examples(inputs)
    told = told or (lambda text: None)
    wanted = Wanted(names, outputs, output_names, position, r2, max_error)
    exact = exact_network(model)
    asked = ask(exact, inputs, inputs if fit_inputs is None else fit_inputs, targets, wanted)
    parameters = _parameters(exact)
    network = network_program(exact, asked.values, asked.outputs, asked.position)
    network = network.inlined(_all_names(network) if stages else frozenset())
    made, steps = _shortened(network, asked, stages, told)
    told("a short formula is looked for by its shape")
    short = _recognised(network, asked, made.size)
    return Formula(
        Written(made),
        tuple(steps),
        None if short is None else Written(short),
        None if short is None else _step("recognised by its shape", short, asked),
        Written(network),
        readings(made, asked.judge),
        tuple(_notes(asked, steps)),
        _how_made(asked, parameters),
    )


def _parameters(model: nn.Module) -> int:
    """Weights and biases that do something; raises InputError for too many."""
    weights = live_weights(model)
    if weights > MOST_WEIGHTS:
        raise InputError(
            f"the network is too large to be read as a formula: {weights:,} of its weights and biases do something, "
            f"at most {MOST_WEIGHTS} may; eliminate weights first (bimt eliminate DIR, or bimt_tf.eliminate)"
        )
    return weights


def _how_made(asked: Question, parameters: int) -> FormulaMade:
    judge = asked.judge
    examples, fitted = len(judge.held_out.network), len(judge.fit.network)
    return FormulaMade(examples, fitted, asked.position, judge.budget, parameters, asked.fixed)


def _all_names(program: Program) -> frozenset[str]:
    return frozenset(one.name for one in program.definitions)


def _shortened(
    network: Program, asked: Question, stages: bool, told: Callable[[str], None]
) -> tuple[Program, list[Step]]:
    """The formula after all steps, and the steps; where replaced activations make it longer, they are put back."""
    named = _all_names(network) if stages else frozenset()
    steps = [_step("the network, weight by weight", network, asked)]
    made = kept = network
    details: list[str] = []
    for what, work in _works(asked, stages, details):
        told(what)
        if what == ROUNDED and made.size > kept.size:
            made = kept
            steps.append(_step("activations as they are: no polynomial makes it shorter", made, asked))
        made = work(made).inlined(named)
        kept = made if what == LEFT_OUT else kept
        steps.append(_step(what, made, asked)._replace(details=tuple(details)))
        details.clear()
    return made, steps


def _works(asked: Question, stages: bool, details: list[str]) -> Iterator[tuple[str, Callable[[Program], Program]]]:
    """The steps that make a formula shorter, each with what it is called; they tell more in ``details``."""
    judge = asked.judge
    degree = DEGREE_MLP if asked.position is None else DEGREE_TRANSFORMER
    replaced = "activations" if asked.position is None else "activations and attention patterns"

    def replace(program: Program) -> Program:
        found, said = replace_activations(program, judge, REPLACED, degree, shorter=asked.position is not None)
        details.extend(said)
        return found

    def simplify(program: Program) -> Program:
        found, said = stages_of_inputs(program, judge, OF_INPUTS)
        details.extend(said)
        return found

    yield LEFT_OUT, partial(drop_small, judge=judge, share=DROPPED)
    if asked.position is not None and not stages:
        yield "stages written as polynomials of the inputs", simplify
    yield f"{replaced} replaced by polynomials", replace
    yield "small coefficients left out again", partial(drop_small, judge=judge, share=DROPPED_AGAIN)
    if asked.position is None and not stages:
        yield (
            "outputs multiplied out where that is shorter",
            partial(multiplied_out, judge=judge, share=MULTIPLIED),
        )
    yield ROUNDED, partial(rounded, judge=judge, share=1.0)


def _recognised(network: Program, asked: Question, size: int) -> Program | None:
    """A formula shorter than ``size`` within the budget, or a wider one; its own errors are stated beside it."""
    for factor in WIDER:
        judge = asked.judge._replace(budget=asked.judge.budget.wider(factor))
        found = recognised(network, judge, MULTIPLIED)
        if found is not None:
            short = rounded(drop_small(found, judge, RECOGNISED), judge, 1.0).inlined()
            return short if short.size <= SHORT and short.size < size else None
    return None


def _step(what: str, program: Program, asked: Question) -> Step:
    held_out = asked.judge.held_out
    found = program.run(held_out.inputs, len(held_out.network))
    against = None if asked.targets is None else errors(found, asked.targets)
    return Step(what, program.size, errors(found, held_out.network), against)


def _notes(asked: Question, steps: list[Step]) -> list[str]:
    """What a reader must know."""
    first, last = steps[0], steps[-1]
    found = []
    if asked.fixed:
        said = ", ".join(f"{name} = {value:g}" for name, value in asked.fixed.items())
        found.append(f"inputs that do not vary on these examples are numbers in the formula: {said}")
    if last.size > LONG:
        found.append(
            f"this is no short formula: {last.size} terms and functions are left of {first.size}; a network of "
            "fewer weights (bimt eliminate DIR) or a wider budget has a shorter one"
        )
    if last.network.r2 is None:
        found.append("an output does not vary on these examples: R2 against it is not defined")
    return found
