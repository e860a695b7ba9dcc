"""FinishedRun: a run as it lies on disk, to look at, ask, draw and export. It never changes what is on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from bimt_tf.config.settings import EliminationConfig
from bimt_tf.runs.questions.causes import CausalQuestions
from bimt_tf.runs.questions.circuits import CircuitQuestions
from bimt_tf.runs.questions.formulas import FormulaQuestions
from bimt_tf.runs.questions.groups import GroupQuestions
from bimt_tf.runs.questions.modules import ModuleQuestions
from bimt_tf.runs.questions.pages import PageQuestions
from bimt_tf.runs.questions.probing import ProbingQuestions
from bimt_tf.runs.state import RunState
from bimt_tf.tasks.base import Data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FinishedRun"]


class FinishedRun(
    ProbingQuestions,
    CausalQuestions,
    CircuitQuestions,
    ModuleQuestions,
    FormulaQuestions,
    GroupQuestions,
    PageQuestions,
):
    """A run that :func:`bimt_tf.load_run` opened; what it is stands in :class:`~bimt_tf.runs.opened_run.OpenedRun`."""

    def eliminate(
        self,
        *,
        max_loss: float | None = None,
        loss_factor: float | None = None,
        weights: int | None = None,
        neurons: int | None = None,
        whole_neurons: Literal["no", "first", "last"] = "no",
        stay_near: bool = False,
        short_wires: bool = False,
        press: bool = False,
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
            short_wires: keep biases, and spend most of the budget on short wires at the end; Q is higher.
            press: by a penalty in the place of curvature: for cross entropy near zero loss.
            fit_examples: training examples that are fitted, at most.

        Raises:
            InputError: for two budgets, a value that cannot be, or a network that has no curvature to compute.
        """
        from bimt_tf.runs.eliminate import copied, eliminate_in_memory

        settings = EliminationConfig(
            max_loss, loss_factor, weights, neurons, whole_neurons, stay_near, short_wires, press, fit_examples
        )
        found = copied(self)
        outcome, shown = eliminate_in_memory(found, settings)
        state = RunState("eliminated in memory", self.step)
        held_out, task = self._data if isinstance(self._data, Data) else None, self.task
        return FinishedRun(
            self._directory, state, self.config, found.model, found.bimt, held_out=held_out, task=task,
            round_number=shown, outcome=outcome,
        )  # fmt: skip

    def figure(
        self,
        name: Literal[
            "network", "connectivity", "curves", "elimination", "prediction", "confusion", "best_pair", "evolution"
        ],
    ) -> Figure:
        """One of the run's figures, as a Matplotlib Figure; not shown, not saved.

        Raises:
            InputError: for another name, or a figure that this run does not have (the reason is said).
        """
        from bimt_tf.runs.draw import draw

        records = self.metrics if name == "curves" else self.elimination if name == "elimination" else ()
        snapshots = self.snapshots if name == "evolution" else ()
        return draw(self, name, records=records, summary=self.summary, snapshots=snapshots)
