"""The one exception for a user's mistake, and how a mistyped name is answered."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

__all__ = [
    "InputError", "names_of", "require_at_most", "require_callable", "require_kind", "require_known",
    "require_non_negative", "require_positive", "require_seed", "require_text", "require_whole", "unknown",
]  # fmt: skip


class InputError(ValueError):
    """A value the user gave cannot be used; its message is one line that says what would do."""


_ROOM = 300
"""Letters that a list of known names may take in a message."""


def unknown(what: str, found: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not among ``known``: lists the near ones first."""
    names = list(known)
    shown = [name for i, name in enumerate(names) if sum(len(one) + 2 for one in names[: i + 1]) <= _ROOM]
    known_ = ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(shown) < len(names) else "")
    near = difflib.get_close_matches(found, names, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    return InputError(f"unknown {what} {found!r}{hint} (known: {known_})")


def require_known(what: str, found: object, known: Iterable[str]) -> None:
    """Raise unless ``found`` is one of the names ``known``."""
    names = list(known)
    if not isinstance(found, str) or found not in names:
        raise unknown(what, str(found), names)


def require_kind(name: str, value: object, kind: type | tuple[type, ...]) -> None:
    """Raise unless ``value`` is an instance of ``kind``, or of one of these."""
    if not isinstance(value, kind):
        kinds = " or ".join(one.__name__ for one in (kind if isinstance(kind, tuple) else (kind,)))
        raise InputError(f"{name} must be a {kinds}, found a {type(value).__name__}")


def require_callable(name: str, value: object) -> None:
    """Raise unless ``value`` can be called."""
    if not callable(value):
        raise InputError(f"{name} must be a function, found a {type(value).__name__}")


def names_of(what: str, value: object) -> tuple[str, ...]:
    """Several names as a tuple; raises InputError for what is no list of names, one name alone among them."""
    names = None if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if names is None or not all(isinstance(name, str) for name in names):
        raise InputError(f"{what} must be names such as ('input', 'output'), found {value!r}")
    return names


def require_text(what: str, value: Mapping[str, str]) -> None:
    """Raise unless ``value`` is a mapping of names to words."""
    require_kind(what, value, Mapping)
    for name, word in value.items():
        if not isinstance(name, str) or not isinstance(word, str):
            raise InputError(f"{what} must hold names and words, found {name!r}: {word!r}")


def require_whole(name: str, value: object, at_least: int = 1) -> None:
    """Raise unless ``value`` is a whole number of at least ``at_least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise InputError(f"{name} must be a whole number of at least {at_least}, found {value!r}")


def require_seed(seed: int, bits: int = 63, name: str = "seed") -> None:
    """Raise unless ``seed`` is a whole number of at least 0 and below 2**bits; torch's generators take 63."""
    require_whole(name, seed, at_least=0)
    if seed >= 2**bits:
        raise InputError(f"{name} must be below 2**{bits}, found {seed!r}")


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
