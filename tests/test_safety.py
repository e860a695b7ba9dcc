"""Random networks with shared memory, buffers and code of their own are baked right, or refused: never in between.

BIMT_SAFETY_CASES=1000 pytest tests/test_safety.py      a thousand of them; 300 otherwise
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_nets import EXTRAS, KINDS, TIES, Case, Net

from bimt_tf import BIMT, Layout, Wiring
from bimt_tf.errors import InputError

CASES = int(os.environ.get("BIMT_SAFETY_CASES", "300"))
SEEN: Counter[str] = Counter()
LAYERS = ("E", "U", "A0", "G0", "B0", "A1", "G1", "B1")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    blocks = draw(st.integers(1, 2))
    layers = st.sampled_from(LAYERS[: 2 + 3 * blocks])
    extras = st.tuples(st.sampled_from(EXTRAS), st.integers(-1, blocks - 1))
    kinds = draw(st.dictionaries(layers, st.sampled_from(KINDS), max_size=2))
    free = [layer for layer in LAYERS[: 2 + 3 * blocks] if layer not in kinds]
    pairs = st.tuples(st.sampled_from(TIES), st.sampled_from(free), st.sampled_from(free)).filter(
        lambda t: t[1] != t[2]
    )
    return Case(
        width=draw(st.sampled_from([2, 4, 6, 7])),
        hidden=draw(st.sampled_from([3, 4, 8])),
        blocks=blocks,
        extras=tuple(draw(st.lists(extras, max_size=2))),
        kinds=tuple(kinds.items()),
        ties=tuple(draw(st.lists(pairs, max_size=1))),
        named=draw(st.booleans()),
        seed=draw(st.integers(0, 999)),
    )


def batch() -> torch.Tensor:
    return torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def outcome(case: Case) -> str:
    """What became of a network whose layout was baked without looking at outputs; they are looked at here."""
    net = Net(case).eval()
    with torch.no_grad():
        before = net(batch())
        tensors = {n: t.clone() for n, t in net.state_dict().items()}
        try:
            bimt = BIMT(net, wiring=Wiring.from_table(net.table, net, left_out=net.left_out))
            bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(case.seed))
            orders = bimt.bake_(check=False)
        except InputError as error:
            assert len(str(error)) <= 600
            assert all(torch.equal(t, tensors[n]) for n, t in net.state_dict().items())
            return "refused"
        torch.testing.assert_close(net(batch()), before, rtol=1e-9, atol=1e-9)
    moved = sum(not torch.equal(order, torch.arange(len(order))) for order in orders.values())
    return "all moved" if moved == len(bimt.wiring.populations) else "some moved" if moved else "all held"


@settings(max_examples=CASES)
@given(cases())
def test_a_random_network_is_right_or_refused(case):
    SEEN[outcome(case)] += 1


def test_the_random_networks_are_of_all_sorts():
    assert set(SEEN) == {"refused", "all moved", "some moved", "all held"}, SEEN
    assert min(SEEN.values()) >= 5, SEEN


PLAIN = Case(width=7, hidden=8, blocks=2)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (PLAIN, "all moved"),
        (PLAIN._replace(extras=(("mask", 0),), named=True), "all moved"),  # named, so it moves along
        (PLAIN._replace(extras=(("mask", 0),)), "some moved"),
        (PLAIN._replace(extras=(("constant", 0),)), "all moved"),
        (PLAIN._replace(extras=(("batchnorm", 0),)), "all moved"),  # its statistics stand where its gain does
        (PLAIN._replace(extras=(("gain", 1),)), "some moved"),
        (PLAIN._replace(extras=(("list", -1),)), "some moved"),
        (PLAIN._replace(extras=(("half", 1),)), "some moved"),
        (PLAIN._replace(kinds=(("A0", "weight_norm"),)), "all moved"),
        (PLAIN._replace(kinds=(("A0", "prune"),), named=True), "all moved"),
        (PLAIN._replace(kinds=(("A0", "tril"),)), "some moved"),
        (PLAIN._replace(kinds=(("U", "subclass"),)), "some moved"),
        (PLAIN._replace(ties=(("parameter", "A0", "G0"),), named=True), "all moved"),
        (PLAIN._replace(ties=(("parameter", "A0", "G0"),)), "refused"),  # a second use that nobody named
        (PLAIN._replace(ties=(("transposed", "E", "U"),)), "all moved"),  # W_U.data = W_E.data.T
        (PLAIN._replace(ties=(("transposed", "A0", "B0"),)), "all moved"),
        (PLAIN._replace(ties=(("transposed", "A0", "B1"),)), "refused"),
        (PLAIN._replace(ties=(("module", "A0", "A1"),), named=True), "refused"),
        (PLAIN._replace(ties=(("module", "A0", "G0"),), named=True), "all moved"),
        (PLAIN._replace(ties=(("overlap", "A0", "G0"),)), "refused"),
        (PLAIN._replace(ties=(("expanded", "A0", "G0"),)), "refused"),
    ],
    ids=str,
)
def test_what_becomes_of_each_sort(case, expected):
    assert outcome(case) == expected
