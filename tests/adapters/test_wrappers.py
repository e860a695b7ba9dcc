"""Modules around a model: looked through where the parameters are the same, otherwise refused in one line."""

from __future__ import annotations

import copy
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from bimt_tf import BIMT, MLP, RegressionTransformer, wire
from bimt_tf.errors import InputError

LONGEST = 600  # of a message
pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns of itself when it is first asked to compile or shard


def mlp():
    return MLP([3, 4, 2], seed=0)


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.compile, lambda m: torch.compile(nn.DataParallel(m))])
def test_what_shares_the_parameters_is_looked_through(wrap):
    model = mlp()
    wrapped = wrap(model)
    bimt = BIMT(wrapped)
    assert bimt.model is model
    assert wire(wrapped).total_weights == 20
    assert bimt.parameters["layers.0.weight"] is model.layers[0].weight
    bimt.swap()


def test_distributed_data_parallel_trains(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        model, x = mlp(), torch.rand(8, 3)
        wrapped = nn.parallel.DistributedDataParallel(model)
        bimt, optimizer = BIMT(wrapped), torch.optim.Adam(wrapped.parameters(), lr=1e-2)
        for _ in range(3):
            wrapped(x).square().sum().backward()
            bimt.step_(optimizer, 0.1)
            optimizer.zero_grad()
        bimt.swap()
        before = wrapped(x)
        bimt.bake_(optimizer)
        torch.testing.assert_close(wrapped(x), before)
    finally:
        torch.distributed.destroy_process_group()


def test_weights_split_over_devices_are_refused(tmp_path):
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard

    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        split = mlp()
        fully_shard(split)
        with pytest.raises(InputError, match="'layers.0.weight' is a DTensor"):
            BIMT(split)
        with pytest.raises(InputError, match="FullyShardedDataParallel flattens"):
            BIMT(FullyShardedDataParallel(mlp(), device_id=torch.device("cpu")))
    finally:
        torch.distributed.destroy_process_group()


def test_weights_of_inference_mode_are_refused_and_a_copy_will_do():
    with torch.inference_mode():
        model = mlp()
    with pytest.raises(InputError, match=r"inference_mode.*copy\.deepcopy"):
        BIMT(model)
    BIMT(copy.deepcopy(model)).cost().backward()


def test_adapters_beside_the_weights_are_refused(monkeypatch):
    """The class of PEFT's models, by its module's name: the package is not needed."""
    package = ModuleType("peft.peft_model")
    monkeypatch.setitem(sys.modules, "peft.peft_model", package)
    kind = type("PeftModel", (nn.Module,), {"__module__": "peft.peft_model"})
    with pytest.raises(InputError, match="merge_and_unload"):
        BIMT(kind())


class Around(nn.Module):
    """Modules with names, as a LightningModule has them."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_parts_that_are_known_are_named():
    model = Around(
        net=mlp(), head=Around(deep=RegressionTransformer(d_in=2, d_out=2, d_model=4, n_layers=1, n_heads=1))
    )
    with pytest.raises(InputError, match=r"model\.net \(MLP\), model\.head\.deep \(RegressionTransformer\)") as error:
        BIMT(model)
    assert len(str(error.value)) <= LONGEST
    many = Around(**{f"part{i}": mlp() for i in range(50)})
    with pytest.raises(InputError, match="and 47 more") as error:
        BIMT(many)
    assert len(str(error.value)) <= LONGEST
