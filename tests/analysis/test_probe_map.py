"""The map of a quantity finds the stage, token and head where it was planted, and nothing elsewhere."""

import json

import pytest
import torch

from bimt_tf.analysis.probe import probe
from bimt_tf.analysis.probe_map import probe_map
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.transformer import RegressionTransformer


def bare(**sizes):
    model = RegressionTransformer(d_in=2, d_model=6, n_layers=1, d_mlp=2, act_fn="relu", dtype=torch.float64, **sizes)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[0, 0] = model.embed.W_E[1, 1] = 1.0
    return model


def signed(n=500, seed=0):
    return 2 * torch.rand(n, 3, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1


def made(found):
    return [(one.hook, one.position, one.head) for one in found.appears]


def test_a_size_is_made_by_the_mlp_that_makes_it():
    """|x| of each token is relu(x) + relu(-x): nothing linear before the MLP, all of it behind."""
    model, inputs = bare(), signed()
    with torch.no_grad():
        model.blocks[0].mlp.W_in[0] = torch.tensor([1.0, -1.0])
        model.blocks[0].mlp.W_out[:, 4] = 1.0
    found = probe_map(model, inputs[:, 1, 0].abs(), inputs=inputs, name="size")
    assert made(found) == [("blocks.0.mlp.hook_post", 1, None), ("blocks.0.hook_resid_post", 1, None)]
    cells = {(one.hook, one.position): one for one in found.cells}
    assert cells["blocks.0.mlp.hook_post", 1].read_out.value > 0.999
    for hook, position in cells:
        if position != 1:
            assert (cells[hook, position].read_out.value or 0.0) < 0.05  # None where nothing reaches: W_Q is 0
    assert cells["hook_embed", 1].before is None and cells["hook_embed", 1].gain_before is None
    assert abs(cells["blocks.0.hook_mlp_out", 1].gain_before.value) < 1e-4
    assert cells["blocks.0.mlp.hook_post", 1].untrained is None
    assert found.repeated == {f"blocks.0.hook_resid_{x}": "hook_embed" for x in ("pre", "mid")}
    assert "made at: blocks.0.mlp.hook_post, token 1" in repr(found)


def test_a_number_that_attention_fetches_is_no_gain_over_the_inputs():
    """Head 1 alone brings what stood at token 0; uniform attention, so a linear read-out of the inputs is as good."""
    model, inputs = bare(n_heads=2, d_head=2), signed()
    with torch.no_grad():
        model.blocks[0].attn.W_V[1, 0, 1] = 1.0
        model.blocks[0].attn.W_O[1, 1, 3] = 1.0
    inputs[:, 1:, 0] = 0.0
    found = probe_map(model, inputs[:, 0, 0], inputs=inputs)
    z = {(one.head, one.position): one for one in found.cells if one.hook == "blocks.0.attn.hook_z"}
    assert set(z) == {(head, position) for head in (0, 1) for position in range(3)}
    assert z[1, 2].read_out.value > 0.999 and z[1, 2].gain_before.low > 0.9 and z[1, 2].varying == 1
    assert z[0, 2].read_out.value < 0.05 and z[0, 2].varying == 0
    assert abs(z[1, 2].gain_inputs.value) < 1e-4
    assert made(found) == []
    assert "blocks.0.attn.hook_z, head 1" in {row[0] for row in found.rows()}


def test_a_place_of_the_map_is_the_probe_of_that_place():
    model, inputs = (
        (
            RegressionTransformer(d_in=2, d_model=8, n_layers=1, d_mlp=6, dtype=torch.float64, seed=s) for s in (0,)
        ).__next__(),
        signed(300),
    )
    fresh = RegressionTransformer(d_in=2, d_model=8, n_layers=1, d_mlp=6, dtype=torch.float64, seed=5)
    target, hook = inputs[:, 1, 0] * inputs[:, 1, 1], "blocks.0.mlp.hook_post"
    for regressor in ("linear", "nonlinear"):
        (_, cell, _) = probe_map(model, target, inputs=inputs, untrained=fresh, hooks=[hook], regressor=regressor).cells
        one = probe(model, hook, target, 1, inputs=inputs, untrained=fresh, max_pairs_neurons=2)
        assert cell.read_out == getattr(one.population, regressor)
        assert cell.inputs == getattr(one.inputs.read_out, regressor)
        assert cell.gain_inputs == getattr(one.inputs.gain, regressor)
        assert cell.gain_before == getattr(one.stage_before.gain, regressor)
        assert cell.untrained == getattr(one.untrained.read_out, regressor)
        assert cell.made == one.made


def test_an_mlp_and_progress_and_json():
    model = MLP([2, 5, 4, 1], seed=0, dtype=torch.float64)
    inputs, told = signed()[:, 0], []
    found = probe_map(model, inputs[:, 0] > 0, inputs=inputs, progress=lambda done, total: told.append((done, total)))
    assert found.kind == "classes" and {one.position for one in found.cells} == {None}
    assert told == [(i, len(found.cells)) for i in range(1, len(found.cells) + 1)]
    read = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert [one["hook"] for one in read["cells"]][:3] == [
        "hook_input",
        "layers.0.hook_pre",
        "layers.0.hook_post",
    ] and 0 < read["cells"][0]["read_out"]["accuracy"] <= 1
    assert "<b>" not in found._replace(target="<b>")._repr_html_() and len(list(found.rows())) == len(found.cells)
    assert "\n" not in repr(found)


def test_mistakes_and_what_is_left_of_the_model():
    model, inputs = bare(), signed(60)
    target = inputs[:, 0, 0]
    for given, message in (
        ({"hooks": ["hook_embde"]}, "did you mean 'hook_embed'"),
        ({"hooks": "hook_embed"}, "must be names"),
        ({"regressor": "linaer"}, "did you mean 'linear'"),
        ({"target": torch.ones(60)}, "target is constant"),
        ({"hooks": ["blocks.0.attn.hook_pattern"]}, "unknown hook"),
    ):
        given = {"target": target, "inputs": inputs} | given
        with pytest.raises(InputError, match=message):
            probe_map(model, given.pop("target"), **given)
    with pytest.raises(RuntimeError, match="mine"):
        probe_map(model, target, inputs=inputs, progress=_fails)
    assert all(not point._forward_hooks for point in model.hook_dict.values())


def _fails(done, total):
    raise RuntimeError("mine")
