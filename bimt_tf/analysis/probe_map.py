"""Where a quantity appears: one read-out of the population at every hook and token, and its gains.

Read from the first stage to the last, three columns tell three things: how well the quantity can be read there at all;
how much better than off the inputs that reach the place, which a network that merely passes them on cannot beat; and
how much better than off the stage before, which is positive where the quantity is being made. An untrained network and
shuffled targets stand beside them, as in :func:`bimt_tf.probe`.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from bimt_tf.analysis.baselines import Baselines
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.probe import checked_question, how_probed
from bimt_tf.analysis.probe_results import TIE, HowMade
from bimt_tf.analysis.probe_scores import Reader, Reading, Score, difference, quick_fits
from bimt_tf.analysis.probe_split import Division, divide
from bimt_tf.analysis.probe_values import Kind, Target, varying_neurons
from bimt_tf.analysis.progress import Progress
from bimt_tf.analysis.stages import whole_stages
from bimt_tf.errors import names_of, require_known

__all__ = ["MapCell", "ProbeMap", "probe_map"]


class MapCell(NamedTuple):
    """One place: a hook, its token and head (None for none), and what all its ``varying`` neurons tell.

    ``read_out``, ``inputs``, ``before`` (the stage before) and ``untrained`` are held-out scores; ``gain_inputs`` and
    ``gain_before`` how much better the first is than the next two. ``shuffled``: the highest score of shuffled targets.
    None where there is no stage before, no untrained network, or nothing was read.
    """

    hook: str
    position: int | None
    head: int | None
    varying: int
    read_out: Score
    inputs: Score
    before: Score | None
    untrained: Score | None
    gain_inputs: Score
    gain_before: Score | None
    shuffled: float | None
    made: HowMade

    @property
    def place(self) -> str:
        """Hook and head in words."""
        return self.hook if self.head is None else f"{self.hook}, head {self.head}"

    @property
    def where(self) -> str:
        """Hook, head and token in words."""
        return self.place if self.position is None else f"{self.place}, token {self.position}"


class ProbeMap(NamedTuple):
    """What :func:`bimt_tf.probe_map` found: its ``cells``, by stage, head and token.

    ``regressor``: "linear" or "nonlinear". ``repeated``: hooks that are left out since they hold the very activations
    of an earlier one, which is named. ``chance``: of classes, the accuracy of always naming the most frequent one.
    """

    target: str
    kind: Kind
    regressor: str
    cells: list[MapCell]
    repeated: dict[str, str]
    chance: float | None

    def as_dict(self) -> dict[str, Any]:
        """The map as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    @property
    def appears(self) -> list[MapCell]:
        """The places where the quantity is made: better than the inputs *and* than the stage before, beyond doubt.

        That is: the intervals of both gains lie above :data:`TIE`. A first stage has only the inputs before it.
        """
        return [one for one in self.cells if _above(one.gain_inputs) and _above(one.gain_before)]

    def __repr__(self) -> str:
        """One line: how many places, the best one, and where the quantity is made."""
        read = [one for one in self.cells if one.read_out.value is not None]
        best = max(read, key=lambda one: one.read_out.value or 0.0, default=None)
        told = "nothing can be read" if best is None else f"best {best.where}: {best.read_out}"
        made = "; ".join(f"{one.where} {one.gain_before}" for one in self.appears)
        return f"ProbeMap({self.target}, {self.regressor}, {len(self.cells)} places; {told}; made at: {made or 'none'})"

    def _repr_html_(self) -> str:
        """The table."""
        head = "".join(f"<th>{name}</th>" for name in self.columns())
        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows())
        caption = f"<caption>{html.escape(self.target)}, {self.regressor}, held out</caption>"
        return f"<table>{caption}<tr>{head}</tr>{rows}</table>"

    @staticmethod
    def columns() -> tuple[str, ...]:
        """The heads of :meth:`rows`."""
        return (
            "hook",
            "token",
            "neurons",
            "read-out",
            "inputs",
            "gain over inputs",
            "gain over stage before",
            "untrained",
        )

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The table's rows, as words."""
        for one in self.cells:
            yield (
                one.place, "" if one.position is None else str(one.position), str(one.varying), str(one.read_out),
                _value(one.inputs), str(one.gain_inputs), "" if one.gain_before is None else str(one.gain_before),
                _value(one.untrained),
            )  # fmt: skip


