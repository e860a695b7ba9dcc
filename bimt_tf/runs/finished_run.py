"""FinishedRun: a run as it lies on disk, to look at, ask, draw and export. It never changes what is on disk."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import Config, EliminationConfig
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.elimination_files import rows_of
from bimt_tf.runs.point_summary import summary_at
from bimt_tf.runs.state import RunState
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Data, Probe, Task

if TYPE_CHECKING:
    import networkx as nx
    from matplotlib.figure import Figure

    from bimt_tf.analysis.ablate import NeuronAblation
    from bimt_tf.analysis.graph import Residual
    from bimt_tf.analysis.probe import ProbeResult
    from bimt_tf.analysis.prune import PrunePoint
    from bimt_tf.training.eliminate import Elimination

__all__ = ["FinishedRun"]


class FinishedRun(Trained):
    """A run that :func:`bimt_tf.load_run` opened; one that was interrupted has its last checkpoint's weights.

    Attributes:
        path: its directory.
        state: "finished", "interrupted at step N of M", "no checkpoint yet", "trained, its elimination has not ended",
            or "trained, not measured yet".
        step: the step that the weights are of.
        round_number: the round of its elimination that the weights are of, a place in :attr:`elimination`; None for
            the network as it was trained.
        outcome: what :meth:`eliminate` did, of a run that it gave; None for a run as it lies on disk.
        config, task, model, bimt: what was trained, and how; the model is in evaluation mode on the wanted device.
    """

    def __init__(
        self,
        directory: RunDirectory,
        state: RunState,
        config: Config,
        model: nn.Module,
        bimt: BIMT,
        *,
        held_out: Data | None = None,
        task: Task | None = None,
        round_number: int | None = None,
        outcome: Elimination | None = None,
    ) -> None:
        eliminated = round_number is not None or outcome is not None
        super().__init__(config, model, bimt, data=held_out, task=task, eliminated=eliminated)
        self.round_number, self.outcome = round_number, outcome
        self.path: Path = directory.path
        self.state: str = state.text
        self.step: int = state.step
        self._directory = directory

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The numbers of summary.json (docs/run-directory.md); empty for a run that has not been measured.

        Of a point of the elimination other than its end, or of the network as it was trained, those numbers that are
        known of it.

        Raises:
            InputError: if the file is damaged.
        """
        return {} if self.outcome is not None else summary_at(self._directory, self.round_number)

    @cached_property
    def elimination(self) -> list[dict[str, Any]]:
        """The points of the run's elimination, one dict each, the trained network first; [] where there is none.

        Keys: what, weights, biases, neurons, loss (of the examples that are fitted), validation_loss, severed, seconds;
        on disk also round, standing, test_loss (and what else the task measures), modularity_shared, wiring_length.

        Raises:
            InputError: if the file is damaged.
        """
        if self.outcome is None:
            return self._directory.elimination.rows()
        return rows_of(self.outcome.path)

    @cached_property
    def probes(self) -> list[dict[str, Any]]:
        """The tables of the task's own probes, one a probe, as ``ProbeResult.as_dict`` gives them.

        Raises:
            InputError: if the file is damaged.
        """
        return self._directory.probes

    @cached_property
    def metrics(self) -> list[dict[str, Any]]:
        """One dict a logged step: step, loss, test_loss, cost, lam, lr, active.

        Raises:
            InputError: if the file is damaged.
        """
        return self._directory.records()

    def probe(self, hook: str | None = None, position: int | None = None, target: str | None = None) -> ProbeResult:
        """Which neurons of a hook hold a quantity of the task (paper, Section 3.4), on the held-out examples.

        Args:
            hook: where to look; where the task's own first probe looks unless given.
            position: token, from the end if negative; unless given, that of the task's own first probe where ``hook``
                is that probe's, and none at a hook whose activations have no tokens.
            target: the quantity, a name of ``examples().quantities``; the task's own first probe's unless given.

        Raises:
            InputError: for names that are unknown (the near ones are listed), a task without a probe of its own where
                hook or target is left out, or another hook with tokens where position is (its tokens are listed).
        """
        from bimt_tf.runs import ask

        hook, target = self._probed(hook, target)
        return ask.probed(self, Probe(hook, target, ask.position_of(self, hook) if position is None else position))

    def probe_tokens(self, hook: str | None = None, target: str | None = None) -> list[ProbeResult]:
        """:meth:`probe` at every token of a hook, from the first on; one result where activations have no tokens.

        Raises:
            InputError: as :meth:`probe`.
        """
        from bimt_tf.runs import ask

        hook, target = self._probed(hook, target)
        return [ask.probed(self, Probe(hook, target, each)) for each in ask.positions_of(self, hook)]

    def _probed(self, hook: str | None, target: str | None) -> tuple[str, str]:
        """Hook and target of a probe; what is None is the task's own first probe's."""
        from bimt_tf.runs.ask import usual_probe

        return (
            hook if hook is not None else usual_probe(self).hook,
            target if target is not None else usual_probe(self).target,
        )

    def ablate(self, hook: str | None = None, neurons: Sequence[int] = ()) -> list[NeuronAblation]:
        """How the held-out loss rises when neurons are set to their mean: each in turn, greatest rise first.

        Args:
            hook: where; where the task's own first probe looks unless given.
            neurons: all of these at once instead, as one entry under the first's number.

        Raises:
            InputError: for an unknown hook or neuron.
        """
        from bimt_tf.runs import ask

        return ask.ablated(self, hook if hook is not None else ask.usual_probe(self).hook, neurons)

    def eliminate(
        self,
        *,
        max_loss: float | None = None,
        loss_factor: float | None = None,
        weights: int | None = None,
        neurons: int | None = None,
        whole_neurons: Literal["no", "first", "last"] = "no",
        stay_near: bool = False,
        fit_examples: int = 2_000,
    ) -> FinishedRun:
        """What an elimination makes of this network (docs/elimination.md), in memory: this run stays as it is.

        What comes back has the new network, which is not measured; ``outcome`` tells how it came about.

        Args:
            max_loss: budget: the training loss that may not be passed.
            loss_factor: budget: the same, as a multiple of the present one; 1.05 if no budget is given.
            weights: budget: down to so many active weights, whatever the loss.
            neurons: budget: down to so many hidden neurons, whatever the loss.
            whole_neurons: take out whole neurons too, "first" or "last".
            stay_near: keep weights near what training left; Q stays, fewer weights go.
            fit_examples: training examples that are fitted, at most.

        Raises:
            InputError: for two budgets, a value that cannot be, or a network that has no curvature to compute.
        """
        from bimt_tf.runs.eliminate import copied, eliminate_in_memory

        settings = EliminationConfig(max_loss, loss_factor, weights, neurons, whole_neurons, stay_near, fit_examples)
        found = copied(self)
        outcome, shown = eliminate_in_memory(found, settings)
        state = RunState("eliminated in memory", self.step)
        held_out, task = self._data if isinstance(self._data, Data) else None, self.task
        return FinishedRun(
            self._directory, state, self.config, found.model, found.bimt, held_out=held_out, task=task,
            round_number=shown, outcome=outcome,
        )  # fmt: skip

    def prune(self) -> list[PrunePoint]:
        """Weights left against held-out loss as small weights are cut (paper, Figure A1); the weights stay."""
        from bimt_tf.runs import ask

        return ask.pruned(self)

    def graph(self, residual: Residual = "shared") -> nx.Graph:
        """The connection graph: a node a neuron, an edge a nonzero weight.

        Args:
            residual: the residual stream as one set of nodes ("shared"), or one a depth ("unrolled").
        """
        from bimt_tf.analysis.graph import connection_graph

        return connection_graph(self.bimt, residual=residual)

    def modularity(self, residual: Residual = "shared") -> float:
        """Newman's modularity Q of :meth:`graph`."""
        from bimt_tf.analysis.modularity import modularity

        return modularity(self.graph(residual))

    def figure(
        self, name: Literal["network", "curves", "elimination", "prediction", "confusion", "best_pair"]
    ) -> Figure:
        """One of the run's figures, as a Matplotlib Figure; not shown, not saved.

        Raises:
            InputError: for another name, or a figure that this run does not have (the reason is said).
        """
        from bimt_tf.runs.draw import draw

        records = self.metrics if name == "curves" else self.elimination if name == "elimination" else ()
        return draw(self, name, records=records, summary=self.summary)

    def export(self, path: str | Path, form: str = "graphml", residual: Residual = "shared") -> None:
        """Write the connection graph for other tools.

        Args:
            path: the file; a plain file there is replaced.
            form: "graphml", "gexf" or "json" (NetworkX's node-link data).
            residual: as :meth:`graph`.

        Raises:
            InputError: for another format, or a path that cannot be written.
        """
        from bimt_tf.runs import ask

        ask.export(self, Path(path), form, residual)

    def __repr__(self) -> str:
        return (
            f"FinishedRun({str(self.path)!r}: {', '.join(f'{name} {value}'.strip() for name, value in self._told())})"
        )

    def _repr_html_(self) -> str:
        rows = [("run", str(self.path)), *self._told()]
        cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
        return f"<table>{''.join(cells)}</table>"

    def _told(self) -> list[tuple[str, str]]:
        """What a reader wants to know first, as (name, value)."""
        summary, config = self.summary, self.config
        told = [
            ("task", config.task),
            ("method", config.method),
            ("seed", str(config.seed)),
            ("steps", f"{config.training.steps:,}"),
            ("state", self.state),
        ]
        logged = self.metrics[-1] if self.metrics and not self.eliminated else {}
        loss = summary.get("test_loss", logged.get("test_loss"))
        if isinstance(loss, (int, float)):
            told.append(("test loss", f"{loss:.3g}"))
        told.append(("active weights", f"{summary.get('active_weights', self.active_weights):,}"))
        if isinstance(q := summary.get("modularity_shared"), float):
            told.append(("Q", f"{q:.3f}"))
        return told
