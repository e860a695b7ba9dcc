"""Pages in a browser: they open from a file, in a notebook, on paper, ask for nothing and complain about nothing."""

from __future__ import annotations

import pytest

from bimt_tf import load_run
from bimt_tf.runs.page.content import page_of
from bimt_tf.viewer.page import page

CONTROLS = 'button, a[href], input, select, textarea, summary, [tabindex="0"]'
"""What the Tab key has to reach, but for parts that arrow keys reach from one that it does."""


def test_it_opens_from_a_file(open_page, symbolic_run, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(page_of(load_run(symbolic_run))._replace(title="a <b>title</b>")))
    opened = open_page(path)
    assert opened.page.locator("h1").inner_text() == "a <b>title</b>"
    assert opened.page.locator("#network svg").count() >= 1


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_real_page_fits_the_window(open_page, real_page, width, theme):
    opened = open_page(real_page, width=width, theme=theme)
    assert opened.page.locator("#network svg").first.bounding_box()["width"] > 100
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_everything_can_be_used(open_page, real_page, use_everything):
    opened = open_page(real_page)
    use_everything(opened, opened.page)
    assert opened.page.locator("h1").count() == 1


def test_in_a_notebook_the_page_draws_and_works_inside_its_frame(open_page, real_page, use_everything, tmp_path):
    """The frame of ``run.show()`` has no storage, no clipboard and no origin, and its page survives that."""
    notebook = tmp_path / "notebook.html"
    shown = load_run(real_page.parent).show(height=700)._repr_html_()
    notebook.write_text(f"<!doctype html><meta charset=utf-8><title>notebook</title><p>In [1]:</p>{shown}<p>after</p>")
    opened = open_page(notebook)
    frame = opened.page.frame_locator("iframe")
    assert frame.locator("h1").inner_text() == opened.page.locator("iframe").get_attribute("title").replace(", ", " · ")
    assert frame.locator("#network svg").first.bounding_box()["width"] > 100
    assert opened.page.locator("iframe").bounding_box()["height"] == pytest.approx(702, abs=2)
    inside = opened.page.frames[1]
    use_everything(opened, inside)
    assert frame.locator("h1").count() == 1  # no link led the frame away
    assert inside.evaluate("() => { try { return parent.document.title } catch { return 'apart' } }") == "apart"


def test_on_paper_the_network_is_there(open_page, real_page):
    opened = open_page(real_page)
    opened.page.emulate_media(media="print", color_scheme="light")
    network = opened.page.locator("#network svg").first
    assert network.is_visible() and network.bounding_box()["height"] > 100
    assert len(opened.page.pdf(format="A4")) > 5_000


MARK_CONTROLS = """(controls) => {
  const shown = [...document.querySelectorAll(controls)].filter((one) =>
    one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0);
  const radios = new Set();
  window.wanted = shown.filter((one) => one.type !== "radio" || (!radios.has(one.name) && radios.add(one.name)));
  window.nameOf = (one) => (one.type === "radio" ? `radio ${one.name}` : one);
  window.reached = new Set();
  window.unseen = [];
  return window.wanted.length;
}"""

NOTE_FOCUS = """() => {
  const one = document.activeElement;
  window.reached.add(window.nameOf(one));
  if (one === document.body || getComputedStyle(one).outlineStyle !== "none") return;
  const kinds = ["boxShadow", "stroke", "strokeWidth", "strokeDasharray", "fill", "backgroundColor", "borderColor"];
  const look = () => [one, ...one.querySelectorAll("*")].map((each) => {
    const style = getComputedStyle(each);
    return kinds.map((kind) => style[kind]).join();
  }).join();
  const focused = look();
  one.blur();
  const blurred = look();
  one.focus({ preventScroll: true, focusVisible: true });
  if (focused === blurred) window.unseen.push(one.outerHTML.slice(0, 120));
}"""


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(open_page, real_page):
    page = open_page(real_page).page
    wanted = page.evaluate(MARK_CONTROLS, CONTROLS)
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        page.evaluate(NOTE_FOCUS)
    missed = "window.wanted.filter((one) => !window.reached.has(window.nameOf(one)))"
    assert page.evaluate(f"{missed}.map((one) => one.outerHTML.slice(0, 120))") == []
    assert page.evaluate("window.unseen") == []
