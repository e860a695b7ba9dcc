"""Families with parts beside a plain transformer's: experts, latents, prediction layers, narrow words, gains."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks.architectures import (
    _GROUPED,
    _LLAMA,
    SINGLE,
    SPREAD,
    VOCABULARY,
    Architecture,
    _hugging_face,
    bakes,
    build,
    inputs,
    outputs,
    reloaded,
    seeded,
    swaps,
)
from benchmarks.families import cost_gradient
from bimt_tf import BIMT, Layout, wire
from bimt_tf.adapters.families import parameters
from bimt_tf.adapters.norms import norms
from bimt_tf.adapters.stage_hooks import stage_hooks
from bimt_tf.errors import InputError

SPARSE = dict(num_experts_per_tok=2, experts_implementation="eager")
MOE = dict(**_LLAMA, **_GROUPED, **SPARSE)
DENSE_FIRST = dict(moe_intermediate_size=12, first_k_dense_replace=1, n_group=1, topk_group=1, n_routed_experts=4)
LATENT = dict(q_lora_rank=8, kv_lora_rank=12, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8, head_dim=4)
_OPT = dict(
    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=20,
    max_position_embeddings=32, word_embed_proj_dim=16,
)  # fmt: skip
_STABLE = dict(**_LLAMA, **_GROUPED, qk_layernorm=True)
MODELS = {
    "Mixtral": _hugging_face("Mixtral", **MOE, num_local_experts=3),
    "GPT-OSS": _hugging_face("GptOss", **MOE, head_dim=8, num_local_experts=3),
    "OLMoE": _hugging_face("Olmoe", **MOE, num_experts=3),
    "Qwen 2 MoE": _hugging_face(
        "Qwen2Moe", **MOE, num_experts=3, moe_intermediate_size=12, shared_expert_intermediate_size=16,
        mlp_only_layers=[0],
    ),
    "Qwen 3 MoE": _hugging_face("Qwen3Moe", **MOE, num_experts=3, moe_intermediate_size=12, head_dim=8),
    "Granite MoE": _hugging_face("GraniteMoe", **MOE, num_local_experts=3),
    "GLM 4 MoE": _hugging_face("Glm4Moe", **MOE, **DENSE_FIRST, n_shared_experts=1, head_dim=8),
    "DeepSeek 3": _hugging_face("DeepseekV3", **_LLAMA, **SPARSE, **DENSE_FIRST, **LATENT, n_shared_experts=1),
    "Apertus": _hugging_face("Apertus", **_LLAMA, **_GROUPED),
    "BitNet": _hugging_face("BitNet", **_LLAMA, **_GROUPED),
    "StableLM, QK norms": _hugging_face("StableLm", **_STABLE),
    "OPT, narrow words": _hugging_face("OPT", **_OPT, tie_word_embeddings=False),
    "OPT, narrow words, tied": _hugging_face("OPT", **_OPT, do_layer_norm_before=False),
    "BERT": _hugging_face("Bert", **_LLAMA, is_decoder=True, tie_word_embeddings=False),
    "BERT, tied": _hugging_face("Bert", **_LLAMA, is_decoder=True),
    "ModernBERT decoder": _hugging_face("ModernBertDecoder", **_LLAMA, pad_token_id=0, tie_word_embeddings=False),
    "ModernBERT decoder, tied": _hugging_face("ModernBertDecoder", **_LLAMA, pad_token_id=0, tie_word_embeddings=True),
}  # fmt: skip
HELD = {  # what no symmetry moves, by the last word of the populations' names
    "GPT-OSS": {"qk", "ov"},
    "DeepSeek 3": {"q_latent", "queries", "kv_and_rotary", "kv_latent", "keys_and_values", "z"},
    "Apertus": {"qk"},
    "BitNet": {"qk"},
    "StableLM, QK norms": {"qk", "ov"},
    "OPT, narrow words": set(),
    "OPT, narrow words, tied": set(),
    "BERT": set(),
    "BERT, tied": {"residual"},
    "ModernBERT decoder": {"qk"},
    "ModernBERT decoder, tied": {"residual", "qk"},
}
each = pytest.mark.parametrize("name", MODELS)


def named(name: str) -> nn.Module:
    return build(Architecture(name, MODELS[name]))


def roberta(tied: bool) -> nn.Module:
    """AutoModelForCausalLM gives another class than the one with an adapter."""
    import transformers
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    config = transformers.RobertaConfig(**_LLAMA, pad_token_id=0, tie_word_embeddings=tied)
    config._attn_implementation = "eager"
    with seeded():
        plain = transformers.RobertaForMaskedLM(config).double().eval()
        model = build_bridge_from_module(plain, "RobertaForMaskedLM", hf_config=config)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p), alpha=SPREAD)
    return model.eval()


def right(model: nn.Module) -> BIMT:
    """Swaps change no bit, baking no more than rounding does, and the cost's gradient is autograd's."""
    bimt = BIMT(model)
    assert swaps(model, bimt)
    assert cost_gradient(model, bimt) < 1e-6
    found = bakes(model, bimt, 4)
    assert found.change <= SINGLE * found.logit
    return bimt


@each
def test_these_families_are_wired_swapped_and_baked(name):
    bimt = right(named(name))
    assert {one.rpartition(".")[2] for one in bimt.wiring.unbaked} == HELD.get(name, {"qk"})
    spelled = [one.parameter for one in bimt.wiring.moving] + list(bimt.wiring.left_out)
    assert set(parameters(bimt.model)) <= set(spelled) and len(spelled) == len(set(spelled))


@pytest.mark.parametrize("tied", [False, True])
def test_roberta_with_its_prediction_layer(tied):
    assert set(right(roberta(tied)).wiring.unbaked) == ({"residual"} if tied else set())


@pytest.mark.parametrize("name", ["Mixtral", "GPT-OSS", "StableLM, QK norms", "BERT, tied"])
def test_what_is_said_to_hold_does_hold(name):
    """A layout that moves what the wiring holds moves the outputs, and the check sees it."""
    model = named(name)
    wiring = wire(model)
    for held in sorted({one.rpartition(".")[2] for one in wiring.unbaked}):
        free = {
            n: replace(p, pinned=0, anchored=False, bakeable=True) if n.endswith(held) else p
            for n, p in wiring.populations.items()
        }
        if held in ("qk", "ov"):
            free = {n: replace(p, anchored=False) if n.endswith(("qk", "ov")) else p for n, p in free.items()}
        careless = BIMT(model)
        careless._guard.wiring = replace(wiring, populations=free)
        with pytest.raises(InputError, match="bake_ moved 'output'"):
            for seed in range(8):  # two heads keep their order every second time
                careless.layout = Layout.random(wiring, torch.Generator().manual_seed(seed))
                careless.bake_(check=inputs(model))


def test_whole_experts_change_places_and_take_the_routers_rows_along():
    model = named("Mixtral")
    bimt = BIMT(model)
    experts = bimt.wiring.populations["blocks.0.experts"]
    assert (experts.size, experts.heads, experts.anchored, experts.pinned) == (60, 3, False, 0)
    block = model.original_model.model.layers[0].mlp
    router = dict(parameters(model))["blocks.0.mlp.gate.weight"]
    up = block.experts.gate_up_proj
    before, rows_before = up.detach().clone(), router.detach().clone()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    orders = bimt.bake_(check=True)
    order, residual = orders["blocks.0.experts"].view(3, 20), orders["residual"]
    old = order[:, 0] // 20
    assert old.sort().values.tolist() == [0, 1, 2] and old.tolist() != [0, 1, 2]
    assert torch.equal(router, rows_before[old][:, residual])
    for e in range(3):
        rows = order[e] - 20 * old[e]
        assert rows.sort().values.tolist() == list(range(20))
        assert torch.equal(up[e], before[old[e]].view(2, 20, 32)[:, rows][:, :, residual].reshape(40, 32))


def test_biases_that_only_choose_move_with_their_experts():
    """DeepSeek's correction of the scores is a buffer, zero at first and set while others train."""
    model = named("DeepSeek 3")
    bias = model.original_model.model.layers[1].mlp.gate.e_score_correction_bias
    bimt = BIMT(model)  # wired while it is zero
    with torch.no_grad():
        bias.copy_(torch.tensor([3.0, -3.0, 0.5, -0.5]))
    before = outputs(model, inputs(model))
    kept = bias.clone()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    old = bimt.bake_(check=True)["blocks.1.experts"].view(4, -1)[:, 0] // 12
    assert old.tolist() != [0, 1, 2, 3] and torch.equal(bias, kept[old])
    assert (outputs(model, inputs(model)) - before).abs().max() < 1e-5 * before.abs().max()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("DeepSeek 3", dict(n_group=2, topk_group=1)), ("Mixtral", dict(output_router_logits=True))],
)
def test_experts_that_something_numbers_keep_their_numbers(name, settings):
    config = {
        "DeepSeek 3": dict(**_LLAMA, **SPARSE, **(DENSE_FIRST | settings), **LATENT, n_shared_experts=1),
        "Mixtral": dict(**MOE, num_local_experts=3, **settings),
    }[name]
    model = build(Architecture(name, _hugging_face(name.replace("DeepSeek 3", "DeepseekV3"), **config)))
    bimt = BIMT(model)
    assert all("the order of the heads" in why for n, why in bimt.wiring.unbaked.items() if n.endswith("experts"))
    assert bimt.wiring.populations["blocks.1.experts"].anchored
    found = bakes(model, bimt, 3)
    assert found.change <= SINGLE * found.logit


