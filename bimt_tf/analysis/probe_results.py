"""What a probe found, and how it was made."""

from __future__ import annotations

import html
from typing import Any, NamedTuple

from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.probe_scores import Score
from bimt_tf.analysis.probe_values import Kind

__all__ = [
    "TIE", "Compared", "Control", "HowMade", "NeuronProbe", "PairProbe", "ProbeResult", "ReadOut", "Shuffled", "tied",
]  # fmt: skip

TIE = 1e-3
"""Two scores that differ by less are a tie, however narrow their intervals are."""
SHOWN = 5
"""Pairs, and neurons, in the table of a notebook."""


class NeuronProbe(NamedTuple):
    """What one neuron alone tells."""

    neuron: int
    linear: Score
    nonlinear: Score


class PairProbe(NamedTuple):
    """What two neurons tell together, ``first < second``."""

    first: int
    second: int
    linear: Score
    nonlinear: Score


class ReadOut(NamedTuple):
    """What some features tell together; or how much more than others."""

    linear: Score
    nonlinear: Score


class Compared(NamedTuple):
    """A baseline: ``what`` is read, its ``read_out``, the population's ``gain`` over it; or the ``reason`` why not."""

    what: str
    read_out: ReadOut | None
    gain: ReadOut | None
    reason: str = ""


class Shuffled(NamedTuple):
    """The highest score of all shuffled targets; None where nothing was read."""

    linear: float | None
    nonlinear: float | None


class Control(NamedTuple):
    """The same with the target shuffled over distinct inputs: the highest of ``shuffles`` scores.

    ``neuron`` and ``pair`` are the highest that *any* neuron or pair reaches: the best of many is chosen there too.
    """

    shuffles: int
    population: Shuffled
    neuron: Shuffled
    pair: Shuffled


class HowMade(NamedTuple):
    """How a probe was made.

    ``units`` distinct inputs, a ``unit`` being what in words; ``n_train`` and ``n_test``: examples of the first fold;
    ``folds`` are held out in turn (1: those of the first alone); ``resamples`` of the ``level`` intervals.
    """

    examples: int
    units: int
    unit: str
    folds: int
    n_train: int
    n_test: int
    seed: int
    shuffles: int
    resamples: int
    level: float


