"""A sweep that is killed by kill -9 resumes to the same table (benchmarks/kill_sweep.py does it at many instants)."""

from __future__ import annotations

import random
import sys
import time

import pytest

from benchmarks import kill_sweep
from bimt_tf.cli.main import main
from bimt_tf.pool.time_left import logged_step

STEPS, RUNS = 1_000, 4


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it finds processes in /proc")
def test_a_sweep_killed_three_times_resumes_to_the_same_table(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads that wait for each other are slow on busy cores
    whole, out = tmp_path / "whole", tmp_path / "killed"
    with pytest.raises(SystemExit) as ended:
        main([*kill_sweep.words(STEPS), "--out", str(whole)])
    assert ended.value.code == 0
    rng = random.Random(0)
    for number, kind in enumerate(("parent", "both", "child")):
        sweep = kill_sweep.start(out, STEPS)
        share = (number + rng.random()) / 3.5
        while sweep.poll() is None and sum(map(logged_step, out.glob("runs/*/"))) < share * STEPS * RUNS:
            time.sleep(0.01)
        assert kill_sweep.kill(sweep, kind, rng) >= 1
    assert kill_sweep.finish(sweep, out) == ""
    assert len(kill_sweep.table(whole)) == RUNS
    assert kill_sweep.differing(kill_sweep.table(out), kill_sweep.table(whole)) == ""


def test_differing_tables_are_seen():
    row = {"run": "a", "test_loss": "1.0"}
    assert kill_sweep.differing([row], [row]) == ""
    assert kill_sweep.differing([{**row, "test_loss": "2.0"}], [row]) == "test_loss of a is '2.0' instead of '1.0'"
    assert kill_sweep.differing([{"run": "a"}], [row]) == "test_loss of a is None instead of '1.0'"
    assert kill_sweep.differing([], [row]) == "0 rows instead of 1"
