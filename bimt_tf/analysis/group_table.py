"""A finite group as its multiplication table: checked once, then asked for inverses, subgroups and cosets.

Nothing here knows a task: elements are numbers 0, 1, ..., n - 1, and ``table[a, b]`` is the number of a b.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from torch import Tensor

from bimt_tf.errors import InputError, require_known

__all__ = ["FiniteGroup", "Side", "finite_group"]

Side = Literal["left", "right"]
"""Of cosets: "left" are a H, "right" are H a."""

LARGEST = 512  # elements; what follows takes time and memory with the cube of their number


@dataclass(frozen=True, eq=False)
class FiniteGroup:
    """A group of n elements; made by :func:`finite_group`, which checks it.

    Attributes:
        table: [n, n], the product of each two elements.
        names: of the elements, by number.
        action: [n, points], where each element sends each point, (a b)(i) = a(b(i)); None where no action is given.
    """

    table: Int[np.ndarray, "n n"]
    names: tuple[str, ...]
    action: Int[np.ndarray, "n points"] | None = None

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        kind = "cyclic" if self.generator is not None else "abelian" if self.abelian else "not abelian"
        return f"FiniteGroup({len(self)} elements, {kind})"

    @cached_property
    def identity(self) -> int:
        """The number e with e a = a."""
        return int((self.table == np.arange(len(self))).all(1).argmax())

    @cached_property
    def inverses(self) -> Int[np.ndarray, " n"]:
        """The inverse of each element."""
        return np.asarray((self.table == self.identity).argmax(1))

    @cached_property
    def abelian(self) -> bool:
        """Whether a b = b a."""
        return bool((self.table == self.table.T).all())

    @cached_property
    def orders(self) -> Int[np.ndarray, " n"]:
        """The least m with a^m = e, of each element."""
        orders, powers = np.zeros(len(self), dtype=int), np.arange(len(self))
        for m in range(1, len(self) + 1):
            orders[(orders == 0) & (powers == self.identity)] = m
            powers = self.table[powers, np.arange(len(self))]
        return orders

    @cached_property
    def generator(self) -> int | None:
        """The first element whose powers are the whole group; None of a group that is not cyclic."""
        found = np.flatnonzero(self.orders == len(self))
        return int(found[0]) if found.size else None

    @cached_property
    def logarithms(self) -> Int[np.ndarray, " n"]:
        """Of a cyclic group the least m >= 0 with generator^m = a, of each element a.

        Raises:
            InputError: if the group is not cyclic.
        """
        if self.generator is None:
            raise InputError(f"{self} has no generator, whose powers are the whole group")
        found, power = np.zeros(len(self), dtype=int), self.identity
        for m in range(len(self)):
            found[power] = m
            power = int(self.table[power, self.generator])
        return found

    def generated(self, elements: Sequence[int]) -> frozenset[int]:
        """The subgroup that elements generate.

        Raises:
            InputError: for what is no element's number.
        """
        for one in elements:
            if isinstance(one, bool) or not isinstance(one, (int, np.integer)) or not 0 <= one < len(self):
                raise InputError(f"an element is a number from 0 to {len(self) - 1}, found {one!r}")
        found, edge = {self.identity}, [self.identity]
        while edge:
            edge = [b for b in {int(self.table[a, s]) for a in edge for s in elements} if b not in found]
            found |= set(edge)
        return frozenset(found)

    @cached_property
    def subgroups(self) -> tuple[frozenset[int], ...]:
        """All subgroups, the smallest first: the cyclic ones, and what those generate together."""
        cyclic = {self.generated([a]) for a in range(len(self))}
        found, edge = set(cyclic), set(cyclic)
        while edge:
            edge = {self.generated(sorted(a | b)) for a in edge for b in cyclic if not b <= a} - found
            found |= edge
        return tuple(sorted(found, key=lambda one: (len(one), sorted(one))))

    def cosets(self, subgroup: frozenset[int], side: Side) -> Int[np.ndarray, " n"]:
        """The number of each element's coset of a subgroup, numbered in the order of their first elements.

        Raises:
            InputError: for another side, or a set of elements that is no subgroup.
        """
        require_known("side", side, ("left", "right"))
        if not subgroup or self.generated(sorted(subgroup)) != subgroup:
            raise InputError(f"{sorted(subgroup)} is no subgroup: its elements generate others")
        members = sorted(subgroup)
        product = self.table[:, members] if side == "left" else self.table[members, :].T
        return np.unique(product.min(1), return_inverse=True)[1].reshape(-1)

    @cached_property
    def generators(self) -> tuple[int, ...]:
        """A generating set that is taken greedily: each next element is the first that makes the subgroup largest."""
        chosen: list[int] = []
        held = self.generated(chosen)
        while len(held) < len(self):
            sizes = [len(self.generated([*chosen, a])) for a in range(len(self))]
            chosen.append(int(np.argmax(sizes)))
            held = self.generated(chosen)
        return tuple(chosen)

    def word(self, elements: frozenset[int]) -> str:
        """A subgroup by names: "<a, b>" with few generators, "e" of the trivial one."""
        chosen: list[int] = []
        while self.generated(chosen) != elements:
            chosen.append(max(sorted(elements), key=lambda a: len(self.generated([*chosen, a]))))
        return f"<{', '.join(self.names[a] for a in chosen)}>" if chosen else "e"


def finite_group(table: Any, names: Sequence[str] | None = None, action: Any = None) -> FiniteGroup:
    """A group from its multiplication table, after checking that it is one.

    Args:
        table: [n, n] whole numbers below n (array, tensor or lists): the product of each two elements.
        names: of the elements; their numbers unless given.
        action: [n, points] whole numbers, where each element sends each point, if the group permutes something.

    Raises:
        InputError: for a table that is no group's (the products that refute it are said), more than 512 elements,
            names that are not as many or not different, or an action that is none.
    """
    products = _whole("table", table)
    n = len(products)
    if products.ndim != 2 or products.shape != (n, n) or not 1 <= n <= LARGEST:
        raise InputError(f"table must be [n, n] with n from 1 to {LARGEST}, found {list(products.shape)}")
    called = tuple(str(i) for i in range(n)) if names is None else tuple(map(str, names))
    if len(called) != n or len(set(called)) != n:
        raise InputError(f"names must be {n} different words, found {len(set(called))} in {len(called)}")
    _check(products, called)
    group = FiniteGroup(products, called)
    return group if action is None else FiniteGroup(products, called, _action(group, action))


def _whole(what: str, values: Any) -> Int[np.ndarray, "..."]:
    """An array of whole numbers."""
    try:
        array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except ValueError as error:
        raise InputError(f"{what} must be a table of whole numbers, found rows of different lengths") from error
    if array.dtype == bool or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"{what} must hold whole numbers, found {array.dtype}")
    return array.astype(np.int64)


def _check(table: Int[np.ndarray, "n n"], names: tuple[str, ...]) -> None:
    """Raise unless a table has products inside, an identity, inverses, and (a b) c = a (b c)."""
    n = len(table)
    if ((table < 0) | (table >= n)).any():
        a, b = np.argwhere((table < 0) | (table >= n))[0]
        raise InputError(f"table must hold numbers from 0 to {n - 1}: {names[a]} times {names[b]} is {table[a, b]}")
    for a in range(n):
        wrong = np.argwhere(table[table[a]] != table[a][table])
        if wrong.size:
            b, c = wrong[0]
            one, other = names[table[table[a, b], c]], names[table[a, table[b, c]]]
            x, y, z = names[a], names[b], names[c]
            raise InputError(f"table is no group's: ({x} {y}) {z} is {one}, but {x} ({y} {z}) is {other}")
    neutral = (table == np.arange(n)).all(1) & (table.T == np.arange(n)).all(1)
    if not neutral.any():
        raise InputError("table is no group's: no element leaves every other as it is")
    identity = int(neutral.argmax())
    without = np.flatnonzero(~(table == identity).any(1))
    if without.size:
        raise InputError(f"table is no group's: {names[without[0]]} has no inverse, no product with it is the identity")


def _action(group: FiniteGroup, action: Any) -> Int[np.ndarray, "n points"]:
    """A checked action: permutations that compose as the table says."""
    points = _whole("action", action)
    if points.ndim != 2 or len(points) != len(group) or points.shape[1] < 1:
        raise InputError(f"action must be [{len(group)}, points], found {list(points.shape)}")
    if not (np.sort(points, 1) == np.arange(points.shape[1])).all():
        raise InputError(f"action must hold permutations of 0 to {points.shape[1] - 1}, an element a row")
    for a in range(len(group)):
        wrong = np.flatnonzero((points[group.table[a]] != points[a][points]).any(1))
        if wrong.size:
            x, y = group.names[a], group.names[wrong[0]]
            raise InputError(f"action is none of this group: {x} after {y} is not what it says for their product")
    return points
