"""A stage's hook shows the neurons of that stage."""

import pytest
import torch

from bimt_tf import MLP, RegressionTransformer, TokenMLP, wire
from bimt_tf.adapters.stage_hooks import place_names, stage_hooks
from bimt_tf.analysis.activations import activations


def test_every_neuron_of_a_transformer_has_its_hook():
    model = RegressionTransformer(d_in=2, d_out=2, d_model=8, n_layers=2, n_heads=2)
    assert stage_hooks(model, wire(model)) == {
        "Res0": "blocks.0.hook_resid_pre",
        **{f"blocks.{i}.{x}": f"blocks.{i}.attn.hook_{h}" for i in range(2) for x, h in ("qq", "kk", "vz")},
        **{f"blocks.{i}.mlp": f"blocks.{i}.mlp.hook_post" for i in range(2)},
        "Res1": "blocks.0.hook_resid_mid", "Res2": "blocks.0.hook_resid_post",
        "Res3": "blocks.1.hook_resid_mid", "Res4": "blocks.1.hook_resid_post",
    }  # fmt: skip


def test_tables_name_neurons_by_hooks_where_a_population_has_few():
    model = RegressionTransformer(d_in=2, d_out=2, d_model=8, n_layers=2, n_heads=2)
    names = place_names(model, wire(model))
    assert names["blocks.1.mlp"] == "blocks.1.mlp.hook_post" and names["blocks.0.ov"] == "blocks.0.attn.hook_z"
    assert names["blocks.0.qk"] == "blocks.0.attn.hook_q and blocks.0.attn.hook_k"
    assert names["Res2"] == "blocks.0.hook_resid_post"
    assert not {"residual", "input", "output"} & set(names)


@pytest.mark.parametrize(
    ("model", "inputs"), [(MLP([2, 3, 4, 1]), torch.rand(5, 2)), (TokenMLP(7, 4, 2, [6, 3]), torch.randint(7, (5, 2)))]
)
def test_a_hook_has_as_many_neurons_as_its_stage(model, inputs):
    wiring = wire(model)
    found = stage_hooks(model, wiring)
    assert set(found) == {stage.name for stage in wiring.stages}
    for stage in wiring.stages:
        hook = found[stage.name]
        at = 0 if hook == "hook_embed" else None
        assert activations(model, hook, at, inputs=inputs).shape[1] == wiring.populations[stage.population].size


def test_a_bridge_has_hooks_of_the_same_names():
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    cfg = TransformerBridgeConfig(
        d_model=8, d_head=4, n_layers=1, n_ctx=5, n_heads=2, d_vocab=7, d_mlp=16, act_fn="gelu", normalization_type="LN"
    )
    model = TransformerBridge.boot_native(cfg)
    wiring = wire(model)
    found = stage_hooks(model, wiring)
    assert {"Res0", "Res1", "Res2", "blocks.0.mlp"} <= set(found)
    tokens = torch.randint(7, (3, 5))
    sizes = {stage.name: wiring.populations[stage.population].size for stage in wiring.stages}
    for stage, hook in found.items():
        assert activations(model, hook, 0, inputs=tokens).shape[1] == sizes[stage]
