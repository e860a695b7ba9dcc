"""For the page: effects of knock-outs of neurons and wires, and the answers that were kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bimt_tf.analysis.edge_effects import EdgeEffects, edge_effects
from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.runs.kept_effects import kept_effects
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.kept import command, kept_answers, readable
from bimt_tf.runs.page.knock_outs import KnockOuts, seconds_of
from bimt_tf.runs.page.neuron_values import hooks_of_rows
from bimt_tf.runs.page.sample import held_out_of
from bimt_tf.scene.rows import WRITTEN
from bimt_tf.scene.scene import Scene, scene_of
from bimt_tf.tasks.base import Data

__all__ = ["causes_part"]

SECONDS = 2.0
"""Of this thread's time that knock-outs of neurons, and of wires, may take each; told from one run of the model."""
MOST_WIRES = 1_000
WIRE_EXAMPLES = 500
"""Held-out examples on which wires are knocked out, at most."""


def causes_part(run: OpenedRun) -> dict[str, Any]:
    """Knock-outs of neurons and of wires, one at a time, and the kept answers of interventions.

    Keys: ``neurons``: row name -> neurons and effects; ``neuron_examples``; ``wires``: parameter, source and target
    ("row:neuron"), copy, weight, effect, greatest first; ``wire_examples``, ``before``; ``why``: what is not there, and
    which command finds it; ``answers``: question, command, lines.
    """
    why: list[str] = []
    neurons, examples = _neurons(run, why)
    found = _edges(run)
    if found is None and held_out_of(run) is not None:
        why.append(f"wires were not knocked out, which would take long: {command('edges', {}, run)}")
    return {
        "neurons": neurons, "neuron_examples": examples,
        "wires": [] if found is None else _wires(run, found),
        "wire_examples": 0 if found is None else found.examples, "before": None if found is None else found.before,
        "why": why, "answers": kept_answers(run, "interventions"),
    }  # fmt: skip


def _edges(run: OpenedRun) -> EdgeEffects | None:
    """Wires knocked out, exactly, on the first WIRE_EXAMPLES held-out examples.

    None where there are more than MOST_WIRES active weights, no examples, or it would take longer than SECONDS.
    """
    data = held_out_of(run)
    count = run.active_weights
    if data is None or not 0 < count <= MOST_WIRES:
        return None
    inputs, loss = data.inputs[:WIRE_EXAMPLES], _loss(run, data, WIRE_EXAMPLES)
    try:
        if count * seconds_of(run.model, inputs, loss) > SECONDS:
            return None
        return edge_effects(run.bimt, inputs, loss, threshold=run.threshold)
    except InputError:  # a loss of the user's that is not finite, or not known any more
        return None


def _loss(run: OpenedRun, data: Data, n: int | None = None) -> Callable[[Any], float]:
    targets = data.targets[:n]
    return lambda outputs: run.task.metrics(run.config.data, outputs, targets)["loss"]


def _neurons(run: OpenedRun, why: list[str]) -> tuple[dict[str, dict[str, Any]], int]:
    """The effect of every active neuron by row, as ``run.ablate`` has it, and on how many examples."""
    scene, data = scene_of(run.bimt, run.threshold), held_out_of(run)
    hooks = hooks_of_rows(run.model, run.bimt, scene.rows)
    active = {
        row.name: on_path.nonzero()[0].tolist()
        for row, on_path in zip(scene.rows, scene.on_paths, strict=True)
        if row.name in hooks
    }
    count = sum(map(len, active.values()))
    if data is None or not count:
        reason = "no examples are at hand" if data is None else "no hook of the model shows its neurons"
        why.append(f"no neuron was knocked out: {reason}")
        return {}, 0
    try:
        knock_outs = KnockOuts(run.bimt, data.inputs, _loss(run, data), hooks)
        if count * knock_outs.seconds <= SECONDS:
            found: dict[str, dict[str, Any]] = {
                row.name: {"neurons": active[row.name], "effects": knock_outs.of(row, active[row.name])}
                for row in scene.rows
                if active.get(row.name)
            }
            return found, len(data.inputs)
    except InputError as error:
        why.append(f"no neuron was knocked out: {error}")
        return {}, 0
    return _kept(run, scene, active, why)


def _kept(
    run: OpenedRun, scene: Scene, active: dict[str, list[int]], why: list[str]
) -> tuple[dict[str, dict[str, Any]], int]:
    """The effects that an export kept; values are there as what their head writes."""
    twice = {row.stage for row in scene.rows if row.written}

    def told(kept: Mapping[str, list[float]]) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for row in scene.rows:
            as_read = row.stage in twice and not row.written
            if row.stage in kept and not as_read and active.get(row.name):
                neurons = active[row.name]
                found[row.name] = {"neurons": neurons, "effects": [plain(float(kept[row.stage][i])) for i in neurons]}
        return found

    try:
        kept = kept_effects(run)
    except InputError:  # a damaged file
        kept = None
    if kept is not None and (found := readable([kept], told)):
        from bimt_tf.runs.ask.circuits import EXAMPLES

        return found[0], EXAMPLES
    why.append(f"neurons were not knocked out, which would take long: {command('ablate', {}, run)}")
    return {}, 0


def _wires(run: OpenedRun, found: EdgeEffects) -> list[dict[str, Any]]:
    """The wires by their scene's rows, greatest effect first."""
    names = {row.name for row in scene_of(run.bimt, run.threshold).rows}

    def end(stage: str, neuron: int, copy: int, reads: bool) -> str:
        for name in (f"{stage}[{copy}]", *([f"{stage}{WRITTEN}"] if reads else []), stage):
            if name in names:
                return f"{name}:{neuron}"
        return f"{stage}:{neuron}"

    return [
        {
            "parameter": edge.parameter, "place": list(edge.place), "source": end(*edge.source, edge.copy, True),
            "target": end(*edge.target, 0, False), "weight": edge.weight, "effect": edge.knock_out,
        }
        for edge in found.edges
    ]  # fmt: skip
