import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bimt_tf.cli.console.pool_watch import PoolBar, PoolLines
from bimt_tf.config.reading import dump, make
from bimt_tf.errors import InputError
from bimt_tf.pool import processes
from bimt_tf.pool import time_left as timing
from bimt_tf.pool.attempt import log_of
from bimt_tf.pool.job import Job, Outcome, finished
from bimt_tf.pool.pool import PoolInterrupted, run_jobs
from bimt_tf.pool.time_left import Timing, logged_step
from bimt_tf.runs.directory import RunDirectory


def job(path, seed=0, steps=30, **training):
    overrides = {
        "data": {"samples": 100}, "model": {"hidden": [6]},
        "training": {"steps": steps, "compile": "no", "log_every": 10, "checkpoint_every": 10, **training},
    }  # fmt: skip
    return Job(path, make("two-moon", seed=seed, overrides=overrides))


class Watched:
    """Collects what a pool tells, and calls ``at(watched, progress)`` at every tick."""

    def __init__(self, at=lambda watched, progress: None):
        self.at, self.progress, self.retries, self.outcomes = at, [], [], []

    def start(self, jobs, progress):
        self.progress.append(progress)

    def tick(self, progress):
        self.progress.append(progress)
        self.at(self, progress)

    def retry(self, job, error):
        self.retries.append((job, error))

    def ended(self, outcome, seconds, progress):
        self.progress.append(progress)
        self.outcomes.append(outcome)


def process_of(wanted):
    """The running process of a job, or None."""
    return next((p for p in multiprocessing.active_children() if p.name == f"bimt {wanted.path}"), None)


def bytes_of(wanted):
    return (wanted.path / "model.safetensors").read_bytes()


LONG = 8_000  # steps: some seconds


def test_all_runs_end_and_are_not_done_again(tmp_path):
    jobs = [job(tmp_path / "runs" / f"seed{seed}", seed) for seed in range(3)]
    watched = Watched()
    outcomes = run_jobs(jobs, workers=2, draw=False, watcher=watched)
    assert [o.job for o in outcomes] == jobs and all(o.error is None for o in outcomes)
    assert [o.summary["seed"] for o in outcomes] == [0, 1, 2]
    assert not (jobs[0].path / "figures").exists() and not log_of(jobs[0].path).exists()
    last = watched.progress[-1]
    assert (last.runs, last.failed, last.of_runs, last.steps, last.of_steps, last.left) == (3, 0, 3, 90, 90, 0.0)
    assert finished(jobs[0]) == outcomes[0].summary
    times = [(j.path / "summary.json").stat().st_mtime_ns for j in jobs]
    again = Watched()
    assert run_jobs(jobs, watcher=again) == outcomes
    assert times == [(j.path / "summary.json").stat().st_mtime_ns for j in jobs]
    assert again.outcomes == [] and again.progress[0].runs == 3


def test_a_killed_run_is_tried_again_and_the_others_go_on(tmp_path):
    long, other = (job(tmp_path / name, steps=LONG, log_every=100, checkpoint_every=500) for name in ("long", "other"))

    def kill_once(watched, progress):
        process = process_of(long)
        if not watched.retries and process and logged_step(long.path) > 1000:
            os.kill(process.pid, signal.SIGKILL)

    watched = Watched(kill_once)
    outcomes = run_jobs([long, other], workers=2, watcher=watched)
    assert [o.error for o in outcomes] == [None, None]
    assert [(j, "SIGKILL" in text) for j, text in watched.retries] == [(long, True)]
    assert bytes_of(long) == bytes_of(other)  # it went on from its checkpoint to the same weights
    assert (long.path / "figures").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there a server starts the runs")
def test_a_run_whose_server_was_killed_is_ended_and_tried_again(tmp_path):
    from multiprocessing.forkserver import _forkserver

    long = job(tmp_path / "long", steps=LONG, log_every=100, checkpoint_every=LONG)

    def kill_the_server_once(watched, progress):
        if not watched.retries and logged_step(long.path) > 500:
            os.kill(_forkserver._forkserver_pid, signal.SIGKILL)

    def saved():
        return [int(path.stem[5:]) for path in (long.path / "checkpoints").glob("step_*.pt")]

    at_retry = []

    class Retried(Watched):
        def retry(self, job, error):
            super().retry(job, error)
            wait_for(saved)  # the first try, which goes on without its server, is told to end
            at_retry.extend(saved())

    watched = Retried(kill_the_server_once)
    (outcome,) = run_jobs([long], draw=False, watcher=watched)
    assert outcome.error is None and [j for j, _ in watched.retries] == [long]
    assert at_retry[0] < LONG


