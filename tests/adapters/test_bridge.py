"""TransformerBridge: what is wired, that swaps change nothing, that baking is a symmetry, and the way back."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.architectures import (
    ARCHITECTURES,
    EXACT,
    SINGLE,
    Architecture,
    bakes,
    build,
    inputs,
    main,
    outputs,
    reloaded,
    row,
    swaps,
)
from bimt_tf import BIMT, Geometry, Layout, wire
from bimt_tf.adapters.families import parameters
from bimt_tf.adapters.hugging_face import plain_model
from bimt_tf.analysis.activations import activations, flat_neurons
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet
from bimt_tf.training.flat import FlatParameters

BY_NAME = {a.name: a for a in ARCHITECTURES}
ELSEWHERE = {"RegressionTransformer", "MLP", "Mixtral", "Mamba"}  # experts: test_parts.py
ELSEWHERE |= {"T5", "BART", "BART, two tables", "Marian", "ViT", "DeiT", "convolutions"}  # in files of their own
BRIDGES = [a for a in ARCHITECTURES if a.name not in ELSEWHERE]
each = pytest.mark.parametrize("architecture", BRIDGES, ids=lambda a: a.name)


def named(name: str) -> nn.Module:
    return build(BY_NAME[name])


def repeats(bridge: nn.Module) -> int:
    """Query heads that share a key head."""
    return bridge.cfg.n_heads // (bridge.cfg.n_key_value_heads or bridge.cfg.n_heads)


@each
def test_every_parameter_is_wired_once(architecture):
    model = build(architecture)
    wiring, held = wire(model), parameters(model)
    spelled = [w.parameter for w in wiring.wired] + list(wiring.left_out)
    assert sorted(spelled) == sorted(held)
    own = {id(p) for p in model.original_model.parameters()}
    assert len(own) == len(held) and {id(p) for p in held.values()} == own
    outputs_with_grad(model).backward()
    trained = {name for name, p in held.items() if p.grad is not None and p.grad.abs().max() > 0}
    wired = {w.parameter for w in wiring.wired}
    vectors = {"unembed.bias", *(f"blocks.{i}.attn.{x}_norm.weight" for i in range(2) for x in "qk")}
    keys = {f"blocks.{i}.attn.k.bias" for i in range(2)}  # the softmax does not see them where nothing rotates
    assert trained - wired <= vectors and wired - trained <= keys
    left = set(wiring.left_out) - vectors
    assert all(held[name].grad is None and re.search(r"\.qkv\.|gate_up", name) for name in left)


def outputs_with_grad(model: nn.Module) -> Tensor:
    found = model(inputs(model))
    return (found if isinstance(found, Tensor) else found.logits).square().sum()


def lengths(source: np.ndarray, target: np.ndarray, geometry: Geometry) -> np.ndarray:
    return np.abs(source[..., :, None] - target[..., None, :]) + geometry.layer_gap


def reference_cost(bridge: nn.Module, layout: Layout, geometry: Geometry) -> float:
    """The cost by TransformerLens's own accessors ([head, d_model, d_head], x @ W), layer by layer."""

    def at(name: str, heads: int = 1) -> np.ndarray:
        slots = layout.slots[name].numpy()
        x = geometry.width * (slots + 0.5) / len(slots)
        return x.reshape(heads, -1) if heads > 1 or name.endswith((".qk", ".ov")) else x

    def mean(weights: list[Tensor], distances: list[np.ndarray]) -> float:
        sizes = [np.abs(w.detach().numpy()) for w in weights]
        return sum((s * d).sum() for s, d in zip(sizes, distances, strict=True)) / sum(s.size for s in sizes)

    def biases(*found: Tensor | None) -> float:
        there = [b.detach().abs().flatten() for b in found if b is not None]
        return geometry.layer_gap * float(torch.cat(there).mean()) if there else 0.0

    residual, total = at("residual"), 0.0
    held = {id(p) for p in bridge.original_model.parameters()}
    tables = [bridge.embed.weight, *([bridge.pos_embed.weight] if "pos_embed" in bridge._modules else [])]
    if bridge.unembed.weight is not bridge.embed.weight:
        tables.append(bridge.unembed.weight)
    assert all(id(t) in held for t in tables)
    total += sum(biases(t) for t in tables)
    kv = bridge.cfg.n_heads // repeats(bridge)
    for i, block in enumerate(bridge.blocks):
        a, qk, ov = block.attn, at(f"blocks.{i}.qk", kv), at(f"blocks.{i}.ov", kv)
        q, z = (np.repeat(x, repeats(bridge), axis=0) for x in (qk, ov))  # TransformerLens repeats key heads like this
        into = [lengths(np.broadcast_to(residual, (len(x), len(residual))), x, geometry) for x in (q, qk, ov)]
        total += mean([a.W_Q, a.W_K, a.W_V], into) + biases(a.b_Q, a.b_K, a.b_V)
        total += mean([a.W_O], [lengths(z, np.broadcast_to(residual, (len(z), len(residual))), geometry)])
        total += biases(a.b_O)
        if "mlp" in block._modules:
            m, mlp = block.mlp, at(f"blocks.{i}.mlp")
            gate = [] if m.W_gate is None else [m.W_gate]
            for w in (m.W_in, *gate):
                total += mean([w], [lengths(residual, mlp, geometry)])
            total += mean([m.W_out], [lengths(mlp, residual, geometry)])
            total += biases(m.b_in) + biases(m.b_out)
    return total


