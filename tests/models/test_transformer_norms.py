"""Norms and positions of a RegressionTransformer: against TransformerLens, and through everything that BIMT does."""

import copy

import pytest
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

from bimt_tf import BIMT, Geometry, Layout, RegressionTransformer, compact, wire
from bimt_tf.adapters.norms import norms
from bimt_tf.analysis.align_symmetry import sign_free
from bimt_tf.analysis.edge_effects import edge_effects
from bimt_tf.analysis.formula import formula
from bimt_tf.analysis.formula_network import exact_network, network_program
from bimt_tf.analysis.formula_polynomial import variable
from bimt_tf.errors import InputError
from bimt_tf.models.saving import load_model, save_model
from bimt_tf.training.eliminate import eliminate
from bimt_tf.viewer.live_network import live_network

F64 = torch.float64
KINDS = ["LN", "LNPre", "RMS", "RMSPre"]
SIZES = {"d_in": 5, "d_out": 5, "d_model": 8, "n_layers": 2, "n_heads": 2, "d_mlp": 6, "n_ctx": 4}


def made(kind="LN", positions="standard", seed=1, **given):
    """A model whose gains, biases and weights are none of those that it begins with."""
    options = {"normalization_type": kind, "positional_embedding_type": positions, **SIZES, **given}
    model = RegressionTransformer(seed=seed, **{"dtype": F64, **options})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator, dtype=F64).to(p), alpha=0.3)
    return model


def numbers(n=6, pos=4, features=5, seed=0):
    return torch.randn(n, pos, features, generator=torch.Generator().manual_seed(seed), dtype=F64)


def bridge_of(model):
    """TransformerLens's native model with the same weights: its tokens are our inputs, one feature a token."""
    cfg = model.cfg
    config = TransformerBridgeConfig(
        d_vocab=5, n_ctx=cfg.n_ctx, d_model=cfg.d_model, n_layers=cfg.n_layers, n_heads=cfg.n_heads, d_head=cfg.d_head,
        d_mlp=cfg.d_mlp, act_fn=cfg.act_fn, normalization_type=cfg.normalization_type, eps=cfg.eps,
        positional_embedding_type="standard", seed=0,
    )  # fmt: skip
    bridge = TransformerBridge.boot_native(config, dtype=F64)
    with torch.no_grad():
        model.embed.b_E.zero_()
        bridge.embed.original_component.weight.copy_(model.W_E)
        bridge.pos_embed.original_component.weight.copy_(model.W_pos)
        bridge.unembed.original_component.weight.copy_(model.W_U.T)
        model.unembed.b_U.zero_()
        if getattr(bridge.unembed.original_component, "bias", None) is not None:
            bridge.unembed.original_component.bias.zero_()
        pairs = [(bridge.ln_final, model.ln_final)]
        for theirs, ours in zip(bridge.blocks, model.blocks, strict=True):
            pairs += [(theirs.ln1, ours.ln1), (theirs.ln2, ours.ln2)]
            for x in "qkv":
                linear = getattr(theirs.attn, x).original_component
                linear.weight.copy_(getattr(ours.attn, f"W_{x.upper()}").transpose(1, 2).flatten(0, 1))
                linear.bias.copy_(getattr(ours.attn, f"b_{x.upper()}").flatten())
            theirs.attn.o.original_component.weight.copy_(ours.attn.W_O.flatten(0, 1).T)
            theirs.attn.o.original_component.bias.copy_(ours.attn.b_O)
            for name, own in (("in", "in"), ("out", "out")):
                linear = getattr(theirs.mlp, name).original_component
                linear.weight.copy_(getattr(ours.mlp, f"W_{own}").T)
                linear.bias.copy_(getattr(ours.mlp, f"b_{own}"))
        for theirs, ours in pairs:
            for their, own in (("weight", "w"), ("bias", "b")):
                if getattr(ours, own) is not None:
                    getattr(theirs.original_component, their).copy_(getattr(ours, own))
    return bridge


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_hooks_are_those_of_transformer_lens(kind):
    model = made(kind)
    bridge = bridge_of(model)
    tokens = torch.randint(0, 5, (6, 4), generator=torch.Generator().manual_seed(3))
    x = torch.nn.functional.one_hot(tokens, 5).to(F64)
    out, cache = model.run_with_cache(x)
    wanted, their = bridge.run_with_cache(tokens)
    torch.testing.assert_close(out, wanted, rtol=1e-6, atol=1e-6)
    names = [
        "hook_pos_embed",
        "hook_embed",
        "blocks.1.hook_resid_post",
        "ln_final.hook_scale",
        "ln_final.hook_normalized",
    ]
    for name in [*names, *(f"blocks.1.{ln}.hook_{one}" for ln in ("ln1", "ln2") for one in ("scale", "normalized"))]:
        torch.testing.assert_close(cache[name], their[name].expand_as(cache[name]), rtol=1e-6, atol=1e-6)
    assert (model.cfg.normalization_type, model.cfg.eps) == (bridge.cfg.normalization_type, bridge.cfg.eps)


