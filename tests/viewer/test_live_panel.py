"""The live panel in a browser: what its inputs, knock-outs and keys do."""

from __future__ import annotations

import re

import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from live_networks import content, loss_of, network, row_values, stored, write

from bimt_tf.adapters.stage_hooks import neuron_name
from bimt_tf.analysis.ablate import ablate
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.page.network import network_part
from bimt_tf.viewer.page import page as page_text

HOSTILE = "<img src=x onerror=alert(1)>"


def values_shown(page, row):
    """The table of neurons at a row: name -> a number a token."""
    page.locator("#live-row").select_option(row)
    lines = page.locator("#live .live-tall tbody tr").evaluate_all(
        "(lines) => lines.map((line) => [line.querySelector('button').textContent,"
        "Array.from(line.querySelectorAll('td'), (cell) => cell.dataset.value)])"
    )
    return {name: [float(value) for value in values] for name, values in lines}


def output(page, column=0, line=0):
    lines = page.locator("#live h3:has-text('Outputs') + div tbody tr")
    return float(lines.nth(line).locator("td").nth(column).get_attribute("data-value"))


def loss_told(page):
    return page.locator("#live .live-loss").inner_text()


def evaluated(trained, inputs):
    with torch.no_grad():
        return trained.model(inputs)


@pytest.mark.parametrize("name", ["one head", "four heads", "symbolic", "tokens"])
def test_the_table_shows_every_neuron_as_pytorch_has_it(open_page, tmp_path, name):
    trained = network(name)
    part = live_part(trained)
    page = open_page(write(trained, tmp_path)).page
    page.locator("#live-example").fill("3")
    page.locator("#live-example").press("Enter")
    shown = 0
    rows = {row["name"]: row for row in network_part(trained)["rows"]}
    for row, wanted in row_values(trained, part).items():
        for neuron, found in values_shown(page, row).items():
            shown += 1
            index = int(re.search(r"\[(\d+)\]", neuron)[1])
            own = rows[row]
            label = own["labels"][index] if own["labels"] else None
            assert neuron == neuron_name(own["hook"] or own["stage"], index, label, own["token"])
            assert found == pytest.approx(wanted[3, :, index].tolist(), rel=1e-9, abs=1e-12), neuron
    assert shown > 15


def test_a_slider_moves_the_output_and_the_truth(open_page, tmp_path):
    trained = network("one head")
    page = open_page(write(trained, tmp_path)).page
    before = output(page)
    slider = page.locator("#live").get_by_label("x", exact=True)
    for _ in range(5):
        slider.press("ArrowLeft")
    x1, y1, x = (
        float(page.locator("#live").get_by_label(f"{name}, as a number").get_attribute("data-value"))
        for name in ("x1", "y1", "x")
    )
    wanted = evaluated(trained, torch.tensor([[[0, x1], [y1, 0], [0, x]]], dtype=torch.float64))
    assert output(page) == pytest.approx(float(wanted[0, 2, 0]), rel=1e-9) and output(page) != before
    assert output(page, 1) == pytest.approx(y1 / x1 * x, rel=1e-12)
    assert output(page, 2) == pytest.approx(output(page) - output(page, 1), rel=1e-9)


def test_numbers_typed_are_taken_and_what_is_none_is_refused(open_page, tmp_path):
    trained = network("symbolic")
    page = open_page(write(trained, tmp_path)).page
    field = page.locator("#live").get_by_label("x2, as a number")
    field.fill("0.25")
    field.press("Enter")
    changed = trained.held_out.inputs[:1].clone()
    changed[0, 1] = 0.25
    wanted = evaluated(trained, changed)[0]
    assert output(page) == pytest.approx(float(wanted[0]), rel=1e-9)
    for refused in ("NaN", "Infinity", "1e999", "", HOSTILE, "1e7", "0x"):
        field.fill(refused)
        field.press("Enter")
        assert page.locator("#live .live-message").first.inner_text().startswith("x2 must be a number from -1,000,000")
        assert field.get_attribute("aria-invalid") == "true"
        assert output(page) == pytest.approx(float(wanted[0]), rel=1e-9)
    field.fill("5")
    field.press("Enter")
    assert "outside of the held-out examples" in page.locator("#live .live-message").first.inner_text()
    assert field.get_attribute("aria-invalid") == "false"


def test_tokens_are_chosen_and_the_true_class_is_marked(open_page, tmp_path):
    trained = network("tokens")
    page = open_page(write(trained, tmp_path)).page
    page.locator("#live").get_by_label("token 0", exact=True).select_option("5")
    page.locator("#live").get_by_label("token 1", exact=True).select_option("4")
    wanted = evaluated(trained, torch.tensor([[5, 4]]))[0]
    likeliest = int(wanted.argmax())
    first = page.locator("#live h3:has-text('Outputs') + div tbody tr").first
    assert first.locator("th").inner_text().split()[0] == str(likeliest)
    assert output(page, 1) == pytest.approx(float(wanted.softmax(0)[likeliest]), rel=1e-9)
    true = page.locator("#live h3:has-text('Outputs') + div tbody tr", has_text="true")
    assert true.locator("th").inner_text().split()[0] == str((5 + 4) % 7)


