"""Wiring.from_table: what the axis strings mean, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bimt_tf import BIMT, Geometry
from bimt_tf.core.bake import bake_
from bimt_tf.core.layout import Layout
from bimt_tf.core.model_tree import Held
from bimt_tf.core.population import Attachment, Connection, Unfolding
from bimt_tf.core.review import review
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError


def tensors(**shapes: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Named tensors, every entry another number; '__' in a keyword stands for '.'."""
    start, found = 0, {}
    for name, shape in shapes.items():
        size = math.prod(shape)
        found[name.replace("__", ".")] = torch.arange(start, start + size, dtype=torch.float64).reshape(shape)
        start += size
    return found


class FoldedEmbedding(nn.Module):
    """Modular addition (notebooks): two tokens of one embedding table, folded onto one population."""

    def __init__(self, vocab: int = 5, width: int = 3, hidden: int = 4) -> None:
        super().__init__()
        self.tok_embed = nn.Embedding(vocab, width, dtype=torch.float64)
        self.layers = nn.ModuleList([nn.Linear(2 * width, hidden, dtype=torch.float64)])
        self.out = nn.Linear(hidden, vocab, dtype=torch.float64)

    TABLE = {
        "tok_embed.weight": "_ embed",
        "layers.0.weight": "hidden0 (_ embed)",
        "layers.0.bias": "hidden0",
        "out.weight": "output hidden0",
        "out.bias": "output",
    }
    ROWS = [["embed"], ["hidden0"], ["output"]]

    def wiring(self) -> Wiring:
        layers = {name: name.rsplit(".", 1)[0] for name in self.TABLE}
        return Wiring.from_table(self.TABLE, self, rows=self.ROWS, layers=layers)


def test_folded_tokens_are_copies_of_one_population():
    model = FoldedEmbedding()
    wiring = model.wiring()
    assert {name: p.size for name, p in wiring.populations.items()} == {"embed": 3, "hidden0": 4, "output": 5}
    folded = next(w for w in wiring.connections if w.parameter == "layers.0.weight")
    assert (folded.source.name, folded.target.name, folded.numel) == ("embed", "hidden0", 24)
    flat = folded.flatten(model.layers[0].weight)
    assert flat.shape == (2, 3, 4)
    for token in range(2):
        for e in range(3):
            for h in range(4):
                assert flat[token, e, h] == model.layers[0].weight[h, token * 3 + e]


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_folded_cost_equals_a_loop_and_embedding_entries_cost_y_star(reduction):
    model = FoldedEmbedding()
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.7), wiring=model.wiring(), reduction=reduction)
    slots = {"embed": [2, 0, 1], "hidden0": [1, 3, 0, 2], "output": [4, 3, 2, 0, 1]}
    bimt.load_state_dict({f"slots.{name}": torch.tensor(s) for name, s in slots.items()})
    for p in model.parameters():
        p.requires_grad_(False)
    at = {name: [2.0 * (s + 0.5) / len(own) for s in own] for name, own in slots.items()}
    parts = {name: 0.0 for name in model.TABLE}
    for v in range(5):
        for e in range(3):
            parts["tok_embed.weight"] += 0.7 * abs(float(model.tok_embed.weight[v, e]))
    for h in range(4):
        parts["layers.0.bias"] += 0.7 * abs(float(model.layers[0].bias[h]))
        for token in range(2):
            for e in range(3):
                d = abs(at["embed"][e] - at["hidden0"][h]) + 0.7
                parts["layers.0.weight"] += d * abs(float(model.layers[0].weight[h, 3 * token + e]))
        for o in range(5):
            d = abs(at["output"][o] - at["hidden0"][h]) + 0.7
            parts["out.weight"] += d * abs(float(model.out.weight[o, h]))
    for o in range(5):
        parts["out.bias"] += 0.7 * abs(float(model.out.bias[o]))
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    expected = sum(part / (sizes[name] if reduction == "mean" else 1) for name, part in parts.items())
    assert float(bimt.cost()) == pytest.approx(expected, rel=1e-12)


def test_head_axes_make_segments_and_share_groups():
    shapes = tensors(W_Q=(3, 5, 2), W_V=(3, 5, 4), b_Q=(3, 2), W_O=(3, 4, 5))
    table = {"W_Q": "h res qk", "W_V": "h res@A ov", "b_Q": "h qk", "W_O": "h ov res@B"}
    wiring = Wiring.from_table(table, shapes, heads={"qk": "h", "ov": "h"})
    qk, ov = wiring.populations["qk"], wiring.populations["ov"]
    assert (qk.size, qk.heads, qk.head_size) == (6, 3, 2)
    assert (ov.size, ov.heads, ov.head_size) == (12, 3, 4)
    assert wiring.groups["h"] == (qk, ov)
    w_q = next(w for w in wiring.connections if w.parameter == "W_Q")
    for h in range(3):
        for m in range(5):
            for e in range(2):
                assert w_q.flatten(shapes["W_Q"])[0, m, h * 2 + e] == shapes["W_Q"][h, m, e]


