"""Appendix E: what the embedding of the permutation group S4 is made of, and where it departs from a representation.

Of the paper's appendix its numbers alone were at hand, not its text: effective dimensions 120, 108 and 153 of faithful
representations and about 80 of the network, and a linear-relation loss of .56. What is measured is that of
``bimt group`` (docs/groups.md): irreducible representations, the relation of the embedding to the best faithful one,
whether the group acts linearly on it, and effective dimensions, each beside labels dealt anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from bimt_tf.analysis.group_report import GroupReport

__all__ = ["APPENDIX_E"]

S4 = row("s4")
COLUMNS = [
    "seed", "neurons", "most variance in", "faithful representation", "loss", "chance", "E(ab) from E(b)", "chance",
    "effective dimension",
]  # fmt: skip
PAPER = ["the paper", "9", "", "", "0.56", "", "", "", "about 80"]
"""Its numbers as far as they are known; whether .56 is this loss could not be checked."""


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.group_errors import group_errors_figure

    files: list[Path] = []
    lines, left_out, standard = [], [], {}
    method = runs.plan.methods[0]
    for seed in runs.seeds(S4.name, method):
        try:
            report = runs.open(S4.name, method, seed).group()
            figure = group_errors_figure(report)
        except InputError as error:
            left_out.append(f"seed {seed}: {error}")
            continue
        name = "appE" if len(runs.plan.seeds) == 1 else f"appE-seed{seed}"
        files += write_figure(docs / name, figure)
        lines.append([str(seed), *_spelled(report)])
        standard = report.standard
    bases = ", ".join(f"{basis} {value:.0f}" for basis, value in standard.items())
    head = f"{heading(runs, 'each seed')}; chance: the elements' labels dealt anew"
    head += f". Effective dimension of the standard representation by basis: {bases}" if bases else ""
    head += "".join(f". Left out, {reason}" for reason in left_out)
    files += write_page(docs / "appE-table", f"{head}.", TextTable(COLUMNS, [*lines, PAPER]))
    return Made(files, f"Appendix E: {len(lines)} embeddings" + "".join(f"; left out, {reason}" for reason in left_out))


def _spelled(report: GroupReport) -> list[str]:
    faithful, action, first = report.faithful, report.action, report.spectrum.shares[0]
    return [
        str(len(report.neurons)), f"{first.irrep} {first.share:.2f}",
        *(["–"] * 3 if faithful is None else [faithful.irrep, f"{faithful.loss:.3f}", f"{faithful.chance:.3f}"]),
        *(["–"] * 2 if action is None else [f"{action.loss:.3f}", f"{action.chance:.3f}"]), f"{report.dimension:.0f}",
    ]  # fmt: skip


APPENDIX_E = Exhibit("appE", (S4,), (S4,), ("bimt",), SEEDS[:1], _make, circuit_jobs)
