"""Probing a run: its own quantities and values of the user's, beside its architecture untrained."""

import numpy as np
import pytest
import torch

from bimt_tf.errors import InputError
from bimt_tf.runs.ask.probing import untrained_network
from bimt_tf.runs.draw import draw, figures_of
from bimt_tf.runs.load import load_run
from bimt_tf.runs.summary import measure


def test_the_untrained_network_is_the_run_s_own_before_training(whole_run):
    run = load_run(whole_run)
    fresh = untrained_network(run)
    assert {n: p.shape for n, p in fresh.named_parameters()} == {n: p.shape for n, p in run.model.named_parameters()}
    assert fresh.cfg.seed == run.config.seed + 1
    found = run.probe()
    assert found.untrained.read_out is not None and found.inputs.what == "inputs (token 0, token 1)"
    assert found.target == "w" and found.made.examples == 40


def test_values_of_one_s_own(whole_run):
    run = load_run(whole_run)
    held = run.examples()
    values = (held.quantities["w"] * held.quantities["x"]).numpy()
    of_values, of_y = run.probe(position=2, values=values), run.probe(position=2, target="y")
    assert of_values.target == "values"
    assert of_values.population.linear.value == pytest.approx(of_y.population.linear.value, abs=1e-6)
    assert run.probe(position=2, values=values, target="product").target == "product"
    assert [one.target for one in run.probe_tokens(values=values > 0)] == ["values"] * 3
    classes = run.probe(position=2, values=values > 0)
    assert classes.kind == "classes" and classes.population.linear.accuracy is not None
    for wrong, message in ((values[:-1], r"shape \[40\]"), ("w", "must be numbers"), (values * np.nan, "40 NaN")):
        for ask in (run.probe, run.probe_map):
            with pytest.raises(InputError, match=message):
                ask(values=wrong)


def test_a_map_of_a_run(whole_run):
    run = load_run(whole_run)
    found = run.probe_map()
    assert found.target == "w" and {one.position for one in found.cells} == {0, 1, 2}
    z = [one for one in found.cells if one.hook == "blocks.0.attn.hook_z"]
    assert {one.head for one in z} in ({0, 1}, {None})
    assert all(one.untrained is not None for one in found.cells)
    some = run.probe_map("y1", hooks=["hook_embed"], regressor="nonlinear")
    assert len(some.cells) == 3 and some.cells[1].read_out.value > 0.95 > 0.1 > some.cells[0].read_out.value
    with pytest.raises(InputError, match="did you mean 'y1'"):
        run.probe_map("y11")


def test_a_pair_that_does_not_beat_its_control_is_not_named(whole_run):
    """A network without attention to token 0 knows nothing of x1 at token 2."""
    run = load_run(whole_run)
    with torch.no_grad():
        for name, parameter in run.model.named_parameters():
            if "W_E" not in name:
                parameter.zero_()
        run.model.embed.W_E.zero_()
        run.model.embed.W_E[1, 0] = run.model.embed.W_E[1, 3] = 1.0
    summary = measure(run, 1.0).summary
    assert summary["best_pair"] is None and summary["best_pair_r2"] is None
    assert summary["probe"] is None or summary["probe"]["target"] == "w"
    assert "best_pair" not in figures_of(run, summary)
    with pytest.raises(InputError, match="better than chance"):
        draw(run, "best_pair")


def test_what_a_summary_says_of_a_probe(whole_run):
    told = load_run(whole_run).summary["probe"]
    assert told["where"] == "blocks.0.hook_resid_post, token 1" and told["score"] == "R2"
    found = load_run(whole_run).probe()
    assert told["linear"] == found.population.linear.value and told["inputs_linear"] < 1
    assert told["untrained_linear"] == found.untrained.read_out.linear.value
    assert told["tied_pairs"] == len(found.tied_pairs) <= 28


def test_a_summary_of_an_older_version_is_drawn_anew(whole_run):
    run = load_run(whole_run)
    run.summary.pop("probe")
    (axes, _) = run.figure("best_pair").axes
    assert "the inputs alone" in axes.texts[0].get_text()
