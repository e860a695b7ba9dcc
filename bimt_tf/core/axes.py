"""Reading axis strings (core/wiring.py): words, the lengths they stand for, the stages and populations they name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import prod

from bimt_tf.core.population import COPY, Population, Stage
from bimt_tf.errors import InputError, unknown

__all__ = ["ANY", "axis_of", "einops_patterns", "find_ends", "parse", "place_stages", "solve_sizes"]

ANY = "_"
"""The axis that has no coordinates: a vocabulary, positions, tokens folded onto one population."""

_WORD = re.compile(r"[A-Za-z_][\w.]*(@[\w.]+)?")


def parse(parameter: str, text: str) -> list[list[str]]:
    """Split "a (b c)" into [["a"], ["b", "c"]]; the errors repeat the pattern."""
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
    return dims


def axis_of(word: str) -> str:
    """The axis that a word names: all before "@"."""
    return word.split("@")[0]


def solve_sizes(
    patterns: Mapping[str, list[list[str]]], shapes: Mapping[str, tuple[int, ...]], given: Mapping[str, int]
) -> dict[str, int]:
    """Solve for every axis length from the shapes; folded dimensions once one unknown is left."""
    spelled_axes = list(dict.fromkeys(axis_of(w) for dims in patterns.values() for ws in dims for w in ws if w != ANY))
    for axis, size in given.items():
        if axis not in spelled_axes:
            raise unknown("axis in sizes", axis, spelled_axes)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise InputError(f"sizes[{axis!r}] must be a whole number of at least 1, found {size!r}")
    sizes = dict(given)
    origin = {axis: "sizes" for axis in sizes}
    progress = True
    while progress:
        progress = False
        for parameter, dims in patterns.items():
            for length, words in zip(shapes[parameter], dims, strict=True):
                unknowns = [word for word in words if word == ANY or axis_of(word) not in sizes]
                known = prod(sizes[axis_of(word)] for word in words if word not in unknowns)
                if length % known or (not unknowns and length != known):
                    spelled = " ".join(words)
                    found = ", ".join(
                        f"{axis_of(w)}={sizes[axis_of(w)]} from {origin[axis_of(w)]}"
                        for w in words
                        if w not in unknowns
                    )
                    raise InputError(
                        f"{parameter} has shape {list(shapes[parameter])}, but its axis '{spelled}' of length "
                        f"{length} does not agree with {found}"
                    )
                if len(unknowns) == 1 and unknowns[0] != ANY:
                    sizes[axis_of(unknowns[0])] = length // known
                    origin[axis_of(unknowns[0])] = parameter
                    progress = True
    for parameter, dims in patterns.items():
        for words in dims:
            for axis in [axis_of(word) for word in words if word != ANY]:
                if axis not in sizes:
                    raise InputError(
                        f"{parameter}: the length of axis {axis!r} in '({' '.join(words)})' cannot be told from "
                        f"the shapes; give it as sizes={{{axis!r}: ...}}"
                    )
    return sizes


def place_stages(words: list[str], head_axes: set[str], rows: Sequence[Sequence[str]]) -> dict[str, Stage]:
    """Stage name -> Stage, in drawing order; a word without '@' is a stage of its population's own name."""
    population_of: dict[str, str] = {}
    for word in words:
        stage, population = word.split("@")[-1], axis_of(word)
        if population not in head_axes and population_of.setdefault(stage, population) != population:
            raise InputError(
                f"stage {stage!r} is named for two populations, {population_of[stage]!r} and {population!r}"
            )
    rows = rows or [[stage] for stage in population_of]
    stages = {}
    for depth, row in enumerate(rows):
        for column, name in enumerate(row):
            if name not in population_of:
                raise unknown("stage in rows", name, population_of)
            if name in stages:
                raise InputError(f"stage {name!r} stands twice in rows")
            stages[name] = Stage(name, population_of[name], depth, column)
    for name in population_of:
        if name not in stages:
            raise InputError(f"stage {name!r} is named by the table and missing in rows")
    return stages


def find_ends(
    parameter: str,
    text: str,
    dims: list[list[str]],
    stages: Mapping[str, Stage],
    populations: Mapping[str, Population],
    head_axes: set[str],
) -> tuple[Stage, ...]:
    """The stages a parameter joins, shallowest first; checks heads and the count of populations."""
    words = [word for group in dims for word in group if word != ANY]
    ends = [stages[word.split("@")[-1]] for word in words if axis_of(word) not in head_axes]
    if len(ends) not in (1, 2):
        raise InputError(f"{parameter} ({text!r}) joins {len(ends)} populations; a parameter joins one or two")
    if len({populations[end.population].group for end in ends}) < len(ends):
        raise InputError(
            f"{parameter} ({text!r}) joins a population to itself: placing it would be a quadratic assignment, "
            "which BIMT does not do; use '_' for one of the axes"
        )
    wanted = sorted(p.head_axis for p in (populations[end.population] for end in ends) if p.head_axis)
    found = sorted(axis_of(word) for word in words if axis_of(word) in head_axes)
    if wanted != found:
        raise InputError(f"{parameter} ({text!r}) needs the head axes {wanted} once each, found {found}")
    return tuple(sorted(ends, key=lambda stage: stage.depth))


def einops_patterns(
    parameter: str,
    text: str,
    dims: list[list[str]],
    ends: tuple[Stage, ...],
    populations: Mapping[str, Population],
    axis_sizes: Mapping[str, int],
    shape: tuple[int, ...],
) -> tuple[str, str, tuple[tuple[str, int], ...]]:
    """``spelled``, ``flat`` and ``lengths`` of a parameter (bimt_tf/core/population.py), with short letters."""
    letters: dict[str, str] = {}
    lengths: dict[str, int] = {}
    spelled: list[str] = []
    copies: list[str] = []
    for length, words in zip(shape, dims, strict=True):
        names = []
        for word in words:
            if word == ANY:
                known = prod(axis_sizes[axis_of(w)] for w in words if w != ANY)
                if words.count(ANY) > 1:
                    raise InputError(f"{parameter}: write one '_' in a folded dimension, found {text!r}")
                letter = f"{COPY}{len(copies)}"
                lengths[letter] = length // known
                copies.append(letter)
            else:
                letter = letters.setdefault(axis_of(word), f"a{len(letters)}")
                lengths[letter] = axis_sizes[axis_of(word)]
            names.append(letter)
        spelled.append(names[0] if len(names) == 1 else f"({' '.join(names)})")
    flat = [f"({' '.join(copies)})" if copies else "1"]
    for end in ends:
        population = populations[end.population]
        letter = letters[population.name]
        flat.append(f"({letters[population.head_axis]} {letter})" if population.head_axis else letter)
    return " ".join(spelled), " ".join(flat), tuple(lengths.items())