@each
def test_cost_and_gradient_are_a_loop_over_the_unique_parameters(architecture):
    model = build(architecture)
    bimt = BIMT(model, Geometry(width=1.7, layer_gap=0.3))
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    expected = reference_cost(model, bimt.layout, bimt.geometry)
    assert bimt.cost().item() == pytest.approx(expected, rel=1e-12)
    bimt.add_cost_grad_(1.0)
    pulled = {
        id(p): (p.grad * p.detach()).sum().item() for p in model.original_model.parameters() if p.grad is not None
    }
    assert sum(pulled.values()) == pytest.approx(expected, rel=1e-12)  # the cost is linear in |w|
    charged = {id(bimt.parameters[w.parameter]) for w in bimt.wiring.wired if getattr(w, "charged", True)}
    assert set(pulled) == charged


def neurons(bridge: nn.Module, cache: object) -> Iterator[tuple[str, str, Tensor]]:
    """(hook, population, activation [..., neurons]) of block 0, the heads that share a key head side by side."""
    hooks = {"hook_resid_pre": "residual", "hook_resid_post": "residual", "attn.hook_q": "blocks.0.qk"}
    hooks |= {"attn.hook_k": "blocks.0.qk", "attn.hook_v": "blocks.0.ov", "attn.hook_z": "blocks.0.ov"}
    if not bridge.cfg.attn_only:
        hooks |= {"mlp.hook_post": "blocks.0.mlp"}
    for hook, population in hooks.items():
        found = flat_neurons(hook, cache[f"blocks.0.{hook}"])
        if hook in ("attn.hook_q", "attn.hook_z"):
            batch, pos, _ = found.shape
            shape = (batch, pos, bridge.cfg.n_heads // repeats(bridge), repeats(bridge), bridge.cfg.d_head)
            found = found.reshape(shape).transpose(2, 3).flatten(3)
        yield hook, population, found


@each
def test_swaps_leave_every_activation_and_baking_only_reorders_it(architecture):
    model = build(architecture)
    x = inputs(model)
    bimt = BIMT(model)
    with torch.no_grad():
        before = model.run_with_cache(x)[1]
        assert swaps(model, bimt)
        swapped = model.run_with_cache(x)[1]
        assert set(swapped) == set(before)
        assert all(torch.equal(before[hook], swapped[hook]) for hook in before if isinstance(before[hook], Tensor))
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(3))
        cost, orders = bimt.cost().item(), bimt.bake_()
        baked = model.run_with_cache(x)[1]
    assert bimt.cost().item() == pytest.approx(cost, rel=1e-9)
    pairs = zip(neurons(model, before), neurons(model, baked), strict=True)
    for (hook, population, old), (_, _, new) in pairs:
        assert old.shape[-1] == bimt.wiring.populations[population].size, hook
        torch.testing.assert_close(new, old[..., orders[population]], rtol=0, atol=1e-5, msg=lambda m, h=hook: h + m)
        still = torch.equal(orders[population], torch.arange(len(orders[population])))
        assert torch.allclose(new, old, atol=1e-3) == still  # Falcon's one key head, which rotates, stays whole
    found = activations(model, "blocks.1.hook_resid_post", -1, inputs=x)
    assert found.shape == (len(x), model.cfg.d_model)