def test_torch_linear_style_with_folded_heads_and_sizes():
    shapes = {"q.weight": torch.randn(6, 5), "o.weight": torch.randn(5, 12)}
    table = {"q.weight": "(head0 qk0) residual", "o.weight": "residual (head0 ov0)"}
    heads = {"qk0": "head0", "ov0": "head0"}
    wiring = Wiring.from_table(table, shapes, heads=heads, sizes={"head0": 3}, rows=[["residual"], ["qk0"], ["ov0"]])
    assert wiring.populations["qk0"].head_size == 2 and wiring.populations["ov0"].head_size == 4
    q, o = wiring.connections
    assert torch.equal(q.flatten(shapes["q.weight"])[0], shapes["q.weight"].T)
    assert torch.equal(o.flatten(shapes["o.weight"])[0], shapes["o.weight"])
    with pytest.raises(InputError, match=r"length of axis .* cannot be told .* sizes="):
        Wiring.from_table(table, shapes, heads=heads)


def test_connections_run_from_the_shallower_stage():
    shapes = tensors(w=(4, 3), b=(4,))
    wiring = Wiring.from_table({"w": "out in", "b": "out"}, shapes, rows=[["in"], ["out"]])
    assert wiring.connections[0].source.name == "in"
    assert [(s.name, s.depth, s.column) for s in wiring.stages] == [("in", 0, 0), ("out", 1, 0)]
    reverse = Wiring.from_table({"w": "out in", "b": "out"}, shapes)  # without rows: in the table's order
    assert reverse.connections[0].source.name == "out"


@given(st.data())
def test_unflatten_inverts_flatten(data):
    size = st.integers(1, 4)
    heads, e, m, copies = (data.draw(size) for _ in range(4))
    pattern, shape, own_heads = data.draw(
        st.sampled_from(
            [
                ("h m x", (heads, m, e), True),
                ("m h x", (m, heads, e), True),
                ("m (h x)", (m, heads * e), True),
                ("(h x) (_ m)", (heads * e, copies * m), True),
                ("(m _) x", (m * copies, e), False),
                ("_ m", (copies, m), False),
                ("(_ m) _", (copies * m, heads), False),
                ("h x", (heads, e), True),
                ("m", (m,), False),
            ]
        )
    )
    # a vector for each axis, as the folded ones do not tell their lengths
    shapes = {"w": torch.randn(shape), "bm": torch.randn(m), "bx": torch.randn((heads, e) if own_heads else e)}
    table = {"w": pattern, "bm": "m", "bx": "h x" if own_heads else "x"}
    wiring = Wiring.from_table(table, shapes, heads={"x": "h"} if own_heads else None)
    w = next(w for w in wiring.wired if w.parameter == "w")
    flat = w.flatten(shapes["w"])
    assert flat.ndim == 1 + len(w.stages) and flat.numel() == w.numel == shapes["w"].numel()
    assert list(flat.shape[1:]) == [wiring.populations[s.population].size for s in w.stages]
    unfolding = Unfolding.of(w)
    assert torch.equal(unfolding.of_tensor(shapes["w"]), flat)
    assert np.array_equal(unfolding.of_array(shapes["w"].numpy()), flat.numpy())
    assert torch.equal(w.unflatten(flat), shapes["w"])
    assert torch.equal(w.flatten(w.unflatten(flat[:1])), flat[:1].expand_as(flat))
    for end, size in enumerate(flat.shape[1:]):
        own = torch.arange(size * 2.0).reshape(size, 2)
        spread = w.spread(own, end)
        assert spread.ndim == len(w.shape) + 1 and spread.numel() <= 2 * size * copies
        alone = own.reshape(*(size if i == end else 1 for i in range(flat.ndim - 1)), 2).expand(*flat.shape[1:], 2)
        for n in range(2):
            everywhere = w.unflatten(alone[None, ..., n].expand(len(flat), *flat.shape[1:]))
            assert torch.equal(spread[..., n].expand(w.shape), everywhere)


