"""Figure 3 of the paper: networks of the symbolic formulas, and what each hidden neuron of them computes.

(a) independent formulas, (b) formulas that share features, (c) a formula of formulas. For each hidden neuron on a path
the figure says how much of its variance over the held-out examples one quantity of the inputs explains (a polynomial of
degree 4 in that quantity alone); under each network stands its formula (``bimt formula``, docs/formulas.md).
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.side_by_side import claims_table
from bimt_tf.paper.tables_of_the_paper import ROWS, Row, row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from torch import Tensor

    from bimt_tf.analysis.formula_result import Formula
    from bimt_tf.figures.neuron_functions import NeuronPanel
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_3", "QUANTITIES", "explained", "neuron_panel"]

DEGREE = 4  # of the polynomial of one quantity that a neuron is fitted by
COLUMNS = 3  # networks beside each other
WIDE, LINES = 56, 9  # characters of a line of a formula, and lines of one


def _squared_distances(x: Tensor) -> Tensor:
    return (x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2


QUANTITIES: Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]] = {
    "symbolic-a": {
        "x2": lambda x: x[:, 1],
        "x4": lambda x: x[:, 3],
        "x1+x3": lambda x: x[:, 0] + x[:, 2],
        "x2²+sin πx4": lambda x: x[:, 1] ** 2 + (3.141592653589793 * x[:, 3]).sin(),
    },
    "symbolic-b": {
        "x1": lambda x: x[:, 0],
        "x2": lambda x: x[:, 1],
        "x3": lambda x: x[:, 2],
        "x1²": lambda x: x[:, 0] ** 2,
        "x3²": lambda x: x[:, 2] ** 2,
        "x1²+x2²": lambda x: (x[:, :2] ** 2).sum(1),
        "x1²+x2²+x3²": lambda x: (x[:, :3] ** 2).sum(1),
    },
    "symbolic-c": {
        "x1−x2": lambda x: x[:, 0] - x[:, 1],
        "x3−x4": lambda x: x[:, 2] - x[:, 3],
        "(x1−x2)²": lambda x: (x[:, 0] - x[:, 1]) ** 2,
        "(x3−x4)²": lambda x: (x[:, 2] - x[:, 3]) ** 2,
        "I, their sum": _squared_distances,
    },
}
"""Task -> the quantities of its inputs that the paper's networks are said to compute on the way."""

NEURONS = ["row", "seed", "neuron", "best quantity", "share explained", "all quantities"]
FORMULAS = ["row", "seed", "formula", "terms and functions", "R2 against the network", "by its shape"]
TITLE = "What hidden neurons compute: the share of each one's variance that one quantity explains (held-out examples)"


class Neurons(NamedTuple):
    """Names of a network's live hidden neurons, deep layers last, and the share that each quantity explains."""

    names: list[str]
    quantities: list[str]
    shares: Any  # Float[ndarray, "neurons quantities"]


def explained(values: Tensor, quantity: Tensor) -> float:
    """The share of the variance of ``values`` [n] that a polynomial of degree 4 in ``quantity`` [n] explains.

    0 for values that do not vary.
    """
    import torch

    own, of = values.double() - values.double().mean(), quantity.double()
    if float(own.abs().max()) < 1e-12:
        return 0.0
    scaled = (of - of.mean()) / of.std().clamp_min(1e-12)
    powers = torch.stack([scaled**k for k in range(DEGREE + 1)], dim=1)
    left = own - powers @ torch.linalg.lstsq(powers, own[:, None]).solution[:, 0]
    return float((1 - (left**2).sum() / (own**2).sum()).clamp(0, 1))


def _neurons(run: FinishedRun) -> Neurons:
    import numpy as np
    import torch

    from bimt_tf.analysis.activations import activations
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.paths import live

    x = run.held_out.inputs
    quantities = {name: of(x) for name, of in QUANTITIES[run.config.task].items()}
    hidden = [stage.name for stage in run.bimt.wiring.stages if stage.name.startswith("hidden")]
    on_paths = live(connection_graph(run.bimt, "unrolled", run.threshold))
    names, shares = [], []
    for depth, stage in enumerate(hidden):
        with torch.no_grad():
            values = activations(run.model, f"layers.{depth}.hook_post", inputs=x)
        slots = run.bimt.layout.slots[stage]
        for neuron in sorted((i for name, i in on_paths if name == stage), key=lambda i: int(slots[i])):
            names.append(f"layer {depth + 1}: {neuron}")
            shares.append([explained(values[:, neuron], of) for of in quantities.values()])
    return Neurons(names, list(quantities), np.array(shares).reshape(len(names), len(quantities)))


