"""Geometry: slot centres, wire lengths, and what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from reference import unit_coordinates, wire_length

from bimt_tf.core.geometry import Geometry
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError


def wiring(**sizes: int) -> Wiring:
    return Wiring.from_table({f"b.{n}": n for n in sizes}, {f"b.{n}": torch.zeros(s) for n, s in sizes.items()})


def test_slots_of_a_line_stand_at_their_centres():
    found = Geometry(width=3.0).coordinates(wiring(a=4))["a"]
    assert found.dtype == torch.float64
    assert found.tolist() == [[3 * (j + 0.5) / 4] for j in range(4)]


@pytest.mark.parametrize(
    "shape",
    ["line", "ring", "grid", (2, 4), (1, 7), torch.randn(7, 3, generator=torch.Generator().manual_seed(0))],
    ids=str,
)
def test_shapes_equal_the_loops(shape):
    found = Geometry(width=1.7, shapes={"a": shape}).coordinates(wiring(a=7))["a"]
    expected = 1.7 * torch.tensor(unit_coordinates(shape, 7), dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    assert len({tuple(row) for row in found.tolist()}) == 7


def test_a_grid_of_the_users_own_fills_row_by_row():
    found = Geometry(width=1.0, shapes={"a": (2, 3)}).coordinates(wiring(a=5))["a"]
    expected = [[1 / 6, 0.25], [0.5, 0.25], [5 / 6, 0.25], [1 / 6, 0.75]]
    torch.testing.assert_close(found[:4], torch.tensor(expected, dtype=torch.float64))


def test_populations_of_fewer_dimensions_stand_in_the_centre():
    found = Geometry(width=2.0, shapes={"a": "ring"}).coordinates(wiring(a=3, b=2))
    assert found["b"].tolist() == [[0.5, 1.0], [1.5, 1.0]]


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("shapes", [{}, {"a": "ring", "b": (2, 3)}])
@pytest.mark.parametrize(("width", "gap"), [(2.0, 0.5), (0.0, 0.5), (1.3, 0.0)])
def test_distances_equal_the_loop(norm, shapes, width, gap):
    geometry = Geometry(width, gap, norm, shapes)
    at = geometry.coordinates(wiring(a=4, b=6))
    found = geometry.distance(at["a"], at["b"])
    a, b = (unit_coordinates(shapes.get(n, "line"), s) for n, s in (("a", 4), ("b", 6)))
    for i in range(4):
        for j in range(6):
            assert float(found[i, j]) == pytest.approx(wire_length(a[i], b[j], width, gap, norm), rel=1e-13, abs=1e-15)


def test_hand_computed_lengths():
    one, other = torch.tensor([[0.0]]).double(), torch.tensor([[3.0]]).double()
    assert float(Geometry(layer_gap=4.0, norm="l1").distance(one, other)) == 7.0
    assert float(Geometry(layer_gap=4.0, norm="l2").distance(one, other)) == 5.0


def test_the_users_coordinates_are_copied():
    own = torch.rand(3, 1, dtype=torch.float64)
    geometry = Geometry(shapes={"a": own})
    before = geometry.coordinates(wiring(a=3))["a"].clone()
    found = geometry.coordinates(wiring(a=3))["a"]
    own.zero_()
    assert torch.equal(found, before)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, "2", None, True])
@pytest.mark.parametrize("name", ["width", "layer_gap"])
def test_bad_numbers_are_named(name, value):
    with pytest.raises(InputError, match=name):
        Geometry(**{name: value})


def test_unknown_norm_lists_the_near_one():
    with pytest.raises(InputError, match=r"unknown norm 'L1'.*l1"):
        Geometry(norm="L1")


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ("circle", "line, grid, ring"),
        ((2, 2), "too small for the 5"),
        ((-1, -5), "whole numbers"),
        ((5,), "rows, columns"),
        ((2.5, 2), "whole numbers"),
        (torch.zeros(4, 2), r"\[5, dims\], found \[4, 2\]"),
        (torch.zeros(5), r"\[5, dims\], found \[5\]"),
        (torch.zeros(5, 0), r"\[5, dims\], found \[5, 0\]"),
        (torch.full((5, 1), math.nan), "finite"),
        ([[0.0]] * 5, "found a list"),
        (torch.zeros(5, 2).numpy(), "found a ndarray"),
    ],
    ids=str,
)
def test_bad_shapes_are_refused(shape, says):
    with pytest.raises(InputError, match=says) as error:
        Geometry(shapes={"a": shape}).coordinates(wiring(a=5))
    assert "'a'" in str(error.value)


def test_a_shape_for_an_unknown_population_is_refused():
    with pytest.raises(InputError, match=r"'hiden0'.*'hidden0'"):
        Geometry(shapes={"hiden0": "ring"}).coordinates(wiring(hidden0=5))


def test_a_pattern_shapes_all_that_it_fits():
    net = wiring(input=4, hidden0=4, hidden1=4, hidden12=4, output=4)
    geometry = Geometry(width=1.0, shapes={"hidden?": "grid", "hidden*": "ring", "hidden0": "line", "in*": "ring"})
    found = geometry.coordinates(net)
    line, grid, ring = (
        Geometry(width=1.0, shapes={"output": shape, "input": "grid"}).coordinates(net)["output"]
        for shape in ("line", "grid", "ring")
    )
    expected = {"input": ring, "hidden0": line, "hidden1": grid, "hidden12": ring, "output": line}
    for name, coordinates in expected.items():
        torch.testing.assert_close(found[name], coordinates, rtol=0, atol=0)


def test_a_pattern_that_fits_nothing_is_refused():
    with pytest.raises(InputError, match=r"'hiden\*'.*hidden0"):
        Geometry(shapes={"hiden*": "ring"}).coordinates(wiring(hidden0=5))


def test_a_geometry_says_where_its_slots_are():
    assert repr(Geometry()) == "Geometry(width=2.0, layer_gap=0.5, norm='l1')"
    shapes = {"hidden*": "grid", "input": (2, 3), "output": torch.zeros(10, 2)}
    assert repr(Geometry(1.0, 0.1, "l2", shapes)) == (
        "Geometry(width=1.0, layer_gap=0.1, norm='l2', "
        "shapes={'hidden*': 'grid', 'input': (2, 3), 'output': <coordinates [10, 2]>})"
    )
