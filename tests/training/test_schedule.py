"""Schedules in a run: what a step is taken with, where moments begin anew, and that a resume changes nothing."""

import dataclasses

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.training import state as state_module
from bimt_tf.training.schedule import WIDTHS, decay_at, finish_step, lam_at, lr_at, swap_steps, width_at
from bimt_tf.training.setup import set_up

VARIED = {
    "steps": 60, "log_every": 5, "checkpoint_every": 1, "lr": "log:0:0.02,0.5:0.01,0.5:0.03,1:0.001",
    "lam": "log:0:0,0.2:0.001,1:0.1", "weight_decay": "linear:0:1,0.5:0.1,1:0", "swap_every": "linear:0:4,1:9",
    "betas": (0.9, 0.99), "fresh_moments": (0.25, 0.5, 1.0), "finish": 0.25, "finish_lam": 0.02, "cut": 0.02,
    "compile": "no", "swap_starts": 3, "polish": 0.0,
}  # fmt: skip


def varied(method="bimt", width="linear:0:0,0.2:0,0.6:4", **training):
    overrides = {"data": {"samples": 100}, "geometry": {"width": width}, "training": {**VARIED, **training}}
    return make("symbolic-a", method=method, overrides=overrides)


def run(config, checkpoint=None):
    trainer = set_up(config, checkpoint)
    records, saved = [], []
    trainer.run(on_record=records.append, on_checkpoint=saved.append)
    return trainer, records, saved


def same(a, b):
    return all(torch.equal(x, b[name]) for name, x in a.items())


@pytest.mark.parametrize(
    "config",
    [
        varied(),
        varied(penalty="subgradient", batch_size=16),
        varied("l1-local"),
        varied(width="0:1,0.5:3", finish=0.0),
        varied(polish=0.1, bias_free=0.5),
    ],
    ids=["proximal", "subgradient", "no swaps", "no finish", "polish"],
)
def test_a_run_resumed_anywhere_in_its_schedules_ends_bit_for_bit_the_same(config):
    whole, records, saved = run(config)
    end = saved[-1]
    assert end.step == 60
    for checkpoint in [one for one in saved if one.step in (3, 11, 12, 23, 31, 45, 46, 54)]:
        again, rest, _ = run(config, checkpoint)
        last = again.checkpoint()
        assert same(end.model, last.model) and same(end.layout, last.layout), checkpoint.step
        assert [r for r in rest if r.step % 5 == 0][1:] == [
            r for r in records if r.step > checkpoint.step and r.step % 5 == 0
        ][1:]
    assert whole.bimt.geometry.width == 4.0 or config.geometry.width == "0:1,0.5:3"


@pytest.mark.parametrize(
    ("method", "penalty"), [("bimt", "proximal"), ("bimt", "subgradient"), ("l1-swap", "proximal")]
)
def test_effective_weights_resume_in_their_schedules_too(method, penalty):
    """Behind norms the penalty holds a scale of its own, and a swap under a changing width sees effective weights."""
    overrides = {
        "data": {"modulus": 7},
        "model": {"d_model": 8, "n_heads": 2, "normalization": "rms"},
        "geometry": {"width": "linear:0:0,0.2:0,0.6:4"},
        "training": {**VARIED, "steps": 24, "batch_size": 8, "norms": "effective", "penalty": penalty},
    }
    config = make("modular-addition-transformer", method=method, overrides=overrides)
    _, _, saved = run(config)
    for checkpoint in [one for one in saved if one.step in (4, 5, 9, 17, 18, 20)]:
        last = run(config, checkpoint)[0].checkpoint()
        assert same(saved[-1].model, last.model) and same(saved[-1].layout, last.layout), checkpoint.step


@pytest.mark.parametrize("last", [45, 60])
def test_a_stop_at_a_phases_last_step_changes_nothing(last):
    """What a phase ends with, its search for the layout among it, is not skipped by a stop in that step."""
    config = varied()
    whole = run(config)[2][-1]
    trainer, saved = set_up(config), []
    trainer.run(on_checkpoint=saved.append, stop=lambda: trainer.step == last)
    assert saved[-1].step == last
    found = saved[-1] if last == 60 else run(config, saved[-1])[2][-1]
    assert same(whole.model, found.model) and same(whole.layout, found.layout)


