import dataclasses
import math
import os
import sys
import types

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs import checkpoints, loggers
from bimt_tf.runs.atomic import CannotWrite, write_atomically
from bimt_tf.runs.directory import RunDirectory
from bimt_tf.tasks.registry import TASKS
from bimt_tf.training.batch_gradient import batch_gradient
from bimt_tf.training.flat import FlatParameters
from bimt_tf.training.schedule import polish_step
from bimt_tf.training.setup import Start, set_up
from bimt_tf.training.trainer import NonFiniteLoss, Record

SMALL = {
    "data": {"samples": 200},
    "model": {"d_model": 8, "n_layers": 1, "n_heads": 2},
    "training": {
        "steps": 60, "batch_size": 16, "swap_every": 7, "log_every": 10, "checkpoint_every": 20,
        "lam": 0.3, "finish": 0.3, "finish_lr": 0.01, "cut": 0.02, "lr": 0.01,
    },
}  # fmt: skip


def small(method="bimt", **training):
    return make("in-context", method=method, overrides={**SMALL, "training": {**SMALL["training"], **training}})


def run(config, checkpoint=None, stop=lambda: False):
    trainer = set_up(config, checkpoint)
    records, saved = [], []
    trainer.run(on_record=records.append, on_checkpoint=saved.append, stop=stop)
    return trainer, records, saved


def weights(trainer):
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("penalty", ["proximal", "subgradient"])
@pytest.mark.parametrize("method", ["bimt", "vanilla", "l1-swap"])
def test_resumed_run_equals_uninterrupted_bit_for_bit(method, penalty):
    config = small(method, penalty=penalty)
    whole, records, saved = run(config)
    assert [c.step for c in saved] == [20, 40, 60]
    for checkpoint in saved[:2]:
        again, rest, _ = run(config, checkpoint)
        assert same(weights(whole), weights(again))
        assert rest == [r for r in records if r.step > checkpoint.step]
        for name, slots in whole.bimt.layout.slots.items():
            assert torch.equal(slots, again.bimt.layout.slots[name])


def test_stopping_between_checkpoints_loses_nothing():
    config = small()
    whole, _, _ = run(config)
    calls = iter(range(1000))
    stopped, _, saved = run(config, stop=lambda: next(calls) == 32)
    assert stopped.step == 33 and saved[-1].step == 33
    again, _, _ = run(config, saved[-1])
    assert same(weights(whole), weights(again))


def test_compiled_run_resumes_bit_for_bit():
    config = small(compile="yes")
    whole, _, saved = run(config)
    if not saved[-1].compiled:
        pytest.skip("no C++ compiler here")
    again, _, _ = run(config, saved[0])
    assert same(weights(whole), weights(again))


def test_one_step_is_adam_with_the_cost_gradient():
    config = small(penalty="subgradient", steps=3, finish=0.0, batch_size=0, swap_every=1000)
    trainer, _, _ = run(config)
    reference = set_up(config)
    model = reference.task.model(config.model, config.data, config.seed, torch.float32)
    from bimt_tf import BIMT, Geometry

    bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5), reduction="mean")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    data = reference.data.train
    for _ in range(3):
        optimizer.zero_grad()
        loss = reference.task.loss(config.data, model(data.inputs), data.targets) + 0.3 * bimt.cost()
        loss.backward()
        optimizer.step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), weights(trainer)[name], rtol=1e-4, atol=1e-6)


def test_swaps_do_run_and_shorten_the_wiring():
    swapped, records, _ = run(small("bimt"))
    still, still_records, _ = run(small("l1-local"))
    identity = {name: torch.arange(len(s)) for name, s in still.bimt.layout.slots.items()}
    assert same(identity, still.bimt.layout.slots)
    assert not same(identity, swapped.bimt.layout.slots)
    assert records[3].cost < still_records[3].cost


def test_l1_swap_trains_as_l1_and_places_as_bimt():
    l1, _, _ = run(small("l1"))
    placed, _, _ = run(small("l1-swap"))
    assert same(weights(l1), weights(placed))
    assert placed.bimt.cost().item() < l1.bimt.cost().item()


