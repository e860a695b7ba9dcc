"""The project's own models: TransformerLens's names and helpers, against a plain implementation."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import regression_forward
from torch import nn
from transformer_lens import ActivationCache

from bimt_tf import MLP, RegressionTransformer, TokenMLP
from bimt_tf.errors import InputError

F64 = torch.float64


def transformer(**kwargs: object) -> RegressionTransformer:
    sizes = dict(d_in=2, d_out=3, d_model=8, n_layers=2, n_heads=4, d_mlp=5, dtype=F64)
    return RegressionTransformer(**(sizes | kwargs))


def batch(tokens: int = 3, d_in: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(4, tokens, d_in, dtype=F64, generator=torch.Generator().manual_seed(seed))


def same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_parameters_have_transformer_lens_names_and_shapes():
    model = transformer(n_layers=1, d_head=3)
    expected = {
        "embed.W_E": (2, 8), "embed.b_E": (8,),
        "blocks.0.attn.W_Q": (4, 8, 3), "blocks.0.attn.W_K": (4, 8, 3), "blocks.0.attn.W_V": (4, 8, 3),
        "blocks.0.attn.b_Q": (4, 3), "blocks.0.attn.b_K": (4, 3), "blocks.0.attn.b_V": (4, 3),
        "blocks.0.attn.W_O": (4, 3, 8), "blocks.0.attn.b_O": (8,),
        "blocks.0.mlp.W_in": (8, 5), "blocks.0.mlp.b_in": (5,),
        "blocks.0.mlp.W_out": (5, 8), "blocks.0.mlp.b_out": (8,),
        "unembed.W_U": (8, 3), "unembed.b_U": (3,),
    }  # fmt: skip
    assert {name: tuple(p.shape) for name, p in model.named_parameters()} == expected
    assert set(model.state_dict()) == set(expected)  # the mask is no state


def test_hooks_are_those_of_transformer_lens():
    blocks = [
        f"blocks.{i}.{name}"
        for i in range(2)
        for name in (
            *(f"hook_{x}" for x in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")),
            *(f"attn.hook_{x}" for x in ("q", "k", "v", "z", "attn_scores", "pattern")),
            "mlp.hook_pre", "mlp.hook_post",
        )
    ]  # fmt: skip
    assert set(transformer().hook_dict) == {"hook_embed", *blocks}
    expected = {"hook_input", *(f"layers.{i}.hook_{x}" for i in range(2) for x in ("pre", "post"))}
    assert set(MLP([2, 3, 1]).hook_dict) == expected


@pytest.mark.parametrize("n_heads", [1, 4, 7])
@pytest.mark.parametrize("act_fn", ["gelu_new", "relu", "silu", "identity"])
def test_transformer_equals_the_plain_implementation(n_heads, act_fn):
    model = transformer(n_heads=n_heads, act_fn=act_fn, seed=3)
    for tokens in (1, 2, 3):
        same(model(batch(tokens)), regression_forward(model, batch(tokens)))


@settings(max_examples=10)
@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 5))
def test_any_sizes(d_model, heads, d_head, layers, d_mlp):
    model = transformer(d_model=d_model, n_heads=heads, d_head=d_head, n_layers=layers, d_mlp=d_mlp, d_in=1, d_out=1)
    same(model(batch(d_in=1)), regression_forward(model, batch(d_in=1)))


def test_mlp_equals_plain_layers():
    model = MLP([3, 5, 4, 2], act_fn="silu", seed=2, dtype=F64)
    plain = nn.Sequential(nn.Linear(3, 5), nn.SiLU(), nn.Linear(5, 4), nn.SiLU(), nn.Linear(4, 2)).double()
    plain.load_state_dict({f"{2 * int(n.split('.')[1])}.{n.split('.')[2]}": p for n, p in model.state_dict().items()})
    same(model(batch(d_in=3)), plain(batch(d_in=3)))
    same(model(batch(d_in=3)[0, 0]), plain(batch(d_in=3)[0, 0]))


def test_attention_is_causal():
    model, x = transformer(seed=1), batch()
    changed = x.clone()
    changed[:, 2] += 1.0
    before, after = model(x), model(changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2] - after[:, 2]).abs().min() > 1e-6
    changed[:, 0] += 1.0
    assert (model(changed)[:, 1] - before[:, 1]).abs().max() > 1e-6  # the past is seen


def test_weights_depend_on_the_seed_alone():
    make = (
        lambda seed, dtype: transformer(seed=seed, dtype=dtype),
        lambda seed, dtype: MLP([3, 7, 2], seed=seed, dtype=dtype),
    )
    for build in make:
        state = torch.random.get_rng_state()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(123)
            a = build(5, torch.float32)
        b, exact, other = build(5, torch.float32), build(5, F64), build(6, torch.float32)
        assert torch.equal(torch.random.get_rng_state(), state)
        for name, p in a.named_parameters():
            assert torch.equal(p, b.get_parameter(name))
            assert torch.equal(p, exact.get_parameter(name).float())
            assert p.dtype == torch.float32 and not torch.equal(p, other.get_parameter(name))
            assert p.numel() < 2 or p.unique().numel() == p.numel()


def test_initial_weights_are_those_of_nn_linear():
    model = transformer(d_model=64, n_heads=2, d_head=8, d_mlp=100, d_in=9)
    fan_in = {"W_E": 9, "b_E": 9, "W_O": 16, "b_O": 16, "W_out": 100, "b_out": 100}
    for name, p in model.named_parameters():
        bound = fan_in.get(name.split(".")[-1], 64) ** -0.5
        assert p.abs().max() <= bound
        if p.numel() > 50:
            assert p.abs().max() > 0.9 * bound and p.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)
    for layer, n in zip(MLP([9, 50, 40], dtype=F64).layers, (9, 50), strict=True):
        assert 0.9 * n**-0.5 < layer.weight.abs().max() <= n**-0.5 and layer.bias.abs().max() <= n**-0.5


def test_d_head_and_d_mlp_have_defaults():
    cfg = RegressionTransformer(d_model=30, n_heads=7).cfg
    assert (cfg.d_head, cfg.d_mlp, cfg.n_ctx, cfg.act_fn, cfg.normalization_type) == (4, 120, 3, "gelu_new", None)


@pytest.mark.parametrize("name", ["d_in", "d_out", "d_model", "n_layers", "n_heads", "d_mlp", "n_ctx", "d_head"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True])
def test_bad_sizes_are_named(name, value):
    with pytest.raises(InputError, match=rf"{name} must be a whole number of at least 1, found {value!r}"):
        transformer(**{name: value})


def test_other_bad_arguments():
    with pytest.raises(InputError, match=r"n_heads=9 is more than d_model=8"):
        transformer(n_heads=9)
    for build in (lambda act: transformer(act_fn=act), lambda act: MLP([2, 1], act_fn=act)):
        with pytest.raises(InputError, match=r"unknown act_fn 'gelu'; did you mean .*'gelu_new'"):
            build("gelu")
    with pytest.raises(InputError, match=r"at least an input and an output size, found \[3\]"):
        MLP([3])
    with pytest.raises(InputError, match=r"sizes\[1\] .*found 0"):
        MLP([3, 0, 1])


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3), (4, 4, 2)])
def test_bad_inputs_are_refused(shape):
    with pytest.raises(InputError, match=r"input must be \[batch, pos <= 3, 2\], found"):
        transformer()(torch.zeros(shape, dtype=F64))


def test_bad_mlp_input():
    with pytest.raises(InputError, match=r"input must be \[\.\.\., 3\], found \[4, 2\]"):
        MLP([3, 1])(torch.zeros(4, 2))


def test_run_with_cache_gives_an_activation_cache():
    model, x = transformer(), batch()
    out, cache = model.run_with_cache(x)
    assert torch.equal(out, model(x)) and isinstance(cache, ActivationCache)
    assert set(cache.keys()) == set(model.hook_dict)
    assert cache["resid_post", 0] is cache["blocks.0.hook_resid_post"]
    assert cache["pattern", 1].shape == (4, 4, 3, 3) and cache["z", 0].shape == (4, 3, 4, 2)
    same(cache["pattern", 0].sum(-1), torch.ones(4, 4, 3, dtype=F64))
    same(cache["resid_mid", 0], cache["resid_pre", 0] + cache["attn_out", 0])
    same(cache["resid_post", 1], cache["resid_mid", 1] + cache["mlp_out", 1])
    same(cache["resid_post", 1] @ model.W_U + model.b_U, out)
    same(cache["hook_embed"], x @ model.embed.W_E + model.embed.b_E)
    out, plain = model.run_with_cache(x, return_cache_object=False)
    assert type(plain) is dict and torch.equal(plain["blocks.1.mlp.hook_post"], cache["post", 1])
    out, single = model.run_with_cache(x[:1], remove_batch_dim=True)
    assert single["resid_post", 1].shape == (3, 8) and not single.has_batch_dim


def test_names_filter_and_unknown_hooks():
    model, x = transformer(), batch()
    for names in ("hook_embed", ["hook_embed"], lambda name: name == "hook_embed"):
        assert list(model.run_with_cache(x, names_filter=names)[1].keys()) == ["hook_embed"]
    with pytest.raises(
        InputError, match=r"unknown hook 'blocks.0.hook_resid_pst'; did you mean 'blocks.0.hook_resid_p"
    ):
        model.run_with_cache(x, names_filter=["blocks.0.hook_resid_pst"])


def test_residual_helpers_of_the_cache():
    model, x = transformer(), batch()
    _, cache = model.run_with_cache(x)
    final = cache["resid_post", 1]
    accumulated, labels = cache.accumulated_resid(incl_mid=True, return_labels=True)
    assert labels == ["0_pre", "0_mid", "1_pre", "1_mid", "final_post"]
    same(accumulated[-1], final)
    same(accumulated[1], cache["resid_mid", 0])
    parts, labels = cache.decompose_resid(return_labels=True)
    assert labels == ["embed", "0_attn_out", "0_mlp_out", "1_attn_out", "1_mlp_out"]
    same(parts.sum(0), final)
    same(cache.decompose_resid(layer=1, mlp_input=True).sum(0), cache["resid_mid", 1])
    heads, labels = cache.stack_head_results(return_labels=True)
    assert labels == [f"L{i}H{h}" for i in range(2) for h in range(4)]
    for i in range(2):
        same(heads[4 * i : 4 * i + 4].sum(0) + model.blocks[i].attn.b_O, cache["attn_out", i])
    neurons = cache.stack_neuron_results(2)
    assert neurons.shape == (10, 4, 3, 8)
    for i in range(2):
        same(neurons[5 * i : 5 * i + 5].sum(0) + model.blocks[i].mlp.b_out, cache["mlp_out", i])
    logits = model(x)
    same(accumulated[-1] @ model.W_U + model.b_U, logits)


@pytest.mark.parametrize("expand_neurons", [True, False])
def test_full_decomposition_sums_to_the_residual_stream(expand_neurons):
    model = transformer()
    _, cache = model.run_with_cache(batch())
    stack, labels = cache.get_full_resid_decomposition(expand_neurons=expand_neurons, return_labels=True)
    assert len(labels) == len(stack) == 8 + (10 if expand_neurons else 2) + 2
    same(stack.sum(0), cache["resid_post", 1])
    stack = cache.get_full_resid_decomposition(1, mlp_input=True, expand_neurons=expand_neurons)
    same(stack.sum(0), cache["resid_mid", 1])


def test_accumulated_bias():
    model = transformer()
    b = [(block.attn.b_O, block.mlp.b_out) for block in model.blocks]
    assert not model.accumulated_bias(0).any()
    same(model.accumulated_bias(2), b[0][0] + b[0][1] + b[1][0] + b[1][1])
    same(model.accumulated_bias(1, mlp_input=True), b[0][0] + b[0][1] + b[1][0])
    same(model.accumulated_bias(2, include_mlp_biases=False), b[0][0] + b[1][0])


def test_run_with_hooks_edits():
    model, x = transformer(), batch()

    def edit(z: torch.Tensor, hook: object) -> torch.Tensor:
        assert hook.name == "blocks.1.attn.hook_z"
        z[:, :, 2] = 0.0
        return z

    out = model.run_with_hooks(x, fwd_hooks=[("blocks.1.attn.hook_z", edit)])
    ablated = copy.deepcopy(model)
    nn.init.zeros_(ablated.blocks[1].attn.W_O[2])
    same(out, ablated(x))
    assert (out - model(x)).abs().max() > 1e-6
    mlp = MLP([2, 4, 1], dtype=F64)
    out = mlp.run_with_hooks(x, fwd_hooks=[("layers.0.hook_post", lambda t, hook: torch.zeros_like(t))])
    same(out, mlp.layers[1].bias.expand(4, 3, 1))


@pytest.mark.parametrize("run", ["run_with_hooks", "run_with_cache"])
def test_a_hook_that_raises_leaves_no_hooks_behind(run):
    model, x = transformer(), batch()

    def fail(tensor: torch.Tensor, hook: object) -> None:
        raise RuntimeError("from the hook")

    before = model(x)
    with pytest.raises(RuntimeError, match="from the hook"):
        if run == "run_with_hooks":
            model.run_with_hooks(x, fwd_hooks=[("hook_embed", lambda t, hook: 0 * t), ("blocks.0.mlp.hook_pre", fail)])
        else:
            with model.hooks(fwd_hooks=[("blocks.0.mlp.hook_pre", fail)]):
                model.run_with_cache(x)
    assert all(not point.fwd_hooks and not point._forward_hooks for point in model.hook_dict.values())
    assert torch.equal(model(x), before)


@pytest.mark.parametrize("model", [transformer(), MLP([2, 4, 3], dtype=F64)], ids=["transformer", "mlp"])
def test_copies(model):
    x = batch()
    out = model(x)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(x), out) and other.cfg == model.cfg
        assert torch.equal(other.run_with_cache(x)[0], out)
        with torch.no_grad():
            next(other.parameters()).zero_()
        assert torch.equal(model(x), out)
    fresh = transformer(seed=9) if isinstance(model, RegressionTransformer) else MLP([2, 4, 3], seed=9, dtype=F64)
    assert not torch.equal(fresh(x), out)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(x), out)


@pytest.mark.parametrize("model", [transformer(), MLP([2, 4, 3], dtype=F64)], ids=["transformer", "mlp"])
def test_functional_call(model):
    x = batch()
    doubled = {name: 2 * p.detach() for name, p in model.named_parameters()}
    out = torch.func.functional_call(model, doubled, (x,))
    other = copy.deepcopy(model)
    other.load_state_dict(doubled)
    same(out, other(x))
    grads = torch.func.grad(lambda p: torch.func.functional_call(model, p, (x,)).square().sum())(doubled)
    assert all(g.shape == doubled[name].shape and torch.isfinite(g).all() for name, g in grads.items())
    seeds = [{n: p.detach() for n, p in m.named_parameters()} for m in (model, other)]
    stacked = {name: torch.stack([s[name] for s in seeds]) for name in doubled}
    outs = torch.func.vmap(lambda p: torch.func.functional_call(model, p, (x,)))(stacked)  # many seeds at once
    same(outs[0], model(x))
    same(outs[1], out)


def test_moves_and_devices():
    model = transformer(device="cpu")
    assert model.to(torch.float32)(batch().float()).dtype == torch.float32
    assert RegressionTransformer(device="meta").W_U.is_meta and MLP([2, 1], device="meta").layers[0].weight.is_meta


def test_token_mlp_reads_its_tokens_side_by_side():
    model = TokenMLP(7, 3, 2, [5, 4], act_fn="silu", seed=2, dtype=F64)
    tokens = torch.tensor([[0, 6], [3, 3], [6, 0]])
    table = dict(model.named_parameters())
    assert {name: tuple(p.shape) for name, p in table.items()} == {
        "embed.weight": (7, 3), "layers.0.weight": (5, 6), "layers.0.bias": (5,),
        "layers.1.weight": (4, 5), "layers.1.bias": (4,),
    }  # fmt: skip
    out, cache = model.run_with_cache(tokens)
    for row, (a, b) in enumerate(tokens.tolist()):
        x = torch.cat([table["embed.weight"][a], table["embed.weight"][b]])
        hidden = torch.nn.functional.silu(table["layers.0.weight"] @ x + table["layers.0.bias"])
        torch.testing.assert_close(out[row], table["layers.1.weight"] @ hidden + table["layers.1.bias"])
    assert cache["hook_embed"].shape == (3, 2, 3) and cache["layers.0.hook_post"].shape == (3, 5)


def test_token_mlp_is_seeded_and_leaves_global_state_alone():
    before = torch.get_rng_state()
    a, b, other = (TokenMLP(7, 3, 2, [5, 4], seed=seed).state_dict() for seed in (1, 1, 2))
    half = TokenMLP(7, 3, 2, [5, 4], seed=1, dtype=F64).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    for name in a:
        assert torch.equal(a[name], b[name]) and not torch.equal(a[name], other[name])
        assert torch.equal(a[name], half[name].float())


@pytest.mark.parametrize(
    ("model", "first", "size"),
    [
        (MLP([3, 4, 2], seed=5, dtype=F64), [0.1639848046, 0.3479004501, -0.1466688542, 0.3509525459], 5.9918280066),
        (
            TokenMLP(5, 2, 2, [3, 2], seed=5, dtype=F64),
            [-0.4867807507, -0.1418811562, -0.4633101972, -0.290434374, 0.4962417035],
            14.0222162584,
        ),
    ],
    ids=["mlp", "token-mlp"],
)
def test_a_seed_gives_the_weights_it_always_gave(model, first, size):
    """What a seed gives is part of every reported figure: it stays as it was, also from one release to the next."""
    found = [p.detach() for p in model.parameters()]
    assert [float(p.flatten()[0]) for p in found] == pytest.approx(first, abs=1e-9)
    assert sum(float(p.abs().sum()) for p in found) == pytest.approx(size, abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [((0, 3, 2, [4]), "vocab"), ((7, 3.5, 2, [4]), "d_embed"), ((7, 3, 0, [4]), "n_tokens"),
     ((7, 3, 2, []), "at least an output size"), ((7, 3, 2, [4, -1]), r"sizes\[1\]")],
)  # fmt: skip
def test_bad_token_mlp_sizes(arguments, expected):
    with pytest.raises(InputError, match=expected):
        TokenMLP(*arguments)
    with pytest.raises(InputError, match="2"):
        TokenMLP(7, 3, 2, [4])(torch.zeros(5, 3, dtype=torch.int64))
