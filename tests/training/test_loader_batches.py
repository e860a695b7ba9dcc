"""Batches of a DataLoader: as it gives them, endlessly, and gone on with where they were."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from bimt_tf.errors import InputError
from bimt_tf.training.loader_batches import LoaderBatches, pair

CPU = torch.device("cpu")
DATA = TensorDataset(torch.arange(10.0)[:, None], 10 * torch.arange(10.0))


def loader(**given):
    return DataLoader(DATA, batch_size=4, **given)


def test_batches_come_as_the_loader_gives_them_epoch_after_epoch():
    batches = LoaderBatches(loader(), CPU, seed=0)
    assert batches.specimen()[1].tolist() == [0, 10, 20, 30]
    drawn = [batches.draw() for _ in range(6)]
    assert [targets.tolist() for _, targets in drawn[:3]] == [[0, 10, 20, 30], [40, 50, 60, 70], [80, 90]]
    assert [targets.tolist() for _, targets in drawn[3:]] == [targets.tolist() for _, targets in drawn[:3]]
    assert all(torch.equal(10 * inputs[:, 0], targets) for inputs, targets in drawn)


@pytest.mark.parametrize("own", [True, False])
def test_a_shuffled_stream_goes_on_where_it_was(own):
    def fresh():
        generator = torch.Generator().manual_seed(5) if own else None
        return LoaderBatches(loader(shuffle=True, generator=generator), CPU, seed=2)

    for taken in range(8):
        batches = fresh()
        for _ in range(taken):
            batches.draw()
        state = batches.state()
        wanted = [batches.draw()[1].tolist() for _ in range(5)]
        again = fresh()
        again.restore(state)
        assert [again.draw()[1].tolist() for _ in range(5)] == wanted
    epoch = an_epoch(fresh())
    assert sorted(epoch) == DATA.tensors[1].tolist() != epoch


def an_epoch(batches):
    return [value for _ in range(3) for value in batches.draw()[1].tolist()]


def test_epochs_are_shuffled_apart_by_the_seed_and_the_global_generator_stays():
    before = torch.get_rng_state()
    batches, other = (LoaderBatches(loader(shuffle=True), CPU, seed) for seed in (0, 100))
    first, second, else_ = an_epoch(batches), an_epoch(batches), an_epoch(other)
    assert first != second and first != else_ and sorted(first) == sorted(second)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(("batch", "says"), [
    (torch.ones(3), "found a Tensor"), ((torch.ones(3),), "found a tuple of 1"), ({"x": 1}, "found a dict of 1"),
    ((torch.ones(3), torch.ones(2)), "same number of examples"), ((torch.ones(0), torch.ones(0)), "at least one"),
    ((torch.ones(()), torch.ones(())), "shapes"), ((torch.ones(2), [1, 2]), "two tensors"),
])  # fmt: skip
def test_what_is_no_batch_is_named(batch, says):
    with pytest.raises(InputError, match=says):
        pair(batch, CPU)


def test_an_empty_loader_is_refused():
    with pytest.raises(InputError, match="gives no batch"):
        LoaderBatches(DataLoader(DATA, batch_size=20, drop_last=True), CPU, seed=0)
