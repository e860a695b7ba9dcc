"""Rounds of a penalty, for losses that have hardly any curvature: weights are pressed to zero, and the rest refitted.

Near zero loss cross entropy says nothing about which weights may go (docs/elimination.md); what a longer press leaves
does. The live weights w_i, whose wires have the prices c_i of the connection cost (Eq. 3), take two runs of Adam on
minibatches a round, whose rate falls to 0 on half a cosine:

1. *Press.* Behind each step comes a soft threshold in Adam's metric (training/threshold.py), for the penalty

       lambda * sum of c_i f_i log(1 + |w_i| / f_i),      f_i = FLOOR * the size of the weights of its tensor,

   whose derivative, lambda c_i / (1 + |w_i| / f_i), is that of the connection cost at zero and falls with the weight's
   size: small weights go and large ones stay, where the cost itself shrinks all. This is L1 that is reweighted at each
   step (Candes, Wakin and Boyd, 2008).
2. *Refit.* With little of the connection cost itself, zeros staying zero.

lambda is such that weights larger by a small share e pay e times the *pressure* more, in units of the loss that the
network has with no weights (that it has now, where the other is 0 or no number). A round is kept if the budget allows
it and weights went; then the next presses harder. Where a number of weights is the budget, no press takes more: the
largest of those that would go stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from bimt_tf.training.elimination.live_network import Examples, LiveNetwork
from bimt_tf.training.elimination.search import Search

__all__ = ["press"]

STEPS, RATE = 400, 6e-3
"""Of a press. ``RATE``: the first steps' size, as a share of the root mean square of a tensor's live weights."""

REFIT_STEPS, REFIT_RATE = 800, 3e-3
"""Of a refit."""

FLOOR = 0.05
"""Where the penalty's pull has fallen to a half, as a share of the root mean square of a tensor's live weights."""

LEFT_ON = 0.02
"""The share of lambda that weights pay during a refit, by the connection cost itself. With less the training loss falls
further, but held-out examples are lost; with more fewer weights go within a budget (docs/elimination-measured.md)."""

HARDER, SOFTER, TRIES = 1.5, 2.0, 2
"""The pressure grows by the first behind a round that was kept, and is divided by the second behind one that the budget
did not allow; after so many of these in a row it ends."""

HARDEST = 1.0
"""Where nothing went, the pressure is doubled; behind this one it ends."""

TERMS = 512
"""About so many terms of the loss (examples, or tokens of a text) make a minibatch."""

BETAS, EPS = (0.9, 0.99), 1e-8


def press(search: Search, given: Examples) -> None:
    """Press weights to zero round by round, until none goes within the budget or the search is stopped.

    Args:
        search: what is thinned; its ``pressure`` is where the next round begins.
        given: all training examples, which minibatches are drawn from.
    """
    refused, tried, pressure = 0, 0, search.pressure
    while refused < TRIES and not search.stop() and not search.reached:
        network = search.network()
        prices = _prices(search, network)
        if not bool((prices > 0).any()):  # nothing is left, or nothing that pays
            return
        values = _round(search, network, prices, given, pressure, tried)
        if int(values.count_nonzero()) == len(values):
            if pressure > HARDEST:
                return
            tried, pressure = tried + 1, pressure * SOFTER
        elif search.keep("press", network, values, pressure=HARDER * pressure):
            refused, tried, pressure = 0, 0, search.pressure
        else:
            refused, tried, pressure = refused + 1, tried + 1, pressure / SOFTER


class _Run(NamedTuple):
    """What a run of Adam draws minibatches of ``size`` from, and whether it is to end where it is."""

    network: LiveNetwork
    examples: Examples
    size: int
    generator: torch.Generator
    stop: Callable[[], bool]


def _round(
    search: Search, network: LiveNetwork, prices: Tensor, given: Examples, pressure: float, tried: int
) -> Float[Tensor, " n"]:
    """The live weights pressed and refitted: some are zero then. What is random hangs on the rounds kept and tried."""
    generator = torch.Generator().manual_seed(1_000 * len(search.path) + tried)
    size = max(1, TERMS // network.terms(Examples(*(part[:1] for part in given))))
    run = _Run(network, given, min(len(given.inputs), size), generator, search.stop)
    start, sizes = network.start, network.gather(_sizes(search))
    floors = FLOOR * sizes
    pull = float((prices * start.abs() / (1 + start.abs() / floors)).sum())
    unit = network.loss(torch.zeros_like(start))
    unit = unit if 0 < unit < math.inf else search.now.loss  # of targets that are zero, or a loss that zero has not
    prices = prices * (pressure * unit / pull)  # times lambda
    least, wires = search.budget.weights, network.gather(search.wires) > 0

    def spared(shrunk: Tensor, values: Tensor) -> Tensor:
        return _spared(shrunk, values, wires, least) if least else shrunk

    def pressed(values: Tensor, rates: Tensor, speeds: Tensor) -> Tensor:
        return spared(_shrunk(values, rates, prices / (1 + values.abs() / floors) / speeds), values)

    values = _adam(run, start, RATE * sizes, STEPS, pressed)
    kept = values != 0

    def refitted(values: Tensor, rates: Tensor, speeds: Tensor) -> Tensor:
        return spared(_shrunk(values, rates, LEFT_ON * prices / speeds) * kept, values * kept)

    return _adam(run, values, REFIT_RATE * sizes, REFIT_STEPS, refitted)


def _adam(
    run: _Run,
    values: Float[Tensor, " n"],
    first_rates: Float[Tensor, " n"],
    steps: int,
    then: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Float[Tensor, " n"]:
    """Steps of Adam, each followed by ``then`` of the values, this step's rates and what gradients are divided by."""
    mean, square, (beta1, beta2) = torch.zeros_like(values), torch.zeros_like(values), BETAS
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if run.stop():
            break
        if len(order) < run.size:
            order = torch.randperm(len(run.examples.inputs), generator=run.generator)
        chosen, order = order[: run.size].to(values.device), order[run.size :]
        gradient = run.network.gradient(values, Examples(*(part[chosen] for part in run.examples)))
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient.square()
        rates = first_rates * (0.5 * (1 + math.cos(math.pi * step / steps)))
        speeds = (square / (1 - beta2 ** (step + 1))).sqrt() + EPS
        values = then(values - rates * mean / (1 - beta1 ** (step + 1)) / speeds, rates, speeds)
    return values


