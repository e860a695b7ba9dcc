"""Questions after modules: what they are, whether chance would look alike, what each one does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bimt_tf.analysis.graph import Residual
    from bimt_tf.analysis.modularity import Method
    from bimt_tf.analysis.progress import Progress
    from bimt_tf.runs.ask.modules import ModuleReport

__all__ = ["ModuleQuestions"]


class ModuleQuestions(OpenedRun):
    """Modules: found, named, tested against chance, knocked out and kept alone."""

    def modules(
        self,
        *,
        residual: Residual = "shared",
        method: Method = "greedy",
        resolution: float = 1.0,
        outputs: bool = True,
        draws: int = 200,
        against: Sequence[OpenedRun] = (),
        n: int = 500,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> ModuleReport:
        """The modules of the network, and what is known of them, on its held-out examples (docs/modules.md).

        Args:
            residual: the residual stream as one set of neurons ("shared"), or one a depth ("unrolled").
            method: "greedy", "louvain" or "refined".
            resolution: above 1 for more and smaller modules.
            outputs: whether outputs are sorted into modules too; False for the paper's modules of modular addition.
            draws: networks drawn from each null model; 0 for none.
            against: other runs whose modularity stands beside, opened where they have about as many weights.
            n: held-out examples, at most.
            seed: of draws, restarts and random sets.
            progress: told (done, of) behind every draw and every module.

        Raises:
            InputError: for a network without modules, or a value that cannot be.
        """
        from bimt_tf.runs.ask.modules import asked_modules

        return asked_modules(
            self, residual=residual, method=method, resolution=resolution, outputs=outputs, draws=draws,
            against=against, n=n, seed=seed, progress=progress,
        )  # fmt: skip

    def modules_figure(self, report: ModuleReport) -> Figure:
        """The network with its modules in colours, and what each does to the loss; not shown, not saved.

        Args:
            report: what :meth:`modules` gave.
        """
        from bimt_tf.analysis.graph import connection_graph
        from bimt_tf.figures.modules import modules_figure

        graph = connection_graph(self.bimt, "unrolled", self.threshold)
        labels = self.task.labels(self.config.data)
        return modules_figure(graph, self.bimt.wiring, report.found, report.effects, labels=labels)
