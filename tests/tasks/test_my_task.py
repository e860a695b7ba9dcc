"""The example of a task of one's own is a task: everything that a run asks of one, it answers."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from bimt_tf import wire
from bimt_tf.config import reading
from bimt_tf.config.fields import sentences
from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Task
from bimt_tf.tasks.kinds import Regression

EXAMPLE = Path(__file__).parents[2] / "examples" / "my_task.py"


@pytest.fixture
def task(monkeypatch):
    spec = importlib.util.spec_from_file_location("my_task", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "my_task", module)
    spec.loader.exec_module(module)
    return module.TASK


def test_a_config_is_made_of_it(task):
    config = reading.make(f"{EXAMPLE}:TASK", overrides={"data": {"samples": 40}})
    assert (config.preset, config.data.samples, config.model.hidden) == ("best", 40, (20, 20))
    assert config.training.steps == 5_000 and config.training.lam == ((0.0, 0.003),)
    assert sentences(task.Options).keys() == {"samples", "train_share"}
    with pytest.raises(InputError, match="samples"):
        task.Options(samples=-1)


def test_data_model_loss_and_metrics(task):
    assert isinstance(task, Task) and isinstance(task, Regression)
    options = task.Options(samples=40, train_share=0.75)
    train, test = task.data(options, 3, torch.float64)
    assert train.inputs.shape == (30, 3) and train.targets.shape == (30, 1) and len(test.inputs) == 10
    assert train.inputs.dtype == train.targets.dtype == torch.float64
    x = train.inputs
    wanted = (torch.pi * x[:, 0]).sin() + x[:, 1] * x[:, 2]
    torch.testing.assert_close(train.targets[:, 0], wanted, atol=1e-6, rtol=0)
    assert torch.equal(task.data(options, 3, torch.float64).test.inputs, test.inputs)

    model = task.model(task.Model(hidden=(5,)), options, 0, torch.float64)
    assert wire(model).populations["hidden0"].size == 5
    outputs = model(x)
    loss = task.loss(options, outputs, train.targets)
    loss.backward()
    assert task.metrics(options, outputs.detach(), train.targets) == {"loss": pytest.approx(loss.item())}
    with torch.no_grad():
        assert task.measure(options, model, Data(*train))["loss"] == pytest.approx(loss.item())
    assert [len(part) for part in task.reported(options, outputs, train.targets)] == [30, 30]
    assert [len(names) for names in task.labels(options).values()] == [3, 1]
