"""A run's live part: its rows, its loss, its inputs and what its outputs should be."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch
from live_networks import NETWORKS, content, network, stored
from torch import nn

from bimt_tf import BIMT, MLP, RegressionTransformer
from bimt_tf.errors import InputError
from bimt_tf.runs.page import live
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.page.live_loss import live_loss
from bimt_tf.runs.page.live_truth import TRUTHS, expression, names_in, value_of
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Data
from bimt_tf.tasks.registry import TASKS
from bimt_tf.viewer import live_network as described
from bimt_tf.viewer.live_network import live_network
from bimt_tf.viewer.packing import matrix, numbers


def array(written):
    return np.frombuffer(base64.b64decode(written["data"]), f"<{written['type']}").reshape(written["shape"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_numbers_come_back_exactly(dtype):
    values = (torch.randn(3, 4, generator=torch.Generator().manual_seed(0)) * 10).to(dtype)
    found = array(json.loads(json.dumps(numbers(values))))
    assert torch.equal(torch.from_numpy(found.copy()).to(dtype), values)
    assert found.itemsize == (8 if dtype == torch.float64 else 4)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_matrix_comes_back_exactly(share):
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(7, 5, generator=generator) * (torch.rand(7, 5, generator=generator) < share)
    written = matrix(weight)
    flat = torch.zeros(35)
    at = slice(None) if written["at"] is None else torch.from_numpy(array(written["at"]).copy()).long()
    flat[at] = torch.from_numpy(array(written["values"]).copy())
    assert torch.equal(flat.view(7, 5), weight)
    assert (written["at"] is None) == (share > 0.5)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_are_the_scenes(name):
    trained = network(name)
    found = content(trained)
    assert {row["name"]: len(row["x"]) for row in found.scene["rows"]} == {
        row: one["size"] for row, one in found.live["rows"].items()
    }
    json.dumps(found.live, allow_nan=False)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_loss_is_the_tasks_own(name):
    trained = network(name)
    part = live_part(trained)
    inputs, targets = stored(trained, part)
    with torch.no_grad():
        outputs = trained.model(inputs)
    found = live_loss(trained, outputs, targets)
    n = len(inputs)
    examples = Data(inputs, targets, {key: one[:n] for key, one in trained.held_out.quantities.items()})
    with torch.no_grad():
        wanted = trained.task.measure(trained.config.data, trained.model, examples)["loss"]
    assert found.of(outputs) == pytest.approx(wanted, rel=1e-9)
    assert found.kind == ("cross entropy" if name in ("tokens", "two moons") else "squared")


def test_in_context_reads_the_answer_alone():
    part = live_part(network("one head"))
    assert part["loss"]["cells"] == [4] and part["answer"] == 2
    assert part["outputs"] == [{"name": "y", "position": 2, "feature": 0}]


def test_a_loss_that_is_none_of_the_usual_is_not_pretended(monkeypatch):
    trained = network("symbolic")
    task = type(trained.task)
    monkeypatch.setattr(task, "metrics", lambda self, options, outputs, targets: {"loss": float(outputs.abs().max())})
    assert live_part(trained)["loss"] is None
    # a loss that agrees with the squared one on good outputs alone is another loss
    capped = lambda self, options, outputs, targets: {"loss": min(float((outputs - targets).square().mean()), 0.5)}  # noqa: E731
    monkeypatch.setattr(task, "metrics", capped)
    outputs = trained.held_out.targets + 0.1
    assert live_loss(trained, outputs, trained.held_out.targets) is None


@pytest.mark.parametrize(
    ("name", "inputs"),
    [("one head", ["x1", "y1", "x"]), ("symbolic", ["x1", "x2", "x3", "x4"]), ("tokens", ["token 0", "token 1"])],
)
def test_inputs_have_the_tasks_names_and_padding_is_left_out(name, inputs):
    trained = network(name)
    found = live_part(trained)["inputs"]
    assert [one["name"] for one in found] == inputs
    for one in found:
        if one["choices"] is None:
            own = trained.held_out.quantities[one["name"]]
            assert (one["low"], one["high"]) == (pytest.approx(float(own.min())), pytest.approx(float(own.max())))
        else:
            assert one["choices"] == [str(i) for i in range(7)]


def test_pixels_that_never_vary_are_left_out():
    trained = network("digits")
    found = live_part(trained)["inputs"]
    vary = (trained.held_out.inputs != trained.held_out.inputs[0]).any(0).nonzero().flatten().tolist()
    assert [one["feature"] for one in found] == vary and len(vary) < 64


@pytest.mark.parametrize("name", TRUTHS)
def test_each_expression_gives_its_tasks_targets(name):
    task = TASKS[name]
    data = task.data(task.Options(), 0, torch.float64).test
    for i, one in enumerate(map(expression, TRUTHS[name])):
        found = value_of(one, data.quantities)
        wanted = data.targets[:, -1] if name.startswith("in-context") else data.targets[:, i]
        assert names_in(one) <= set(data.quantities)
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


def test_an_expression_that_does_not_fit_is_left_out(monkeypatch):
    assert live_part(network("symbolic"))["truth"]["kind"] == "expressions"
    monkeypatch.setattr(live, "TRUTHS", {"symbolic-a": ("x1 + x2 + x3 + x4", "x1")})
    assert live_part(network("symbolic"))["truth"] is None


def test_other_models_and_large_ones_are_refused_with_a_reason(monkeypatch):
    with pytest.raises(InputError, match="this model is a Linear"):
        live_network(nn.Linear(2, 2))
    monkeypatch.setattr(described, "MOST_WEIGHTS", 10)
    with pytest.raises(InputError, match="at most 10 nonzero weights, this has 12"):
        live_network(MLP([4, 3]))
    assert "at most 10" in live_part(network("symbolic"))["reason"]


def test_a_run_without_examples_says_so():
    trained = network("symbolic")

    class Without(Trained):
        @property
        def held_out(self):
            raise InputError("the examples are not at hand")

    found = live_part(Without(trained.config, trained.model, trained.bimt))
    assert found == {"reason": "the examples are not at hand"}


def test_heads_that_share_nothing_lie_end_to_end():
    model = RegressionTransformer(d_model=4, n_layers=1, n_heads=2, d_head=3, d_mlp=5, seed=3, dtype=torch.float64)
    steps = {step["to"]: step for step in live_network(model, 3).steps}
    weight = steps["blocks.0.q"]["parts"][0]["weight"]
    found = array(weight["values"]).reshape(weight["shape"])
    assert np.array_equal(found[:, 3:], model.blocks[0].attn.W_Q[1].detach().numpy())
    assert steps["blocks.0.v:z"]["scale"] == pytest.approx(3**0.5)
    assert BIMT(model) is not None


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Mish()), "this model has a Mish"),
        (nn.Sequential(nn.Tanh(), nn.Linear(2, 2)), "a Tanh is before it"),
        (nn.Sequential(nn.Identity()), "has none"),
    ],
)
def test_a_sequential_of_other_parts_is_refused(model, said):
    with pytest.raises(InputError, match=said):
        live_network(model)
