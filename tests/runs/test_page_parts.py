"""The parts of a run's page, against hooks, ablations and files."""

from __future__ import annotations

import base64
import json
import shlex

import numpy as np
import pytest
import torch
from torch import nn

import bimt_tf
from bimt_tf.config.reading import load, make
from bimt_tf.runs.answers import how_made, keep
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.runs.page import activity, causes
from bimt_tf.runs.page.activity import activity_part
from bimt_tf.runs.page.attention import attention_part
from bimt_tf.runs.page.causes import causes_part
from bimt_tf.runs.page.content import page_of
from bimt_tf.runs.page.kept import command, of_this_network
from bimt_tf.runs.page.modules import modules_part
from bimt_tf.runs.page.probes import probes_part
from bimt_tf.runs.page.run_facts import run_facts_part
from bimt_tf.scene.scene import scene_of

HOOKS = {
    "Res0": "blocks.0.hook_resid_pre", "blocks.0.q": "blocks.0.attn.hook_q", "blocks.0.v": "blocks.0.attn.hook_v",
    "blocks.0.v:z": "blocks.0.attn.hook_z", "Res1": "blocks.0.hook_resid_mid", "Res2": "blocks.0.hook_resid_post",
}  # fmt: skip


def unpacked(text, *shape):
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy()).reshape(*shape)


@pytest.fixture(scope="module")
def opened(whole_run):
    return load_run(whole_run)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, tiny_config):
    path = tmp_path_factory.mktemp("classes") / "run"
    config = make(
        "s4", overrides={"model": {"hidden": [8, 6]}, "training": {"steps": 30, "compile": "no", "eliminate": False}}
    )
    train_run(config, path, draw=False)
    return load_run(path)


def test_activity_is_what_hooks_show(opened):
    part = activity_part(opened)
    examples = opened.examples(n=part["n"])
    seen = {}
    opened.model.run_with_hooks(
        examples.inputs, fwd_hooks=[(h, lambda t, hook: seen.update({hook.name: t})) for h in HOOKS.values()]
    )
    for row, hook in HOOKS.items():
        found, wanted = part["rows"][row], seen[hook].flatten(2)[..., part["rows"][row]["neurons"]]
        assert found["hook"] == hook and found["tokens"] == 3
        values = unpacked(found["values"], len(found["neurons"]), 3, part["n"])
        assert torch.equal(values, wanted.permute(2, 1, 0))
    assert not torch.equal(seen[HOOKS["blocks.0.v"]], seen[HOOKS["blocks.0.v:z"]])
    inputs = unpacked(part["rows"]["input"]["values"], 2, 3, part["n"])
    assert torch.equal(inputs, examples.inputs[..., part["rows"]["input"]["neurons"]].permute(2, 1, 0))
    quantities = {one["name"]: unpacked(one["values"], part["n"]) for one in part["quantities"]}
    assert torch.equal(quantities["w"], examples.quantities["w"])
    assert torch.equal(quantities["target"], examples.targets[:, -1])
    assert torch.equal(quantities["output"], opened.model(examples.inputs)[:, -1, 0].detach())
    assert part["quantity"] == "w" and part["answers"] == 2


def test_activity_of_tokens_stands_in_a_row_each(classifier):
    part = activity_part(classifier)
    embedded = classifier.model.embed(classifier.examples(n=part["n"]).inputs).detach()
    for token in (0, 1):
        found = part["rows"][f"embed[{token}]"]
        values = unpacked(found["values"], len(found["neurons"]), part["n"])
        assert found["tokens"] is None and torch.equal(values, embedded[:, token, found["neurons"]].T)
    target = next(one for one in part["quantities"] if one["name"] == "target class")
    assert torch.equal(unpacked(target["values"], part["n"]).long(), classifier.examples(n=part["n"]).targets)
    assert len(target["classes"]) == 24


