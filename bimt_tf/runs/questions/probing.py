"""Questions after what neurons hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.tasks.base import Probe

if TYPE_CHECKING:
    from torch import nn

    from bimt_tf.analysis.probe_map import ProbeMap
    from bimt_tf.analysis.probe_results import ProbeResult
    from bimt_tf.analysis.probe_values import Kind
    from bimt_tf.analysis.progress import Progress

__all__ = ["ProbingQuestions"]


class ProbingQuestions(OpenedRun):
    """What neurons hold: read off their activations."""

    def probe(
        self,
        hook: str | None = None,
        position: int | None = None,
        target: str | None = None,
        *,
        values: Any = None,
        kind: Kind | None = None,
        untrained: nn.Module | None = None,
    ) -> ProbeResult:
        """Which neurons of a hook hold a quantity of the task (paper, Section 3.4), on the held-out examples.

        Args:
            hook: where to look; where the task's own first probe looks unless given.
            position: token, from the end if negative; unless given, that of the task's own first probe where ``hook``
                is that probe's, and none at a hook whose activations have no tokens.
            target: the quantity, a name of ``examples().quantities``; the task's own first probe's unless given.
            values: one number or class for each held-out example, instead of a quantity; ``target`` then names them.
            kind: what the target is, "numbers" or "classes"; a few different whole numbers are classes unless it is
                given.
            untrained: a network to compare with; one that the task builds anew unless given.

        Raises:
            InputError: for names that are unknown (the near ones are listed), a task without a probe of its own where
                hook or target is left out, or another hook with tokens where position is (its tokens are listed).
        """
        from bimt_tf.runs.ask import probing, usual

        hook, target = self._probed(hook, target, values)
        wanted = Probe(hook, target, usual.position_of(self, hook) if position is None else position)
        return probing.probed(self, wanted, values=values, kind=kind, untrained=untrained)

    def probe_tokens(
        self,
        hook: str | None = None,
        target: str | None = None,
        *,
        values: Any = None,
        kind: Kind | None = None,
        progress: Progress | None = None,
    ) -> list[ProbeResult]:
        """:meth:`probe` at every token of a hook, from the first on; one result where activations have no tokens.

        ``progress`` is told (done, of) behind every token.

        Raises:
            InputError: as :meth:`probe`.
        """
        from bimt_tf.runs.ask import probing, usual

        hook, target = self._probed(hook, target, values)
        tokens, found = usual.positions_of(self, hook), []
        for done, each in enumerate(tokens, start=1):
            found.append(probing.probed(self, Probe(hook, target, each), values=values, kind=kind))
            if progress is not None:
                progress(done, len(tokens))
        return found

    def probe_map(
        self,
        target: str | None = None,
        *,
        values: Any = None,
        hooks: Sequence[str] | None = None,
        kind: Kind | None = None,
        regressor: Literal["linear", "nonlinear"] = "linear",
        untrained: nn.Module | None = None,
        progress: Progress | None = None,
    ) -> ProbeMap:
        """Where a quantity can be read: every hook, token and head, with the gains over inputs and the stage before.

        ``bimt_tf.probe_map_figure`` draws it.

        Args:
            target: the quantity; the task's own first probe's unless given.
            values: one number or class for each held-out example, instead of a quantity; ``target`` then names them.
            hooks: which hooks; all that hold neurons unless given.
            kind: as :meth:`probe`.
            regressor: "linear", or "nonlinear", which takes minutes where hooks have hundreds of neurons.
            untrained: as :meth:`probe`.
            progress: told (done, of) behind every place.

        Raises:
            InputError: as :meth:`probe`.
        """
        from bimt_tf.runs.ask import probing, usual

        if target is None:
            target = probing.VALUES if values is not None else usual.usual_probe(self).target
        return probing.mapped(
            self, target, values=values, hooks=hooks, kind=kind, regressor=regressor, untrained=untrained,
            progress=progress,
        )  # fmt: skip

    def _probed(self, hook: str | None, target: str | None, values: Any) -> tuple[str, str]:
        """Hook and target of a probe; what is None is the task's own first probe's."""
        from bimt_tf.runs.ask.probing import VALUES
        from bimt_tf.runs.ask.usual import usual_probe

        if target is None:
            target = VALUES if values is not None else usual_probe(self).target
        return hook if hook is not None else usual_probe(self).hook, target
