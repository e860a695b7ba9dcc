"""Figures: the artists that must be there, and that nothing global is touched."""

from __future__ import annotations

import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
import torch
from drawn_networks import collisions, eliminated, sparse, transformer
from matplotlib.figure import Figure

from bimt_tf.analysis.prune import PrunePoint
from bimt_tf.config.methods import METHODS
from bimt_tf.errors import InputError
from bimt_tf.figures.comparison import Panel, comparison_figure
from bimt_tf.figures.confusion import confusion_figure
from bimt_tf.figures.curves import curves_figure
from bimt_tf.figures.pair import pair_figure
from bimt_tf.figures.panel_key import row_names
from bimt_tf.figures.prediction import prediction_figure
from bimt_tf.figures.pruning_curves import pruning_curves_figure
from bimt_tf.figures.style import METHOD_COLOURS, METHOD_MARKERS
from bimt_tf.models.mlp import MLP
from bimt_tf.scene.scene import DEAD_END, NO_INPUT, STATES, scene_of


@pytest.fixture(autouse=True)
def nothing_global():
    before = matplotlib.rcParams.copy()
    yield
    assert matplotlib.rcParams.copy() == before
    import matplotlib.pyplot as plt

    assert plt.get_fignums() == []


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    return buffer.getvalue()


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def records(n: int = 50) -> list[dict]:
    lams = [0.001, 0.01, 0.1, 0.3, 0.0]
    return [
        {"step": 10 * i, "loss": math.exp(-i / 9), "test_loss": math.exp(-i / 9) if i % 5 == 0 else None,
         "cost": 1 / (1 + i), "lam": lams[i * 5 // n], "lr": 1e-3, "active": 1000 - i}
        for i in range(n)
    ]  # fmt: skip


def test_curves():
    figure = curves_figure(records())
    loss, cost, active = figure.axes
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "log", "linear"]
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training loss", "test loss"]
    assert np.asarray(loss.lines[1].get_xdata()).tolist() == list(range(0, 500, 50))
    assert np.asarray(active.lines[0].get_ydata())[-1] == 951
    assert {"λ = 0.001", "0.01", "0.1", "0.3", "0"} <= set(texts(figure))
    assert sum(patch.get_gid() == "phase" for patch in cost.patches) == 2
    assert png(figure)


def test_names_of_phases_of_one_record_each_do_not_cover_each_other():
    lams = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.01, 0.0]
    close = [{**records()[i], "step": 9000 + 20 * i, "lam": lam} for i, lam in enumerate(lams)]
    for these in (close, [{**close[0], "step": 10}, *close[1:]], close[-1:]):
        figure = curves_figure(these)
        figure.savefig(io.BytesIO())
        boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        assert len(boxes) == len(these)
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


def test_a_constant_count_of_weights_does_not_lie_on_the_panels_edge():
    active = curves_figure(records()[:2]).axes[-1]
    assert active.get_ylim() == pytest.approx((0, 1050))


def test_curves_draw_the_schedules_that_vary_under_the_losses():
    changed = [
        {**record, "lam": 0.1 * math.sin(i / 16), "lr": 0.04 * 0.9**i} for i, record in enumerate(records())
    ]  # fmt: skip
    figure = curves_figure(changed, widths=[min(8.0, i / 4) for i in range(50)])
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["loss", "learning rate", "λ", "width A", "connection cost", "active weights"]
    _, rate, lam, width, _, _ = figure.axes
    assert rate.get_yscale() == lam.get_yscale() == "log" and width.get_yscale() == "linear"
    assert np.asarray(width.lines[0].get_ydata()).max() == 8 and not texts(figure).count("λ = 0")
    assert png(figure)


def test_curves_of_constant_schedules_have_no_panels_of_them():
    assert len(curves_figure(records(), widths=[2.0] * 50).axes) == 3
    stepwise = curves_figure([{**record, "lr": 1e-3 if i < 25 else 1e-4} for i, record in enumerate(records())])
    assert [axes.get_ylabel() for axes in stepwise.axes][1] == "learning rate" and len(stepwise.axes) == 4
    with pytest.raises(InputError, match="one for each of the 50 records, found 3"):
        curves_figure(records(), widths=[1.0] * 3)


