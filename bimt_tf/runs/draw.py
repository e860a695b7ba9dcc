"""The figures of a trained network, as Matplotlib Figures; none is shown or written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure

from bimt_tf.adapters.stage_hooks import neuron_name
from bimt_tf.analysis.activations import activations
from bimt_tf.config.methods import METHODS
from bimt_tf.errors import InputError, unknown
from bimt_tf.figures.block_view import connectivity_figure
from bimt_tf.figures.confusion import confusion_figure
from bimt_tf.figures.curves import curves_figure
from bimt_tf.figures.elimination import elimination_figure
from bimt_tf.figures.evolution import evolution_figure
from bimt_tf.figures.network import network_figure
from bimt_tf.figures.pair import pair_figure
from bimt_tf.figures.prediction import prediction_figure
from bimt_tf.figures.tween import Frame
from bimt_tf.runs.ask.probing import probed
from bimt_tf.runs.ask.usual import usual_probe
from bimt_tf.runs.evolution import Snapshot, of_a_strip, require_snapshots
from bimt_tf.runs.summary import told_by
from bimt_tf.runs.trained import Trained
from bimt_tf.training.schedule import width_at

__all__ = ["FIGURES", "draw", "figures_of"]

FIGURES = ("network", "connectivity", "curves", "elimination", "prediction", "confusion", "best_pair", "evolution")
MOST_CLASSES = 300  # of a matrix that can be read


def draw(
    trained: Trained,
    name: str,
    *,
    records: Sequence[Mapping[str, Any]] = (),
    summary: Mapping[str, Any] | None = None,
    snapshots: Sequence[Snapshot] = (),
) -> Figure:
    """One figure.

    Args:
        trained: the network.
        name: one of FIGURES.
        records: the logged steps, for "curves".
        summary: what was measured already, which then is not measured again.
        snapshots: the network on its way, for "evolution".

    Raises:
        InputError: for another name, or a figure that this network does not have (the reason is said).
    """
    summary = summary or {}
    if name == "network":
        return _network(trained, summary)
    if name == "connectivity":
        return connectivity_figure(trained.bimt, threshold=trained.threshold, title=_title(trained, "connectivity"))
    if name == "curves":
        if not records:
            raise InputError("there are no curves: no step is logged yet")
        config = trained.config
        local = METHODS[config.method].local
        return curves_figure(records, [width_at(config, r["step"] - 1) for r in records] if local else None)
    if name == "elimination":
        return _elimination(trained, records, summary.get("elimination", {}))
    if name == "prediction":
        return _prediction(trained)
    if name == "confusion":
        return _confusion(trained)
    if name == "best_pair":
        return _best_pair(trained, summary)
    if name == "evolution":
        return _evolution(trained, snapshots)
    raise unknown("figure", str(name), FIGURES)


def figures_of(trained: Trained, summary: Mapping[str, Any]) -> list[str]:
    """The figures that a measured run has: by its kind of task and what its probe found."""
    wanted = ["network", "connectivity", "curves", *(["elimination"] if trained.eliminated else [])]
    if trained.task.kind != "classification":
        wanted.append("prediction")
    elif 0 < len(trained.task.classes(trained.config.data)) <= MOST_CLASSES:
        wanted.append("confusion")
    return wanted + (["best_pair"] if summary["best_pair"] else [])


def _network(trained: Trained, summary: Mapping[str, Any]) -> Figure:
    """The network's active weights, neurons in their slots."""
    task = trained.task
    measured = summary or {f"test_{name}": value for name, value in trained.evaluate("test").items()}
    result = f"test loss {measured['test_loss']:.2g}"
    if task.kind == "classification":
        result = f"test accuracy {measured['test_accuracy']:.1%}"
    weights = f"{trained.active_weights:,} of {trained.bimt.wiring.total_weights:,} weights"
    labels, title = task.labels(trained.config.data), _title(trained, f"{result}, {weights}")
    return network_figure(trained.bimt, threshold=trained.threshold, labels=labels, title=title)


