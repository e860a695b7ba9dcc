import pytest
import torch
from torch import nn

from bimt_tf.analysis.active import active_weights
from bimt_tf.analysis.compact import compact, expand_
from bimt_tf.bimt import BIMT
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer

F64 = torch.float64


def sparse_(model, share, seed):
    """Zero a share of the weights, and some whole rows and columns."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(torch.rand(parameter.shape, generator=generator, dtype=F64) > share)
    return model


def outputs(model, inputs):
    with torch.no_grad():
        return model(inputs)


def check(model, inputs):
    bimt = BIMT(model)
    before = outputs(model, inputs)
    small = compact(bimt)
    torch.testing.assert_close(outputs(small.model, inputs), before, rtol=0, atol=1e-12)
    assert torch.equal(outputs(model, inputs), before)
    again = compact(BIMT(small.model)) if all(p.numel() for p in small.model.parameters()) else small
    torch.testing.assert_close(outputs(again.model, inputs), before, rtol=0, atol=1e-12)
    n_active = active_weights(bimt, 0.0)
    expand_(bimt, small)
    torch.testing.assert_close(outputs(model, inputs), before, rtol=0, atol=1e-12)
    assert active_weights(bimt, 0.0) <= n_active
    return small


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.7, 0.9])
def test_an_mlp_keeps_its_function(share, seed):
    model = sparse_(MLP([4, 12, 10, 8, 2], "silu", seed, dtype=F64), share, seed)
    small = check(model, numbers(20, 4))
    assert tuple(len(n) for n in small.kept.values()) == small.model.cfg.sizes
    assert share or small.model.cfg.sizes == model.cfg.sizes


def test_constants_and_silent_neurons_go():
    model = MLP([2, 4, 1], "silu", dtype=F64)
    with torch.no_grad():
        model.layers[0].weight[0] = 0  # constant: its bias is all it has
        model.layers[1].weight[0, 1] = 0  # read by nothing
    small = check(model, numbers(20, 2))
    assert small.kept["hidden0"].tolist() == [2, 3]
    assert [tuple(p.shape) for p in small.model.parameters()] == [(2, 2), (2,), (1, 2), (1,)]


def test_a_network_cut_through_is_a_constant():
    model = MLP([3, 4, 4, 2], "silu", dtype=F64)
    with torch.no_grad():
        model.layers[1].weight.zero_()
    assert check(model, numbers(5, 3)).model.cfg.sizes == (3, 0, 0, 2)


@pytest.mark.parametrize("act", [nn.Sigmoid(), nn.Tanh()])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_sequential_keeps_its_function(act, bias, seed):
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 9), act, nn.Dropout(0.5), nn.Linear(9, 8, bias=bias), act, nn.Linear(8, 3, bias=bias)
    ).to(F64)
    check(sparse_(model.eval(), 0.75, seed), numbers(20, 2, 3))


@pytest.mark.parametrize("seed", range(4))
def test_a_token_mlp_keeps_its_function(seed):
    model = sparse_(TokenMLP(7, 6, 2, [10, 8, 7], seed=seed, dtype=F64), 0.75, seed)
    with torch.no_grad():
        model.embed.weight[:, 1] = 0.5  # the same for all tokens
        model.embed.weight[:, 2] = 0
    small = check(model, torch.cartesian_prod(torch.arange(7), torch.arange(7)))
    assert not {1, 2} & set(small.kept["embed"].tolist())
    assert small.model.cfg.d_embed == len(small.kept["embed"])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("share", [0.0, 0.6, 0.85, 0.95, 1.0])
def test_a_transformer_keeps_its_function(heads, share, seed):
    model = RegressionTransformer(d_model=12, n_heads=heads, d_head=5, d_mlp=16, n_ctx=4, seed=seed, dtype=F64)
    small = check(sparse_(model, share, seed), 2 * numbers(10, 4, 2))
    if share == 0:
        assert all(len(small.kept[name]) == p.size for name, p in BIMT(model).wiring.populations.items())
    if share == 0.95:
        assert len(small.kept["blocks.0.mlp"]) < 16 and small.model.blocks[0].attn.scale == 5**0.5


def test_a_head_without_values_goes_and_a_constant_value_is_a_bias():
    model = RegressionTransformer(d_model=6, n_heads=3, d_head=2, d_mlp=4, n_layers=1, dtype=F64)
    with torch.no_grad():
        model.blocks[0].attn.W_V[1] = 0  # its values are b_V
        model.blocks[0].attn.W_O[2] = 0
        model.blocks[0].attn.W_K[0, :, 0] = 0
    small = check(model, numbers(10, 3, 2))
    assert small.kept["blocks.0.ov"].tolist() == [0, 1] and small.kept["blocks.0.qk"].tolist() == [1]
    assert small.model.blocks[0].attn.W_Q.shape == (1, 6, 1)


def test_other_models_are_refused_in_one_line():
    model = nn.ModuleDict({"a": nn.Linear(2, 3)})
    wiring = Wiring.from_table({"a.weight": "out in", "a.bias": "out"}, model)
    with pytest.raises(InputError, match="compact knows MLP.*found a ModuleDict"):
        compact(BIMT(model, wiring=wiring))
