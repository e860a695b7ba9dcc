"""The parts of a probe against plain references: units and shuffles, scores and intervals, stages and reach."""

import numpy as np
import pytest
import torch
from sklearn.metrics import brier_score_loss, r2_score
from transformer_lens import TransformerBridge, TransformerBridgeConfig

from bimt_tf.adapters.hook_order import stage_before
from bimt_tf.analysis.baselines import Baselines
from bimt_tf.analysis.probe_scores import Reader, difference
from bimt_tf.analysis.probe_split import divide, shuffled_columns, units_of
from bimt_tf.analysis.probe_values import checked_target
from bimt_tf.analysis.regressors import linear_regressor
from bimt_tf.analysis.stages import reaching_tokens, stages
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer


def test_units_are_the_distinct_rows():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 3, size=(200, 2, 2)) * 0.1 - 0.1
    units = units_of(rows)
    for i in range(0, 200, 7):
        assert ((units == units[i]) == (rows == rows[i]).all((1, 2))).all()


def test_no_unit_is_trained_on_and_held_out_and_each_is_held_out_once():
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 40, size=300)
    target = checked_target(rng.normal(size=300), 300)
    division = divide(target, {"token 0": tokens}, 0)
    assert division.units == 40 and division.repeated and len(division.folds) == 5
    for train, held in division.folds:
        assert not set(tokens[train]) & set(tokens[held]) and len(train) + len(held) == 300
    assert sorted(np.concatenate([held for _, held in division.folds])) == list(range(300))
    many = divide(target, {"token 0": np.arange(300)}, 0)
    assert len(many.folds) == 1 and len(many.folds[0][1]) == 60 and not many.repeated


def test_the_token_that_determines_the_target_is_the_unit():
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 30, size=(2, 400))
    reaching = {"token 0": first, "token 1": second}
    label = rng.normal(size=30)
    assert divide(checked_target(label[second], 400), reaching, 0).by == "token 1, which determines the target"
    both = divide(checked_target(label[second] + label[first], 400), reaching, 0)
    assert both.by == "what reaches this place: token 0, token 1" and both.units == len({*zip(first, second)})  # noqa: B905
    assert divide(checked_target(label[second], 400), {"token 0": first}, 0).units == 30


@pytest.mark.parametrize("sizes", [[1] * 40, [3, 1, 5, 2] * 10])
def test_a_shuffle_gives_each_unit_the_targets_of_another(sizes):
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(40), sizes)
    values = rng.normal(size=40)
    target = checked_target(values[unit], len(unit))
    division = divide(target, {"token 0": unit}, 0)
    shuffles = shuffled_columns(target, division, 0)
    assert len(shuffles) == 10 and not np.array_equal(shuffles[0], shuffles[1])
    of_unit = target.values[np.unique(unit, return_index=True)[1]]
    for shuffled in shuffles:
        each = [set(shuffled[unit == u, 0]) for u in range(40)]
        assert all(len(one) == 1 for one in each)
        assert sorted(one.pop() for one in each) == sorted(of_unit)


def test_scores_and_intervals_are_those_of_a_plain_bootstrap():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = x[:, 0] + 0.5 * rng.normal(size=400)
    target = checked_target(y, 400)
    division = divide(target, {"the input": x}, 1)
    reader = Reader(target, division, 1)
    found, less = reader.linear(x), reader.linear(x[:, 1:])
    ((train, held),) = division.folds
    predicted = linear_regressor().fit(x[train], y[train]).predict(x[held])
    assert found.score.value == pytest.approx(r2_score(y[held], predicted), abs=1e-9)
    drawn = np.random.default_rng(5).integers(0, len(held), size=(2000, len(held)))
    r2 = [r2_score(y[held][rows], predicted[rows]) for rows in drawn]
    low, high = np.quantile(r2, [0.025, 0.975])
    assert (found.score.low, found.score.high) == pytest.approx((low, high), abs=0.02)
    gain = difference(found, less)
    assert gain.value == pytest.approx(found.score.value - less.score.value) and gain.low > 0.2
    same = difference(found, found)
    assert same.value == same.low == same.high == 0
    assert len(found.shuffled) == 10 and max(found.shuffled) < 0.1


def test_the_interval_is_over_units_not_over_their_repetitions():
    rng = np.random.default_rng(0)
    x = np.repeat(rng.normal(size=(60, 1)), 10, axis=0)
    y = np.repeat(x[::10, 0] + rng.normal(size=60), 10)
    few, many = (
        Reader(checked_target(v, len(v)), divide(checked_target(v, len(v)), {"the input": u}, 0), 0).linear(u).score
        for v, u in ((y[::10], x[::10]), (y, x))
    )
    assert many.value == pytest.approx(few.value, abs=0.05)
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.35)


def test_the_score_of_two_classes_is_the_brier_skill():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 2))
    y = (x[:, 0] + rng.normal(size=500) > 0).astype(int)
    target = checked_target(y, 500)
    division = divide(target, {"the input": x}, 0)
    score = Reader(target, division, 0).linear(x).score
    ((train, held),) = division.folds
    p = linear_regressor().fit(x[train], y[train]).predict(x[held]).clip(0, 1)
    skill = 1 - brier_score_loss(y[held], p) / brier_score_loss(y[held], np.full(len(held), y[held].mean()))
    assert score.value == pytest.approx(skill, abs=0.01)
    assert score.accuracy == pytest.approx(((p > 0.5) == y[held]).mean(), abs=0.011)