def _title(trained: Trained, told: str) -> str:
    config = trained.config
    method = f"{config.method}, eliminated" if trained.eliminated else config.method
    return f"{config.task} · {method} · seed {config.seed}: {told}"


def _evolution(trained: Trained, snapshots: Sequence[Snapshot]) -> Figure:
    """The network at some of its snapshots."""
    frames = [Frame(one.scene(), one.step, one.phase, one.loss) for one in of_a_strip(require_snapshots(snapshots))]
    labels = trained.task.labels(trained.config.data)
    return evolution_figure(frames, title=_title(trained, "evolution"), labels=labels)


def _elimination(trained: Trained, rows: Sequence[Mapping[str, Any]], outcome: Mapping[str, Any]) -> Figure:
    """The path that led from the trained network to this one."""
    config = trained.config
    title = f"{config.task} · {config.method} · seed {config.seed}: elimination"
    return elimination_figure(rows, max_loss=outcome.get("largest_loss"), shown=outcome.get("shown"), title=title)


def _reported(trained: Trained) -> tuple[torch.Tensor, torch.Tensor]:
    """(true, predicted) of the held-out examples, on the CPU."""
    test = trained.held_out
    with torch.no_grad():
        outputs = trained.model(test.inputs).cpu()
    return trained.task.reported(trained.config.data, outputs, test.targets.cpu())


def _prediction(trained: Trained) -> Figure:
    if trained.task.kind == "classification":
        raise InputError(f"{trained.config.task} predicts classes: draw 'confusion'")
    true, predicted = (values.double() for values in _reported(trained))  # whole numbers have no mean in torch
    r2 = float(1 - (true - predicted).square().sum() / (true - true.mean()).square().sum())
    return prediction_figure(true.numpy(), predicted.numpy(), name="y", r2=r2)


def _confusion(trained: Trained) -> Figure:
    task = trained.task
    if task.kind != "classification":
        raise InputError(f"{trained.config.task} predicts numbers: draw 'prediction'")
    classes = task.classes(trained.config.data)
    if not 0 < len(classes) <= MOST_CLASSES:
        raise InputError(f"a matrix of {len(classes):,} classes cannot be read: at most {MOST_CLASSES}")
    true, predicted = _reported(trained)
    return confusion_figure(true.numpy(), predicted.numpy(), classes)


def _best_pair(trained: Trained, summary: Mapping[str, Any]) -> Figure:
    """The two neurons that tell most about the quantity that the task probes first, and how little that may say."""
    wanted, test = usual_probe(trained), trained.held_out
    pair, probe = summary.get("best_pair"), summary.get("probe")
    if not pair or not probe:  # not measured, or by a version that did not count the ties
        result = probed(trained, wanted)
        if result.best_pair is None or not result.pair_above_control:
            raise InputError(
                f"there is no pair to draw: none of {wanted.hook} tells {wanted.target} better than chance"
            )
        pair = [result.best_pair.first, result.best_pair.second]
        summary = {"best_pair_r2": result.best_pair.nonlinear.value}
        probe = told_by(result) or {}
    held = activations(trained.model, wanted.hook, wanted.position, inputs=test.inputs).cpu().numpy()
    others = probe.get("tied_pairs", 1) - 1
    tie = f", as have {others} other pair{'s' * (others > 1)}" if others > 0 else ""
    score = "$R^2$" if probe["score"] == "R2" else "Brier skill"
    told = f"{score} {summary['best_pair_r2']:.4f}{tie}; the inputs alone {probe['inputs_nonlinear']:.4f}"
    return pair_figure(
        held[:, pair[0]],
        held[:, pair[1]],
        test.quantities[wanted.target].cpu().numpy(),
        names=(
            neuron_name(wanted.hook, pair[0], token=wanted.position),
            neuron_name(wanted.hook, pair[1], token=wanted.position),
        ),
        target_name=wanted.target,
        told=told,
    )
