"""Between two scenes: planted places and weights, and brute-force sums over all pairs of neurons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.errors import InputError
from bimt_tf.figures.animation import MOST, NetworkAnimation
from bimt_tf.figures.evolution import evolution_figure
from bimt_tf.figures.network import draw_scene
from bimt_tf.figures.tween import Frame, eased, pace, places_between, wires_between
from bimt_tf.scene.scene import scene_of

EVERY = 10**9


def frame(seed, share, step=0, phase="pressed", loss=0.1, sizes=(4, 9, 8, 2)):
    """A network of which ``share`` of the weights is zero, its neurons in drawn slots."""
    model = MLP(sizes=list(sizes), act_fn="silu", seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for values in model.parameters():
            values[torch.rand(values.shape, generator=generator) < share] = 0
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5))
    bimt.layout = Layout.random(bimt.wiring, generator)
    return Frame(scene_of(bimt, 0.01, most_wires=EVERY), step, phase, loss)


FRAMES = [frame(1, 0.1, 0, "start", 1.0), frame(2, 0.5, 50, "pressed", 0.1), frame(3, 0.8, 90, "finish", 0.01)]


def dense(scene, number):
    wires = scene.wires[number]
    found = np.zeros((scene.rows[wires.source].size, scene.rows[wires.target].size))
    found[wires.sources, wires.targets] = wires.weights
    return found


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_and_places_lie_on_the_way(share):
    a, b = FRAMES[0].scene, FRAMES[2].scene
    for number, one in enumerate(wires_between(a, b, share, EVERY)):
        wanted = (1 - share) * dense(a, number) + share * dense(b, number)
        found = np.zeros_like(wanted)
        found[one.sources, one.targets] = one.weights
        assert found == pytest.approx(wanted, abs=1e-12)
        largest = [np.abs(dense(scene, number)).max() for scene in (a, b)]
        mixed = (1 - share) * np.abs(dense(a, number)) / largest[0] + share * np.abs(dense(b, number)) / largest[1]
        assert one.strength == pytest.approx(mixed[one.sources, one.targets], abs=1e-12)
    for row, place in enumerate(places_between(a, b, share)):
        assert place[:, 0] == pytest.approx((1 - share) * a.rows[row].x + share * b.rows[row].x)
        assert (place[:, 1] == b.rows[row].y).all()


def test_the_strongest_of_either_scene_are_drawn():
    a, b = FRAMES[0].scene, FRAMES[2].scene
    found = wires_between(a, b, 0.0, 7)
    strong = [np.sort(np.concatenate([w.strength for w in scene.wires]))[-7] for scene in (a, b)]
    for number, one in enumerate(found):
        both = [
            np.abs(dense(s, number)) / np.abs(dense(s, number)).max() >= t for s, t in zip((a, b), strong, strict=True)
        ]
        assert set(zip(one.sources.tolist(), one.targets.tolist(), strict=True)) == set(
            map(tuple, np.argwhere(both[0] | both[1]).tolist())
        )


def test_the_pace_begins_and_ends_with_whole_frames_and_larger_changes_take_longer():
    found = pace(FRAMES, 50)
    assert found[0] == (0, 0.0) and found[-1] == (1, 1.0)
    at = [i + share for i, share in found]
    assert at == sorted(at) and eased(0.0) == 0 and eased(1.0) == 1 and eased(0.5) == 0.5 and eased(0.1) < 0.1
    still = pace([FRAMES[0], FRAMES[0], FRAMES[2]], 60)
    assert sum(i == 0 for i, _ in still) < 20


def drawn(axes):
    """(ends, width) of every wire in a panel, rounded, sorted."""
    found = []
    for lines in axes.collections:
        if str(lines.get_gid()).startswith("wires "):
            widths = lines.get_linewidths()
            for i, one in enumerate(lines.get_segments()):
                if len(one):
                    found.append((*np.round(one, 6).ravel().tolist(), round(float(widths[i % len(widths)]), 4)))
    return sorted(found)


def test_the_last_picture_is_the_network_figure():
    shown = NetworkAnimation(FRAMES, 20, title="t")
    shown.draw(19)
    figure = draw_scene(FRAMES[-1].scene)
    panel = max(figure.axes, key=lambda axes: len(axes.collections))
    own = max(shown.figure.axes, key=lambda axes: len(axes.collections))
    assert len(drawn(own)) == sum(len(wires.weights) for wires in FRAMES[-1].scene.wires) > 10
    assert drawn(own) == drawn(panel)
    for state in range(5):
        places = [
            sorted(
                np.round(at, 6).tolist()
                for dots in axes.collections
                if dots.get_gid() == f"state {state}"
                for at in np.asarray(dots.get_offsets())
            )
            for axes in (own, panel)
        ]
        assert places[0] == places[1], state
    bars = [lines for lines in panel.collections if str(lines.get_gid()).startswith("biases ")]
    heights = [sorted(np.round(one[:, 1], 6).tolist() for lines in some for one in lines.get_segments())
               for some in (bars, [shown._biases])]  # fmt: skip
    assert heights[0] == heights[1] != []
    assert f"{FRAMES[-1].scene.active} weights" in shown.figure.texts[-1].get_text()


def test_any_picture_can_be_drawn_again_and_rows_stand_still():
    shown = NetworkAnimation(FRAMES, 12)
    own = shown.figure.axes[0]
    shown.draw(5)

    def names():
        return [(text.get_text(), text.get_position()) for text in own.texts if text.get_gid() == "row name"]

    before, named = drawn(own), names()
    for picture in (11, 0, 7, 5):
        shown.draw(picture)
    assert drawn(own) == before
    assert names() == named


def test_what_is_not_drawn_is_said():
    large = frame(5, 0.0, sizes=(4, 20, 20, 2))
    shown = NetworkAnimation([large, FRAMES[0]._replace(scene=frame(6, 0.9, sizes=(4, 20, 20, 2)).scene)], 4)
    assert large.scene.active > MOST and f"the {MOST} strongest drawn" in shown.figure.texts[-1].get_text()
    shown.draw(3)
    assert "strongest" not in shown.figure.texts[-1].get_text()


def test_too_few_frames_are_refused():
    with pytest.raises(InputError, match="two frames and two pictures, found 1 and 9"):
        NetworkAnimation(FRAMES[:1], 9)
    with pytest.raises(InputError, match="at least two frames, found 1"):
        evolution_figure(FRAMES[:1])


def test_a_strip_has_a_panel_a_frame_with_its_numbers_and_no_text_outside():
    figure = evolution_figure(FRAMES, title="two-moon $x$", labels={"input": ["a", "b", "c", "d"]})
    assert len(figure.axes) == 3
    for axes, one in zip(figure.axes, FRAMES, strict=True):
        assert len(drawn(axes)) == sum(len(wires.weights) for wires in one.scene.wires)
    words = [text.get_text() for text in figure.texts]
    for one in FRAMES:
        assert f"step {one.step}, {one.phase}" in words and f"{one.scene.active} weights" in words
    figure.canvas.draw()
    whole = figure.bbox
    for text in (*figure.texts, *(t for axes in figure.axes for t in axes.texts)):
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= whole.x1 and box.y0 >= 0 and box.y1 <= whole.y1, text.get_text()
