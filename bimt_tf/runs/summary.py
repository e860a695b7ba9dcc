"""The numbers of a trained network: what summary.json and probes.json hold. Nothing is drawn here."""

from __future__ import annotations

import platform
from typing import Any, NamedTuple

import torch

from bimt_tf import __version__
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modularity import modularity
from bimt_tf.analysis.probe_results import ProbeResult
from bimt_tf.analysis.prune import severed
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.errors import InputError
from bimt_tf.runs.ask.probing import probed
from bimt_tf.runs.trained import Trained

__all__ = ["MOST_EDGES", "Measured", "before_elimination", "measure", "told_by"]

MOST_EDGES = 150_000  # of a graph that is measured, which takes minutes then


class Measured(NamedTuple):
    """``summary``: the keys of summary.json (docs/run-directory.md); ``probes``: the tables of probes.json."""

    summary: dict[str, Any]
    probes: list[dict[str, Any]]


TRAINED = (
    "test_loss", "train_loss", "test_accuracy", "train_accuracy", "active_weights", "nonzero_weights",
    "modularity_shared", "modularity_unrolled", "wiring_length", "wiring_length_total",
)  # fmt: skip
"""Numbers of the network as it was trained that the summary of an eliminated one keeps beside its own."""


def before_elimination(trained: Trained) -> dict[str, Any]:
    """The numbers of a network as it was trained, for the summary of what an elimination makes of it."""
    summary = measure(trained, 0.0, probing=False).summary
    return {name: summary[name] for name in TRAINED if name in summary}


def measure(trained: Trained, seconds: float, *, probing: bool = True) -> Measured:
    """Measure a trained network: losses, weights, modularity, wiring length, and the task's own probes.

    Args:
        trained: the network.
        seconds: what training took, which the summary says.
        probing: whether to make the task's own probes.
    """
    config, bimt = trained.config, trained.bimt
    probes, notes = _probes(trained) if probing else ([], [])
    nonzero = trained.nonzero_weights
    shared = unrolled = None
    if nonzero <= MOST_EDGES:
        shared, unrolled = (modularity(connection_graph(bimt, residual)) for residual in ("shared", "unrolled"))
    else:
        notes.append(f"no graph of {nonzero:,} weights: modularity stops at {MOST_EDGES:,}")
    length = wiring_length(bimt)
    pair = probes[0].best_pair if probes and probes[0].pair_above_control else None
    summary: dict[str, Any] = {
        "task": config.task,
        "preset": config.preset,
        "method": config.method,
        "seed": config.seed,
        "steps": config.training.steps,
        **{f"test_{name}": value for name, value in trained.evaluate("test").items()},
        **{f"train_{name}": value for name, value in trained.evaluate("train").items()},
        "cost": float(bimt.cost().detach()),
        "active_weights": trained.active_weights,
        "nonzero_weights": nonzero,
        "total_weights": bimt.wiring.total_weights,
        "severed": severed(bimt),
        "modularity_shared": shared,
        "modularity_unrolled": unrolled,
        "wiring_length": length.mean,
        "wiring_length_total": length.total,
        "best_pair": None if pair is None else [pair.first, pair.second],
        "best_pair_r2": None if pair is None else pair.nonlinear.value,
        "probe": told_by(probes[0]) if probes else None,
        "notes": notes,
        "seconds": seconds,
        "versions": {"bimt_tf": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    return Measured(summary, [result.as_dict() for result in probes])


def told_by(result: ProbeResult) -> dict[str, Any] | None:
    """What a summary says of a probe, whose whole is in probes.json; None if it is undefined.

    ``linear`` and ``nonlinear`` are held-out scores of all neurons, ``inputs_...`` the same of the inputs that reach
    the place, ``untrained_linear`` of an untrained network (null where there is none). ``tied_pairs`` tell as much as
    the best one.
    """
    whole, inputs, untrained = result.population, result.inputs.read_out, result.untrained.read_out
    if whole.linear.value is None or inputs is None:
        return None
    return {
        "target": result.target,
        "where": result.where,
        "score": "R2" if result.kind == "numbers" else "Brier skill",
        "linear": whole.linear.value,
        "nonlinear": whole.nonlinear.value,
        "inputs_linear": inputs.linear.value,
        "inputs_nonlinear": inputs.nonlinear.value,
        "untrained_linear": None if untrained is None else untrained.linear.value,
        "tied_pairs": len(result.tied_pairs) if result.pair_above_control else 0,
    }


def _probes(trained: Trained) -> tuple[list[ProbeResult], list[str]]:
    """The task's probes, and why one could not be made (few examples, say): no reason to lose a trained network."""
    probes, notes = [], []
    for wanted in trained.task.probes(trained.config.data):
        try:
            probes.append(probed(trained, wanted))
        except InputError as error:
            notes.append(f"no probe of {wanted.target} at {wanted.hook}, token {wanted.position}: {error}")
    return probes, notes
