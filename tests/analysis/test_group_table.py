"""Groups by their tables: what is no group is refused with the products that refute it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_groups import KLEIN, cyclic, quaternions, symmetric

from bimt_tf.analysis.group_table import finite_group
from bimt_tf.errors import InputError


def test_kleins_four_group():
    group = finite_group(torch.tensor(KLEIN), "e a b c".split())
    assert group.identity == 0 and group.abelian and group.generator is None
    assert group.orders.tolist() == [1, 2, 2, 2] and group.inverses.tolist() == [0, 1, 2, 3]
    assert [len(one) for one in group.subgroups] == [1, 2, 2, 2, 4]
    assert group.generated(group.generators) == frozenset(range(4))
    assert repr(group) == "FiniteGroup(4 elements, abelian)"


def test_s4_has_thirty_subgroups_and_four_are_normal():
    group = symmetric(4)
    assert len(group.subgroups) == 30
    normal = [s for s in group.subgroups if (group.cosets(s, "left") == group.cosets(s, "right")).all()]
    assert [len(s) for s in normal] == [1, 4, 12, 24]
    assert not group.abelian and group.generator is None


def test_cosets_by_hand():
    group = symmetric(3)
    for subgroup in group.subgroups:
        members = sorted(subgroup)
        for side in ("left", "right"):
            labels = group.cosets(subgroup, side)
            for a in range(6):
                same = {int(group.table[a, h] if side == "left" else group.table[h, a]) for h in members}
                assert same == set(np.flatnonzero(labels == labels[a]).tolist())


def test_a_cyclic_group_and_its_logarithms():
    group = cyclic(12)
    assert group.generator == 1 and group.logarithms.tolist() == list(range(12))
    assert [len(one) for one in group.subgroups] == [1, 2, 3, 4, 6, 12]
    shuffled = np.random.default_rng(0).permutation(7)  # element a is the number shuffled[a]
    place = np.argsort(shuffled)
    other = finite_group(place[(shuffled[:, None] + shuffled) % 7])
    step = shuffled[other.generator]
    assert [(m * step) % 7 for m in other.logarithms] == shuffled.tolist()


def test_orders_of_the_quaternions():
    assert quaternions().orders.tolist() == [1, 4, 4, 4, 2, 4, 4, 4]


def test_subgroups_by_name():
    group = symmetric(3)
    assert group.word(frozenset([group.identity])) == "e"
    assert group.word(group.generated([group.names.index("231")])) == "<231>"


def test_what_is_no_group_is_refused_with_what_refutes_it():
    wrong = np.array(KLEIN)
    wrong[1, 2], wrong[1, 3] = wrong[1, 3], wrong[1, 2]
    with pytest.raises(InputError, match=r"no group's: \(a b\) b is e, but a \(b b\) is a"):
        finite_group(wrong, "e a b c".split())
    with pytest.raises(InputError, match="2 has no inverse"):
        finite_group([[0, 1, 2], [1, 0, 2], [2, 2, 2]])
    with pytest.raises(InputError, match="no element leaves every other as it is"):
        finite_group([[0, 0], [0, 0]])
    with pytest.raises(InputError, match="1 times 1 is 5"):
        finite_group([[0, 1], [1, 5]])


@pytest.mark.parametrize(
    ("table", "names", "action", "says"),
    [
        ([[0, 1]], None, None, r"\[n, n\]"),
        ([[0, 1], [1]], None, None, "different lengths"),
        ([[0.0]], None, None, "whole numbers"),
        (KLEIN, ["e", "a", "a", "b"], None, "4 different words"),
        (KLEIN, None, [[0, 1]] * 3, r"action must be \[4, points\]"),
        (KLEIN, None, [[0, 0]] * 4, "permutations of 0 to 1"),
        (KLEIN, None, [[0, 1], [1, 0], [1, 0], [1, 0]], "1 after 2 is not"),
        (np.zeros((600, 600), int), None, None, "512"),
    ],
)
def test_bad_tables_names_and_actions(table, names, action, says):
    with pytest.raises(InputError, match=says):
        finite_group(table, names, action)


def test_bad_questions():
    group = cyclic(4)
    with pytest.raises(InputError, match="0 to 3, found 4"):
        group.generated([4])
    with pytest.raises(InputError, match="no subgroup"):
        group.cosets(frozenset([0, 1]), "left")
    with pytest.raises(InputError, match="side"):
        group.cosets(frozenset([0, 2]), "middle")
    with pytest.raises(InputError, match="no generator"):
        _ = finite_group(KLEIN).logarithms
