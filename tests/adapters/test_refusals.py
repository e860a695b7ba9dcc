"""Models that bake_ corrupted once: right now, or refused; and the advice of each refusal ends in a right model."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from benchmarks.architectures import (
    _GROUPED,
    _LLAMA,
    SINGLE,
    VOCABULARY,
    Architecture,
    _hugging_face,
    bakes,
    build,
    inputs,
    outputs,
)
from benchmarks.families import Row, Unmade, Untried, families, held, page, tried
from bimt_tf import BIMT, Layout, wire
from bimt_tf.errors import InputError

XGLM = _hugging_face(
    "XGLM", vocab_size=VOCABULARY, max_position_embeddings=32, d_model=32, ffn_dim=20, num_layers=2, attention_heads=4
)
GEMMA4 = dict(
    **_LLAMA, **_GROUPED, head_dim=8, global_head_dim=16, layer_types=["sliding_attention", "full_attention"],
    vocab_size_per_layer_input=VOCABULARY, hidden_size_per_layer_input=0,
)  # fmt: skip
QWEN = dict(**_LLAMA, **_GROUPED, head_dim=8, layer_types=["full_attention"] * 2)
MODELS = {
    "Gemma 4": _hugging_face("Gemma4Text", **GEMMA4),
    "Gemma 4, keys as values": _hugging_face("Gemma4Text", **GEMMA4, attention_k_eq_v=True),
    "Qwen 3.5": _hugging_face("Qwen3_5Text", **QWEN),
    "Qwen 3 Next": _hugging_face("Qwen3Next", **QWEN, num_experts=0),
    "StableLM, QK norms": _hugging_face("StableLm", **_LLAMA, **_GROUPED, qk_layernorm=True),
    "GPT-OSS": _hugging_face("GptOss", **_LLAMA, **_GROUPED, head_dim=8, num_local_experts=3, num_experts_per_tok=2),
    "BitNet": _hugging_face("BitNet", **_LLAMA, **_GROUPED),
    "Mixtral": _hugging_face("Mixtral", **_LLAMA, **_GROUPED, num_local_experts=3),
    "Mamba": _hugging_face("Mamba", vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
}


def named(name: str) -> nn.Module:
    """In float64, or float32 where experts do not run in float64.

    What the families' tables know (adapters/parts.py) comes in a class of another name, which they do not know.
    """
    model = build(Architecture(name, MODELS[name]))
    if name in ("StableLM, QK norms", "GPT-OSS", "BitNet", "Mixtral"):
        model.original_model.__class__ = type("OtherForCausalLM", (type(model.original_model),), {})
    return model.float() if name in ("GPT-OSS", "Mixtral") else model


def right(bimt: BIMT, layouts: int = 3) -> None:
    """Bakes random layouts without looking at the outputs, which are looked at here."""
    found = bakes(bimt.model, bimt, layouts)
    single = next(bimt.model.parameters()).dtype == torch.float32
    assert found.change <= (20 * SINGLE if single else SINGLE) * found.logit


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Gemma 4, keys as values", r"blocks.1.attn has weights for q, k, o and none for v"),
        ("Qwen 3.5", r"blocks.0.attn: q writes 64 features, k 16, v 16 and o reads 32"),
        ("Qwen 3 Next", r"blocks.0.attn: q writes 64 features, k 16, v 16 and o reads 32"),
        (
            "StableLM, QK norms",
            r"12 parameter\(s\) of the model: 'model.layers.0.self_attn.q_layernorm.norms.0.weight'",
        ),
        ("GPT-OSS", r"14 parameter\(s\) of the model: 'blocks.0.attn.sinks' \[4\]"),
        ("BitNet", r"4 parameter\(s\) of the model: 'model.layers.0.self_attn.attn_sub_norm.weight' \[32\]"),
        ("Mixtral", r"6 parameter\(s\) of the model: 'blocks.0.mlp.gate.weight'"),
        ("Mamba", r"20 parameter\(s\) of the model: "),
    ],
)
def test_the_advice_of_a_refusal_ends_in_a_right_model(name, says):
    model, left_out, first = named(name), [], True
    for _ in range(4):
        try:
            wiring = wire(model, left_out=left_out)
            break
        except InputError as error:
            line = str(error)
            assert len(line) <= 600
            if first:
                assert re.search(says, line)
            first = False
            left_out += re.findall(r"left_out=\['([^']*)'\]", line)
    else:
        raise AssertionError("the advice leads nowhere")
    bimt = BIMT(model, wiring=wiring)
    right(bimt)
    bimt.layout = Layout.random(wiring, torch.Generator().manual_seed(9))
    bimt.bake_(check=True)
    assert any("left-out parameter" in why for why in wiring.unbaked.values())


def test_what_is_said_to_be_free_of_order_moves_again_and_a_false_word_is_caught():
    model = named("StableLM, QK norms")
    out = dict(left_out=["?"])
    assert "blocks.0.ov" in wire(model, **out).unbaked
    layers = [f"model.layers.{i}.self_attn" for i in range(2)]
    bimt = BIMT(model, wiring=wire(model, **out, order_free=layers))
    assert "blocks.0.ov" not in bimt.wiring.unbaked
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(InputError, match="bake_ moved 'output' by .* The order of 'blocks.0.qk'"):
        bimt.bake_()  # the gains of each head's q do rely on the order
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_sinusoidal_positions_hold_the_residual_stream():
    model = build(Architecture("XGLM", XGLM)).float()
    bimt = BIMT(model)
    assert "'model.embed_positions.weights' [34, 32] may stand on it" in bimt.wiring.unbaked["residual"]
    assert "blocks.0.mlp" not in bimt.wiring.unbaked
    right(bimt)
    careless = BIMT(model, wiring=wire(model, order_free=["model.embed_positions.weights"]))
    careless.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    with pytest.raises(InputError, match="bake_ moved 'output'"):
        careless.bake_()
    found = bakes(model, careless, 1)
    assert found.change > 0.1 * found.logit  # the fault, as it was


@pytest.mark.parametrize(("shape", "held"), [((32,), True), ((16, 32), True), ((17,), False)])
def test_a_table_of_positions_of_ones_own_holds_what_it_may_stand_on(shape, held):
    model = build(Architecture("native", MODELS["Mixtral"]))
    model.original_model.model.register_buffer("positions", torch.randn(shape, dtype=torch.float64))
    why = wire(model, left_out=["?"], order_free=["blocks", "model.layers"]).unbaked.get("residual", "")
    assert ("'model.positions'" in why) == held


def test_head_widths_are_read_layer_by_layer():
    model = named("Gemma 4")
    wiring = wire(model)
    sizes = [wiring.populations[f"blocks.{i}.qk"] for i in range(2)]
    assert [(p.heads, p.head_size, p.pinned) for p in sizes] == [(2, 8, 8), (2, 16, 16)]
    right(BIMT(model))


def test_keys_of_another_layer_hold_these_keys():
    """Gemma 4's last layers read the keys and values of earlier ones: with their attention left out these stay."""
    shared = GEMMA4 | dict(num_hidden_layers=4, layer_types=GEMMA4["layer_types"] * 2, num_kv_shared_layers=2)
    model = build(Architecture("shared", _hugging_face("Gemma4Text", **shared)))
    with pytest.raises(InputError, match="blocks.2.attn has weights for q, o and none for k, v"):
        wire(model)
    unbaked = wire(model, left_out=["blocks.2.attn", "blocks.3.attn"]).unbaked
    assert {"blocks.0.qk", "blocks.0.ov", "blocks.1.qk", "blocks.1.ov", "residual"} <= set(unbaked)