class ProbeResult(NamedTuple):
    """What :func:`bimt_tf.probe` found: held-out scores, R2 of numbers and Brier skill of classes.

    ``varying`` neurons vary over the inputs; ``neurons`` holds each of them in order, ``pairs`` the pairs among
    ``paired``, best first by the nonlinear score. ``screened``: there were more varying neurons than pairs were wanted
    of, so ``paired`` are those of the best pairs by a quadratic fit on the training examples; else it is ``varying``.
    ``population`` is all varying neurons together; ``inputs``, ``stage_before`` and ``untrained`` are what it is
    compared with. ``chance``: of classes, the accuracy of always naming the most frequent one.
    """

    target: str
    kind: Kind
    hook: str
    position: int | None
    varying: list[int]
    paired: list[int]
    screened: bool
    population: ReadOut
    inputs: Compared
    stage_before: Compared
    untrained: Compared
    control: Control
    neurons: list[NeuronProbe]
    pairs: list[PairProbe]
    chance: float | None
    made: HowMade

    @property
    def best_pair(self) -> PairProbe | None:
        """The pair with the highest nonlinear score; :attr:`tied_pairs` are as good. None without a defined one."""
        return self.pairs[0] if self.pairs and self.pairs[0].nonlinear.value is not None else None

    @property
    def pair_above_control(self) -> bool:
        """Whether the best pair's interval lies above what any pair reaches with a shuffled target."""
        pair, chance = self.best_pair, self.control.pair.nonlinear
        return (
            pair is not None and chance is not None and pair.nonlinear.low is not None and pair.nonlinear.low > chance
        )

    @property
    def best_neuron(self) -> NeuronProbe | None:
        """The neuron with the highest nonlinear score; :attr:`tied_neurons` are as good. None without a defined one."""
        return next(iter(self.ranked_neurons), None)

    @property
    def ranked_neurons(self) -> list[NeuronProbe]:
        """The neurons with a defined score, best first."""
        defined = [one for one in self.neurons if one.nonlinear.value is not None]
        return sorted(defined, key=lambda one: -round(one.nonlinear.value or 0.0, 9))

    @property
    def tied_pairs(self) -> list[PairProbe]:
        """The best pair and all that tie with it: within its interval, or less than :data:`TIE` below it."""
        return tied(self.pairs)

    @property
    def tied_neurons(self) -> list[NeuronProbe]:
        """The best neuron and all that tie with it."""
        return tied(self.ranked_neurons)

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON; ties are listed by their neurons."""
        found = {name: plain(entry) for name, entry in self._asdict().items()}
        found["tied_neurons"] = [one.neuron for one in self.tied_neurons]
        found["tied_pairs"] = [[one.first, one.second] for one in self.tied_pairs]
        return found

    def __repr__(self) -> str:
        """One line: where, how well the population tells the target, and the gain over its baselines."""
        size = f"{len(self.varying)} varying neurons, {self.made.units} distinct inputs, {self.made.n_test} held out"
        told = [f"all linear {self.population.linear}, nonlinear {self.population.nonlinear}"]
        if self.inputs.gain:
            told.append(f"linear gain over the inputs {self.inputs.gain.linear}")
        if (pair := self.best_pair) and self.pair_above_control:
            others = len(self.tied_pairs) - 1
            told.append(
                f"pair {pair.first} and {pair.second} {pair.nonlinear}" + f" ({others} tie with it)" * bool(others)
            )
        return f"ProbeResult({self.target} in {self.where}: {size}; {'; '.join(told)})"

    @property
    def where(self) -> str:
        """Hook and position in words."""
        return self.hook if self.position is None else f"{self.hook}, token {self.position}"

    def _repr_html_(self) -> str:
        """A table of the population, its baselines and control, and the best neurons and pairs."""
        cells = (f"<tr><td>{html.escape(name)}</td><td>{linear}</td><td>{nonlinear}</td></tr>"
                 for name, linear, nonlinear in self.rows(SHOWN))  # fmt: skip
        score = "R2" if self.kind == "numbers" else "Brier skill"
        caption = f"<caption>{html.escape(f'{self.target} in {self.where}')} (held-out {score})</caption>"
        head = "<tr><th></th><th>linear</th><th>nonlinear</th></tr>"
        return f"<table>{caption}{head}{''.join(cells)}</table>"

    def rows(self, shown: int) -> list[tuple[str, str, str]]:
        """What a table shows: (what is read, linear, nonlinear), the ``shown`` best neurons and pairs among it."""
        whole = self.population
        found = [(f"all {len(self.varying)} that vary", str(whole.linear), str(whole.nonlinear))]
        if self.chance is not None:
            linear, nonlinear = ("undefined" if one.accuracy is None else f"{one.accuracy:.1%}" for one in whole)
            found.append((f"their accuracy (chance {self.chance:.1%})", linear, nonlinear))
        compared = (self.inputs, self.stage_before, self.untrained)
        for one in compared:
            read = one.read_out
            found.append((one.what, str(read.linear), str(read.nonlinear)) if read else (one.what, one.reason, ""))
        found.append((f"target shuffled, highest of {self.control.shuffles}", *_told(self.control.population)))
        for one, over in zip(compared, ("the inputs", "the stage before", "the untrained network"), strict=True):
            if one.gain:
                found.append((f"gain over {over}", _signed(one.gain.linear), _signed(one.gain.nonlinear)))
        for kind, ranked, ties in (
            ("neuron", self.ranked_neurons, self.tied_neurons), ("pair", self.pairs, self.tied_pairs)
        ):  # fmt: skip
            for row in ranked[:shown]:
                name = ", ".join(str(part) for part in row if isinstance(part, int))
                mark = f" (one of {len(ties)} that tie)" if row in ties and len(ties) > 1 else ""
                found.append((f"{kind} {name}{mark}", str(row.linear), str(row.nonlinear)))
            if ranked:
                best = self.control.neuron if kind == "neuron" else self.control.pair
                found.append((f"any {kind}, target shuffled", *_told(best)))
        return found


def tied(ranked: list[Any]) -> list[Any]:
    """Of read-outs, best first, those whose nonlinear score is within the best one's interval, or TIE below it."""
    if not ranked or ranked[0].nonlinear.value is None:
        return []
    best = ranked[0].nonlinear
    least = min(best.value - TIE, best.value if best.low is None else best.low)
    return [one for one in ranked if one.nonlinear.value is not None and one.nonlinear.value >= least]


def _signed(gain: Score) -> str:
    return f"+{gain}" if gain.value is not None and gain.value >= 0 else str(gain)


def _told(shuffled: Shuffled) -> tuple[str, str]:
    linear, nonlinear = ("undefined" if one is None else f"{one:.4f}" for one in shuffled)
    return linear, nonlinear
