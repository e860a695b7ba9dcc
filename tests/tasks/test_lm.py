"""Token tasks: what is read of a transformer's logits, and that runs train, end and come back."""

from __future__ import annotations

import math

import pytest
import torch

from bimt_tf import wire
from bimt_tf.adapters.families import parameters
from bimt_tf.config.reading import dump, load, make
from bimt_tf.errors import InputError
from bimt_tf.models.token_transformer import token_transformer
from bimt_tf.runs.execute import train_run
from bimt_tf.runs.load import load_run
from bimt_tf.tasks.groups import ModularAdditionOptions
from bimt_tf.tasks.lm import LMOptions
from bimt_tf.tasks.registry import task, variant
from bimt_tf.training.setup import set_up

SMALL = {"d_model": 8, "n_layers": 1, "n_heads": 2, "d_mlp": 6}
SHORT = {"steps": 12, "batch_size": 4, "log_every": 6, "checkpoint_every": 6, "swap_every": 4, "compile": "no"}


def lm(**data):
    return make("lm", overrides={"data": {"max_text": 600, "context": 8, **data}, "model": SMALL, "training": SHORT})


def test_a_seed_gives_its_weights_and_leaves_the_global_state():
    before = torch.get_rng_state()
    first, again, other = (token_transformer(5, 4, **SMALL, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    x = torch.arange(4)[None]
    with torch.no_grad():
        assert torch.equal(first(x), again(x)) and not torch.equal(first(x), other(x))


@pytest.mark.parametrize("normalization", ["none", "layer", "rms"])
@pytest.mark.parametrize("positions", ["standard", "rotary"])
def test_norms_and_positions_are_what_they_are_called(normalization, positions):
    model = token_transformer(5, 4, **SMALL, normalization=normalization, positions=positions, dtype=torch.float64)
    names = set(parameters(model))
    assert ("ln_final.weight" in names) == (normalization != "none")
    assert ("ln_final.bias" in names) == (normalization == "layer")
    assert ("pos_embed.weight" in names) == (positions == "standard")
    assert all(p.dtype == torch.float64 for p in parameters(model).values())
    wire(model)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"normalization": "batch"}, "unknown normalization 'batch'.*rms"),
        ({"positions": "none"}, "unknown positions 'none'.*rotary"),
        ({"act_fn": "tan"}, "unknown act_fn 'tan'.*relu"),
        ({"n_heads": 9}, "n_heads=9 is more than d_model=8"),
        ({"d_head": 3, "positions": "rotary"}, "d_head must be even, found 3"),
        ({"n_layers": 0}, "n_layers must be a whole number"),
    ],
)
def test_sizes_that_cannot_be_are_refused(given, says):
    with pytest.raises(InputError, match=says):
        token_transformer(5, 4, **{**SMALL, **given})


def test_a_model_makes_another_task():
    assert variant("modular-addition", "mlp") == "modular-addition"
    assert variant("modular-addition", "transformer") == "modular-addition-transformer"
    with pytest.raises(InputError, match="unknown model of s4 'cnn'.*mlp, transformer"):
        variant("s4", "cnn")
    with pytest.raises(InputError, match="lm has one model"):
        variant("lm", "transformer")
    with pytest.raises(InputError, match="unknown task 'lmm'.*'lm'"):
        variant("lmm", "transformer")


def test_a_sum_is_read_at_the_equals_sign():
    found = task("modular-addition-transformer")
    options = ModularAdditionOptions(modulus=5)
    data = found.data(options, 0, torch.float32)
    for part in data:
        assert part.inputs.shape[1] == 3 and (part.inputs[:, 2] == 5).all()
        assert torch.equal(part.inputs[:, :2].sum(1) % 5, part.targets)
    assert len(data.train.inputs) + len(data.test.inputs) == 25
    outputs = torch.zeros(len(data.test.targets), 3, 6)
    outputs[:, :2] = torch.nan  # outputs before "=" count for nothing
    outputs[:, 2, 5] = 100  # "=" is no sum
    outputs[torch.arange(len(outputs)), 2, data.test.targets] = 9
    assert found.metrics(options, outputs, data.test.targets)["accuracy"] == 1
    wanted = math.log(math.exp(9) + 4) - 9
    assert found.metrics(options, outputs, data.test.targets)["loss"] == pytest.approx(wanted, rel=1e-3)
    assert float(found.loss(options, outputs, data.test.targets)) == pytest.approx(wanted, rel=1e-3)
    true, predicted = found.reported(options, outputs, data.test.targets)
    assert torch.equal(true, predicted) and found.classes(options) == ["0", "1", "2", "3", "4"]


