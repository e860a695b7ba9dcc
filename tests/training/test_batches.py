"""Batches: what is drawn, and that a stream goes on where it was."""

import torch

from bimt_tf.tasks.base import Data
from bimt_tf.training.batches import Drawn

EXAMPLES = Data(torch.arange(5.0)[:, None], 10 * torch.arange(5.0), {})


def test_a_batch_holds_inputs_with_their_own_targets():
    inputs, targets = Drawn(EXAMPLES, 64, seed=0).draw()
    assert inputs.shape == (64, 1) and torch.equal(10 * inputs[:, 0], targets)
    assert set(targets.tolist()) == set(EXAMPLES.targets.tolist())  # more are drawn than there are: with replacement


def test_without_a_size_all_examples_are_a_batch():
    inputs, targets = Drawn(EXAMPLES, 0, seed=0).draw()
    assert torch.equal(inputs, EXAMPLES.inputs) and torch.equal(targets, EXAMPLES.targets)


def test_a_stream_goes_on_where_it_was_and_depends_on_the_seed():
    batches = Drawn(EXAMPLES, 8, seed=3)
    batches.draw()
    state = batches.state()
    wanted = batches.draw()[1]
    batches.specimen()  # takes nothing from the stream
    again = Drawn(EXAMPLES, 8, seed=0)
    other = again.draw()[1]
    again.restore(state)
    assert torch.equal(again.draw()[1], wanted)
    assert not torch.equal(other, Drawn(EXAMPLES, 8, seed=3).draw()[1])


def test_a_specimen_has_the_size_of_a_batch():
    assert len(Drawn(EXAMPLES, 8, seed=0).specimen()[0]) == 8
    assert len(Drawn(EXAMPLES, 0, seed=0).specimen()[0]) == 5
