"""Options that the commands of interventions share, and how their words are read."""

from __future__ import annotations

import re
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.config.values import read_word
from bimt_tf.errors import InputError

__all__ = [
    "Neurons",
    "Others",
    "PairCount",
    "PositionText",
    "Seed",
    "Sets",
    "Target",
    "numbers",
    "positions",
    "weights",
]

Neurons = Annotated[str, Parameter(show_default=False, help="numbers of neurons, e.g. 3,17")]
PositionText = Annotated[
    str,
    Parameter(
        name="--position",
        show_default=False,
        allow_leading_hyphen=True,
        help="token or tokens, e.g. 1 or 1,2; negative from the end [all]",
    ),
]
Target = Annotated[
    str | None, Parameter(help="what run B has of its own, a quantity that the task can change [its first]")
]
Others = Annotated[str, Parameter(help="all else of run B: same as in run A, or own: another example as it is")]
PairCount = Annotated[int, Parameter(name="--pairs", help="held-out examples that pairs are made of, at most")]
Sets = Annotated[
    int, Parameter(name="--random-sets", help="random sets of as many varying neurons to try beside; 0 for none")
]
Seed = Annotated[int, Parameter(help="of partners and random sets")]


def numbers(text: str, option: str) -> tuple[int, ...]:
    """Whole numbers such as ``3,17``; none of an empty text; raises InputError for anything else."""
    found: tuple[int, ...] = read_word(tuple[int, ...], text, option)
    return found


def positions(text: str) -> int | tuple[int, ...] | None:
    """``--position``: one number, several, or None for all; raises InputError for anything else."""
    found = numbers(text, "--position")
    return None if not found else found[0] if len(found) == 1 else found


def weights(words: list[str] | None) -> list[tuple[str, tuple[int, ...]]]:
    """Weights such as ``blocks.0.mlp.W_in[3,5]``; raises InputError for anything else."""
    found = []
    for word in words or ():
        parts = re.fullmatch(r"([\w.]+)\[([0-9]+(?:,\s*[0-9]+)*)\]", word)
        if parts is None:
            raise InputError(f"--weight takes a parameter and a place such as 'embed.W_E[1,3]', found {word!r}")
        found.append((parts[1], tuple(int(number) for number in parts[2].split(","))))
    return found
