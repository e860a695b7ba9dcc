"""Direct paths against their closed forms, and TransformerLens's patching at every position."""

import json

import pytest
import torch
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from bimt_tf import MLP, RegressionTransformer
from bimt_tf.analysis.exchange import Site
from bimt_tf.analysis.interchange import interchange
from bimt_tf.analysis.moves import Line
from bimt_tf.analysis.patching import activation_patch
from bimt_tf.analysis.path_patch import path_patch
from bimt_tf.errors import InputError

POST, PRE, V = "blocks.0.mlp.hook_post", "blocks.1.mlp.hook_pre", "blocks.1.attn.hook_v"


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def read(outputs):
    return outputs[:, 2, 0]


def no_hooks(model):
    return all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())


@pytest.fixture
def model():
    return RegressionTransformer(d_model=6, n_layers=2, n_heads=2, d_mlp=5, seed=1, dtype=torch.float64)


@pytest.fixture
def both():
    return rand(10, 3, 2, seed=1), rand(10, 3, 2, seed=2)


def moved(model, a, b, hook, change):
    """How far the output moves when ``change`` is added at a hook."""
    with torch.no_grad():
        after = read(model.run_with_hooks(a, fwd_hooks=[(hook, lambda tensor, hook: tensor + change)]))
        return Line(read(model(a)), read(model(b))).move(after)


def difference(model, a, b, hook):
    with torch.no_grad():
        return model.run_with_cache(b)[1][hook] - model.run_with_cache(a)[1][hook]


def test_from_one_mlp_to_the_next(model, both):
    """Straight through the residual stream: W_out of the first, W_in of the second."""
    a, b = both
    change = difference(model, a, b, POST)
    change[..., [0, 2, 3]] = 0
    change[:, [0, 2]] = 0
    with torch.no_grad():
        there = change @ model.blocks[0].mlp.W_out @ model.blocks[1].mlp.W_in
    found = path_patch(model, Site(POST, [1, 4], 1), Site(PRE), a, b, read=read)
    wanted = moved(model, a, b, PRE, there)
    assert (found.share, found.slope, found.r2) == pytest.approx(tuple(wanted), abs=1e-12)
    assert found.share == 0  # token 1 of the last MLP is not read by token 2
    found = path_patch(model, Site(POST, [1, 4]), Site(PRE, [0, 3], 2), a, b, read=read)
    change = difference(model, a, b, POST)
    change[..., [0, 2, 3]] = 0
    with torch.no_grad():
        there = change @ model.blocks[0].mlp.W_out @ model.blocks[1].mlp.W_in
    there[..., [1, 2, 4]] = 0
    there[:, :2] = 0
    wanted = moved(model, a, b, PRE, there)
    assert found.share == pytest.approx(wanted.share, abs=1e-12) and found.share != 0
    whole = difference(model, a, b, PRE)[:, 2, [0, 3]]
    assert found.arrived == pytest.approx(float((there[:, 2, [0, 3]].square().mean() / whole.square().mean()).sqrt()))
    assert set(found.frozen) == {"blocks.0.hook_attn_out", "blocks.1.hook_attn_out"}


def test_to_the_values_of_one_head(model, both):
    a, b = both
    change = difference(model, a, b, POST)
    with torch.no_grad():
        there = torch.einsum("npm,hme->nphe", change @ model.blocks[0].mlp.W_out, model.blocks[1].attn.W_V)
    there[:, :, 0] = 0
    found = path_patch(model, Site(POST), Site(V, [3, 4, 5]), a, b, read=read, random_sets=5)
    assert found.share == pytest.approx(moved(model, a, b, V, there).share, abs=1e-12) and found.share != 0
    assert found.null is None and "no other set of 5" in found.no_null
    assert found.total.share == pytest.approx(interchange(model, Site(POST), a, b, read=read).share)
    some = path_patch(model, Site(POST, [1]), Site(V), a, b, read=read, random_sets=9)
    assert some.null.sets == 4 and some.null.possible == 5


def test_straight_to_the_output(model, both):
    a, b = both
    change = difference(model, a, b, POST) @ model.blocks[0].mlp.W_out
    found = path_patch(model, Site(POST), None, a, b, read=read)
    wanted = moved(model, a, b, "blocks.1.hook_resid_post", change.detach())
    assert found.share == pytest.approx(wanted.share, abs=1e-12) and found.share != 0 and found.arrived is None
    stream = path_patch(model, Site("blocks.0.hook_resid_post"), None, a, b, read=read)
    change = difference(model, a, b, "blocks.0.hook_resid_post")
    assert stream.share == pytest.approx(moved(model, a, b, "blocks.1.hook_resid_post", change).share, abs=1e-12)


def test_inside_one_attention(model, both):
    """Queries reach the output of their own attention, which is not held."""
    a, b = both
    found = path_patch(model, Site("blocks.1.attn.hook_q"), Site("blocks.1.hook_attn_out"), a, b, read=read)
    whole = interchange(model, Site("blocks.1.attn.hook_q"), a, b, read=read)
    assert found.share == pytest.approx(whole.share) and found.share != 0


