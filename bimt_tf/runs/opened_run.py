"""OpenedRun: a run as it lies on disk. It never changes what is on disk."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from torch import nn

from bimt_tf.bimt import BIMT
from bimt_tf.config.settings import Config
from bimt_tf.errors import InputError
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.runs.elimination_files import rows_of
from bimt_tf.runs.evolution import Snapshot, snapshots_of
from bimt_tf.runs.point_summary import summary_at
from bimt_tf.runs.state import RunState
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Data, Split, Task

if TYPE_CHECKING:
    from bimt_tf.training.eliminate import Elimination

__all__ = ["OpenedRun", "Readable"]

T = TypeVar("T")


class Readable(NamedTuple):
    """``metrics`` and ``snapshots`` of a run without what is ``damaged``, which lists it, a line each."""

    metrics: list[dict[str, Any]]
    snapshots: list[Snapshot]
    damaged: list[str]


class OpenedRun(Trained):
    """A run that :func:`bimt_tf.load_run` opened; one that was interrupted has its last checkpoint's weights.

    Attributes:
        path: its directory.
        state: "finished", "interrupted at step N of M", "no checkpoint yet", "trained, its elimination has not ended",
            or "trained, not measured yet".
        step: the step that the weights are of.
        round_number: the round of its elimination that the weights are of, a place in :attr:`elimination`; None for
            the network as it was trained.
        outcome: what ``eliminate`` did, of a run that it gave; None for a run as it lies on disk.
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
        held_out: Split | Data | None = None,
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
    def snapshots(self) -> list[Snapshot]:
        """The network on its way, first to last: as it was trained, then points of its elimination up to this one.

        Each has ``step``, ``phase`` and ``loss``, and gives ``.model()``, ``.bimt()`` and ``.scene()``
        (docs/evolution.md). A run that kept none (``training.snapshots: false``, an earlier version, more than a
        million parameters) has points of its elimination alone.

        Raises:
            InputError: if a file is damaged.
        """
        return [] if self.outcome is not None else snapshots_of(self._directory, self, self.round_number)

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

    @cached_property
    def readable(self) -> Readable:
        """What of :attr:`metrics` and :attr:`snapshots` can be read, and a line for each part that is damaged.

        For what shows them beside other things, as the page does.
        """
        damaged: list[str] = []

        def sound(read: Callable[[], list[T]]) -> list[T]:
            try:
                return read()
            except InputError as error:
                damaged.append(str(error))
                return []

        snapshots = (
            []
            if self.outcome is not None
            else sound(lambda: snapshots_of(self._directory, self, self.round_number, damaged))
        )
        return Readable(sound(lambda: self._directory.records(damaged)), snapshots, damaged)

    def __repr__(self) -> str:
        told = ", ".join(f"{name} {value}".strip() for name, value in self.told())
        return f"{type(self).__name__}({str(self.path)!r}: {told})"

    def _repr_html_(self) -> str:
        rows = [("run", str(self.path)), *self.told()]
        cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows)
        return f"<table>{''.join(cells)}</table>"

    def told(self) -> list[tuple[str, str]]:
        """What a reader wants to know first, as (name, value)."""
        summary, config = self.summary, self.config
        told = [
            ("task", config.task),
            ("method", config.method),
            ("seed", str(config.seed)),
            ("steps", f"{config.training.steps:,}"),
            ("state", self.state),
        ]
        loss = summary.get("test_loss")
        if loss is None and not self.eliminated and self.metrics:
            loss = self.metrics[-1].get("test_loss")
        if isinstance(loss, (int, float)):
            told.append(("test loss", f"{loss:.3g}"))
        active = summary.get("active_weights", self.active_weights)
        told.append(("active weights", f"{active:,}" if active else "0: no path leads from an input to an output"))
        if isinstance(q := summary.get("modularity_shared"), float):
            told.append(("modularity Q", f"{q:.3f}"))
        return told
