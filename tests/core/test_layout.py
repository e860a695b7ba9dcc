"""Layout: permutations that never mix heads, and bake_."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bimt_tf.core.bake import bake_
from bimt_tf.core.layout import Layout
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError


def wiring(heads: int = 3, q: int = 2, v: int = 4, m: int = 5, fixed: tuple[str, ...] = ()) -> Wiring:
    shapes = {"W_Q": (heads, m, q), "W_V": (heads, m, v), "b": (m,)}
    return Wiring.from_table(
        {"W_Q": "h m q", "W_V": "h m v", "b": "m"},
        {name: torch.zeros(shape) for name, shape in shapes.items()},
        heads={"q": "h", "v": "h"},
        fixed=fixed,
    )


sizes = st.tuples(*[st.integers(1, 5)] * 4)


@given(sizes, st.integers(0, 10**6))
def test_random_layouts_never_mix_heads(sizes, seed):
    w = wiring(*sizes)
    layout = Layout.random(w, torch.Generator().manual_seed(seed))
    layout.check(w)
    where = {}
    for name, p in w.populations.items():
        slots = layout.slots[name].tolist()
        assert sorted(slots) == list(range(p.size))
        for h in range(p.heads):
            segments = {s // p.head_size for s in slots[h * p.head_size : (h + 1) * p.head_size]}
            assert len(segments) == 1
            where.setdefault((p.group, h), set()).update(segments)
        order = layout.order(name).tolist()
        assert [slots[neuron] for neuron in order] == list(range(p.size))
        assert layout.segments(p).tolist() == [slots[h * p.head_size] // p.head_size for h in range(p.heads)]
    assert all(len(segments) == 1 for segments in where.values())


def test_random_layouts_reach_every_layout():
    w = wiring(heads=2, q=2, v=1, m=1)
    generator = torch.Generator().manual_seed(0)
    seen = {tuple(tuple(s.tolist()) for s in Layout.random(w, generator).slots.values()) for _ in range(200)}
    assert len(seen) == 2 * 2 * 2


def test_random_layouts_come_from_the_generator_alone():
    state = torch.random.get_rng_state()
    a, b = (Layout.random(wiring(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a.slots[n], b.slots[n]) for n in a.slots)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("fixed", "stay"), [("m", {"m"}), ("q", {"q", "v"})])
def test_fixed_populations_and_their_head_group_stay(fixed, stay):
    w = wiring(fixed=(fixed,))
    for seed in range(5):
        layout = Layout.random(w, torch.Generator().manual_seed(seed))
        for name in w.populations:
            stays = torch.equal(layout.slots[name], torch.arange(w.populations[name].size))
            assert stays == (name in stay)


def test_identity_and_moved():
    w = wiring()
    identity = Layout.identity(w)
    identity.check(w)
    other = Layout(identity.slots | {"m": torch.tensor([1, 0, 2, 3, 4])})
    assert other.moved(identity) == identity.moved(other) == 2
    assert identity.moved(identity) == 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"m": torch.tensor([0, 1, 2, 3, 3])}, "'m' are not a permutation of 0..4"),
        ({"m": torch.tensor([0, 1, 2, 3, 5])}, "'m' are not a permutation of 0..4"),
        ({"m": torch.tensor([0, 1, 2, 3, -4])}, "'m' are not a permutation"),
        ({"m": torch.arange(5).int()}, r"'m' must be int64 \[neurons\], found int32 \[5\]"),
        ({"m": torch.arange(5)[None]}, r"'m' must be int64 \[neurons\], found int64 \[1, 5\]"),
        ({"m": torch.tensor(0)}, r"'m' must be int64 \[neurons\], found int64 \[\]"),
        ({"m": [0, 1, 2, 3, 4]}, "'m' must be a tensor, found a list"),
    ],
    ids=range(7),
)
def test_what_is_no_permutation_is_refused_where_it_is_given(changed, says):
    with pytest.raises(InputError, match=says):
        Layout(Layout.identity(wiring()).slots | changed)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"m": torch.arange(4)}, r"'m' must be int64 \[5\], found int64 \[4\]"),
        ({"q": torch.tensor([0, 2, 1, 3, 4, 5])}, "'q' mix neurons of different heads"),
        ({"q": torch.tensor([2, 3, 0, 1, 4, 5])}, "'q' and 'v' disagree"),
        ({"mm": torch.arange(5)}, r"unknown population in the layout 'mm'"),
    ],
    ids=range(4),
)
def test_layouts_of_another_wiring_are_refused(changed, says):
    layout = Layout(Layout.identity(wiring()).slots | changed)
    with pytest.raises(InputError, match=says):
        layout.check(wiring())


def test_a_layout_that_lacks_a_population_is_refused():
    with pytest.raises(InputError, match="no slots for population 'q'"):
        Layout({"m": torch.arange(5)}).check(wiring())


def copies(layout: Layout) -> list[Layout]:
    return [layout, pickle.loads(pickle.dumps(layout)), copy.copy(layout), copy.deepcopy(layout)]


@pytest.mark.parametrize("which", range(4), ids=["itself", "pickled", "copy", "deepcopy"])
def test_nothing_that_a_layout_gives_or_takes_can_change_it(which):
    given = Layout.random(wiring(), torch.Generator().manual_seed(1)).slots
    expected = {name: s.tolist() for name, s in given.items()}
    layout = copies(Layout(given))[which]
    given["m"].zero_()
    given["n"] = torch.arange(2)
    for name, slots in layout.slots.items():
        slots.zero_()
        layout.order(name).zero_()
        layout.segments(wiring().populations[name]).zero_()
        with pytest.raises(ValueError, match="read-only"):
            layout.of(name)[0] = 0
        with pytest.raises(ValueError, match="read-only"):
            layout.of(name).sort()
    layout.slots["m"] = torch.arange(5)
    layout.slots.clear()
    for attempt in (
        lambda: setattr(layout, "slots", {}),
        lambda: setattr(layout, "m", 1),
        lambda: delattr(layout, "_own"),
    ):
        with pytest.raises(AttributeError, match="cannot be changed"):
            attempt()
    assert {name: s.tolist() for name, s in layout.slots.items()} == expected
    assert {name: layout.of(name).tolist() for name in layout} == expected
    assert all(s.dtype == torch.int64 and s.device.type == "cpu" for s in layout.slots.values())


def test_layouts_are_equal_if_every_neuron_stands_in_the_same_slot():
    layout = Layout.random(wiring(), torch.Generator().manual_seed(1))
    for same in (*copies(layout), Layout(dict(reversed(layout.slots.items())))):
        assert same == layout and hash(same) == hash(layout) and not same != layout
    fewer = layout.slots
    del fewer["m"]
    others = [Layout.identity(wiring()), Layout(fewer), Layout(layout.slots | {"m": torch.arange(6)}), layout.slots]
    assert all(layout != other and other != layout for other in others)
    assert len({layout, *copies(layout), *others[:3]}) == 4


def test_a_layout_made_in_inference_mode_serves_outside():
    with torch.inference_mode():
        layout = Layout.identity(wiring())
    weights = torch.ones(5, requires_grad=True)
    weights[layout.slots["m"]].sum().backward()
    assert not layout.slots["m"].is_inference() and weights.grad is not None


def test_an_unknown_population_of_a_layout():
    with pytest.raises(InputError, match=r"unknown population 'mm'.*'m'"):
        Layout.identity(wiring()).of("mm")


def test_a_layout_says_how_many_neurons_moved():
    layout = Layout(Layout.identity(wiring()).slots | {"m": torch.tensor([1, 0, 2, 3, 4])})
    assert repr(layout) == "Layout(2 of 23 neurons moved from the slot of their number, 3 populations)"


def test_places_are_the_coordinates_of_the_slots_occupied():
    layout = Layout({"a": torch.tensor([2, 0, 1])})
    at = layout.places({"a": torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])})
    assert at["a"].tolist() == [[30.0, 3.0], [10.0, 1.0], [20.0, 2.0]]


def test_bake_moves_rows_columns_and_leaves_the_identity():
    w = Wiring.from_table({"w": "a b", "b": "b"}, {"w": torch.zeros(3, 2), "b": torch.zeros(2)})
    parameters = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), "b": torch.tensor([7.0, 8.0])}
    layout = Layout({"a": torch.tensor([2, 0, 1]), "b": torch.tensor([1, 0])})  # neuron -> slot
    after, orders = bake_(w, layout, parameters)
    # slot 0 is held by neuron 1, slot 1 by neuron 2, slot 2 by neuron 0; columns are exchanged
    assert parameters["w"].tolist() == [[4.0, 3.0], [6.0, 5.0], [2.0, 1.0]]
    assert parameters["b"].tolist() == [8.0, 7.0]
    assert {n: o.tolist() for n, o in orders.items()} == {"a": [1, 2, 0], "b": [1, 0]}
    assert all(torch.equal(s, torch.arange(len(s))) for s in after.slots.values())
    assert layout.slots["a"].tolist() == [2, 0, 1]


def test_bake_keeps_a_head_group_that_is_not_bakeable_as_a_whole():
    shapes = {"W_Q": torch.randn(3, 5, 2), "W_V": torch.randn(3, 5, 4)}
    w = Wiring.from_table({"W_Q": "h m q", "W_V": "h m v"}, shapes, heads={"q": "h", "v": "h"}, unbakeable=["q"])
    layout = Layout.random(w, torch.Generator().manual_seed(1))
    after, orders = bake_(w, layout, shapes)
    assert set(orders) == {"m"}
    assert torch.equal(after.slots["q"], layout.slots["q"]) and torch.equal(after.slots["v"], layout.slots["v"])


def partly(**kwargs: object) -> Wiring:
    shapes = {"W_Q": torch.zeros(3, 5, 4), "W_K": torch.zeros(3, 5, 4), "W_V": torch.zeros(3, 5, 2)}
    table = {"W_Q": "h m q@q", "W_K": "h m q@k", "W_V": "h m v"}
    return Wiring.from_table(table, shapes, heads={"q": "h", "v": "h"}, **kwargs)


@pytest.mark.parametrize("pinned", [0, 1, 3, 4])
@pytest.mark.parametrize("anchored", [False, True])
def test_bake_moves_what_a_symmetry_can_move_and_leaves_the_rest_in_the_layout(pinned, anchored):
    w = partly(pinned={"q": pinned}, anchored=["h"] if anchored else [])
    for seed in range(5):
        before = Layout.random(w, torch.Generator().manual_seed(seed))
        tensors = {name: torch.arange(3 * 5 * n).reshape(3, 5, n) for name, n in (("W_Q", 4), ("W_K", 4), ("W_V", 2))}
        after, orders = bake_(w, before, tensors)
        after.check(w)
        for name, p in w.populations.items():
            assert torch.equal(after.slots[name], before.slots[name][orders[name]])  # every neuron keeps its slot
            places = after.slots[name].reshape(p.heads, p.head_size) if p.head_axis else after.slots[name][None]
            stay = pinned if name == "q" else 0
            order = orders[name].reshape(p.heads, p.head_size)
            assert (order[:, :stay] % p.head_size == torch.arange(stay)).all()
            assert (places[:, stay:].diff(dim=1) > 0).all()  # the free ones stand in slot order
            heads = order[:, 0] // p.head_size
            assert heads.tolist() == sorted(heads.tolist()) if anchored else (places[:, 0].diff() >= 0).all()
        q, m = orders["q"].reshape(3, 4), orders["m"]
        old = torch.arange(60).reshape(3, 5, 4)
        expected = torch.stack([old[row[0] // 4][m][:, row % 4] for row in q])
        assert torch.equal(tensors["W_Q"], expected)


def test_what_stays_in_the_layout_is_said():
    places = "the places of {}each head's neurons inside it"
    assert partly().unbaked == {}
    assert partly(pinned={"q": 4}).unbaked == {"q": places.format("")}
    assert partly(pinned={"q": 3}).unbaked == {"q": places.format("the first 3 of ")}
    assert partly(anchored=["h"]).unbaked == dict.fromkeys("qv", "the order of the heads")
    assert partly(pinned={"q": 4}, anchored=["h"]).unbaked == {
        "q": places.format("") + " and the order of the heads",
        "v": "the order of the heads",
    }
    assert partly(unbakeable=["m", "q"]).unbaked == {
        "m": "its order", "q": "its order", "v": "its order (heads are shared with q)",
    }  # fmt: skip


def test_pinned_and_anchored_name_what_there_is():
    with pytest.raises(InputError, match=r"population 'k'"):
        partly(pinned={"k": 1})
    with pytest.raises(InputError, match=r"head axis in anchored 'q'"):
        partly(anchored=["q"])
    with pytest.raises(InputError, match=r"pinned\['q'\] must be 0 to the head's size 4, found 5"):
        partly(pinned={"q": 5})
