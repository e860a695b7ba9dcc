"""What neurons, heads, modules and weights do: interventions on the run's held-out examples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from torch import Tensor

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.ablate import NeuronAblation, ablate, ablate_each
from bimt_tf.analysis.ablate_random import RandomAblations, ablate_random
from bimt_tf.analysis.edge_effects import EdgeEffects, edge_effects
from bimt_tf.analysis.exchange import Site
from bimt_tf.analysis.interchange import Interchange, SiteMove, interchange, interchange_map
from bimt_tf.analysis.minimal_set import MinimalSet, minimal_set
from bimt_tf.analysis.path_patch import PathEffect, path_patch
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.weights import Weight
from bimt_tf.analysis.written import Positions, Value
from bimt_tf.runs.ask.pairs import Others, OwnPairs, pairs_of
from bimt_tf.runs.trained import Trained

__all__ = [
    "ablated", "edges_measured", "interchange_mapped", "interchanged", "path_patched", "random_ablated",
    "residual_hooks", "smallest_set", "smallest_set_at_fewest_tokens", "where_it_passes",
]  # fmt: skip

NO_NEURON = -1  # of an entry for weights alone


def ablated(
    trained: Trained,
    hook: str,
    neurons: Sequence[int] = (),
    *,
    position: Positions = None,
    value: Value = "mean",
    heads: Sequence[int] = (),
    weights: Sequence[Weight] = (),
    each_head: bool = False,
    seed: int = 0,
) -> list[NeuronAblation]:
    """How the test loss rises when neurons of a hook are overwritten: each neuron in turn, greatest rise first.

    Given ``neurons``, ``heads`` or ``weights``, all of them at once instead, as one entry under the first's number, -1
    for weights alone; with ``each_head``, each head in turn.

    Raises:
        InputError: for what ``ablate`` refuses.
    """
    inputs = trained.held_out.inputs
    if neurons or heads or weights:
        together = ablate(
            trained.model, {hook: neurons} if neurons else {}, inputs, trained.loss, value=value, position=position,
            heads={hook: heads} if heads else {}, weights=weights, seed=seed,
        )  # fmt: skip
        return [NeuronAblation([*neurons, *heads, NO_NEURON][0], *together)]
    each = ablate_each(
        trained.model, hook, inputs, trained.loss, value=value, position=position, whole_heads=each_head, seed=seed
    )
    return sorted(each, key=lambda one: -one.change)


def random_ablated(
    trained: Trained,
    hook: str,
    neurons: Sequence[int],
    *,
    position: Positions = None,
    value: Value = "mean",
    sets: int = 100,
    seed: int = 0,
) -> RandomAblations | None:
    """What random sets of as many varying neurons cost; None where there are no others.

    Raises:
        InputError: for what ``ablate_random`` refuses.
    """
    return ablate_random(
        trained.model, hook, neurons, trained.held_out.inputs, trained.loss, value=value, position=position, sets=sets,
        seed=seed,
    )  # fmt: skip


def interchanged(
    trained: Trained,
    site: Site,
    target: str | None = None,
    *,
    pairs: int | OwnPairs = 500,
    others: Others = "same",
    random_sets: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Interchange:
    """How far the output moves to what it would be with another example's ``target`` if a site is taken from there.

    Raises:
        InputError: for what ``pairs_of`` and ``interchange`` refuse.
    """
    made = pairs_of(trained, target, pairs, others, seed)
    return interchange(
        trained.model, site, *made.three, read=made.read, random_sets=random_sets, seed=seed, progress=progress
    )


def interchange_mapped(
    trained: Trained,
    hooks: Sequence[str] = (),
    target: str | None = None,
    *,
    pairs: int | OwnPairs = 500,
    others: Others = "same",
    seed: int = 0,
) -> list[SiteMove]:
    """The same for all neurons of each hook and token in turn; the hooks of :func:`residual_hooks` unless given.

    Raises:
        InputError: for what ``pairs_of`` and ``interchange_map`` refuse.
    """
    made = pairs_of(trained, target, pairs, others, seed)
    return interchange_map(trained.model, hooks or residual_hooks(trained), *made.three, read=made.read)


def smallest_set(
    trained: Trained,
    hook: str,
    position: Positions = None,
    target: str | None = None,
    *,
    reach: float = 0.9,
    largest: int | None = None,
    checks: int = 2_000,
    pairs: int | OwnPairs = 500,
    others: Others = "same",
    random_sets: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> MinimalSet:
    """The smallest set of neurons of a hook that carries ``target``.

    Raises:
        InputError: for what ``pairs_of`` and ``minimal_set`` refuse.
    """
    made = pairs_of(trained, target, pairs, others, seed)
    return minimal_set(
        trained.model, hook, *made.three, position=position, reach=reach, largest=largest, checks=checks,
        read=made.read, random_sets=random_sets, seed=seed, progress=progress,
    )  # fmt: skip


def smallest_set_at_fewest_tokens(
    trained: Trained,
    hook: str,
    position: Positions = None,
    target: str | None = None,
    *,
    reach: float = 0.9,
    **asked: Any,
) -> MinimalSet:
    """The smallest set at several tokens; at fewer of them, if it reaches ``reach`` there too.

    Where parts of what passes counter each other, all neurons of no single token reach, and yet a set at one may.

    Args:
        trained: as :func:`smallest_set`, as is all else.
        hook: where.
        position: the tokens that it may take.
        target: what run B has of its own.
        reach: share of the wanted change.
        **asked: the other arguments of :func:`smallest_set`.

    Raises:
        InputError: as ``smallest_set``.
    """
    found = smallest_set(trained, hook, position, target, reach=reach, **asked)
    tokens = tuple(position) if isinstance(position, Sequence) else ()
    if found.neurons is None:
        return found
    made = {name: asked[name] for name in ("pairs", "others", "seed") if name in asked}
    for size in range(1, len(tokens)):
        for fewer in combinations(tokens, size):
            at = fewer[0] if size == 1 else fewer
            site = Site(hook, tuple(found.neurons), at)
            if interchanged(trained, site, target, random_sets=0, **made).share >= reach:
                return smallest_set(trained, hook, at, target, reach=reach, **asked)
    return found


def path_patched(
    trained: Trained,
    sender: Site,
    receiver: Site | None,
    target: str | None = None,
    *,
    pairs: int | OwnPairs = 500,
    others: Others = "same",
    random_sets: int = 0,
    seed: int = 0,
) -> PathEffect:
    """What of ``target`` passes from a sender to a receiver directly.

    Raises:
        InputError: for what ``pairs_of`` and ``path_patch`` refuse.
    """
    made = pairs_of(trained, target, pairs, others, seed)
    return path_patch(trained.model, sender, receiver, *made.three, read=made.read, random_sets=random_sets, seed=seed)


def edges_measured(
    trained: Trained,
    target: str | None = None,
    *,
    pairs: int | OwnPairs = 500,
    seed: int = 0,
    progress: Progress | None = None,
) -> EdgeEffects:
    """The effects of every active weight: on the held-out loss, and on the way to another ``target``.

    A task that makes no pairs has knock-outs alone, unless pairs or a target are given.

    Raises:
        InputError: for what ``pairs_of`` and ``edge_effects`` refuse.
    """
    inputs: Tensor = trained.held_out.inputs
    without_pairs = isinstance(pairs, int) and target is None and not trained.task.changeable(trained.config.data)
    made = None if without_pairs else pairs_of(trained, target, pairs, "same", seed)
    three = None if made is None else (made.inputs, made.source, made.wanted_numbers)
    read = None if made is None else made.read_numbers
    return edge_effects(
        trained.bimt, inputs, trained.loss, three, read=read, threshold=trained.threshold, progress=progress
    )


def where_it_passes(rows: Sequence[SiteMove], reach: float) -> list[tuple[str, Positions]]:
    """Of a map, where a set that carries the target can be looked for: (hook, position or positions).

    Each token at which all neurons reach ``reach``. At a hook where none does, the target passes through several tokens
    at once, or through parts that counter each other: all tokens that move the output, together.
    """
    found: list[tuple[str, Positions]] = []
    for hook in dict.fromkeys(row.hook for row in rows):
        here = [row for row in rows if row.hook == hook and row.share != 0]
        whole = [row for row in here if row.share >= reach]
        if whole:
            found += [(hook, row.position) for row in whole]
        elif here:
            tokens = tuple(row.position for row in here if row.position is not None)
            found.append((hook, tokens or None))
    return found


def residual_hooks(trained: Trained) -> list[str]:
    """The hooks of the stages that everything passes: a transformer's residual stream, all layers of another model."""
    wiring = trained.bimt.wiring
    hooks = stage_hooks(trained.model, wiring)
    stream = [stage.name for stage in wiring.stages if stage.population == "residual"]
    ends = {"output"}
    return [hooks[name] for name in (stream or hooks) if name not in ends and name in hooks]
