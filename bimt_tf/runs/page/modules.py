"""For the page: modules and what each does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.kept import command, of_this_network, readable
from bimt_tf.runs.page.sample import held_out_of
from bimt_tf.scene.scene import Scene, scene_of

__all__ = ["modules_part"]

MOST_WEIGHTS = 1_500
"""Weights of a network whose modules are found for the page where no answer is kept: a second or so."""
EXAMPLES = 300
RANDOM_SETS = 5
USUAL = {"residual": "shared", "method": "greedy", "resolution": 1.0, "outputs": True}


def modules_part(run: OpenedRun) -> dict[str, Any] | None:
    """The modules, kept or found now; where finding them would take long, the command that does.

    Keys: ``found``, ``effects``, ``against`` as ``ModuleReport.as_dict`` has them (None where there are none);
    ``modules``: of each, a name that no other has, and its nodes; ``members``: "row:neuron" -> its place among them;
    ``made``: where this comes from; ``command``.
    """
    scene = scene_of(run.bimt, run.threshold)
    kept = of_this_network(run, "modules")
    usual = [one for one in kept if USUAL.items() <= one["asked"].items()]
    told = readable((usual or kept)[:1], lambda one: {**_told(one["result"], scene), "asked": one["asked"]})
    made = "kept in modules.json"
    if not told and (result := _found_now(run)) is not None:
        told, made = [{**_told(result, scene), "asked": {}}], "found for this page, without chance levels"
    if not told:
        nothing: dict[str, Any] = {"found": None, "effects": None, "against": None, "modules": [], "members": {}}
        return {**nothing, "made": "", "command": command("modules", {}, run)}
    asked = told[0].pop("asked")
    return {**told[0], "made": made, "command": command("modules", asked, run)}


def _told(result: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """What the page tells of an answer."""
    modules = result["found"]["modules"]
    named = [{"name": f"module {one['number']}", "nodes": one["nodes"]} for one in modules]
    parts = {name: result.get(name) for name in ("found", "effects", "against")}
    return {**parts, "modules": named, "members": _members(modules, scene)}


def _found_now(run: OpenedRun) -> dict[str, Any] | None:
    """As ``run.modules`` finds them, on fewer examples and beside fewer random sets; without what draws networks."""
    from bimt_tf.analysis.module_effects import module_effects
    from bimt_tf.analysis.modules import find_modules
    from bimt_tf.runs.ask.modules import graph_of, targets_of

    if not 0 < run.nonzero_weights <= MOST_WEIGHTS:
        return None
    graph = graph_of(run)
    try:
        found = find_modules(graph, labels=run.task.labels(run.config.data))
    except InputError:  # no weight above the threshold
        return None
    if not found.modules:
        return None
    told: dict[str, Any] = {"found": found.as_dict(), "effects": None}
    if (data := held_out_of(run)) is None:
        return told
    try:
        inputs, targets = data.inputs[:EXAMPLES], data.targets[:EXAMPLES]
        measured = targets_of(run, targets)
        effects = module_effects(run.model, run.bimt.wiring, graph, found, inputs, measured, controls=RANDOM_SETS)
    except InputError:  # no hooks, no neuron between input and output, a loss that is not known any more
        return told
    return {**told, "effects": effects.as_dict()}


def _members(modules: list[Mapping[str, Any]], scene: Scene) -> dict[str, int]:
    """Neuron by row -> its module: every row of a node's population, or of its stage."""
    rows: dict[str, list[str]] = {}
    for row in scene.rows:
        for name in {row.stage, row.population}:
            rows.setdefault(name, []).append(row.name)
    return {
        f"{row}:{neuron}": number
        for number, module in enumerate(modules)
        for where, neuron in module["nodes"]
        for row in rows.get(where, [])
    }
