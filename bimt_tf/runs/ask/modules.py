"""The modules of a trained network: found, against chance and other runs, and what each one does and holds."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import networkx as nx
from torch import Tensor

from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.analysis.graph import Residual, connection_graph
from bimt_tf.analysis.matched import MatchedComparison, Other, compare_matched
from bimt_tf.analysis.modularity import Method, communities, quality
from bimt_tf.analysis.module_effects import (
    Combination,
    ModuleEffects,
    Targets,
    module_combinations,
    module_effects,
)  # fmt: skip
from bimt_tf.analysis.module_names import OUTPUT
from bimt_tf.analysis.module_probe import ModuleReadouts, module_readouts
from bimt_tf.analysis.module_votes import Votes, module_votes
from bimt_tf.analysis.modules import Modules, find_modules, stability
from bimt_tf.analysis.null_models import NULLS, compare_with_null
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.progress import Progress
from bimt_tf.errors import InputError, require_whole
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.trained import Trained

__all__ = [
    "EXAMPLES",
    "ModuleReport",
    "asked_modules",
    "graph_of",
    "other_of",
    "targets_of",
]

EXAMPLES = 500
"""Held-out examples on which modules are measured, at most."""


class ModuleReport(NamedTuple):
    """The modules of a network, and what is known of them.

    ``combinations``, ``votes``: of classifiers alone. ``read_outs``: where the examples have named quantities. What was
    not asked for, or does not apply, is None or ().
    """

    found: Modules
    effects: ModuleEffects
    combinations: tuple[Combination, ...]
    votes: Votes | None
    read_outs: ModuleReadouts | None
    against: MatchedComparison | None

    def as_dict(self) -> dict[str, Any]:
        """The result as dicts, lists and numbers, ready for JSON."""
        return {name: plain(entry) for name, entry in self._asdict().items()}

    def __repr__(self) -> str:
        """One line."""
        nulls = "; ".join(f"{one.null} {'no z' if one.z is None else f'z {one.z:.1f}'}" for one in self.found.nulls)
        return f"ModuleReport({self.found}; {nulls or 'no null models'})"

    def _repr_html_(self) -> str:
        said = [repr(one) for one in (*self.found.nulls, self.against, self.effects, self.votes) if one is not None]
        return self.found._repr_html_() + "".join(f"<p>{html.escape(one)}</p>" for one in said)


def asked_modules(
    trained: Trained,
    *,
    residual: Residual = "shared",
    method: Method = "greedy",
    resolution: float = 1.0,
    outputs: bool = True,
    draws: int = 200,
    restarts: int = 100,
    against: Sequence[OpenedRun] = (),
    n: int = EXAMPLES,
    seed: int = 0,
    progress: Progress | None = None,
) -> ModuleReport:
    """The modules of a network, on its held-out examples.

    Args:
        trained: the network.
        residual: the residual stream as one set of neurons ("shared") or one a depth ("unrolled").
        method, resolution: as :func:`bimt_tf.analysis.modularity.communities`.
        outputs: whether outputs are among the neurons that are sorted into modules; the paper's modules of modular
            addition, each of which votes for all outputs, have none.
        draws: networks drawn from each null model; 0 for none.
        restarts: of Louvain, for stability.
        against: other runs, opened where they have about as many weights (matched_runs.py).
        n: held-out examples, at most.
        seed: of draws, restarts and random sets.
        progress: told (done, of) behind every draw and every module.

    Raises:
        InputError: for a network without weights or hidden neurons, or a value that cannot be.
    """
    require_whole("draws", draws, at_least=0)
    require_whole("examples", n)
    _require_hooks(trained)
    graph = graph_of(trained, residual, outputs)
    chosen: dict[str, Any] = {"method": method, "resolution": resolution, "seed": seed}
    found = find_modules(graph, labels=trained.task.labels(trained.config.data), **chosen)
    if not found.modules:
        raise InputError("the network has no modules: no two of its neurons are joined by a weight")
    told = _told(progress, draws * len(NULLS) + len(found.modules))
    nulls = [compare_with_null(graph, null, draws, progress=told, **chosen) for null in NULLS] if draws else []
    found = found._replace(stability=stability(graph, restarts=restarts, **chosen), nulls=tuple(nulls))
    others = [other_of(run, residual, outputs, **chosen) for run in against]
    examples = trained.examples(n=min(n, len(trained.held_out.inputs)))
    model, wiring = trained.model, trained.bimt.wiring
    targets = targets_of(trained, examples.targets)
    asked = (model, wiring, graph, found, examples.inputs)
    classifier = trained.task.kind == "classification" and _are_classes(trained, examples.targets)
    return ModuleReport(
        found,
        module_effects(*asked, targets, seed=seed, progress=told),
        module_combinations(*asked, targets) if classifier else (),
        module_votes(*asked, examples.targets) if classifier else None,
        module_readouts(*asked, examples.quantities, seed=seed) if examples.quantities else None,
        compare_matched(found.q, found.weights, others) if others else None,
    )


def _require_hooks(trained: Trained) -> None:
    if not stage_hooks(trained.model, trained.bimt.wiring):
        raise InputError(
            f"a {type(trained.model).__name__} has no hooks, through which its modules are knocked out; find_modules "
            "of bimt_tf.analysis.modules lists those of run.graph()"
        )


def _told(progress: Progress | None, of: int) -> Progress | None:
    """The progress of several parts as that of the whole, which has ``of`` steps."""
    if progress is None:
        return None
    done = count(1)
    return lambda *_: progress(next(done), of)


def graph_of(trained: Trained, residual: Residual = "shared", outputs: bool = True) -> nx.Graph:
    """The connection graph of the weights that count, those above the active threshold; with outputs or without."""
    graph = connection_graph(trained.bimt, residual, trained.threshold)
    if not outputs:
        graph.remove_nodes_from([node for node, data in graph.nodes(data=True) if data["population"] == OUTPUT])
    return graph


def other_of(
    run: OpenedRun,
    residual: Residual = "shared",
    outputs: bool = True,
    method: Method = "greedy",
    resolution: float = 1.0,
    seed: int = 0,
) -> Other:
    """A run as what a network is compared with."""
    graph = graph_of(run, residual, outputs)
    label = str(run.path) if run.round_number is None else f"{run.path} at {run.active_weights}"
    q = quality(graph, communities(graph, method, resolution, seed), resolution)
    return Other(label, graph.number_of_edges(), q, run.evaluate()["loss"])


def targets_of(trained: Trained, targets: Tensor) -> Targets:
    """The task's metrics, and the loss of each output where several numbers are predicted."""
    options, task = trained.config.data, trained.task

    def metric(name: str, outputs: Any) -> float:
        return task.metrics(options, outputs.detach(), targets)[name]

    def squared(output: int, outputs: Any) -> float:
        return float(((outputs - targets)[:, output].detach() ** 2).mean())

    probe = trained.model(trained.held_out.inputs[: len(targets)]).detach()
    found: dict[str, Callable[[Any], float]] = {
        name: partial(metric, name) for name in task.metrics(options, probe, targets)
    }
    names = task.labels(options).get("output", [])
    if task.kind == "regression" and targets.ndim == 2 and targets.shape == probe.shape and targets.shape[1] > 1:
        for i in range(targets.shape[1]):
            found[f"loss of {names[i] if i < len(names) else f'output {i}'}"] = partial(squared, i)
    return found


def _are_classes(trained: Trained, targets: Tensor) -> bool:
    """Whether targets are one class an example, and outputs logits of these."""
    output = trained.model(trained.held_out.inputs[:1])
    return targets.ndim == 1 and not targets.is_floating_point() and isinstance(output, Tensor) and output.ndim == 2
