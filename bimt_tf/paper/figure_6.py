"""Figure 6 of the paper: what the embedding neurons of the permutation group S4 hold.

A neuron of the embedding is active if it is on a path of active weights to the output and differs between elements. Its
representation and the share of its variance there are those of ``bimt group`` (docs/groups.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.analysis.group_report import GroupReport
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_6", "NEURONS", "neuron_lines", "report_of"]

PUBLISHED = 9
"""Active embedding neurons in the paper, one of them the sign."""
PURE = 0.95  # share of a neuron's variance from which it is said to be its representation's

NEURONS = ["seed", "neuron", "representation", "share", "p", "cosets", "R2 of the cosets"]
HEADER = ["seed", "accuracy", "weights", "Q", "active embedding neurons", "the sign", "of one representation",
          "representations"]  # fmt: skip
LEGEND = (
    "The paper: nine active embedding neurons, one of them the sign. Ours: held-out accuracy; the sign is a neuron "
    f"with at least {PURE:.0%} of its variance in the sign representation; of one representation: as many of one."
)


class _Seed(NamedTuple):
    """One seed's network: how many active embedding neurons, whether one is the sign, and its line."""

    neurons: int
    sign: int | None
    line: list[str]


def report_of(run: FinishedRun) -> GroupReport | None:
    """What the embedding holds; None where none of its neurons is on a path."""
    from bimt_tf.errors import InputError
    from bimt_tf.runs.ask.groups import embedding_of, group_of, grouped

    try:
        embedding_of(run, group_of(run))
    except InputError:
        return None
    return grouped(run)


def _make(runs: EndedRuns, docs: Path) -> Made:
    files: list[Path] = []
    found, neurons = [], []
    (each,) = runs.plan.rows
    for seed in runs.seeds(each.name, "bimt"):
        run = runs.open(each.name, "bimt", seed)
        report = report_of(run)
        found.append(_seed(run, seed, report))
        neurons += neuron_lines(seed, report)
        if not files:
            files += _draw(run, f"{each.label}, seed {seed}", report, docs)
    files += write_csv(docs / "fig6-neurons", TextTable(NEURONS, neurons))
    table = TextTable(HEADER, [one.line for one in found])
    files += write_page(docs / "fig6-seeds", f"{heading(runs, 'each seed by itself')}.\n\n{LEGEND}", table)
    return Made(files, f"Figure 6: {_said(found)}")


def _said(found: Sequence[_Seed]) -> str:
    if not found:
        return "no run has ended"
    counts = ", ".join(str(one.neurons) for one in found)
    return (
        f"{counts} active embedding neurons by seed (the paper: {PUBLISHED}), one of them the sign in "
        f"{sum(one.sign is not None for one in found)} of {len(found)} seeds"
    )


def _seed(run: FinishedRun, seed: int, report: GroupReport | None) -> _Seed:
    counts: dict[str, int] = {}
    for one in () if report is None else report.spectrum.neurons:
        name = one.best if one.share >= PURE else "mixed"
        counts[name] = counts.get(name, 0) + 1
    sign = next(
        (
            one.neuron
            for one in (report.spectrum.neurons if report else ())
            if (one.best, one.share >= PURE) == ("sign", True)
        ),
        None,
    )
    total = 0 if report is None else len(report.neurons)
    line = [
        str(seed), f"{run.evaluate()['accuracy']:.1%}", str(run.active_weights),
        f"{run.summary['modularity_shared'] or 0:.3f}", str(total), "–" if sign is None else f"neuron {sign}",
        f"{total - counts.get('mixed', 0)} of {total}", ", ".join(f"{n} {name}" for name, n in counts.items()) or "–",
    ]  # fmt: skip
    return _Seed(total, sign, line)


def neuron_lines(seed: int, report: GroupReport | None) -> list[list[str]]:
    """A line a neuron, for a table with the header NEURONS."""
    if report is None:
        return []
    cosets = {one.neuron: one for one in report.cosets}
    lines = []
    for one in report.spectrum.neurons:
        fit = cosets.get(one.neuron)
        held = ["", ""] if fit is None else [f"{fit.cosets} {fit.side} of {fit.subgroup}", f"{fit.r2:.3f}"]
        lines.append([str(seed), str(one.neuron), one.best, f"{one.share:.3f}", f"{one.p:.2g}", *held])
    return lines


def _draw(run: FinishedRun, title: str, report: GroupReport | None, docs: Path) -> list[Path]:
    from bimt_tf.analysis.modules import find_modules
    from bimt_tf.figures.network_and_neurons import network_and_neurons_figure
    from bimt_tf.runs.ask.modules import graph_of
    from bimt_tf.scene.scene import scene_of

    found = find_modules(graph_of(run))
    note = (
        f"held-out accuracy {run.evaluate()['accuracy']:.1%} · {run.active_weights} active weights · "
        f"Q {found.q:.2f} · {len(found.modules)} modules"
    )
    labels = {"output": run.task.labels(run.config.data)["output"]}
    named = {f"module {one.number}": one.nodes for one in found.modules}
    scene = scene_of(run.bimt, run.threshold)
    figure = network_and_neurons_figure(scene, named, report, title=title, note=note, labels=labels)
    return write_figure(docs / "fig6", figure)


_ROW = row("s4")
FIGURE_6 = Exhibit("fig6", (_ROW,), (_ROW,), ("bimt",), SEEDS, _make)
