"""In-context regression beyond the paper's: several solved examples, several outputs, norms and positions."""

import pytest
import torch

from bimt_tf.bimt import BIMT
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.runs.ask.usual import usual_probe
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.in_context import IN_CONTEXT, InContextOptions, TransformerOptions
from bimt_tf.training.setup import set_up

F64 = torch.float64
SMALL = {"d_model": 8, "n_layers": 1, "n_heads": 2, "d_mlp": 6}


def options(**given):
    return InContextOptions(**{"samples": 60, **given})


@pytest.mark.parametrize(
    ("sizes", "w", "y", "x"),
    [
        ((1, 1), ["w"], ["y1"], ["x"]),
        ((1, 3), ["w_1", "w_2", "w_3"], ["y1"], ["x_1", "x_2", "x_3"]),
        ((2, 1), ["w_1", "w_2"], ["y1_1", "y1_2"], ["x"]),
        ((2, 2), ["w_1_1", "w_1_2", "w_2_1", "w_2_2"], ["y1_1", "y1_2"], ["x_1", "x_2"]),
    ],
)
def test_numbers_are_named_by_output_and_feature(sizes, w, y, x):
    made = options(outputs=sizes[0], dim=sizes[1])
    assert (made.names("w"), made.names("y1"), made.names("x")) == (w, y, x)


@pytest.mark.parametrize(("outputs", "dim", "examples"), [(2, 1, 1), (3, 2, 2), (1, 1, 3)])
def test_every_token_follows_from_w_and_x(outputs, dim, examples):
    made = options(outputs=outputs, dim=dim, examples=examples)
    data = IN_CONTEXT.data(made, 0, F64).test
    w = torch.stack([data.quantities[name] for name in made.names("w")], 1).view(-1, outputs, dim)
    targets = data.targets.view(len(w), examples + 1, outputs)
    for token in range(2 * examples + 1):
        k, features = token // 2, data.inputs[:, token]
        x = data.inputs[:, 2 * k, outputs:]
        y = torch.stack([sum(w[:, j, i] * x[:, i] for i in range(dim)) for j in range(outputs)], 1)
        assert torch.allclose(targets[:, k], y)
        other, own = (features[:, outputs:], features[:, :outputs])
        assert torch.equal(other if token % 2 else own, torch.zeros_like(other if token % 2 else own))
        if token % 2:
            assert torch.allclose(own, y)
            for j, name in enumerate(made.names(f"y{k + 1}")):
                assert torch.equal(data.quantities[name], own[:, j])
        elif dim == 1:
            name = "x" if k == examples else f"x{k + 1}"
            assert torch.equal(data.quantities[name], features[:, outputs])


def test_the_loss_reads_every_output_at_the_x_tokens():
    made = options(outputs=2, samples=20)
    data = IN_CONTEXT.data(made, 0, F64).train
    outputs = torch.full((16, 3, 3), 100.0, dtype=F64)  # what is not read
    outputs[:, 0, :2], outputs[:, 2, :2] = data.targets[:, 0] + 1, data.targets[:, 1] + 3
    outputs[:, 2, 1] += 2
    assert float(IN_CONTEXT.loss(made, outputs, data.targets)) == pytest.approx((1 + 1 + 9 + 25) / 4)
    last = options(outputs=2, samples=20, read="last")
    assert float(IN_CONTEXT.loss(last, outputs, data.targets)) == pytest.approx((9 + 25) / 2)
    assert IN_CONTEXT.metrics(made, outputs, data.targets) == pytest.approx({"loss": 17, "loss_all": 9})
    true, predicted = IN_CONTEXT.reported(made, outputs, data.targets)
    assert true.shape == (32,) and torch.allclose((predicted - true).view(-1, 2), torch.tensor([3.0, 5.0], dtype=F64))
    for chosen in (made, last):
        residuals = IN_CONTEXT.fitted(chosen).read(outputs, data.targets)
        assert residuals.ndim == 2
        assert float(residuals.square().mean()) == pytest.approx(float(IN_CONTEXT.loss(chosen, outputs, data.targets)))


