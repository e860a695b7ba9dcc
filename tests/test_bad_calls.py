"""Wrong types and values given to the library's functions: each call is an InputError in one line.

Those that need a finished run are in test_bad_inputs.py.
"""

from __future__ import annotations

import networkx as nx
import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, Layout, RegressionTransformer, Wiring, connection_graph, wire
from bimt_tf.analysis.ablate import ablate, ablate_each
from bimt_tf.analysis.activations import activations
from bimt_tf.analysis.active import above_threshold, active_masks, active_weights
from bimt_tf.analysis.modularity import communities, modularity
from bimt_tf.analysis.paths import flow, live, upstream
from bimt_tf.analysis.probe import probe
from bimt_tf.analysis.prune import cut_, prune, severed
from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.errors import InputError
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.token_transformer import token_transformer
from bimt_tf.tasks.groups import TokenMLPOptions
from bimt_tf.tasks.in_context import TransformerOptions
from bimt_tf.tasks.kinds import MLPOptions
from bimt_tf.tasks.transformers import TokenTransformerOptions

MODEL = MLP([4, 5, 2])
TABLE = {"layers.0.weight": "hidden input", "layers.1.weight": "output hidden", "layers.0.bias": "hidden"}
TABLE |= {"layers.1.bias": "output"}
X, Y = torch.randn(40, 4), torch.randn(40)
SEEDS = ("a", 1.5, None, -1, True, 2**70)
DTYPES = (torch.int64, torch.bool, torch.complex64, "float32", None)
DEVICES = ("cuda:9", "cuad", "", 1.5, object())
MAPPINGS = (3, "ab", ["input"], {3: "x"}, {"input": None})
NAMES = (3, None, "input", [3], [None])
UNREAL = {**dict(MODEL.named_parameters()), "layers.0.bias": 3}
POPULATIONS = {"input": 4, "hidden": 5, "output": 2}


def table(table=TABLE, parameters=MODEL, **options):
    """A wiring of MODEL from a table."""
    return Wiring.from_table(table, parameters, **options)


def given(make, **values):
    """Calls of ``make`` with one of its arguments, each with every value."""
    return [lambda name=name, one=one: make(**{name: one}) for name, some in values.items() for one in some]


def of_models():
    """Models, and the settings of those that tasks build."""
    weights = {"seed": SEEDS, "dtype": DTYPES, "device": DEVICES, "act_fn": ("silo", None, 3, ["relu"])}
    sizes = (0, -1, "8", 1.5, None, True)
    yield from given(RegressionTransformer, **weights, d_model=sizes, n_heads=sizes, n_layers=sizes, n_ctx=sizes)
    yield from given(lambda sizes=(4, 5, 2), **more: MLP(sizes, **more), **weights, sizes=(3, None, "abc", {4: 2}, [4]))
    yield from given(
        lambda vocab=7, d_embed=4, n_tokens=2, sizes=(5, 7), **more: TokenMLP(vocab, d_embed, n_tokens, sizes, **more),
        **weights, vocab=sizes, d_embed=sizes, n_tokens=sizes, sizes=(3, None, [], [0]),
    )  # fmt: skip
    yield from given(
        lambda vocabulary=7, n_ctx=3, **more: token_transformer(
            vocabulary, n_ctx, **{"d_model": 8, "n_layers": 1, "n_heads": 2, **more}
        ),
        vocabulary=sizes, n_ctx=sizes, d_model=sizes, seed=SEEDS, dtype=DTYPES, act_fn=("identity", None),
        normalization=("layr", None), positions=(3,),
    )  # fmt: skip
    for options in (MLPOptions, TokenMLPOptions, TransformerOptions, TokenTransformerOptions):
        yield from given(options, act_fn=("silo", "", None, 3))


