"""Modules of one representation against representations dealt at random."""

from __future__ import annotations

from itertools import permutations

import pytest

from bimt_tf.analysis.group_modules import purity
from bimt_tf.errors import InputError


def test_against_all_orders():
    modules, kinds = [[4, 7], [1, 2], [9]], ["a", "a", "b", "b", "c"]
    best = dict(zip((4, 7, 1, 2, 9), kinds, strict=True))
    orders = set(permutations(kinds))
    pure = [(x == y) + (z == w) + 1 for x, y, z, w, _ in orders]
    found = purity(modules, best, draws=4000)
    assert (found.modules, found.pure) == (3, 3)
    assert found.chance == pytest.approx(sum(pure) / len(pure), abs=0.05)
    assert found.p == pytest.approx(pure.count(3) / len(pure), abs=0.02)


def test_mixed_modules_are_not_pure():
    found = purity([[0, 1], [2, 3]], {0: "a", 1: "b", 2: "a", 3: "b"}, draws=50)
    assert found.pure == 0 and found.p == 1


def test_where_nothing_can_be_said():
    assert purity([[0, 1]], {0: "a", 1: "a"}) is None and purity([[0], [1]], {0: "a", 1: "b"}) is None
    for modules in ([[0], [0, 1]], [[0], [1, 2]]):
        with pytest.raises(InputError, match="each once"):
            purity(modules, {0: "a", 1: "b"})