@pytest.mark.parametrize("given", [{"outputs": 2}, {"outputs": 2, "examples": 2}, {"outputs": 2, "dim": 2}])
def test_pairs_change_one_quantity_and_nothing_that_does_not_follow(given):
    made = options(samples=400, **given)
    data, m = IN_CONTEXT.data(made, 0, F64).test, made.outputs
    known = IN_CONTEXT.changeable(made)
    assert set(made.names("w")) <= set(known) and ("y1_2" in known) == (given == {"outputs": 2})
    for quantity in known:
        pairs = IN_CONTEXT.counterfactual(made, data, quantity, torch.Generator().manual_seed(0))
        differs = {tuple(place) for place in (pairs.changed != pairs.inputs).any(0).nonzero().tolist()}
        xs = {"x": {(2 * made.examples, m)}, "x1": {(0, m)}}
        tokens = range(1, 2 * made.examples, 2)
        assert differs == (xs.get(quantity) or {(token, int(quantity.split("_")[1]) - 1) for token in tokens})
        if made.dim == 1:  # w can be read off the changed numbers
            w = pairs.changed[:, 1, :m] / pairs.changed[:, 0, m:]
            assert torch.allclose(pairs.targets[:, -1], w * pairs.changed[:, -1, m:])


@pytest.mark.parametrize("given", [{"examples": 2}, {"outputs": 2, "examples": 3}])
def test_labels_and_probes_follow(given):
    made = options(**given)
    config = make("in-context", overrides={"data": {"samples": 60, **given}, "model": SMALL})
    model = IN_CONTEXT.model(config.model, config.data, 0, torch.float32)
    found = IN_CONTEXT.labels(made)
    assert len(found["input"]) == model.cfg.d_in == len(found["output"]) == model.cfg.d_out
    assert [len(one) for one in (found["input"], made.names("y"))] == [1 + made.outputs, made.outputs]
    probe = IN_CONTEXT.probes(made)[0]
    assert (probe.target, probe.position) == (made.names("w")[0], 2 * made.examples - 1)
    trained = Trained(config, model, BIMT(model))
    assert usual_probe(trained) == probe
    live = live_part(trained)
    assert live["truth"] is None and [one["name"] for one in live["outputs"]] == made.names(
        "y"
    )  # no formula of one pair
    assert [one["name"] for one in live["inputs"]][:2] == ["x1", made.names("y1")[0]]


def run(**overrides):
    training = {
        "steps": 300,
        "batch_size": 32,
        "finish": 0.0,
        "eliminate": False,
        "lam": 0.0,
        "lr": 5e-3,
        "compile": "no",
    }
    return set_up(make("in-context", seed=100, overrides={"training": training, **overrides}))


def test_two_examples_and_two_outputs_are_learned():
    for data in ({"examples": 2}, {"outputs": 2}):
        trainer = run(data={"samples": 1000, "read": "all", **data}, model={**SMALL, "d_model": 16})
        before = trainer.evaluate()["loss"]
        trainer.run()
        assert trainer.evaluate()["loss"] < 0.1 * before


@pytest.mark.parametrize("norms", ["as-is", "effective"])
def test_a_run_with_norms_and_positions(norms):
    model = {**SMALL, "normalization_type": "LN", "positional_embedding_type": "standard"}
    short = {"steps": 20, "batch_size": 8, "norms": norms, "swap_every": 5, "finish": 0.5, "eliminate": False}
    trainer = set_up(make("in-context", overrides={"data": {"samples": 60}, "model": model, "training": short}))
    trainer.run()
    weights = trainer.weights()
    trained = Trained.of(trainer)
    assert "without norm, and this model's residual stream has LN" in live_part(trained)["reason"]
    assert {"blocks.0.ln1.w", "ln_final.b", "pos_embed.W_pos"} < set(weights)
    assert all(torch.isfinite(p).all() for p in weights.values())


@pytest.mark.parametrize(
    ("field", "says"), [({"normalization_type": "layer"}, "unknown normalization_type 'layer'.*known: none, LN"),
                        ({"positional_embedding_type": "rotary"}, "unknown positional_embedding_type.*none, standard")],
)  # fmt: skip
def test_options_that_cannot_be(field, says):
    with pytest.raises(InputError, match=says):
        TransformerOptions(**field)
