"""The pool on a Ray cluster of this machine; skipped where Ray is not installed."""

import os
import signal

import pytest

from bimt_tf.config.reading import make
from bimt_tf.pool.job import Job, finished
from bimt_tf.pool.pool import PoolInterrupted, run_jobs
from bimt_tf.pool.time_left import logged_step

pytest.importorskip("ray")


def test_a_pool_on_ray_ends_fails_and_stops_as_on_processes(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.chdir(tmp_path)  # a task's working directory is another one
    small = {"data": {"samples": 100}, "model": {"hidden": [6]}}
    training = {"steps": 30, "compile": "no", "log_every": 10}

    def job(name, **more):
        return Job(
            tmp_path.relative_to(tmp_path) / name,
            make("two-moon", overrides={**small, "training": {**training, **more}}),
        )

    endless = job("endless", steps=10_000_000, log_every=100, checkpoint_every=10_000_000)
    good, bad = job("good"), job("bad", lr=1e38)
    outcomes = []

    class Interrupting:
        def start(self, jobs, progress): ...

        def retry(self, job, error):
            raise AssertionError(error)

        def ended(self, outcome, seconds, progress):
            outcomes.append(outcome)

        def tick(self, progress):
            if len(outcomes) == 2 and logged_step(endless.path) > 0:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(PoolInterrupted, match="1 of 3 runs done") as stopped:
        run_jobs([endless, good, bad], workers=2, backend="ray", draw=False, watcher=Interrupting())
    assert stopped.value.signum == signal.SIGTERM
    ended = {outcome.job.path.name: outcome for outcome in outcomes}
    assert ended["good"].summary == finished(good) and ended["good"].error is None
    assert ended["bad"].summary is None and "training loss" in ended["bad"].error
    assert list(endless.path.glob("checkpoints/step_*.pt")) and finished(endless) is None  # it saved itself
