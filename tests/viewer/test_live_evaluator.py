"""The page's evaluator beside PyTorch: every neuron's value, every knock-out."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
import torch
from live_networks import NETWORKS, loss_of, network, row_values, stored
from torch import nn

from bimt_tf import BIMT
from bimt_tf.analysis.ablate import ablate
from bimt_tf.analysis.ablate_nodes import ablate_nodes
from bimt_tf.config.reading import make
from bimt_tf.models.activation_names import ACT_FNS
from bimt_tf.models.layers import ACTIVATIONS
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.base import Data
from bimt_tf.tasks.own_model import OwnModel

MODULES = ("bytes", "live_arrays", "live_activations", "live", "live_sample")
EVALUATE = """({part, knocks}) => {
  const network = liveNetwork(part), sample = liveSample(network, part);
  const values = [];
  for (let i = 0; i < sample.n; i += 1) {
    const made = liveRun(network, liveExample(sample, i));
    values.push(Object.fromEntries(Object.entries(made.values).map(([row, one]) => [row, Array.from(one)])));
  }
  const patterns = liveRun(network, liveExample(sample, 0)).patterns;
  const losses = knocks.map(([neurons, value]) =>
    liveMeasured(sample, liveOutputs(network, sample, liveEdits(network, sample, neurons, value))));
  return {values, losses, before: liveMeasured(sample, sample.outputs),
    patterns: Object.fromEntries(Object.entries(patterns).map(([block, one]) => [block, Array.from(one)]))};
}"""


@pytest.fixture(scope="module")
def evaluator(browser):
    """``evaluator(function, argument)`` in a page that has the live network's modules alone."""
    page = browser.new_page()
    folder = files("bimt_tf.viewer").joinpath("assets").joinpath("js")
    modules = [folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in MODULES]
    source = re.sub(r"^(import .*|export )", "", "\n".join(modules), flags=re.MULTILINE)

    def call(function, argument):
        return page.evaluate(f"(argument) => {{ {source}\nreturn ({function})(argument); }}", argument)

    yield call
    page.close()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_neuron_is_pytorchs(evaluator, name):
    trained = network(name)
    part = live_part(trained)
    found = evaluator(EVALUATE, {"part": part, "knocks": []})["values"]
    for row, wanted in row_values(trained, part).items():
        values = torch.tensor([one[row] for one in found], dtype=torch.float64).view(wanted.shape)
        assert torch.allclose(values, wanted.double(), rtol=1e-11, atol=1e-11), row


def test_patterns_are_pytorchs(evaluator):
    trained = network("four heads")
    part = live_part(trained)
    found = evaluator(EVALUATE, {"part": part, "knocks": []})["patterns"]
    _, cache = trained.model.run_with_cache(stored(trained, part)[0])
    for block, pattern in found.items():
        wanted = cache[f"{block}.attn.hook_pattern"][0]
        assert torch.allclose(torch.tensor(pattern, dtype=torch.float64).view(wanted.shape), wanted, atol=1e-12)


