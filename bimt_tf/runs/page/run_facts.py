"""For the page: curves, configuration, and how to run and load it again."""

from __future__ import annotations

import math
import shlex
import sys
from typing import Any

from bimt_tf import __version__
from bimt_tf.config.reading import dump
from bimt_tf.errors import InputError
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.runs.page.kept import is_shown, of_this_network
from bimt_tf.tasks.own_model import OWN
from bimt_tf.training.phases import spans

__all__ = ["run_facts_part"]

CURVES = ("step", "loss", "test_loss", "cost", "lam", "lr", "active")
POINTS = ("weights", "loss", "validation_loss", "test_loss", "modularity_shared")
MOST_RECORDS = 1_000
MOST = sys.float_info.max


def run_facts_part(run: OpenedRun) -> dict[str, Any]:
    """What a reader needs to trust the run, and to make or open it again.

    Keys: ``records`` and ``points``: name -> a number (or None) a logged step, or a point of the elimination;
    ``phases``: name, first step, last step; ``shown``: the place in ``points`` that the page shows, or None;
    ``config``: config.yaml; ``summary``: name and text; ``commands``: what it does, and the command; ``formula``: lines
    or None; ``version``, ``seed``, ``state``.
    """
    config = run.config
    return {
        "records": _columns(run.readable.metrics, CURVES), "points": _columns(_elimination(run), POINTS),
        "shown": run.round_number, "phases": _phases(run), "config": dump(config), "summary": _summary(run),
        "commands": _commands(run), "formula": _formula(run), "version": __version__, "seed": config.seed,
        "state": run.state,
    }  # fmt: skip


def _elimination(run: OpenedRun) -> list[dict[str, Any]]:
    try:
        return run.elimination
    except InputError:
        return []


def _columns(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, list[float | None]]:
    """Name -> its numbers, of at most MOST_RECORDS rows, the last among them; names that no row has are left out."""
    every = max(1, math.ceil(len(rows) / MOST_RECORDS))
    chosen = rows[::-every][::-1]
    columns = {name: [_number(row.get(name)) for row in chosen] for name in names}
    return {name: values for name, values in columns.items() if any(value is not None for value in values)}


def _number(value: Any) -> float | None:
    """A number that 64 bits hold, or None."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number and -MOST <= value <= MOST else None


def _phases(run: OpenedRun) -> list[list[Any]]:
    """The phases of training that the run has: name, first step, last step."""
    return [[name, span.start, span.stop] for name, span in spans(run.config).items()]


def _summary(run: OpenedRun) -> list[list[str]]:
    """The numbers of the summary by name, as text; those of parts as "part, name"."""
    found = []
    for name, value in run.summary.items():
        parts = {f"{name}, {key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
        found += [[key, _text(each)] for key, each in parts.items() if not isinstance(each, dict)]
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "; ".join(_text(one) for one in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _commands(run: OpenedRun) -> list[list[str]]:
    """(What for, command) pairs: shell lines, and one of Python."""
    config, path = run.config, str(run.path)
    at = "" if is_shown(run) else ', at="trained"' if run.round_number is None else f", at={run.active_weights}"
    if config.task == OWN.name:
        opened = f"bimt_tf.load_run({path!r}, model=your_model, data=(inputs, targets){at})"
        return [["open it in Python", opened]]
    again = shlex.join(["bimt", "train", config.task, "--config", str(run.path / "config.yaml"), "--out", "NEW"])
    commands = [["train it again", again], ["open it in Python", f"bimt_tf.load_run({path!r}{at})"]]
    if run.state.startswith("interrupted"):
        commands.append(["go on with it", shlex.join(["bimt", "resume", path])])
    return [*commands, ["its numbers in a terminal", shlex.join(["bimt", "show", path])]]


def _formula(run: OpenedRun) -> list[str] | None:
    for one in of_this_network(run, "formulas"):
        lines = one["result"].get("formula") if isinstance(one["result"], dict) else None
        if isinstance(lines, list):
            return [str(line) for line in lines]
    return None