@pytest.mark.parametrize("method", ["bimt", "l1"])
def test_the_penalty_and_the_swaps_leave_out_what_is_distance_free(method):
    config = make(
        "two-moon",
        method=method,
        overrides={"geometry": {"distance_free": ["output"]}, "training": {"steps": 8, "reduction": "sum"}},
    )
    trainer, _, _ = run(config)
    pays = {name: c.unique().tolist() for name, c in trainer._state.penalty.lengths().items()}
    assert pays["layers.2.weight"] == [pytest.approx(config.geometry.layer_gap)]
    assert len(pays["layers.1.weight"]) > 1 or method == "l1"
    assert ("hidden1", "output") not in trainer.bimt.placement().strength
    assert ("hidden0", "hidden1") in trainer.bimt.placement().strength


@pytest.mark.parametrize("penalty", ["proximal", "subgradient"])
def test_biases_are_free_at_first_also_after_resuming(penalty):
    config = small(penalty=penalty, bias_free=0.5, finish=0.0, lam=3.0, steps=80)
    whole, _, saved = run(config)
    charged, _, _ = run(small(penalty=penalty, finish=0.0, lam=3.0, steps=80))
    by_step = {c.step: c.model for c in saved}

    def biases(model):
        return sum(float(value.abs().sum()) for name, value in model.items() if ".b_" in name)

    assert biases(charged.model.state_dict()) < biases(by_step[80]) < biases(by_step[40])
    for checkpoint in saved[:3]:  # before the biases pay, at the step from which they do, and after it
        again, _, _ = run(config, checkpoint)
        assert same(weights(whole), weights(again))


def test_training_examples_are_evaluated_too():
    trainer, _, _ = run(small(steps=5))
    data = trainer.data.train
    with torch.no_grad():
        expected = trainer.task.metrics(trainer.config.data, trainer.model(data.inputs), data.targets)
    assert trainer.evaluate("train") == expected != trainer.evaluate()


def test_finish_freezes_the_zeros():
    config = small()
    at_cut = {}

    def keep(checkpoint):
        at_cut[checkpoint.step] = checkpoint

    trainer = set_up(config)
    trainer.run(on_checkpoint=keep)
    mask = at_cut[60].kept
    assert mask and any((m == 0).any() for m in mask.values())
    final = weights(trainer)
    for name, kept in mask.items():
        assert (final[name][kept == 0] == 0).all()
    vanilla = set_up(small("vanilla"))
    vanilla.run()
    assert all((p != 0).all() for p in weights(vanilla).values())


def test_same_seed_same_weights_other_seed_others():
    a, _, _ = run(small())
    b, _, _ = run(small())
    c, _, _ = run(dataclasses.replace(small(), seed=1))
    assert same(weights(a), weights(b)) and not same(weights(a), weights(c))


def test_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    run(small(steps=5))
    assert torch.equal(before, torch.get_rng_state())


def test_non_finite_loss_stops_with_its_step():
    trainer = set_up(small())
    with torch.no_grad():
        trainer.model.unembed.b_U[0] = torch.nan
    with pytest.raises(NonFiniteLoss, match="step 0"):
        trainer.run()


def test_checkpoint_of_another_model_is_refused():
    _, _, saved = run(small(steps=20))
    other = make("in-context", overrides={**SMALL, "model": {"d_model": 12, "n_layers": 1, "n_heads": 2}})
    with pytest.raises(InputError, match="another model: embed.W_E"):
        set_up(other, saved[-1])


