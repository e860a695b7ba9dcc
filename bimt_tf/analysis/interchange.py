"""Interchange: run A with the named neurons, or a direction, of run B (Geiger et al., 2021).

If they carry a quantity, the output moves to what A's would be with B's quantity, and no further: ``wanted``. How far
it does is said by share, slope and R2 (:mod:`bimt_tf.analysis.moves`), beside what random sets of as many varying
neurons reach (:mod:`bimt_tf.analysis.random_sets`), all neurons (the ceiling) and none (the floor).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.exchange import Exchange, Read, Site, sites_of
from bimt_tf.analysis.moves import Move
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.random_sets import Null, null_of
from bimt_tf.errors import require_seed, require_whole

__all__ = ["Interchange", "SiteMove", "interchange", "interchange_map"]


class Interchange(NamedTuple):
    """What the named neurons move of the output.

    ``share`` with its bootstrap ``interval`` over ``pairs``, ``slope`` and ``r2``: see :mod:`bimt_tf.analysis.moves`.
    ``ceiling`` and ``floor``: with all neurons of the same hooks and positions, and with none. ``null``: with random
    sets; None for the reason in ``no_null``. ``wanted_rms``: root mean square of the wanted change; None for answers.
    """

    sites: list[Site]
    share: float
    interval: tuple[float, float]
    slope: float | None
    r2: float | None
    ceiling: Move
    floor: Move
    null: Null | None
    no_null: str
    pairs: int
    wanted_rms: float | None

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        given = self._asdict()
        given["sites"] = [site.as_dict() for site in self.sites]
        for name in ("ceiling", "floor", "null"):
            given[name] = None if given[name] is None else given[name].as_dict()
        return given

    def __repr__(self) -> str:
        low, high = self.interval
        chance = self.no_null if self.null is None else f"random sets {self.null.low:.3f} to {self.null.high:.3f}"
        return (
            f"Interchange({' and '.join(map(str, self.sites))}: share {self.share:.3f} ({low:.3f} to {high:.3f}), "
            f"{chance}, all neurons {self.ceiling.share:.3f}, {self.pairs} pairs)"
        )


class SiteMove(NamedTuple):
    """How far all neurons of one hook at one position move the output; ``differing``: how many differ between runs."""

    hook: str
    position: int | None
    differing: int
    share: float
    slope: float | None
    r2: float | None

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        return self._asdict()


def interchange(
    model: nn.Module,
    sites: Site | Sequence[Site],
    inputs: Shaped[Tensor, "n ..."],
    source: Shaped[Tensor, "n ..."],
    wanted: Shaped[Tensor, "n ..."] | None = None,
    *,
    read: Read | None = None,
    random_sets: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> Interchange:
    """Move the named neurons, or a direction, from run B into run A, and measure how far the output goes.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        sites: ``Site(hook, neurons, position)``, or ``Site(hook, position=..., direction=vector)``; several at once
            where they are at several hooks.
        inputs: of run A, [n, ...].
        source: of run B, of the same shape: one partner an example.
        wanted: what should be read of A's output if it had B's quantity; what is read of run B's unless given, which is
            that if B differs from A in this quantity alone.
        read: the output -> what is measured of it: numbers [n, ...], or whole numbers [n] (answers); all numbers of the
            output unless given.
        random_sets: how many are drawn; 0 for none.
        seed: of the draws.
        progress: told (done, of) behind every random set.

    Raises:
        InputError: for an unknown hook, a neuron or position that is not there, inputs, wanted and read that do not
            match, numbers that are not finite, or a wanted output that is the present one in every pair.
    """
    require_whole("random_sets", random_sets, at_least=0)
    require_seed(seed)
    named = sites_of(sites)
    exchange = Exchange(model, [site.hook for site in named], inputs, source, wanted, read)
    after = exchange.after(exchange.edits(named))
    found = exchange.line.move(after)
    whole = [site._replace(neurons=None, direction=None) for site in named]
    ceiling = exchange.move(exchange.edits(whole))
    generator = torch.Generator().manual_seed(seed)
    interval = exchange.line.interval(after, generator)

    def share_of(others: Sequence[Site]) -> float:
        return exchange.move(exchange.edits(others)).share

    null, no_null = null_of(exchange, named, found.share, share_of, random_sets, generator, progress)
    line = exchange.line
    return Interchange(
        named, found.share, interval, found.slope, found.r2, ceiling, exchange.floor, null, no_null, line.pairs,
        line.wanted_rms,
    )  # fmt: skip


def interchange_map(
    model: nn.Module,
    hooks: Sequence[str],
    inputs: Shaped[Tensor, "n ..."],
    source: Shaped[Tensor, "n ..."],
    wanted: Shaped[Tensor, "n ..."] | None = None,
    *,
    read: Read | None = None,
) -> list[SiteMove]:
    """All neurons of each hook and position in turn: where what is looked for passes. One run a row.

    Args:
        model: as :func:`interchange`.
        hooks: hook names.
        inputs: as there.
        source: as there.
        wanted: as there.
        read: as there.

    Raises:
        InputError: as :func:`interchange`.
    """
    exchange = Exchange(model, hooks, inputs, source, wanted, read)
    rows = []
    for hook in exchange.a:
        shape = exchange.a[hook].flat.shape
        for position in range(shape[1]) if len(shape) > 2 else [None]:
            site = Site(hook, position=position)
            move = exchange.move(exchange.edits([site]))
            rows.append(SiteMove(hook, position, len(exchange.differing(site)), *move))
    return rows
