"""Norms: swaps need nothing, effective weights pay as they act, and the residual stream's scale is pinned."""

from __future__ import annotations

import pytest
import torch

from bimt_tf import BIMT, MLP, wire
from bimt_tf.adapters.families import parameters
from bimt_tf.adapters.norms import norms
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.models.token_transformer import token_transformer
from bimt_tf.training.effective_norms import EffectiveWeights
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.setup import set_up

X = torch.arange(12).reshape(2, 6) % 5
SIZES = {"d_model": 8, "n_layers": 2, "n_heads": 2, "d_mlp": 6}


def model(normalization="layer", **given):
    made = token_transformer(5, 6, **SIZES, normalization=normalization, seed=1, dtype=torch.float64, **given)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for p in parameters(made).values():
            p.add_(torch.randn(p.shape, generator=generator, dtype=torch.float64), alpha=0.3)
    return made


def tied():
    """A small GPT-2 behind a bridge: one table writes to the stream and is read at its end."""
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=5, n_positions=6, n_embd=8, n_layer=2, n_head=2, attn_implementation="eager")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = GPT2LMHeadModel(config).double().eval()
        with torch.no_grad():
            for p in made.parameters():
                p.add_(torch.randn_like(p), alpha=0.3)
    return build_bridge_from_module(made, "GPT2LMHeadModel", hf_config=config)


def effective(made):
    flat = FlatParameters(made)
    wiring = wire(made)
    return flat, EffectiveWeights(flat, wiring, norms(made, wiring))


def outputs(made):
    with torch.no_grad():
        return made(X)


@pytest.mark.parametrize("normalization", ["none", "layer", "rms"])
def test_swaps_need_nothing(normalization):
    made = model(normalization)
    bimt, before = BIMT(made), outputs(made)
    report = bimt.swap()
    assert report.cost_after < report.cost_before and torch.equal(outputs(made), before)


def test_every_reader_has_the_gain_before_it():
    made = model()
    found = norms(made, wire(made))
    block = {f"attn.{x}.weight": "ln1.weight" for x in "qkv"} | {"mlp.in.weight": "ln2.weight"}
    wanted = {f"blocks.{i}.{name}": f"blocks.{i}.{gain}" for i in range(2) for name, gain in block.items()}
    assert found.gains == {**wanted, "unembed.weight": "ln_final.weight"}
    writes = [f"blocks.{i}.{x}.{own}" for i in range(2) for x in ("attn.o", "mlp.out") for own in ("weight", "bias")]
    assert sorted(found.writers) == sorted(["embed.weight", "pos_embed.weight", *writes])
    assert found.final == ()


@pytest.mark.parametrize("make_model", [model, tied], ids=["native", "GPT-2 tied"])
def test_effective_weights_are_those_with_the_gains_folded_in(make_model):
    """Folding each gain into the weights behind it, by hand, gives what pays."""
    made = make_model()
    flat, found = effective(made)
    sizes = dict(zip(flat.named, flat.split(flat.vector.detach().abs() * found.gains()), strict=True))
    held = {name: p.detach() for name, p in flat.named.items()}
    table = norms(made, wire(made))
    for name, weight in held.items():
        if name not in table.gains:
            assert torch.equal(sizes[name], weight.abs())
            continue
        gain = held[table.gains[name]]
        # the bridge's split q, k, v are nn.Linear; GPT-2's own Conv1D is [in, out]
        by_row = make_model is tied and name.endswith("mlp.in.weight")
        folded = gain[:, None] * weight if by_row else weight * gain
        assert torch.allclose(sizes[name], folded.abs(), rtol=1e-15), name
    assert ("embed.weight" in table.writers) and (bool(table.final) == (make_model is tied))


def test_the_charge_is_the_cost_s_gradient():
    flat, found = effective(model("rms"))
    lengths = torch.rand(len(flat.vector), dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gains = torch.unique(found.gain_of)
    lengths[gains[gains < len(lengths)]] = 0  # a gain pays nothing of its own
    vector = flat.vector.detach().clone().requires_grad_()
    one = torch.cat([vector.abs(), torch.ones(1, dtype=torch.float64)])
    (lengths * vector.abs() * one[found.gain_of]).sum().backward()
    assert torch.allclose(vector.grad, found.charge(lengths) * vector.detach().sign(), rtol=1e-12)


@pytest.mark.parametrize("make_model", [model, lambda: model("rms"), tied], ids=["LN", "RMS", "GPT-2 tied"])
def test_pinning_keeps_the_scale_and_the_function(make_model):
    made = make_model()
    flat, found = effective(made)
    before, scale = outputs(made), found.scale.clone()
    with torch.no_grad():
        flat.vector[found.writers] *= 0.5
        if found.final.any():
            flat.vector[found.final] /= 0.5
    shrunk = outputs(made)
    assert (shrunk - before).abs().max() < 1e-3 * before.abs().max()  # only the norms' epsilon sees the scale
    found.pin_()
    assert flat.vector.detach()[found.writers].norm() == pytest.approx(float(scale))
    assert torch.allclose(outputs(made), before, rtol=1e-6, atol=1e-6)


def test_the_scale_cannot_be_cheated():
    """Shrinking all that writes lowers the plain cost and leaves the effective one, once pinned, as it was."""
    flat, found = effective(model())
    lengths = torch.ones(len(flat.vector), dtype=torch.float64)

    def costs():
        sizes = flat.vector.detach().abs()
        return float((lengths * sizes).sum()), float((lengths * sizes * found.gains()).sum())

    plain, folded = costs()
    with torch.no_grad():
        flat.vector[found.writers] *= 0.1
    assert costs()[0] < plain
    found.pin_()
    assert costs() == pytest.approx((plain, folded))


@pytest.mark.parametrize(
    ("make_model", "says"),
    [
        (lambda: model("none"), "has no norm"),
        (lambda: MLP([2, 3, 1]), "has no norm"),
    ],
)
def test_models_without_such_norms_are_refused(make_model, says):
    made = make_model()
    with pytest.raises(InputError, match=says):
        norms(made, wire(made))


def config(**training):
    short = {"steps": 20, "batch_size": 4, "log_every": 10, "checkpoint_every": 10, "swap_every": 5, "finish": 0.5}
    return make("lm", overrides={
        "data": {"max_text": 600, "context": 8},
        "model": {**SIZES, "n_layers": 1, "normalization": "rms"},
        "training": {**short, "lam": 5.0, "norms": "effective", **training},
    })  # fmt: skip


@pytest.mark.parametrize("penalty", ["proximal", "subgradient"])
def test_a_run_pins_the_scale_and_resumes(penalty):
    whole, saved = set_up(config(penalty=penalty)), []
    scale = whole._state.penalty._effective.scale.clone()
    whole.run(on_checkpoint=saved.append, stop=lambda: whole.step == 10)
    writers = whole._state.penalty._effective.writers
    assert float(whole._state.flat.vector.detach()[writers].norm()) == pytest.approx(float(scale), rel=1e-5)
    rest = set_up(config(penalty=penalty), saved[-1])
    assert torch.equal(rest._state.penalty._effective.scale, scale)
    whole.run(), rest.run()
    for name, weight in whole.weights().items():
        assert torch.equal(weight, rest.weights()[name])


def test_the_choice_changes_the_training():
    first, other = set_up(config()), set_up(config(norms="as-is"))
    first.run(), other.run()
    assert any(not torch.equal(w, other.weights()[name]) for name, w in first.weights().items())
    with pytest.raises(InputError, match="unknown training.norms 'folded'.*as-is, effective"):
        config(norms="folded")
