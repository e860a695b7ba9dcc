"""The heat maps of a probe map: every place is drawn, what is made here is framed, doubt is grey."""

import io

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from bimt_tf.analysis.probe_map import MapCell, ProbeMap
from bimt_tf.analysis.probe_results import HowMade
from bimt_tf.analysis.probe_scores import Score
from bimt_tf.errors import InputError
from bimt_tf.figures.probe_map import probe_map_figure
from bimt_tf.figures.style import MUTED

MADE = HowMade(100, 100, "each", 1, 80, 20, 0, 10, 1000, 0.95)


def cell(hook, position, value=0.5, gain=0.2, before=0.1, *, head=None, untrained=0.3):
    def score(value, width=0.01):
        return None if value is None else Score(value, value - width, value + width)

    return MapCell(
        hook, position, head, 3, Score(None, reason="why") if value is None else score(value), score(0.3),
        score(before), score(untrained), score(gain), score(before), 0.0, MADE,
    )  # fmt: skip


def drawn(cells, **given):
    figure = probe_map_figure(ProbeMap("w", "numbers", "linear", cells, {}, None), **given)
    figure.savefig(io.BytesIO(), format="png", dpi=60)
    return figure, {axes.get_title(loc="center").replace("\n", " "): axes for axes in figure.axes if axes.images}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_every_place_has_its_numbers():
    cells = [cell("hook_embed", p, before=None) for p in (0, 1)]
    cells += [cell("blocks.0.attn.hook_z", p, head=h, gain=0.001 * p) for h in (0, 1) for p in (0, 1)]
    cells += [cell("blocks.0.hook_resid_mid", 0, None), cell("blocks.0.hook_resid_mid", 1, 0.987)]
    figure, panels = drawn(cells, tokens=["y", "x"])
    assert list(panels) == [
        "read-out",
        "gain over the inputs",
        "gain over the stage before",
        "read-out, same net untrained",
    ]
    first = panels["read-out"]
    assert [tick.get_text() for tick in first.get_yticklabels()] == [
        "embed", "block 0 attn.z, head 0", "block 0 attn.z, head 1", "block 0 resid_mid",
    ]  # fmt: skip
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["y", "x"]
    assert texts(first)[-2:] == ["–", "0.987"] and "+0.200" in texts(panels["gain over the inputs"])
    assert texts(panels["gain over the stage before"])[:2] == ["–", "–"]
    frames = [patch for patch in first.patches if isinstance(patch, Rectangle)]
    assert [(frame.get_x(), frame.get_y()) for frame in frames] == [(-0.5, -0.5), (0.5, -0.5), (-0.5, 2.5), (0.5, 2.5)]
    assert "made here" in figure.get_suptitle() and "$R^2$" in figure.get_suptitle()


def test_a_gain_in_doubt_is_grey_on_no_colour():
    _, panels = drawn([cell("a", 0, gain=0.005), cell("b", 0, gain=-0.3)])
    axes = panels["gain over the inputs"]
    assert [text.get_color() == MUTED for text in axes.texts] == [True, False]
    assert np.ma.getdata(axes.images[0].get_array())[0, 0] == 0 and texts(axes) == ["+0.005", "-0.300"]


def test_without_tokens_and_without_an_untrained_network():
    figure, panels = drawn([cell("layers.0.hook_post", None, untrained=None)])
    assert len(panels) == 3 and panels["read-out"].get_xlabel() == ""
    assert [tick.get_text() for tick in panels["read-out"].get_yticklabels()] == ["layer 0 post"]


def test_many_tokens_have_colours_alone():
    figure, panels = drawn([cell("a", p) for p in range(40)])
    assert texts(panels["read-out"]) == [] and len(panels["read-out"].get_xticks()) <= 12
    assert figure.get_size_inches()[0] < 70


def test_mistakes():
    with pytest.raises(InputError, match="without places"):
        drawn([])
    with pytest.raises(InputError, match="tokens must hold 1 names, found 2"):
        drawn([cell("a", 0)], tokens=["x", "y"])
