"""A model in one file."""

import pytest
import torch

from bimt_tf import BIMT, MLP, RegressionTransformer, TokenMLP, compact
from bimt_tf.errors import InputError
from bimt_tf.models.saving import load_model, save_model


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (RegressionTransformer(d_in=2, d_out=3, d_model=6, n_heads=3, d_head=4, dtype=torch.float64), None),
        (MLP([3, 4, 2], act_fn="relu"), torch.rand(5, 3)),
        (TokenMLP(7, 4, 2, [6, 3]), torch.randint(7, (5, 2))),
    ],
    ids=["transformer", "mlp", "tokens"],
)
def test_a_model_comes_back_as_it_was(model, inputs, tmp_path):
    inputs = torch.rand(4, 3, 2, dtype=torch.float64) if inputs is None else inputs
    with torch.no_grad():
        next(model.parameters()).mul_(3)
    save_model(model, tmp_path / "model.safetensors")
    found = load_model(tmp_path / "model.safetensors")
    assert type(found) is type(model) and found.cfg == model.cfg and not found.training
    assert torch.equal(found(inputs), model(inputs))


def test_a_compact_model_comes_back(tmp_path):
    model = RegressionTransformer(d_in=2, d_out=2, d_model=8, n_layers=2, n_heads=2)
    with torch.no_grad():
        model.blocks[0].attn.W_V[0] = 0
        model.blocks[1].mlp.W_in[:, 3:] = 0
    small = compact(BIMT(model)).model
    save_model(small, tmp_path / "small.safetensors")
    x = torch.rand(4, 3, 2)
    assert torch.equal(load_model(tmp_path / "small.safetensors")(x), small(x))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="writes RegressionTransformer, MLP, TokenMLP, found a Linear"):
        save_model(torch.nn.Linear(1, 1), tmp_path / "x")
    with pytest.raises(InputError, match="cannot write"):
        save_model(MLP([1, 1]), tmp_path / "missing" / "x")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(tmp_path / "missing")
    (tmp_path / "text").write_text("no model")
    with pytest.raises(InputError, match="cannot be read"):
        load_model(tmp_path / "text")
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(InputError, match="kind of model"):
        load_model(tmp_path / "other")
