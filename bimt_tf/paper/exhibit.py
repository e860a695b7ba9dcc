"""What every table and figure of the paper is made of here: one shape, so that another one is a file and a line.

An exhibit names the rows, methods and seeds whose runs it needs, and makes its files from the runs that have ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bimt_tf.paper.tables_of_the_paper import Row
from bimt_tf.pool.job import Job, Outcome

if TYPE_CHECKING:
    from bimt_tf.runs.finished_run import FinishedRun

__all__ = ["ELIMINATED", "PRODUCTS", "QUICK", "SEEDS", "EndedRuns", "Exhibit", "Made", "Plan", "RunKey"]

SEEDS = (0, 1, 2, 3, 4)
QUICK = 20  # a quick run has this fraction of the steps
ELIMINATED = "bimt"
"""The method whose runs are eliminated where its preset says so; tables show them before and after it."""
PRODUCTS = Row("products", "products", "products", "loss", {}, {}, counted=False)
"""Figure 2's task, which is in no table."""


class RunKey(NamedTuple):
    """Which run: the name of its row, its method and its seed, and its setting where an exhibit has several."""

    row: str
    method: str
    seed: int
    setting: str = ""


class Plan(NamedTuple):
    """What is made: an exhibit of some rows, methods and seeds. ``quick`` runs have a twentieth of the steps.

    ``eliminate``: whether networks are eliminated, in an exhibit that shows them before and after it.
    """

    exhibit: Exhibit
    rows: tuple[Row, ...]
    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    quick: bool
    eliminate: bool = True

    @property
    def keys(self) -> list[RunKey]:
        """All runs that are wanted, the rows in their order, a seed's methods side by side."""
        return [RunKey(row.name, method, seed) for row in self.rows for seed in self.seeds for method in self.methods]

    @property
    def seeds_spelled(self) -> str:
        """The seeds as words."""
        return ", ".join(map(str, self.seeds))


class EndedRuns(NamedTuple):
    """The runs of a plan that have ended, of ``wanted`` ones; what failed or is not made yet is not among them."""

    plan: Plan
    ended: Mapping[RunKey, Outcome]
    wanted: int

    def has(self, row: str, method: str, seed: int) -> bool:
        """Whether this run has ended."""
        return RunKey(row, method, seed) in self.ended

    def seeds(self, row: str, method: str) -> list[int]:
        """The seeds of which this row's run by this method has ended."""
        return [seed for seed in self.plan.seeds if self.has(row, method, seed)]

    def summaries(self, row: str, method: str) -> list[Mapping[str, Any]]:
        """summary.json of each of those seeds."""
        found = (self.ended[RunKey(row, method, seed)].summary for seed in self.seeds(row, method))
        return [summary for summary in found if summary is not None]

    def open(self, row: str, method: str, seed: int) -> FinishedRun:
        """The trained network of a run that has ended, with its data."""
        from bimt_tf.runs.load import load_run

        return load_run(self.ended[RunKey(row, method, seed)].job.path)

    def opened(self) -> Iterator[tuple[Row, int, FinishedRun]]:
        """Of an exhibit of one method: the row, the seed and the network of each run, opened one after another."""
        method = self.plan.methods[0]
        for each in self.plan.rows:
            for seed in self.seeds(each.name, method):
                yield each, seed, self.open(each.name, method, seed)


class Made(NamedTuple):
    """The files that were written, and one line that says what came out."""

    files: Sequence[Path]
    line: str


class Exhibit(NamedTuple):
    """A table or figure of the paper.

    Attributes:
        name: on the command line, e.g. "table1".
        rows: those whose runs it can be made of.
        usual_rows: those it is made of unless others are asked for.
        methods: those it is made of unless others are asked for.
        usual_seeds: those it is made of unless others are asked for.
        make: writes its files into a folder that is there; it makes do with runs that have learned nothing (a quick
            trial's) and with some that are missing.
        jobs: the runs it is made of, from a plan, the folder for runs and that for files; those that the tables share
            unless given.
        quick_rows: those that a quick trial is made of, where ``usual_rows`` take longer than a minute.
        both_states: whether it shows networks before and after elimination, so that it can be made of the first alone.
    """

    name: str
    rows: tuple[Row, ...]
    usual_rows: tuple[Row, ...]
    methods: tuple[str, ...]
    usual_seeds: tuple[int, ...]
    make: Callable[[EndedRuns, Path], Made]
    jobs: Callable[[Plan, Path, Path], dict[RunKey, Job]] | None = None
    quick_rows: tuple[Row, ...] = ()
    both_states: bool = False