def probe_map(
    model: nn.Module,
    target: Shaped[Tensor, " examples"],
    *,
    inputs: Shaped[Tensor, "batch ..."],
    hooks: Sequence[str] | None = None,
    untrained: nn.Module | None = None,
    kind: Kind | None = None,
    name: str = "target",
    regressor: str = "linear",
    varying_threshold: float = 1e-3,
    seed: int = 0,
    progress: Progress | None = None,
) -> ProbeMap:
    """Read ``target`` off every hook at every token, and off each head of those that have several.

    Args:
        model: a HookedRootModule or a TransformerBridge.
        target: one number or class an example.
        inputs: what the model takes, the batch first.
        hooks: which hooks; unless given, all that hold neurons, those left out that repeat an earlier one.
        untrained: a network of the same architecture with untrained weights, to compare with.
        kind: "numbers" or "classes"; as :func:`bimt_tf.probe` unless given.
        name: what the target is called in the result.
        regressor: "linear", or "nonlinear", which takes minutes where hooks have hundreds of neurons.
        varying_threshold: as :func:`bimt_tf.probe`.
        seed: as :func:`bimt_tf.probe`.
        progress: told (done, of) behind every place.

    Raises:
        InputError: for an unknown hook or regressor, NaN or infinite activations, or a target as :func:`bimt_tf.probe`
            refuses it.
    """
    require_known("regressor", regressor, ("linear", "nonlinear"))
    y = checked_question(target, inputs, kind, varying_threshold, seed)
    base = Baselines(model, inputs, untrained)
    repeated = {} if hooks is not None else _repeated(base, model, inputs)
    chosen = list(base.stages) if hooks is None else [base.stage(hook).hook for hook in names_of("hooks", hooks)]
    places = [
        (hook, position, head)
        for hook in chosen if hook not in repeated
        for head in _numbered(base.stage(hook).heads, at_least=2)
        for position in _numbered(base.stages[hook].tokens)
    ]  # fmt: skip
    readers: dict[str, tuple[Reader, Division]] = {}
    cells = []
    with quick_fits():
        for done, place in enumerate(places):
            cells.append(_cell(base, y, place, readers, regressor, varying_threshold, seed))
            if progress is not None:
                progress(done + 1, len(places))
    return ProbeMap(name, y.kind, regressor, cells, repeated, y.chance)


def _numbered(count: int | None, at_least: int = 1) -> Sequence[int | None]:
    return range(count) if count is not None and count >= at_least else [None]


def _repeated(base: Baselines, model: nn.Module, inputs: Tensor) -> dict[str, str]:
    """Hook -> the stage before, where that holds the very same activations (on a few examples), and they vary."""
    found: dict[str, str] = {}
    seen = whole_stages(model, inputs[:16], base.stages)
    for hook, values in seen.items():
        earlier = base.hook_before(hook)
        if earlier and torch.equal(seen[earlier], values) and not torch.equal(values, values[:1].expand_as(values)):
            found[hook] = found.get(earlier, earlier)
    return found


def _cell(
    base: Baselines,
    target: Target,
    place: tuple[str, int | None, int | None],
    readers: dict[str, tuple[Reader, Division]],
    regressor: str,
    threshold: float,
    seed: int,
) -> MapCell:
    """What one place tells; ``readers`` holds one for each set of tokens that reaches some place."""
    hook, position, head = place
    reaching = base.reaching(hook, position)
    key = ", ".join(reaching)
    if key not in readers:
        division = divide(target, reaching, seed)
        readers[key] = Reader(target, division, seed), division
    reader, division = readers[key]

    def read(x: np.ndarray | None) -> Reading | None:
        if x is None:
            return None
        return reader.linear(x) if regressor == "linear" else reader.nonlinear(x)

    x = base.activations(hook, position, head)
    varying = varying_neurons(x, base.rounding(hook), threshold)
    whole, before = read(x[:, varying]), read(base.before(hook, position, head))
    given = read(base.input_features(hook, position))
    fresh = read(base.untrained(hook, position, head) if base.has_untrained else None)
    assert whole is not None and given is not None
    shuffled = float(whole.shuffled.max()) if whole.shuffled.size else None
    return MapCell(
        hook, position, head, len(varying), whole.score, given.score, before and before.score, fresh and fresh.score,
        difference(whole, given), before and difference(whole, before), shuffled,
        how_probed(target, division, reader, seed),
    )  # fmt: skip


def _above(gain: Score | None) -> bool:
    """Whether there is a gain beyond doubt; a stage without one before it has that over the inputs alone."""
    return gain is None or (gain.low is not None and gain.low > TIE)


def _value(score: Score | None) -> str:
    if score is None:
        return ""
    return "undefined" if score.value is None else f"{score.value:.4f}"