def _shrunk(values: Tensor, rates: Tensor, owed: Tensor) -> Tensor:
    """Weights after a soft threshold by what they owe a step, at most as far as the step goes."""
    return values.sign() * (values.abs() - rates * owed.clamp_max(1)).clamp_min(0)


def _spared(shrunk: Tensor, values: Tensor, wires: Tensor, least: int) -> Tensor:
    """What was shrunk, but that ``least`` of the weights of ``wires`` do not become zero, the largest as they were."""
    lacking = least - int((shrunk * wires).count_nonzero())
    if lacking <= 0:
        return shrunk
    gone = ((shrunk == 0) & (values != 0) & wires).nonzero().squeeze(1)
    back = gone[values[gone].abs().argsort(descending=True, stable=True)[:lacking]]
    return shrunk.index_copy(0, back, values[back])


def _prices(search: Search, network: LiveNetwork) -> Float[Tensor, " n"]:
    """What each live weight pays per unit of its size by the connection cost; 0 where it pays nothing."""
    nothing = {name: torch.zeros_like(p.detach()) for name, p in search.bimt.parameters.items()}
    return network.gather(nothing | search.bimt.coefficients())


def _sizes(search: Search) -> dict[str, Tensor]:
    """Parameter -> in its shape, the root mean square of its weights that are not zero."""
    found = {}
    for name, p in search.bimt.parameters.items():
        held = p.detach()
        found[name] = torch.full_like(held, float((held.square().sum() / held.count_nonzero().clamp_min(1)).sqrt()))
    return found
