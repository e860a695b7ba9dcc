"""The same neurons in several runs: what recurs across seeds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bimt_tf.analysis.align import align_networks
from bimt_tf.analysis.align_pairs import By
from bimt_tf.analysis.align_results import Alignment
from bimt_tf.analysis.progress import Progress
from bimt_tf.errors import InputError, require_kind, require_whole
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.trained import Trained

__all__ = ["EXAMPLES", "align", "names_of"]

EXAMPLES = 1_000
"""Held-out examples of the first run that all networks see, unless there are fewer."""


def align(
    runs: Sequence[Trained],
    *,
    by: By = "activations",
    examples: int = EXAMPLES,
    reference: str | None = None,
    draws: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
) -> Alignment:
    """Match the neurons of several runs of one shape to those of one of them (docs/across-seeds.md).

    Args:
        runs: two or more, as ``load_run`` opens them; their networks have one shape.
        by: "activations": correlation on common examples, the first run's held-out ones; "weights".
        examples: how many of them, at most.
        reference: the run that the others are matched to, by its name in the result; the medoid unless given.
        draws: rewired copies of each network that the chance figures are taken from.
        seed: of those draws.
        progress: told (done, of) behind every network.

    Raises:
        InputError: for fewer than two runs, or networks that cannot be aligned; the reason is said.
    """
    require_kind("runs", runs, Sequence)
    for run in runs:
        require_kind("each of runs", run, Trained)
    if len(runs) < 2:
        raise InputError(f"an alignment takes two runs or more, found {len(runs)}")
    require_whole("examples", examples, at_least=2)
    inputs = runs[0].held_out.inputs[:examples] if by == "activations" else None
    return align_networks(
        [run.bimt for run in runs],
        inputs,
        names=names_of(runs),
        thresholds=[run.threshold for run in runs],
        by=by,
        reference=reference,
        draws=draws,
        seed=seed,
        progress=progress,
    )


def names_of(runs: Sequence[Trained]) -> list[str]:
    """What the runs are called: the name of their directory, its whole path where two have one name, or a number."""
    paths = [run.path if isinstance(run, OpenedRun) else None for run in runs]
    count = Counter(path.name for path in paths if path is not None)
    whole = Counter(str(path) for path in paths if path is not None)
    names = []
    for i, path in enumerate(paths):
        if path is None or whole[str(path)] > 1:
            names.append(f"{i}" if path is None else f"{path} ({i})")
        else:
            names.append(path.name if count[path.name] == 1 else str(path))
    return names