def test_runs_that_cannot_end_are_skipped_with_a_line(tmp_path):
    always_killed = job(tmp_path / "killed", steps=LONG)
    not_finite = job(tmp_path / "nan", steps=200, lr=1e38)
    impossible = job(tmp_path / "device", device="cuda:77")
    good = job(tmp_path / "good")

    def kill(watched, progress):
        if process := process_of(always_killed):
            os.kill(process.pid, signal.SIGKILL)

    watched = Watched(kill)
    killed, nan, device, fine = run_jobs([always_killed, not_finite, impossible, good], workers=2, watcher=watched)
    assert killed.summary is None and "signal 9 (SIGKILL)" in killed.error and "tried twice" in killed.error
    assert "training loss" in nan.error and "at step" in nan.error
    assert "'cuda:77' is not available" in device.error
    assert fine.summary is not None and fine.error is None
    assert [j for j, _ in watched.retries] == [always_killed]  # what would fail again is not tried again
    assert all("\n" not in o.error for o in (killed, nan, device))
    assert watched.progress[-1].failed == 3


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_same_call_goes_on(signum, tmp_path):
    jobs = [job(tmp_path / "first")] + [
        job(tmp_path / f"seed{seed}", seed, LONG, log_every=100, checkpoint_every=LONG) for seed in (1, 2)
    ]

    def interrupt(watched, progress):
        if watched.outcomes and logged_step(jobs[1].path) > 500:
            os.kill(os.getpid(), signum)

    with pytest.raises(PoolInterrupted, match="1 of 3 runs done; the same command goes on") as caught:
        run_jobs(jobs, workers=2, draw=False, watcher=Watched(interrupt))
    assert caught.value.signum == signum and multiprocessing.active_children() == []
    reached = [int(path.stem[5:]) for path in jobs[1].path.glob("checkpoints/step_*.pt")]
    assert len(reached) == 1 and 500 <= reached[0] < LONG  # written because of the signal
    before = (jobs[0].path / "summary.json").stat().st_mtime_ns
    watched = Watched()
    outcomes = run_jobs(jobs, workers=2, draw=False, watcher=watched)
    assert [o.error for o in outcomes] == [None] * 3
    assert (jobs[0].path / "summary.json").stat().st_mtime_ns == before
    assert watched.progress[0].steps >= 30 + reached[0] - 100  # but for what it had not logged


def test_runs_do_not_outlive_a_killed_pool(tmp_path):
    orphan = job(tmp_path / "orphan", steps=10_000_000, log_every=1000, checkpoint_every=10_000_000)
    (tmp_path / "config.yaml").write_text(dump(orphan.config))
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from bimt_tf.pool.job import Job\nfrom bimt_tf.pool.pool import run_jobs\n"
        "from bimt_tf.config.reading import load\n"
        "if __name__ == '__main__':\n"
        "    run_jobs([Job(Path(sys.argv[2]), load(Path(sys.argv[1])))])\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "config.yaml"), str(orphan.path)]
    pool = subprocess.Popen(words)
    wait_for(lambda: logged_step(orphan.path) > 0)
    pool.kill()
    pool.wait()
    wait_for(lambda: list(orphan.path.glob("checkpoints/step_*.pt")))  # it saves itself
    wait_for(lambda: free(orphan.path))


def wait_for(condition, limit=60):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < limit, "waited too long"
        time.sleep(0.05)


def free(path):
    try:
        with RunDirectory(path).lock():
            return True
    except InputError:
        return False


def test_a_run_killed_before_its_config_starts_afresh(tmp_path):
    wanted = job(tmp_path / "run")
    wanted.path.mkdir()
    (wanted.path / ".lock").touch()
    (wanted.path / ".config.yaml.tmp").write_text("task: two-")
    (outcome,) = run_jobs([wanted], draw=False)
    assert outcome.error is None and finished(wanted)


@pytest.mark.parametrize("always", [False, True])
def test_a_process_that_cannot_be_started(always, tmp_path, monkeypatch):
    """A server of processes that was killed refuses while it is dying; the next one is waited for, within reason."""
    start, failures = multiprocessing.process.BaseProcess.start, [ConnectionRefusedError("refused"), EOFError("end")]

    def failing(process):
        if always or failures:
            raise failures[0] if always else failures.pop()
        start(process)

    monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", failing)
    monkeypatch.setattr(processes, "POLL", 0.01)
    monkeypatch.setattr(processes, "SERVERLESS", 0.05)
    watched = Watched()
    (outcome,) = run_jobs([job(tmp_path / "run")], draw=False, watcher=watched)
    if always:
        assert outcome.error == "no process could be started: ConnectionRefusedError refused; tried twice"
    else:
        assert outcome.error is None and watched.retries == []


def test_a_log_that_cannot_be_written_fails_the_run_with_a_line(tmp_path):
    wanted = job(tmp_path / ("n" * 253))  # a name for a directory, but too long with .log behind it
    (outcome,) = run_jobs([wanted], draw=False)
    assert outcome.error == f"cannot write to {log_of(wanted.path)}: File name too long"
    assert not wanted.path.exists()