@each
def test_random_layouts_bake_without_changing_the_logits(architecture):
    model = build(architecture)
    bimt = BIMT(model)
    found = bakes(model, bimt, layouts=5)
    assert found.change <= architecture.tolerance * found.logit
    assert architecture.tolerance in (EXACT, SINGLE)
    identity = Layout.identity(bimt.wiring)
    stay = {name for name, slots in bimt.layout.slots.items() if not torch.equal(slots, identity.slots[name])}
    assert stay == set(bimt.wiring.unbaked)


POSITIONS = ["native rotary", "native partial rotary", "GPT-NeoX / Pythia", "GPT-J", "Qwen3", "BLOOM", "MPT"]


@pytest.mark.parametrize("name", POSITIONS)
def test_what_positions_hold_in_place_cannot_be_moved(name):
    model = named(name)
    bimt = BIMT(model)
    free = {n: replace(p, pinned=0, anchored=False) for n, p in bimt.wiring.populations.items()}
    careless = BIMT(model, wiring=replace(bimt.wiring, populations=free))
    before = {n: t.clone() for n, t in model.state_dict().items()}
    careless.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    layout = careless.layout
    with pytest.raises(
        InputError, match=r"bake_ moved 'output' by .*all is back as it was.*Hidden states part first at"
    ):
        careless.bake_()  # it makes a batch by itself, and sees it
    assert careless.layout == layout and all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    found = bakes(model, careless, layouts=1)
    assert found.change > 1e-3 * found.logit


@pytest.mark.parametrize(
    ("name", "pinned"),
    [("native partial rotary", 4), ("native rotary", 8), ("native LN", 0), ("GPT-NeoX / Pythia", 2), ("Phi", 4),
     ("GPT-J", 4), ("Llama", 8), ("GPT-2", 0), ("BLOOM", 0)],
)  # fmt: skip
def test_pinned_dimensions(name, pinned):
    assert wire(named(name)).populations["blocks.1.qk"].pinned == pinned


def test_layers_stages_and_left_out_of_the_families():
    grouped = wire(named("Llama"))
    q = next(w for w in grouped.connections if w.parameter == "blocks.0.attn.q.weight")
    assert q.layer == "blocks.0.attn.qkv" and q.flatten(torch.zeros(32, 32)).shape == (2, 32, 16)
    assert grouped.populations["blocks.0.qk"].heads == 2
    assert [s.name for s in grouped.stages if s.population == "residual"] == [f"Res{i}" for i in range(5)]
    parallel = wire(named("GPT-NeoX / Pythia"))
    assert [s.name for s in parallel.stages if s.population == "residual"] == ["Res0", "Res1", "Res2"]
    depths = {s.name: s.depth for s in parallel.stages}
    assert depths["blocks.0.q"] == depths["blocks.0.mlp"]
    assert set(parallel.left_out) == {f"blocks.{i}.attn.qkv.{own}" for i in range(2) for own in ("weight", "bias")}
    assert set(wire(named("Phi-3")).left_out) == {
        *(f"blocks.{i}.attn.qkv.weight" for i in range(2)),
        *(f"model.layers.{i}.mlp.gate_up_proj.weight" for i in range(2)),
    }
    tied, untied = (parameters(named(name)) for name in ("GPT-2", "GPT-2 untied"))
    assert "unembed.weight" not in tied and "unembed.weight" in untied and "unembed.bias" not in untied