@pytest.mark.parametrize(("kind", "gains", "biases"), [("LN", 5, 5), ("LNPre", 0, 0), ("RMS", 5, 0), ("RMSPre", 0, 0)])
def test_names_and_first_values(kind, gains, biases):
    plain = RegressionTransformer(**SIZES, seed=4)
    model = RegressionTransformer(**SIZES, seed=4, normalization_type=kind, positional_embedding_type="standard")
    added = {name: p for name, p in model.named_parameters() if name not in dict(plain.named_parameters())}
    assert all(torch.equal(p, model.get_parameter(name)) for name, p in plain.named_parameters())
    assert sum(name.endswith(".w") for name in added) == gains and sum(name.endswith(".b") for name in added) == biases
    assert all((p == (1 if name.endswith("w") else 0)).all() for name, p in added.items() if name != "pos_embed.W_pos")
    assert 0 < added["pos_embed.W_pos"].abs().max() <= 5**-0.5 and model.W_pos is model.pos_embed.W_pos
    assert ("blocks.0.ln1.w" in added) == (gains > 0) and ("ln_final.b" in added) == (biases > 0)
    assert {"blocks.0.ln1.hook_scale", "ln_final.hook_normalized", "hook_pos_embed"} < set(model.hook_dict)


def test_without_options_a_seed_gives_what_it_always_gave():
    model = RegressionTransformer(d_model=4, n_layers=1, d_mlp=3, seed=5, dtype=F64)
    names = [f"attn.{w}_{x}" for x in "QKV" for w in "Wb"] + ["attn.W_O", "attn.b_O"]
    names += [f"mlp.{w}_{x}" for x in ("in", "out") for w in "Wb"]
    wanted = ["embed.W_E", "embed.b_E", *(f"blocks.0.{name}" for name in names), "unembed.W_U", "unembed.b_U"]
    assert list(model.state_dict()) == wanted
    first = [float(p.detach().flatten()[0]) for p in model.state_dict().values()]
    assert first[:4] == pytest.approx(FIRST, abs=1e-9)
    assert sum(float(p.detach().abs().sum()) for p in model.parameters()) == pytest.approx(SIZE, abs=1e-8)
    assert model.cfg.normalization_type is None and not any("ln" in name or "pos_" in name for name in model.hook_dict)
    for name in ("ln_final", "W_pos", "pos_embed"):
        assert not hasattr(model, name)
    with pytest.raises(AttributeError, match="no ln_final: it was made with normalization_type=None"):
        _ = model.ln_final


FIRST = [0.2008395484, 0.4913203054, 0.3012906277, -0.2904966431]
SIZE = 30.3075541765


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"normalization_type": "layer"}, "unknown normalization_type 'layer'.*LN, LNPre, RMS, RMSPre"),
        ({"positional_embedding_type": "rotary"}, "unknown positional_embedding_type 'rotary'.*standard"),
        ({"eps": 0.0}, "eps must be above 0"),
        ({"eps": float("nan")}, "eps must be finite"),
    ],
)
def test_options_that_cannot_be(given, says):
    with pytest.raises(InputError, match=says):
        RegressionTransformer(**given)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_every_parameter_is_wired_and_swaps_and_bake_keep_the_function(kind):
    model, x = made(kind), numbers()
    wiring = wire(model)
    assert sorted(one.parameter for one in wiring.wired) == sorted(name for name, _ in model.named_parameters())
    assert not any(one.charged for one in wiring.attachments if ".ln" in one.parameter or "ln_" in one.parameter)
    assert all(p.movable for p in wiring.populations.values()) and wiring.populations["residual"].bakeable
    before, bimt = model(x), BIMT(model)
    report = bimt.swap()
    assert report.cost_after < report.cost_before and torch.equal(model(x), before)
    for seed in range(2):
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(seed))
        cost, old = bimt.cost().item(), {name: p.detach().clone() for name, p in model.named_parameters()}
        assert bimt.bake_(check=x)
        torch.testing.assert_close(model(x), before, rtol=1e-12, atol=1e-12)
        assert bimt.cost().item() == pytest.approx(cost, rel=1e-12)
        assert not torch.equal(model.W_pos, old["pos_embed.W_pos"])
        if kind in ("LN", "RMS"):
            assert not torch.equal(model.ln_final.w, old["ln_final.w"])