@pytest.mark.parametrize("name", ["one head", "symbolic", "tokens"])
def test_single_precision_is_as_exact_as_pytorchs(evaluator, name):
    trained = network(name, dtype="float32")
    part = live_part(trained)
    found = evaluator(EVALUATE, {"part": part, "knocks": []})
    for row, wanted in row_values(trained, part).items():
        values = torch.tensor([one[row] for one in found["values"]]).view(wanted.shape)
        assert torch.allclose(values, wanted, rtol=1e-5, atol=1e-5), row
    inputs, _ = stored(trained, part)
    with torch.no_grad():
        wanted = loss_of(trained, part)(trained.model(inputs))
    assert found["before"]["loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_knock_outs_are_those_of_ablate(evaluator, name):
    trained = network(name)
    part = live_part(trained)
    inputs, _ = stored(trained, part)
    metric = loss_of(trained, part)
    knocks, wanted = [], []
    for row, one in part["rows"].items():
        if one["hook"] is None:
            continue
        sets = [[i] for i in range(0, one["size"], max(1, one["size"] // 4))] + [[0, one["size"] - 1]]
        for neurons in sets:
            for value in ("mean", "zero"):
                position = {} if one["token"] is None else {"position": one["token"]}
                done = ablate(trained.model, {one["hook"]: neurons}, inputs, metric, value=value, **position)
                knocks.append([[{"row": row, "index": i} for i in neurons], value])
                wanted.append(done.after)
    found = evaluator(EVALUATE, {"part": part, "knocks": knocks})
    assert found["before"]["loss"] == pytest.approx(done.before, rel=1e-9)
    assert [one["loss"] for one in found["losses"]] == pytest.approx(wanted, rel=1e-6)
    assert max(wanted) > 1.01 * done.before


def test_inputs_and_outputs_of_a_transformer_too(evaluator):
    trained = network("four heads")
    part = live_part(trained)
    inputs, _ = stored(trained, part)
    nodes = [[("input", 1)], [("output", 0)], [("input", 0), ("Res2", 3)]]
    wanted = [
        ablate_nodes(trained.model, trained.bimt.wiring, one, inputs, loss_of(trained, part)).after for one in nodes
    ]
    knocks = [[[{"row": row, "index": i} for row, i in one], "mean"] for one in nodes]
    found = evaluator(EVALUATE, {"part": part, "knocks": knocks})["losses"]
    assert [one["loss"] for one in found] == pytest.approx(wanted, rel=1e-6)


def test_accuracy_is_the_tasks(evaluator):
    trained = network("digits")
    part = live_part(trained)
    inputs, targets = stored(trained, part)
    with torch.no_grad():
        wanted = trained.task.metrics(trained.config.data, trained.model(inputs), targets)["accuracy"]
    assert evaluator(EVALUATE, {"part": part, "knocks": []})["before"]["accuracy"] == pytest.approx(wanted)


OTHERS = {"gelu": torch.nn.functional.gelu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}


@pytest.mark.parametrize("act_fn", [*ACT_FNS, *OTHERS])
def test_activations_are_pytorchs(evaluator, act_fn):
    at = torch.cat([torch.linspace(-40, 40, 801, dtype=torch.float64), torch.tensor([-1e6, -745.0, 745.0, 1e6])])
    call = "({act_fn, at}) => at.map(LIVE_ACTIVATIONS[act_fn])"
    found = torch.tensor(evaluator(call, {"act_fn": act_fn, "at": at.tolist()}), dtype=torch.float64)
    assert torch.allclose(found, {**ACTIVATIONS, **OTHERS}[act_fn](at), rtol=1e-12, atol=1e-14)


def test_a_sequential_of_ones_own(evaluator):
    model = nn.Sequential(
        nn.Linear(3, 6), nn.GELU(), nn.Dropout(0.5), nn.Linear(6, 5, bias=False), nn.GELU("tanh"), nn.Tanh(),
        nn.Linear(5, 2), nn.Sigmoid(),
    ).double()  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (torch.rand(40, n, generator=generator, dtype=torch.float64) for n in (3, 2))
    task = OwnModel("own", "", {"own": {}}, given=model)
    examples = Data(inputs, targets, {})
    part = live_part(Trained(make("own"), model, BIMT(model), data=examples, task=task, eliminated=True))
    assert [one["name"] for one in part["inputs"]] == ["input 0", "input 1", "input 2"] and part["truth"] is None
    knocked = [[{"row": "hidden0", "index": 2}], "mean"]
    found = evaluator(EVALUATE, {"part": part, "knocks": [knocked]})
    with torch.no_grad():
        hidden = model.eval()[:3](inputs)
        outputs = torch.tensor([one["output"] for one in found["values"]], dtype=torch.float64)
        assert torch.allclose(outputs, model(inputs), rtol=1e-11, atol=1e-11)
        assert found["before"]["loss"] == pytest.approx(float((outputs - targets).square().mean()), rel=1e-9)
        hidden[:, 2] = hidden[:, 2].mean()
        wanted = float((model[3:](hidden) - targets).square().mean())
    assert found["losses"][0]["loss"] == pytest.approx(wanted, rel=1e-9)
