"""Planted embeddings: the right representation, coset or ring is found, and chance finds none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known_groups import KLEIN, cyclic, parity, symmetric

from bimt_tf import finite_group, group_report
from bimt_tf.analysis.group_cosets import coset_fits
from bimt_tf.analysis.group_dimensions import standard_matrices
from bimt_tf.analysis.group_relations import action_loss, linear_relations
from bimt_tf.analysis.group_representations import irreps
from bimt_tf.analysis.group_rings import rings
from bimt_tf.analysis.group_spectrum import spectrum
from bimt_tf.errors import InputError

S4, Z59 = symmetric(4), cyclic(59)
OF_S4, OF_Z59 = irreps(S4), irreps(Z59)


def wave(k, phase=0.0, group=Z59):
    return np.cos(2 * np.pi * k * np.arange(len(group)) / len(group) + phase)


@pytest.mark.parametrize("one", OF_S4[1:], ids=lambda one: one.name)
def test_a_representation_as_an_embedding(one):
    planted = one.matrices.reshape(24, -1) * 3 + 1
    found = group_report(S4, planted, draws=100)
    shares = {each.irrep: each.share for each in found.spectrum.shares}
    assert shares.pop(one.name) == pytest.approx(1) and max(shares.values()) < 1e-9
    assert sum(shares.values()) < 1e-9
    assert len(found.pure) == planted.shape[1] and found.relations[0].irrep == one.name
    assert found.relations[0].loss == pytest.approx(0, abs=1e-9) and found.relations[0].p < 0.02
    assert found.relations[0].faithful == (one.dim == 3)
    assert found.action.loss == pytest.approx(0, abs=1e-9) and found.action.p < 0.02


def test_a_planted_sign_is_found_with_its_sign():
    random = np.random.default_rng(0).normal(size=(24, 3))
    planted = np.column_stack([random, -0.4 * parity(S4) + 2 + 0.01 * random[:, 0]])
    found = spectrum(S4, torch.tensor(planted), OF_S4, [7, 9, 11, 30], draws=400)
    last = found.neurons[-1]
    assert (last.neuron, last.best, last.element) == (30, "sign", "sign") and last.p < 0.01
    assert last.correlation == last.one["sign"] < -0.99 and last.correlation_95 < 0.9
    fit = coset_fits(S4, planted, draws=400)[-1]
    assert (fit.size, fit.side, fit.cosets) == (12, "both", 2) and fit.r2 > 0.99 and fit.p < 0.01
    assert np.array(fit.levels)[fit.labels] == pytest.approx(-0.4 * parity(S4), abs=0.02)


def test_shares_add_up_to_one():
    found = spectrum(S4, np.random.default_rng(1).normal(size=(24, 5)), OF_S4, draws=50)
    assert sum(one.share for one in found.shares) == pytest.approx(1)
    assert sum(one.chance for one in found.shares) == pytest.approx(1)
    for one in found.neurons:
        assert sum(one.shares.values()) == pytest.approx(1)
    for one in found.shares:
        assert one.chance == pytest.approx(one.dim**2 / 23, abs=0.03)


def test_random_embeddings_are_chance():
    """Of 60 random neurons p below .05 is expected of three, by each test."""
    values = np.random.default_rng(2).normal(size=(24, 60))
    by_spectrum = [one.p < 0.05 for one in spectrum(S4, values, OF_S4, draws=200).neurons]
    by_cosets = [one.p < 0.05 for one in coset_fits(S4, values, draws=200)]
    assert sum(by_spectrum) <= 8 and sum(by_cosets) <= 8
    found = linear_relations(S4, values[:, :9], OF_S4, draws=200)
    assert min(one.p for one in found) > 0.01 and action_loss(S4, values[:, :9]).p > 0.01


def test_the_correlation_with_the_best_matrix_element():
    """One entry of the matrices has 1; a random mixture of nine less; no basis gives more than the maximum found."""
    rho = next(one for one in OF_S4 if one.name == "standard").matrices
    cube = standard_matrices(S4, "cube")
    mixture = np.random.default_rng(3).normal(size=9) @ rho.reshape(24, 9).T
    found = spectrum(S4, np.column_stack([cube[:, 0, 1], mixture]), OF_S4, draws=50).neurons
    assert found[0].correlation == pytest.approx(1) and found[1].correlation < 0.99
    generator = np.random.default_rng(4)
    for _ in range(200):
        u, v = (x / np.linalg.norm(x) for x in generator.normal(size=(2, 3)))
        assert abs(np.corrcoef(np.einsum("i,gij,j->g", u, rho, v), mixture)[0, 1]) <= found[1].correlation + 1e-9


@pytest.mark.parametrize("side", ["left", "right"])
def test_planted_cosets_are_found(side):
    subgroup = next(one for one in S4.subgroups if len(one) == 6)
    labels = S4.cosets(subgroup, side)
    planted = np.array([0.3, -1.0, 2.0, 0.0])[labels][:, None] + 0.01 * np.arange(24)[:, None] / 24
    (fit,) = coset_fits(S4, planted, [5], draws=200)
    assert (fit.neuron, fit.size, fit.side, fit.labels) == (5, 6, side, labels.tolist()) and fit.p < 0.01


def test_the_largest_subgroup_is_told_where_smaller_ones_fit_as_well():
    (fit,) = coset_fits(S4, parity(S4)[:, None].astype(float), draws=50)
    assert fit.size == 12 and fit.r2 == pytest.approx(1)


def test_noise_does_not_decide_between_equals():
    """Two elements stand out; that they share a coset is so for 9 of 23 pairs, whatever noise lies on the others."""
    involution = int(np.flatnonzero(S4.orders == 2)[0])
    for seed in range(5):
        planted = 1e-3 * np.random.default_rng(seed).normal(size=(24, 1))
        planted[[0, S4.table[0, involution]], 0] = 3.0, 0.7
        (fit,) = coset_fits(S4, planted, draws=200)
        assert fit.r2 > 0.6 and fit.p > 0.2


def test_a_planted_ring_is_found_with_its_order():
    generator = np.random.default_rng(5)
    values = np.column_stack([wave(23), 2 * wave(23, 1.2), wave(7), wave(7, 2.0), generator.normal(size=59)])
    found = group_report(Z59, values, [1, 2, 3, 4, 9], [[1, 2], [3, 4], [9]], draws=200)
    first, second, random = found.rings
    assert (first.neurons, first.frequency, second.frequency) == ((1, 2), 23, 7)
    assert first.r2 == pytest.approx(1) and first.p < 0.01 and first.in_order == 1.0
    assert 23 * first.step % 59 in (1, 58) and 7 * second.step % 59 in (1, 58)
    assert random.plane is None and random.step is None and random.p > 0.01
    assert [one.best for one in found.spectrum.neurons[:4]] == ["frequency 23"] * 2 + ["frequency 7"] * 2
    assert found.cosets == [] and found.faithful is not None


def test_the_second_frequency_of_a_triangular_wave():
    turned = (4 * np.arange(59)) % 59
    triangle = np.abs(turned - 59 / 2)
    (ring,) = rings(Z59, triangle[:, None], OF_Z59, [[0]], draws=50)
    assert (
        (ring.frequency, ring.second, ring.multiple) == (4, 12, 3) and ring.r2 > 0.95 and 0.005 < ring.second_r2 < 0.02
    )


def test_a_group_of_ones_own():
    klein = finite_group(KLEIN, "e a b c".split())
    found = group_report(KLEIN, np.array([[1.0], [1], [-1], [-1]]), draws=50)
    assert found.spectrum.neurons[0].best.startswith("1-dim") and found.spectrum.neurons[0].share == pytest.approx(1)
    assert found.relations[0].faithful is False and found.faithful is None
    assert group_report(klein, np.eye(4), draws=50).action is None
    s3 = symmetric(3)
    rotation = next(one for one in irreps(s3) if one.dim == 2).matrices.reshape(6, 4)
    assert group_report(s3.table, rotation, draws=50).spectrum.shares[0].share == pytest.approx(1)


def test_the_same_seed_gives_the_same_answer_and_all_of_it_is_plain():
    values = np.random.default_rng(6).normal(size=(24, 2))
    one, other = (group_report(S4, values, draws=50, seed=3) for _ in range(2))
    assert one.as_dict() == other.as_dict()
    assert "errors" not in one.as_dict()["relations"][0] and one.as_dict()["elements"][0] == "1234"
    assert repr(one).startswith("GroupReport(24 elements, 2 neurons") and one._repr_html_().count("<tr>") == 3


@pytest.mark.parametrize(
    ("embedding", "more", "says"),
    [
        (np.zeros((3, 2)), {}, r"\[24 elements, neurons\], found \[3, 2\]"),
        (np.zeros((24, 0)), {}, "neurons"),
        (np.ones((24, 1)), {"neurons": [4]}, "neuron 4 is the same for every element"),
        (np.full((24, 1), np.nan), {}, "finite"),
        (np.eye(24), {"draws": 5}, "at least 19"),
        (np.eye(24), {"seed": -1}, "seed"),
        (np.eye(24), {"neurons": [1]}, "24 columns"),
        (np.eye(24)[:, :2], {"modules": [[5]]}, "neuron 5, which is none of 0, 1"),
    ],
)
def test_bad_embeddings(embedding, more, says):
    with pytest.raises(InputError, match=says):
        group_report(S4, embedding, **more)


def test_bad_questions():
    with pytest.raises(InputError, match="cyclic groups of at least 5"):
        rings(S4, np.eye(24), OF_S4, [[0]])
    for module, says in (([], "columns from 0 to 0"), ([3], "columns from 0 to 0"), ([0], "same for every element")):
        with pytest.raises(InputError, match=says):
            rings(Z59, np.ones((59, 1)), OF_Z59, [module])
    with pytest.raises(InputError, match="they span 2 of 24"):
        spectrum(S4, np.eye(24), OF_S4[:2])
    for ask in (action_loss, lambda group, values: linear_relations(group, values, OF_S4)):
        with pytest.raises(InputError, match="nothing varies"):
            ask(S4, np.ones((24, 1)))