@pytest.mark.parametrize("kind", [None, "LN", "RMSPre"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_cost_s_gradient_is_autograd_s(kind, reduction):
    model = made(kind)
    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.3), reduction=reduction)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(2))
    bimt.cost().mul(0.7).backward()
    wanted = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    bimt.add_cost_grad_(0.7)
    for name, p in model.named_parameters():
        found = torch.zeros_like(p) if p.grad is None else p.grad
        torch.testing.assert_close(found, wanted[name], rtol=1e-12, atol=1e-14)
        if ".w" in name or name.endswith(".b"):
            assert not found.any()  # gains and norm biases pay nothing
    assert wanted["pos_embed.W_pos"].abs().min() > 0


def test_effective_norms_know_every_reader():
    model = made("LN")
    found = norms(model, wire(model))
    block = {f"attn.W_{x}": "ln1.w" for x in "QKV"} | {"mlp.W_in": "ln2.w"}
    wanted = {f"blocks.{i}.{name}": f"blocks.{i}.{gain}" for i in range(2) for name, gain in block.items()}
    assert found.gains == {**wanted, "unembed.W_U": "ln_final.w"} and found.final == ()
    written = [f"blocks.{i}.{x}" for i in range(2) for x in ("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out")]
    assert sorted(found.writers) == sorted(["embed.W_E", "embed.b_E", "pos_embed.W_pos", *written])
    pre, plain = made("RMSPre"), made(None)
    assert norms(pre, wire(pre)).gains == {}
    with pytest.raises(InputError, match="no norm"):
        norms(plain, wire(plain))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("expand", [True, False])
def test_the_parts_of_the_cache_sum_to_what_is_read(kind, expand):
    model, x = made(kind), numbers()
    out, cache = model.run_with_cache(x)
    parts, labels = cache.get_full_resid_decomposition(expand_neurons=expand, return_labels=True)
    assert "pos_embed" in labels and "embed" in labels
    torch.testing.assert_close(parts.sum(0), cache["resid_post", 1])
    normed, last = cache.get_full_resid_decomposition(expand_neurons=expand, apply_ln=True).sum(0), model.ln_final
    torch.testing.assert_close(normed, cache["ln_final.hook_normalized"])
    bias = 0 if last.b is None else last.b @ model.W_U
    found = torch.stack([cache.logit_attrs(parts, tokens=i).sum(0) for i in range(5)], -1)
    torch.testing.assert_close(found + bias + model.b_U, out)
    middle = cache.decompose_resid(layer=1, mlp_input=True, apply_ln=True).sum(0)
    torch.testing.assert_close(middle, cache["blocks.1.ln2.hook_normalized"])
    accumulated = cache.accumulated_resid(apply_ln=True)
    torch.testing.assert_close(accumulated[-1] @ model.W_U + model.b_U, out)
    heads = cache.stack_head_results(apply_ln=True)
    neurons = cache.stack_neuron_results(-1, apply_ln=True)
    assert heads.shape == (4, 6, 4, 8) and neurons.shape == (12, 6, 4, 8)


@pytest.mark.parametrize("kind", ["LN", "RMSPre"])
def test_layers_hooks_and_requests(kind):
    model, x = made(kind), numbers()
    out, cache = model.run_with_cache(x)
    middle = model(x, stop_at_layer=1)
    assert torch.equal(middle, cache["resid_pre", 1]) and torch.equal(model(middle, start_at_layer=1), out)
    torch.testing.assert_close(cache["resid_pre", 0], cache["hook_embed"] + cache["hook_pos_embed"])
    for call in ("set_use_attn_in", "set_use_split_qkv_input", "set_use_attn_result", "set_use_hook_mlp_in"):
        getattr(model, call)(True)
        torch.testing.assert_close(model(x), out)
        getattr(model, call)(False)
    model.set_use_attn_in(True)
    _, seen = model.run_with_cache(x)
    assert torch.equal(seen["blocks.0.hook_attn_in"][:, :, 1], seen["resid_pre", 0])  # the stream before its norm
    model.set_use_attn_in(False)
    frozen = model.run_with_hooks(x, fwd_hooks=[("ln_final.hook_scale", lambda scale, hook: 2 * scale)])
    bias = 0 if model.ln_final.b is None else model.ln_final.b @ model.W_U
    torch.testing.assert_close(2 * (frozen - model.b_U - bias), out - model.b_U - bias)