def by_hand(config):
    """The run of a full batch under the gradient of the cost, in plain torch: a slow reference without a finish."""
    trainer = set_up(config)
    model, bimt, training = trainer.model, trainer.bimt, config.training
    trainer.release_()
    parameters, data = list(model.parameters()), trainer.data.train
    steps, fresh = training.steps, [round(share * training.steps) for share in training.fresh_moments]
    optimizer = None
    for step in range(steps):
        if optimizer is None or step in fresh:
            optimizer = torch.optim.AdamW(parameters, betas=training.betas)
        optimizer.param_groups[0].update(lr=lr_at(config, step), weight_decay=decay_at(config, step))
        optimizer.zero_grad()
        loss = trainer.task.loss(config.data, model(data.inputs), data.targets)
        cost = sum(
            (coefficient * bimt.parameters[name].abs()).sum()
            for name, coefficient in bimt.coefficients(width_at(config, step)).items()
        )
        (loss + lam_at(config, step) * cost).backward()
        optimizer.step()
    return {name: p.detach() for name, p in model.named_parameters()}


def test_a_run_is_the_one_that_plain_torch_makes_of_its_schedules():
    config = varied("l1-local", penalty="subgradient", batch_size=0, finish=0.0, steps=40, dtype="float64")
    expected = by_hand(config)
    trainer, _, _ = run(config)
    found = dict(trainer.model.named_parameters())
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-9, atol=1e-12), name
    plain, _, _ = run(dataclasses.replace(config, training=dataclasses.replace(config.training, fresh_moments=())))
    assert not all(torch.allclose(p, found[name], rtol=1e-3) for name, p in plain.model.named_parameters())


def test_the_width_goes_in_steps_and_ends_with_that_of_the_run():
    config = varied(width="linear:0:0,1:6", steps=4000, finish=0.5)
    widths = [width_at(config, step) for step in range(2000)]
    assert widths == sorted(widths) and len(set(widths)) == WIDTHS and widths[0] == 0
    assert max(abs(w - 6 * step / 2000) for step, w in enumerate(widths)) <= 6 / WIDTHS
    assert width_at(config, 2000) == width_at(config, 3999) == 6
    assert set_up(config).bimt.geometry.width == 6


def test_the_cost_follows_the_width():
    config = varied("l1-local", lam=0.0, lr=1e-9, weight_decay=0.0, fresh_moments=(), finish_lr=1e-9, cut=0.0)
    _, records, _ = run(config)
    costs = [record.cost for record in records]
    assert costs[1] < costs[3] < costs[5] == pytest.approx(costs[-1], rel=1e-3)  # 0 up to step 9, 4 from step 27 on


def test_swaps_come_a_period_after_the_last():
    assert swap_steps(varied(swap_every=10, finish=0.0)) == {10, 20, 30, 40, 50, 60}
    assert swap_steps(varied(swap_every="0:10,0.5:20", finish=0.0)) == {10, 20, 30, 50}
    assert swap_steps(varied("l1-local")) == set()


def test_every_phase_ends_with_a_search_from_several_starts(monkeypatch):
    seen = []
    original = state_module.BIMT.swap

    def watched(bimt, *arguments, **named):
        seen.append((named["starts"], named["generator"].initial_seed()))
        return original(bimt, *arguments, **named)

    monkeypatch.setattr(state_module.BIMT, "swap", watched)
    config = dataclasses.replace(varied(swap_every=10, polish=0.2, swap_starts=5), seed=7)
    run(config)
    assert seen == [(1, 7)] * 3 + [(5, 7)] * 3  # 36 steps pressed; then the ends of the pressed phase, finish, polish
    seen.clear()
    run(varied(swap_every=20, finish=0.0, polish=0.0))
    assert seen == [(1, 0), (1, 0), (3, 0)]  # the last period's end is the run's


def test_the_starts_change_places_alone():
    plain = {"lam": 0.02, "finish_lam": 0.0, "polish": 0.1}
    one, many = run(varied(swap_starts=1, **plain)), run(varied(swap_starts=8, **plain))
    assert same(one[2][-1].model, many[2][-1].model)
    assert many[1][-1].cost <= one[1][-1].cost


def test_s4_understands_before_it_pays_and_pays_before_length_counts():
    config = make("s4")
    steps = finish_step(config)
    free, short = round(0.08 * steps), round(0.264 * steps)
    assert all(lam_at(config, step) == width_at(config, step) == 0 for step in range(0, free - 1, 97))
    assert lam_at(config, short - 1) > 0.02 and width_at(config, short - 1) == 0
    assert width_at(config, steps) == 8 and decay_at(config, steps) == 0 and lam_at(config, steps) == 0.3
    rates = [lr_at(config, step) for step in range(free, steps)]
    assert rates == sorted(rates, reverse=True) and rates[0] > 5 * lr_at(config, free - 2)
