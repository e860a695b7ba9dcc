"""Columns of a progress line that fit any terminal: the percentage and the time left stay whole, figures make room.

A column that is whole is never cut. One that gives way shows as many of its parts as there is room for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.progress import BarColumn, ProgressColumn, Task
from rich.table import Column
from rich.text import Text

__all__ = ["GivingWay", "Whole", "bar_column", "spelled_time"]

SEPARATOR = "  "


class Whole(ProgressColumn):
    """Text that is never cut, however narrow the terminal is."""

    max_refresh = None

    def __init__(self, text: Callable[[Task], str]) -> None:
        super().__init__(Column(no_wrap=True))
        self._text = text

    def render(self, task: Task) -> Text:
        """The text of the task now."""
        return Text(self._text(task), no_wrap=True)


class GivingWay(ProgressColumn):
    """Parts of a line, the most important first; the last ones are left out where there is no room."""

    max_refresh = None

    def __init__(self, parts: Callable[[Task], Sequence[str]]) -> None:
        super().__init__(Column())
        self._parts = parts

    def render(self, task: Task) -> _Parts:
        """The parts of the task now."""
        return _Parts(self._parts(task))


class _Parts:
    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = list(parts)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(0, len(SEPARATOR.join(self._parts)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._parts
        while shown and len(SEPARATOR.join(shown)) > options.max_width:
            shown = shown[:-1]
        yield Text(SEPARATOR.join(shown), no_wrap=True)


def bar_column(width: int) -> BarColumn:
    """A bar of ``width`` columns, shorter where there is no room."""
    return BarColumn(bar_width=width, table_column=Column())


def spelled_time(seconds: float | None) -> str:
    """A time still to go, in its two largest units: ``about 2 h 5 min left``; None is not known."""
    if seconds is None:
        return "time left unknown"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days:
        return f"about {days} d {hours} h left"
    if hours:
        return f"about {hours} h {minutes} min left"
    return f"about {minutes} min left" if minutes else f"about {whole} s left"
