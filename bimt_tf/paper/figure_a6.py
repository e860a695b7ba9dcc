"""Figure A6 of the paper: the embedding neurons of S4 on the group's Cayley graph.

Each node is an element, each edge a generator; the colour is a neuron's value. A neuron that is a function of cosets
colours whole cosets alike.
"""

from __future__ import annotations

from pathlib import Path

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.figure_6 import NEURONS, neuron_lines, report_of
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.writing import TextTable, write_csv
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["FIGURE_A6"]

ON_COSETS = 0.95  # R2 from which a neuron is said to be a function of cosets


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.group_cayley import group_cayley_figure

    files: list[Path] = []
    lines, on_cosets, total = [], 0, 0
    for each in runs.plan.rows:
        drawn = "figA6" if len(runs.plan.rows) == 1 else f"figA6-{each.name}"
        for seed in runs.seeds(each.name, "bimt"):
            report = report_of(runs.open(each.name, "bimt", seed))
            if report is None:
                continue
            if drawn:
                files += write_figure(docs / drawn, group_cayley_figure(report))
                drawn = ""
            lines += [[each.name, *line] for line in neuron_lines(seed, report)]
            on_cosets += sum(one.r2 >= ON_COSETS for one in report.cosets)
            total += len(report.neurons)
    files += write_csv(docs / "figA6", TextTable(["task", *NEURONS], lines))
    if not total:
        return Made(files, "Figure A6: no embedding neuron is on a path")
    said = f"{on_cosets} of {total} embedding neurons are functions of one subgroup's cosets (R2 at least {ON_COSETS})"
    return Made(files, f"Figure A6: {said}")


FIGURE_A6 = Exhibit("figA6", (row("modular-addition"), row("s4")), (row("s4"),), ("bimt",), SEEDS, _make)
