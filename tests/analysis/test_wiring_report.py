"""What a model's wiring says of it."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from bimt_tf import RegressionTransformer
from bimt_tf.analysis.plain import plain
from bimt_tf.analysis.wiring_report import wiring_report
from bimt_tf.errors import InputError


def test_every_parameter_and_population_is_there():
    model = RegressionTransformer(d_in=2, d_out=3, d_model=8, n_layers=2, n_heads=2, d_mlp=12)
    report = wiring_report(model)
    assert {one.parameter for one in report.wired} == dict(model.named_parameters()).keys()
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert report.weights == sum(p.numel() for name, p in model.named_parameters() if ".b_" not in name)
    facts = {one.name: one for one in report.populations}
    assert [one.name for one in report.populations][0] == "input" and report.populations[-1].name == "output"
    assert facts["blocks.1.qk"].heads == 2 and facts["blocks.1.mlp"].neurons == 12
    assert facts["residual"].stays == "" and facts["output"].stays == "its order"
    assert facts["residual"].stages == ("Res0", "Res1", "Res2", "Res3", "Res4")
    kinds = {one.parameter: one.kind for one in report.wired}
    assert kinds["embed.W_E"] == "weight" and kinds["embed.b_E"] == "bias"
    json.dumps(plain(report.as_dict()), allow_nan=False)


def test_it_says_what_a_buffer_holds():
    """What is fixed, and why, before anything is trained."""

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model.register_buffer("mask", torch.arange(4.0))
    (hidden,) = (one for one in wiring_report(model).populations if one.name == "hidden0")
    assert "mask" in hidden.stays


def test_an_unknown_model_is_refused():
    with pytest.raises(InputError, match="from_table"):
        wiring_report(nn.LSTM(3, 4))
