"""Networks to be drawn in tests, and what was drawn."""

from __future__ import annotations

from collections.abc import Callable

import matplotlib
import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from torch import nn

from bimt_tf.analysis.active import active_masks
from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer


def sparse(model: nn.Module, keep: float = 0.1, geometry: Geometry | None = None) -> BIMT:
    """A model of which most weights are zero, neurons in random slots."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * (torch.rand(p.shape, generator=generator) < keep))
    bimt = BIMT(model, geometry)
    bimt.layout = Layout.random(bimt.wiring, generator)
    return bimt


def transformer(n_heads: int = 1, n_layers: int = 2, keep: float = 0.1, d_model: int = 16) -> BIMT:
    model = RegressionTransformer(d_model=d_model, n_layers=n_layers, n_heads=n_heads, d_mlp=24)
    return sparse(model, keep)


def eliminated(bimt: BIMT) -> BIMT:
    """Without the weights that are on no path."""
    with torch.no_grad():
        for name, mask in active_masks(bimt, 0.0).items():
            bimt.parameters[name].mul_(mask)
    return bimt


GRID = Geometry(shapes={"input": "grid", "hidden0": (4, 5), "output": "ring"})
NETWORKS: dict[str, Callable[[], BIMT]] = {
    "mlp": lambda: sparse(MLP(sizes=[4, 20, 20, 2]), 0.3),
    "deep mlp": lambda: sparse(MLP(sizes=[4, *[20] * 18, 2]), 0.2),
    "1 head": transformer,
    "2 heads, 1 block": lambda: transformer(2, 1),
    "4 heads, 3 blocks": lambda: transformer(4, 3),
    "8 heads, 4 blocks": lambda: transformer(8, 4),
    "dense": lambda: transformer(4, 2, 1.0),
    "eliminated": lambda: eliminated(transformer(4, 2, 0.12)),
    "default size": lambda: transformer(1, 2, 0.03, 32),
    "tokens": lambda: sparse(TokenMLP(7, 10, 2, [12, 7]), 0.3),
    "grids": lambda: sparse(MLP(sizes=[16, 20, 10]), 0.3, GRID),
    "no width": lambda: sparse(MLP(sizes=[4, 20, 20, 2]), 0.3, Geometry(width=0.0)),
    "wide": lambda: sparse(MLP(sizes=[12, 400, 5]), 0.05),
}


def lines_of(figure: Figure) -> dict[str, list[np.ndarray]]:
    """Parameter -> the segments of its wires."""
    found: dict[str, list[np.ndarray]] = {}
    for lines in figure.findobj(LineCollection):
        if str(lines.get_gid()).startswith("wires "):
            segments = [np.asarray(segment) for segment in lines.get_segments()]
            found.setdefault(lines.get_gid().removeprefix("wires "), []).extend(segments)
    return found


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def text_boxes(figure: Figure) -> tuple[list[str], np.ndarray]:
    """What is written, and where in points, as the renderer has it: [n, (left, bottom, right, top)]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    found = [t for t in figure.findobj(matplotlib.text.Text) if t.get_text().strip() and t.get_visible()]
    drawn = [t for t in found if t.axes is None or t.axes.axison or t in t.axes.texts]
    boxes = np.array([t.get_window_extent(renderer).extents for t in drawn]) * 72 / figure.dpi
    return [t.get_text() for t in drawn], boxes


def collisions(figure: Figure) -> list[str]:
    """Texts that cover each other or leave the figure."""
    words, boxes = text_boxes(figure)
    wide, high = 72 * figure.get_size_inches()
    said = [
        f"{word!r} leaves the figure: {box.round(1).tolist()}"
        for word, box in zip(words, boxes, strict=True)
        if box[0] < 0 or box[1] < 0 or box[2] > wide or box[3] > high
    ]
    for i, (left, bottom, right, top) in enumerate(boxes.tolist()):
        later = boxes[i + 1 :]
        across = np.minimum(right, later[:, 2]) - np.maximum(left, later[:, 0])
        up = np.minimum(top, later[:, 3]) - np.maximum(bottom, later[:, 1])
        said += [f"{words[i]!r} covers {words[i + 1 + j]!r}" for j in np.flatnonzero((across > 0) & (up > 0)).tolist()]
    return said
