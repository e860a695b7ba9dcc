"""What TransformerLens's users type, on a RegressionTransformer: the table of docs/transformer-lens.md."""

import copy

import pytest
import torch
from transformer_lens import FactoredMatrix, patching
from transformer_lens.utilities import get_act_name

from bimt_tf import BIMT, RegressionTransformer, compact
from bimt_tf.errors import InputError

F64 = torch.float64


@pytest.fixture
def model():
    return RegressionTransformer(d_in=2, d_out=2, d_model=8, n_layers=3, n_heads=2, dtype=F64)


@pytest.fixture
def x():
    return torch.rand(5, 3, 2, generator=torch.Generator().manual_seed(0), dtype=F64)


def test_stacked_weights(model):
    for part, names in (("attn", "W_Q W_K W_V W_O b_Q b_K b_V b_O"), ("mlp", "W_in W_out b_in b_out")):
        for name in names.split():
            stack = getattr(model, name)
            assert all(torch.equal(stack[i], getattr(getattr(model.blocks[i], part), name)) for i in range(3))
    assert torch.equal(model.W_E, model.embed.W_E) and torch.equal(model.b_U, model.unembed.b_U)
    assert model.all_head_labels() == ["L0H0", "L0H1", "L1H0", "L1H1", "L2H0", "L2H1"]


def test_circuits_are_factored_matrices(model):
    assert isinstance(model.QK, FactoredMatrix) and isinstance(model.OV, FactoredMatrix)
    block = model.blocks[1].attn
    torch.testing.assert_close(model.QK[1, 0].AB, block.W_Q[0] @ block.W_K[0].T)
    torch.testing.assert_close(model.OV[1, 1].AB, block.W_V[1] @ block.W_O[1])


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
def test_composition_scores_against_loops(model, mode):
    found = model.all_composition_scores(mode)
    for i in range(3):
        for a in range(2):
            for j in range(3):
                for b in range(2):
                    left, late = model.OV[i, a].AB, model.blocks[j].attn
                    right = late.W_V[b] @ late.W_O[b] if mode == "V" else late.W_Q[b] @ late.W_K[b].T
                    right = right.T if mode == "K" else right
                    wanted = (left @ right).norm() / (left.norm() * right.norm()) if i < j else torch.tensor(0.0)
                    assert found[i, a, j, b].item() == pytest.approx(wanted.item(), abs=1e-12)
    with torch.no_grad():
        model.blocks[0].attn.W_O.zero_()
    assert torch.isfinite(model.all_composition_scores(mode)).all()
    with pytest.raises(InputError, match="mode"):
        model.all_composition_scores("X")


def test_the_parts_of_an_output_sum_to_it(model, x):
    out, cache = model.run_with_cache(x)
    parts, labels = cache.get_full_resid_decomposition(layer=-1, expand_neurons=False, return_labels=True)
    found = cache.logit_attrs(parts, tokens=1).sum(0) + model.b_U[1]
    torch.testing.assert_close(found, out[..., 1])
    assert "bias" in labels and "L2H1" in labels
    difference = cache.logit_attrs(parts, tokens=1, incorrect_tokens=0).sum(0)
    torch.testing.assert_close(difference + model.b_U[1] - model.b_U[0], out[..., 1] - out[..., 0])
    for wrong in (2, -1, 0.5, "y"):
        with pytest.raises((InputError, AttributeError)):
            cache.logit_attrs(parts, tokens=wrong)


@pytest.mark.parametrize("call", ["accumulated_resid", "decompose_resid", "stack_head_results", "stack_neuron_results"])
def test_helpers_of_the_cache(model, x, call):
    _, cache = model.run_with_cache(x)
    arguments = {} if call in ("accumulated_resid", "decompose_resid") else {"layer": -1}
    assert torch.isfinite(getattr(cache, call)(**arguments)).all()
    assert cache.stack_activation("resid_post").shape == (3, 5, 3, 8)
    assert cache["pattern", 1, "attn"].shape == (5, 2, 3, 3) and cache["resid_post", -1].shape == (5, 3, 8)
    assert cache[get_act_name("mlp_post", 0)].shape == (5, 3, 32)


def test_a_run_is_begun_and_ended_at_a_layer(model, x):
    out, cache = model.run_with_cache(x)
    middle = model(x, stop_at_layer=1)
    assert torch.equal(middle, cache["resid_pre", 1]) and torch.equal(model(middle, start_at_layer=1), out)
    assert torch.equal(model(x, stop_at_layer=-1), cache["resid_pre", 2])
    assert torch.equal(model(x, stop_at_layer=3), cache["resid_post", 2])
    assert torch.equal(model(x, stop_at_layer=0), cache["embed"])
    assert torch.equal(model(middle, start_at_layer=1, stop_at_layer=2), cache["resid_pre", 2])
    for wrong in ({"stop_at_layer": 4}, {"start_at_layer": -4}, {"stop_at_layer": True}, {"stop_at_layer": 1.0}):
        with pytest.raises(InputError, match="must be a block, 0 to 3"):
            model(x, **wrong)
    with pytest.raises(InputError, match=r"input must be \[batch, pos <= 3, 8\]"):
        model(x, start_at_layer=1)


