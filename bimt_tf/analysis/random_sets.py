"""Random sets of varying neurons, of the size of a named one: what chance would reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb, prod
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bimt_tf.analysis.exchange import Exchange, Site
from bimt_tf.analysis.moves import INTERVAL
from bimt_tf.analysis.progress import Progress

__all__ = ["Null", "null_of", "other_set", "spread_of"]


class Null(NamedTuple):
    """What random sets of the same size reach.

    ``sets`` were tried of ``possible`` (None: a direction, of which there is no end), among ``varying`` neurons (of
    each site); where there are few, each but the named one was tried. ``mean``, ``low``, ``high``: of their shares, the
    last two bounding 95% of them. ``best``: the greatest. ``reached``: how many reach the named set's share.
    """

    sets: int
    possible: int | None
    varying: list[int]
    mean: float
    low: float
    high: float
    best: float
    reached: int

    def as_dict(self) -> dict[str, Any]:
        """The result as plain values, ready for JSON."""
        return self._asdict()


def null_of(
    exchange: Exchange,
    sites: Sequence[Site],
    share: float,
    share_of: Callable[[Sequence[Site]], float],
    draws: int,
    generator: torch.Generator,
    progress: Progress | None = None,
) -> tuple[Null | None, str]:
    """What random sets reach, or None and why there are none.

    Args:
        exchange: the two runs.
        sites: the named sets, one a hook; each is matched by one of its size, drawn from the varying neurons.
        share: what the named sets reach.
        share_of: other sets -> what they reach.
        draws: sets to draw; where there are no more than that at one site, each other one is tried.
        generator: of the draws.
        progress: told (done, of) behind every set.
    """
    if draws == 0:
        return None, "no random set was asked for"
    varying = [exchange.varying(site) for site in sites]
    sizes = [_size(exchange, site) for site in sites]
    for site, there, size in zip(sites, varying, sizes, strict=True):
        if len(there) <= size:
            neurons = f"{len(there)} varying neuron{'s' if len(there) != 1 else ''}"
            return None, f"{neurons} at {site.hook} allow no other set of {size}"
    turned = any(site.direction is not None for site in sites)
    possible = None if turned else prod(comb(len(t), size) for t, size in zip(varying, sizes, strict=True))
    tried: list[list[Any]]
    if len(sites) == 1 and possible is not None and possible <= draws:
        own = set(sites[0].neurons or ())
        tried = [[list(one)] for one in combinations(varying[0], sizes[0]) if {*one} != own]
    else:
        parts = list(zip(sites, varying, sizes, strict=True))
        tried = [[_draw(exchange, *part, generator) for part in parts] for _ in range(draws)]
    shares = []
    for number, one in enumerate(tried):
        shares.append(share_of([_named(site, chosen) for site, chosen in zip(sites, one, strict=True)]))
        if progress is not None:
            progress(number + 1, len(tried))
    return _summed_up(shares, share, possible, [len(there) for there in varying]), ""


def _summed_up(shares: list[float], share: float, possible: int | None, varying: list[int]) -> Null:
    found, (mean, low, high, best) = torch.tensor(shares, dtype=torch.float64), spread_of(shares)
    reached = int((found >= share).sum())
    return Null(len(shares), possible, varying, mean, low, high, best, reached)


def other_set(varying: Sequence[int], named: set[int], size: int, generator: torch.Generator) -> list[int]:
    """``size`` random ones of the varying neurons, of which there are more, other than the named ones."""
    while True:
        drawn = [varying[i] for i in torch.randperm(len(varying), generator=generator)[:size].tolist()]
        if set(drawn) != named:
            return drawn


def spread_of(values: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean of what random sets reach, the bounds of the middle :data:`INTERVAL` of them, and the greatest."""
    found = torch.tensor(values, dtype=torch.float64)
    tail = (1 - INTERVAL) / 2
    low, high = torch.quantile(found, torch.tensor([tail, 1 - tail], dtype=torch.float64)).tolist()
    return float(found.mean()), low, high, float(found.max())


def _size(exchange: Exchange, site: Site) -> int:
    if site.direction is not None:
        return 1
    return exchange.a[site.hook].flat.shape[-1] if site.neurons is None else len(site.neurons)


def _draw(exchange: Exchange, site: Site, varying: list[int], size: int, generator: torch.Generator) -> Any:
    """Random neurons, other than the named ones, or a random direction among the varying neurons."""
    if site.direction is None:
        return other_set(varying, set(site.neurons or ()), size, generator)
    direction = torch.zeros(exchange.a[site.hook].flat.shape[-1], dtype=torch.float64)
    direction[varying] = torch.randn(len(varying), generator=generator, dtype=torch.float64)
    return direction


def _named(site: Site, chosen: list[int] | Tensor) -> Site:
    return site._replace(direction=chosen) if isinstance(chosen, Tensor) else site._replace(neurons=chosen)
