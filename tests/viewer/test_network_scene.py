"""What the network's panel reads: a scene with names, hooks, places at the start, and where each weight is."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import torch
from drawn_networks import NETWORKS, sparse, transformer

from bimt_tf.models.mlp import MLP
from bimt_tf.runs.page.network import page_scene
from bimt_tf.scene.scene import scene_of


@pytest.mark.parametrize("name", ["mlp", "2 heads, 1 block", "tokens", "grids", "dense"])
def test_entries_are_where_the_parameter_holds_the_weights(name):
    bimt = NETWORKS[name]()
    scene = json.loads(json.dumps(page_scene(bimt)))
    for wires in scene["wires"]:
        parameter = bimt.parameters[wires["parameter"]].detach()
        assert wires["shape"] == list(parameter.shape)
        assert parameter.flatten()[wires["entries"]].tolist() == wires["weights"]


def test_a_hook_shows_the_neurons_of_its_row():
    bimt = transformer(n_heads=2)
    rows = page_scene(bimt)["rows"]
    assert {row["name"]: row["hook"] for row in rows if row["block"] is None} == {
        "input": None,
        "Res0": "blocks.0.hook_resid_pre",
        "Res1": "blocks.0.hook_resid_mid",
        "Res2": "blocks.0.hook_resid_post",
        "Res3": "blocks.1.hook_resid_mid",
        "Res4": "blocks.1.hook_resid_post",
        "output": None,
    }
    _, cache = bimt.model.run_with_cache(torch.zeros(1, 3, 2))
    for row in rows:
        if row["hook"]:
            assert cache[row["hook"]].flatten(2).shape[-1] == len(row["x"])


def test_the_start_is_every_neuron_in_the_slot_of_its_number():
    bimt = NETWORKS["grids"]()
    row = next(row for row in page_scene(bimt)["rows"] if row["name"] == "hidden0")
    by_slot = np.argsort(row["slots"])
    assert np.array(row["x"])[by_slot] == pytest.approx(row["start"])
    assert np.array(row["lift"])[by_slot] == pytest.approx(row["start_lift"])
    assert np.ptp(row["lift"]) > 0


def test_rows_have_the_names_of_their_population():
    rows = page_scene(sparse(MLP([2, 3, 1]), 1.0), labels={"input": ["a", "b"]})["rows"]
    assert [row["labels"] for row in rows] == [["a", "b"], None, None]


def test_densities_are_kept_in_255_steps_of_the_largest():
    bimt = NETWORKS["dense"]()
    told = page_scene(bimt, 0.0)
    scene = scene_of(bimt, most_wires=0)
    small = json.loads(json.dumps(scene.as_dict()))
    assert all(wires["density"] is None for wires in told["wires"])  # few enough to draw each
    for wires, own in zip(scene.wires, small["wires"], strict=True):
        density, kept = wires.density, own["density"]
        for name in ("positive", "negative"):
            sums = getattr(density, name)
            steps = np.frombuffer(base64.b64decode(kept[name]), np.uint8).reshape(sums.shape)
            assert steps * kept["largest"] / 255 == pytest.approx(sums, abs=kept["largest"] / 509)
        assert kept["source_x"] == pytest.approx(density.source_x, abs=1e-6)
