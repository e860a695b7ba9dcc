"""Figure A11: image classifiers of one, two and three hidden layers in 3D, side by side.

The paper trains MLPs of two, three and four layers (Section 3.5). Whether its Figure A11 is this one was not known
here: its text was not at hand, and the order of A8 to A11 is ours.
"""

from __future__ import annotations

from pathlib import Path

from bimt_tf.paper.exhibit import SEEDS, EndedRuns, Exhibit, Made, Plan, RunKey
from bimt_tf.paper.images import DIGITS, IMAGE_ROWS, file_name, require_files
from bimt_tf.paper.trial_runs import config_of
from bimt_tf.pool.job import Job
from bimt_tf.sweeps.result_files import write_figure

__all__ = ["FIGURE_A11", "HIDDEN"]

HIDDEN = ((100,), (100, 100), (100, 100, 100))


def _jobs(plan: Plan, out: Path, docs: Path) -> dict[RunKey, Job]:
    require_files(plan)
    jobs = {}
    for each in plan.rows:
        for seed in plan.seeds:
            for hidden in HIDDEN:
                setting = "-".join(map(str, hidden))
                config = config_of(each, plan.methods[0], seed, plan.quick, {"model": {"hidden": hidden}})
                path = out / "figA11" / each.name / f"{plan.methods[0]}-seed{seed}-{setting}"
                jobs[RunKey(each.name, plan.methods[0], seed, setting)] = Job(path, config)
    return jobs


def _make(runs: EndedRuns, docs: Path) -> Made:
    from bimt_tf.figures.network_3d import Panel3D, networks_3d_figure
    from bimt_tf.runs.load import load_run
    from bimt_tf.scene.space import space_of

    files: list[Path] = []
    said, labels = [], None
    for each in runs.plan.rows:
        for seed in runs.plan.seeds:
            panels = []
            for key, one in runs.ended.items():
                if (key.row, key.seed) != (each.name, seed):
                    continue
                run = load_run(one.job.path)
                space, told = space_of(run.bimt, run.threshold), run.summary
                labels = run.task.labels(run.config.data)
                accuracy, q = float(told["test_accuracy"]), float(told["modularity_shared"])
                layers = key.setting.count("-") + 2
                note = f"accuracy {accuracy:.1%} · {space.active:,} weights · Q {q:.2f}"
                panels.append(Panel3D(f"{layers} layers", note, space))
                said.append(f"{layers} layers {accuracy:.1%}, {space.active:,} weights")
            if panels:
                title = f"{each.task} · {runs.plan.methods[0]} · seed {seed}: by depth"
                figure = networks_3d_figure(panels, title=title, labels=labels)
                files += write_figure(docs / file_name(runs.plan, each, seed), figure)
    return Made(files, f"Figure A11: {'; '.join(said)}")


FIGURE_A11 = Exhibit("figA11", IMAGE_ROWS, (DIGITS,), ("bimt",), SEEDS[:1], _make, _jobs)
