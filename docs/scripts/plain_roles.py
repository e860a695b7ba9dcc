"""An extension of mkdocstrings' reader: Sphinx roles such as ``:class:`Wiring` `` in docstrings become plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["PlainRoles"]

ROLE = re.compile(r":(?:class|data|func|meth|mod|attr|obj):(`~?[^`]+`)")


class PlainRoles(griffe.Extension):
    """Rewrite the docstring of every object that is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe when an object with its members has been read."""
        if obj.docstring:
            obj.docstring.value = ROLE.sub(lambda found: found[1].replace("~", ""), obj.docstring.value)