@pytest.mark.parametrize(("kind", "positions"), [("LN", "standard"), ("RMSPre", None), (None, "standard")])
def test_copies_files_and_compiled_models(kind, positions, tmp_path):
    model, x = made(kind, positions, eps=1e-3), numbers()
    out = model(x)
    save_model(model, tmp_path / "model")
    for other in (copy.deepcopy(model), load_model(tmp_path / "model")):
        assert torch.equal(other(x), out) and other.cfg == model.cfg
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), out)
    half = made(kind, positions, dtype=torch.bfloat16)
    assert half(x.bfloat16()).dtype == torch.bfloat16 and torch.isfinite(half(x.bfloat16())).all()
    many = torch.func.vmap(lambda p: torch.func.functional_call(model, p, (x,)))(
        {name: torch.stack([p.detach(), 2 * p.detach()]) for name, p in model.named_parameters()}
    )
    torch.testing.assert_close(many[0], out)


@pytest.mark.parametrize("kind", ["LN", "RMSPre"])
def test_what_cannot_be_said_through_a_norm_is_refused(kind):
    model = made(kind, d_model=4, n_layers=1, d_mlp=2)
    bimt, x = BIMT(model), numbers()
    with pytest.raises(InputError, match=f"compact cannot make a RegressionTransformer with {kind}"):
        compact(bimt)
    with pytest.raises(InputError, match=f"without norm, found {kind}"):
        formula(model, x, position=3)
    with pytest.raises(InputError, match=f"a page evaluates transformers without norm.*has {kind}"):
        live_network(model, 4)
    with pytest.raises(InputError, match=f"not known behind a norm.*has {kind}"):
        edge_effects(bimt, x, lambda y: float(y.square().mean()), (x, x.flip(0), None))
    assert edge_effects(bimt, x, lambda y: float(y.square().mean())).edges  # knock-outs are right with any model
    assert "residual" not in sign_free(bimt) and "residual" in sign_free(BIMT(made(None)))
    with pytest.raises(InputError, match="without positional embedding"):
        live_network(made(None), 4)


def test_positions_alone_are_made_smaller_without_changing_the_function():
    x = numbers(10)
    for seed in range(4):
        model = made(None, seed=seed)
        with torch.no_grad():
            for p in model.parameters():
                keep = torch.rand(p.shape, generator=torch.Generator().manual_seed(seed + p.numel())) > 0.8
                p.mul_(keep)
            model.embed.W_E[:, :3] = 0  # neurons 0, 1 and 2 vary with the position alone
        small = compact(BIMT(model)).model
        torch.testing.assert_close(small(x), model(x))
        assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())


def test_a_formula_holds_the_positions():
    sizes = {"d_in": 2, "d_out": 1, "d_model": 3, "n_layers": 1, "n_heads": 1, "d_mlp": 2, "n_ctx": 3}
    model, x = made(None, **sizes), numbers(7, 3, 2)
    names = [f"x{i}" for i in range(6)]
    program = network_program(exact_network(model), [variable(name) for name in names], [(0, "y")], 2)
    inputs = dict(zip(names, x.flatten(1).numpy().T, strict=True))
    found = torch.from_numpy(program.run(inputs, 7))
    torch.testing.assert_close(found, model(x)[:, 2].detach(), rtol=1e-9, atol=1e-9)


def test_elimination_works_on_the_whole_network():
    sizes = {"d_in": 2, "d_out": 1, "d_model": 3, "n_layers": 1, "n_heads": 1, "d_mlp": 2, "n_ctx": 2}
    model, x = made("LN", **sizes), numbers(30, 2, 2)
    with torch.no_grad():
        targets = model(x)[:, -1]
    found = eliminate(BIMT(model), (x, targets), lambda o, t: o[:, -1] - t, max_loss=0.05, validation=False)
    with torch.no_grad():
        loss = float((model(x)[:, -1] - targets).square().mean())
    assert loss == pytest.approx(found.path[-1].loss) and loss <= 0.05
    assert found.path[-1].weights < found.path[0].weights