def test_a_chain_has_direct_paths_between_neighbours_alone():
    mlp = MLP([3, 4, 4, 4, 1], act_fn="silu", seed=1, dtype=torch.float64)
    a, b = rand(9, 3), rand(9, 3, seed=1)
    far = path_patch(mlp, Site("layers.0.hook_post"), Site("layers.2.hook_pre"), a, b)
    assert far.share == 0 and far.arrived == 0 and far.total.share == pytest.approx(1)
    near = path_patch(mlp, Site("layers.0.hook_post", [1]), Site("layers.1.hook_pre", [2]), a, b)
    with torch.no_grad():
        post = [mlp.layers[0](x)[:, 1] for x in (a, b)]
        change = torch.zeros(9, 4, dtype=torch.float64)
        change[:, 2] = (post[1] - post[0]) * mlp.layers[1].weight[2, 1]
        after = mlp.run_with_hooks(a, fwd_hooks=[("layers.1.hook_pre", lambda tensor, hook: tensor + change)])
        wanted = Line(mlp(a), mlp(b)).move(after)
    assert near.share == pytest.approx(wanted.share, abs=1e-12) and near.share != 0


def test_a_bridge():
    config = TransformerBridgeConfig(
        n_layers=2, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=4, d_vocab=10, act_fn="gelu", seed=0
    )
    bridge = TransformerBridge.boot_native(config)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randint(10, (8, 3), generator=generator) for _ in range(2))

    def last(logits):
        return logits[:, -1]

    sender, receiver = Site("blocks.0.hook_mlp_out"), Site("blocks.1.hook_resid_mid")
    found = path_patch(bridge, sender, receiver, a, b, read=last)
    with torch.no_grad():
        change = bridge.run_with_cache(b)[1][sender.hook] - bridge.run_with_cache(a)[1][sender.hook]
        after = bridge.run_with_hooks(a, fwd_hooks=[(receiver.hook, lambda tensor, hook: tensor + change)])
        wanted = Line(last(bridge(a)), last(bridge(b))).move(last(after))
    assert found.share == pytest.approx(wanted.share, rel=1e-4) and found.share != 0
    assert no_hooks(bridge)
    rows = activation_patch(bridge, "z", a, b, lambda logits: float(last(logits).square().mean()))
    assert [(row.layer, row.position, row.head) for row in rows] == [
        (layer, position, head) for layer in range(2) for position in range(3) for head in range(2)
    ]


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ((Site(PRE), Site(POST)), "does not come behind the sender"),
        ((Site(POST), Site(POST)), "does not come behind the sender"),
        ((Site(POST, [5]), Site(PRE)), "has neurons 0 to 4, found 5"),
        ((Site(POST), Site(PRE, None, 3)), "has positions 0 to 2"),
        ((Site(POST), Site("blocks.1.mlp.hook_per")), "unknown hook .* did you mean 'blocks.1.mlp.hook_pre'"),
        ((POST, Site(PRE)), "sites must be a Site"),
        ((Site(POST), Site(PRE, direction=torch.ones(5))), "not a direction"),
    ],
)
def test_mistakes_are_one_line(model, both, ends, message):
    with pytest.raises(InputError, match=message) as caught:
        path_patch(model, *ends, *both, read=read)
    assert "\n" not in str(caught.value) and no_hooks(model)


def test_the_result_is_json_and_no_hook_survives(model, both):
    found = path_patch(model, Site(POST), Site(PRE), *both, read=read)
    assert json.loads(json.dumps(found.as_dict()))["receiver"]["hook"] == PRE and "on all paths" in repr(found)
    calls = []

    def fails(outputs):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("stop")
        return read(outputs)

    with pytest.raises(RuntimeError, match="stop"):
        path_patch(model, Site(POST), Site(PRE), *both, read=fails)
    assert no_hooks(model)


@pytest.mark.parametrize("activation", ["resid_pre", "resid_post", "attn_out", "mlp_post"])
def test_patching_covers_every_position(model, both, activation):
    """Two features and three tokens: the plain helpers would patch tokens 0 and 1 alone, and never the reported one."""
    a, b = both

    def metric(outputs):
        return float(read(outputs).mean())

    rows = activation_patch(model, activation, a, b, metric)
    assert [(row.layer, row.position) for row in rows] == [(i, p) for i in range(2) for p in range(3)]
    place = "mlp.hook_post" if activation == "mlp_post" else f"hook_{activation}"
    with torch.no_grad():
        before = metric(model(a))
        for row in rows:
            hook = f"blocks.{row.layer}.{place}"
            change = difference(model, a, b, hook)
            change[:, [p for p in range(3) if p != row.position]] = 0
            after = metric(model.run_with_hooks(a, fwd_hooks=[(hook, lambda tensor, hook, c=change: tensor + c)]))
            assert row.value == pytest.approx(after, abs=1e-14) and row.change == row.value - before
    assert any(row.change != 0 for row in rows if row.position == 2)
    assert activation_patch(model, activation, a, b, metric, positions=[2]) == [r for r in rows if r.position == 2]
    assert no_hooks(model)


def test_patching_by_head_and_its_mistakes(model, both):
    a, b = both

    def metric(outputs):
        return float(read(outputs).mean())

    rows = activation_patch(model, "z", a, b, metric)
    assert [(r.layer, r.position, r.head) for r in rows] == [
        (layer, p, h) for layer in range(2) for p in range(3) for h in range(2)
    ]
    for call, message in (
        (lambda: activation_patch(model, "resid", a, b, metric), "unknown|must be one of|did you mean"),
        (lambda: activation_patch(model, "z", a, b[:3], metric), "source must have the shape"),
        (lambda: activation_patch(model, "z", a, b, metric, positions=[3]), "positions 0 to 2, found 3"),
        (lambda: activation_patch(model, "z", a, b, lambda outputs: torch.nan), "metric gives nan"),
        (lambda: activation_patch(MLP([2, 3, 1]), "z", a, b, metric), "must be a transformer"),
    ):
        with pytest.raises(InputError, match=message):
            call()
    assert no_hooks(model)
