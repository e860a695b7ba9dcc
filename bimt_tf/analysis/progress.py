"""How an analysis that takes a while says how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much; of 0 where that is not known beforehand."""