def test_return_types_and_gradients_in_the_cache(model, x):
    def loss(y):
        return y.square().mean()

    out = model(x)
    assert model(x, return_type=None) is None and torch.equal(model(x, "loss", loss=loss), loss(out))
    both = model(x, return_type="both", loss=loss)
    assert torch.equal(both[0], out) and torch.equal(both[1], loss(out))
    value, cache = model.run_with_cache(x, return_type="loss", loss=loss, incl_bwd=True)
    wanted = torch.autograd.grad(loss(model(x)), model.embed.b_E)[0]
    torch.testing.assert_close(cache["hook_embed_grad"].sum((0, 1)), wanted)
    assert not any(point.bwd_hooks or point.fwd_hooks for point in model.hook_dict.values())
    with pytest.raises(InputError, match="needs loss="):
        model(x, return_type="loss")
    with pytest.raises(InputError, match="return_type"):
        model(x, return_type="tokens")


@pytest.mark.parametrize(
    ("call", "hooks", "shape"),
    [
        ("set_use_attn_result", ["attn.hook_result"], (5, 3, 2, 8)),
        ("set_use_attn_in", ["hook_attn_in"], (5, 3, 2, 8)),
        ("set_use_split_qkv_input", ["hook_q_input", "hook_k_input", "hook_v_input"], (5, 3, 2, 8)),
        ("set_use_hook_mlp_in", ["hook_mlp_in"], (5, 3, 8)),
    ],
)
def test_hooks_on_request(model, x, call, hooks, shape):
    before, names = model(x), list(model.hook_dict)
    getattr(model, call)(True)
    out, cache = model.run_with_cache(x)
    torch.testing.assert_close(out, before)
    assert getattr(model.cfg, call.removeprefix("set_")) is True
    for hook in hooks:
        for i in range(3):
            assert cache[f"blocks.{i}.{hook}"].shape == shape
        cut = model.run_with_hooks(x, fwd_hooks=[(f"blocks.1.{hook}", lambda t, hook: 0 * t)])
        assert not torch.allclose(cut, before)
    getattr(model, call)(True)  # once is enough
    getattr(model, call)(False)
    assert list(model.hook_dict) == names and torch.equal(model(x), before)


def test_a_head_s_own_input_is_its_own(model, x):
    model.set_use_split_qkv_input(True)

    def cut(tensor, hook):
        tensor = tensor.clone()
        tensor[:, :, 1] = 0
        return tensor

    _, before = model.run_with_cache(x)
    with model.hooks(fwd_hooks=[("blocks.1.hook_v_input", cut)]):
        _, after = model.run_with_cache(x)
    v, changed = before["blocks.1.attn.hook_v"], after["blocks.1.attn.hook_v"]
    assert torch.equal(v[:, :, 0], changed[:, :, 0]) and not torch.allclose(v[:, :, 1], changed[:, :, 1])
    assert torch.equal(before["blocks.1.attn.hook_q"], after["blocks.1.attn.hook_q"])


def test_hooks_have_levels(model, x):
    before = model(x)
    model.add_hook("hook_embed", lambda t, hook: 0 * t, level=0)
    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda t, hook: t + 1)]):
        inner = model(x)
    outer = model(x)
    assert not torch.equal(inner, outer) and not torch.equal(outer, before)
    model.reset_hooks()
    assert torch.equal(model(x), before)


def test_cfg_says_where_and_in_what_it_computes(model, x):
    assert model.cfg.device == torch.device("cpu") and model.cfg.dtype is F64
    single = model.to(torch.float32)
    assert single is model and model.cfg.dtype is torch.float32 and model(x.float()).dtype is torch.float32
    assert RegressionTransformer(device="meta").cfg.device.type == "meta"
    other = copy.deepcopy(model).double()
    assert other.cfg.dtype is F64 and model.cfg.dtype is torch.float32


def test_generic_patching_covers_every_position(model, x):
    """TransformerLens takes the number of positions from the last axis, which is features here; a frame is explicit."""
    pandas = pytest.importorskip("pandas")
    _, clean = model.run_with_cache(x)
    model.eval()  # TransformerLens asks for it
    corrupted = x.flip(0)
    frame = pandas.DataFrame([(layer, pos) for layer in range(3) for pos in range(3)], columns=["layer", "pos"])
    found = patching.generic_activation_patch(
        model,
        corrupted,
        clean,
        patching_metric=lambda out: (out - clean["resid_post", 2] @ model.W_U - model.b_U).abs().sum(),
        patch_setter=patching.layer_pos_patch_setter,
        activation_name="resid_pre",
        index_df=frame,
    )
    assert found.shape == (9,) and len(set(found.tolist())) == 9


@pytest.mark.parametrize("name", ["generate", "to_tokens", "tokenizer", "W_E_pos", "loss_fn"])
def test_what_only_language_models_have_is_refused_with_the_reason(model, name):
    assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=f"no {name}: it reads and writes numbers"):
        getattr(model, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = model.nothing


def test_a_compact_model_has_no_stack_where_its_blocks_differ(model):
    with torch.no_grad():
        model.blocks[0].mlp.W_in[:, 3:] = 0
    with pytest.raises(InputError, match=r"W_in differs in shape .* use blocks\[i\].mlp.W_in"):
        _ = compact(BIMT(model)).model.W_in
