"""The real irreducible representations of a finite group, from its multiplication table alone.

Method (Dixon, 1970): the functions on the group carry every irreducible representation. A symmetric operator that
commutes with all left translations, T f(x) = sum_g c(g) f(x g) with c(g) = c(1/g) drawn at random, has one of them as
each of its eigenspaces. In an orthonormal basis of an eigenspace the translations are orthogonal matrices rho(g).

The matrix elements of the representations, rho_ij as functions on the group, span all functions, and those of different
representations are orthogonal (Peter and Weyl). Over the reals a representation of dimension d spans d^2 functions, or
d^2/2 and d^2/4 where it is of complex and quaternionic kind: a rotation of the plane spans cos and sin, two.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from string import ascii_lowercase

import numpy as np
from jaxtyping import Float

from bimt_tf.analysis.group_table import FiniteGroup
from bimt_tf.errors import InputError, require_kind

__all__ = ["Irrep", "irreps"]

KINDS = {1: "real", 2: "complex", 4: "quaternionic"}
TRIES = 20  # draws of the operator; one that has two representations in an eigenspace is drawn anew
CLOSE = 1e-8  # eigenvalues that are one, in units of the largest


@dataclass(frozen=True, eq=False)
class Irrep:
    """One irreducible representation by orthogonal matrices.

    Attributes:
        name: "trivial", "frequency 3", "sign", "standard", "2-dim" ... (:func:`irreps` says which).
        matrices: [n, d, d], one an element: rho(a b) = rho(a) rho(b).
        commutant: 1, 2 or 4: dimension of what commutes with it (real, complex, quaternionic kind).
    """

    name: str
    matrices: Float[np.ndarray, "n d d"]
    commutant: int

    @property
    def dim(self) -> int:
        """Its dimension d."""
        return int(self.matrices.shape[1])

    @property
    def kind(self) -> str:
        """What commutes with it: "real", "complex" or "quaternionic" numbers."""
        return KINDS[self.commutant]

    @cached_property
    def character(self) -> Float[np.ndarray, " n"]:
        """The trace of each matrix."""
        return np.trace(self.matrices, axis1=1, axis2=2)

    @cached_property
    def functions(self) -> Float[np.ndarray, "n k"]:
        """An orthonormal basis of what the matrix elements span; k = d^2 / commutant."""
        flat = self.matrices.reshape(len(self.matrices), -1)
        return np.linalg.svd(flat, full_matrices=False)[0][:, : self.dim**2 // self.commutant]

    def __repr__(self) -> str:
        return f"Irrep({self.name!r}, {self.dim}-dimensional, {self.kind})"


def irreps(group: FiniteGroup) -> list[Irrep]:
    """Every real irreducible representation once, the trivial one first, then by dimension.

    Names: of a cyclic group "frequency k" (angle 2 pi k / n for its generator), k from 1 to n // 2. Of a group with an
    action "sign" (of the permutations), "standard" (the action on the points' differences) and "standard x sign", where
    these are irreducible. All others "1-dim", "2-dim" ..., with a letter where there are several.

    The basis of a representation of two dimensions or more is a matter of choice, and is arbitrary here.

    Raises:
        InputError: for what is no group of :func:`finite_group`.
    """
    require_kind("group", group, FiniteGroup)
    generator = np.random.default_rng(0)  # of the operator: no result depends on it but for the choice of a basis
    for _ in range(TRIES):
        found = _split(group, generator)
        if sum(matrices.shape[1] ** 2 // commutant for matrices, commutant in found) == len(group):
            break
    else:
        raise InputError(f"{group} could not be split into irreducible representations in {TRIES} tries")
    return _named(group, found)


def _split(group: FiniteGroup, generator: np.random.Generator) -> list[tuple[Float[np.ndarray, "n d d"], int]]:
    """The different representations on the eigenspaces of one random operator, with their commutants."""
    n, inverse = len(group), group.inverses
    drawn = generator.normal(size=n)
    operator = (drawn + drawn[inverse])[group.table[inverse]]  # [x, y] -> c(1/x y)
    values, vectors = np.linalg.eigh(operator)
    starts = [0, *(np.flatnonzero(np.diff(values) > CLOSE * np.abs(values).max()) + 1), n]
    found: list[tuple[Float[np.ndarray, "n d d"], int]] = []
    seen: list[Float[np.ndarray, " n"]] = []
    for start, end in zip(starts, starts[1:], strict=False):
        space = vectors[:, start:end]
        matrices = np.einsum("xi,gxj->gij", space, space[group.table[inverse]], optimize=True)
        character = np.trace(matrices, axis1=1, axis2=2)
        if any(np.abs(character - other).max() < 1e-6 for other in seen):
            continue
        seen.append(character)
        commutant = round(float(character @ character) / n)
        if commutant in KINDS and (end - start) ** 2 % commutant == 0:
            found.append((matrices, commutant))
    return found


def _named(group: FiniteGroup, found: list[tuple[Float[np.ndarray, "n d d"], int]]) -> list[Irrep]:
    """Names for representations, in their order."""
    known = _known(group)
    named, others = [], []
    for matrices, commutant in found:
        character = np.trace(matrices, axis1=1, axis2=2)
        match = [row for row, (_, wanted) in enumerate(known) if np.abs(character - wanted).max() < 1e-6]
        if match:
            named.append((matrices.shape[1], match[0], Irrep(known[match[0]][0], matrices, commutant)))
        else:
            others.append((matrices, commutant, character))
    others.sort(key=lambda one: (one[0].shape[1], *(-one[2].round(6))))
    for row, (matrices, commutant, _) in enumerate(others):
        dim = matrices.shape[1]
        same = [i for i, one in enumerate(others) if one[0].shape[1] == dim]
        letter = f" {_letter(same.index(row))}" if len(same) > 1 else ""
        named.append((dim, len(known) + row, Irrep(f"{dim}-dim{letter}", matrices, commutant)))
    named.sort(key=lambda one: one[:2] if group.generator is None else (0, one[1]))
    return [one for _, _, one in named]


def _letter(number: int) -> str:
    return ascii_lowercase[number] if number < 26 else str(number)


def _known(group: FiniteGroup) -> list[tuple[str, Float[np.ndarray, " n"]]]:
    """Names and characters of the representations that have a name of their own."""
    n = len(group)
    known = [("trivial", np.ones(n))]
    if group.generator is not None:
        turns = 2 * np.pi * np.outer(np.arange(1, n // 2 + 1), group.logarithms) / n
        factor = [1 if 2 * k == n else 2 for k in range(1, n // 2 + 1)]
        known += [(f"frequency {k}", factor[k - 1] * np.cos(turns[k - 1])) for k in range(1, n // 2 + 1)]
    elif group.action is not None:
        points = group.action.shape[1]
        sign = np.array([np.linalg.det(np.eye(points)[row]) for row in group.action]).round()
        standard = (group.action == np.arange(points)).sum(1) - 1.0
        known += [("sign", sign), ("standard", standard), ("standard x sign", standard * sign)]
    return known
