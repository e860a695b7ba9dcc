"""What an elimination does one after the other, each stage a function of the search."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from bimt_tf.training.elimination.budget import LOSS_FACTOR
from bimt_tf.training.elimination.early_rounds import early_rounds
from bimt_tf.training.elimination.levenberg_marquardt import steps_for
from bimt_tf.training.elimination.live_network import Examples
from bimt_tf.training.elimination.manner import Manner
from bimt_tf.training.elimination.pressing import press
from bimt_tf.training.elimination.search import Search
from bimt_tf.training.elimination.shortening import FEW_ENOUGH, shorten
from bimt_tf.training.elimination.single_weights import goal_for, remove_weights
from bimt_tf.training.elimination.softmax_gauge import choose_gauge
from bimt_tf.training.elimination.structure import remove_parts
from bimt_tf.training.elimination.whole_neurons import remove_neurons

__all__ = ["stages"]

FIRST_TOLERANCE = 5e-3
LONGER_STEPS, LONGER_TOLERANCE = 100, 1e-3
"""Of the first refit, and of the one that follows where its loss is above the budget."""

FOR_REMOVALS = 0.3
"""The share of the budget's loss within which weights go where the rest is for short wires."""


def stages(few_neurons: bool, manner: Manner, given: Examples) -> tuple[Callable[[Search], None], ...]:
    """What is done one after the other; a search that goes on begins with the stage where it stopped.

    Args:
        few_neurons: whether the budget is a number of neurons.
        manner: in which manner weights go.
        given: all training examples, which minibatches are drawn from.
    """
    if manner.press:
        return (choose_gauge, partial(press, given=given), _weights_that_pressing_left)
    if few_neurons:
        return (early_rounds, _refit, remove_neurons, _remove_weights_of_the_rest)
    if manner.short_wires:
        return (choose_gauge, early_rounds, _refit, _remove_within_a_share, shorten)
    first = (remove_neurons,) if manner.whole_neurons == "first" else ()
    last = (remove_neurons, remove_weights) if manner.whole_neurons != "no" else ()
    return (choose_gauge, early_rounds, _refit, *first, remove_weights, remove_parts, _weights_without_parts, *last)


def _weights_without_parts(search: Search) -> None:
    """Single weights again, if a part went or this had begun."""
    if search.now.standing.stage >= search.stage - 1:
        remove_weights(search)


def _remove_within_a_share(search: Search) -> None:
    """Single weights, of what leaves most of the budget to the wires."""
    allowed = search.budget
    search.budget = allowed._replace(loss=FOR_REMOVALS * allowed.loss)
    remove_weights(search)
    search.budget = allowed


def _weights_that_pressing_left(search: Search) -> None:
    """Where a number of weights is asked for and the hardest press left more, the rest by curvature, if few enough."""
    if not search.budget.weights or search.reached or search.stop():
        return
    if search.live <= FEW_ENOUGH:
        remove_weights(search)
        return
    search.note(
        f"pressing ended at {search.now.weights:,} weights, as the hardest press takes out none of them: "
        f"{search.budget.weights:,} were asked for"
    )


def _refit(search: Search) -> None:
    """Refit all live weights; of the budget only the validation loss matters yet, for the loss only falls."""
    allowed, goal = search.budget, goal_for(len(search.network().start), search)
    search.budget = allowed._replace(loss=float("inf"))
    done = sum(one.what == "refit" for one in search.path)
    if not done:
        network = search.network()
        n = len(network.start)
        search.attempt("refit", network, network.start, steps=steps_for(n), tolerance=FIRST_TOLERANCE, goal=goal)
    if search.now.loss > allowed.loss and done < 2 and not search.stop():
        network = search.network()
        search.attempt("refit", network, network.start, steps=LONGER_STEPS, tolerance=LONGER_TOLERANCE, goal=goal)
    search.budget = allowed


def _remove_weights_of_the_rest(search: Search) -> None:
    """Take weights out of the few neurons that are left, at hardly more than the loss that they have."""
    before = [one for one in search.path if one.standing.stage < search.stage]
    search.budget = search.budget._replace(loss=LOSS_FACTOR * before[-1].loss, neurons=0)
    remove_weights(search)