def test_curves_with_gaps():
    gaps = records()
    gaps[7]["loss"] = float("nan")
    gaps[9]["loss"] = float("inf")
    del gaps[11]["loss"]
    figure = curves_figure(gaps)
    values = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert len(values) == 49 and np.flatnonzero(np.isnan(values)).tolist() == [7, 9]
    assert np.asarray(figure.axes[0].lines[1].get_xdata()).tolist() == [80]
    assert png(figure)


@pytest.mark.parametrize("keep", [("step",), ("step", "cost", "lam"), ("step", "loss", "active")])
def test_curves_with_panels_that_were_not_recorded(keep):
    figure = curves_figure([{key: record[key] for key in keep} for record in records()])
    shown = sum(key in keep for key in ("loss", "cost", "active"))
    assert texts(figure).count("not recorded") == 3 - shown
    assert png(figure)


def test_curves_of_one_record_and_of_zeros():
    assert png(curves_figure(records()[:1]))
    figure = curves_figure([{**record, "cost": 0.0, "lam": 0.0} for record in records()])
    assert figure.axes[1].get_yscale() == "linear"
    assert png(figure)


def test_curves_mistakes_are_named():
    with pytest.raises(InputError, match="found none"):
        curves_figure([])
    with pytest.raises(InputError, match="no step"):
        curves_figure([{"loss": 1.0}])


def test_prediction():
    true = torch.linspace(-1, 1, 40, requires_grad=True)
    predicted = true + 0.01
    figure = prediction_figure(true, predicted, name="w", r2=0.9987)
    scatter, histogram = figure.axes
    (points,) = scatter.collections
    assert np.allclose(points.get_offsets(), torch.stack([true, predicted], 1).detach().numpy())
    assert np.ptp(scatter.get_xlim()) == np.ptp(scatter.get_ylim())
    assert sum(patch.get_height() for patch in histogram.patches) == 40
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("true w", "predicted w")
    assert "0.9987" in scatter.get_title(loc="left")
    assert png(figure)
    assert png(prediction_figure([1.0], [1.0]))


def test_pair():
    first, second = torch.randn(2, 30, generator=torch.Generator().manual_seed(0))
    target = (first * second).numpy()
    figure = pair_figure(first, second, target, names=("residual 3", "residual 17"), target_name="w", told="R2 0.9998")
    axes, bar = figure.axes
    (points,) = axes.collections
    assert np.allclose(points.get_array(), target)
    assert np.allclose(points.get_offsets(), torch.stack([first, second], 1))
    assert axes.get_title(loc="left") == "w from two neurons" and axes.texts[0].get_text() == "R2 0.9998"
    assert bar.get_ylabel() == "w"
    assert axes.get_xlabel().endswith("residual 3") and axes.get_ylabel().endswith("residual 17")
    assert png(figure)
    assert png(pair_figure([1.0], [1.0], [2.0]))


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")]])
def test_numbers_must_be_finite_and_equally_many(bad):
    with pytest.raises(InputError, match="finite numbers"):
        prediction_figure([1.0, 2.0], bad)
    with pytest.raises(InputError, match="equally many"):
        prediction_figure([1.0, 2.0], [1.0])
    with pytest.raises(InputError, match="finite numbers"):
        pair_figure([1.0, 2.0], bad, [1.0, 2.0])
    with pytest.raises(InputError, match="2, 2, 1"):
        pair_figure([1.0, 2.0], [1.0, 2.0], [1.0])


