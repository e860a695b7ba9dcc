"""For the page: answers that a run's directory keeps, each with the command that asks it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from bimt_tf.analysis.plain import plain
from bimt_tf.errors import InputError
from bimt_tf.runs.answers import Kind, answers, fingerprint
from bimt_tf.runs.opened_run import OpenedRun
from bimt_tf.tasks.own_model import OWN

__all__ = ["command", "is_shown", "kept_answers", "of_this_network", "readable"]

One = TypeVar("One")
Told = TypeVar("Told")

COMMANDS = {"interchange-map": "interchange", "neuron-effects": "export"}
"""Question -> the command that answers it, where it has another name."""
METHODS = {"edges": "edge_effects"}
"""Question -> the method of a run that answers it, where it has another name."""
OPTIONS = {"weights": "weight", "null_draws": "draws"}
"""What was asked -> the option, where it has another name."""
ABOUT = ("target", "hook", "neurons", "position", "others")
"""What was asked that tells one answer from another."""
LINES = 6
"""Numbers of an answer that are told, at most."""


def of_this_network(run: OpenedRun, kind: Kind) -> list[dict[str, Any]]:
    """The kept answers about the very weights that the page shows, newest first; [] where a file is damaged.

    Numbers that are not finite, which a file that was edited may hold, are None.
    """
    try:
        found = answers(run.path, kind) if run.path.is_dir() else []
    except InputError:
        return []
    network = fingerprint(run)
    own = [one for one in reversed(found) if one["made"].get("network") == network]
    whole = [
        one for one in own if isinstance(one["question"], str) and isinstance(one["asked"], dict) and "result" in one
    ]
    return readable(whole, plain)


def _is_whole(one: Mapping[str, Any]) -> bool:
    return isinstance(one["question"], str) and isinstance(one["asked"], dict) and "result" in one


def readable(found: Iterable[One], told: Callable[[One], Told]) -> list[Told]:
    """What is told of each of some answers; those that do not hold what is looked for are left out.

    They are files of JSON that anyone may edit, and one of them is not to cost the page.
    """
    lines = []
    for one in found:
        with suppress(KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError):
            lines.append(told(one))
    return lines


def kept_answers(run: OpenedRun, kind: Kind) -> list[dict[str, Any]]:
    """What was asked, the command for it, and the first numbers of the answer, as words."""

    def told(one: dict[str, Any]) -> dict[str, Any]:
        return {
            "question": one["question"],
            "about": ", ".join(f"{name} {_word(one['asked'][name])}" for name in ABOUT if one["asked"].get(name)),
            "command": command(one["question"], one["asked"], run),
            "lines": list(_numbers(one["result"]))[:LINES],
        }

    return readable(of_this_network(run, kind), told)


def command(question: str, asked: Mapping[str, Any], run: OpenedRun) -> str:
    """The command line that asks a question of a run, at the point of its elimination that the page shows.

    Of a run of one's own model, which no command line can open, the call in Python.

    Args:
        question: as kept answers have it.
        asked: as they have it.
        run: the run.
    """
    if run.config.task == OWN.name:
        return f"run.{METHODS.get(question, question).replace('-', '_')}()"
    words = ["bimt", COMMANDS.get(question, question), str(run.path)]
    if question == "neuron-effects":
        asked = {"effects": True}
    if not is_shown(run):
        asked = {**asked, "at": "trained" if run.round_number is None else run.active_weights}
    for name, value in asked.items():
        option = f"--{OPTIONS.get(name, name).replace('_', '-')}"
        if value is None or value == [] or (value is False and name != "outputs"):
            continue
        if name == "each_head":
            words += ["--heads", "each"]
        elif name == "weights":
            words += [w for part, place in value for w in (option, f"{part}[{','.join(map(str, place))}]")]
        elif name == "outputs":
            words += [] if value else ["--no-outputs"]
        elif value is True:
            words.append(option)
        elif isinstance(value, list):
            words += [option, *map(str, value)] if name == "against" else [option, ",".join(map(str, value))]
        else:
            words += [option, str(value)]
    return shlex.join(words)


def is_shown(run: OpenedRun) -> bool:
    """Whether the weights are those that the run's summary, figures and probes are of."""
    return run.outcome is None and (not run.elimination or "versions" in run.summary)


def _numbers(result: Any, name: str = "") -> Any:
    """The numbers and words at the top of an answer, and those of the first entries of its lists."""
    if isinstance(result, Mapping):
        for key, value in result.items():
            yield from _numbers(value, key if not name else f"{name}, {key}")
    elif isinstance(result, list) and result and all(isinstance(one, (int, float, str)) for one in result):
        yield [name, ", ".join(_word(one) for one in result[:8]) + (" ..." if len(result) > 8 else "")]
    elif isinstance(result, list) and result:
        yield [name or "answers", f"{len(result):,} entries"]
    elif isinstance(result, (int, float, str)) and result != "":
        yield [name, _word(result)]


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
