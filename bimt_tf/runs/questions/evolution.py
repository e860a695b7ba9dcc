"""How the network of a run came to be."""

from __future__ import annotations

from functools import cached_property

from bimt_tf.runs.evolution import Snapshot, snapshots_of
from bimt_tf.runs.opened_run import OpenedRun

__all__ = ["EvolutionQuestions"]


class EvolutionQuestions(OpenedRun):
    """The network at earlier steps."""

    @cached_property
    def snapshots(self) -> list[Snapshot]:
        """The network on its way, first to last: as it was trained, then points of its elimination up to this one.

        [] for a run that kept none (``training.snapshots: false``, one of an earlier version, more than a million
        parameters). Each has ``step``, ``phase`` and ``loss``, and gives ``.model()``, ``.bimt()`` and ``.scene()``.

        Raises:
            InputError: if a file is damaged.
        """
        return [] if self.outcome is not None else snapshots_of(self._directory, self, self.round_number)
