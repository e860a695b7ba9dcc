"""The methods that leave a share of the weights: magnitude pruning with rewinding, and the falling top k."""

import dataclasses

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.training.checkpoint import Checkpoint
from bimt_tf.training.magnitude import prune_, prunings, rewind_step
from bimt_tf.training.phases import PHASES
from bimt_tf.training.schedule import finish_step
from bimt_tf.training.setup import set_up
from bimt_tf.training.topk import _tensors, keep_largest_, shares

SMALL = {
    "data": {"samples": 200},
    "model": {"d_model": 8, "n_layers": 1, "n_heads": 2},
    "training": {"steps": 60, "batch_size": 16, "log_every": 7, "checkpoint_every": 7, "finish": 0.3, "compile": "no",
                 "density": 0.2, "rounds": 3, "rewind": 0.5, "weight_decay": 0.1},
}  # fmt: skip


def small(method, **training):
    return make("in-context", method=method, overrides={**SMALL, "training": {**SMALL["training"], **training}})


def run(config, checkpoint=None):
    trainer, records, saved = set_up(config, checkpoint), [], []
    assert trainer.run(on_record=records.append, on_checkpoint=saved.append)
    return trainer, records, saved


def nonzero(trainer):
    """Parameter of a connection -> how many of its entries are not zero."""
    return {
        c.parameter: int((trainer.bimt.parameters[c.parameter] != 0).sum()) for c in trainer.bimt.wiring.connections
    }


@pytest.mark.parametrize("method", ["magnitude", "topk"])
def test_resumed_run_equals_uninterrupted_bit_for_bit(method):
    config = small(method)
    whole, records, saved = run(config)
    assert [c.step for c in saved] == [7, 14, 21, 28, 35, 42, 49, 56, 60]
    for checkpoint in saved[:-1]:
        again, rest, _ = run(config, checkpoint)
        assert all(torch.equal(whole.weights()[name], value) for name, value in again.weights().items())
        assert rest == [r for r in records if r.step > checkpoint.step]


@pytest.mark.parametrize("method", ["magnitude", "topk"])
@pytest.mark.parametrize("finish", [0.0, 0.3])
def test_the_wanted_share_is_left_and_biases_stay(method, finish):
    trainer, records, _ = run(small(method, finish=finish))
    total = trainer.bimt.wiring.total_weights
    assert sum(nonzero(trainer).values()) == pytest.approx(0.2 * total, abs=len(nonzero(trainer)) / 2)
    assert all(bool((value != 0).any()) for name, value in trainer.weights().items() if ".b" in name)
    assert all(record.lam == 0 for record in records)


def test_without_steps_before_the_finish_nothing_is_pruned():
    trainer, _, _ = run(small("magnitude", steps=1, finish=0.9))
    assert sum(nonzero(trainer).values()) == trainer.bimt.wiring.total_weights


def test_prunings_are_equal_shares_in_equal_parts():
    config = small("magnitude")  # 42 steps before the finish
    assert finish_step(config) == 42
    assert prunings(config) == pytest.approx({10: 0.2 ** (1 / 3), 21: 0.2 ** (2 / 3), 32: 0.2})
    assert rewind_step(config) == 5
    assert rewind_step(small("magnitude", rewind=0.0)) == 0
    for steps in range(1, 12):
        short = small("magnitude", steps=steps, finish=0.0, rewind=0.99)
        assert 0 <= rewind_step(short) < min(prunings(short)) <= max(prunings(short)) <= steps
        assert list(prunings(short).values())[-1] == pytest.approx(0.2)


def test_pruning_goes_back_to_the_early_weights_and_adam_begins_anew():
    config = small("magnitude", steps=60, rewind=0.5)
    _, _, saved = run(dataclasses.replace(config, training=dataclasses.replace(config.training, checkpoint_every=1)))
    by_step = {checkpoint.step: checkpoint for checkpoint in saved}
    assert by_step[5].early == {} and by_step[9].early.keys() == by_step[5].model.keys()
    before, after, early = by_step[9], by_step[10], by_step[5].model
    assert before.kept == {} and after.updates == 0 and by_step[11].updates == 1
    for name, value in after.model.items():
        kept = after.kept[name].bool()
        assert torch.equal(value, early[name] * kept)
        assert kept.all() or "W_" in name
    again = by_step[20].kept  # what is pruned stays so
    assert all(bool((after.kept[name] >= by_step[21].kept[name]).all()) for name in again)


