"""Put a page together: one HTML file that needs no server, no network and no ``eval``.

Its policy allows no request at all and only those scripts and styles whose hashes it names. All content is in one
JSON element; the scripts put text into the page as text, never as HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from string import Template

from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.scripts import d3, script

__all__ = ["page"]


def page(content: PageContent) -> str:
    """The page as HTML text.

    Args:
        content: what it shows.

    Raises:
        InputError: if d3 is not to be found.
        ValueError: if a number of the content is not finite.
    """
    assets = files("bimt_tf.viewer").joinpath("assets")
    sheets = sorted(assets.joinpath("css").iterdir(), key=lambda sheet: (sheet.name != "page.css", sheet.name))
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    library, own = d3(), script()
    scripts = " ".join(_hashed(source) for source in (library, own))
    allowed = f"script-src {scripts}; style-src {_hashed(style)}; img-src data:"
    policy = f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
    template = Template(assets.joinpath("page.html").read_text(encoding="utf-8"))
    text = template.substitute(
        title=html.escape(content.title), policy=html.escape(policy, quote=True), style=style, library=library,
        script=own, data=_embedded(content),
    )  # fmt: skip
    return text.encode("utf-8", "replace").decode()  # halves of a pair, as in a path that is no UTF-8, become "?"


def _hashed(source: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"


def _embedded(content: PageContent) -> str:
    """JSON that cannot end the element it stands in."""
    text = json.dumps(content._asdict(), allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
