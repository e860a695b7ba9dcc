"""Adapters of the real PEFT package: refused with what to do, and what to do is right."""

from __future__ import annotations

import warnings

import pytest
import torch

from bimt_tf import BIMT, Geometry, attach
from bimt_tf.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    peft = pytest.importorskip("peft")

pytestmark = pytest.mark.filterwarnings("ignore")


def plain():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=2, n_head=2, n_positions=8, vocab_size=11)).eval()


def lora(**settings):
    """A model with LoRA whose adapters say something: PEFT begins with B = 0."""
    config = peft.LoraConfig(r=2, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True, **settings)
    model = peft.get_peft_model(plain(), config)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.5)
    return model.eval()


def tokens():
    return torch.arange(8)[None] % 11


def ia3():
    config = peft.IA3Config(
        target_modules=["c_attn", "mlp.c_proj"], feedforward_modules=["mlp.c_proj"], fan_in_fan_out=True
    )
    return peft.get_peft_model(plain(), config)


@pytest.mark.parametrize("inside", [lambda m: m, lambda m: m.base_model, lambda m: m.base_model.model])
def test_a_model_with_adapters_is_refused_however_it_is_reached(inside):
    with pytest.raises(InputError, match=r"has adapters beside the weights.*merge_and_unload\(\)") as error:
        BIMT(inside(lora()))
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)
    with pytest.raises(InputError, match="adapters beside the weights"):
        BIMT(inside(ia3()))


def test_a_prompt_before_the_tokens_is_refused():
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(InputError, match="adapters beside the weights"):
        BIMT(peft.get_peft_model(plain(), config))


def test_merged_it_is_a_model_like_any_other():
    """The refusal's advice: the same function, which BIMT presses, moves and bakes."""
    model = lora()
    before = model(tokens()).logits
    merged = model.merge_and_unload()
    bimt = BIMT(merged, Geometry(width=1.0, layer_gap=0.1))
    torch.testing.assert_close(merged(tokens()).logits, before, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(before, plain()(tokens()).logits, atol=1e-2)
    optimizer = torch.optim.AdamW(merged.parameters(), lr=1e-3)
    for p in merged.parameters():
        p.requires_grad_(True)  # PEFT has frozen what it did not adapt
    merged(tokens(), labels=tokens()).loss.backward()
    bimt.step_(optimizer, 0.1)
    report = bimt.swap()
    assert report.cost_after < report.cost_before
    before = merged(tokens()).logits
    assert bimt.bake_(optimizer)
    torch.testing.assert_close(merged(tokens()).logits, before, rtol=1e-4, atol=1e-5)


def test_weights_that_the_adapters_froze_are_not_pressed_in_silence():
    bimt = BIMT(merged := lora().merge_and_unload())
    assert bimt.charged == {}
    with pytest.raises(InputError, match=r"is frozen: model\.requires_grad_\(True\)"):
        attach(bimt, torch.optim.SGD(merged.parameters(), lr=0.1), steps=3, lam=0.1)


def test_adapters_put_in_after_wiring_are_a_changed_model():
    model = plain()
    bimt = BIMT(model)
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    for call in (bimt.swap, bimt.bake_):
        with pytest.raises(InputError, match="the model changed after BIMT") as error:
            call()
        assert len(str(error.value)) <= 600
