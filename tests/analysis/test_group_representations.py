"""Representations from tables: homomorphisms, orthogonal by Schur, complete, and named by their characters."""

from __future__ import annotations

import numpy as np
import pytest
from known_groups import KLEIN, cyclic, parity, quaternions, symmetric

from bimt_tf.analysis.cayley import cayley_graph, cayley_places, usual_generators
from bimt_tf.analysis.group_dimensions import (
    BASES,
    effective_dimension,
    standard_dimensions,
    standard_matrices,
)
from bimt_tf.analysis.group_representations import irreps
from bimt_tf.analysis.group_table import finite_group
from bimt_tf.errors import InputError

GROUPS = {"S4": symmetric(4), "Z12": cyclic(12), "Z59": cyclic(59), "Q8": quaternions(), "Klein": finite_group(KLEIN),
          "one": cyclic(1), "S3": symmetric(3)}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_every_representation_is_an_orthogonal_homomorphism(name):
    group = GROUPS[name]
    for one in irreps(group):
        rho = one.matrices
        np.testing.assert_allclose(rho[group.table], np.einsum("aij,bjk->abik", rho, rho), atol=1e-9)
        np.testing.assert_allclose(rho @ rho.transpose(0, 2, 1), np.broadcast_to(np.eye(one.dim), rho.shape), atol=1e-9)


@pytest.mark.parametrize("name", GROUPS)
def test_they_are_orthogonal_and_complete(name):
    group = GROUPS[name]
    parts = irreps(group)
    basis = np.concatenate([one.functions for one in parts], axis=1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(len(group)), atol=1e-9)
    for one in parts:
        for other in parts:
            inner = one.character @ other.character / len(group)
            assert inner == pytest.approx(one.commutant if one is other else 0, abs=1e-9)


@pytest.mark.parametrize(("name", "dims"), [("S4", [1, 1, 2, 3, 3]), ("Q8", [1, 1, 1, 1, 4]), ("Klein", [1] * 4)])
def test_dimensions(name, dims):
    parts = irreps(GROUPS[name])
    assert [one.dim for one in parts] == dims and parts[0].name == "trivial"
    assert (parts[-1].kind == "quaternionic") == (name == "Q8")


def test_the_names_of_s4s():
    group = GROUPS["S4"]
    named = {one.name: one for one in irreps(group)}
    assert list(named) == ["trivial", "sign", "2-dim", "standard", "standard x sign"]
    np.testing.assert_allclose(named["sign"].matrices[:, 0, 0], parity(group), atol=1e-9)
    fixed = (group.action == np.arange(4)).sum(1)
    np.testing.assert_allclose(named["standard"].character, fixed - 1, atol=1e-9)
    assert [one.name for one in irreps(GROUPS["S3"])] == ["trivial", "sign", "standard"]


def test_frequencies_of_a_cyclic_group():
    parts = irreps(GROUPS["Z12"])
    assert [one.name for one in parts[1:]] == [f"frequency {k}" for k in range(1, 7)]
    wave = np.cos(2 * np.pi * 5 * np.arange(12) / 12 + 0.3)
    shares = {one.name: ((one.functions.T @ wave) ** 2).sum() / (wave @ wave) for one in parts}
    assert shares["frequency 5"] == pytest.approx(1) and parts[5].kind == "complex" and parts[6].kind == "real"


def test_the_papers_effective_dimensions():
    """Appendix E: 120, 108 and 153 for the faithful representations."""
    found = standard_dimensions(GROUPS["S4"])
    assert {basis: round(value) for basis, value in found.items()} == {
        "neighbours": 120, "last": 108, "orthogonal": 153, "cube": 72,
    }  # fmt: skip


@pytest.mark.parametrize("basis", BASES)
def test_the_standard_representation_in_each_basis(basis):
    group = GROUPS["S4"]
    rho = standard_matrices(group, basis)
    np.testing.assert_allclose(rho[group.table], np.einsum("aij,bjk->abik", rho, rho), atol=1e-9)
    named = {one.name: one for one in irreps(group)}
    np.testing.assert_allclose(np.trace(rho, axis1=1, axis2=2), named["standard"].character, atol=1e-9)


def test_effective_dimension():
    assert effective_dimension([[1.0, -1.0], [0.0, 1.0]]) == pytest.approx(3)
    assert effective_dimension([5.0, 0.0]) == pytest.approx(1)
    assert 1 < effective_dimension([1.0, 0.1]) < 2
    for bad in ([0.0], ["a"], [np.nan]):
        with pytest.raises(InputError, match="finite numbers"):
            effective_dimension(bad)
    with pytest.raises(InputError, match="no action"):
        standard_matrices(cyclic(5), "last")
    with pytest.raises(InputError, match="four points, found 3"):
        standard_matrices(symmetric(3), "cube")
    with pytest.raises(InputError, match="'neighbours'"):
        standard_matrices(symmetric(3), "neighbors")
    assert standard_dimensions(cyclic(5)) == {} and "cube" not in standard_dimensions(symmetric(3))


@pytest.mark.parametrize("signed", [False, True])
def test_eight_entries_along_the_cubes_axes_do_not_tell_the_products_apart(signed):
    """docs/groups.md: from all but one of the nine entries, only four entries of a product can be summed up."""
    group = GROUPS["S4"]
    sign = np.array([round(np.linalg.det(matrix)) for matrix in standard_matrices(group, "cube")])
    entries = standard_matrices(group, "cube").round(9)
    entries = entries * sign[:, None, None] if signed else entries
    for row in range(3):
        for column in range(3):
            rows, columns = np.delete(np.arange(3), row), np.delete(np.arange(3), column)
            product = np.einsum("aik,bkj->abij", entries[:, rows], entries[:, :, columns])
            np.testing.assert_allclose(product, entries[group.table][:, :, rows][:, :, :, columns])
            known = np.c_[entries[:, rows][:, :, columns].reshape(24, 4), sign]
            assert len(np.unique(known, axis=0)) == len(np.unique(known[:, :4], axis=0)) == 16
        assert len(np.unique(np.delete(entries, row, axis=1).reshape(24, 6), axis=0)) == 24


def test_cayley_graphs():
    group = GROUPS["S4"]
    assert [group.names[s] for s in usual_generators(group)] == ["2134", "1324", "1243"]
    graph = cayley_graph(group)
    assert len(graph) == 24 and len(graph.edges) == 72
    assert all(group.table[a, s] == b for a, b, s in graph.edges(data="generator"))
    with pytest.raises(InputError, match="which reach 2"):
        cayley_graph(group, [usual_generators(group)[0]])
    with pytest.raises(InputError, match="not the identity"):
        cayley_graph(group, [*usual_generators(group), group.identity])


def test_places_are_planar_or_a_circle():
    places = cayley_places(cayley_graph(GROUPS["S4"]))
    lines = [(np.array(places[a]), np.array(places[b])) for a, b, _ in cayley_graph(GROUPS["S4"]).edges(data=True)]
    assert not any(crosses(*one, *other) for one in lines for other in lines)
    around = cayley_places(cayley_graph(cyclic(9)))
    np.testing.assert_allclose([np.hypot(*around[a]) for a in range(9)], 1)
    steps = {round(float(np.hypot(*np.subtract(around[a], around[(a + 1) % 9]))), 9) for a in range(9)}
    assert len(steps) == 1
    assert len(cayley_places(cayley_graph(quaternions()))) == 8


def crosses(a, b, c, d) -> bool:
    """Whether two segments cross between their ends."""

    def side(p, q, r):
        return np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    if any((one == other).all() for one in (a, b) for other in (c, d)):
        return False
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
