"""What BIMT would do with a model: which neurons move, what of them stays and why, and what each parameter joins."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from bimt_tf.bimt import BIMT

__all__ = ["PopulationFacts", "WiredFacts", "WiringReport", "wiring_report"]


class PopulationFacts(NamedTuple):
    """One population: ``moves`` in swaps, ``stays`` says what ``bake_`` leaves in the layout ("" for nothing)."""

    name: str
    neurons: int
    heads: int
    stages: tuple[str, ...]
    moves: bool
    stays: str


class WiredFacts(NamedTuple):
    """One parameter: what it joins or hangs on, and how it pays.

    ``kind``: "weight" between two populations, "bias", "table" (a side without coordinates) or "not charged".
    """

    parameter: str
    shape: tuple[int, ...]
    axes: str
    layer: str
    kind: str


class WiringReport(NamedTuple):
    """The wiring of a model in facts. ``weights``: entries of all weights between populations."""

    model: str
    parameters: int
    weights: int
    populations: tuple[PopulationFacts, ...]
    wired: tuple[WiredFacts, ...]
    left_out: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        nested = {name: [one._asdict() for one in getattr(self, name)] for name in ("populations", "wired")}
        return {**self._asdict(), **nested}


def wiring_report(model: nn.Module) -> WiringReport:
    """How a model is wired; nothing of it changes.

    Args:
        model: any that ``wire`` knows.

    Raises:
        InputError: for a model that is not known; it says what of it is not.
    """
    bimt = BIMT(model)
    wiring, unbaked = bimt.wiring, bimt.wiring.unbaked
    depth = {s.population: s.depth for s in sorted(wiring.stages, key=lambda s: -s.depth)}  # where it stands first
    populations = tuple(
        PopulationFacts(
            p.name, p.size, p.heads, tuple(s.name for s in wiring.stages if s.population == p.name), p.movable,
            unbaked.get(p.name, ""),
        )
        for p in sorted(wiring.populations.values(), key=lambda p: depth[p.name])
    )  # fmt: skip
    wired = [WiredFacts(c.parameter, c.shape, _axes(c.axes), c.layer, "weight") for c in wiring.connections]
    for hung in wiring.attachments:
        kind = "not charged" if not hung.charged else "bias" if hung.is_bias else "table"
        wired.append(WiredFacts(hung.parameter, hung.shape, _axes(hung.axes), hung.layer, kind))
    total = sum(p.numel() for p in bimt.parameters.values())
    return WiringReport(
        type(model).__name__, total, wiring.total_weights, populations, tuple(wired), tuple(wiring.left_out)
    )


def _axes(axes: tuple[tuple[str, ...], ...]) -> str:
    """The dimensions as a table of axis strings has them."""
    return " ".join(words[0] if len(words) == 1 else f"({' '.join(words)})" for words in axes)