def refuse(says: str, table: dict[str, str], shapes: dict[str, torch.Tensor], **kwargs: object) -> None:
    with pytest.raises(InputError, match=says) as error:
        Wiring.from_table(table, shapes, **kwargs)
    assert "\n" not in str(error.value)


def test_self_joins_are_refused():
    refuse("quadratic assignment", {"w": "a a"}, tensors(w=(3, 3)))
    refuse("quadratic assignment", {"w": "a@X a@Y"}, tensors(w=(3, 3)))


@pytest.mark.parametrize("pattern", ["h q v", "(h q) (h v)"])
def test_two_populations_of_one_head_group_are_refused(pattern):
    shape = (2, 3, 3) if pattern == "h q v" else (6, 6)
    refuse(
        "quadratic assignment",
        {"w": pattern, "bq": "h q", "bv": "h v"},
        tensors(w=shape, bq=(2, 3), bv=(2, 3)),
        heads={"q": "h", "v": "h"},
    )


def test_three_populations_are_refused():
    refuse("w .*joins 3 populations", {"w": "a b c"}, tensors(w=(2, 3, 4)))


def test_a_parameter_without_population_is_refused():
    refuse("w .*joins 0 populations", {"w": "_ _"}, tensors(w=(2, 3)))


def test_unknown_parameter_lists_the_near_one():
    refuse(r"unknown parameter.*'fc1.wieght'.*'fc1.weight'", {"fc1.wieght": "a b"}, tensors(fc1__weight=(2, 3)))


def test_unnamed_parameters_are_all_listed_with_their_dimensions():
    shapes = tensors(w=(2, 3), gain=(4,), odd=(2, 2, 2))
    refuse(r"2 parameter\(s\).*'gain': '\?', 'odd': '\? \? \?'", {"w": "a b"}, shapes)
    wiring = Wiring.from_table({"w": "a b"}, shapes, left_out=["gain", "odd"])
    assert [w.parameter for w in wiring.wired] == ["w"] and wiring.left_out == ("gain", "odd")


def test_left_out_names_must_exist():
    refuse("'gian'", {"w": "a b"}, tensors(w=(2, 3), gain=(4,)), left_out=["gian"])


def test_shape_mismatch_names_both_parameters():
    refuse(r"w2 has shape \[4, 5\].*a=2 from w1", {"w1": "a b", "w2": "a c"}, tensors(w1=(2, 3), w2=(4, 5)))
    refuse(r"w has shape \[3, 5\].*b=2 from v", {"v": "b", "w": "a (_ b)"}, tensors(v=(2,), w=(3, 5)))


def test_number_of_dimensions():
    refuse(r"w has 2 dimensions \[2, 3\].*'a b c' has 3", {"w": "a b c"}, tensors(w=(2, 3)))


@pytest.mark.parametrize("pattern", ["a (b", "a b)", "a ()", "a ((b))", ""])
def test_parentheses_must_match(pattern):
    refuse(r"w: .*(do not match|not closed)", {"w": pattern}, tensors(w=(2, 3)))


@pytest.mark.parametrize("pattern", ["a b-c", "a 1b", "a b@", "a ...", "a _@X"])
def test_words_must_be_axis_names(pattern):
    refuse("is not an axis name", {"w": pattern}, tensors(w=(2, 3)))


def test_two_free_axes_in_one_fold():
    refuse("one '_'", {"w": "(_ _ a)", "b": "a"}, tensors(w=(6,), b=(2,)))


def test_rows():
    shapes = tensors(w=(2, 3))
    refuse("unknown stage in rows 'bb'.*'b'|unknown stage in rows 'bb'", {"w": "a b"}, shapes, rows=[["a"], ["bb"]])
    refuse("'b' .*missing in rows", {"w": "a b"}, shapes, rows=[["a"]])
    refuse("'a' stands twice", {"w": "a b"}, shapes, rows=[["a"], ["b"], ["a"]])


def test_a_stage_belongs_to_one_population():
    shapes = tensors(w=(2, 3), v=(4, 5))
    refuse("stage 'S' is named for two populations, 'b' and 'c'", {"w": "a b@S", "v": "c@S d"}, shapes)


def test_heads_must_stand_once():
    shapes = tensors(w=(6, 3), b=(2, 3))
    refuse(r"w .*needs the head axes \['h'\]", {"w": "q m", "b": "h q"}, tensors(w=(3, 4), b=(2, 3)), heads={"q": "h"})
    refuse("needs the head axes", {"w": "(h _) m", "b": "h q"}, tensors(w=(2, 4), b=(2, 3)), heads={"q": "h"})
    refuse("unknown head axis of population 'q'", {"w": "(_ q) m", "b": "_ q"}, shapes, heads={"q": "h"})


