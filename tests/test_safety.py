"""Random networks with shared memory, buffers and code of their own go on after bake_ as without it, or are refused.

BIMT_SAFETY_CASES=1000 pytest tests/test_safety.py      a thousand of them; 80 otherwise
python -m benchmarks.safety --cases 1000                the same, counted by optimizer
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_nets import Case
from random_training import NEVER, OPTIMIZERS, Task, Training, Wrong, batch, draw_task, outcome

from bimt_tf import BIMT, Layout, Wiring
from bimt_tf.errors import InputError

CASES = int(os.environ.get("BIMT_SAFETY_CASES", "80"))
SEEN: Counter[str] = Counter()


@settings(max_examples=CASES)
@given(st.integers(0, 10**9))
def test_a_random_network_is_right_or_refused(seed):
    SEEN[outcome(draw_task(random.Random(seed)))] += 1


def test_the_random_networks_are_of_all_sorts():
    for seed in range(40):
        SEEN[outcome(draw_task(random.Random(seed)))] += 1
    assert {"refused", "all moved", "some moved", "all held"} <= set(SEEN), SEEN


PLAIN = Case(width=7, hidden=8, blocks=2)
ATTENTION = PLAIN._replace(attention=(0,))


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
        (PLAIN._replace(extras=(("nested", 0),)), "some moved"),
        (PLAIN._replace(extras=(("array", 0),)), "some moved"),
        (PLAIN._replace(extras=(("object", 0),)), "some moved"),
        (PLAIN._replace(extras=(("hidden", 0),)), "some moved"),
        (PLAIN._replace(extras=(("fleeting", 0),), named=True), "all moved"),
        (PLAIN._replace(width=6, hidden=3, extras=(("heads", -1),)), "some moved"),  # a number for each group of three
        (PLAIN._replace(kinds=(("A0", "gradient_hook"),)), "refused"),
        (PLAIN._replace(kinds=(("A0", "kept"),)), "all moved"),
        (PLAIN._replace(kinds=(("A0", "old_weight_norm"),), named=True), "all moved"),
        (PLAIN._replace(kinds=(("A0", "spectral_norm"),), named=True), "all moved"),
        (ATTENTION, "all moved"),
        (ATTENTION._replace(ties=(("parameter", "Q0", "K0"),), named=True), "all moved"),  # q = k
        (ATTENTION._replace(ties=(("data", "K0", "V0"),), named=True), "refused"),  # k = v
        (PLAIN._replace(ties=(("expanded", "A0", "G0"),)), "refused"),
    ],
    ids=str,
)
@pytest.mark.parametrize("check", [False, True], ids=["unchecked", "checked"])
def test_what_becomes_of_each_sort(case, expected, check):
    assert outcome(Task(case, "AdamW", check, swap=False)) == expected


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_what_becomes_of_each_optimizer(name):
    if name == "schedule-free":
        pytest.importorskip("schedulefree")
    for case in (PLAIN, ATTENTION._replace(width=6, ties=(("transposed", "E", "U"),) * (name != "LBFGS"))):
        expected = "refused" if name in NEVER else "all moved"
        assert outcome(Task(case, name, check=True, swap=True)) == expected


def test_a_wrong_order_would_be_seen(monkeypatch):
    monkeypatch.setattr("bimt_tf.core.moves.states", lambda optimizer, wired: ())  # moments stay behind
    with pytest.raises(Wrong, match="outputs after training differ|losses differ"):
        outcome(Task(PLAIN, "AdamW", check=True, swap=False))


def made(case: Case) -> tuple[Training, BIMT]:
    """A trained network and its BIMT on a random layout."""
    training = Training(Task(case, "SGD", check=False, swap=False))
    training.first()
    net = training.net
    bimt = BIMT(net, wiring=Wiring.from_table(net.table, net, left_out=net.left_out))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    return training, bimt


@pytest.mark.parametrize("kind", ["mask", "batchnorm"])
def test_the_comparison_does_not_put_moved_buffers_back(kind):
    training, bimt = made(PLAIN._replace(extras=((kind, 0),), named=True))
    before = training.answers()
    bimt.bake_(training.optimizers, check=batch(9))
    torch.testing.assert_close(training.answers(), before, rtol=1e-9, atol=1e-9)


def test_a_module_with_a_gradient_hook_is_refused_unless_it_is_said_to_be_free():
    training, bimt = made(PLAIN)
    handle = training.net.layers["A0"].register_full_backward_hook(lambda module, ins, outs: (ins[0] * 2,))
    with pytest.raises(InputError, match="a gradient hook on 'layers.A0' may hold numbers in the order of neurons"):
        bimt.bake_(training.optimizers, check=batch(9))
    free = Wiring.from_table(training.net.table, training.net, order_free=["layers.A0"])
    bimt.swap()
    assert BIMT(training.net, wiring=free, layout=bimt.layout).bake_(training.optimizers, check=batch(9))
    handle.remove()


def test_a_tensor_of_another_shape_that_is_kept_on_a_parameter_is_refused():
    training, bimt = made(PLAIN)
    training.net.layers["A0"].weight.scales = torch.ones(3)
    with pytest.raises(InputError, match=r"'scales', kept on 'layers.A0.weight', is \[3\] and the parameter \[8, 7\]"):
        bimt.bake_(training.optimizers)


@pytest.mark.parametrize("how", ["parameter", "data", "transposed", "overlap"])
def test_a_later_tie_is_refused_by_the_cost_too(how):
    training, bimt = made(PLAIN)
    bimt.cost()
    pair = ("E", "U") if how == "transposed" else ("A0", "G0")
    training.net._tie(how, *pair)
    names = rf"'layers.{pair[0]}.weight' and 'layers.{pair[1]}.weight' share memory now"
    calls = (bimt.cost, lambda: bimt.add_cost_grad_(1.0), lambda: bimt.shrink_(1.0, training.optimizers), bimt.swap)
    for call in (*calls, bimt.cost):  # and again: it does not forget
        with pytest.raises(InputError, match=names):
            call()
    weight = training.net.layers[pair[1]].weight
    training.net.layers[pair[1]].weight = torch.nn.Parameter(weight.detach().clone())
    assert bimt.cost() > 0