class Scaled(nn.Linear):
    """Quantises its weight by blocks of entries, which a reordering mixes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        step = self.weight.reshape(-1, 4).abs().mean(1, keepdim=True)
        weight = ((self.weight.reshape(-1, 4) / step).round() * step).view(self.weight.shape)
        return nn.functional.linear(x, weight, self.bias)


def test_a_linear_layer_with_a_forward_of_its_own_holds_both_its_ends():
    model = build(Architecture("OLMo", _hugging_face("Olmo", **_LLAMA, **_GROUPED)))
    linear = model.blocks[1].mlp.out.original_component
    linear.__class__ = Scaled
    before = outputs(model, inputs(model))
    bimt = BIMT(model)
    assert (
        bimt.wiring.unbaked["blocks.1.mlp"] == "its order ('blocks.1.mlp.out.weight' has a forward of its own, Scaled)"
    )
    assert "residual" in bimt.wiring.unbaked and "blocks.0.mlp" not in bimt.wiring.unbaked
    right(bimt)
    assert (outputs(model, inputs(model)) - before).abs().max() < 1e-4


def test_names_that_the_model_does_not_have_are_refused_with_the_near_ones():
    model = named("Gemma 4")
    for given, what in (({"left_out": ["blocks.0.atn"]}, "left_out"), ({"axes": {"blocks.0.ln1.w": "x"}}, "axes")):
        with pytest.raises(
            InputError, match=rf"unknown parameter in {what} 'blocks.0.*\(known: .* and \d+ more\)"
        ) as error:
            wire(model, **given)
        assert len(str(error.value)) <= 600


@pytest.mark.parametrize("family", ["gpt2", "llama", "granitemoe", "xglm", "mamba"])
def test_the_matrix_of_families_has_no_line_where_outputs_move(family):
    row = tried(family, 2)
    assert not row.moved and row.cost < 1e-6 and row.markdown().startswith(f"| {family} | ")
    assert row.wired == ("by the advice of the refusal" if family == "mamba" else "as it is")


def test_the_matrix_counts_what_it_cannot_try():
    assert len(families()) > 100
    with pytest.raises(Unmade, match="hub"):
        tried("BaichuanForCausalLM", 1)
    bare = tried("blenderbot", 1)  # no adapter
    assert bare.wired == "refused" and bare.markdown().startswith("| blenderbot | no: no adapter knows a Blenderbot")
    lines = "\n".join(page([bare, tried("gpt2", 1), Untried("x", "takes too long")]))
    assert lines.startswith("3 families: 1 wired as they are; 1 refused, of which 0") and "takes too long: x" in lines
    assert "- no adapter, and TransformerLens has no bridge for it: blenderbot" in lines
    assert " TOO MUCH " in Row("x", "", "", True, 1.0, 0.0, "", 1e-6).markdown()
    assert held(BIMT(named("Gemma 4"))) == "qk: inside heads"
