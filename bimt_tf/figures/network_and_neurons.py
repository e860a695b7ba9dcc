"""A network of a group by its modules, and beside it what its embedding neurons hold (paper, Figure 6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.core.population import Node
from bimt_tf.figures.group_neurons import draw_neurons
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.sheet import Sheet
from bimt_tf.figures.style import MUTED, STYLE
from bimt_tf.scene.emphasis import emphasis_of
from bimt_tf.scene.scene import Scene

__all__ = ["network_and_neurons_figure"]

WIDTH, NETWORK, ACROSS = 8.8, 2.9, 3.4  # inches: of all, the network's height and width
NEURON = 0.21  # height of a neuron's row
RIGHT, BELOW = 1.2, 1.15  # room for representations, and for elements and the colour bar


def network_and_neurons_figure(
    scene: Scene,
    modules: Mapping[str, Collection[Node]],
    report: GroupReport | None,
    *,
    title: str,
    note: str,
    labels: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Draw the network at the left and the active embedding neurons at the right.

    Args:
        scene: the network.
        modules: name -> its neurons.
        report: of the embedding; None where no neuron of it is on a path.
        title, note: above.
        labels: stage -> a name for each of its neurons.
    """
    matrix = 0.0 if report is None else NEURON * len(report.neurons)
    high = max(NETWORK, matrix + BELOW - 0.3)
    with rc_context(STYLE):
        sheet = Sheet(WIDTH, 1.05 + high + 0.35)
        sheet.text(0.12, 0.08, title, fontsize=10, weight="bold")
        sheet.text(0.12, 0.28, note, fontsize=7, color=MUTED)
        sheet.text(0.12, 0.52, "a  network; colour and shape: module", fontsize=8, weight="bold")
        axes = sheet.panel(0.3, 1.05, ACROSS, high)
        draw_network(axes, scene, labels=labels, emphasis=emphasis_of(scene, modules=modules), numbers="unnamed")
        left = 0.3 + ACROSS + 0.75
        sheet.text(left - 0.4, 0.52, "b  active embedding neurons; elements by coset", fontsize=8, weight="bold")
        if report is None:
            sheet.text(left, 1.05, "no embedding neuron is on a path", color=MUTED)
            return sheet.figure
        image = draw_neurons(sheet.panel(left, 0.85, WIDTH - left - RIGHT, matrix), report)
        place = sheet.panel(left, 0.85 + matrix + 0.75, 1.6, 0.09)
        bar = sheet.figure.colorbar(image, cax=place, orientation="horizontal", ticks=[-1, 0, 1])
        bar.set_label("value less its mean, in units of its largest", fontsize=6.5)
        bar.outline.set_visible(False)
        return sheet.figure
