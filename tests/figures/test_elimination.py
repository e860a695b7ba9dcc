"""The figure of an elimination's path."""

from __future__ import annotations

import math

import pytest

from bimt_tf.errors import InputError
from bimt_tf.figures.elimination import elimination_figure


def row(weights, loss, q=0.5, validation=None):
    return {"weights": weights, "loss": loss, "test_loss": 2 * loss, "validation_loss": validation,
            "modularity_shared": q}  # fmt: skip


def test_losses_modularity_budget_and_the_shown_point():
    figure = elimination_figure([row(100, 1e-3), row(50, 1e-6), row(20, 9e-6)], max_loss=1e-5, shown=1, title="path")
    top, bottom = figure.axes
    assert [text.get_text() for text in top.get_legend().get_texts()] == ["fitted", "held out"]
    assert top.get_title(loc="left") == "path" and bottom.get_xlim()[0] > 100 > 20 > bottom.get_xlim()[1]
    assert "shown: 50" in [text.get_text() for text in bottom.texts] and "budget" in [t.get_text() for t in top.texts]
    figure.canvas.draw()


@pytest.mark.parametrize("rows", [[row(7, 1e-3)], [row(7, 1e-3, None, 1e-2), row(7, math.nan, None, 1e-2)]])
def test_one_point_and_points_that_are_not_known(rows):
    figure = elimination_figure(rows, max_loss=math.inf)
    assert not figure.axes[0].texts
    figure.canvas.draw()


def test_no_round_is_refused():
    with pytest.raises(InputError, match="needs at least one round"):
        elimination_figure([])
