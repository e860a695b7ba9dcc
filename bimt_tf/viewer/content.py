"""What a page shows, as plain data: numbers, text, lists and dicts that JSON can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["PageContent"]

Part = dict[str, Any] | None


class PageContent(NamedTuple):
    """The parts of a page; a panel whose part is None is not there.

    ``title``: text of the heading; ``facts``: (name, value) pairs of text beneath it; ``scene``: the network, as
    ``page_scene`` gives it; ``evolution``: the network at earlier steps; ``activity``: examples and what neurons do on
    them; ``attention``: patterns by example; ``causes``: effects of knock-outs; ``modules``; ``probes``; ``live``: the
    compact network, to be evaluated in the page; ``run``: curves, configuration, and how to run and load it again;
    ``damaged``: a line for each file that could not be read and is left out.
    """

    title: str
    facts: list[tuple[str, str]]
    scene: dict[str, Any]
    evolution: Part = None
    activity: Part = None
    attention: Part = None
    causes: Part = None
    modules: Part = None
    probes: Part = None
    live: Part = None
    run: Part = None
    damaged: Sequence[str] = ()