def test_pruning_takes_the_smallest_of_all_connections():
    trainer = set_up(small("magnitude"))
    state = trainer._state
    state.early = torch.ones_like(state.flat.vector)
    sizes = torch.cat([trainer.bimt.parameters[name].detach().abs().flatten() for name in nonzero(trainer)])
    limit = sizes.sort(descending=True).values[round(0.3 * len(sizes)) - 1]
    wanted = {name: trainer.bimt.parameters[name].detach().abs() >= limit for name in nonzero(trainer)}
    prune_(state, 0.3)
    for name, kept in wanted.items():
        assert torch.equal(trainer.bimt.parameters[name] != 0, kept)


def test_top_k_falls_on_a_line_and_keeps_the_largest():
    trainer = set_up(small("topk"))
    state, left = trainer._state, shares(trainer.bimt.wiring, 0.2)
    tensors = _tensors(state)
    assert len(tensors) == len(left) == len(trainer.bimt.wiring.connections)
    before = state.flat.vector.detach().clone()
    keep_largest_(state, tensors, 0.5)
    for entries, count in tensors:
        was, own = before[entries], state.flat.vector.detach()[entries]
        k = round((len(own) + count) / 2)
        order = was.abs().sort(descending=True).indices
        wanted = torch.zeros_like(was)
        for i in order[:k].tolist():
            wanted[i] = was[i]
        assert torch.equal(own, wanted)
    weights = state.is_weight()
    assert torch.equal(state.flat.vector.detach()[~weights], before[~weights])


def test_a_weight_that_top_k_zeroed_can_come_back():
    config = small("topk", steps=400, finish=0.0, anneal=0.1, density=0.3, lr=1e-2, checkpoint_every=50)
    _, _, saved = run(config)
    first, last = saved[1].model, saved[-1].model
    assert any(bool(((first[name] == 0) & (last[name] != 0)).any()) for name in first if "W_" in name)


@pytest.mark.parametrize("density", [0.01, 0.05, 0.4, 0.95, 1.0])
def test_shares_follow_inputs_plus_outputs(density):
    wiring = set_up(make("symbolic-b")).bimt.wiring  # 3-20-20-3
    left = shares(wiring, density)
    sizes = {c.parameter: c.numel for c in wiring.connections}
    assert all(1 <= left[name] <= sizes[name] for name in sizes)
    assert sum(left.values()) == pytest.approx(density * wiring.total_weights, abs=2)
    small_ones = {left["layers.0.weight"], left["layers.2.weight"]}
    assert len(small_ones) == 1
    if density == 0.05:
        assert left["layers.1.weight"] / small_ones.pop() == pytest.approx(40 / 23, rel=0.15)


def test_an_older_checkpoint_has_no_early_weights():
    _, _, saved = run(small("topk", steps=7))
    older = {name: value for name, value in saved[0]._asdict().items() if name != "early"}
    assert Checkpoint(**older).early == {}


@pytest.mark.parametrize(
    ("field", "value"), [("density", 0.0), ("density", 1.5), ("rounds", 0), ("rewind", 1.0), ("anneal", 0.0)]
)
def test_shares_out_of_range_are_refused(field, value):
    with pytest.raises(InputError, match=field):
        small("magnitude", **{field: value})


@pytest.mark.parametrize("method", ["magnitude", "topk"])
@pytest.mark.parametrize("finish", [0.0, 0.4, 0.99])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_every_step_is_one_phases(method, finish, steps):
    config = small(method, steps=steps, finish=finish, polish=0.3)
    assert [step for phase in PHASES for step in phase.span(config)] == list(range(steps))
