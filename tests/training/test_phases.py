"""The phases share a run among them, and another one is a value like them."""

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.training import trainer as trainer_module
from bimt_tf.training.phases import PHASES, milestones
from bimt_tf.training.setup import set_up


@pytest.mark.parametrize("polish", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("finish", [0.0, 0.4, 0.99])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_every_step_is_one_phases(steps, finish, polish):
    config = make("symbolic-a", overrides={"training": {"steps": steps, "finish": finish, "polish": polish}})
    taken = [step for phase in PHASES for step in phase.span(config)]
    assert taken == list(range(steps))
    assert steps in milestones(config)


def test_a_run_without_a_step_of_adam_ends():
    trainer = set_up(make("symbolic-a", overrides={"training": {"steps": 3, "polish": 0.99}}))
    saved = []
    assert trainer.run(on_checkpoint=saved.append) and [c.step for c in saved] == [3]


class Halving:
    """A phase for this test: the last ten steps halve the first bias."""

    resumable = False

    def __init__(self):
        self.entered = []

    def span(self, config):
        return range(config.training.steps - 10, config.training.steps)

    def enter(self, state):
        self.entered.append(state.step)

    def run(self, state, after):
        for _ in self.span(state.config):
            with torch.no_grad():
                state.model.layers[0].bias.mul_(0.5)
            if after(1.0):
                return False
        return True


def test_another_phase_goes_behind_the_others(monkeypatch):
    """The loop, its records, checkpoints and stops need to know nothing of it."""
    import bimt_tf.training.phases as phases

    config = make("symbolic-a", overrides={"training": {"steps": 30, "log_every": 4, "checkpoint_every": 5}})
    first = [_Shortened(phase) for phase in PHASES]
    added = Halving()
    for module in (phases, trainer_module):
        monkeypatch.setattr(module, "PHASES", (*first, added))
    trainer, records, saved = set_up(config), [], []
    assert trainer.run(on_record=records.append, on_checkpoint=saved.append)
    assert added.entered == [20] and [c.step for c in saved] == [5, 10, 15, 20, 30]
    assert [r.step for r in records] == [4, 8, 12, 16, 20, 24, 28, 30] and records[-1].loss == 1.0
    torch.testing.assert_close(
        saved[-1].model["layers.0.bias"], saved[-2].model["layers.0.bias"] * 0.5**10, rtol=1e-5, atol=0
    )
    stopped = set_up(config)
    assert not stopped.run(stop=lambda: stopped.step == 25) and stopped.step == 20


class _Shortened:
    """A phase whose steps end at 20."""

    def __init__(self, phase):
        self.resumable, self.enter, self.run, self._phase = phase.resumable, phase.enter, phase.run, phase

    def span(self, config):
        import dataclasses

        return self._phase.span(
            dataclasses.replace(config, training=dataclasses.replace(config.training, steps=20, polish=0.0))
        )
