"""Questions after what a network computes, in letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from bimt_tf.analysis.formula_result import Formula

__all__ = ["FormulaQuestions"]


class FormulaQuestions(OpenedRun):
    """What the network computes, in letters."""

    def formula(
        self,
        position: int | None = None,
        *,
        r2: float | None = None,
        max_error: float | None = None,
        stages: bool = False,
    ) -> Formula:
        """The formula of a network with few weights, in the task's names, with the held-out error of every step.

        Args:
            position: token that a transformer is read at, from the end if negative; the one whose loss is reported
                unless given.
            r2: budget: R2 of each output against the network's, at least; .9999 unless a budget is given.
            max_error: budget: the greatest error of any output on any held-out example, at most.
            stages: keep every neuron's name: the residual stream, queries, keys and values among them.

        Raises:
            InputError: for two budgets, a position that is not there, a model that reads tokens, or a network of more
                than 500 weights and biases that do something.
        """
        from bimt_tf.runs.ask.formulas import read_formula

        return read_formula(self, position, r2=r2, max_error=max_error, stages=stages)
