"""Probing: what single neurons, pairs and the whole population of a hook tell about a quantity (paper, Section 3.4).

Each is regressed on the target with a part of the examples and scored on the held-out rest, by two regressors:
**linear** ridge regression and a **nonlinear** one (regressors.py gives every constant; probe_scores.py says what the
score is of numbers and of classes). Examples are held out by distinct input (probe_split.py).

A probe can fail: beside the population stands what the inputs that reach the place tell, the stage before it, and the
same network untrained (baselines.py), and what is left with a shuffled target. Two neurons that carry y and x give y/x
to a nonlinear regressor as the raw inputs do; it is the gain over them that tells whether the network computed it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.baselines import Baselines
from bimt_tf.analysis.pair_screen import screen_pairs
from bimt_tf.analysis.probe_results import (
    Compared,
    Control,
    HowMade,
    NeuronProbe,
    PairProbe,
    ProbeResult,
    ReadOut,
    Shuffled,
)
from bimt_tf.analysis.probe_scores import LEVEL, RESAMPLES, Reader, Reading, difference, quick_fits
from bimt_tf.analysis.probe_split import Division, divide
from bimt_tf.analysis.probe_values import Kind, Target, checked_target, varying_neurons
from bimt_tf.errors import require_kind, require_non_negative, require_seed, require_whole

__all__ = ["checked_question", "how_probed", "probe"]


def probe(
    model: nn.Module,
    hook: str,
    target: Shaped[Tensor, " examples"],
    position: int | None = None,
    *,
    inputs: Shaped[Tensor, "batch ..."],
    untrained: nn.Module | None = None,
    kind: Kind | None = None,
    name: str = "target",
    max_pairs_neurons: int = 24,
    varying_threshold: float = 1e-3,
    seed: int = 0,
) -> ProbeResult:
    """Read ``target`` off the activations at ``hook``: neuron by neuron, pair by pair, and all together.

    The model runs in evaluation mode without gradients; hooks and modes are put back, also after an exception.

    Args:
        model: a HookedRootModule (RegressionTransformer, MLP) or a TransformerBridge.
        hook: hook name, e.g. "blocks.0.hook_resid_post"; of q, k, v and z, neuron ``head * d_head + e`` is neuron e
            of its head.
        target: one number or class an example; a tensor, an array or a list.
        position: the token probed, from the end if negative; None for activations without positions (MLP).
        inputs: what the model takes, the batch first.
        untrained: a network of the same architecture with untrained weights, to compare with.
        kind: what the target is, "numbers" or "classes"; unless given, booleans and few different whole numbers are
            classes (probe_values.py).
        name: what the target is called in the result.
        max_pairs_neurons: pairs are taken among at most so many neurons; half, where each input is held out once.
        varying_threshold: a neuron varies if its standard deviation exceeds this fraction of the largest at the hook
            (and the rounding of its activations' dtype).
        seed: of the division, the bumps' centres, the shuffled targets and the bootstrap.

    Raises:
        InputError: for an unknown hook, one without activations or neurons, a position out of range, NaN or infinite
            activations or targets, a target that is constant or does not match the inputs, or under 20 examples.
    """
    require_whole("max_pairs_neurons", max_pairs_neurons, at_least=2)
    y = checked_question(target, inputs, kind, varying_threshold, seed)
    activations(model, hook, position, inputs=inputs[:2])  # which judges hook and position
    base = Baselines(model, inputs, untrained)
    asked, stage = hook, base.stage(hook)
    hook, position = stage.hook, None if position is None else int(position) % (stage.tokens or 1)
    x = base.activations(hook, position)
    varying = varying_neurons(x, base.rounding(hook), varying_threshold)
    division = divide(y, base.reaching(hook, position), seed)
    with quick_fits():
        reader = Reader(y, division, seed)
        paired, screened = _paired(x, y, varying, division, max_pairs_neurons)
        neurons = {(i,): _both(reader, x[:, [i]]) for i in varying}
        pairs = {pair: _both(reader, x[:, list(pair)]) for pair in combinations(paired, 2)}
        whole = _both(reader, x[:, varying])
        inputs_, before, fresh = _baselines(base, hook, position, reader, whole)
    control = Control(reader.shuffles, *(_shuffled(reads) for reads in ([whole], neurons.values(), pairs.values())))
    return ProbeResult(
        name, y.kind, asked, position, varying, paired, screened, ReadOut(*_scores(whole)), inputs_, before, fresh,
        control, [NeuronProbe(*key, *_scores(read)) for key, read in neurons.items()], _ranked(pairs),
        y.chance, how_probed(y, division, reader, seed),
    )  # fmt: skip


def checked_question(target: object, inputs: Tensor, kind: Kind | None, varying_threshold: float, seed: int) -> Target:
    """The target, once all that a probe and a map are given has been judged.

    Raises:
        InputError: for a value that cannot be.
    """
    require_seed(seed, bits=32)  # of scikit-learn's generators
    require_kind("inputs", inputs, Tensor)
    require_non_negative("varying_threshold", varying_threshold)
    return checked_target(target, len(inputs) if inputs.ndim else 0, kind)


def how_probed(target: Target, division: Division, reader: Reader, seed: int) -> HowMade:
    """The division, shuffles and draws of a probe."""
    train, held = division.folds[0]
    return HowMade(
        len(target.values), division.units, division.by, len(division.folds), len(train), len(held), seed,
        reader.shuffles, RESAMPLES, LEVEL,
    )  # fmt: skip


_Both = tuple[Reading, Reading]
"""Linear and nonlinear."""


def _both(reader: Reader, x: np.ndarray) -> _Both:
    return reader.linear(x), reader.nonlinear(x)


def _scores(read: _Both) -> tuple[Any, Any]:
    return read[0].score, read[1].score


def _ranked(pairs: Mapping[tuple[int, int], _Both]) -> list[PairProbe]:
    """The pairs, best first; equally good ones, but for rounding, in the order of their neurons."""
    found = [PairProbe(*pair, *_scores(read)) for pair, read in pairs.items()]
    return sorted(found, key=lambda pair: (-round(pair.nonlinear.value or 0.0, 9), pair.first, pair.second))


def _paired(x: np.ndarray, y: Target, varying: list[int], division: Division, most: int) -> tuple[list[int], bool]:
    """The neurons whose pairs are probed, and whether they were chosen."""
    most = most if len(division.folds) == 1 else max(2, most // 2)
    if len(varying) <= most:
        return varying, False
    train = division.folds[0][0]
    moving = [i for i in varying if np.ptp(x[train, i]) > 0]
    values = y.values[train]
    if len(moving) <= most or np.ptp(values) == 0:
        return moving[:most], True
    return screen_pairs(x[train], values, moving, most), True


def _baselines(
    base: Baselines, hook: str, position: int | None, reader: Reader, whole: _Both
) -> tuple[Compared, Compared, Compared]:
    earlier = base.hook_before(hook)
    reaching = ", ".join(base.reaching(hook, position)) or "nothing reaches it"

    def compared(what: str, features: Callable[[], np.ndarray | None], there: bool, reason: str) -> Compared:
        x = features() if there else None
        if x is None:
            return Compared(what, None, None, reason)
        read = _both(reader, x)
        gains = [difference(one, other) for one, other in zip(whole, read, strict=True)]
        return Compared(what, ReadOut(*_scores(read)), ReadOut(gains[0], gains[1]))

    return (
        compared(f"inputs ({reaching})", lambda: base.input_features(hook, position), True, ""),
        compared(f"stage before ({earlier or 'none'})", lambda: base.before(hook, position), earlier is not None,
                 "this is the first stage"),
        compared("untrained network", lambda: base.untrained(hook, position), base.has_untrained, "none was given"),
    )  # fmt: skip


def _shuffled(reads: Sequence[_Both] | Any) -> Shuffled:
    """The highest score of any read-out with any shuffled target."""
    highest = [[one.shuffled.max() for one in row if one.shuffled.size] for row in zip(*reads, strict=True)]
    linear, nonlinear = (float(max(row)) if row else None for row in highest) if highest else (None, None)
    return Shuffled(linear, nonlinear)
