"""bimt_tf.train: a model and data of one's own through the same loop, in memory or into a run directory."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bimt_tf
from bimt_tf import BIMT, Geometry
from bimt_tf.errors import InputError
from bimt_tf.runs.stopping import RunFailed
from bimt_tf.tasks.base import Data, Split
from bimt_tf.tasks.own_model import OWN

X = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = (X[:, 0] * X[:, 3] + X[:, 1] * X[:, 2])[:, None]
QUICK = {"steps": 30, "batch_size": 16, "log_every": 10, "swap_every": 7, "lam": 0.1, "lr": 0.01, "compile": "no"}


def network(outputs=1):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Linear(8, outputs))


def test_the_model_is_trained_in_place_and_left_an_ordinary_one():
    model = network()
    before, grads = copy.deepcopy(model.state_dict()), [p.grad for p in model.parameters()]
    identities, called = [id(p) for p in model.parameters()], []
    model[0].register_forward_hook(lambda *given: called.append(1))
    model.train()
    threads, rng = torch.get_num_threads(), torch.get_rng_state()
    trained = bimt_tf.train(model, (X, Y), **QUICK)
    assert trained.model is model and trained.bimt.model is model and trained.path is None
    assert [id(p) for p in model.parameters()] == identities and called and model.training
    assert [p.grad for p in model.parameters()] == grads
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())
    for p in model.parameters():  # views of one vector would be saved and copied as a whole
        assert p.is_leaf and p.requires_grad and p.untyped_storage().nbytes() == p.numel() * p.element_size()
    assert threads == torch.get_num_threads() and torch.equal(rng, torch.get_rng_state())
    assert [record["step"] for record in trained.metrics] == [10, 20, 30]
    assert "Sequential by bimt" in repr(trained) and "held out: loss" in repr(trained)
    assert trained.metrics[-1]["test_loss"] == trained.test["loss"]


def test_a_frozen_parameter_stays():
    model = network()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.detach().clone()
    bimt_tf.train(model, (X, Y), **QUICK)
    assert torch.equal(model[0].weight, before) and not model[0].weight.requires_grad
    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(InputError, match="nothing to train"):
        bimt_tf.train(model, (X, Y), **QUICK)


def test_dropout_is_off_while_held_out_examples_are_measured():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.Dropout(0.5), nn.Linear(8, 1))
    model[1].eval()
    trained = bimt_tf.train(model, (X, Y), test=(X, Y), **QUICK)
    assert model.training and model[2].training and not model[1].training
    with torch.no_grad():
        assert trained.test["loss"] == pytest.approx(float((model.eval()(X) - Y).square().mean()))


def test_a_run_is_the_same_in_memory_and_in_a_directory_and_by_its_seed(tmp_path):
    def weights(**given):
        model = network()
        bimt_tf.train(model, (X, Y), **QUICK, **given)
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()])

    usual = weights()
    assert torch.equal(usual, weights(out=tmp_path / "run"))
    assert not torch.equal(usual, weights(seed=1))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["test_loss"] > 0
    assert (tmp_path / "run" / "model.safetensors").is_file() and "task: own" in (
        tmp_path / "run" / "config.yaml"
    ).read_text()
    with pytest.raises(InputError, match="not empty"):
        weights(out=tmp_path / "run")


@pytest.mark.parametrize("kind", ["tensors", "tensor dataset", "dataset", "loader"])
def test_data_of_every_kind(kind):
    class Own(torch.utils.data.Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, i):
            return X[i], Y[i]

    given = {
        "tensors": (X, Y), "tensor dataset": TensorDataset(X, Y), "dataset": Own(),
        "loader": DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True),
    }[kind]  # fmt: skip
    settings = {name: value for name, value in QUICK.items() if kind != "loader" or name != "batch_size"}
    losses = [
        bimt_tf.train(network(), given, test=None if kind != "loader" else (X, Y), **settings).test["loss"]
        for _ in range(2)
    ]
    assert losses[0] == losses[1] < 0.5
    both = bimt_tf.train(network(), given, test=given, **settings)
    assert both.test["loss"] < 0.5


def test_what_is_held_out_is_not_trained_on():
    seen = []

    def loss(outputs, targets):
        seen.extend(targets[:, 0].tolist()) if torch.is_grad_enabled() else None
        return (outputs - targets).square().mean()

    numbered = torch.arange(60.0)[:, None]
    bimt_tf.train(network(), (X, numbered), loss, test_share=0.5, **QUICK)
    assert 15 < len(set(seen)) <= 30


def test_classes_and_figures_of_ones_own():
    classes = (Y[:, 0] > 0).long()
    settings = {**QUICK, "steps": 300, "lam": 0.001, "test": (X, classes)}
    trained = bimt_tf.train(
        network(2), (X, classes), "cross_entropy", metrics=lambda o, t: {"first": o[0, 0], "n": len(t)}, **settings
    )
    assert trained.test["accuracy"] > 0.6 and trained.test["n"] == 60 and isinstance(trained.test["first"], float)


@pytest.mark.parametrize(("loss", "says"), [
    (lambda outputs, targets: outputs - targets, r"gives float32 of shape \[16, 1\]"),
    (lambda outputs, targets: 1.0, "gives a float"),
    (lambda outputs, targets: None, "gives a NoneType"),
    (lambda outputs, targets: (outputs > targets).sum(), r"gives int64 of shape \[\]"),
    (lambda outputs, targets: (outputs.detach() - targets).mean(), "it has no gradient"),
])  # fmt: skip
@pytest.mark.parametrize("compile", ["no", "yes"])
def test_a_loss_that_gives_no_scalar_is_one_line(loss, says, compile):
    with pytest.raises(InputError, match=says) as caught:
        bimt_tf.train(network(), (X, Y), loss, **{**QUICK, "compile": compile})
    assert "\n" not in str(caught.value)


def test_a_bimt_keeps_its_own_wiring_and_geometry():
    model = network()
    bimt = BIMT(model, Geometry(3.0, 0.25, "l2"), reduction="sum")
    trained = bimt_tf.train(bimt, (X, Y), **QUICK)
    assert trained.bimt is bimt and trained.config.geometry.width == 3.0 and trained.config.training.reduction == "sum"
    assert any(not torch.equal(slots, torch.arange(len(slots))) for slots in bimt.layout.slots.values())
    with pytest.raises(InputError, match="width is the given BIMT's own"):
        bimt_tf.train(bimt, (X, Y), width=1.0, **QUICK)


@pytest.mark.parametrize(("given", "says"), [
    ({"setps": 3}, "unknown setting 'setps'; did you mean 'steps'"), ({"loss": "mse"}, "unknown loss 'mse'"),
    ({"lr": "fast"}, "lr"), ({"method": "bmit"}, "did you mean 'bimt'"), ({"batch_size": 61}, "larger than the 48"),
    ({"test_share": 1.5}, "test_share"), ({"loggers": ["wandb"]}, "give out="),
    ({"dtype": "float64"}, "convert the model"),
    ({"data": (X, Y[:3])}, "same number of examples"), ({"data": X}, "two tensors"),
    ({"data": (X.double(), Y)}, "float64"), ({"data": (X, Y.log())}, "targets of .* hold NaN or infinity in"),
    ({"data": (X, Y), "test": (X / 0, Y)}, "inputs of test hold NaN or infinity in"),
    ({"data": (X, Y[:, 0])}, "of one shape"), ({"data": (X, Y), "loss": "cross_entropy"}, "cross_entropy takes"),
    ({"data": DataLoader(TensorDataset(X, Y))}, "give test="), ({"data": (X[:1], Y[:1])}, "cannot be split"),
    ({"device": "cuda:99"}, "not available"), ({"model": nn.LSTM(2, 2)}, "no adapter knows"),
])  # fmt: skip
def test_a_mistake_is_one_line(given, says):
    given = {"model": network(), "data": (X, Y), **QUICK, **given}
    if isinstance(given["data"], DataLoader):
        del given["batch_size"]
    with pytest.raises(InputError, match=says) as caught:
        bimt_tf.train(**given)
    assert "\n" not in str(caught.value)


def test_a_run_that_diverges_fails_and_gives_the_model_back():
    model = network()
    with pytest.raises(RunFailed, match="at step"):
        bimt_tf.train(model, (X, Y), **{**QUICK, "lr": 1e30})
    assert all(p.untyped_storage().nbytes() == p.numel() * p.element_size() for p in model.parameters())


def test_a_loader_takes_no_batch_size_and_no_polish():
    loader = DataLoader(TensorDataset(X, Y), batch_size=16)
    with pytest.raises(InputError, match="batch size of its own"):
        bimt_tf.train(network(), loader, test=(X, Y), **QUICK)
    del (settings := dict(QUICK))["batch_size"]
    with pytest.raises(InputError, match="polish"):
        bimt_tf.train(network(), loader, test=(X, Y), polish=0.5, **settings)


def test_by_its_name_alone_the_task_says_what_is_missing():
    options = OWN.Options("own")
    for ask in (
        lambda: OWN.data(options, 0, torch.float32), lambda: OWN.model(None, options, 0, torch.float32),
        lambda: OWN.loss(options, Y, Y),
    ):  # fmt: skip
        with pytest.raises(InputError, match="given in Python"):
            ask()
    assert OWN.loss(OWN.Options("squared"), Y, Y + 1).item() == pytest.approx(1)


def test_a_task_of_ones_own_goes_through_the_same_loop():
    from bimt_tf.config.reading import make
    from bimt_tf.tasks.registry import task
    from bimt_tf.training.setup import set_up

    class Doubled(type(task("symbolic-a"))):
        def data(self, options, seed, dtype):
            train, test = super().data(options, seed, dtype)
            return Split(*(Data(part.inputs, 2 * part.targets, {}) for part in (train, test)))

    import dataclasses

    found = task("symbolic-a")
    own = Doubled(**{field.name: getattr(found, field.name) for field in dataclasses.fields(found)})
    config = make("symbolic-a", overrides={"training": {"steps": 4}})
    trainer = set_up(config, task=own)
    assert trainer.task is own and trainer.run()
    assert torch.equal(trainer.data.train.targets, 2 * set_up(config).data.train.targets)


@pytest.mark.parametrize("shape", [torch.rand(4, 2), (2, 2)])
def test_a_geometry_that_a_run_directory_does_not_keep_is_refused_there_and_trained_in_memory(shape, tmp_path):
    """It was read back as a line, with another cost and other pictures."""
    x = torch.rand(16, 3)
    bimt = BIMT(bimt_tf.MLP([3, 4, 1], seed=0), Geometry(shapes={"hidden0": shape}))
    settings = {"steps": 5, "lam": 0.01, "progress": False}
    with pytest.raises(InputError, match="for 'hidden0'; train without out="):
        bimt_tf.train(bimt, (x, x[:, :1]), out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()
    assert bimt_tf.train(bimt, (x, x[:, :1]), **settings).bimt.geometry.shapes["hidden0"] is shape