def test_groups_of_experts_do_hold_them():
    """Exchanged across groups that are chosen first, experts move the outputs, and the check sees it."""
    settings = dict(**_LLAMA, **SPARSE, **(DENSE_FIRST | dict(n_group=2, topk_group=1)), **LATENT, n_shared_experts=1)
    model = build(Architecture("groups", _hugging_face("DeepseekV3", **settings)))
    wiring = wire(model)
    free = {n: replace(p, anchored=False) if n.endswith("experts") else p for n, p in wiring.populations.items()}
    careless = BIMT(model)
    careless._guard.wiring = replace(wiring, populations=free)
    with pytest.raises(InputError, match="bake_ moved 'output'"):
        for seed in range(8):
            careless.layout = Layout.random(wiring, torch.Generator().manual_seed(seed))
            careless.bake_(check=inputs(model))


def test_experts_that_the_router_cannot_tell_apart_keep_their_numbers():
    """Rows that the connection cost has pressed to zero give equal scores, of which the lower number is chosen."""
    model = named("Mixtral")
    bimt = BIMT(model)
    router = dict(parameters(model))["blocks.0.mlp.gate.weight"]
    with torch.no_grad():
        router[:2] = 0
    before = outputs(model, inputs(model))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    orders = bimt.bake_(check=inputs(model))
    assert (orders["blocks.0.experts"].view(3, 20)[:, 0] // 20).tolist() == [0, 1, 2]
    assert "has equal rows" in bimt.wiring.unbaked["blocks.0.experts"]
    assert (orders["blocks.1.experts"].view(3, 20)[:, 0] // 20).tolist() != [0, 1, 2]
    assert (outputs(model, inputs(model)) - before).abs().max() < 1e-5 * before.abs().max()


@pytest.mark.parametrize("left_out", ["blocks.*.mlp", "*.experts", "blocks.*.mlp.gate"])
def test_experts_or_routers_that_are_left_out_hold_what_they_count(left_out):
    """A router that was left out stands on the stream too, which moved without it once."""
    model = named("Mixtral")
    bimt = BIMT(model, wiring=wire(model, left_out=[left_out]))
    assert not any(p.name.endswith(".expert") for p in bimt.wiring.populations.values())
    assert "may stand on it" in bimt.wiring.unbaked["residual"]
    assert all(p.anchored or not p.bakeable for n, p in bimt.wiring.populations.items() if n.endswith("experts"))
    found = bakes(model, bimt, 3)
    assert found.change <= SINGLE * found.logit


def test_gate_and_up_by_turns_are_told_from_one_after_the_other():
    model = named("GPT-OSS")
    up = next(w for w in wire(model).connections if w.parameter.endswith("0.mlp.experts.gate_up_proj"))
    flat = up.flatten(model.original_model.model.layers[0].mlp.experts.gate_up_proj.detach())
    weight = model.original_model.model.layers[0].mlp.experts.gate_up_proj.detach()  # [expert, residual, (neuron two)]
    assert torch.equal(flat[1], weight[:, :, 1::2].permute(1, 0, 2).reshape(32, 60))


@pytest.mark.parametrize("name", ["Mixtral", "GPT-OSS", "OPT, narrow words", "BERT", "StableLM, QK norms"])
def test_they_are_given_back_as_plain_models(name):
    model = named(name)
    right(model)
    assert reloaded(model) <= SINGLE * outputs(model, inputs(model)).abs().max().item()


def test_a_class_that_is_in_no_list_gets_no_parts():
    """The same modules in a class of another name: its code may be another's, so it is refused."""
    model = named("Mixtral")
    kind = type(model.original_model)
    model.original_model.__class__ = type("OtherForCausalLM", (kind,), {})
    with pytest.raises(
        InputError, match=r"wire does not know 6 .*\(experts of a class that was not tried: not wired\)"
    ):
        wire(model)


@pytest.mark.parametrize(
    ("family", "says"),
    [
        ("mamba", "a state-space block"),
        ("rwkv", "RWKV"),
        ("laguna", "a gate beside attention"),
        ("jetmoe", "an attention made of experts"),
        ("SwitchTransformersForConditionalGeneration", "experts of a class that was not tried"),
        ("LEDForConditionalGeneration", "attention over windows beside a global one"),
        ("GlmAsrForConditionalGeneration", "an encoder of images or sound"),
    ],
)
def test_a_refusal_says_what_is_missing(family, says):
    from benchmarks.families import build as family_of

    with seeded():
        model = family_of(family)
    with pytest.raises(InputError, match=rf"wire does not know .*\({says}.*: not wired\); say what") as error:
        wire(model)
    assert len(str(error.value)) <= 600 and re.search(r"left_out=\['\?'\]", str(error.value))


@pytest.mark.parametrize("name", ["Mixtral", "DeepSeek 3", "BitNet", "BERT", "OPT, narrow words, tied"])
def test_effective_weights_are_refused_where_a_norm_stands_elsewhere(name):
    model = named(name)
    with pytest.raises(InputError, match="effective weights are not defined for a model w"):
        norms(model, wire(model))


def test_stages_behind_attention_are_shown_between_attention_and_experts():
    model = named("GLM 4 MoE")
    hooks = stage_hooks(model, wire(model))
    assert hooks["Res3"] == "blocks.1.hook_resid_mid" and hooks["Res4"] == "blocks.1.hook_resid_post"
    assert "blocks.1.experts" not in hooks