def test_a_target_of_few_whole_numbers_is_classes():
    signs = np.tile([1.0, -1.0], 50)
    assert checked_target(signs, 100).kind == checked_target(signs > 0, 100).kind == "classes"
    assert checked_target(np.arange(100.0), 100).kind == checked_target(signs * 0.5, 100).kind == "numbers"
    assert checked_target(signs, 100, "numbers").kind == "numbers"


def test_the_stage_before():
    model = RegressionTransformer(d_model=8, n_layers=2, n_heads=2, d_mlp=4)
    inputs = torch.randn(8, 3, 2)
    found = stages(model, inputs)
    assert found["blocks.0.attn.hook_z"] == ("blocks.0.attn.hook_z", 3, 2, 8)
    assert "blocks.0.attn.hook_pattern" not in found
    order = list(found)
    for hook, wanted in {
        "hook_embed": None,
        "blocks.0.hook_resid_pre": "hook_embed",
        **{f"blocks.1.attn.hook_{x}": "blocks.1.hook_resid_pre" for x in "qkv"},
        "blocks.1.attn.hook_z": "blocks.1.attn.hook_v",
        "blocks.1.hook_attn_out": "blocks.1.attn.hook_z",
        "blocks.1.hook_resid_mid": "blocks.1.hook_resid_pre",
        "blocks.1.mlp.hook_pre": "blocks.1.hook_resid_mid",
        "blocks.1.mlp.hook_post": "blocks.1.mlp.hook_pre",
        "blocks.1.hook_resid_post": "blocks.1.hook_resid_mid",
    }.items():
        assert stage_before(hook, order) == wanted
    tokens = TokenMLP(7, 4, 2, [6, 3])
    assert stage_before("layers.0.hook_pre", list(stages(tokens, torch.zeros(4, 2, dtype=torch.int64)))) == "hook_embed"


def test_which_tokens_reach_a_place():
    model = RegressionTransformer(d_model=8, n_layers=1, d_mlp=4, dtype=torch.float64)
    inputs = torch.randn(30, 3, 2, dtype=torch.float64)
    found = reaching_tokens(model, inputs, stages(model, inputs))
    assert np.array_equal(found["hook_embed"], np.eye(3, dtype=bool))
    assert np.array_equal(found["blocks.0.attn.hook_v"], np.eye(3, dtype=bool))
    assert np.array_equal(found["blocks.0.hook_resid_post"], np.tri(3, dtype=bool))
    pairs = torch.randint(7, (30, 2))
    tokens = TokenMLP(7, 4, 2, [6, 3])
    found = reaching_tokens(tokens, pairs, stages(tokens, pairs))
    assert np.array_equal(found["hook_embed"], np.eye(2, dtype=bool)) and found["layers.0.hook_post"].all()
    mlp = MLP([3, 4, 1])
    assert reaching_tokens(mlp, torch.rand(5, 3), stages(mlp, torch.rand(5, 3)))["layers.0.hook_post"].shape == (1, 1)


def test_what_reaches_is_asked_of_the_untrained_network_where_there_is_one():
    """A trained network may have cut a token off; what could have reached is the fair baseline."""
    cut, whole = (RegressionTransformer(d_model=8, n_layers=1, d_mlp=4, seed=seed) for seed in (0, 1))
    with torch.no_grad():
        cut.blocks[0].attn.W_V.zero_()
    inputs = torch.randn(30, 3, 2)
    for untrained, wanted in ((None, {"token 2"}), (whole, {"token 0", "token 1", "token 2"})):
        base = Baselines(cut, inputs, untrained)
        assert set(base.reaching("blocks.0.hook_resid_post", 2)) == wanted
        assert base.input_features("blocks.0.hook_resid_post", 2).shape == (30, 2 * len(wanted))


def test_tokens_are_a_column_for_each_value():
    model, pairs = TokenMLP(7, 4, 2, [6, 3]), torch.randint(7, (60, 2), generator=torch.Generator().manual_seed(0))
    features = Baselines(model, pairs, None).input_features("layers.0.hook_post", None)
    assert features.shape == (60, 14) and (features.sum(1) == features.sum(1)[0]).all()


def test_a_bridge_has_its_hooks_under_transformer_lens_s_names():
    config = TransformerBridgeConfig(n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=16, n_ctx=4, d_vocab=10,
                                     act_fn="gelu")  # fmt: skip
    model = TransformerBridge.boot_native(config)
    tokens = torch.randint(10, (30, 3))
    base = Baselines(model, tokens, None)
    assert {"hook_embed", "blocks.0.hook_resid_pre", "blocks.0.attn.hook_z"} <= set(base.stages)
    assert base.stage("blocks.0.hook_in").hook == "blocks.0.hook_resid_pre"
    assert list(base.reaching("blocks.0.hook_resid_post", 1)) == ["token 0", "token 1"]
    assert all(not point._forward_hooks for point in model.hook_dict.values())
