"""What axe-core finds in real pages: no fault that it calls serious or critical, in either theme, wide and narrow."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

GRAVE = ("serious", "critical")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_grave_fault(open_page, real_page, theme, width):
    opened = open_page(real_page, width=width, theme=theme)
    opened.settle()
    found = Axe().run(opened.page).response["violations"]
    told = [f"{one['id']}: {node['html'][:150]}" for one in found if one["impact"] in GRAVE for node in one["nodes"]]
    assert told == []


def test_axe_would_find_one(open_page, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<!doctype html><html lang=en><title>bad</title><main><h1>x</h1><button></button></main></html>")
    found = Axe().run(open_page(path).page).response["violations"]
    assert "button-name" in {one["id"] for one in found if one["impact"] in GRAVE}
