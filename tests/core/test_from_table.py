"""The passes that make a wiring of a table, each alone; what the whole means and refuses is in test_wiring.py."""

from __future__ import annotations

import pytest

from bimt_tf.core.axes import Pattern, einops_patterns, parse, solve_sizes
from bimt_tf.core.from_table import (
    TableOptions,
    build,
    check,
    check_parameters,
    join,
    name_populations,
    name_stages,
    read_table,
    refuse_unnamed,
    tokenise,
)
from bimt_tf.core.population import Attachment, Connection, Population, Stage
from bimt_tf.errors import InputError

TABLE = {"W_Q": "h res@Res0 qk@Q", "W_O": "res@Res1 (h ov)", "b_O": "res@Res1", "emb": "_ res@Res0"}
SHAPES = {"W_Q": (2, 5, 3), "W_O": (5, 8), "b_O": (5,), "emb": (7, 5)}
HEADS = TableOptions(heads={"qk": "h", "ov": "h"})
SIZES = {"h": 2, "res": 5, "qk": 3, "ov": 4}


def patterns(table: dict[str, str] = TABLE, shapes: dict[str, tuple[int, ...]] = SHAPES) -> list[Pattern]:
    return tokenise(table, shapes)


def refuse(says: str) -> object:
    return pytest.raises(InputError, match=says)


def test_the_models_parameters_are_all_named():
    check_parameters(TABLE, SHAPES, HEADS)
    check_parameters({"a": "x y"}, {"a": (1, 2), "b": (3,)}, TableOptions(left_out=("b",)))
    with refuse(r"unknown parameter in the table 'W_q'; did you mean 'W_Q'"):
        check_parameters({**TABLE, "W_q": "a"}, SHAPES, HEADS)
    with refuse(r"does not name 1 parameter\(s\).*\{'emb': '\? \?'\}"):
        check_parameters({n: t for n, t in TABLE.items() if n != "emb"}, SHAPES, HEADS)
    for options in (TableOptions(layers={"b_o": "o"}), TableOptions(uncharged=("b_o",))):
        with refuse(r"unknown parameter \(not in the table\) 'b_o'"):
            check_parameters(TABLE, SHAPES, options)
    refuse_unnamed(SHAPES, set(SHAPES))


def test_a_pattern_is_split_into_the_words_of_each_dimension():
    assert parse("w", "a (b@X _ c)  _") == (("a",), ("b@X", "_", "c"), ("_",))
    assert [p.dims for p in patterns()] == [
        (("h",), ("res@Res0",), ("qk@Q",)), (("res@Res1",), ("h", "ov")), (("res@Res1",),), (("_",), ("res@Res0",)),
    ]  # fmt: skip
    assert [p.words for p in patterns()][1::2] == [["res@Res1", "h", "ov"], ["res@Res0"]]
    with refuse(r"b_O has 1 dimensions \[5\], its pattern 'a b' has 2"):
        tokenise({"b_O": "a b"}, SHAPES)


@pytest.mark.parametrize("order", [1, -1])
def test_lengths_are_solved_whatever_the_order_of_the_table(order):
    assert solve_sizes(patterns(dict(list(TABLE.items())[::order])), {}) == SIZES


def test_lengths_that_the_shapes_do_not_tell_are_given():
    folded = patterns({"w": "(h q) m"}, {"w": (6, 5)})
    assert solve_sizes(folded, {"h": 3}) == {"h": 3, "q": 2, "m": 5}
    with refuse(r"w: the length of axis 'h' in '\(h q\)' cannot be told from the shapes; give it as sizes=\{'h'"):
        solve_sizes(folded, {})
    with refuse(r"w has shape \[6, 5\], but its axis 'h q' of length 6 does not agree with h=4 from sizes"):
        solve_sizes(folded, {"h": 4})
    with refuse(r"sizes\['h'\] must be a whole number of at least 1, found True"):
        solve_sizes(folded, {"h": True})


def test_axes_that_count_no_heads_are_populations():
    options = TableOptions(HEADS.heads, fixed=("qk",), unbakeable=("res",), pinned={"qk": 1}, anchored=("h",))
    assert name_populations(patterns(), SIZES, options) == {
        "res": Population("res", 5, bakeable=False),
        "qk": Population("qk", 6, 2, "h", movable=False, pinned=1, anchored=True),
        "ov": Population("ov", 8, 2, "h", anchored=True),
    }
    with refuse("unknown population 'h'"):
        name_populations(patterns(), SIZES, TableOptions(HEADS.heads, fixed=("h",)))
    with refuse("unknown head axis in anchored 'qk'"):
        name_populations(patterns(), SIZES, TableOptions(HEADS.heads, anchored=("qk",)))
    with refuse("unknown head axis of population 'qk' 'g'"):
        name_populations(patterns(), SIZES, TableOptions({"qk": "g"}))
    with refuse(r"pinned\['qk'\] must be 0 to the head's size 3, found 4"):
        name_populations(patterns(), SIZES, TableOptions(HEADS.heads, pinned={"qk": 4}))


