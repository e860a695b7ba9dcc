"""The frontier's figure: what is drawn where, and what is refused."""

import io
import math

import pytest
from matplotlib.colors import to_hex

from bimt_tf.errors import InputError
from bimt_tf.figures.frontier import FrontierCurve, FrontierPanel, FrontierPoint, frontier_figure
from bimt_tf.figures.style import METHOD_COLOURS


def points(weights, loss):
    return [FrontierPoint(weights + i, loss * (i + 1), 0.5 + 0.01 * i, 0.2) for i in range(3)]


def test_a_column_a_task_open_marks_as_trained_and_filled_ones_eliminated():
    curves = [
        FrontierCurve("bimt", False, points(100, 1e-4), []),
        FrontierCurve("bimt", True, points(40, 1e-6), [[(100, 1e-4), (60, 1e-7), (40, 1e-6)]]),
        FrontierCurve("vanilla", False, [FrontierPoint(900, 0.0, math.nan, 1.0)], []),
    ]
    figure = frontier_figure([FrontierPanel("one", curves), FrontierPanel("two", curves[:1])])
    figure.savefig(io.BytesIO())
    assert [axes.get_title("left") for axes in figure.axes[:2]] == ["one", "two"]
    loss, q = figure.axes[0], figure.axes[2]
    assert loss.get_yscale() == loss.get_xscale() == "log" and q.get_ylabel() == "modularity Q"
    seeds, middle, *others = loss.collections
    assert len(seeds.get_offsets()) == 3 and middle.get_offsets().tolist() == [[101, 2e-4]]
    assert to_hex(middle.get_edgecolor()[0]) == METHOD_COLOURS["bimt"].lower()
    assert to_hex(middle.get_facecolor()[0]) == "#ffffff"
    assert to_hex(others[1].get_facecolor()[0]) == METHOD_COLOURS["bimt"].lower()
    (path,) = loss.lines
    assert list(path.get_xdata()) == [100, 60, 40]
    assert not q.lines  # a path is of the loss alone
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "bimt",
        "vanilla",
        "as trained",
        "eliminated",
    ]


@pytest.mark.parametrize(
    "panels", [[], [FrontierPanel("a", [])], [FrontierPanel("a", [FrontierCurve("l1", True, [], [])])]]
)
def test_nothing_to_draw_is_refused(panels):
    with pytest.raises(InputError, match="at least one"):
        frontier_figure(panels)
