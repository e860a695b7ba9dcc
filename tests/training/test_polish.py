import dataclasses

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.training.polish import minimise_
from bimt_tf.training.setup import set_up

TRAINING = {
    "steps": 100, "swap_every": 10, "log_every": 10, "checkpoint_every": 50, "lam": 0.02, "finish": 0.3, "cut": 0.05,
    "lr": 0.01, "dtype": "float64", "polish": 0.4,
}  # fmt: skip


def small(method="bimt", **training):
    return make("symbolic-a", method=method, overrides={"training": {**TRAINING, **training}})


def run(config, checkpoint=None, stop=lambda: False):
    trainer = set_up(config, checkpoint)
    records, saved = [], []
    ended = trainer.run(on_record=records.append, on_checkpoint=saved.append, stop=stop)
    return trainer, records, saved, ended


def rosenbrock(vector):
    def loss_and_gradient():
        x = vector.detach().clone().requires_grad_()
        loss = ((1 - x[:-1]) ** 2 + 100 * (x[1:] - x[:-1] ** 2) ** 2).sum()
        return loss.item(), torch.autograd.grad(loss, x)[0]

    return loss_and_gradient


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-8), (torch.float32, 1e-2)])
def test_a_valley_is_followed_to_its_end(dtype, close):
    vector = torch.tensor([-1.2, 1.0, 0.5, -0.3], dtype=dtype)
    losses = []
    assert minimise_(vector, torch.ones(4, dtype=dtype), rosenbrock(vector), 0.0, 500, lambda loss: losses.append(loss))
    assert losses == sorted(losses, reverse=True) and losses[-1] < close
    torch.testing.assert_close(vector, torch.ones(4, dtype=dtype), rtol=0, atol=10 * close)


def test_a_pull_keeps_the_weights_near():
    start = torch.tensor([-1.2, 1.0, 0.5], dtype=torch.float64)
    moved = []
    for pull in (0.1, 10.0, 1e6):
        vector, losses = start.clone(), []
        minimise_(vector, torch.ones(3), rosenbrock(vector), pull, 500, losses.append)
        assert losses[-1] == pytest.approx(rosenbrock(vector)()[0])  # the loss alone, without the pull
        reference = vector.clone().requires_grad_()
        gradient = rosenbrock(reference)()[1] + 2 * pull * (vector - start)
        assert float(gradient.abs().max()) < 1e-3 * max(pull, 1)
        moved.append(float((vector - start).norm()))
    assert moved == sorted(moved, reverse=True) and moved[-1] < 1e-2 < moved[0]


def test_entries_that_are_not_free_stay():
    vector = torch.tensor([-1.2, 0.0, 0.5, 0.0])
    minimise_(vector, torch.tensor([True, False, True, False]), rosenbrock(vector), 0.0, 50, lambda loss: False)
    assert vector[[1, 3]].tolist() == [0, 0] and vector[0] != -1.2


def test_a_stopped_search_leaves_the_weights():
    start = torch.tensor([-1.2, 1.0, 0.5])
    vector, seen = start.clone(), []
    assert not minimise_(
        vector, torch.ones(3), rosenbrock(vector), 0.0, 50, lambda loss: len(seen.append(loss) or seen) == 3
    )
    assert len(seen) == 3 and torch.equal(vector, start)


def test_a_loss_that_is_no_number_anywhere_else_leaves_the_weights():
    start = torch.tensor([1.0, 2.0], dtype=torch.float64)
    vector = start.clone()

    def cliff():
        inside = torch.equal(vector, start)
        return (1.0 if inside else float("nan")), torch.ones(2, dtype=torch.float64)

    assert minimise_(vector, torch.ones(2), cliff, 0.0, 50, lambda loss: False)
    assert torch.equal(vector, start)


def test_the_polish_lowers_the_training_loss_keeps_zeros_and_ends_with_a_search_for_the_layout():
    trainer, records, saved, ended = run(small())
    assert ended and trainer.step == 100
    adam, end = saved[-2], saved[-1]
    assert (adam.step, end.step) == (60, 100)
    by_step = {record.step: record for record in records}
    assert len(by_step) == len(records) and by_step[100].loss < 0.5 * by_step[60].loss
    assert by_step[70].lr == 0 and by_step[70].lam == 0
    zeros = 0
    for name, before in adam.model.items():
        assert bool((end.model[name][before == 0] == 0).all())
        zeros += int((before == 0).sum())
    assert zeros > 100
    last = trainer.bimt.placement().cost({name: slots.numpy() for name, slots in trainer.bimt.layout.slots.items()})
    slots = {name.removeprefix("slots."): slots.numpy() for name, slots in adam.layout.items()}
    assert last < trainer.bimt.placement().cost(slots)


def test_without_a_polish_adam_goes_as_before():
    polished, _, saved, _ = run(small())
    plain, _, _, _ = run(small(steps=60, polish=0.0))
    at_60 = next(c for c in saved if c.step == 60)
    assert all(torch.equal(at_60.model[name], value) for name, value in plain.weights().items())


@pytest.mark.parametrize("method", ["bimt", "vanilla"])
@pytest.mark.parametrize("finish", [0.0, 0.3])
def test_a_run_stopped_in_its_polish_ends_with_the_same_bits(method, finish):
    config = small(method, finish=finish)
    whole, records, _, _ = run(config)
    calls = iter(range(1_000))
    stopped, early, saved, ended = run(config, stop=lambda: next(calls) == 70)
    assert not ended and stopped.step == 60 and saved[-1].step == 60
    again, rest, _, ended = run(config, saved[-1])
    assert ended and all(torch.equal(value, again.weights()[name]) for name, value in whole.weights().items())
    assert [r for r in early if r.step <= 60] + rest == records
    last, _, _, _ = run(config, saved[0])  # from the middle of Adam's steps, as after kill -9
    assert all(torch.equal(value, last.weights()[name]) for name, value in whole.weights().items())


def test_without_a_finish_phase_the_polish_cuts():
    trainer, _, saved, _ = run(small(finish=0.0))
    assert not saved[-2].kept and saved[-1].kept
    sizes = trainer.bimt.parameters["layers.1.weight"].detach().abs()
    assert int((sizes == 0).sum()) > 100


def test_a_search_that_ends_early_ends_the_run():
    config = small(dtype="float32", polish=0.9, steps=3_000, log_every=1_000, checkpoint_every=3_000)
    trainer, records, saved, ended = run(config)
    assert ended and trainer.step == 3_000 and records[-1].step == 3_000
    assert saved[-1].step == 3_000 and dataclasses.replace(config) == trainer.config
