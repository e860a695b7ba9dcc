"""Untrained sparse networks of several tasks, for the tests of the live page; and what PyTorch says of them."""

from __future__ import annotations

import torch

from bimt_tf import BIMT
from bimt_tf.config.reading import make
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.page.network import network_part
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training.device import dtype_of
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

SMALL = {"d_model": 6, "n_layers": 2, "d_mlp": 8}
NETWORKS = {
    "one head": ("in-context", {"samples": 200}, {**SMALL, "n_heads": 1}),
    "four heads": ("in-context", {"samples": 200}, {**SMALL, "n_heads": 4, "d_head": 3, "act_fn": "silu"}),
    "symbolic": ("symbolic-a", {"samples": 100}, {"hidden": [7, 6]}),
    "tokens": ("modular-addition", {"modulus": 7}, {"d_embed": 5, "hidden": [9, 6], "act_fn": "relu"}),
    "two moons": ("two-moon", {"samples": 200}, {"hidden": [6, 5], "act_fn": "gelu_new"}),
    "digits": ("digits", {}, {"hidden": [6]}),
}


def network(name, dtype="float64", keep=0.6, seed=0):
    """An untrained network: ``keep`` of its weights, larger than usual, and constant neurons that are read."""
    task, data, model = NETWORKS[name]
    config = make(task, seed=seed, overrides={"data": data, "model": model, "training": {"dtype": dtype}})
    made = find_task(task).model(config.model, config.data, seed, dtype_of(config))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim > 1:
                kept = torch.rand(parameter.shape, generator=generator) < keep
                parameter.mul_(torch.where(kept, 2.0, 0.0).to(parameter))
    return Trained(config, made, BIMT(made), eliminated=True)


def content(trained, title="live"):
    """The page's parts that the live panel needs."""
    return PageContent(title, [], network_part(trained), live=live_part(trained))


def write(trained, folder):
    """A page with the network; its path."""
    path = folder / "page.html"
    path.write_text(page(content(trained)), encoding="utf-8")
    return path


def stored(trained, part):
    """The examples that the page holds: inputs and targets."""
    n = part["examples"]["shape"][0]
    return trained.held_out.inputs[:n], trained.held_out.targets[:n]


def row_values(trained, part):
    """Row -> every neuron's value for every stored example, [examples, positions, neurons], as hooks see them."""
    inputs, _ = stored(trained, part)
    with torch.no_grad():
        outputs, cache = trained.model.run_with_cache(inputs)
    found = {}
    for name, row in part["rows"].items():
        seen = cache[row["hook"]] if row["hook"] else inputs if name == "input" else outputs
        seen = seen.flatten(-2) if seen.ndim == 4 else seen
        seen = seen if row["token"] is None else seen[:, row["token"]]
        found[name] = seen.reshape(len(inputs), row["positions"], row["size"])
    return found


def loss_of(trained, part):
    """The task's reported loss of outputs for the stored examples."""
    _, targets = stored(trained, part)
    return lambda outputs: trained.task.metrics(trained.config.data, outputs, targets)["loss"]
