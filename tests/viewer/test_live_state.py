"""The live panel and the page's state: what it writes there, and what it takes up from other panels and addresses."""

from __future__ import annotations

import pytest
import torch
from live_networks import network, row_values, stored, write

from bimt_tf.runs.page.live import live_part
from bimt_tf.viewer import page as page_module
from bimt_tf.viewer.scripts import script

OUTPUT = "#live h3:has-text('Outputs') + div tbody td"


@pytest.fixture
def opened(open_page, tmp_path, monkeypatch):
    """``opened(trained)``: its page, whose state is ``window.store``, as no reader has it."""
    source = script()
    made = "const store = createStore();"
    assert source.count(made) == 1
    monkeypatch.setattr(
        page_module, "script", lambda: source.replace(made, "const store = window.store = createStore();")
    )
    return lambda trained: open_page(write(trained, tmp_path)).page


def put(page, **state):
    page.evaluate("(state) => window.store.set(state)", state)


def got(page, key):
    return page.evaluate("(key) => window.store.get()[key]", key)


def output(page):
    return float(page.locator(OUTPUT).first.get_attribute("data-value"))


@pytest.mark.parametrize("position", [None, 0, 1])
def test_values_are_those_of_hooks_at_the_position(opened, position):
    trained = network("four heads")
    page = opened(trained)
    put(page, example=5, position=position)
    found = got(page, "values")
    wanted = row_values(trained, live_part(trained))
    assert set(found) == set(wanted)
    for row, values in wanted.items():
        at = 2 if position is None else position
        assert found[row] == pytest.approx(values[5, at].tolist(), rel=1e-9, abs=1e-12), row


def test_each_row_of_a_folded_token_has_its_own_values(opened):
    trained = network("tokens")
    page = opened(trained)
    wanted = row_values(trained, live_part(trained))
    for row in ("embed[0]", "embed[1]", "output"):
        assert got(page, "values")[row] == pytest.approx(wanted[row][0, 0].tolist(), rel=1e-9)


def test_a_state_from_an_address_is_taken_up(opened):
    trained = network("one head")
    page = opened(trained)
    inputs = [[0, 2.5], [-0.5, 0], [0, 1.25]]
    put(page, inputs=inputs, knocked=["Res1:2"], knockValue="zero", selected=["Res1:2"])
    hook = ("blocks.0.hook_resid_mid", lambda value, hook: value.index_fill(2, torch.tensor([2]), 0.0))
    with torch.no_grad():
        wanted = trained.model.run_with_hooks(torch.tensor([inputs], dtype=torch.float64), fwd_hooks=[hook])
    assert output(page) == pytest.approx(float(wanted[0, 2, 0]), rel=1e-9)
    assert page.locator("#live").get_by_label("y1, as a number").input_value() == "-0.5"
    assert page.locator("#live-knock-value").input_value() == "zero"
    assert page.locator("#live-row").input_value() == "Res1"
    assert page.locator("#live").get_by_role("button", name="Restore blocks.0.hook_resid_mid[2] (key K)").count() == 1
    assert got(page, "inputs") == inputs


@pytest.mark.parametrize(
    "inputs",
    [[], "text", {"a": 1}, [[0, 1], [1, 0]], [[0, None], [1, 0], [0, 1]], [[0, "1"], [1, 0], [0, 1]], [[1e9] * 2] * 3],
)
def test_inputs_that_cannot_be_leave_the_example(opened, inputs):
    page = opened(network("one head"))
    whole = output(page)
    put(page, inputs=inputs)
    assert output(page) == whole


def test_padding_stays_what_it_is(opened):
    page = opened(network("one head"))
    put(page, inputs=[[0, 2], [0.5, 0], [0, 1.5]])
    wanted = output(page)
    put(page, inputs=[[7, 2], [0.5, -3], [9, 1.5]])
    assert output(page) == wanted


def test_another_panels_example_is_loaded(opened):
    trained = network("symbolic")
    page = opened(trained)
    put(page, inputs=[[0.1, 0.2, 0.3, 0.4]])
    put(page, example=4)
    inputs, _ = stored(trained, live_part(trained))
    with torch.no_grad():
        wanted = trained.model(inputs[4:5])[0, 0]
    assert output(page) == pytest.approx(float(wanted), rel=1e-9)
    assert got(page, "inputs") is None and page.locator("#live-example").input_value() == "4"
    put(page, example=1e9)  # more than the page holds
    assert page.locator("#live-example").input_value() == str(len(inputs) - 1)


def test_neurons_that_are_not_there_are_named_and_left_out(opened):
    page = opened(network("symbolic"))
    whole = output(page)
    put(page, knocked=["hidden0:99", "nowhere:1", "hidden0:x", "constructor:0", ""])
    assert output(page) == whole
    told = page.locator("#live .live-loss").inner_text()
    assert "Not in this network: hidden0:99, nowhere:1, hidden0:x, constructor:0" in told
    assert page.locator("#live").get_by_role("button", name="Select a neuron to knock it out").is_disabled()
    page.locator("#live").get_by_role("button", name="Restore all").click()
    assert got(page, "knocked") == []


def test_a_row_with_a_colon_in_its_name(opened):
    page = opened(network("one head"))
    whole = output(page)
    put(page, selected=["blocks.1.v:z:1"])
    page.keyboard.press("k")
    assert got(page, "knocked") == ["blocks.1.v:z:1"] and output(page) != whole
    assert "--hook blocks.1.attn.hook_z --neurons 1" in page.locator("#live code").inner_text()
