"""Tables 1 and 2 from summaries: figures, comparison_table, and what the paper's rows say."""

from __future__ import annotations

import csv
import io

import pytest

from bimt_tf.config.methods import METHODS
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.paper.comparison import compare_row, comparison_table, mean_and_spread
from bimt_tf.paper.exhibit import EndedRuns, RunKey
from bimt_tf.paper.plan import plan
from bimt_tf.paper.table1 import table_1
from bimt_tf.paper.table2 import table_2
from bimt_tf.paper.tables_of_the_paper import ROWS, row
from bimt_tf.paper.writing import TextTable
from bimt_tf.pool.job import Outcome
from bimt_tf.tasks.registry import TASKS


def ended(name, rows, methods, found):
    """Runs of two seeds that have ended with these summaries, by row and method."""
    runs = {
        RunKey(row, method, seed): Outcome(None, summary, None)
        for (row, method), summaries in found.items()
        for seed, summary in enumerate(summaries)
    }
    return EndedRuns(plan(name, rows, methods, [0, 1]), runs, len(plan(name, rows, methods, [0, 1]).keys))


COUNTED = [each for each in ROWS if each.counted]


def runs(**values):
    """Summaries of two seeds; each value is a pair."""
    usual = {
        "modularity_shared": (0.5, 0.6), "active_weights": (10, 20), "total_weights": (500, 500),
        "wiring_length": (0.1, 0.3), "seconds": (7.0, 9.0),
    }  # fmt: skip
    return [{name: pair[seed] for name, pair in {**usual, **values}.items()} for seed in (0, 1)]


def test_the_papers_rows_are_eight_tasks_with_configs_of_their_own():
    assert len(COUNTED) == 8
    for each in ROWS:
        assert each.task in TASKS
        assert set(each.paper) == set(each.paper_q) == {"vanilla", "l1", "bimt"} <= set(METHODS)
        make(each.task, each.preset, overrides=each.overrides)
    with pytest.raises(InputError, match="did you mean 'symbolic-a'"):
        row("symbolic-aa")


def test_formulas_are_compared_at_the_papers_sizes():
    for name in ("symbolic-a", "symbolic-b", "symbolic-c"):
        data = make(name, overrides=row(name).overrides).data
        assert (data.samples, data.train_share) == (200, 0.5)
        circuit = make(name, row(f"{name}-circuit").preset)
        assert circuit.training.eliminate and not row(f"{name}-circuit").counted and row(name).counted


def test_mean_and_spread():
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))
    assert mean_and_spread([1.0]) == (1.0, None)


def test_a_table_sets_the_papers_beside_ours():
    found = {("symbolic-a", "bimt"): runs(test_loss=(1e-3, 3e-3)), ("symbolic-a", "l1-swap"): runs(test_loss=(1, 1))}
    made = table_1(ended("table1", ["symbolic-a"], ["vanilla", "l1-swap", "bimt"], found))
    columns = ["task", "vanilla, paper", "vanilla, ours", "l1-swap, ours", "bimt, paper", "bimt, ours"]
    costs = ["active weights, bimt", "mean wiring length, bimt", "seconds, bimt"]
    assert made.header == [*columns, "bimt + elimination, ours", *costs]
    (line,) = made.rows
    assert line[1:6] == ["5.2e-03 ± 1.0e-03", "–", "1.0e+00 ± 0.0e+00", "7.4e-03 ± 1.0e-03", "2.0e-03 ± 1.4e-03"]
    assert line[6:] == ["–", "15 ± 7", "0.200 ± 0.141", "8 ± 1"]
    assert list(csv.reader(io.StringIO(made.csv()))) == [made.header, line]
    assert made.markdown().splitlines()[2] == f"| {' | '.join(line)} |"
    assert TextTable(["|r|"], [["a|b"]]).markdown().splitlines() == [r"| \|r\| |", "| --- |", r"| a\|b |"]
    q = table_2(ended("table2", ["symbolic-a"], ["bimt"], found))
    assert q.rows[0][1:4] == ["0.581 ± 0.042", "0.550 ± 0.071", "–"]


def test_a_table_shows_networks_before_and_after_their_elimination():
    before = {"trained": ({"test_loss": 2e-3, "active_weights": 30, "modularity_shared": 0.4},) * 2}
    made = runs(test_loss=(1e-4, 1e-4), elimination=({"seconds": 3.0},) * 2, **before)
    found = {("symbolic-a", "bimt"): made, ("symbolic-b", "bimt"): made[:1]}
    one, other = table_1(ended("table1", ["symbolic-a", "symbolic-b"], ["bimt"], found)).rows
    assert one[2:] == ["2.0e-03 ± 0.0e+00", "1.0e-04 ± 0.0e+00", "30 ± 0 → 15 ± 7", "0.200 ± 0.141 → 0.200 ± 0.141",
                       "8 ± 1 + 3 ± 0"]  # fmt: skip
    assert other[3] == "1.0e-04 (1 of 2 seeds)"
    assert table_2(ended("table2", ["symbolic-a"], ["bimt"], found)).rows[0][2:4] == ["0.400 ± 0.000", "0.550 ± 0.071"]


def test_accuracies_are_given_held_out_and_in_training():
    found = {("s4", "bimt"): runs(test_accuracy=(0.9, 1.0), train_accuracy=(1.0, 1.0))}
    made = table_1(ended("table1", ["s4"], ["bimt"], found))
    assert made.rows[0][1:3] == ["100.00 %", "95.00 ± 7.07 % / 100.00 ± 0.00 %"]


@pytest.mark.parametrize(
    ("losses", "q", "expected"),
    [
        ((5e-3, 5e-3), (0.6, 0.6), (True, True, True)),
        ((7e-3, 7e-3), (0.6, 0.6), (True, True, False)),  # worse than the paper's vanilla
        ((5e-3, 5e-3), (0.5, 0.6), (True, False, False)),
        ((8e-3, 8e-3), (0.7, 0.7), (False, True, False)),
    ],
)
def test_verdicts_on_losses(losses, q, expected):
    found = compare_row(row("symbolic-a"), runs(test_loss=losses, modularity_shared=q))
    assert (found.as_good, found.as_modular, found.beats_vanilla) == expected
    assert found.holds is (expected[0] and expected[1])


def test_accuracies_are_compared_to_the_digits_that_the_paper_prints():
    nearly = compare_row(row("two-moon"), runs(test_accuracy=(0.996, 0.998), train_accuracy=(1, 1)))
    below = compare_row(row("two-moon"), runs(test_accuracy=(0.99, 0.99), train_accuracy=(1, 1)))
    assert nearly.as_good and not below.as_good
    digits = [
        compare_row(row("digits"), runs(test_accuracy=(a, a), train_accuracy=(1, 1))).as_good for a in (0.981, 0.982)
    ]
    assert digits == [False, True]
    s4 = compare_row(row("s4"), runs(test_accuracy=(0, 0), train_accuracy=(1, 1)))
    assert not s4.as_good and comparison_table([s4]).rows[0][2] == "0.00 ± 0.00 %"
