"""The network's panel under the hands of a reader: what is hidden, order, time, search, address, keyboard, theme."""

from __future__ import annotations

import json

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from drawn_networks import sparse, transformer
from network_pages import LIT, WEIGHTS, write_page

from bimt_tf.models.mlp import MLP
from bimt_tf.runs.page.network import page_scene
from bimt_tf.scene.scene import scene_of

HOSTILE = "<img src=x onerror=alert(1)>"
XS = """() => [...document.querySelectorAll('#network .neuron[data-id^="Res0:"]')]
  .map((one) => one.getBoundingClientRect().x)"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    bimt = transformer(n_heads=2)
    labels = {"input": ["y", "x"], "output": [HOSTILE, "second"]}
    return bimt, write_page(tmp_path_factory.mktemp("pages") / "page.html", bimt, labels)


def settled(page) -> None:
    """Wait until no neuron is on its way and what was changed is drawn."""
    page.wait_for_function("() => !document.querySelector('svg.plot.moving')")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def address_says(page, words) -> None:
    """Wait until the address has followed the state."""
    page.wait_for_function("(words) => decodeURIComponent(location.hash).includes(words)", arg=words)


def test_kinds_of_wires_and_heads_can_be_hidden(made, open_page):
    bimt, path = made
    page = open_page(path).page
    scene = scene_of(bimt)
    page.locator("summary", has_text="Kinds of wires").click()
    every = page.locator("#network .wire[data-weight]").count()
    own = {
        "V": sum(len(w.weights) for w in scene.wires if w.parameter.endswith("W_V")),
        "MLP out": sum(len(w.weights) for w in scene.wires if w.parameter.endswith("mlp.W_out")),
        "embed": sum(len(w.weights) for w in scene.wires if w.parameter == "embed.W_E"),
    }
    for kind, count in own.items():
        page.get_by_label(kind, exact=True).uncheck()
        assert page.locator("#network .wire[data-weight]").count() == every - count > 0
        page.get_by_label(kind, exact=True).check()
    page.get_by_label("block 1 head 0").uncheck()
    hidden = sum(
        int((scene.rows[w.target if "_O" not in w.parameter else w.source].heads[ends] == 0).sum())
        for w in scene.wires
        if w.parameter.startswith("blocks.1.attn")
        for ends in [w.targets if "_O" not in w.parameter else w.sources]
    )
    assert page.locator("#network .wire[data-weight]").count() == every - hidden < every


def test_the_initial_order_puts_every_neuron_into_the_slot_of_its_number(made, open_page):
    bimt, path = made
    page = open_page(path).page
    scene = page_scene(bimt)
    row = next(row for row in scene["rows"] if row["name"] == "Res0")
    assert row["start"] == sorted(row["start"])
    before = page.evaluate(XS)
    page.get_by_label("order").select_option("start")
    settled(page)
    after = page.evaluate(XS)
    marked = [n for n, state in enumerate(row["states"]) if state]
    for xs, key in ((before, "x"), (after, "start")):
        assert np.corrcoef(xs, [row[key][n] for n in marked])[0, 1] > 0.999999
    assert before != after


def test_the_address_brings_back_what_was_chosen(made, open_page):
    _, path = made
    first = open_page(path).page
    ids = first.evaluate(LIT)
    first.locator(f'[data-id="{ids[3]}"]').click()
    first.locator(f'[data-id="{ids[-2]}"]').click()
    first.locator("#threshold").fill("120")
    first.get_by_label("order").select_option("start")
    first.locator("summary", has_text="Kinds of wires").click()
    first.get_by_label("Q", exact=True).uncheck()
    address_says(first, 'hiddenKinds=["Q"]')
    settled(first)
    second = open_page(path, fragment="#" + first.url.split("#")[1]).page
    settled(second)
    for what in (LIT, WEIGHTS, XS):
        assert second.evaluate(what) == first.evaluate(what)
    assert second.locator("#network .neuron.selected").count() == 2
    assert second.locator(".chosen p").inner_text() == first.locator(".chosen p").inner_text()


@pytest.mark.parametrize(
    "fragment",
    [
        "#threshold=%22much%22",
        "#selected=%5B%22Res9%3A1%22%5D",
        "#%E0%A4%A",
        "#colour=%22red%22&x=1",
        "#wire=%5B1%5D",
        "#frame=7",
    ],
)
def test_an_address_that_means_nothing_is_left_out_and_said(made, open_page, fragment):
    _, path = made
    page = open_page(path, fragment=fragment).page
    assert "left out" in page.locator("p.note").inner_text()
    assert page.locator("#network .neuron").count() > 0


def test_the_keyboard_walks_over_the_neurons(made, open_page):
    bimt, path = made
    page = open_page(path).page
    rows = {row.name: row for row in scene_of(bimt).rows}
    focus = "() => document.activeElement.dataset.id"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(focus):
            break
    first = page.evaluate(focus)
    assert first and page.locator('#network .neuron[tabindex="0"]').count() == 1
    page.keyboard.press("ArrowUp")
    above = page.evaluate(focus)
    assert rows[above.rpartition(":")[0]].y > rows[first.rpartition(":")[0]].y
    page.keyboard.press("Home")
    walked = [page.evaluate(focus)]
    for _ in range(30):
        page.keyboard.press("ArrowRight")
        if page.evaluate(focus) == walked[-1]:
            break
        walked.append(page.evaluate(focus))
    name = above.rpartition(":")[0]
    states = scene_of(bimt).states[[row.name for row in scene_of(bimt).rows].index(name)]
    marked = [n for n in np.argsort(rows[name].x) if states[n]]
    assert walked == [f"{name}:{n}" for n in marked]
    page.keyboard.press("Enter")
    assert page.locator("#network .neuron.selected").get_attribute("data-id") == walked[-1]
    assert "Selected" in page.locator(".chosen p[aria-live]").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#network .neuron.selected").count() == 0


def test_search_finds_by_row_hook_and_name(made, open_page):
    _, path = made
    page = open_page(path).page
    box = page.get_by_role("combobox", name="Find a neuron")
    sought = {
        "Res2 9": "Res2:9",
        "blocks.0.hook_resid_post[4]": "Res2:4",
        "second": "output:1",
        "('blocks.1.mlp.hook_post', 11)": "blocks.1.mlp:11",
    }
    for words, wanted in sought.items():
        box.fill(words)
        box.press("Enter")
        address_says(page, json.dumps([wanted], separators=(",", ":")))
    box.fill("no such neuron")
    assert page.locator("#search-list").inner_text() == "nothing found"


def test_the_name_is_copied_or_shown_to_be_copied(made, open_page):
    _, path = made
    page = open_page(path, fragment="#selected=%5B%22Res2%3A9%22%5D").page
    page.evaluate("() => Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Copy its name").click()
    field = page.locator(".chosen input")
    assert field.input_value() == "blocks.0.hook_resid_post[9]"
    assert field.evaluate("(one) => one.value.slice(one.selectionStart, one.selectionEnd)") == field.input_value()


def test_time_replaces_what_is_drawn(open_page, tmp_path):
    bimt = sparse(MLP([2, 6, 1], seed=0), 1.0)
    scene = page_scene(bimt)
    empty = [[[], [], []] for _ in scene["wires"]]
    frames = [
        {"step": 0, "phase": "start", "loss": 1.5, "active": 5, "x": {"hidden0": [(n + 0.5) / 6 for n in range(6)]},
         "wires": [[[1], [2], [-0.25]], [[2], [0], [0.5]]]},
        {"step": 100, "phase": "pressed", "loss": 0.5, "x": {}, "wires": empty},
        {"step": 100, "phase": "eliminate", "loss": 0.5, "x": {}, "wires": [[[1], [2], [-0.125]], *empty[1:]]},
    ]  # fmt: skip
    path = write_page(tmp_path / "page.html", bimt, evolution={"frames": frames})
    page = open_page(path).page
    slider = page.get_by_label("Step of training")
    assert len(page.evaluate(WEIGHTS)) == 18
    slider.fill("0")
    settled(page)
    assert sorted(page.evaluate(WEIGHTS)) == [-0.25, 0.5]
    assert page.locator("#network .count[role=status]").inner_text() == "2 of 5 wires drawn, at step 0"
    assert set(page.evaluate(LIT)) == {"input:1", "hidden0:2", "output:0"}
    slider.fill("1")
    assert page.evaluate(WEIGHTS) == []
    slider.fill("2")  # of the same step
    settled(page)
    assert page.evaluate(WEIGHTS) == [-0.125]
    again = open_page(path, fragment="#" + page.url.split("#")[1]).page
    assert again.evaluate(WEIGHTS) == [-0.125] and slider.input_value() == "2"
    slider.fill("0")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelectorAll('#network .wire[data-weight]').length === 18", timeout=5000)
    page.get_by_role("button", name="Play").wait_for(timeout=3000)  # it has ended


def test_modules_and_effects_colour_what_they_name(open_page, tmp_path):
    bimt = sparse(MLP([2, 6, 1], seed=0), 1.0)
    modules = {
        "found": None, "effects": None, "against": None, "made": "", "command": "bimt modules",
        "modules": [{"name": "A"}, {"name": HOSTILE}], "members": {"input:0": 0, "hidden0:1": 0, "hidden0:4": 1},
    }  # fmt: skip
    weight = float(bimt.parameters["layers.0.weight"].detach()[1, 0])
    wire = {"parameter": "layers.0.weight", "place": [1, 0], "source": "input:0", "target": "hidden0:1"}
    causes = {
        "neurons": {"hidden0": {"neurons": [1], "effects": [0.5]}}, "neuron_examples": 9, "why": [], "answers": [],
        "wires": [{**wire, "weight": weight, "effect": 0.125}], "wire_examples": 9, "before": 1.0,
    }  # fmt: skip
    page = open_page(write_page(tmp_path / "page.html", bimt, modules=modules, causes=causes)).page
    page.locator("#choose-colour").select_option("module")
    strokes = "() => [...document.querySelectorAll('#network .wire[data-weight]')].map((one) => [Number(one.dataset.weight), one.style.stroke])"  # noqa: E501
    assert [w for w, colour in page.evaluate(strokes) if colour == "var(--module-0)"] == [weight]
    page.locator("#choose-module").select_option("A")
    assert set(page.evaluate(LIT)) == {"input:0", "hidden0:1"}
    page.locator("#choose-module").select_option("")
    page.locator("#choose-colour").select_option("effect")
    assert [w for w, colour in page.evaluate(strokes) if "100%" in colour] == [weight]
    page.locator('[data-id="hidden0:1"]').hover()
    assert "loss +0.5" in page.locator(".tip").inner_text()


def test_the_theme_follows_the_reader_and_the_button(made, open_page):
    _, path = made
    page = open_page(path, theme="dark").page
    paper = "() => getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(13, 17, 23)"
    button = page.get_by_role("button", name="Theme")
    button.click()
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    button.click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(paper) == "rgb(13, 17, 23)"


def test_zoom_spreads_the_neurons_and_shows_all_again(made, open_page):
    _, path = made
    page = open_page(path).page
    wide = lambda: max(page.evaluate(XS)) - min(page.evaluate(XS))  # noqa: E731
    before = wide()
    page.get_by_role("button", name="zoom in").click()
    settled(page)
    assert wide() == pytest.approx(1.5 * before, rel=1e-3)
    page.get_by_role("button", name="show all").click()
    settled(page)
    assert wide() == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_it_fits_and_axe_finds_no_fault(made, open_page, width, theme):
    _, path = made
    page = open_page(path, width=width, theme=theme).page
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    page.locator("summary", has_text="tables").click()
    page.locator("#network td", has_text=HOSTILE).first.wait_for()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found] == []


def test_a_dense_network_says_what_is_drawn_of_how_many(open_page, tmp_path):
    bimt = sparse(MLP([60, 300, 20]), 1.0)
    page = open_page(write_page(tmp_path / "page.html", bimt)).page
    assert page.locator("#network .wire[data-weight]").count() == 600
    assert (
        "600 of 600 wires drawn: the strongest of 24,000 weights"
        in page.locator("#network .count[role=status]").inner_text()
    )
    page.wait_for_function("() => document.querySelectorAll('#network image').length === 2", timeout=3000)


def test_the_whole_network_is_in_a_usual_window_and_follows_its_height(open_page, tmp_path):
    page = open_page(write_page(tmp_path / "page.html", transformer(n_heads=2))).page
    bottom = "() => document.querySelector('svg.plot').getBoundingClientRect().bottom"
    assert page.evaluate(bottom) <= 900
    page.set_viewport_size({"width": 1280, "height": 1200})
    page.wait_for_function(f"() => ({bottom})() > 950")
    assert page.evaluate(bottom) <= 1200
