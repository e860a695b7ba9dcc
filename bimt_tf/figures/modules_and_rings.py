"""A network of a cyclic group by its modules, its accuracy without them, and the ring that each holds (Figure 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.figure import Figure

from bimt_tf.analysis.group_report import GroupReport
from bimt_tf.analysis.modules import Modules
from bimt_tf.figures.group_rings import draw_ring, draw_waves
from bimt_tf.figures.module_knockouts import Knockout, draw_knockouts
from bimt_tf.figures.network import draw_network
from bimt_tf.figures.sheet import Sheet
from bimt_tf.figures.style import MODULES, MUTED, STYLE
from bimt_tf.scene.emphasis import emphasis_of
from bimt_tf.scene.scene import Scene

__all__ = ["ModularNetwork", "modules_and_rings_figure"]

WIDTH, EDGE, GAP = 8.6, 0.55, 0.5  # inches
NETWORK, BARS, MARK = 2.3, 1.75, 0.14  # heights: of the network, the bars, a row of marks
RING, WAVES = 1.6, 0.9
BLOCK = 0.6 + RING + 0.36 + WAVES + 0.42  # of a ring with what stands above, between and below
FEWEST, MOST = 3, 5  # rings beside each other: few are not drawn wider than a third of the page


class ModularNetwork(NamedTuple):
    """What is drawn.

    ``modules``: of the hidden neurons and the embedding, numbered; ``knockouts``: of their combinations; ``report``:
    of the embedding, None where it holds nothing; ``rings``: number of a module -> the place of its ring in the report.
    """

    scene: Scene
    modules: Modules
    knockouts: Sequence[Knockout]
    report: GroupReport | None
    rings: Mapping[int, int]
    note: str


def modules_and_rings_figure(
    network: ModularNetwork, *, title: str, chance: float, published: Mapping[str, float] | None = None
) -> Figure:
    """Draw the network at the left, knock-outs at the right, rings below.

    Args:
        network: what is drawn.
        title: above all.
        chance: accuracy of guessing.
        published: name -> accuracy that others found without one module.
    """
    rows = -(-len(network.rings) // MOST)
    with rc_context(STYLE):
        sheet = Sheet(WIDTH, 0.85 + NETWORK + 0.55 + rows * BLOCK)
        sheet.text(0.12, 0.08, title, fontsize=10, weight="bold")
        sheet.text(0.12, 0.28, network.note, fontsize=7, color=MUTED)
        half = (WIDTH - 2 * EDGE - 2 * GAP) / 2
        axes = sheet.panel(0.35, 0.85, half, NETWORK)
        named = {f"module {one.number}": one.nodes for one in network.modules.modules}
        draw_network(axes, network.scene, emphasis=emphasis_of(network.scene, modules=named))
        sheet.text(0.12, 0.52, "a  network; colour and shape: module", fontsize=8, weight="bold")
        left = EDGE + half + 2 * GAP
        sheet.text(left - 0.45, 0.52, "b  accuracy without modules", fontsize=8, weight="bold")
        if network.knockouts:
            count = max(len(network.modules.modules), 1)
            room = NETWORK - MARK * count - 0.1
            bars, marks = sheet.panel(left, 0.85, half, room), sheet.panel(left, 0.9 + room, half, MARK * count)
            draw_knockouts(bars, marks, network.knockouts, chance=chance, published=published)
        _draw_rings(sheet, network, 0.85 + NETWORK + 0.45)
        return sheet.figure


def _draw_rings(sheet: Sheet, network: ModularNetwork, top: float) -> None:
    if network.report is None or not network.rings:
        return
    sheet.text(0.12, top, "c  the elements in each module's plane, and its embedding neurons along the ring",
               fontsize=8, weight="bold")  # fmt: skip
    across = min(max(len(network.rings), FEWEST), MOST)
    pitch = (WIDTH - EDGE - 0.2) / across
    for place, (number, which) in enumerate(network.rings.items()):
        row, column = divmod(place, across)
        left, high = EDGE + column * pitch, top + 0.3 + row * BLOCK
        ring = network.report.rings[which]
        colour = MODULES[(number - 1) % len(MODULES)]
        sheet.text(left, high, f"module {number}", fontsize=7.5, weight="bold", color=colour)
        plane = sheet.panel(left, high + 0.3, pitch - 0.3, RING)
        draw_ring(plane, network.report, ring)
        plane.set_title(plane.get_title(loc="left"), fontsize=7)
        plane.xaxis.label.set_fontsize(7)
        waves = sheet.panel(left, high + 0.3 + RING + 0.33, pitch - 0.35, WAVES)
        draw_waves(waves, network.report, ring, first=column == 0)