def test_checkpoints_are_kept_in_pairs_and_damage_is_named(tmp_path):
    _, _, saved = run(small())
    for checkpoint in saved:
        newest = checkpoints.save(tmp_path, checkpoint)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000040.pt", "step_00000060.pt"]
    assert checkpoints.load(newest).step == 60
    newest.write_bytes(newest.read_bytes()[:1000])
    with pytest.raises(InputError, match="truncated.*step_00000040.pt"):
        checkpoints.load(checkpoints.latest(tmp_path))


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    write_atomically(path, b"old")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(CannotWrite, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_flat_parameters_are_views():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    flat = FlatParameters(model)
    with torch.no_grad():
        flat.vector.add_(1)
    assert torch.equal(torch.cat([p.reshape(-1) for p in model.parameters()]), flat.vector)
    loss = model(torch.ones(4, 2)).sum()
    flat.set_grad_(torch.autograd.grad(loss, list(model.parameters())))
    loss = model(torch.ones(4, 2)).sum()
    loss.backward()
    assert torch.equal(torch.cat([p.grad.reshape(-1) for p in model.parameters()]), flat.vector.grad)


def test_a_batchs_gradient_says_how_it_is_computed(monkeypatch):
    model = torch.nn.Linear(2, 1)
    example = (torch.ones(3, 2), torch.ones(3, 1))
    loss = torch.nn.functional.mse_loss
    also = {"flat": FlatParameters(model), "penalty": "none"}
    assert "do not earn" in batch_gradient(model, loss, "auto", 100, example, **also).note
    monkeypatch.setattr("shutil.which", lambda name: None)
    found = batch_gradient(model, loss, "yes", 100, example, **also)
    assert found.whole is None and "C++ compiler" in found.note


def test_run_directory_refuses_and_overwrites(tmp_path):
    config = small()
    run_dir = RunDirectory.create(tmp_path / "a", config)
    run_dir.append(Record(10, 1.0, 1.0, 1.0, 0.1, 0.1, 5)._asdict())
    with pytest.raises(InputError, match="not empty"):
        RunDirectory.create(tmp_path / "a", config)
    (tmp_path / "a" / "notes.txt").write_text("mine")
    RunDirectory.create(tmp_path / "a", config, overwrite=True)
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"
    assert not (tmp_path / "a" / "metrics.jsonl").exists()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="not the directory of a run"):
        RunDirectory.create(tmp_path / "b", config, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        RunDirectory.create(tmp_path / "file", config)
    with pytest.raises(InputError, match="no config.yaml"):
        RunDirectory.open(tmp_path / "b")
    with run_dir.lock(), pytest.raises(InputError, match="in use"), RunDirectory(run_dir.path).lock():
        pass


def test_metrics_forget_what_is_run_again_and_survive_a_cut_line(tmp_path):
    run_dir = RunDirectory.create(tmp_path / "a", small())
    for step in (10, 20, 30):
        run_dir.append(Record(step, 1.0, 1.0, 1.0, 0.1, 0.1, 5)._asdict())
    with (run_dir.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "lo')
    assert [r["step"] for r in run_dir.records()] == [10, 20, 30]
    run_dir.forget_after(20)
    assert [r["step"] for r in run_dir.records()] == [10, 20]


def test_loggers_get_every_record(tmp_path, monkeypatch):
    logged = []

    class Run:
        log = staticmethod(lambda values, step: logged.append((step, values["cost"])))
        finish = staticmethod(lambda: logged.append("finished"))

    monkeypatch.setitem(sys.modules, "wandb", types.SimpleNamespace(init=lambda **given: Run))
    monkeypatch.setenv("WANDB_MODE", "offline")
    loggers.check("wandb")
    sink = loggers.logger("wandb", tmp_path, small())
    _, records, _ = run(small(steps=20))
    for record in records:
        sink.log(record)
    sink.close()
    assert logged == [(10, records[0].cost), (20, records[1].cost), "finished"]
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match=r"pip install 'bimt_tf\[wandb\]'"):
        loggers.check("wandb")


@pytest.mark.parametrize(("task", "preset"), [(name, preset) for name, t in TASKS.items() for preset in t.presets])
def test_every_preset_trains(task, preset, mnist_dir):
    data = {"data_dir": str(mnist_dir)} if task == "mnist" else {}
    short = {"steps": 8, "swap_every": 3, "log_every": 4, **({"batch_size": 8} if data else {})}  # of a small MNIST
    config = make(task, preset, overrides={"data": data, "training": short})
    trainer, records, _ = run(config)
    assert [r.step for r in records] == sorted({4, polish_step(config), 8}) and all(
        math.isfinite(r.test_loss) for r in records
    )
    assert str(next(trainer.model.parameters()).dtype) == f"torch.{config.training.dtype}"


def test_a_run_begins_from_another_ones_weights_and_layout():
    first, _, _ = run(small())
    begun = set_up(small(), start=Start(first.weights(), first.bimt.state_dict()))
    assert begun.step == 0 and same(first.weights(), begun.weights())
    assert same(first.bimt.layout.slots, begun.bimt.layout.slots)
    assert begun._state.penalty.value() == first._state.penalty.value()
    with pytest.raises(InputError, match="the run to begin from is of another model"):
        set_up(small(), start=Start({"embed.W_E": torch.ones(2, 2)}, first.bimt.state_dict()))
