"""Figure A5 of the paper: how far the network that comes out hangs on noise on its initial weights.

One seed is trained as it is, and again with noise of 1e-6 to 1 of each tensor's root mean square on its initial
weights, several draws each; data and batches stay the same. Each network is matched to the one without noise
(analysis/align.py): how many neurons are alike, how many active weights both have, how Q and the loss differ. Other
seeds, whose weights and data are all others, stand beside them as the far end.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bimt_tf.config.reading import make
from bimt_tf.paper.exhibit import QUICK, EndedRuns, Exhibit, Made, Plan, RunKey
from bimt_tf.paper.tables_of_the_paper import ROWS, Row, row
from bimt_tf.paper.writing import TextTable, heading, write_csv, write_page
from bimt_tf.pool.job import Job
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["FIGURE_A5", "NOISES", "NoisyRun"]

NOISES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DRAWS = 3
OTHERS = 3
"""Other seeds beside each seed."""
STEPS = 5_000
NONE, OTHER = "no-noise", "other-seed"
POINTS = ["task", "seed", "noise", "draw", "alike", "edges shared", "chance", "loss", "Q", "weights"]


class NoisyRun(NamedTuple):
    """One network beside the one without noise; ``noise`` is None for another seed, ``chance`` for that one itself."""

    noise: float | None
    draw: int
    alike: float
    edges: float
    chance: float | None
    loss: float
    modularity: float
    weights: int


def _jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    """The run without noise, those with it, and those of other seeds."""
    jobs = {}
    for each in plan.rows:
        for seed in plan.seeds:
            wanted = [(NONE, seed, 0.0, 0)]
            wanted += [(f"{noise:g}-{draw}", seed, noise, draw) for noise in NOISES for draw in range(_draws(plan))]
            wanted += [(f"{OTHER}-{i}", seed + 1 + i, 0.0, 0) for i in range(_others(plan))]
            for setting, own, noise, draw in wanted:
                training = {
                    "steps": STEPS // (QUICK if plan.quick else 1), "eliminate": False, "compile": "no",
                    "init_noise": noise, "init_noise_seed": draw,
                }  # fmt: skip
                overrides = {section: dict(values) for section, values in each.overrides.items()}
                overrides["training"] = {**overrides.get("training", {}), **training}
                config = make(each.task, each.preset, plan.methods[0], own, overrides)
                path = out / "figA5" / each.name / f"seed{seed}-{setting}"
                jobs[RunKey(each.name, plan.methods[0], seed, setting)] = Job(path, config)
    return jobs


def _draws(plan: Plan) -> int:
    return 1 if plan.quick else DRAWS


def _others(plan: Plan) -> int:
    return 1 if plan.quick else OTHERS


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.noise import NoisePoint, NoiseSeries, noise_figure

    plan = runs.plan
    files: list[Path] = []
    lines, points = [], []
    for each in plan.rows:
        series = []
        for seed in plan.seeds:
            found = _of_seed(runs, each, seed)
            series.append(
                NoiseSeries(f"seed {seed}", [NoisePoint(run.noise, run.alike, run.edges, run.chance) for run in found])
            )
            points += [[each.name, str(seed), *_spelled(run)] for run in found]
            lines += _table(each, seed, found)
        if any(one.points for one in series):
            name = "figA5" if len(plan.rows) == 1 else f"figA5-{each.name}"
            files += write_figure(docs / name, noise_figure(series, title=each.label))
    header = ["task", "seed", "noise", "networks", "alike", "edges shared", "chance", "held-out loss", "Q", "weights"]
    said = heading(runs, "means over draws, worst loss")
    files += write_page(docs / "figA5-table", f"{said}.\n\n{LEGEND}", TextTable(header, lines))
    files += write_csv(docs / "figA5", TextTable(POINTS, points))
    return Made(files, f"Figure A5: {len(points)} networks beside those without noise")


LEGEND = (
    f"Each run has {STEPS:,} steps. Networks are matched to the one without noise by activations; alike: summed "
    "similarity of matched neurons; edges shared: active weights that both have over those that either has; chance: "
    "the same of rewired networks."
)


def _of_seed(runs: EndedRuns, each: Row, seed: int) -> list[NoisyRun]:
    """All runs of one seed beside the one without noise."""
    from bimt_tf.runs.ask.align import align, names_of
    from bimt_tf.runs.load import load_run

    method = runs.plan.methods[0]
    own = {key.setting: one.job.path for key, one in runs.ended.items() if key[:3] == (each.name, method, seed)}
    if NONE not in own:
        return []
    reference = load_run(own[NONE])
    found = []
    for setting, path in own.items():
        run = load_run(path)
        noise, _, draw = setting.rpartition("-")
        if setting == NONE:
            alike, edges, chance = 1.0, 1.0, None
            noise, draw = "0", "0"
        else:
            (beside,) = align([reference, run], reference=names_of([reference, run])[0], draws=20).comparisons
            alike, edges, chance = beside.alike.value, beside.edges.value, beside.edges.chance
        size = None if noise == OTHER else float(noise)
        q = float(run.summary["modularity_shared"])
        loss, weights = float(run.summary["test_loss"]), int(run.summary["active_weights"])
        found.append(NoisyRun(size, int(draw), alike, edges, chance, loss, q, weights))
    return found


def _spelled(run: NoisyRun) -> list[str]:
    noise = "other seed" if run.noise is None else f"{run.noise:g}"
    return [noise, *("" if value is None else str(value) for value in run[1:])]


def _table(each: Row, seed: int, found: Sequence[NoisyRun]) -> list[list[str]]:
    lines = []
    for noise in dict.fromkeys(run.noise for run in found):
        own = [run for run in found if run.noise == noise]
        averaged = ("alike", "edges", "modularity")
        mean = {name: statistics.fmean(getattr(run, name) for run in own) for name in averaged}
        chance = [run.chance for run in own if run.chance is not None]
        said = "other seed" if noise is None else f"{noise:g}"
        by_chance = f"{statistics.fmean(chance):.2f}" if chance else "–"
        lines.append(
            [
                each.label, str(seed), said, str(len(own)), f"{mean['alike']:.2f}", f"{mean['edges']:.2f}",
                by_chance, f"{max(run.loss for run in own):.1e}", f"{mean['modularity']:.3f}",
                f"{statistics.fmean(run.weights for run in own):.1f}",
            ]
        )  # fmt: skip
    return lines


_ROWS = tuple(each for each in ROWS if each.counted)

FIGURE_A5 = Exhibit("figA5", _ROWS, (row("symbolic-b"),), ("bimt",), (0,), _make, _jobs)