def test_conv1d_is_told_by_its_type_not_by_its_shape():
    square = named("GPT-2")  # attn.o is 32 x 32, [in, out]
    o = next(w for w in wire(square).connections if w.parameter == "blocks.0.attn.o.weight")
    weight = square.blocks[0].attn.o.original_component.weight
    flat = o.flatten(weight.detach())[0]
    assert o.source.population == "blocks.0.ov"
    torch.testing.assert_close(flat, square.blocks[0].attn.W_O.detach().flatten(0, 1))
    assert torch.equal(flat, weight) and not torch.equal(flat, weight.T)


@pytest.mark.parametrize("name", ["GPT-2", "Llama", "GPT-NeoX / Pythia", "Phi-3", "Falcon", "BLOOM"])
def test_a_trained_and_baked_model_is_saved_as_a_plain_one(name, tmp_path):
    model = named(name)
    bimt = BIMT(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(2):  # the fused copies are stale now, where they are copies
        optimizer.zero_grad()
        outputs_with_grad(model).backward()
        bimt.add_cost_grad_(0.1)
        optimizer.step()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    assert bimt.bake_(optimizer)
    x = inputs(model)
    logits, rng = outputs(model, x), torch.random.get_rng_state()
    assert reloaded(model) <= SINGLE * logits.abs().max().item()
    assert torch.equal(torch.random.get_rng_state(), rng)
    with quiet():
        plain = plain_model(model)
    assert type(plain).__module__.startswith("transformers.") and not plain.training
    with torch.no_grad():
        for p in plain.parameters():
            p.zero_()
    assert torch.equal(outputs(model, x), logits)  # no memory is shared


@pytest.mark.parametrize("name", ["GPT-2", "Phi-3"])
def test_the_way_back_holds_where_a_change_of_dtype_tore_the_parts_from_the_fused_tensor(name):
    model = named(name)
    model.original_model.float()
    attn = model.blocks[0].attn
    q, whole = (getattr(attn, x).original_component.weight.untyped_storage().data_ptr() for x in ("q", "qkv"))
    assert q != whole
    with torch.no_grad():
        for x in "qkv":
            getattr(attn, x).original_component.weight.mul_(1.5)
    logits = outputs(model, inputs(model))
    assert next(plain_model(model).parameters()).dtype == torch.float32
    torch.testing.assert_close(outputs(plain_model(model), inputs(model)), logits, rtol=0, atol=1e-4)


def test_only_a_bridge_around_hugging_face_has_a_plain_model():
    with pytest.raises(InputError, match="around a NativeModel"):
        plain_model(named("native LN"))
    with pytest.raises(InputError, match="found a MLP"):
        plain_model(named("MLP"))


@pytest.mark.parametrize("name", ["native grouped-query rotary", "GPT-2", "GPT-NeoX / Pythia"])
def test_training_goes_on_after_baking_as_if_nothing_had_happened(name):
    losses = []
    for bake in (False, True):
        model = named(name)
        bimt = BIMT(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(2))
        found = []
        for step in range(6):
            optimizer.zero_grad()
            loss = outputs_with_grad(model)
            (loss + 0.1 * bimt.cost()).backward()
            optimizer.step()
            found.append(loss.item())
            if bake and step == 2:
                bimt.bake_(optimizer)
        losses.append(found)
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)
    assert losses[0][-1] < losses[0][0]


def test_flat_parameters_are_named_as_the_wiring_names_them():
    model = named("native LN")
    before = outputs(model, inputs(model))
    flat = FlatParameters(model)
    assert set(BIMT(model).coefficients()) < set(flat.named) == set(parameters(model))
    assert torch.equal(outputs(model, inputs(model)), before)


# --- bad input: one clear line each


