"""Distances of one's own (the paper's "any geometry"): a torus, and any matrix by slot numbers."""

from __future__ import annotations

import copy
from itertools import permutations

import pytest
import torch

from bimt_tf import BIMT, MLP, Geometry, Layout
from bimt_tf.errors import InputError
from bimt_tf.scene.scene import scene_of

SIZES = [3, 4, 4, 2]
NAMES = ["input", "hidden0", "hidden1", "output"]
OFFSET = torch.tensor([0, *SIZES]).cumsum(0)


def torus(source, target):
    """Around a circle of circumference 2: the edges are neighbours."""
    apart = (source - target).abs()[..., 0]
    return torch.minimum(apart, 2.0 - apart)


def matrix(seed=0):
    """A random distance between every two slots of the network, the same both ways."""
    drawn = torch.rand(sum(SIZES), sum(SIZES), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn + drawn.T


def looked_up():
    """The geometry of that matrix: a slot's coordinate is its row."""
    table = matrix()

    def distance(source, target):
        return table[source[..., 0].long(), target[..., 0].long()]

    rows = {
        name: torch.arange(int(a), int(b))[:, None] for name, a, b in zip(NAMES, OFFSET[:-1], OFFSET[1:], strict=True)
    }
    return Geometry(width=1.0, layer_gap=0.25, norm=distance, shapes=rows)


def made(geometry, seed=0, dtype=torch.float64):
    return BIMT(MLP(SIZES, seed=seed).to(dtype), geometry, reduction="sum")


def by_loops(bimt):
    """The cost by the definition: a row of the matrix, a gap a wire, a gap a bias."""
    slots, table = bimt.layout.slots, matrix()
    total = 0.0
    for i in range(3):
        weights = bimt.parameters[f"layers.{i}.weight"].detach()
        for out, row in enumerate(weights):
            for source, weight in enumerate(row):
                a = OFFSET[i] + slots[NAMES[i]][source]
                b = OFFSET[i + 1] + slots[NAMES[i + 1]][out]
                total += float(weight.abs() * (table[a, b] + 0.25))
        total += 0.25 * float(bimt.parameters[f"layers.{i}.bias"].detach().abs().sum())
    return total


def test_any_matrix_is_paid_and_its_gradient_is_autograds():
    bimt = made(looked_up())
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(1))
    assert float(bimt.cost().detach()) == pytest.approx(by_loops(bimt), rel=1e-12)
    bimt.cost().mul(0.3).backward()
    wanted = {name: p.grad.clone() for name, p in bimt.parameters.items()}
    for p in bimt.parameters.values():
        p.grad = None
    bimt.add_cost_grad_(0.3)
    for name, p in bimt.parameters.items():
        torch.testing.assert_close(p.grad, wanted[name])


def test_swaps_are_exact_by_any_matrix():
    """A population's assignment is the best of all its permutations, the others fixed."""
    bimt = made(looked_up())
    report = bimt.swap()
    assert report.cost_after < report.cost_before
    assert float(bimt.cost().detach()) == pytest.approx(by_loops(bimt), rel=1e-12)
    here = by_loops(bimt)
    for name, size in zip(NAMES, SIZES, strict=True):
        slots = bimt.layout.slots
        for order in permutations(range(size)):
            other = copy.copy(bimt)
            other.layout = Layout({**slots, name: torch.tensor(order)})
            assert by_loops(other) >= here - 1e-9


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_slot_numbers_stay_whole_in_every_precision(dtype):
    """A coordinate of 2,049 is no number of float16; the matrix is looked up in float64 all the same."""
    table = torch.arange(4100, dtype=torch.float64)

    def distance(source, target):
        return (table[source[..., 0].long()] - table[target[..., 0].long()]).abs() / 4100

    shapes = {name: torch.arange(size)[:, None] + 2049 for name, size in zip(NAMES, SIZES, strict=True)}
    bimt = made(Geometry(width=1.0, norm=distance, shapes=shapes), dtype=dtype)
    (first,) = (c for name, c in bimt.coefficients().items() if name == "layers.0.weight")
    wanted = 0.5 + (torch.arange(4)[:, None] - torch.arange(3)).abs() / 4100
    assert first.dtype == dtype
    torch.testing.assert_close(first, wanted.to(dtype))


def test_on_a_torus_the_edges_are_neighbours():
    straight, around = made(Geometry(width=2.0)), made(Geometry(width=2.0, norm=torus))
    assert float(around.cost().detach()) < float(straight.cost().detach())
    around.swap()
    around.bake_()
    assert scene_of(around).drawn == sum(a * b for a, b in zip(SIZES, SIZES[1:], strict=False))
    assert "torus" in repr(around.geometry)


@pytest.mark.parametrize(
    ("distance", "said"),
    [
        (lambda a, b: (a - b)[..., 0].clamp_min(0), "the same from source to target as back"),
        (lambda a, b: (a - b)[..., 0].abs() - 1.0, "at least 0"),
        (lambda a, b: (a - b)[..., 0].abs() / 0.0, "finite"),
        (lambda a, b: (a - b).abs(), r"must give a tensor \[4, 3\]"),
        (lambda a, b: 1.0, "found a float"),
    ],
)
def test_what_is_no_distance_is_refused(distance, said):
    with pytest.raises(InputError, match=said):
        made(Geometry(norm=distance)).cost()


def test_a_function_is_not_written_into_a_configuration(tmp_path):
    from bimt_tf import train

    x = torch.rand(8, 3)
    bimt = made(Geometry(norm=torus), dtype=torch.float32)
    with pytest.raises(InputError, match="norm must be 'l1' or 'l2'"):
        train(bimt, (x, x[:, :2]), "squared", steps=2)