COUNTED = {"router": "h m", "choice": "_ h", "up": "h q m@Out"}


def counting(heads: int = 3, seed: int = 0) -> tuple[Wiring, dict[str, torch.Tensor]]:
    """Experts and what counts them: a router's rows, and a bias that only chooses."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"router": (heads, 5), "choice": (1, heads), "up": (heads, 2, 5)}
    found = {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}
    return Wiring.from_table(COUNTED, found, heads={"q": "h"}, rows=[["m"], ["q"], ["Out"]]), found


def held_as(found: dict[str, torch.Tensor]) -> list[Held]:
    return [Held(name, nn.Module(), name, tensor, "parameter") for name, tensor in found.items()]


def test_what_counts_heads_has_no_coordinates_and_moves_with_whole_heads():
    wiring, found = counting()
    router = next(one for one in wiring.attachments if one.parameter == "router")
    assert (router.counted, router.stands_on, router.is_bias) == (((0, "q", 3),), ["m", "q"], False)
    assert [(one.parameter, one.stands_on) for one in wiring.carried] == [("choice", ["q"])]
    before = {name: tensor.clone() for name, tensor in found.items()}
    layout = Layout.random(wiring, torch.Generator().manual_seed(2))
    left, orders = bake_(wiring, layout, found)
    heads = layout.segments(wiring.populations["q"]).argsort()  # new position -> old head, by the layout itself
    assert heads.tolist() != [0, 1, 2] and left == Layout.identity(wiring)
    inside, m = orders["q"].view(3, 2) % 2, orders["m"]
    assert torch.equal(found["router"], before["router"][heads][:, m])
    assert torch.equal(found["choice"], before["choice"][:, heads])
    for new, old in enumerate(heads):
        assert torch.equal(found["up"][new], before["up"][old][inside[new]][:, m])


def test_moments_of_what_counts_heads_move_too():
    wiring, found = counting()
    parameters = {name: nn.Parameter(tensor) for name, tensor in found.items()}
    optimizer = torch.optim.Adam(parameters.values())
    sum((p**3).sum() for p in parameters.values()).backward()
    optimizer.step()
    moments = {name: optimizer.state[p]["exp_avg"].clone() for name, p in parameters.items()}
    layout = Layout.random(wiring, torch.Generator().manual_seed(2))
    orders = bake_(wiring, layout, parameters, optimizer)[1]
    heads = orders["q"].view(3, 2)[:, 0] // 2
    assert torch.equal(optimizer.state[parameters["choice"]]["exp_avg"], moments["choice"][:, heads])
    assert torch.equal(optimizer.state[parameters["router"]]["exp_avg"], moments["router"][heads][:, orders["m"]])


def test_heads_that_a_router_cannot_tell_apart_keep_their_numbers():
    """Of equal scores the lower number is chosen, and no reordering may change which expert that is."""
    wiring, found = counting()
    assert not review(wiring, held_as(found)).unbaked
    found["router"][2] = found["router"][0]
    held = review(wiring, held_as(found))
    why = "'router' has equal rows for two of them, and chooses by their numbers"
    assert held.unbaked == {"q": f"the order of the heads ({why})"}


@pytest.mark.parametrize("option", ["fixed", "unbakeable"])
def test_names_in_options_must_exist(option):
    refuse("unknown population 'aa'", {"w": "a b"}, tensors(w=(2, 3)), **{option: ["aa"]})
    refuse("unknown population 'aa'", {"w": "a b"}, tensors(w=(2, 3)), heads={"aa": "h"})


def test_layers_and_uncharged_must_be_in_the_table():
    shapes = tensors(w=(2, 3), b=(3,))
    table = {"w": "a b", "b": "b"}
    refuse("'ww'", table, shapes, layers={"ww": "1"})
    refuse("'ww'", table, shapes, uncharged=["ww"])
    refuse("w .*cannot be uncharged", table, shapes, uncharged=["w"])


@pytest.mark.parametrize("sizes", [{"aa": 2}, {"a": 0}, {"a": 2.0}, {"a": -2}, {"a": 3}])
def test_sizes_must_be_of_the_table(sizes):
    with pytest.raises(InputError, match=next(iter(sizes))):
        Wiring.from_table({"w": "a b"}, tensors(w=(2, 3)), sizes=sizes)


def test_options_are_taken_from_iterators():
    shapes = tensors(w=(2, 3), b=(3,), left=(1,))
    wiring = Wiring.from_table(
        {"w": "a b", "b": "b"}, shapes, uncharged=iter(["b"]), left_out=iter(["left"]), fixed=iter(["a"])
    )
    (attachment,) = wiring.attachments
    assert isinstance(attachment, Attachment) and not attachment.charged
    assert not wiring.populations["a"].movable and wiring.left_out == ("left",)


def test_biases_tables_and_connections_are_told_apart():
    wiring = FoldedEmbedding().wiring()
    assert {w.parameter for w in wiring.connections} == {"layers.0.weight", "out.weight"}
    assert all(isinstance(w, Connection) for w in wiring.connections)
    assert {w.parameter: w.is_bias for w in wiring.attachments} == {
        "tok_embed.weight": False,
        "layers.0.bias": True,
        "out.bias": True,
    }


def test_fixing_returns_another_wiring():
    wiring = FoldedEmbedding().wiring()
    held = wiring.fixing(["embed"])
    assert wiring.populations["embed"].movable and not held.populations["embed"].movable
    assert held.populations["hidden0"].movable
    with pytest.raises(InputError, match=r"'hidden'.*'hidden0'"):
        wiring.fixing(["hidden"])


@pytest.mark.parametrize("names", [["out.weight"], ["output"], iter(["output", "out.weight"])])
def test_some_connections_pay_by_size_only(names):
    wiring = FoldedEmbedding().wiring()
    found = wiring.distance_free(names)
    assert {c.parameter: c.local for c in found.connections} == {"layers.0.weight": True, "out.weight": False}
    assert all(c.local for c in wiring.connections) and wiring.distance_free(()) == wiring
    assert not any(c.local for c in found.distance_free(["hidden0"]).connections)
    assert found.distance_free(["embed"]).attachments == wiring.attachments


def test_what_pays_by_size_only_must_exist():
    with pytest.raises(InputError, match=r"'out.wieght'; did you mean 'out.weight'"):
        FoldedEmbedding().wiring().distance_free(["out.wieght"])
    with pytest.raises(InputError, match=r"'outptu'; did you mean 'output'"):
        FoldedEmbedding().wiring().distance_free(["outptu"])
    with pytest.raises(InputError, match=r"connection or population.*'out.bias'"):  # it never paid for a length
        FoldedEmbedding().wiring().distance_free(["out.bias"])


def test_a_wiring_of_another_model_is_refused():
    wiring = FoldedEmbedding().wiring()
    with pytest.raises(InputError, match=r"'layers.0.weight' has shape \[6, 6\] in the model and \[4, 6\]"):
        BIMT(FoldedEmbedding(hidden=6), wiring=wiring)
    with pytest.raises(InputError, match=r"none of this name\) 'layers.0.weight'"):
        BIMT(nn.Linear(2, 2), wiring=wiring)
    more = FoldedEmbedding()
    more.extra = nn.Parameter(torch.zeros(3))
    with pytest.raises(InputError, match="'extra'"):
        BIMT(more, wiring=wiring)


def test_heads_folded_onto_a_shared_one_keep_their_biases_biases():
    tensors = {"q": torch.zeros(12, 5), "k": torch.zeros(6, 5), "b_q": torch.zeros(12), "b_k": torch.zeros(6)}
    table = {"q": "(h _ d@q) m", "k": "(h d@k) m", "b_q": "(h _ d@q)", "b_k": "(h d@k)"}
    w = Wiring.from_table(table, tensors, heads={"d": "h"}, sizes={"h": 2})
    assert w.populations["d"].size == 6 and w.populations["d"].heads == 2
    assert all(a.is_bias for a in w.attachments)
    q = torch.arange(12.0)[:, None].expand(12, 5)
    flat = next(c for c in w.connections if c.parameter == "q").flatten(q)
    rows = flat[:, :, 0] if flat.shape[1] == 6 else flat[:, 0]
    assert rows.tolist() == [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]]  # query heads 0 and 2, then 1 and 3


def test_a_wiring_says_what_it_holds():
    shapes = tensors(w=(2, 3), b=(3,), more=(1,))
    wiring = Wiring.from_table({"w": "a b", "b": "b"}, shapes, left_out=["more"], fixed=["a"], unbakeable=["b"])
    assert repr(wiring) == "Wiring(populations=2, connections=1, attachments=1, left_out=1)"
    table = wiring._repr_html_()
    assert "<tr><td>a</td><td>2</td><td>1</td><td>a</td><td>no</td><td></td></tr>" in table
    assert "<tr><td>b</td><td>3</td><td>1</td><td>b</td><td>yes</td><td>its order</td></tr>" in table
    assert table.count("<tr>") == 3
