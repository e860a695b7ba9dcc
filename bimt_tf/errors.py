"""The one exception for a user's mistake, and how a mistyped name is answered."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable

__all__ = ["InputError", "unknown", "require_at_most", "require_non_negative", "require_positive"]


class InputError(ValueError):
    """A value the user gave cannot be used; its message is one line that says what would do."""


def unknown(what: str, found: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among ``known``: lists the near ones first."""
    names = list(known)
    near = difflib.get_close_matches(found, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return InputError(f"unknown {what} {found!r}{hint} (known: {', '.join(names)})")


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(f"{name} must be a number, found {value!r}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{name} must be finite, found {value!r}")
    return value


def require_positive(name: str, value: float) -> None:
    """Raise unless ``value`` is a finite number above 0."""
    if _number(name, value) <= 0:
        raise InputError(f"{name} must be above 0, found {value!r}")


def require_non_negative(name: str, value: float) -> None:
    """Raise unless ``value`` is a finite number of at least 0."""
    if _number(name, value) < 0:
        raise InputError(f"{name} must be at least 0, found {value!r}")


def require_at_most(name: str, value: float, most: float) -> None:
    """Raise unless ``value`` is a finite number of at most ``most``."""
    if _number(name, value) > most:
        raise InputError(f"{name} must be at most {most}, found {value!r}")