def test_stages_stand_in_the_tables_order_or_in_that_of_rows():
    assert list(name_stages(patterns(), HEADS).values()) == [
        Stage("Res0", "res", 0), Stage("Q", "qk", 1), Stage("Res1", "res", 2), Stage("ov", "ov", 3),
    ]  # fmt: skip
    rows = [["Res0"], ["Q", "ov"], ["Res1"]]
    assert list(name_stages(patterns(), TableOptions(HEADS.heads, rows=rows)).values()) == [
        Stage("Res0", "res", 0), Stage("Q", "qk", 1, 0), Stage("ov", "ov", 1, 1), Stage("Res1", "res", 2),
    ]  # fmt: skip
    with refuse("stage 'ov' is named by the table and missing in rows"):
        name_stages(patterns(), TableOptions(HEADS.heads, rows=[["Res0"], ["Q"], ["Res1"]]))
    with refuse("stage 'S' is named for two populations, 'a' and 'b'"):
        name_stages(patterns({"w": "a@S", "v": "b@S"}, {"w": (1,), "v": (1,)}), TableOptions())


def test_each_parameter_joins_its_stages_shallowest_first():
    stages = name_stages(patterns(), TableOptions(HEADS.heads, rows=[["Res0"], ["Q", "ov"], ["Res1"]]))
    ends = join(patterns(), stages, HEADS)
    assert [[stage.name for stage in found] for found in ends] == [["Res0", "Q"], ["ov", "Res1"], ["Res1"], ["Res0"]]


A, B, C = Population("a", 2), Population("b", 3), Population("c", 4)
Q, V = Population("q", 4, 2, "h"), Population("v", 6, 2, "h")


@pytest.mark.parametrize(
    ("text", "joined", "says"),
    [
        ("a b c", [A, B, C], r"w \('a b c'\) joins 3 populations"),
        ("_ _", [], "joins 0 populations"),
        ("a@X a@Y", [A, A], "joins a population to itself: .* quadratic assignment"),
        ("h q v", [Q, V], "joins a population to itself"),
        ("a q", [A, Q], r"needs the head axes \['h'\] once each, found \[\]"),
        ("h a b", [A, B], r"needs the head axes \[\] once each, found \['h'\]"),
        ("h h a q", [A, Q], r"needs the head axes \['h'\] once each, found \['h', 'h'\]"),
        ("a c", [A, C], "w .* joins two populations and cannot be uncharged"),
    ],
)
def test_what_cannot_be_placed_is_refused(text, joined, says):
    options = TableOptions(heads={"q": "h", "v": "h"}, uncharged=("w",) if text == "a c" else ())
    pattern = Pattern("w", text, (1,) * len(text.split()), parse("w", text))
    ends = [tuple(Stage(p.name, p.name, depth) for depth, p in enumerate(joined))]
    with refuse(says):
        check([pattern], ends, {p.name: p for p in (A, B, C, Q, V)}, options)


def test_what_can_be_placed_passes():
    ends = join(patterns(), name_stages(patterns(), HEADS), HEADS)
    check(patterns(), ends, name_populations(patterns(), SIZES, HEADS), TableOptions(HEADS.heads, uncharged=("b_O",)))


def test_einops_patterns_have_letters_of_their_own():
    (pattern,) = patterns({"w": "(h _ d@q) m"}, {"w": (12, 5)})
    spelled, flat, lengths, axes = einops_patterns(pattern, [(None, "m"), ("h", "d")], {"h": 2, "d": 3, "m": 5})
    assert (spelled, flat) == ("(a0 z0 a1) a2", "(z0) a2 (a0 a1)")
    assert lengths == (("a0", 2), ("z0", 2), ("a1", 3), ("a2", 5)) and axes == (("h", "_", "d"), ("m",))
    with refuse(r"w: write one '_' in a folded dimension, found '\(_ _ m\)'"):
        einops_patterns(*patterns({"w": "(_ _ m)"}, {"w": (20,)}), [(None, "m")], {"m": 5})


def test_parameters_with_two_ends_are_connections_the_others_attachments():
    options = TableOptions(HEADS.heads, layers={"W_O": "o", "b_O": "o"}, uncharged=("b_O",))
    populations, stages = name_populations(patterns(), SIZES, options), name_stages(patterns(), options)
    ends = join(patterns(), stages, options)
    made = build(patterns(), ends, populations, SIZES, options)
    connections = tuple(one for one in made if isinstance(one, Connection))
    attachments = tuple(one for one in made if isinstance(one, Attachment))
    assert [(c.parameter, c.layer, c.shape, c.source.name, c.target.name) for c in connections] == [
        ("W_Q", "W_Q", (2, 5, 3), "Res0", "Q"), ("W_O", "o", (5, 8), "Res1", "ov"),
    ]  # fmt: skip
    assert [(a.parameter, a.layer, a.stage.name, a.charged) for a in attachments] == [
        ("b_O", "o", "Res1", False), ("emb", "emb", "Res0", True),
    ]  # fmt: skip
    parts = read_table(TABLE, SHAPES, options)
    assert parts == (populations, tuple(stages.values()), connections, attachments, ())
