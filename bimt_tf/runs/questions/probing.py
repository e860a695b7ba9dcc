"""Questions after what neurons hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.tasks.base import Probe

if TYPE_CHECKING:
    from bimt_tf.analysis.probe import ProbeResult

__all__ = ["ProbingQuestions"]


class ProbingQuestions(OpenedRun):
    """What neurons hold: read off their activations."""

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
        from bimt_tf.runs.ask import probing, usual

        hook, target = self._probed(hook, target)
        return probing.probed(
            self, Probe(hook, target, usual.position_of(self, hook) if position is None else position)
        )

    def probe_tokens(self, hook: str | None = None, target: str | None = None) -> list[ProbeResult]:
        """:meth:`probe` at every token of a hook, from the first on; one result where activations have no tokens.

        Raises:
            InputError: as :meth:`probe`.
        """
        from bimt_tf.runs.ask import probing, usual

        hook, target = self._probed(hook, target)
        return [probing.probed(self, Probe(hook, target, each)) for each in usual.positions_of(self, hook)]

    def _probed(self, hook: str | None, target: str | None) -> tuple[str, str]:
        """Hook and target of a probe; what is None is the task's own first probe's."""
        from bimt_tf.runs.ask.usual import usual_probe

        return (
            hook if hook is not None else usual_probe(self).hook,
            target if target is not None else usual_probe(self).target,
        )
