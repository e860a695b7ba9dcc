"""Progress on terminals of several widths and in a log file: percentage and time left are whole on each."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console

from bimt_tf.cli.console import pool_watch, run_watch
from bimt_tf.cli.console.columns import spelled_time
from bimt_tf.config.reading import make
from bimt_tf.pool.job import Job, Outcome
from bimt_tf.pool.time_left import Progress
from bimt_tf.runs.progress import ProgressBar
from bimt_tf.training.phases import phase_at

CONFIG = make("two-moon", overrides={"training": {"steps": 20_000, "finish": 0.2}})
RECORD = SimpleNamespace(step=8_600, loss=1e-3, test_loss=2e-3, cost=12.3, lam=0.001, lr=0.01, active=123_456)
WIDTHS = (60, 80, 200)


def terminal(width):
    return Console(width=width, force_terminal=True, file=io.StringIO(), color_system=None)


def shown(bar):
    """The progress line as it stands now."""
    console = Console(width=bar.console.width, file=io.StringIO())
    console.print(bar.progress.get_renderable())
    bar.progress.stop()
    (line,) = console.file.getvalue().splitlines()
    return line


@pytest.fixture
def clock(monkeypatch):
    """A clock of the test's own for bars and lines: ``clock.now`` is the second."""
    hands = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr(run_watch.time, "monotonic", lambda: hands.now)
    return hands


@pytest.mark.parametrize("width", WIDTHS)
def test_a_runs_bar_keeps_percentage_and_time_left(width, clock):
    bar = run_watch.Bar(terminal(width))
    bar.start(CONFIG, 0, "a note")
    bar.progress.tasks[0].get_time = bar.progress.get_time = lambda: clock.now
    for step in range(0, 8_601, 100):
        clock.now += 3.0
        bar.tick(step)
    bar.record(RECORD)
    line = shown(bar)
    assert " 43% " in line and "━" in line and len(line) <= width
    assert re.search(r" about \d+ min left ", line)  # 11,400 steps of 30 ms each
    assert ("λ 0.001" in line) == (width == 200)  # figures make room
    assert width == 60 or " pressed  test 2.00e-03" in line
    assert ("8,600/20,000" in line) == (width == 200)
    assert not line.rstrip().endswith("…")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("left", "spelled"), [(None, "time left unknown"), (359_940.0, "about 4 d 3 h left")])
def test_a_pools_bar_keeps_percentage_and_time_left(width, left, spelled):
    bar = pool_watch.PoolBar(terminal(width))
    bar.start([], Progress(1, 0, 9_999, 30, 1_000_000, None))
    bar.tick(Progress(1_234, 321, 9_999, 999_999, 1_000_000, left))
    line = shown(bar)
    assert "100% " in line and f" {spelled} " in line and len(line) <= width
    assert ("321 failed" in line) == (width > 60) or "9,999" not in line


@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal_while_a_bar_is_open(width):
    console = terminal(width)
    bar = run_watch.Bar(console)
    bar.start(CONFIG, 0, "a note")
    bar.record(RECORD)
    bar.tick(8_600)
    bar.stage("measuring")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", console.file.getvalue())
    assert max(map(len, re.split(r"[\r\n]+", plain))) <= width
    assert "100%" in plain and plain.splitlines()[-1] == "measuring ..."


def test_a_run_in_a_log_file_says_percentage_and_time_left(clock):
    lines = run_watch.Lines(Console(file=io.StringIO(), width=80))
    lines.start(CONFIG, 2_000, "goes on")
    for step in [*range(2_010, 20_000, 30), 20_000]:  # no multiples of a twentieth
        clock.now += 3.0
        lines.record(SimpleNamespace(**{**vars(RECORD), "step": step}))
    lines.stage("measuring")
    first, *said, last = lines.console.file.getvalue().splitlines()
    assert first.endswith("goes on") and last == "measuring ..."
    assert 15 <= len(said) <= 21 and all(
        re.match(r" *\d+%  about [\d a-z]+ left  step \d+/20000  (pressed|finish)  test ", s) for s in said
    )
    assert "finish" in said[-1] and "pressed" in said[0]
    half = next(s for s in said if " 50% " in f" {s}" or "step 10" in s)
    assert "about 16 min left" in half or "about 17 min left" in half  # 0.1 s a step
    assert said[-1].startswith("100%  about 0 s left  step 20000/")


