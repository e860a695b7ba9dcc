"""A part of the content that a panel cannot draw costs that panel, not the page."""

from __future__ import annotations

import json

import pytest

from bimt_tf.runs.load import load_run
from bimt_tf.runs.page.content import page_of
from bimt_tf.viewer.page import page

BAD = {"modules": {"modules": [], "found": {"modules": 3}}, "probes": {"maps": [{}], "readouts": 3}}


def test_a_panel_that_cannot_be_drawn_says_so(browser, symbolic_run, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(page(page_of(load_run(symbolic_run))._replace(**BAD)), encoding="utf-8")
    opened, said = browser.new_page(), []
    opened.on("console", lambda message: said.append(message.type))
    opened.on("pageerror", lambda error: said.append(f"uncaught {error}"))
    opened.goto(path.as_uri())
    for panel in BAD:
        assert "cannot be shown" in opened.locator(f"#{panel}").inner_text()
    assert opened.locator("#run").is_visible() and opened.locator("#network svg").count() > 0
    assert said == ["error"] * len(BAD)
    opened.close()


HASHES = [
    "#", "#=", "#&&&", "#%", "#%E0%A4%A", "#step=1e999", "#selected=[%22__proto__:0%22]", "#__proto__={}",
    "#constructor=1", "#selected=[%22input:99999%22,%22input:-1%22]", "#knocked=[%22input:1e3%22]",
    "#inputs=[[1e308,1e308]]", "#inputs={%22length%22:1e9}", "#example=1e300", "#position=0.5",
    "#threshold=1e308", "#quantity=%22%3Cimg%3E%22", "#wire=[%22x%22,%22input:0%22,%22output:0%22]",
    "#module=%22toString%22", "#hiddenKinds=[%22x%22]", "#probeShown=%22constructor%22", "#colour=%22module%22",
    "#knockValue=%22x%22", "#hovered=%22input:0%22", "#" + "a" * 100_000, "#example=-1", "#example=0.5",
    "#colourBy=%22hasOwnProperty%22", "#planeColour=%22__proto__%22",
]  # fmt: skip


@pytest.mark.parametrize("theme", ["light"])
def test_an_address_of_rubbish_breaks_nothing(open_page, real_page, theme):
    opened = open_page(real_page, theme=theme)
    for address in HASHES:
        opened.page.evaluate("(address) => { location.hash = address; }", address)
        opened.settle()
        assert opened.wrong == [], address[:60]
        assert opened.page.locator("#network svg").count() > 0, address[:60]
    assert json.dumps(opened.wrong) == "[]"
