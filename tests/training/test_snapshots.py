"""At which steps a network is kept, and that training is the same with and without."""

from __future__ import annotations

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.training.phases import PHASES, phase_after
from bimt_tf.training.setup import set_up
from bimt_tf.training.snapshots import MOST_PARAMETERS, snapshot_steps
from bimt_tf.training.trainer import NonFiniteLoss


def config(task="symbolic-b", method="bimt", **training):
    usual = {"steps": 60, "batch_size": 16, "compile": "no", "log_every": 30, "eliminate": False, "swap_every": 7}
    model = {"d_model": 8, "n_layers": 1, "n_heads": 2} if task == "in-context" else {"hidden": [6, 5]}
    overrides = {"data": {"samples": 100}, "model": model, "training": usual | training}
    return make(task, method=method, seed=3, overrides=overrides)


def run_of(settings, keep):
    trainer = set_up(settings)
    found = []
    trainer.run(on_snapshot=found.append if keep else None)
    return trainer, found


@pytest.mark.parametrize("steps", [1, 2, 39, 1_000, 7_000, 123_457])
@pytest.mark.parametrize("polish", [0.0, 0.3])
def test_steps_are_few_and_hold_the_ends_of_all_phases(steps, polish):
    settings = config(steps=steps, polish=polish)
    found = snapshot_steps(settings)
    ends = {phase.span(settings).stop for phase in PHASES if phase.span(settings)}
    assert {0, steps} | ends <= found and min(found) == 0 and max(found) == steps
    assert len(found) <= 40 and all(isinstance(step, int) for step in found)
    ordered = sorted(found)
    assert max(b - a for a, b in zip(ordered, ordered[1:], strict=False)) <= steps / 16 + 31
    if steps >= 1_000:
        assert 20 <= len(found) and sum(step <= steps / 16 for step in found) >= 6
        measured_anew = [step for step in found if step % 30 and step not in ends]
        assert max(measured_anew, default=0) < 30  # the others are logged, and so measured, already


@pytest.mark.parametrize("method", ["bimt", "vanilla", "magnitude", "topk"])
def test_the_phase_of_a_step_is_the_one_that_took_it(method):
    settings = config(method=method, finish=0.4, polish=0.25)
    names = [phase_after(settings, step) for step in range(61)]
    assert names[0] == "start" and names[60] == names[46] == "polish" and names[45] == "finish"
    first = {"magnitude": "magnitude", "topk": "topk"}.get(method, "pressed")
    assert names[1:28] == [first] * 27 and names[28:46] == ["finish"] * 18


@pytest.mark.parametrize("method", ["bimt", "topk"])
@pytest.mark.parametrize("task", ["symbolic-b", "in-context"])
def test_training_is_the_same_bit_for_bit_with_and_without(task, method):
    (one, found), (other, nothing) = (run_of(config(task, method, polish=0.1), keep) for keep in (True, False))
    assert found and not nothing
    for name, values in one.weights().items():
        assert torch.equal(values, other.weights()[name]), name
    for name, slots in one.bimt.layout.slots.items():
        assert torch.equal(slots, other.bimt.layout.slots[name]), name


def test_a_snapshot_is_what_a_run_of_so_many_steps_has():
    """Brute force: stop the run behind each step of a snapshot and look at it."""
    settings = config(swap_every=3, polish=0.0)  # which cannot be stopped in the middle
    _, found = run_of(settings, True)
    assert [one.step for one in found] == sorted(snapshot_steps(settings))
    moved = 0
    for one in found:
        trainer = set_up(settings)
        if one.step:
            trainer.run(stop=lambda trainer=trainer, last=one.step: trainer.step == last)
        assert trainer.step == one.step
        assert one.loss == pytest.approx(trainer.evaluate()["loss"], rel=1e-6)
        assert all(torch.equal(values, one.weights[name]) for name, values in trainer.weights().items())
        slots = trainer.bimt.layout.slots
        assert all(torch.equal(slots[name], one.slots[name]) for name in slots)
        moved += any(not torch.equal(own, torch.arange(len(own))) for own in slots.values())
    assert moved > 5  # neurons did move


def test_a_snapshot_does_not_follow_the_model():
    _, found = run_of(config(), True)
    name = next(iter(found[0].weights))
    assert not torch.equal(found[0].weights[name], found[-1].weights[name])


def test_a_network_that_is_not_finite_is_not_kept():
    trainer = set_up(config(lr=1e30))
    found = []
    with pytest.raises(NonFiniteLoss):
        trainer.run(on_snapshot=found.append)
    assert all(value.isfinite().all() for one in found for value in one.weights.values())


def test_a_large_model_has_none(monkeypatch):
    from bimt_tf.training import trainer as module

    assert MOST_PARAMETERS == 1_000_000
    monkeypatch.setattr(module, "MOST_PARAMETERS", 10)
    assert run_of(config(), True)[1] == []
