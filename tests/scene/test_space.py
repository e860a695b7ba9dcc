"""The scene in true 3D: wires as long as the geometry says, the strongest kept, what cannot be drawn refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawn_networks import transformer

from bimt_tf.bimt import BIMT
from bimt_tf.core.geometry import Geometry
from bimt_tf.errors import InputError
from bimt_tf.figures.network_3d import Panel3D, network_3d_figure, networks_3d_figure
from bimt_tf.models.mlp import MLP
from bimt_tf.scene.space import space_of

SHAPES = {"input": "grid", "hidden*": "grid", "output": "ring"}


def images(norm="l1", seed=0):
    """A small network on grids and a ring whose hidden neurons stand in a random order; half its weights are 0."""
    bimt = BIMT(MLP([9, 7, 5], seed=seed), Geometry(2.0, 0.5, norm, SHAPES))
    with torch.no_grad():
        for name, parameter in bimt.model.named_parameters():
            if name.endswith("weight"):
                parameter.mul_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(seed)) > 0.5)
    bimt.swap()
    return bimt


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_wires_are_as_long_as_the_geometry_says(norm):
    """Each end against the places, each length against Geometry.distance, weight by weight."""
    bimt = images(norm)
    space = space_of(bimt)
    order = 1 if norm == "l1" else 2
    found = sorted(np.linalg.norm(space.ends[:, 0] - space.ends[:, 1], order, axis=1))
    wanted = []
    for connection in bimt.wiring.connections:
        source, target = (bimt.places[stage.population] for stage in connection.stages)
        weights = connection.flatten(bimt.parameters[connection.parameter].detach())[0]
        wanted += bimt.geometry.distance(source, target)[weights != 0].tolist()
    assert space.active == len(wanted) == len(found)
    assert np.allclose(found, sorted(wanted))
    assert [plane.height for plane in space.planes] == [0.0, 0.5, 1.0]


def test_the_strongest_are_kept_each_by_its_own_matrix():
    bimt = images()
    every, few = space_of(bimt), space_of(bimt, strongest=6)
    assert len(few.strength) == 6 and few.active == every.active
    assert sorted(few.strength) == sorted(every.strength)[-6:]
    assert few.strength.max() == 1.0 and set(every.layer) == {0, 1}


def test_a_neuron_without_weights_is_idle():
    bimt = images()
    with torch.no_grad():
        bimt.model.get_parameter("layers.1.weight")[:, 3] = 0
    space = space_of(bimt)
    assert not space.planes[1].active[3] and space.planes[2].active.any()


def test_what_is_no_stack_of_planes_is_refused():
    with pytest.raises(InputError, match="as in an MLP"):
        space_of(transformer(1))
    deep = BIMT(MLP([2, 3, 1]), Geometry(shapes={"hidden0": torch.rand(3, 3)}))
    with pytest.raises(InputError, match="two dimensions"):
        space_of(deep)


def test_figures_have_a_view_from_each_side_and_one_scale():
    space = space_of(images())
    figure = network_3d_figure(space, labels={"output": list("abcde")}, shades={"input": np.linspace(0, 1, 9)})
    assert [axes.elev for axes in figure.axes] == [24, 90, 0]
    for axes in figure.axes:  # equal units on all axes
        box = axes.get_box_aspect() if hasattr(axes, "get_box_aspect") else axes._box_aspect
        sides = np.diff(np.array([axes.get_xlim(), axes.get_ylim(), axes.get_zlim()]), axis=1)[:, 0]
        box = axes._box_aspect if box is None else box
        assert np.allclose(np.asarray(box) / sides, (np.asarray(box) / sides)[0])
    assert len(networks_3d_figure([Panel3D("a", "", space)] * 4).axes) == 8
    with pytest.raises(InputError, match="labels of 'output' must be 5, found 2"):
        network_3d_figure(space, labels={"output": ["a", "b"]})
    with pytest.raises(InputError, match="at least one"):
        networks_3d_figure([])