def test_a_pool_in_a_log_file_says_percentage_and_time_left_between_the_ends_of_runs(tmp_path):
    lines = pool_watch.PoolLines(Console(file=io.StringIO(), width=80))
    job = Job(tmp_path / "a-run-with-a-long-name-that-does-not-fit-into-eighty-columns", CONFIG)
    lines.start([job, job], Progress(0, 0, 2, 0, 1_000, None))
    for step in range(0, 500):
        lines.tick(Progress(0, 0, 2, step, 1_000, 1_000.0 - step))
    summary = {"test_loss": 1.5e-3, "active_weights": 1234}
    lines.ended(Outcome(job, summary, None), 61.2, Progress(1, 0, 2, 500, 1_000, 500.0))
    first, *said, last = lines.console.file.getvalue().splitlines()
    assert first == "2 runs" and len(said) == 9  # at 5%, 10%, ...
    assert said[3] == " 20% of the steps  about 13 min left  0/2 runs"
    assert last.startswith("1/2   50% of the steps  about 8 min left  two-moon bimt seed 0 (a-run-with")
    assert last.endswith("loss 1.50e-03, 1,234 weights, 61 s")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "time left unknown"),
        (0.0, "about 0 s left"),
        (59.4, "about 59 s left"),
        (59.6, "about 1 min left"),
        (3_725.0, "about 1 h 2 min left"),
        (100_000.0, "about 1 d 3 h left"),
    ],
)
def test_times_are_spelled_in_their_two_largest_units(seconds, words):
    assert spelled_time(seconds) == words


def test_an_output_that_is_no_terminal_gets_lines(capsys):
    with run_watch.watcher() as run, pool_watch.pool_watcher() as pool:
        assert isinstance(run, run_watch.Lines) and type(pool) is pool_watch.PoolLines


def test_an_elimination_shows_what_is_left_and_the_time_it_took():
    row = {"round": 3, "weights": 1234, "test_loss": 1e-6, "loss": 5e-7, "modularity_shared": 0.5, "seconds": 7.2}
    for kind in (run_watch.Lines, run_watch.Bar):
        console = terminal(200)
        watcher = kind(console)
        watcher.eliminating("up to a training loss of 1e-06")
        watcher.round(row)
        if kind is run_watch.Bar:
            watcher.progress.stop()
        said = console.file.getvalue()
        assert "eliminating, up to a training loss of 1e-06" in said and "1,234 weights" in said and "left" not in said


def test_each_phase_has_its_name():
    config = make("two-moon", overrides={"training": {"steps": 100, "finish": 0.2, "polish": 0.1}})
    names = [phase_at(config, step) for step in range(100)]
    assert names == ["pressed"] * 72 + ["finish"] * 18 + ["polish"] * 10 and phase_at(config, 100) == "polish"


def test_the_bar_of_the_library_says_phase_loss_weights_and_what_follows():
    bar = ProgressBar(False)
    with bar:
        bar.stage("preparing")
        bar.start(CONFIG, 0, "")
        said = []
        for step in (8_600, 19_000):
            bar.record(SimpleNamespace(**{**vars(RECORD), "step": step}))
            said.append(bar._bar.tasks[-1].description)
        bar.eliminating("up to a loss")
        bar.round({"weights": 1_234, "loss": 1e-6})
        bar.stage("measuring")
    assert [one.split(":")[0] for one in said] == ["pressed", "finish"] and "123,456 weights" in said[0]
    assert [task.description for task in bar._bar.tasks][1:] == [
        "eliminating: 1,234 weights, loss 1.00e-06",
        "measuring",
    ]
    assert all(task.finished for task in bar._bar.tasks)