def of_core():
    """Layouts, geometries, wirings and what BIMT does with them."""
    slots = {name: torch.arange(size) for name, size in POPULATIONS.items()}
    bimt = BIMT(MODEL)
    yield from given(lambda slots: Layout(slots), slots=(3, None, "input", [1], {"input": 3}))
    yield from given(Layout(slots).check, wiring=(3, None, MODEL))
    yield from given(
        Geometry, width=("a", None, -1, [2]), layer_gap=("a", float("inf")), norm=(2, "l0", ["l1"]),
        shapes=(3, None, [1], "ring", {3: "ring"}),
    )  # fmt: skip
    yield from given(
        table, table=(*MAPPINGS, None), parameters=(3, None, "model", [MODEL], UNREAL), heads=MAPPINGS, layers=MAPPINGS,
        sizes=(*MAPPINGS, {"_": 0}, {"_": 1.5}), pinned=(*MAPPINGS, {"hidden": -1}), fixed=NAMES,
        rows=(3, None, "input", [3], ["input"]), unbakeable=NAMES, anchored=NAMES, uncharged=NAMES, left_out=NAMES,
    )  # fmt: skip
    yield from given(lambda fixed: wire(MODEL, fixed), fixed=NAMES)
    yield from given(bimt.wiring.distance_free, names=NAMES)
    yield from given(bimt.load_state_dict, state=(3, None, "x", [1], {3: slots["input"]}, {"slots.input": 3}))
    for method in ("assignment", "greedy"):
        yield from given(
            lambda method=method, **more: bimt.swap(method, **more),
            top_k=(0, -1, "a", 1.5, None, True), starts=(0, "a", 1.5), generator=(3, "a"),
        )  # fmt: skip
    yield from given(bimt.swap, method=(3, None, "asignment", ["greedy"]))


def of_analysis():
    """Analyses: their first argument, and what else they take."""
    bimt, unrolled = BIMT(MODEL), connection_graph(BIMT(MODEL), "unrolled")
    no_bimt, no_graph = (3, None, MODEL, bimt.wiring), (3, None, bimt, {})
    for analysis in (connection_graph, severed, wiring_length):
        yield from given(analysis, bimt=no_bimt)
    for analysis in (active_weights, above_threshold, active_masks, cut_):
        yield from given(
            lambda bimt=bimt, threshold=0.1, a=analysis: a(bimt, threshold), bimt=no_bimt, threshold=("a", -1)
        )
    yield from given(lambda residual: connection_graph(bimt, residual), residual=(3, None, "rolled", ["shared"]))
    yield from given(
        lambda bimt=bimt, evaluate=lambda model: 0.0, thresholds=(0.1,): prune(bimt, evaluate, thresholds),
        bimt=no_bimt, evaluate=(3, None), thresholds=(3, None, (), "a", (None,)),
    )  # fmt: skip
    for analysis in (modularity, communities, flow, live):
        yield from given(analysis, graph=no_graph)
    yield from given(lambda parts: modularity(nx.path_graph(3), parts), parts=(3, [[0]], "abc"))
    yield from given(lambda graph=unrolled, node=("hidden0", 0): upstream(graph, node), graph=no_graph, node=(3, "x"))
    inputs = (3, None, [1, 2], "abc", torch.tensor(1.0), X[:0])
    yield from given(
        lambda model=MODEL, hook="layers.0.hook_post", target=Y, inputs=X, **more: probe(
            model, hook, target, inputs=inputs, **more
        ),
        model=(3, None, bimt), hook=(3, None, "hook"), target=(3, None, "a", Y[:3]), inputs=inputs,
        position=(3, "a"), seed=(*SEEDS, 2**32), max_pairs_neurons=(1, "a", None), varying_threshold=(-1, "a"),
    )  # fmt: skip
    yield from given(
        lambda model=MODEL, hooks={"layers.0.hook_post": [0]}, inputs=X, metric=torch.sum, **more: ablate(  # noqa: B006
            model, hooks, inputs, metric, **more
        ),
        model=(3, None, bimt), hooks=(3, None, {}, {3: [0]}, {"layers.0.hook_post": 3}), inputs=inputs,
        metric=(3, None, lambda output: output), value=(3, None, "men"),
    )  # fmt: skip
    yield from given(
        lambda hook="layers.0.hook_post", metric=torch.sum, neurons=None: ablate_each(
            MODEL, hook, X, metric, neurons=neurons
        ),
        hook=(3, None, "hook"), metric=(3, None), neurons=(3, "a", [1.5], []),
    )  # fmt: skip
    yield from given(lambda inputs: activations(MODEL, "hook_input", inputs=inputs), inputs=inputs)


@pytest.mark.parametrize("calls", [of_models, of_core, of_analysis])
def test_bad_calls_are_input_errors_in_one_line(calls):
    before = {name: weight.clone() for name, weight in MODEL.state_dict().items()}
    wrong = []
    for number, call in enumerate(calls()):
        bound = f"{number}: {call.__defaults__}"
        try:
            call()
        except InputError as error:
            wrong += [f"{bound}: several lines"] if "\n" in str(error) else []
        except Exception as error:
            wrong.append(f"{bound}: {error!r}")
        else:
            wrong.append(f"{bound}: accepted")
    assert wrong == []
    assert all(torch.equal(weight, before[name]) for name, weight in MODEL.state_dict().items())