@pytest.mark.parametrize("value", ["mean", "zero"])
def test_a_knock_out_is_that_of_ablate_and_restoring_brings_the_loss_back(open_page, tmp_path, value):
    trained = network("one head")
    part = live_part(trained)
    page = open_page(write(trained, tmp_path)).page
    whole, told = output(page), loss_told(page)
    page.locator("#live-knock-value").select_option(value)
    page.locator("#live-row").select_option("Res2")
    page.locator("#live").get_by_role("button", name="blocks.0.hook_resid_post[3]", exact=True).click()
    page.locator("#live").get_by_role("button", name="Knock out blocks.0.hook_resid_post[3]").click()
    inputs, _ = stored(trained, part)
    wanted = ablate(trained.model, {"blocks.0.hook_resid_post": [3]}, inputs, loss_of(trained, part), value=value)
    item = page.locator("#live .live-knocked li")
    assert float(item.get_attribute("data-loss")) == pytest.approx(wanted.after, rel=1e-6)
    assert f"{float(f'{wanted.after:.4g}')} without this one" in loss_told(page)
    assert output(page) != whole and output(page, 3) == whole
    assert (
        f"--hook blocks.0.hook_resid_post --neurons 3{' --value zero' * (value == 'zero')}"
        in page.locator("#live code").inner_text()
    )
    page.locator("#live").get_by_role("button", name="Restore blocks.0.hook_resid_post[3]", exact=True).click()
    assert (output(page), loss_told(page)) == (whole, told) and item.count() == 0


def test_several_knock_outs_at_once_and_restore_all(open_page, tmp_path):
    trained = network("tokens")
    part = live_part(trained)
    page = open_page(write(trained, tmp_path)).page
    told = loss_told(page)
    for row, neuron in (("hidden0", 2), ("hidden0", 5)):
        page.locator("#live-row").select_option(row)
        page.locator("#live").get_by_role("button", name=f"layers.0.hook_post[{neuron}]", exact=True).press("Enter")
        page.keyboard.press("k")
    inputs, _ = stored(trained, part)
    wanted = ablate(trained.model, {"layers.0.hook_post": [2, 5]}, inputs, loss_of(trained, part))
    assert f"{float(f'{wanted.after:.4g}')} without these 2" in loss_told(page)
    page.locator("#live").get_by_role("button", name="Restore all").press("Enter")
    assert loss_told(page) == told


def test_the_keyboard_alone_will_do(open_page, tmp_path):
    page = open_page(write(network("one head"), tmp_path)).page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.id || document.activeElement.textContent).slice(0, 30)"))
    for wanted in (
        "live-input-0",
        "live-input-2",
        "live-example",
        "Load",
        "live-knock-value",
        "live-row",
        "blocks.0.hook_resid_pre[0]",
    ):
        assert wanted in reached
    page.locator("#live-input-0").focus()
    before = output(page)
    page.keyboard.press("ArrowLeft")
    assert output(page) != before
    page.locator("#live").get_by_role("button", name="blocks.0.hook_resid_pre[0]", exact=True).focus()
    page.keyboard.press("Enter")
    page.keyboard.press("k")
    assert page.locator("#live").get_by_role("button", name="Restore blocks.0.hook_resid_pre[0] (key K)").count() == 1
    page.locator("#live-example").focus()
    page.keyboard.press("k")  # which is typed, and restores nothing
    assert page.locator("#live .live-knocked li").count() == 1


def test_the_map_shows_the_border_and_a_click_moves_the_inputs(open_page, tmp_path):
    trained = network("two moons", keep=1.0)
    with torch.no_grad():  # both classes are answered somewhere
        last = trained.model.layers[-1].bias
        last -= trained.model(trained.held_out.inputs).mean(0)
    page = open_page(write(trained, tmp_path)).page
    assert page.locator("#live .live-map circle").count() == int(trained.held_out.targets[:300].sum())
    before = page.locator("#live .live-border").get_attribute("d")
    page.locator("#live .live-map").click(position={"x": 40, "y": 60})
    x1, x2 = (
        float(page.locator("#live").get_by_label(f"{name}, as a number").get_attribute("data-value"))
        for name in ("x1", "x2")
    )
    wanted = evaluated(trained, torch.tensor([[x1, x2]], dtype=torch.float64))[0]
    assert sorted([output(page, 0, 0), output(page, 0, 1)]) == pytest.approx(sorted(wanted.tolist()), rel=1e-9)
    page.locator("#live-row").select_option("hidden0")
    page.locator("#live").get_by_role("button", name="layers.0.hook_post[0]", exact=True).click()
    page.keyboard.press("k")
    assert page.locator("#live .live-border").get_attribute("d") != before


def test_what_cannot_be_shown_says_why(open_page, tmp_path):
    part = content(network("symbolic"))
    path = tmp_path / "page.html"
    path.write_text(page_text(part._replace(live={"reason": f"a page evaluates no {HOSTILE}"})), encoding="utf-8")
    page = open_page(path).page
    assert page.locator("#live p").inner_text() == f"Not available: a page evaluates no {HOSTILE}."
    path.write_text(page_text(part._replace(live={**part.live, "loss": None})), encoding="utf-8")
    page = open_page(path).page
    assert loss_told(page) == "The page does not know this task's loss."
    assert page.get_by_text("should be").count() == 1


@pytest.mark.parametrize(("name", "theme"), [("one head", "light"), ("one head", "dark"), ("two moons", "light")])
def test_no_serious_fault_is_found_by_axe(open_page, tmp_path, name, theme):
    page = open_page(write(network(name), tmp_path), theme=theme).page
    page.locator("#live").get_by_role(
        "button", name="layers.0.hook_post[1]" if name == "two moons" else "blocks.0.hook_resid_pre[0]", exact=True
    ).click()
    page.keyboard.press("k")
    found = Axe().run(page, context="#live").response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", ["one head", "digits", "two moons"])
def test_nothing_is_wider_than_a_telephone(open_page, tmp_path, name):
    page = open_page(write(network(name), tmp_path), width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
