"""Figure 5 of the paper: modular addition falls into modules, each of which holds a ring of the elements and votes.

A module is a community of two or more live neurons of the embedding and the hidden layers (as in claims.py). Every
combination of modules is knocked out, on all held-out pairs: their neurons set to 0, and to their means.
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
    from bimt_tf.figures.module_knockouts import Knockout
    from bimt_tf.figures.modules_and_rings import ModularNetwork
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_5", "modular_network"]

PUBLISHED = {"without its first module": 0.1525, "its second": 0.2933, "its third": 0.3367}
"""The paper's accuracies without one of its three modules."""

LOW = 0.5  # accuracy below which a knock-out is said to break the network (claims.py)
KNOCKOUTS = ["seed", "modules out", "accuracy, neurons at 0", "accuracy, neurons at their means"]
RINGS = ["seed", "module", "embedding neurons", "frequency", "R2", "95% of chance", "p", "neighbours apart", "in order"]
HEADER = ["seed", "accuracy", "weights", "Q", "modules", "without one of them", "set to means instead",
          "frequencies (R2 of the ring)"]  # fmt: skip
LEGEND = (
    "The paper: three modules; without one of them 15.25, 29.33 or 33.67% of the accuracy's 100% are left; the "
    "embedding of each is a ring. Ours: accuracy on all held-out pairs, modules largest first. R2 of a ring: the "
    "share of the variance of a module's embedding neurons that one frequency has."
)


def modular_network(run: FinishedRun) -> ModularNetwork:
    """Modules, knock-outs and rings of one network."""
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.group_report import group_report
    from bimt_tf.analysis.modules import find_modules
    from bimt_tf.analysis.paths import live
    from bimt_tf.errors import InputError
    from bimt_tf.figures.modules_and_rings import ModularNetwork
    from bimt_tf.runs.ask.groups import embedding_of, group_of
    from bimt_tf.scene.scene import scene_of

    whole = connection_graph(run.bimt, "unrolled", run.threshold)
    graph = whole.subgraph(sorted(node for node in live(whole) if node[0] != "output"))
    found = find_modules(graph)
    report, rings = None, {}
    try:
        held = embedding_of(run, group_of(run))
    except InputError:  # a network that has learned nothing has no embedding neuron on a path
        held = None
    if held is not None:
        inside = {one.number: [i for name, i in one.nodes if name == "embed" and i in held.neurons]
                  for one in found.modules}  # fmt: skip
        inside = {number: neurons for number, neurons in inside.items() if neurons}
        if inside:
            report = group_report(group_of(run), held.values, held.neurons, list(inside.values()))
            rings = {number: i for i, number in enumerate(inside)}
    note = (
        f"held-out accuracy {run.evaluate()['accuracy']:.1%} · {run.active_weights} active weights · "
        f"Q {run.summary['modularity_shared'] or 0:.2f} · {len(found.modules)} modules"
    )
    scene = scene_of(run.bimt, run.threshold)
    return ModularNetwork(scene, found, _knockouts(run, graph, found), report, rings, note)


def _knockouts(run: FinishedRun, graph: object, found: object) -> list[Knockout]:
    from bimt_tf.analysis.module_effects import module_combinations
    from bimt_tf.figures.module_knockouts import Knockout

    data, options = run.held_out, run.config.data
    aim = {"accuracy": lambda outputs: run.task.metrics(options, outputs, data.targets)["accuracy"]}
    asked = (run.model, run.bimt.wiring, graph, found, data.inputs, aim)
    both = [module_combinations(*asked, value=value) for value in ("zero", "mean")]  # type: ignore[arg-type]
    return [
        Knockout(zero.out, zero.without["accuracy"], mean.without["accuracy"]) for zero, mean in zip(*both, strict=True)
    ]


class _Numbers(NamedTuple):
    """One seed's line, and whether each single knock-out leaves less than half."""

    line: list[str]
    breaks: bool
    lowest: float
    highest: float


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.modules_and_rings import modules_and_rings_figure

    files: list[Path] = []
    knockouts, rings, numbers = [], [], []
    (each,) = runs.plan.rows
    for seed in runs.seeds(each.name, "bimt"):
        run = runs.open(each.name, "bimt", seed)
        network = modular_network(run)
        if not files:
            classes = len(run.task.labels(run.config.data)["output"])
            title = f"{each.label}, seed {seed}"
            figure = modules_and_rings_figure(network, title=title, chance=1 / classes, published=PUBLISHED)
            files += write_figure(docs / "fig5", figure)
        knockouts += [
            [str(seed), " ".join(map(str, one.out)), f"{one.zero:.4f}", f"{one.mean:.4f}"] for one in network.knockouts
        ]
        rings += _ring_lines(seed, network)
        numbers.append(_numbers(run, seed, network))
    files += write_csv(docs / "fig5-knockouts", TextTable(KNOCKOUTS, knockouts))
    files += write_csv(docs / "fig5-rings", TextTable(RINGS, rings))
    table = TextTable(HEADER, [one.line for one in numbers])
    files += write_page(docs / "fig5-seeds", f"{heading(runs, 'each seed by itself')}.\n\n{LEGEND}", table)
    return Made(files, f"Figure 5: {_said(numbers)}")


def _said(numbers: Sequence[_Numbers]) -> str:
    if not numbers:
        return "no run has ended"
    low, high = min(one.lowest for one in numbers), max(one.highest for one in numbers)
    count = sum(one.breaks for one in numbers)
    return (
        f"one module out leaves {low:.0%} to {high:.0%} of the held-out pairs right (the paper: 15, 29, 34%); each "
        f"leaves less than half in {count} of {len(numbers)} seeds"
    )


def _ring_lines(seed: int, network: ModularNetwork) -> list[list[str]]:
    lines = []
    for number, place in network.rings.items():
        assert network.report is not None
        ring = network.report.rings[place]
        lines.append(
            [
                str(seed), str(number), " ".join(map(str, ring.neurons)), str(ring.frequency), f"{ring.r2:.3f}",
                f"{ring.chance_95:.3f}", f"{ring.p:.2g}", "" if ring.step is None else str(ring.step),
                "" if ring.in_order is None else f"{ring.in_order:.2f}",
            ]
        )  # fmt: skip
    return lines


def _numbers(run: FinishedRun, seed: int, network: ModularNetwork) -> _Numbers:
    single = [one for one in network.knockouts if len(one.out) == 1]
    frequencies = []
    for place in network.rings.values():
        assert network.report is not None
        ring = network.report.rings[place]
        frequencies.append(f"{ring.frequency} ({ring.r2:.2f})")
    line = [
        str(seed), f"{run.evaluate()['accuracy']:.1%}", str(run.active_weights),
        f"{run.summary['modularity_shared'] or 0:.3f}", str(len(network.modules.modules)),
        ", ".join(f"{one.zero:.0%}" for one in single), ", ".join(f"{one.mean:.0%}" for one in single),
        ", ".join(frequencies),
    ]  # fmt: skip
    scores = [one.zero for one in single] or [network.knockouts[0].zero if network.knockouts else 0.0]
    return _Numbers(line, len(single) > 1 and max(scores) < LOW, min(scores), max(scores))


_ROW = row("modular-addition")
FIGURE_5 = Exhibit("fig5", (_ROW,), (_ROW,), ("bimt",), SEEDS, _make)
