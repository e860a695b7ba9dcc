"""Reading axis strings (core/wiring.py): the words of each dimension, and the lengths that their axes have."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from bimt_tf.core.population import COPY
from bimt_tf.errors import InputError, unknown

__all__ = ["ANY", "Pattern", "axis_of", "einops_patterns", "parse", "solve_sizes", "stage_of"]

ANY = "_"
"""The axis that has no coordinates: a vocabulary, positions, tokens folded onto one population."""

_WORD = re.compile(r"[A-Za-z_][\w.]*(@[\w.]+)?")


class Pattern(NamedTuple):
    """A parameter's axis string, read: the words of each of its dimensions, several where axes are folded."""

    parameter: str
    text: str
    shape: tuple[int, ...]
    dims: tuple[tuple[str, ...], ...]

    @property
    def words(self) -> list[str]:
        """All words that name an axis, in order; ``_`` names none."""
        return [word for words in self.dims for word in words if word != ANY]


def axis_of(word: str) -> str:
    """The axis that a word names: all before "@"."""
    return word.split("@")[0]


def stage_of(word: str) -> str:
    """The stage that a word names: all behind "@"; without one, the stage of the axis's own name."""
    return word.split("@")[-1]


def parse(parameter: str, text: str) -> tuple[tuple[str, ...], ...]:
    """Split "a (b c)" into (("a",), ("b", "c")).

    Raises:
        InputError: for parentheses that do not match, or a word that is no axis name; it repeats the pattern.
    """
    dims: list[list[str]] = []
    inside = False
    for token in re.findall(r"[()]|[^\s()]+", text):
        if token == "(" and not inside:
            inside = True
            dims.append([])
        elif token == ")" and inside and dims[-1]:
            inside = False
        elif token in "()":
            raise InputError(f"{parameter}: parentheses of the pattern {text!r} do not match")
        elif not _WORD.fullmatch(token) or token.startswith(f"{ANY}@"):
            raise InputError(f"{parameter}: {token!r} in the pattern {text!r} is not an axis name")
        elif inside:
            dims[-1].append(token)
        else:
            dims.append([token])
    if inside or not dims:
        raise InputError(f"{parameter}: the pattern {text!r} is empty or not closed")
    return tuple(map(tuple, dims))


def solve_sizes(patterns: Sequence[Pattern], given: Mapping[str, int]) -> dict[str, int]:
    """Axis -> its length, solved for from the shapes; a folded dimension once it has one unknown left.

    Raises:
        InputError: for a length that two parameters, or ``given``, disagree on, or that nothing tells.
    """
    _check_given(patterns, given)
    sizes = dict(given)
    origin = {axis: "sizes" for axis in sizes}
    progress = True
    while progress:
        progress = False
        for pattern in patterns:
            for length, words in zip(pattern.shape, pattern.dims, strict=True):
                unknowns = [word for word in words if word == ANY or axis_of(word) not in sizes]
                known = [axis_of(word) for word in words if word not in unknowns]
                times = prod(sizes[axis] for axis in known)
                if length % times or (not unknowns and length != times):
                    found = ", ".join(f"{axis}={sizes[axis]} from {origin[axis]}" for axis in known)
                    raise InputError(
                        f"{pattern.parameter} has shape {list(pattern.shape)}, but its axis '{' '.join(words)}' of "
                        f"length {length} does not agree with {found}"
                    )
                if len(unknowns) == 1 and unknowns[0] != ANY:
                    sizes[axis_of(unknowns[0])] = length // times
                    origin[axis_of(unknowns[0])] = pattern.parameter
                    progress = True
    for pattern in patterns:
        for words in pattern.dims:
            for axis in [axis_of(word) for word in words if word != ANY]:
                if axis not in sizes:
                    raise InputError(
                        f"{pattern.parameter}: the length of axis {axis!r} in '({' '.join(words)})' cannot be told "
                        f"from the shapes; give it as sizes={{{axis!r}: ...}}"
                    )
    return sizes


def _check_given(patterns: Sequence[Pattern], given: Mapping[str, int]) -> None:
    axes = list(dict.fromkeys(axis_of(word) for pattern in patterns for word in pattern.words))
    for axis, size in given.items():
        if axis not in axes:
            raise unknown("axis in sizes", axis, axes)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"sizes[{axis!r}] must be a whole number of at least 1, found {size!r}")


def einops_patterns(
    pattern: Pattern, ends: Sequence[tuple[str | None, str]], sizes: Mapping[str, int]
) -> tuple[str, str, tuple[tuple[str, int], ...], tuple[tuple[str, ...], ...]]:
    """``spelled``, ``flat``, ``lengths`` and ``axes`` of a parameter (population.py), with short letters.

    ``ends``: the head axis (None without heads) and the axis of each population it joins, source first.

    Raises:
        InputError: for two axes without coordinates in one folded dimension.
    """
    letters: dict[str, str] = {}
    own = {axis for end in ends for axis in end}
    lengths: dict[str, int] = {}
    spelled: list[str] = []
    copies: list[str] = []
    for length, words in zip(pattern.shape, pattern.dims, strict=True):
        if words.count(ANY) > 1:
            raise InputError(f"{pattern.parameter}: write one '_' in a folded dimension, found {pattern.text!r}")
        names = []
        for word in words:
            if word == ANY or axis_of(word) not in own:  # heads that are counted alone have no coordinates either
                letter = f"{COPY}{len(copies)}"
                lengths[letter] = (
                    length // prod(sizes[axis_of(w)] for w in words if w != ANY) if word == ANY else length
                )
                copies.append(letter)
            else:
                letter = letters.setdefault(axis_of(word), f"a{len(letters)}")
                lengths[letter] = sizes[axis_of(word)]
            names.append(letter)
        spelled.append(names[0] if len(names) == 1 else f"({' '.join(names)})")
    flat = [f"({' '.join(copies)})" if copies else "1"]
    flat += [letters[axis] if head is None else f"({letters[head]} {letters[axis]})" for head, axis in ends]
    axes = tuple(tuple(axis_of(word) for word in words) for words in pattern.dims)
    return " ".join(spelled), " ".join(flat), tuple(lengths.items()), axes
