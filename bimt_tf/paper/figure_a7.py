"""Figure A7: in-context regression where x1 may be 0, and a map of where it errs (paper, Appendix F.2).

w = y1 / x1 has no bound near x1 = 0, where y1 says next to nothing of w. The paper's text was not at hand; known is
that its singular case draws x from [-1, 1]. The same map of the usual case, x from [1, 3], stands beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made
from bimt_tf.paper.tables_of_the_paper import Row, row
from bimt_tf.paper.trial_runs import circuit_jobs
from bimt_tf.paper.writing import TextTable, heading, write_page
from bimt_tf.sweeps.result_files import write_figure

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from bimt_tf.figures.error_map import ErrorMap
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["FIGURE_A7"]

SINGULAR = Row("in-context-singular", "in-context regression, x around 0", "in-context-singular", "loss", {}, {},
               counted=False)  # fmt: skip
ROWS = (SINGULAR, row("in-context"))
GRID, OVER, EACH = 120, 13, 3
"""Points of x1 and of x; of w; and of these every third in the picture of the w that is used."""
NEAR = 0.1
"""|x1| below which an example counts as near the singularity."""
COLUMNS = [
    "task", "seed", "weights", "held-out loss", "always the mean w", "share of examples near 0",
    "share of the squared error there", "loss without them", "loss of the others, always the mean w",
]  # fmt: skip


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.error_map import error_map_figure

    files: list[Path] = []
    lines = []
    for each, seed, run in runs.opened():
        told = f"test loss {run.evaluate('test')['loss']:.1e}, {run.active_weights} weights"
        title = f"{each.task} · {run.config.method} · seed {seed}: {told}"
        parts = ["figA7", *([] if each is SINGULAR else [each.name])]
        parts += [f"seed{seed}"] if len(runs.plan.seeds) > 1 else []
        files += write_figure(docs / "-".join(parts), error_map_figure(error_map(run), title=title))
        lines.append([each.task, str(seed), str(run.active_weights), *_near(run)])
    head = f"{heading(runs, 'held-out examples')}; near 0: |x1| below {NEAR:g}."
    files += write_page(docs / "figA7-table", head, TextTable(COLUMNS, lines))
    return Made(files, f"Figure A7: {len(lines)} networks; the first: loss {lines[0][3] if lines else 'none'}")


def error_map(run: FinishedRun, points: int = GRID) -> ErrorMap:
    """The errors of a run of in-context regression of one solved example on a grid of x1, x and w within its ranges.

    The grid holds the centres of equal parts of each range, so that its mean is that of the task's own examples.
    """
    import torch

    from bimt_tf.figures.error_map import ErrorMap

    data = run.config.data
    x1 = _centres(data.x_low, data.x_high, points)
    w = _centres(data.w_low, data.w_high, OVER)
    like = run.held_out.inputs
    inputs = torch.zeros(len(w), points, points, 3, 2, dtype=torch.float64)
    inputs[..., 0, 1] = x1[:, None]
    inputs[..., 1, 0] = w[:, None, None] * x1[:, None]
    inputs[..., 2, 1] = x1
    with torch.no_grad():
        flat = inputs.flatten(0, 2).to(like)
        output = torch.cat([run.model(part)[:, -1, 0].double().cpu() for part in flat.split(10_000)])
    output = output.reshape(len(w), points, points)
    wrong = (output - w[:, None, None] * x1).square()
    guess = ((w - w.mean()).square().mean() * x1.square().mean()).sqrt().expand(points)
    lines = slice(None, None, EACH)
    return ErrorMap(
        x1.numpy(), x1.numpy(), wrong.mean(0).sqrt().numpy(), wrong.mean((0, 2)).sqrt().numpy(), guess.numpy(),
        w[lines].numpy(), (output[lines, :, -1] / x1[-1]).numpy(),
    )  # fmt: skip


def _centres(low: float, high: float, n: int) -> Float[Tensor, " n"]:
    import torch

    return low + (high - low) * (torch.arange(n, dtype=torch.float64) + 0.5) / n


def _near(run: FinishedRun) -> list[str]:
    """Of the table: loss, that of the mean w, and how both are shared between examples near 0 and the others."""
    import torch

    quantities = run.held_out.quantities
    with torch.no_grad():
        errors = (run.model(run.held_out.inputs)[:, -1, 0].double().cpu() - quantities["y"].double()).square()
    mean = (run.config.data.w_low + run.config.data.w_high) / 2
    guess = ((quantities["w"].double() - mean) * quantities["x"].double()).square()
    near = quantities["x1"].abs() < NEAR
    share = f"{float(errors[near].sum() / errors.sum()):.1%}" if near.any() else "none there"
    return [
        f"{float(errors.mean()):.2e}", f"{float(guess.mean()):.2e}", f"{float(near.double().mean()):.1%}", share,
        f"{float(errors[~near].mean()):.2e}", f"{float(guess[~near].mean()):.2e}",
    ]  # fmt: skip


FIGURE_A7 = Exhibit("figA7", ROWS, ROWS, ("bimt",), SEEDS[:1], _make, circuit_jobs)
