"""Questions after the group that a network multiplies in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bimt_tf.analysis.group_mirror import Mirror
    from bimt_tf.analysis.group_report import GroupReport

__all__ = ["GroupQuestions"]


class GroupQuestions(OpenedRun):
    """What the embedding of a group's elements holds of the group (paper, Sections 3.2-3.3 and Appendix E)."""

    def group(self, draws: int = 2_000, seed: int = 0) -> GroupReport:
        """Representations, cosets, rings, linear relations and effective dimension of the active embedding neurons.

        Args:
            draws: how often the elements' labels are dealt anew for each control, at least 19.
            seed: of the draws.

        Raises:
            InputError: for a task that is no group's, or an embedding that holds nothing.
        """
        from bimt_tf.runs.ask.groups import grouped

        return grouped(self, draws, seed)

    def group_mirrors(self, found: GroupReport | None = None) -> list[Mirror]:
        """Whether neurons that are a sign are used as one: mirrored, they must turn the sign of every product.

        Args:
            found: what :meth:`group` gave; asked anew unless given.

        Raises:
            InputError: as :meth:`group`.
        """
        from bimt_tf.runs.ask.groups import mirrored

        return mirrored(self, found or self.group())

    def group_figures(self, found: GroupReport | None = None) -> dict[str, Figure]:
        """The figures of :meth:`group`, by name: "neurons", "cayley", "errors", and "rings" of a cyclic group.

        Args:
            found: what :meth:`group` gave; asked anew unless given.

        Raises:
            InputError: as :meth:`group`.
        """
        from bimt_tf.figures.group import group_figures

        return group_figures(found or self.group())
