"""The network's panel against the weights: how many wires, which weight, what is up- and downstream, how far apart."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from drawn_networks import sparse, transformer
from network_pages import LIT, WEIGHTS, flow, nodes, weights_of, write_page

from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.scene.scene import scene_of

NETWORKS = {
    "mlp": lambda: sparse(MLP([3, 12, 9, 2], seed=1), 0.25),
    "transformer": lambda: transformer(n_heads=2),
}


@pytest.fixture(params=list(NETWORKS))
def network(request, open_page, tmp_path):
    bimt = NETWORKS[request.param]()
    return bimt, open_page(write_page(tmp_path / "page.html", bimt)).page


def drawn_from(page, step) -> float:
    """Put the slider at a step; the threshold that is then in the address, which follows a little later."""
    page.locator("#threshold").fill(str(step))
    page.wait_for_function("""() => {
        const found = /threshold=([^&]*)/.exec(location.hash), words = document.querySelector('output').textContent;
        return found ? words.includes(String(Number(Number(found[1]).toPrecision(4)))) : words === 'all';
    }""")
    return page.evaluate("() => Number(/threshold=([^&]*)/.exec(location.hash)?.[1] ?? 0)")


def test_every_wire_has_the_weight_of_the_model(network):
    bimt, page = network
    assert sorted(page.evaluate(WEIGHTS)) == sorted(weights_of(bimt))


def test_the_slider_draws_as_many_wires_as_the_weights_say(network):
    bimt, page = network
    sizes = np.abs(weights_of(bimt))
    for step in (0, 90, 200, 310, 400):
        threshold = drawn_from(page, step)
        kept = int((sizes >= threshold).sum())
        assert page.locator("#network .wire[data-weight]").count() == kept
        assert page.locator("#network .count[role=status]").inner_text() == f"{kept} of {len(sizes)} wires drawn"
    assert kept == 1  # at the right end the largest alone is left


@pytest.mark.parametrize("step", [0, 220])
def test_a_click_lights_up_what_networkx_finds_up_and_downstream(network, step):
    bimt, page = network
    threshold = drawn_from(page, step)
    graph, there = flow(bimt, threshold), page.locator("#network .neuron").count()
    every = page.evaluate("() => [...document.querySelectorAll('#network .neuron')].map((one) => one.dataset.id)")
    shown = nodes(bimt, every)
    for id in every[:: max(1, there // 9)]:
        page.locator(f'[data-id="{id}"]').focus()
        page.keyboard.press("Enter")
        ((node),) = nodes(bimt, [id])
        wanted = {node}
        if node in graph:
            wanted |= nx.ancestors(graph, node) | nx.descendants(graph, node)
        assert nodes(bimt, page.evaluate(LIT)) == wanted & shown
        page.keyboard.press("Escape")
    assert len(page.evaluate(LIT)) == there


def test_drawn_distances_are_true(network):
    bimt, page = network
    drawn = page.evaluate("""() => [...document.querySelectorAll('#network .wire[data-weight]')].map((one) =>
        [Number(one.dataset.weight), Math.abs(one.getAttribute('x1') - one.getAttribute('x2'))])""")
    scene = scene_of(bimt)
    true = {
        float(w): abs(scene.rows[wires.source].x[u] - scene.rows[wires.target].x[v])
        for wires in scene.wires
        for w, u, v in zip(wires.weights, wires.sources, wires.targets, strict=True)
    }
    far = [(true[weight], dx) for weight, dx in drawn if true[weight] > 0.1]
    scales = [dx / length for length, dx in far]
    assert np.ptp(scales) / np.mean(scales) < 1e-3


def test_pointing_at_a_wire_tells_its_weight_and_its_place_in_the_parameter(network):
    bimt, page = network
    wires = max(scene_of(bimt).wires, key=lambda one: len(one.weights))
    at = int(np.abs(wires.weights).argmax())
    line = page.locator(f'#network .wire[data-weight="{float(wires.weights[at])!r}"]')
    ends = line.evaluate("(one) => { const b = one.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }")
    x, y, wide, tall = ends
    turned = line.evaluate("(one) => (one.x2.baseVal.value - one.x1.baseVal.value) > 0")
    for share in (0.5, 0.42, 0.58, 0.35, 0.65):  # where no other wire crosses
        page.mouse.move(x + wide * (share if turned else 1 - share), y + tall * (1 - share))
        told = page.locator(".tip").inner_text() if page.locator(".tip").is_visible() else ""
        if str(float(wires.weights[at])) in told:
            break
    assert str(float(wires.weights[at])) in told
    place = told.split(f"{wires.parameter}[")[1].split("]")[0]
    indices = tuple(int(i) for i in place.split(","))
    assert float(bimt.parameters[wires.parameter].detach()[indices]) == float(wires.weights[at])
    page.mouse.down()
    page.mouse.up()
    assert f"parameter {wires.parameter}[{place}]" in page.locator(".chosen p").inner_text()
    assert len(page.evaluate(LIT)) == 2


def test_pointing_at_a_neuron_tells_row_index_slot_bias_weights_and_hook(open_page, tmp_path):
    bimt = transformer(n_heads=2)
    page = open_page(write_page(tmp_path / "page.html", bimt)).page
    scene = scene_of(bimt)
    row = next(row for row in scene.rows if row.name == "Res2")
    neuron = int(np.flatnonzero(scene.states[scene.rows.index(row)] == 4)[0])
    page.locator(f'[data-id="Res2:{neuron}"]').hover()
    told = page.locator(".tip").inner_text()
    assert f"blocks.0.hook_resid_post[{neuron}]" in told
    assert f"{neuron}, {row.slots[neuron]}" in told
    into = [
        abs(w)
        for one in scene.wires
        if scene.rows[one.target] is row
        for w, v in zip(one.weights, one.targets, strict=True)
        if v == neuron
    ]
    assert f"{float(f'{max(into):.4g}')}" in told


def test_both_tokens_of_a_folded_input_are_drawn_with_their_own_weights(open_page, tmp_path):
    bimt = sparse(TokenMLP(7, 6, 2, [8, 7]), 0.4)
    page = open_page(write_page(tmp_path / "page.html", bimt)).page
    assert sorted(page.evaluate(WEIGHTS)) == sorted(weights_of(bimt))
    assert page.locator('#network .neuron[data-id^="embed[0]:"]').count() > 0
    assert page.locator('#network .neuron[data-id^="embed[1]:"]').count() > 0
