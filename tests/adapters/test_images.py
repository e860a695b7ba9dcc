"""Transformers of images: patches, tokens for the class, positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.architectures import Architecture, bakes, build, inputs, swaps
from benchmarks.families import cost_gradient
from benchmarks.other_models import VIT, of_class
from bimt_tf import BIMT, Layout, wire

_SOUND: dict[str, Any] = dict(max_length=64, num_mel_bins=16)


def made(kind: str, config: str, settings: dict[str, Any]) -> nn.Module:
    return build(Architecture(kind, of_class(kind, config, **settings)))


@pytest.mark.parametrize(
    ("kind", "config", "more", "held"),
    [
        ("ViTForImageClassification", "ViTConfig", {}, {}),
        ("DeiTForImageClassification", "DeiTConfig", {}, {}),
        ("ASTForAudioClassification", "ASTConfig", _SOUND, {}),
        ("ViTModel", "ViTConfig", {}, {"residual"}),  # its outputs are the stream
    ],
)
def test_they_are_wired_swapped_and_baked(kind, config, more, held):
    model = made(kind, config, VIT | more)
    bimt = BIMT(model)
    assert swaps(model, bimt) and cost_gradient(model, bimt) < 1e-6
    found = bakes(model, bimt, 4)
    assert found.change <= 1e-9 * found.logit
    assert set(bimt.wiring.unbaked) == set(held)


def test_patches_enter_by_a_convolution_whose_channels_are_the_stream():
    model = made("ViTForImageClassification", "ViTConfig", VIT)
    bimt = BIMT(model)
    patches = next(
        one for one in bimt.wiring.attachments if one.parameter.endswith("patch_embeddings.projection.weight")
    )
    assert patches.axes == (("residual",), ("_",), ("_",), ("_",)) and patches.charged
    kernel = model.original_model.vit.embeddings.patch_embeddings.projection.weight
    before = kernel.detach().clone()
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    order = bimt.bake_(check=inputs(model))["residual"]
    assert torch.equal(kernel, before[order]) and not torch.equal(order, torch.arange(32))


def test_a_class_of_another_name_gets_no_such_parts():
    model = made("ViTForImageClassification", "ViTConfig", VIT)
    model.original_model.__class__ = type("OtherForImages", (type(model.original_model),), {})
    with pytest.raises(Exception, match=r"wire does not know 4 .*\(an encoder of images or sound: not wired\)"):
        wire(model)
