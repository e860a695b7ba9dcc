"""The smallest set of neurons whose interchange moves the output far enough: who carries a quantity at a hook.

1. Candidates are the neurons that differ between the two runs; no other can move anything.
2. Greedy: add the neuron that moves the output furthest until the set reaches, then drop what it can spare.
3. Exact: try all sets of one neuron, of two, ... while the runs that this takes are allowed. The first size at which a
   set reaches is the smallest, proven; all sets of this size that reach are ties, the best of them is given.
4. Beside it, what random sets of its size reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.exchange import Exchange, Read, Site
from bimt_tf.analysis.moves import Move
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.random_sets import Null, null_of
from bimt_tf.analysis.written import Positions
from bimt_tf.errors import require_at_most, require_positive, require_seed, require_whole

__all__ = ["MinimalSet", "Reached", "minimal_set"]


class Reached(NamedTuple):
    """A set of neurons, and the share of the wanted change that its interchange reaches."""

    neurons: list[int]
    share: float

    def as_dict(self) -> dict[str, Any]:
        """The set as plain values, ready for JSON."""
        return self._asdict()


class MinimalSet(NamedTuple):
    """The smallest set that reaches ``reach`` of the wanted change of the output, at one hook.

    ``neurons``: the best such set of the smallest size; None if none reaches, for the reason in ``why_none``.
    ``share`` with its bootstrap ``interval``, ``slope``, ``r2``: what it moves. ``proven``: all smaller sets were tried
    and do not reach. ``ties``: the other sets of this size that reach, best first; ``all_ties``: each was
    tried. ``steps``: the greedy search, one more neuron a step. ``candidates`` differ between the runs. ``ceiling``:
    all neurons; ``floor``: none. ``null``: random sets of this size; None for the reason in ``no_null``.
    """

    hook: str
    position: Positions
    reach: float
    neurons: list[int] | None
    why_none: str
    share: float | None
    interval: tuple[float, float] | None
    slope: float | None
    r2: float | None
    proven: bool
    ties: list[Reached]
    all_ties: bool
    steps: list[Reached]
    candidates: list[int]
    ceiling: Move
    floor: Move
    null: Null | None
    no_null: str
    pairs: int

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        given = self._asdict()
        for name in ("ceiling", "floor", "null"):
            given[name] = None if given[name] is None else given[name].as_dict()
        for name in ("ties", "steps"):
            given[name] = [one.as_dict() for one in given[name]]
        return given

    def __repr__(self) -> str:
        where = self.hook if self.position is None else f"{self.hook} at token {self.position}"
        if self.neurons is None:
            return f"MinimalSet({where}: {self.why_none})"
        chance = self.no_null if self.null is None else f"random sets {self.null.low:.3f} to {self.null.high:.3f}"
        proof = "proven smallest" if self.proven else "not proven smallest"
        return f"MinimalSet({where}: neurons {self.neurons} reach {self.share:.3f}, {proof}; {chance})"


def minimal_set(
    model: nn.Module,
    hook: str,
    inputs: Shaped[Tensor, "n ..."],
    source: Shaped[Tensor, "n ..."],
    wanted: Shaped[Tensor, "n ..."] | None = None,
    *,
    position: Positions = None,
    reach: float = 0.9,
    largest: int | None = None,
    checks: int = 2_000,
    read: Read | None = None,
    random_sets: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> MinimalSet:
    """The smallest set of neurons of a hook whose interchange moves the output at least ``reach`` of the way.

    Args:
        model: as :func:`bimt_tf.analysis.interchange.interchange`, as are inputs, source, wanted, read, random_sets
            and seed.
        hook: where.
        inputs: of run A.
        source: of run B.
        wanted: what should be read of A's output.
        position: token or tokens; the set is moved at all of them. All tokens unless given.
        reach: share of the wanted change, above 0 and at most 1.
        largest: sets of more neurons are not looked for; any size unless given.
        checks: runs of the model that the proof may take; 0 for the greedy search alone.
        read: what is measured of an output.
        random_sets: how many are drawn.
        seed: of the draws.
        progress: told (runs done, 0) behind every run.

    Raises:
        InputError: as ``interchange``, or for a number that is out of range.
    """
    _check(reach, largest, checks, random_sets, seed)
    exchange = Exchange(model, [hook], inputs, source, wanted, read)
    search = _Search(exchange, Site(hook, position=position), reach, progress)
    ceiling = exchange.move(exchange.edits([search.site]))
    steps, found, why_none = search.greedy(ceiling, largest)
    ties, proven, all_ties = search.exact(found, largest, checks)
    if ties:
        found, why_none = ties[0], ""
    elif found is None and proven and search.candidates:
        whole = f"all {len(search.candidates)} that differ together: {ceiling.share:.3f}"
        why_none = f"no set of {'' if largest is None else f'at most {largest} '}neurons reaches {reach:g} ({whole})"
    others = ties[1:]
    moved = _moved(search, found, random_sets, torch.Generator().manual_seed(seed))
    return MinimalSet(
        hook, position, reach, None if found is None else found.neurons, why_none, moved.share, moved.interval,
        moved.slope, moved.r2, proven, others, all_ties, steps, search.candidates, ceiling, exchange.floor, moved.null,
        moved.no_null, exchange.line.pairs,
    )  # fmt: skip


def _check(reach: float, largest: int | None, checks: int, random_sets: int, seed: int) -> None:
    require_positive("reach", reach)
    require_at_most("reach", reach, 1.0)
    require_whole("checks", checks, at_least=0)
    require_whole("random_sets", random_sets, at_least=0)
    require_seed(seed)
    if largest is not None:
        require_whole("largest", largest)


class _Search:
    """Shares of sets of neurons, each computed once."""

    def __init__(self, exchange: Exchange, site: Site, reach: float, progress: Progress | None) -> None:
        self.exchange, self.site, self.reach, self._progress = exchange, site, reach, progress
        self.candidates = exchange.differing(site)
        self._known: dict[frozenset[int], float] = {}

    def share(self, neurons: Iterable[int]) -> float:
        """What a set reaches."""
        key = frozenset(neurons)
        if key not in self._known:
            site = self.site._replace(neurons=sorted(key))
            self._known[key] = self.exchange.move(self.exchange.edits([site])).share
            if self._progress is not None:
                self._progress(len(self._known), 0)
        return self._known[key]

    def greedy(self, ceiling: Move, largest: int | None) -> tuple[list[Reached], Reached | None, str]:
        """The greedy steps, the set that they end with, and why there is none."""
        steps: list[Reached] = []
        if not self.candidates:
            return steps, None, "no neuron here differs between the two runs"
        chosen: list[int] = []
        limit = len(self.candidates) if largest is None else min(largest, len(self.candidates))
        while len(chosen) < limit and not (steps and steps[-1].share >= self.reach):
            left = [one for one in self.candidates if one not in chosen]
            chosen = [*chosen, max(left, key=lambda one: self.share([*chosen, one]))]
            steps.append(Reached(chosen, self.share(chosen)))
        if steps[-1].share < self.reach:
            whole = f"all {len(self.candidates)} together reach {ceiling.share:.3f}"
            return steps, None, f"no set of at most {limit} that was tried reaches {self.reach:g}; {whole}"
        return steps, self._spared(chosen), ""

    def _spared(self, neurons: list[int]) -> Reached:
        """The set without the neurons that it does not need."""
        for one in list(neurons):
            rest = [other for other in neurons if other != one]
            if rest and self.share(rest) >= self.reach:
                neurons = rest
        return Reached(sorted(neurons), self.share(neurons))

    def exact(self, found: Reached | None, largest: int | None, checks: int) -> tuple[list[Reached], bool, bool]:
        """All sets of the smallest size that reach, best first; whether smaller ones were all tried, and these too."""
        limit = len(self.candidates) if largest is None else min(largest, len(self.candidates))
        last = limit if found is None else len(found.neurons)
        for size in range(1, last + 1):
            checks -= comb(len(self.candidates), size)
            if checks < 0:
                return ([found] if found else []), found is not None and size == last, False
            tried = (Reached(list(one), self.share(one)) for one in combinations(self.candidates, size))
            reaching = sorted((one for one in tried if one.share >= self.reach), key=lambda one: -one.share)
            if reaching:
                return reaching, True, True
        return [], found is None, True


class _Moved(NamedTuple):
    """What the set that was found moves, and random ones."""

    share: float | None
    interval: tuple[float, float] | None
    slope: float | None
    r2: float | None
    null: Null | None
    no_null: str


def _moved(search: _Search, found: Reached | None, draws: int, generator: torch.Generator) -> _Moved:
    if found is None:
        return _Moved(None, None, None, None, None, "there is no set to compare with")
    exchange = search.exchange
    site = search.site._replace(neurons=found.neurons)
    after = exchange.after(exchange.edits([site]))
    move, interval = exchange.line.move(after), exchange.line.interval(after, generator)

    def share_of(others: Sequence[Site]) -> float:
        return search.share(others[0].neurons or ())

    null, no_null = null_of(exchange, [site], move.share, share_of, draws, generator)
    return _Moved(move.share, interval, move.slope, move.r2, null, no_null)