def neuron_panel(run: FinishedRun, name: str, found: Neurons, formula: Formula | None) -> NeuronPanel:
    """What the figure shows of one network, under its name."""
    from bimt_tf.figures.neuron_functions import NeuronPanel
    from bimt_tf.scene.scene import scene_of

    q = run.summary["modularity_shared"]
    note = f"seed {run.config.seed} · loss {run.evaluate()['loss']:.1e} · {run.active_weights} weights"
    return NeuronPanel(
        name, note + ("" if q is None else f" · Q {q:.2f}"), scene_of(run.bimt, run.threshold),
        run.task.labels(run.config.data), found.names, found.quantities, found.shares, _written(formula),
    )  # fmt: skip


def _formula(run: FinishedRun) -> Formula | None:
    """The network's formula; None of one that has too many weights to be read."""
    from bimt_tf.errors import InputError

    try:
        return run.formula()
    except InputError:
        return None


def _written(formula: Formula | None) -> list[str]:
    """The formula, or the shorter one that its shape shows, in as many lines as there is room for."""
    if formula is None:
        return ["too many weights to be read as a formula"]
    shorter = formula.recognised
    written = formula.written if shorter is None else shorter
    head = "formula" if shorter is None else "by its shape (not read off the weights)"
    r2 = formula.r2 if shorter is None or formula.recognised_step is None else formula.recognised_step.network.r2
    said = f"{head}, R2 {r2:.4f}:" if r2 is not None else f"{head}:"
    lines = [part for line in written.lines for part in textwrap.wrap(line, WIDE, subsequent_indent="    ")]
    return [said, *(lines if len(lines) <= LINES else [*lines[: LINES - 1], "..."])]


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.neuron_functions import neuron_functions_figure

    panels, neurons, formulas = [], [], []
    for each in runs.plan.rows:
        for i, seed in enumerate(runs.seeds(each.name, "bimt")):
            run = runs.open(each.name, "bimt", seed)
            found, formula = _neurons(run), _formula(run)
            if i == 0:
                panels.append(neuron_panel(run, each.label, found, formula))
            neurons += _neuron_lines(each, seed, found)
            formulas.append(_formula_line(each, seed, formula))
    files: list[Path] = []
    if panels:
        rows = [panels[i : i + COLUMNS] for i in range(0, len(panels), COLUMNS)]
        figure = neuron_functions_figure(rows, title=TITLE)
        files += write_figure(docs / "fig3", figure)
    files += write_csv(docs / "fig3-neurons", TextTable(NEURONS, neurons))
    files += write_page(
        docs / "fig3-formulas", f"{heading(runs, 'each seed by itself')}.", TextTable(FORMULAS, formulas)
    )
    claims = claims_table(runs)
    files += write_page(docs / "fig3-claims", f"The paper's claims ({heading(runs, 'each seed by itself')}).", claims)
    return Made(files, "Figure 3: " + ("; ".join(f"{line[0]} {line[1]}: {line[3]} seeds" for line in claims.rows) or
                                       "no run has ended"))  # fmt: skip


def _neuron_lines(each: Row, seed: int, found: Neurons) -> list[list[str]]:
    lines = []
    for name, shares in zip(found.names, found.shares, strict=True):
        best = int(shares.argmax())
        every = ", ".join(f"{what} {share:.3f}" for what, share in zip(found.quantities, shares, strict=True))
        lines.append([each.name, str(seed), name, found.quantities[best], f"{shares[best]:.3f}", every])
    return lines


def _formula_line(each: Row, seed: int, formula: Formula | None) -> list[str]:
    if formula is None:
        return [each.name, str(seed), "too many weights to be read", "–", "–", "–"]
    shape = "–" if formula.recognised is None else "; ".join(formula.recognised.lines)
    r2 = "–" if formula.r2 is None else f"{formula.r2:.6f}"
    text = "; ".join(formula.written.lines)
    return [each.name, str(seed), f"`{text}`", str(formula.size), r2, shape if shape == "–" else f"`{shape}`"]


_ROWS = tuple(each for each in ROWS if each.task in QUANTITIES)
_USUAL: Sequence[str] = ("symbolic-a", "symbolic-b", "symbolic-c", "symbolic-a-circuit", "symbolic-b-circuit",
                         "symbolic-c-neurons")  # fmt: skip
FIGURE_3 = Exhibit(
    "fig3", _ROWS, tuple(map(row, _USUAL)), ("bimt",), SEEDS, _make, quick_rows=tuple(map(row, _USUAL[:3]))
)
