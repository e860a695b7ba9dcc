"""The paper's tables and figures from one command: run what is missing, then compare (paper, Tables 1-2, Figs. 2, A1).

Runs lie in OUT/ROW/METHOD-seedN and are shared by all targets; a finished one is not made again. What is written goes
to a folder of its own, DOCS: tables as Markdown and CSV, figures as PNG and PDF.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bimt_tf.config.methods import METHODS
from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError, unknown
from bimt_tf.paper.comparison import Table, compare_row, comparison_table, table
from bimt_tf.paper.tables_of_the_paper import ROWS, Row, row
from bimt_tf.pool.job import Job, Outcome, finished
from bimt_tf.pool.pool import PoolWatcher, run_jobs
from bimt_tf.runs.atomic import write_atomically

if TYPE_CHECKING:
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["TARGETS", "Plan", "Report", "plan", "reproduce"]

TARGETS = ("table1", "table2", "fig2", "figA1")
SEEDS = (0, 1, 2, 3, 4)
QUICK = 20  # a quick run has this fraction of the steps
FIGURE_2 = Row("products", "products", "products", "loss", {}, {}, counted=False)
PRUNED = "symbolic-a"  # the row of Figure A1 unless others are asked for


class Plan(NamedTuple):
    """What is made: the rows' runs by method and seed. ``quick`` runs have a twentieth of the steps."""

    target: str
    rows: tuple[Row, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    quick: bool


class Report(NamedTuple):
    """What was written, one line that says what came out, and the runs that failed."""

    files: list[Path]
    line: str
    failed: list[Outcome]


def plan(
    target: str,
    tasks: Sequence[str] = (),
    methods: Sequence[str] = (),
    seeds: Sequence[int] = (),
    quick: bool = False,
) -> Plan:
    """Check what is asked for; what is empty takes the target's own.

    Raises:
        InputError: for an unknown target, row or method, a seed given twice, or Figure 2 of another task.
    """
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    for method in methods:
        if method not in METHODS:
            raise unknown("method", method, METHODS)
    if target == "fig2":
        if any(name != FIGURE_2.name for name in tasks):
            raise InputError(f"Figure 2 is of {FIGURE_2.name}; it takes no other task, found {', '.join(tasks)}")
        rows: tuple[Row, ...] = (FIGURE_2,)
    else:
        known = {each.name: each for each in (*ROWS, FIGURE_2)} if target == "figA1" else {r.name: r for r in ROWS}
        for name in tasks:
            if name not in known:
                raise unknown(f"row of {target}", name, known)
        usual = (row(PRUNED),) if target == "figA1" else ROWS
        rows = tuple(each for name, each in known.items() if name in tasks) if tasks else usual
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds must differ, found {', '.join(map(str, seeds))}")
    chosen = tuple(method for method in METHODS if method in methods) if methods else tuple(METHODS)
    usual_seeds = SEEDS[:1] if target == "fig2" else SEEDS
    return Plan(target, rows, chosen, tuple(seeds) or usual_seeds, quick)


def reproduce(
    wanted: Plan,
    out: Path,
    docs: Path,
    *,
    train: bool = True,
    workers: int = 0,
    watcher: PoolWatcher | None = None,
    stage: Callable[[str], None] = lambda text: None,
) -> Report:
    """Make the runs that are missing in ``out``, then write the target's tables or figures into ``docs``.

    Unless ``train``, nothing is run: what is written is of the finished runs, and tables say how many those are.

    Raises:
        InputError: for a directory that cannot be used, or runs of other settings in it.
        PoolInterrupted: on SIGINT or SIGTERM; the same call goes on.
    """
    jobs = {
        (each.name, method, seed): Job(_path(out, each, method, seed), _config(wanted, each, method, seed))
        for each in wanted.rows
        for seed in wanted.seeds
        for method in wanted.methods
    }
    if train:
        ended = run_jobs(list(jobs.values()), workers=workers, draw=False, watcher=watcher)
    else:
        ended = [Outcome(job, finished(job), None) for job in jobs.values()]
        if not any(outcome.summary for outcome in ended):
            raise InputError(f"no run of {wanted.target} in {out} has ended: there is nothing to write")
    outcomes = dict(zip(jobs, ended, strict=True))
    failed = [outcome for outcome in ended if outcome.error is not None]
    runs = {key: outcome.job.path for key, outcome in outcomes.items() if outcome.summary is not None}
    try:
        docs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {docs}: {error.strerror}") from error
    stage("measuring and drawing")
    if wanted.target == "fig2":
        files, line = _figure_2(wanted, runs, docs)
    elif wanted.target == "figA1":
        files, line = _figure_a1(wanted, runs, docs)
    else:
        summaries: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
        for (name, method, _), outcome in outcomes.items():
            if outcome.summary is not None:
                summaries.setdefault((name, method), []).append(outcome.summary)
        files, line = _tables(wanted, summaries, runs, docs)
    return Report(files, line, failed)


def _path(out: Path, each: Row, method: str, seed: int) -> Path:
    return out / each.name / f"{method}-seed{seed}"


def _config(wanted: Plan, each: Row, method: str, seed: int) -> Config:
    overrides = {section: dict(values) for section, values in each.overrides.items()}
    if wanted.quick:
        steps = make(each.task).training.steps // QUICK
        overrides.setdefault("training", {}).update(steps=steps, compile="no")
    return make(each.task, None, method, seed, overrides)


Runs = Mapping[tuple[str, str, int], Path]


def _loaded(path: Path) -> FinishedRun:
    from bimt_tf.runs.load import load_run

    return load_run(path)


def _tables(
    wanted: Plan, summaries: Mapping[tuple[str, str], list[Mapping[str, Any]]], runs: Runs, docs: Path
) -> tuple[list[Path], str]:
    which: Literal["table1", "table2"] = "table1" if wanted.target == "table1" else "table2"
    made = table(which, wanted.rows, wanted.methods, summaries, len(wanted.seeds))
    judged = [compare_row(r, summaries[r.name, "bimt"]) for r in wanted.rows if (r.name, "bimt") in summaries]
    counted = [one for one in judged if one.row.counted]
    count, moon = sum(one.holds for one in counted), sum(one.beats_vanilla for one in counted)
    line = (
        f"BIMT as good and as modular as the paper's: {count} of {len(counted)} rows; "
        f"as good as its vanilla and more modular than its BIMT: {moon} of {len(counted)}"
    )
    head = f"bimt reproduce {wanted.target}: seeds {', '.join(map(str, wanted.seeds))}; mean ± standard deviation"
    head += f"; QUICK, 1/{QUICK} of the steps: a trial, no result" if wanted.quick else ""
    done, all_ = len(runs), len(wanted.rows) * len(wanted.methods) * len(wanted.seeds)
    head += f"; {done} of {all_} runs, the others have not ended" if done < all_ else ""
    files = _write_table(docs / wanted.target, f"{head}.\n\n{_LEGEND[which]}\n\n", made)
    if judged:
        files += _write_table(docs / "comparison", f"**{line}.**\n\n({head}.)\n\n", comparison_table(judged))
    claims = _claims(wanted, runs)
    if claims.rows:
        files += _write_table(docs / "claims", f"The paper's qualitative claims, computed ({head}).\n\n", claims)
    return files + _networks(wanted, runs, docs), line


_LEGEND = {
    "table1": "Test loss, or accuracy on held-out / training examples. The paper's accuracies are one number each.",
    "table2": "Newman's Q of the connection graph (residual stream shared), and weights above the active threshold.",
}


def _claims(wanted: Plan, runs: Runs) -> Table:
    from bimt_tf.paper.claims import CLAIMS

    lines = []
    for claim in CLAIMS:
        paths = [runs[key] for seed in wanted.seeds if (key := (claim.row, "bimt", seed)) in runs]
        findings = [claim.check(_loaded(path)) for path in paths]
        if findings:
            count = sum(finding.holds for finding in findings)
            holds = "true" if count == len(findings) else "false"
            numbers = "; ".join(finding.numbers for finding in findings)
            lines.append([claim.row, claim.text, holds, f"{count} of {len(findings)}", numbers])
    return Table(["task", "claim", "in every seed", "seeds", "by seed"], lines)


def _networks(wanted: Plan, runs: Runs, docs: Path) -> list[Path]:
    """The counted rows' networks, of bimt and the first seed, without weights that are not active."""
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.figures.network import network_figure

    files = []
    for each in wanted.rows:
        if each.counted and (key := (each.name, "bimt", wanted.seeds[0])) in runs:
            trainer = _loaded(runs[key])
            graph = connection_graph(trainer.bimt, "unrolled", trainer.config.training.active)
            labels = trainer.task.labels(trainer.config.data)
            title = f"{each.label} · bimt · seed {wanted.seeds[0]}"
            drawn = network_figure(graph, trainer.bimt.wiring, labels=labels, title=title)
            files += _write_figure(docs / f"network-{each.name}", drawn)
    return files


def _figure_2(wanted: Plan, runs: Runs, docs: Path) -> tuple[list[Path], str]:
    from bimt_tf.analysis.graph import connection_graph
    from bimt_tf.analysis.modularity import modularity
    from bimt_tf.figures.comparison import Panel, comparison_figure

    files, labels = [], None
    for seed in wanted.seeds:
        panels = []
        for method in wanted.methods:
            if (key := (FIGURE_2.name, method, seed)) not in runs:
                continue
            trainer = _loaded(runs[key])
            graph, labels = connection_graph(trainer.bimt, "unrolled"), trainer.task.labels(trainer.config.data)
            note = f"loss {trainer.evaluate('test')['loss']:.1e} · {trainer.active_weights} weights · "
            panels.append(Panel(method, f"{note}Q {modularity(graph):.2f}", graph, trainer.bimt.wiring))
        if panels:
            name = "fig2" if len(wanted.seeds) == 1 else f"fig2-seed{seed}"
            files += _write_figure(docs / name, comparison_figure(panels, labels=labels))
    return files, f"Figure 2: {len(wanted.methods)} methods, seed {', '.join(map(str, wanted.seeds))}"


def _figure_a1(wanted: Plan, runs: Runs, docs: Path) -> tuple[list[Path], str]:
    from bimt_tf.figures.pruning_curves import pruning_curves_figure
    from bimt_tf.paper.claims import pruning_curve_left_of

    files: list[Path] = []
    points: list[list[str]] = []
    said = []
    for each in wanted.rows:
        curves = {
            (method, seed): _loaded(runs[key]).prune()
            for method in wanted.methods
            for seed in wanted.seeds
            if (key := (each.name, method, seed)) in runs
        }
        by_method = {m: [c for (other, _), c in curves.items() if other == m] for m in wanted.methods}
        by_method = {method: found for method, found in by_method.items() if found}
        if by_method:
            name = "figA1" if len(wanted.rows) == 1 else f"figA1-{each.name}"
            files += _write_figure(docs / name, pruning_curves_figure(by_method, title=each.label))
        for (method, seed), curve in curves.items():
            points += [[each.name, method, str(seed), *map(str, point)] for point in curve]
        pairs = [
            pruning_curve_left_of(curves["bimt", seed], curves["l1", seed])
            for seed in wanted.seeds
            if ("bimt", seed) in curves and ("l1", seed) in curves
        ]
        if pairs:
            count, numbers = sum(p.holds for p in pairs), "; ".join(p.numbers for p in pairs)
            said.append([each.name, "bimt's pruning curve left of l1's", f"{count} of {len(pairs)}", numbers])
    header = ["task", "method", "seed", "threshold", "weights", "loss", "severed"]
    files += _write_csv(docs / "figA1.csv", Table(header, points))
    if said:
        claim = Table(["task", "claim", "seeds", "by seed"], said)
        files += _write_table(docs / "figA1-claim", "bimt reproduce figA1: weights left against loss.\n\n", claim)
    return files, "; ".join(f"{name}: {text} in {count} seeds" for name, text, count, _ in said) or "Figure A1"


def _write_table(stem: Path, head: str, made: Table) -> list[Path]:
    page = stem.with_suffix(".md")
    write_atomically(page, (head + made.markdown()).encode())
    return [page, *_write_csv(stem.with_suffix(".csv"), made)]


def _write_csv(path: Path, made: Table) -> list[Path]:
    write_atomically(path, made.csv().encode())
    return [path]


def _write_figure(stem: Path, drawn: Any) -> list[Path]:
    files = [stem.with_suffix(".png"), stem.with_suffix(".pdf")]
    for path in files:
        image = io.BytesIO()
        drawn.savefig(image, format=path.suffix[1:], dpi=200)
        write_atomically(path, image.getvalue())
    return files