@pytest.mark.parametrize(("name", "parameter"), [("Mamba", "blocks.0.mixer.A_log")])
def test_unknown_blocks_are_refused_by_name(name, parameter):
    with pytest.raises(InputError, match=r"wire does not know \d+ parameter\(s\)") as error:
        wire(named(name))
    line = str(error.value)
    assert repr(parameter) in line and "\n" not in line and len(line) <= 600
    assert row(BY_NAME[name], 1).startswith(f"| {name} | no |")


def test_the_axes_that_the_refusal_asks_for_are_enough():
    model = named("native grouped-query rotary")
    model.blocks[1].mlp.original_component.scale = nn.Parameter(torch.ones(20, dtype=torch.float64))
    with pytest.raises(InputError, match=r"1 parameter\(s\) of the model: 'blocks.1.mlp.scale' \[20\]") as error:
        wire(model)
    call = re.search(r"wire\(model, axes=[^)]*\)", str(error.value))[0].replace("'?'", "'blocks.1.mlp'")
    made = eval(call, {"wire": wire, "model": model})
    known = wire(named("native grouped-query rotary"))
    assert made.populations == known.populations
    assert {(w.parameter, w.layer) for w in made.wired} - {(w.parameter, w.layer) for w in known.wired} == {
        ("blocks.1.mlp.scale", "blocks.1.mlp.scale")
    }
    assert BIMT(model, wiring=made).swap().moved > 0


def test_a_hugging_face_model_without_a_bridge_is_told_to_take_one():
    plain = plain_model(named("OPT"))
    with pytest.raises(InputError, match=r"no adapter knows a OPTForCausalLM; put .* \(build_bridge_from_module\), or"):
        wire(plain)


def test_weights_on_the_meta_device_are_refused():
    for name in ("native LN", "RegressionTransformer"):
        with pytest.raises(InputError, match="'[^']+' is on the meta device"):
            wire(named(name).to("meta"))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_quantised_models_are_refused(dtype):
    model = named("GPT-2")
    linear = model.blocks[0].mlp.out.original_component
    linear.weight = nn.Parameter(linear.weight.detach().to(dtype), requires_grad=False)
    with pytest.raises(InputError, match=rf"'blocks.0.mlp.out.weight' is {str(dtype)[6:]}: a quantised model"):
        wire(model)


def test_processed_weights_are_refused():
    for name in ("native LN", "GPT-2"):
        model = named(name)
        with quiet():
            model.enable_compatibility_mode(disable_warnings=True)
        with pytest.raises(InputError, match="compatibility_mode"):
            wire(model)
    with pytest.raises(InputError, match="no longer the wrapped model's"):
        plain_model(model)
    kept = named("native LN")
    with quiet():
        kept.enable_compatibility_mode(disable_warnings=True, no_processing=True)
    found = bakes(kept, BIMT(kept), layouts=1)
    assert found.change <= EXACT * found.logit


def test_heads_that_do_not_fit_are_refused():
    model = named("native LN")
    model.cfg.d_head = 5
    model.blocks[0].attn.original_component.head_dim = model.blocks[0].attn.original_component.d_head = 5
    with pytest.raises(InputError, match=r"blocks.0.attn: q and k write \[32, 32\] features.*heads of 5"):
        wire(model)


def test_the_benchmark_prints_its_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["architectures", "--only", "native LN", "--layouts", "1"])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| native LN", "| native LNPre"]
    assert all(" | yes | yes | 7 of 7 whole | " in line and "TOO MUCH" not in line for line in lines[2:])


def test_the_documented_table_has_a_row_for_each_architecture():
    text = (Path(__file__).resolve().parents[2] / "docs" / "architectures.md").read_text(encoding="utf-8")
    first = text.split("## Every family")[0]
    found = [line.split(" | ")[0].removeprefix("| ") for line in first.splitlines() if line.startswith("| ")]
    assert found[1:] == [a.name for a in ARCHITECTURES]
    assert "TOO MUCH" not in text and "| NO |" not in text


def test_a_change_beyond_the_tolerance_is_said():
    assert "TOO MUCH" in row(Architecture("strict", BY_NAME["Llama"].make, 0.0), 1)