def test_confusion_counts_true_against_predicted():
    figure = confusion_figure([0, 1, 1, 2], [0, 1, 2, 2], ["a", "b", "c"])
    axes = figure.axes[0]
    assert axes.images[0].get_array().tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]
    assert [text.get_text() for text in axes.texts] == ["1", "0", "0", "0", "1", "1", "0", "0", "1"]
    assert "accuracy 75.00%, 4 samples" in axes.get_title(loc="left")
    many = confusion_figure(range(59), range(59), [str(i) for i in range(59)]).axes[0]
    assert [label.get_text() for label in many.get_xticklabels()][:3] == ["0", "2", "4"] and not many.texts


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        ([0, 1], [0], "equally many"),
        ([], [], "none"),
        ([0, 3], [0, 1], "true must hold class numbers from 0 to 2, found 3"),
        ([0, 1], [0, 1.5], "predicted must hold class numbers from 0 to 2, found 1.5"),
    ],
)
def test_bad_classes(true, predicted, expected):
    with pytest.raises(InputError, match=expected):
        confusion_figure(true, predicted, ["a", "b", "c"])


def test_networks_stand_side_by_side():
    scenes = [scene_of(sparse(MLP([4, 8, 2], seed=seed), 0.5)) for seed in range(3)]
    panels = [Panel(f"m{i}", "note", scene) for i, scene in enumerate(scenes)]
    figure = comparison_figure(panels, labels={"output": ["one", "two"]})
    png(figure)
    assert len(figure.axes) == 3 and {"m0", "m1", "m2"} <= {text.get_text() for text in figure.texts}
    for panel, axes in zip(panels, figure.axes, strict=True):
        drawn = [c for c in axes.collections if str(c.get_gid()).startswith("wires ")]
        assert sum(len(c.get_segments()) for c in drawn) == panel.scene.drawn > 0
        assert {"one", "two"} <= {text.get_text() for text in axes.texts}
    with pytest.raises(InputError, match="at least one"):
        comparison_figure([])


def test_networks_side_by_side_have_row_names_numbers_and_a_key():
    scenes = [scene_of(transformer(2, 1, 0.15)), scene_of(eliminated(transformer(2, 1, 0.15)))]
    figure = comparison_figure([Panel("a", "note", scenes[0]), Panel("b", "note", scenes[1])])
    first, second = ([text for text in axes.texts if text.get_gid() == "row name"] for axes in figure.axes)
    assert [text.get_text() for text in first] == row_names(scenes[0]) and "block 0 MLP" in row_names(scenes[0])
    assert second == []  # the same rows
    numbers = [text for text in figure.axes[1].texts if text.get_gid() == "number"]
    assert numbers and collisions(figure) == []
    words = {text.get_text() for text in figure.texts}
    assert {"positive", "negative", "active", "same neuron"} <= words
    states = {int(state) for scene in scenes for own in scene.states for state in own}
    assert (STATES[NO_INPUT] in words) == (NO_INPUT in states) and STATES[DEAD_END] in words
    other = comparison_figure([Panel("a", "", scenes[0]), Panel("b", "", scene_of(sparse(MLP([4, 8, 2]), 0.5)))])
    assert all(any(text.get_gid() == "row name" for text in axes.texts) for axes in other.axes)


def test_pruning_curves():
    points = [PrunePoint(0.0, 30, 1e-3, False), PrunePoint(0.1, 10, 1e-2, False), PrunePoint(1.0, 0, 1.0, True)]
    figure = pruning_curves_figure({"a": {"l1": [points, points], "bimt": [points]}, "b": {"l1": [points]}})
    png(figure)
    axes, other = figure.axes
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"l1", "bimt"}
    assert (axes.get_title(loc="left"), other.get_title(loc="left")) == ("a", "b")
    thick = [line for line in axes.lines if line.get_linewidth() > 1]
    assert [line.is_dashed() for line in thick] == [False, True]  # the second would hide the first
    x, y = (list(numbers) for numbers in (thick[0].get_xdata(), thick[0].get_ydata()))
    assert x == list(range(1, 31)) and y == [1.0] * 9 + [1e-2] * 20 + [1e-3]
    for bad in ({}, {"a": {}}, {"a": {"l1": []}}, {"a": {"l1": [[]]}}):
        with pytest.raises(InputError, match="at least one"):
            pruning_curves_figure(bad)


def test_every_method_has_a_colour_and_a_marker_of_its_own():
    for looks in (METHOD_COLOURS, METHOD_MARKERS):
        assert looks.keys() == METHODS.keys() and len(set(looks.values())) == len(METHODS)
