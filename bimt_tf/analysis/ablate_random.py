"""What knocking out random neurons costs: beside the cost of named ones, it says whether these are special."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import run_hooked
from bimt_tf.analysis.clean_run import clean_run, number_of
from bimt_tf.analysis.random_sets import other_set, spread_of
from bimt_tf.analysis.written import Positions, Value, entries_at, require_value, varying, whole_numbers
from bimt_tf.errors import InputError, require_whole

__all__ = ["RandomAblations", "ablate_random"]


class RandomAblations(NamedTuple):
    """How the metric changes without random sets of varying neurons, as many as the named ones.

    ``sets`` were tried of ``possible``, among ``varying`` neurons; where there are few, each but the named one.
    ``mean``, ``low``, ``high``: of the changes, the last two bounding 95% of them; ``largest``: the greatest.
    """

    sets: int
    possible: int
    varying: int
    mean: float
    low: float
    high: float
    largest: float

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        return self._asdict()


def ablate_random(
    model: nn.Module,
    hook: str,
    neurons: Sequence[int],
    inputs: Shaped[Tensor, "batch ..."],
    metric: Callable[[Any], float],
    *,
    value: Value = "mean",
    position: Positions = None,
    sets: int = 100,
    seed: int = 0,
) -> RandomAblations | None:
    """Ablate random sets of a hook's neurons, each as large as the named one and other than it.

    Args:
        model: as :func:`bimt_tf.analysis.ablate.ablate`, as are inputs, metric, value and position.
        hook: where.
        neurons: the named ones.
        inputs: what the model takes.
        metric: the model's output -> a number.
        value: what is written.
        position: at which tokens.
        sets: how many to draw; where there are no more than that, each is tried.
        seed: of the draws and of "resample".

    Returns:
        What they cost; None where no more neurons than the named ones vary over the examples.

    Raises:
        InputError: as ``ablate``.
    """
    require_value(value, seed)
    require_whole("sets", sets)
    named = set(whole_numbers(f"hook {hook!r}", neurons))
    before, clean = clean_run(model, [hook], inputs, metric)
    seen = clean[hook]
    vary = varying(seen.flat, entries_at(hook, seen.flat.shape[1:], None, position))
    if not named <= set(range(seen.flat.shape[-1])):
        raise InputError(f"hook {hook!r} has neurons 0 to {seen.flat.shape[-1] - 1}, found {max(named)}")
    if len(vary) <= len(named):
        return None
    possible = comb(len(vary), len(named))
    if possible <= sets:
        drawn = [list(one) for one in combinations(vary, len(named)) if set(one) != named]
    else:
        generator = torch.Generator().manual_seed(seed)
        drawn = [other_set(vary, named, len(named), generator) for _ in range(sets)]
    changes = []
    for one in drawn:
        output = run_hooked(model, inputs, {hook: seen.edit(one, value, position, seed)})
        changes.append(number_of(metric, output, f"with neurons {one} of {hook!r} ablated") - before)
    return RandomAblations(len(drawn), possible, len(vary), *spread_of(changes))