def test_where_there_is_no_room_fewer_examples_and_then_fewer_neurons(opened, monkeypatch):
    whole = activity_part(opened)
    monkeypatch.setattr(activity, "LEAST_EXAMPLES", 20)
    monkeypatch.setattr(activity, "BUDGET", len(json.dumps(whole["rows"])) // 4)
    part = activity_part(opened)
    assert part["n"] == 20 < whole["n"] and part["said"][0] == "20 of 40 held-out examples"
    assert "active neurons that vary most" in part["said"][1]
    kept = part["rows"]["blocks.0.mlp"]["neurons"]
    every = unpacked(whole["rows"]["blocks.0.mlp"]["values"], -1, 3, whole["n"])[..., :20]
    spread = every.double().flatten(1).std(1)
    names = whole["rows"]["blocks.0.mlp"]["neurons"]
    assert set(kept) == {names[i] for i in spread.topk(len(kept)).indices}
    assert sum(len(row["values"]) for row in part["rows"].values()) <= activity.BUDGET * 1.05


def test_attention_is_the_pattern_of_the_hook(opened, classifier):
    part = attention_part(opened)
    inputs = opened.examples(n=part["n"]).inputs
    seen = {}
    opened.model.run_with_hooks(
        inputs, fwd_hooks=[("blocks.0.attn.hook_pattern", lambda t, hook: seen.update(p=t.clone()))]
    )
    assert torch.equal(unpacked(part["blocks"][0]["patterns"], part["n"], 2, 3, 3), seen["p"])
    x1, y1, x = inputs[0, 0, 1], inputs[0, 1, 0], inputs[0, 2, 1]
    assert part["labels"][0] == [f"x {x1:.3g}", f"y {y1:.3g}", f"x {x:.3g}"]
    assert attention_part(classifier) is None


def test_knocked_out_neurons_are_those_of_ablate(opened, classifier):
    part = causes_part(opened)
    assert part["neuron_examples"] == 40 and part["why"] == []
    for row, hook in HOOKS.items():
        wanted = {one.neuron: one.change for one in opened.ablate(hook)}
        found = part["neurons"][row]
        assert found["effects"] == pytest.approx([wanted[i] for i in found["neurons"]], rel=1e-3, abs=1e-7)
    found = causes_part(classifier)["neurons"]["embed[1]"]
    wanted = {one.neuron: one.change for one in classifier.ablate("hook_embed", position=1)}
    assert found["effects"] == pytest.approx([wanted[i] for i in found["neurons"]], rel=1e-3, abs=1e-6)


def test_wire_effects_are_those_of_a_weight_set_to_zero(opened):
    part, scene = causes_part(opened), scene_of(opened.bimt, opened.threshold)
    parameter, place = "blocks.0.mlp.W_in", (3, 5)
    weights = dict(opened.model.named_parameters())[parameter].detach()
    kept, before = float(weights[place]), opened.evaluate()["loss"]
    with torch.no_grad():
        weights[place] = 0.0
        after = opened.evaluate()["loss"]
        weights[place] = kept
    wire = next(one for one in part["wires"] if (one["parameter"], one["place"]) == (parameter, list(place)))
    assert wire["effect"] == pytest.approx(after - before, rel=1e-4)
    assert (wire["source"], wire["target"]) == ("Res1:3", "blocks.0.mlp:5")
    assert {one["source"].rpartition(":")[0] for one in part["wires"]} <= {row.name for row in scene.rows}
    sizes = [abs(one["effect"]) for one in part["wires"]]
    assert sizes == sorted(sizes, reverse=True) and len(sizes) == opened.active_weights


def test_too_many_wires_are_not_knocked_out_and_the_command_is_told(run, monkeypatch):
    monkeypatch.setattr(causes, "MOST_WIRES", 3)
    monkeypatch.setattr(causes, "SECONDS", 0.0)
    opened = load_run(run)
    part = causes_part(opened)
    assert (part["neurons"], part["wires"]) == ({}, [])
    why = " ".join(part["why"])
    assert f"bimt ablate {run}" in why and f"bimt edges {run}" in why


def test_modules_are_those_of_the_command_and_name_the_scenes_neurons(opened):
    part, wanted = modules_part(opened), opened.modules(draws=0)
    assert part["found"]["q"] == pytest.approx(wanted.found.q)
    of = {node: module.number - 1 for module in wanted.found.modules for node in module.nodes}
    rows = {row.name: row for row in scene_of(opened.bimt, opened.threshold).rows}
    assert part["members"] == {
        f"{name}:{i}": of[row.population, i] for name, row in rows.items() for i in range(row.size)
        if (row.population, i) in of
    }  # fmt: skip
    without = [one["without"]["loss"] for one in part["effects"]["modules"]]
    assert without == pytest.approx([one.without["loss"] for one in wanted.effects.modules], rel=1e-4)


def test_a_kept_answer_counts_if_it_is_about_these_weights(run):
    opened = load_run(run)
    report = opened.modules(draws=2).as_dict()
    asked = {"residual": "shared", "method": "greedy", "resolution": 1.0, "outputs": True, "draws": 2, "against": []}
    keep(opened, "modules", "modules", asked, how_made(opened), report)
    kept = modules_part(load_run(run))
    assert kept["made"] == "kept in modules.json" and len(kept["found"]["nulls"]) == 3
    keep(opened, "modules", "modules", {**asked, "draws": 3}, {**how_made(opened), "network": "another"}, report)
    assert [one["asked"]["draws"] for one in of_this_network(opened, "modules")] == [2]
    (run / "modules.json").write_text("{")
    assert "without chance levels" in modules_part(load_run(run))["made"]


def test_kept_answers_stand_with_their_commands(run):
    opened = load_run(run)
    asked = {"hook": "blocks.0.mlp.hook_post", "neurons": [1, 2], "position": None, "each_head": False, "weights": []}
    keep(opened, "interventions", "ablate", asked, how_made(opened), {"ablations": [{"neuron": 1}], "loss": 0.25})
    (one,) = causes_part(opened)["answers"]
    assert one["command"] == f"bimt ablate {run} --hook blocks.0.mlp.hook_post --neurons 1,2"
    assert ["loss", "0.25"] in one["lines"] and one["about"] == "hook blocks.0.mlp.hook_post, neurons 1, 2"


def test_commands_quote_what_a_shell_would_read(run, tmp_path):
    hostile = run.rename(tmp_path / "a b; rm -rf $HOME <script>")
    opened = load_run(hostile)
    for line in (command("modules", {"outputs": False}, opened), run_facts_part(opened)["commands"][0][1]):
        assert str(hostile) in line and any(word.startswith(str(hostile)) for word in shlex.split(line))
    assert shlex.split(command("modules", {"outputs": False}, opened)) == [
        "bimt",
        "modules",
        str(hostile),
        "--no-outputs",
    ]
    python = dict(run_facts_part(opened)["commands"])["open it in Python"]
    assert eval(python.removeprefix("bimt_tf.load_run")) == str(hostile)


def test_probes_are_the_runs_own_or_kept_ones(run):
    opened = load_run(run)
    own = probes_part(opened)
    assert own["maps"] == [] and [one["target"] for one in own["readouts"]] == ["w", "w"]
    assert own["readouts"][0]["rows"][0][1] == opened.probes[0]["population"]["linear"]["value"]
    found = opened.probe_map("w", hooks=["hook_embed", "blocks.0.hook_resid_post"])
    asked = {"target": "w", "hooks": None, "values": None, "kind": None, "regressor": "linear"}
    keep(opened, "probes", "probe-map", asked, how_made(opened), found.as_dict())
    (map_,) = probes_part(opened)["maps"]
    assert [cell["read_out"] for cell in map_["cells"]] == [cell.read_out.value for cell in found.cells]
    assert [cell["shuffled"] for cell in map_["cells"]] == [cell.shuffled for cell in found.cells]
    assert map_["cells"][1]["gain_inputs"][0] == found.cells[1].gain_inputs.value


def test_probes_of_early_versions_are_read(run):
    score = {"linear": 0.5, "nonlinear": 0.75}
    table = {
        "hook": "blocks.0.hook_resid_post", "position": 1, "varying": [0, 3], "neurons": [{"neuron": 3, **score}],
        "pairs": [{"first": 0, "second": 3, **score}], "population": score,
        "control": {"pair": {"first": 0, "second": 3, **score}, "population": score},
    }  # fmt: skip
    (run / "probes.json").write_text(json.dumps({"probes": [table]}))
    (one,) = probes_part(load_run(run))["readouts"]
    assert one["neurons"] == [[3, 0.5, 0.75]] and not one["compared"]
    assert one["rows"][0] == ["all neurons that vary", 0.5, 0.75] and one["rows"][-2][0] == "neurons 0 and 3"


def test_run_facts_are_those_of_the_files(opened, whole_run, tmp_path):
    part = run_facts_part(opened)
    assert part["records"]["step"] == [10, 20, 30, 40]
    assert part["records"]["loss"] == [record["loss"] for record in opened.metrics]
    (tmp_path / "config.yaml").write_text(part["config"])
    assert load(tmp_path / "config.yaml") == opened.config
    assert part["phases"] == [["pressed", 0, 24], ["finish", 24, 40]]
    assert part["points"] == {} and part["shown"] is None and part["formula"] is None
    assert ["active_weights", f"{opened.active_weights:,}"] in part["summary"]


def test_an_interrupted_run_says_how_to_go_on(half_run):
    part = page_of(load_run(half_run))
    assert dict(part.run["commands"])["go on with it"] == f"bimt resume {half_run}"
    json.dumps(part._asdict(), allow_nan=False)


def test_a_model_of_ones_own(tmp_path):
    def network():
        return nn.Sequential(nn.Linear(3, 6), nn.SiLU(), nn.Linear(6, 1))

    x = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    data = (x, x[:, :1] * x[:, 1:2])
    quick = {"steps": 20, "batch_size": 16, "log_every": 10, "compile": "no", "progress": False}
    bimt_tf.train(network(), data, "squared", test=data, out=tmp_path / "run", **quick)
    without = page_of(load_run(tmp_path / "run", model=network()))
    assert without.activity is None and without.modules["effects"] is None and without.modules["found"]["modules"]
    run = load_run(tmp_path / "run", model=network(), data=data)
    part = page_of(run)
    hidden = part.activity["rows"]["hidden0"]
    wanted = run.model[1](run.model[0](x)).detach()[:, hidden["neurons"]]
    assert torch.equal(unpacked(hidden["values"], len(hidden["neurons"]), 50), wanted.T)
    assert part.causes["why"] == ["no neuron was knocked out: no hook of the model shows its neurons"]
    assert len(part.causes["wires"]) == run.active_weights
    assert "model=your_model" in part.run["commands"][0][1]
    json.dumps([without._asdict(), part._asdict()], allow_nan=False)


def test_a_language_model(tmp_path):
    sizes = {"d_model": 8, "n_layers": 1, "n_heads": 2}
    data = {"max_text": 4_000, "context": 24}
    training = {"steps": 5, "batch_size": 4, "log_every": 5, "eliminate": False}
    train_run(make("lm", overrides={"data": data, "model": sizes, "training": training}), tmp_path / "run", draw=False)
    run = load_run(tmp_path / "run")
    part, examples = activity_part(run), run.held_out
    names = run.task.classes(run.config.data)
    quantities = {one["name"]: unpacked(one["values"], part["n"]).long() for one in part["quantities"]}
    windows = torch.linspace(0, len(examples.inputs) - 1, min(8, len(examples.inputs))).long()
    places = torch.linspace(0, len(windows) * 24 - 1, min(300, len(windows) * 24)).long()
    assert torch.equal(quantities["token here"], examples.inputs[windows].flatten()[places])
    assert torch.equal(quantities["next token"], examples.targets[windows].flatten()[places])
    last = names[quantities["token here"][-1]]
    assert part["tokens"] is None and part["texts"][-1].endswith(" " if last == "space" else last)
    patterns = attention_part(run)
    assert patterns["tokens"] == 16 and patterns["of"] == 24
    sums = unpacked(patterns["blocks"][0]["patterns"], patterns["n"], 2, 16, 16).sum(-1)
    assert torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


def test_of_another_point_the_commands_name_it_and_the_shown_points_probes_are_left_out(run):
    opened = load_run(run)
    opened.elimination = [{"weights": 900, "loss": 0.5, "test_loss": 0.6}, {"weights": 700, "loss": 0.7}]
    opened.summary = {"task": "in-context", "active_weights": 900}  # as of the trained network: no versions
    part = run_facts_part(opened)
    assert dict(part["commands"])["open it in Python"] == f'bimt_tf.load_run({str(run)!r}, at="trained")'
    assert part["points"] == {"weights": [900, 700], "loss": [0.5, 0.7], "test_loss": [0.6, None]}
    assert command("modules", {}, opened) == f"bimt modules {run} --at trained"
    assert probes_part(opened)["readouts"] == []
    opened.round_number = 1
    assert command("edges", {}, opened) == f"bimt edges {run} --at {opened.active_weights}"


def test_a_kept_formula_is_shown(run):
    opened = load_run(run)
    keep(opened, "formulas", "formula", {}, how_made(opened), {"formula": ["y = w x"]})
    assert run_facts_part(opened)["formula"] == ["y = w x"]