def test_directories_that_cannot_be_used_are_named_before_anything_runs(tmp_path):
    good, wanted = job(tmp_path / "good"), job(tmp_path / "wanted")
    wanted.path.mkdir()
    (wanted.path / "notes.txt").touch()
    with pytest.raises(InputError, match="it holds 'notes.txt' and no config.yaml"):
        run_jobs([good, wanted])
    (wanted.path / "config.yaml").write_text(dump(job(wanted.path, steps=31).config))
    with pytest.raises(InputError, match="another config: training.steps is 31 there, 30 here"):
        run_jobs([good, wanted])
    (wanted.path / "config.yaml").write_text("task: [")
    with pytest.raises(InputError, match="not YAML"):
        run_jobs([good, wanted])
    (wanted.path / "config.yaml").write_text(dump(wanted.config))
    (wanted.path / "summary.json").mkdir()
    with pytest.raises(InputError, match="cannot read .*summary.json: Is a directory"):
        run_jobs([good, wanted])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file"):
        run_jobs([good, job(tmp_path / "file")])
    with pytest.raises(InputError, match="two runs are to be made in one directory"):
        run_jobs([good, good])
    with pytest.raises(InputError, match="did you mean 'processes'"):
        run_jobs([good], backend="process")
    with pytest.raises(InputError, match="workers"):
        run_jobs([good], workers=-1)
    assert not good.path.exists()


def test_time_left_comes_from_each_tasks_own_steps(tmp_path, monkeypatch):
    clock = iter([0.0, 10.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr(timing.time, "monotonic", lambda: next(clock))
    slow, same, other = tmp_path / "slow", tmp_path / "same", tmp_path / "other"
    configs = [
        job(slow, steps=100).config,
        job(same, steps=50).config,
        make("digits", overrides={"training": {"steps": 7}}),
    ]
    pool = Timing(list(zip((slow, same, other), configs, strict=True)), [slow, same, other])
    pool.slots = 2
    pool.begin(slow)
    slow.mkdir()
    (slow / "metrics.jsonl").write_text('{"step": 10}\n{"step": 20}\n{"ste')
    progress = pool.progress()
    assert progress.steps == 20 and progress.of_steps == 157
    assert progress.left == pytest.approx(80 * 0.5)  # half a second a step; the longest run is on one slot
    pool.slots = 1
    assert pool.progress().left == pytest.approx((80 + 50 + 7) * 0.5)  # a task not met yet is as slow as the others
    assert pool.end(slow, failed=False) == 10.0
    assert pool.progress().left == pytest.approx((50 + 7) * 0.1)


def test_what_a_pool_shows(tmp_path, capsys):
    from rich.console import Console

    summary = {"test_loss": 1.5e-3, "test_accuracy": 0.98, "active_weights": 1234}
    moon = job(tmp_path / "moon", 3)
    for kind in (PoolLines, PoolBar):
        shown = kind(Console(width=200, force_terminal=False))
        start = timing.Progress(1, 0, 3, 30, 90, None)
        shown.start([moon] * 3, start)
        shown.tick(start)
        shown.retry(moon, "the process ended with signal 9 (SIGKILL)")
        shown.ended(Outcome(moon, summary, None), 61.2, timing.Progress(2, 0, 3, 60, 90, 3725.0))
        shown.ended(Outcome(moon, None, "the loss is nan"), 1.0, timing.Progress(2, 1, 3, 60, 90, 0.0))
        if kind is PoolBar:
            shown.progress.stop()
        out = capsys.readouterr().out
        assert "3 runs, 1 of them done already" in out and "moon died and is tried again" in out
        assert "2/3   67% of the steps  about 1 h 2 min left  two-moon bimt seed 3 (moon): loss 1.50e-03" in out
        assert "accuracy 98.0%, 1,234 weights, 61 s" in out and "FAILED: the loss is nan" in out


def test_metrics_of_a_run_that_has_not_logged(tmp_path):
    assert logged_step(tmp_path) == 0
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 5})[:-1])
    assert logged_step(Path(tmp_path)) == 0


SERVER = """
import sys, threading
from bimt_tf.pool.processes import COMPILER, PRELOADED
for name in PRELOADED + COMPILER:
    __import__(name)
import torch._inductor.config
from multiprocessing import active_children
print(torch._inductor.config.compile_threads, threading.active_count(), len(active_children()))
print("torch._inductor.compile_fx" in sys.modules, "matplotlib.backends.backend_pdf" in sys.modules)
"""


def test_what_the_server_loads_leaves_it_without_threads_and_processes():
    """A fork takes no thread along: a compiler's pool in the server would hang every run that compiles."""
    own = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_COMPILE_THREADS"}
    said = subprocess.run([sys.executable, "-c", SERVER], env=own, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["1 1 0", "True True"]
