"""Figure 7 of the paper: the in-context transformer, where w can be read in it, and which neurons carry it.

Four pictures a seed: the network with the smallest sets of neurons ringed whose interchange moves the output to another
w; the linear read-out of w by stage beside those sets; the map of all hooks; and the best pair of the paper's probe,
beside which stands what the inputs alone tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import InputError
from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bimt_tf.analysis.minimal_set import MinimalSet
    from bimt_tf.analysis.probe_map import ProbeMap
    from bimt_tf.core.population import Node
    from bimt_tf.figures.carriers import Carrier, Reading
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_7"]

QUANTITY = "w"
REACH = 0.9
"""Share of the way to another w that a set must move the output."""
TRIAL: dict[str, Any] = {"checks": 50, "random_sets": 10, "pairs": 100, "largest": 3}
"""How little is searched for a quick figure, whose network is dense."""
TOKENS = ("x₁", "y₁", "x")
IN_CONTEXT = row("in-context")
COLUMNS = ["seed", "weights", "test loss", "stage", "token", "neurons", "share (95%)", "random sets of as many"]


def _make(runs: EndedRuns, docs: Path) -> Made:
    files: list[Path] = []
    lines: list[list[str]] = []
    method = runs.plan.methods[0]
    for seed in runs.seeds(IN_CONTEXT.name, method):
        run = runs.open(IN_CONTEXT.name, method, seed)
        stages = _stages(run)
        found = run.probe_map(QUANTITY, hooks=list(stages) if runs.plan.quick else None)
        sets = _sets(run, runs.plan.quick)
        name = "fig7" if len(runs.plan.seeds) == 1 else f"fig7-seed{seed}"
        for suffix, figure in _figures(run, found, sets, stages).items():
            files += write_figure(docs / f"{name}{suffix}", figure)
        loss = run.evaluate("test")["loss"]
        lines += [[str(seed), str(run.active_weights), f"{loss:.1e}", *_spelled(one, stages)] for one in sets]
    head = f"{heading(runs, 'each seed')}.\n\n{LEGEND}"
    files += write_page(docs / "fig7-table", head, TextTable(COLUMNS, lines))
    return Made(files, f"Figure 7: {len(runs.ended)} networks, {len(lines)} stages at which another w moves the output")


LEGEND = (
    f"The smallest sets of neurons whose interchange moves the output at least {REACH:g} of the way to what it would "
    "be with another example's w (x₁ and x stay), at the token or tokens through which it passes."
)


def _figures(run: FinishedRun, found: ProbeMap, sets: list[MinimalSet], stages: dict[str, str]) -> dict[str, Figure]:
    from bimt_tf.figures.carriers import carriers_figure
    from bimt_tf.figures.network import network_figure
    from bimt_tf.figures.probe_map import probe_map_figure

    told = f"test loss {run.evaluate('test')['loss']:.1e}, {run.active_weights} weights"
    title = f"in-context · {run.config.method} · seed {run.config.seed}: {told}"
    ringed: set[Node] = {(stages[one.hook], neuron) for one in sets for neuron in one.neurons or ()}
    labels = run.task.labels(run.config.data)
    figures = {
        "": network_figure(run.bimt, threshold=run.threshold, labels=labels, title=title, highlight=ringed),
        "-map": probe_map_figure(found, tokens=TOKENS),
    }
    readings, inputs = _readings(found, stages)
    carriers = [_carrier(one, stages) for one in sets if one.neurons]
    said = f"seed {run.config.seed}: where w can be read, and who carries it"
    figures["-carriers"] = carriers_figure(readings, carriers, quantity=QUANTITY, inputs=inputs, title=said)
    try:
        figures["-pair"] = run.figure("best_pair")
    except InputError:
        pass  # no pair tells w better than chance: the map shows that
    return figures


def _stages(run: FinishedRun) -> dict[str, str]:
    """Hook of the residual stream -> its stage."""
    from bimt_tf.adapters.stage_hooks import stage_hooks

    hooks = stage_hooks(run.model, run.bimt.wiring)
    return {hook: stage for stage, hook in hooks.items() if stage.startswith("Res")}


def _sets(run: FinishedRun, quick: bool) -> list[MinimalSet]:
    """The smallest set of each stage, at the fewest tokens."""
    from bimt_tf.runs.ask.causes import smallest_set_at_fewest_tokens, where_it_passes

    asked = TRIAL if quick else {}
    places = where_it_passes(run.interchange_map(QUANTITY), REACH)
    return [
        smallest_set_at_fewest_tokens(run, hook, position, QUANTITY, reach=REACH, **asked) for hook, position in places
    ]


def _readings(found: ProbeMap, stages: dict[str, str]) -> tuple[list[Reading], float | None]:
    """The read-outs of the residual stream at tokens y1 and x, and that of the best input."""
    from bimt_tf.figures.carriers import Reading

    cells = {(cell.hook, cell.position): cell for cell in found.cells}
    readings, inputs = [], []
    for hook, stage in stages.items():
        for position in (1, 2):
            cell = cells.get((found.repeated.get(hook, hook), position))
            if cell is not None:
                untrained = None if cell.untrained is None else cell.untrained.value
                readings.append(Reading(stage, TOKENS[position], cell.read_out.value, untrained))
                inputs.append(cell.inputs.value)
    return readings, max((value for value in inputs if value is not None), default=None)


def _token(one: MinimalSet) -> str:
    positions = (one.position,) if isinstance(one.position, int) else one.position or (0, 1, 2)
    return " and ".join(TOKENS[position] for position in positions)


def _carrier(one: MinimalSet, stages: dict[str, str]) -> Carrier:
    from bimt_tf.figures.carriers import Carrier

    low, high = one.interval or (one.share, one.share)
    return Carrier(stages[one.hook], _token(one), one.neurons or (), one.share or 0.0, low or 0.0, high or 0.0)


def _spelled(one: MinimalSet, stages: dict[str, str]) -> list[str]:
    place = [stages[one.hook], _token(one)]
    if one.neurons is None or one.share is None or one.interval is None:
        return [*place, "–", one.why_none, "–"]
    share = f"{one.share:.3f} ({one.interval[0]:.3f} to {one.interval[1]:.3f})"
    chance = one.no_null if one.null is None else f"{one.null.low:.2f} to {one.null.high:.2f}"
    return [*place, ", ".join(map(str, one.neurons)), share, chance]


FIGURE_7 = Exhibit("fig7", (IN_CONTEXT,), (IN_CONTEXT,), ("bimt",), SEEDS[:1], _make, circuit_jobs)
