"""Pages in a browser: they open from a file, in a notebook, on paper, ask for nothing and complain about nothing."""

from __future__ import annotations

import time

import pytest

from bimt_tf import BIMT, MLP, load_run
from bimt_tf.scene.scene import scene_of
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

CONTROLS = 'button, a[href], input, select, textarea, summary, [tabindex="0"]'
"""What the Tab key has to reach, but for parts that arrow keys reach from one that it does."""

OPENS = 10.0  # seconds, on a machine that does other things too; docs/report.md says what was measured


def test_it_opens_from_a_file(open_page, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page(PageContent("a <b>title</b>", [("task", "t")], scene_of(BIMT(MLP([2, 3, 1]))).as_dict())))
    opened = open_page(path)
    assert opened.page.locator("h1").inner_text() == "a <b>title</b>"
    assert opened.page.locator("#network svg").count() >= 1


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_real_page_fits_the_window(open_page, real_page, width, theme):
    began = time.monotonic()
    opened = open_page(real_page, width=width, theme=theme)
    assert time.monotonic() - began < OPENS
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
    use_everything(opened, frame)
    assert frame.locator("h1").count() == 1  # no link led the frame away
    inside = opened.page.frames[1]
    assert inside.evaluate("() => { try { return parent.document.title } catch { return 'apart' } }") == "apart"


def test_on_paper_the_network_is_there(open_page, real_page):
    opened = open_page(real_page)
    opened.page.emulate_media(media="print", color_scheme="light")
    network = opened.page.locator("#network svg").first
    assert network.is_visible() and network.bounding_box()["height"] > 100
    assert len(opened.page.pdf(format="A4")) > 5_000


def test_the_tab_key_reaches_every_control_and_shows_where_it_is(open_page, real_page):
    page = open_page(real_page).page
    wanted = page.evaluate(
        """(controls) => {
          const shown = [...document.querySelectorAll(controls)].filter((one) =>
            one.checkVisibility({ visibilityProperty: true }) && !one.disabled && one.tabIndex >= 0);
          const radios = new Set();
          window.wanted = shown.filter((one) => {
            if (one.type !== "radio") return true;
            const first = !radios.has(one.name);
            radios.add(one.name);
            return first;
          });
          window.reached = new Set();
          window.unseen = [];
          return window.wanted.length;
        }""",
        CONTROLS,
    )
    for _ in range(wanted + 5):
        page.keyboard.press("Tab")
        page.evaluate(
            """() => {
              const one = document.activeElement, style = getComputedStyle(one);
              window.reached.add(one.type === "radio" ? `radio ${one.name}` : one);
              const seen = style.outlineStyle !== "none" || style.boxShadow !== "none" || one === document.body;
              if (!seen) window.unseen.push(one.outerHTML.slice(0, 120));
            }"""
        )
    missed = page.evaluate(
        """() => window.wanted
             .filter((one) => !window.reached.has(one.type === "radio" ? `radio ${one.name}` : one))
             .map((one) => one.outerHTML.slice(0, 120))"""
    )
    assert missed == []
    assert page.evaluate("window.unseen") == []
