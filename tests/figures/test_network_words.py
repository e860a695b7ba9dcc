"""The words of a network's picture: none covers another, none leaves the page, as the renderer has them."""

from __future__ import annotations

import pytest
import torch
from drawn_networks import NETWORKS, collisions, transformer
from matplotlib.text import Text

from bimt_tf import BIMT, MLP
from bimt_tf.figures.network import network_figure
from bimt_tf.figures.network_key import notes_of
from bimt_tf.scene.scene import scene_of

LABELS = {
    "short": lambda n: [f"x{i}" for i in range(n)],
    "long": lambda n: [f"the {i}th quantity of a long name ($x_{i}^2$), in metres per second" for i in range(n)],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_word_covers_another_or_leaves_the_figure(name):
    bimt, words = NETWORKS[name](), LABELS["long" if len(name) % 2 else "short"]
    ends = [min(bimt.wiring.stages, key=lambda s: s.depth), max(bimt.wiring.stages, key=lambda s: s.depth)]
    labels = {stage.name: words(bimt.wiring.populations[stage.population].size) for stage in ends}
    title = "a network with a title that is long, so that it takes several lines of the figure " * 2
    figure = network_figure(bimt, labels=labels, title=title)
    assert collisions(figure) == []
    figure.set_dpi(100)
    assert collisions(figure) == []


def test_words_in_the_middle_of_a_network_do_not_collide():
    bimt = transformer(4, 2)
    labels = {"Res2": [f"feature {i}" for i in range(16)], "blocks.0.mlp": [f"m{i}" for i in range(24)]}
    assert collisions(network_figure(bimt, labels=labels, highlight=[("Res2", 3), ("Res2", 4)])) == []


def test_a_bias_does_not_take_a_name_s_place():
    model = MLP([2, 4, 3])
    with torch.no_grad():
        model.layers[-1].bias.copy_(torch.tensor([5.0, 4.0, 5.0]))
    figure = network_figure(BIMT(model), labels={"output": ["x1²", "y", "x1²+x2²"]})
    written = {text.get_text() for text in figure.findobj(Text)}
    assert {"x1²", "y", "x1²+x2²"} <= written and not any("found no room" in text for text in written)
    assert collisions(figure) == []


def test_a_collision_is_seen():
    figure = network_figure(NETWORKS["mlp"]())
    figure.text(0.5, 0.5, "one text")
    figure.text(0.505, 0.5, "another")
    figure.text(0.99, 0.5, "beyond the edge")
    assert {"'one text' covers 'another'"} <= set(collisions(figure))
    assert any("'beyond the edge' leaves" in said for said in collisions(figure))


def test_a_severed_network_is_said_to_be_one():
    model = MLP([2, 3, 1])
    assert not any("severed" in note for note in notes_of(scene_of(BIMT(model)), 0))
    with torch.no_grad():
        model.layers[1].weight.zero_()
    assert any("severed: no path" in note for note in notes_of(scene_of(BIMT(model)), 0))