def test_targets_are_the_next_characters_and_bits_are_counted():
    found, options = task("lm"), LMOptions(max_text=600, context=8, test_windows=5)
    data = found.data(options, 0, torch.float32)
    assert data.test.inputs.shape == (5, 8)
    for part in data:
        assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
    n = len(found.classes(options))
    outputs = torch.zeros(5, 8, n)
    metrics = found.metrics(options, outputs, data.test.targets)
    assert metrics["bits_per_character"] == pytest.approx(math.log2(n), rel=1e-6)
    assert (
        metrics["loss"]
        == pytest.approx(math.log(n))
        == pytest.approx(float(found.loss(options, outputs, data.test.targets)))
    )
    seen = []
    found.measure(options, lambda inputs: seen.append(len(inputs)) or torch.zeros(*inputs.shape, n), data.train)
    assert seen == [5]  # of the hundreds of windows of the training part


def test_no_window_is_copied():
    config = lm(max_text=20_000, context=64)
    trainer = set_up(config)
    inputs = trainer.data.train.inputs
    assert inputs.numel() > 1_000_000 and inputs.untyped_storage().nbytes() == 8 * 20_000


def test_a_run_trains_ends_and_comes_back(tmp_path):
    config = lm()
    summary = train_run(config, tmp_path / "run")
    assert summary["test_bits_per_character"] == pytest.approx(summary["test_loss"] / math.log(2))
    figures = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == {"network", "connectivity", "curves", "confusion"}
    again = load_run(tmp_path / "run")
    assert again.evaluate()["loss"] == summary["test_loss"]
    assert load(tmp_path / "run" / "config.yaml") == config and "text: python-stdlib" in dump(config)


def test_a_stopped_run_goes_on_bit_for_bit():
    config = lm()
    whole = set_up(config)
    whole.run()
    half, saved = set_up(config), []
    half.run(on_checkpoint=saved.append, stop=lambda: half.step == 7)
    rest = set_up(config, saved[-1])
    assert rest.step == 7 and rest.run()
    for name, weight in whole.weights().items():
        assert torch.equal(weight, rest.weights()[name]), name


def test_a_graph_too_large_has_no_modularity_but_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("bimt_tf.runs.summary.MOST_EDGES", 10)
    summary = train_run(lm(), tmp_path / "run")
    assert summary["modularity_shared"] is None and "no graph of" in summary["notes"][0]
    assert (tmp_path / "run" / "figures" / "network.png").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"text": "/nowhere/a.txt"}, "cannot read the text"),
        ({"context": 0}, "context must be a whole number of at least 1"),
        ({"train_share": 1.0}, "train_share must be between 0 and 1"),
        ({"context": 100}, "too short for a context of 100"),
        ({"max_text": -1}, "max_text must be a whole number of at least 0"),
    ],
)
def test_data_that_cannot_be_used_write_nothing(tmp_path, data, says):
    with pytest.raises(InputError, match=says):
        train_run(lm(**data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weight_decay_takes_its_share():
    config = make("lm", method="vanilla", overrides={
        "data": {"max_text": 600, "context": 8}, "model": SMALL,
        "training": {**SHORT, "steps": 1, "finish": 0.0, "lr": 0.01},
    })  # fmt: skip
    plain, decayed = set_up(config), None
    training = {**SHORT, "steps": 1, "finish": 0.0, "lr": 0.01, "weight_decay": 0.5}
    decayed = set_up(make("lm", method="vanilla", overrides={
        "data": {"max_text": 600, "context": 8}, "model": SMALL, "training": training,
    }))  # fmt: skip
    before = plain.weights()
    plain.run(), decayed.run()
    for name, weight in plain.weights().items():
        taken = 0.01 * 0.5 * before[name]
        assert torch.allclose(weight - decayed.weights()[name], taken, atol=1e-7), name
