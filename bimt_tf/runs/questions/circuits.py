"""Questions after the circuit as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    import networkx as nx

    from bimt_tf.analysis.graph import Residual
    from bimt_tf.analysis.graph_facts import EdgeFacts
    from bimt_tf.analysis.prune import PrunePoint

__all__ = ["CircuitQuestions"]


class CircuitQuestions(OpenedRun):
    """The circuit as a whole: its graph, its modules, what is left of it when weights are cut."""

    def prune(self) -> list[PrunePoint]:
        """Weights left against held-out loss as small weights are cut (paper, Figure A1); the weights stay."""
        from bimt_tf.runs.ask import circuits

        return circuits.pruned(self)

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

    def export(
        self,
        path: str | Path,
        form: str = "graphml",
        residual: Residual = "shared",
        *,
        effects: Mapping[str, list[float]] | bool = False,
        edges: EdgeFacts | None = None,
    ) -> None:
        """Write the connection graph for other tools; ``bimt_tf.read_graph`` reads it back (docs/sharing.md).

        Nodes carry where they stand, their head, their module and their activity; edges weight, sign and parameter.

        Args:
            path: the file; a plain file there is replaced.
            form: "graphml", "gexf" or "json" (NetworkX's node-link data).
            residual: as :meth:`graph`.
            effects: give nodes their effect on the held-out loss: True computes it, as :meth:`neuron_effects`.
            edges: (parameter, source neuron, target neuron) -> name -> number, which those edges carry too.

        Raises:
            InputError: for another format, an edge that is not there, or a path that cannot be written.
        """
        from bimt_tf.runs.ask import circuits

        wanted = self.neuron_effects() if effects is True else effects or None
        circuits.export(self, Path(path), form, residual, wanted, edges)

    def neuron_effects(self) -> dict[str, list[float]]:
        """Stage -> how the held-out loss rises when each of its neurons is set to its mean at all tokens, alone."""
        from bimt_tf.runs.ask import circuits

        return circuits.neuron_effects(self)
