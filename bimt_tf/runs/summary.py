"""The first look at a trained network: its figures, and summary.json."""

from __future__ import annotations

import platform
from typing import Any

import torch

from bimt_tf import __version__
from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.graph import connection_graph
from bimt_tf.analysis.modularity import modularity
from bimt_tf.analysis.probe import ProbeResult
from bimt_tf.analysis.prune import severed
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.errors import InputError
from bimt_tf.figures.confusion import confusion_figure
from bimt_tf.figures.curves import curves_figure
from bimt_tf.figures.network import network_figure
from bimt_tf.figures.pair import pair_figure
from bimt_tf.figures.prediction import prediction_figure
from bimt_tf.runs.ask import probe_run
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.tasks.base import Probe
from bimt_tf.training.trainer import Trainer

__all__ = ["first_look"]

MOST_EDGES = 150_000  # of a graph that is measured and drawn, which takes minutes then
MOST_CLASSES = 300  # of a matrix that can be read


def first_look(run: RunDirectory, trainer: Trainer, *, draw: bool = True) -> dict[str, Any]:
    """Measure the network, draw its figures into DIR/figures if asked to, write summary.json and return it."""
    config, bimt = trainer.config, trainer.bimt
    parameters = bimt.parameters
    connections = [parameters[c.parameter].detach() for c in bimt.wiring.connections]
    probes, notes = _probes(trainer)
    nonzero = sum(int(w.count_nonzero()) for w in connections)
    unrolled = None
    if nonzero <= MOST_EDGES:
        unrolled = connection_graph(bimt, residual="unrolled")
    else:
        notes.append(f"no graph of {nonzero:,} weights: modularity and drawing stop at {MOST_EDGES:,}")
    length = wiring_length(bimt)
    summary: dict[str, Any] = {
        "task": config.task,
        "preset": config.preset,
        "method": config.method,
        "seed": config.seed,
        "steps": config.training.steps,
        **{f"test_{name}": value for name, value in trainer.evaluate("test").items()},
        **{f"train_{name}": value for name, value in trainer.evaluate("train").items()},
        "cost": float(bimt.cost().detach()),
        "active_weights": trainer.active(),
        "nonzero_weights": nonzero,
        "total_weights": sum(w.numel() for w in connections),
        "severed": severed(bimt),
        "modularity_shared": None if unrolled is None else modularity(connection_graph(bimt, residual="shared")),
        "modularity_unrolled": None if unrolled is None else modularity(unrolled),
        "wiring_length": length.mean,
        "wiring_length_total": length.total,
        **_best_pair(probes),
        "probes": [result.as_dict() for _, result in probes],
        "notes": notes,
        "seconds": trainer.seconds,
        "versions": {"bimt_tf": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    if draw:
        _draw(run, trainer, unrolled is not None, probes, summary)
    run.write_summary(summary)
    return summary


Probed = tuple[Probe, ProbeResult]


def _probes(trainer: Trainer) -> tuple[list[Probed], list[str]]:
    """The task's probes, and why one could not be made (few examples, say): no reason to lose a trained network."""
    probes, notes = [], []
    for wanted in trainer.task.probes(trainer.config.data):
        try:
            probes.append((wanted, probe_run(trainer, wanted)))
        except InputError as error:
            notes.append(f"no probe of {wanted.target} at {wanted.hook}, token {wanted.position}: {error}")
    return probes, notes


def _best_pair(probes: list[Probed]) -> dict[str, Any]:
    pair = probes[0][1].best_pair if probes else None
    if pair is None:
        return {"best_pair": None, "best_pair_r2": None}
    return {"best_pair": [pair.first, pair.second], "best_pair_r2": pair.nonlinear}


def _draw(run: RunDirectory, trainer: Trainer, drawable: bool, probes: list[Probed], summary: dict[str, Any]) -> None:
    """Write the figures; ``drawable``: whether the network is small enough. Its active weights are drawn."""
    config, task = trainer.config, trainer.task
    result = f"test loss {summary['test_loss']:.2g}"
    if task.kind == "classification":
        result = f"test accuracy {summary['test_accuracy']:.1%}"
    title = (
        f"{config.task} · {config.method} · seed {config.seed}: {result}, "
        f"{summary['active_weights']} of {summary['total_weights']:,} weights"
    )
    figures = {"curves": curves_figure(run.records())}
    if drawable:
        graph = connection_graph(trainer.bimt, residual="unrolled", threshold=config.training.active)
        labels = task.labels(config.data)
        figures["network"] = network_figure(graph, trainer.bimt.wiring, labels=labels, title=title)
    with torch.no_grad():
        outputs = trainer.model(trainer.held_out.inputs).cpu()
    true, predicted = task.reported(config.data, outputs, trainer.data.test.targets)
    classes = task.classes(config.data) if task.kind == "classification" else []
    if 0 < len(classes) <= MOST_CLASSES:
        figures["confusion"] = confusion_figure(true.numpy(), predicted.numpy(), classes)
    elif not classes:
        figures["prediction"] = prediction_figure(true.numpy(), predicted.numpy(), name="y", r2=_r2(true, predicted))
    wanted, probed = probes[0] if probes else (None, None)
    if wanted and probed and (pair := probed.best_pair) is not None:
        held = activations(trainer.model, probed.hook, probed.position, inputs=trainer.held_out.inputs).cpu().numpy()
        figures["best_pair"] = pair_figure(
            held[:, pair.first],
            held[:, pair.second],
            trainer.data.test.latents[wanted.target].numpy(),
            names=(f"{probed.hook}, neuron {pair.first}", f"{probed.hook}, neuron {pair.second}"),
            target_name=wanted.target,
            r2=pair.nonlinear,
        )
    for name, figure in figures.items():
        for suffix in ("png", "pdf"):
            figure.savefig(run.figures / f"{name}.{suffix}", dpi=200)


def _r2(true: torch.Tensor, predicted: torch.Tensor) -> float:
    return float(1 - (true - predicted).square().sum() / (true - true.mean()).square().sum())
