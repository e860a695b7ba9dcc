"""The words of the network's picture (network.py): rows, counts, labels, title and key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from bimt_tf.core.population import Stage
from bimt_tf.core.wiring import Wiring
from bimt_tf.figures.scene import GUTTER, Scene
from bimt_tf.figures.style import INK, INK_OUTLINE, MUTED, NEGATIVE, POSITIVE

__all__ = ["LEFT", "OUTLINE", "draw_counts", "draw_key", "draw_labels", "draw_row_names"]

LEFT = 1.1  # margin of the figure, inches
OUTLINE = [withStroke(linewidth=2, foreground=INK_OUTLINE)]


def _tail(stage: Stage) -> str:
    word = stage.name.rsplit(".", 1)[-1]
    return word.upper() if len(word) <= 3 else word


def _row_name(wiring: Wiring, stages: list[Stage]) -> str:
    heads = {wiring.populations[stage.population].heads for stage in stages}
    if len(stages) > 1 and all(wiring.populations[stage.population].head_axis for stage in stages):
        return "Attn head" if heads == {1} else "Attn heads"
    return " ".join(_tail(stage) for stage in stages)


def draw_counts(axes: Axes, scene: Scene) -> None:
    """Counts of active neurons at the right of each row, letters of columns before them."""
    for y, stages in enumerate(scene.rows):
        nodes = [node for stage in stages for node in scene.nodes(stage)]
        count = f"{len(scene.active.intersection(nodes))}/{len(nodes)}"
        axes.text(1.025, y, count, ha="left", va="center", fontsize=6, color=MUTED)
        for stage in stages if len(stages) > 1 else ():
            left = min(scene.places[node][0] for node in scene.nodes(stage)) - 0.5 * GUTTER
            axes.text(left, y, _tail(stage), ha="center", va="center", fontsize=7.5, weight="bold", zorder=5,
                      path_effects=OUTLINE)  # fmt: skip


def draw_row_names(axes: Axes, scene: Scene) -> None:
    """What each row is, at its left."""
    for y, stages in enumerate(scene.rows):
        axes.text(-0.05, y, _row_name(scene.wiring, stages), ha="right", va="center")


def draw_labels(axes: Axes, scene: Scene, inches: tuple[float, float], labels: Mapping[str, Sequence[str]]) -> None:
    """Names of neurons: below them in the lowest row, above them elsewhere; upright where they are long."""
    lowest = {stage.name for stage in scene.rows[0]}
    for name, words in labels.items():
        below = name in lowest
        steep = max(map(len, words)) * 3.8 > inches[0] * 72 / len(words)
        for node, word in zip(((name, neuron) for neuron in range(len(words))), words, strict=True):
            axes.annotate(
                word, scene.places[node], (0, -5 if below else 5), textcoords="offset points", fontsize=6.5,
                ha="center", va="top" if below else "bottom", rotation=90 if steep else 0, zorder=6,
                color=INK if node in scene.active else MUTED, path_effects=OUTLINE, annotation_clip=False,
            )  # fmt: skip


def draw_key(figure: Figure, size: tuple[float, float], scene: Scene, title: str | None) -> None:
    """Title, colours with their counts, and what width and opacity mean; ``size`` of the figure in inches."""
    signs = np.array([sign for *_, sign in scene.graph.edges(data="sign")])
    if title:
        figure.text(LEFT / size[0], 1 - 0.12 / size[1], title, fontsize=10, weight="bold", va="top")
    handles = [
        Line2D([], [], color=POSITIVE, lw=1.6, label=f"positive ({int((signs > 0).sum()):,})"),
        Line2D([], [], color=NEGATIVE, lw=1.6, label=f"negative ({int((signs < 0).sum()):,})"),
    ]
    figure.legend(handles=handles, loc="lower right", bbox_to_anchor=(1 - 0.1 / size[0], 0.06 / size[1]),
                  ncols=2, handlelength=1.4, columnspacing=1.2, borderaxespad=0)  # fmt: skip
    figure.text(LEFT / size[0], 0.1 / size[1],
                f"{len(signs):,} connections. Width and opacity: |w| relative to the largest of its matrix.",
                fontsize=6.5, color=MUTED, va="bottom")  # fmt: skip
