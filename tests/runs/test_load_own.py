"""Runs of one's own model, opened with the model, examples and loss that their directories do not hold."""

from __future__ import annotations

import pytest
import torch

import bimt_tf
from bimt_tf.errors import InputError
from bimt_tf.runs.load import load_run

X = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
Y = (X[:, 0] * X[:, 3])[:, None]
QUICK = {"steps": 20, "batch_size": 16, "log_every": 10, "compile": "no", "progress": False}


def network(outputs=1):
    return bimt_tf.MLP([4, 6, outputs], seed=0)


def cubed(outputs, targets):
    return (outputs - targets).abs().pow(3).mean()


def trained_in(path, data=(X, Y), loss="squared", outputs=1):
    return bimt_tf.train(network(outputs), data, loss, test=data, out=path, **QUICK)


def test_given_examples_are_held_out_ones(tmp_path):
    trained = trained_in(tmp_path / "run")
    run = load_run(tmp_path / "run", model=network(), data=(X, Y))
    assert run.evaluate() == run.evaluate("held-out") == pytest.approx(trained.test)
    assert torch.equal(run.examples(n=3).inputs, X[:3])
    ablated = run.ablate("layers.0.hook_post")
    assert len(ablated) == 6 and ablated[0].before == pytest.approx(trained.test["loss"])
    assert len({point.loss for point in run.prune()}) > 1
    assert run.figure("prediction").axes and run.figure("network").axes
    with pytest.raises(InputError, match="held-out ones alone were given"):
        run.evaluate("train")
    with pytest.raises(InputError, match="no named quantities: give values of your own, one for each of the 60"):
        run.probe("layers.0.hook_post", target="x1")


def test_without_them_the_error_says_how_to_give_them(tmp_path):
    trained_in(tmp_path / "run")
    run = load_run(tmp_path / "run", model=network())
    for ask in (run.evaluate, lambda: run.ablate("layers.0.hook_post"), lambda: run.figure("prediction"), run.examples):
        with pytest.raises(InputError, match=r"data=\(inputs, targets\)"):
            ask()


def test_a_loss_that_was_a_function_is_given_again(tmp_path):
    trained = trained_in(tmp_path / "run", loss=cubed)
    with pytest.raises(InputError, match=r"loss of this run was a function .* loss=\.\.\."):
        load_run(tmp_path / "run", model=network(), data=(X, Y)).evaluate()
    run = load_run(tmp_path / "run", model=network(), data=(X, Y), loss=cubed)
    assert run.evaluate() == pytest.approx(trained.test)
    with pytest.raises(InputError, match="loss must be a function of outputs and targets, found 'cubed'"):
        load_run(tmp_path / "run", model=network(), data=(X, Y), loss="cubed")


def test_a_prediction_of_classes_is_drawn(tmp_path):
    data = (X, (Y[:, 0] > 0).long())
    trained = trained_in(tmp_path / "run", data, "cross_entropy", outputs=2)
    run = load_run(tmp_path / "run", model=network(2), data=data)
    assert run.evaluate()["accuracy"] == trained.test["accuracy"] and run.figure("prediction").axes


def test_what_a_run_cannot_take_is_one_line(tmp_path, whole_run):
    trained_in(tmp_path / "run")
    for given, says in (
        ({"loss": cubed}, "is 'squared': leave out loss"), ({"data": X}, "two tensors"),
        ({"data": (X.double(), Y)}, "inputs of data are float64 and the model float32"),
        ({"data": (X, Y[:3])}, "same number of examples"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=says):
            load_run(tmp_path / "run", model=network(), **given)
    for given in ({"data": (X, Y)}, {"loss": cubed}):
        with pytest.raises(InputError, match="is for runs of your own model: .* has that of in-context"):
            load_run(whole_run, **given)
