"""The figures of a group report: what they have for which group, and in which order elements stand."""

from __future__ import annotations

import numpy as np
import pytest
from known_groups import cyclic, parity, symmetric

from bimt_tf import group_report
from bimt_tf.analysis.group_dimensions import standard_matrices
from bimt_tf.errors import InputError
from bimt_tf.figures.group import group_figures
from bimt_tf.figures.group_errors import group_errors_figure
from bimt_tf.figures.group_order import element_order, neuron_order


@pytest.fixture(scope="module")
def of_s4():
    group = symmetric(4)
    planted = np.column_stack([standard_matrices(group, "cube").reshape(24, 9)[:, :4], parity(group)])
    return group_report(group, planted, [2, 3, 5, 7, 11], [[3, 5], [2, 7, 11]], draws=50)


def test_a_group_of_permutations_has_neurons_a_graph_and_errors(of_s4):
    found = group_figures(of_s4)
    assert list(found) == ["neurons", "cayley", "errors"]
    axes = found["neurons"].axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["3", "5", "11", "2", "7"]
    assert axes.images[0].get_array().shape == (5, 24)
    titles = [one.get_title("left") for one in found["cayley"].axes]
    assert titles[0] == "a to a s, s = 2134, 1324, 1243" and "neuron 11: sign 1.00" in titles
    for figure in found.values():
        figure.canvas.draw()


def test_elements_stand_by_cosets_of_normal_subgroups(of_s4):
    order, ends = element_order(of_s4.group)
    assert [one.tolist() for one in ends] == [[12], [4, 8, 12, 16, 20]]
    signs = parity(of_s4.group)[order]
    assert abs(signs[:12].sum()) == 12 and signs[0] == -signs[12]
    assert [of_s4.neurons[i] for i in neuron_order(of_s4)] == [3, 5, 11, 2, 7]


def test_a_cyclic_group_has_rings_and_no_map_of_a_representation():
    turns = 2 * np.pi * 3 * np.arange(11) / 11
    planted = np.column_stack([np.cos(turns), np.sin(turns), np.cos(2 * turns)])
    report = group_report(cyclic(11), planted, [0, 1, 2], [[0, 1], [2]], draws=50)
    found = group_figures(report)
    assert list(found) == ["rings", "cayley", "errors"] and len(found["errors"].axes) == 2
    assert found["rings"].axes[0].get_title("left").startswith("Frequency 3: $R^2$ = 1.000")
    assert element_order(report.group)[0].tolist() == list(range(11))
    for figure in found.values():
        figure.canvas.draw()


def test_what_cannot_be_drawn():
    full = group_report(symmetric(3), np.eye(6), draws=50)
    assert "errors" not in group_figures(full)
    with pytest.raises(InputError, match="no error to draw"):
        group_errors_figure(full)
    with pytest.raises(InputError, match="GroupReport"):
        group_figures("report")
