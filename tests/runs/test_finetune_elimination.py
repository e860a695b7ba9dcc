"""Pretrained models, eliminated: by the objective of the training, tables kept, and given back to transformers."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.config.settings import EliminationConfig
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet
from bimt_tf.runs.execute import Interrupted, eliminate_run, resume_run, train_run
from bimt_tf.runs.load import load_run
from bimt_tf.tasks import finetune as finetuning
from bimt_tf.tasks.registry import task
from bimt_tf.training.elimination import large_search
from bimt_tf.training.elimination.objective import Divergence, Scalar

TEXT = b"the cat sat on the mat; the dog sat on the cat. " * 12
KINDS = ("gpt2", "llama")


def build(kind: str):
    """Models whose weights are large enough for a function that is hard to keep."""
    if kind == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(vocab_size=256, n_positions=16, n_embd=8, n_layer=1, n_head=2, initializer_range=0.3)
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=256, max_position_embeddings=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, intermediate_size=12, initializer_range=0.3,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Kind -> directory that save_pretrained wrote."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        for kind in KINDS:
            build(kind).save_pretrained(folder / kind)
    return {kind: str(folder / kind) for kind in KINDS}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "cat.txt"
    path.write_bytes(TEXT)
    return str(path)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Short refits and a coarse end; directories of one name may hold another model in the next test."""
    for name, value in {"STEPS": 8, "PROBES": 8, "LEAST_SHARE": 0.1, "MORE": 1}.items():
        monkeypatch.setattr(large_search, name, value)
    for kept in (finetuning._original, finetuning._sizes, finetuning._read):
        kept.cache_clear()


def config(model, text, objective="kl", steps=0, elimination=None, **training):
    return make("finetune", overrides={
        "data": {"model": model, "text": text, "context": 8, "test_windows": 4, "objective": objective},
        "training": {"steps": steps, "batch_size": 4, "log_every": 8, "checkpoint_every": 8, **training},
        "elimination": {"fit_examples": 64, **(elimination or {})},
    })  # fmt: skip


def eliminated(model, text, out, objective="kl", **budget):
    return train_run(config(model, text, objective, elimination=budget, eliminate=True), out, draw=False)


def plain(directory):
    return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_opens_in_transformers_and_in_a_bridge_with_the_same_logits(models, text, tmp_path, kind):
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    out = tmp_path / "run"
    summary = eliminated(models[kind], text, out, max_loss=0.5)
    assert summary["nonzero_weights"] < summary["total_weights"] and "trained" in summary
    run = load_run(out)
    x = run.held_out.inputs
    found = plain(out / "huggingface")
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = run.model(x)
        logits = found(x).logits
        bridge = build_bridge_from_module(
            copy.deepcopy(found), type(found).__name__, hf_config=found.config, model_name=kind
        )
        in_bridge = bridge(x)
    assert torch.allclose(logits, wanted, rtol=1e-5, atol=1e-6) and torch.allclose(in_bridge, wanted, atol=1e-6)
    assert float(task("finetune").metrics(run.config.data, logits, run.held_out.targets)["loss"]) < 1.5
    held = run.bimt.parameters
    zeros = sum(int((held[c.parameter] == 0).sum()) for c in run.bimt.wiring.connections)
    layers = dict(found.named_parameters())
    tables = ("wte", "wpe", "embed", "lm_head")
    matrices = [p for name, p in layers.items() if p.ndim == 2 and not any(word in name for word in tables)]
    assert sum(int((p == 0).sum()) for p in matrices) == zeros == summary["total_weights"] - summary["nonzero_weights"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_is_what_is_kept_and_no_token_is_lost(models, text, tmp_path, kind):
    out = tmp_path / "run"
    eliminated(models[kind], text, out, max_loss=0.5)
    rows = load_run(out).elimination
    assert abs(rows[0]["loss"]) < 1e-6  # the model as it was; the next token's cross entropy is far from 0
    assert all(row["loss"] <= 0.5 for row in rows) and rows[-1]["weights"] < rows[0]["weights"]
    assert rows[-1]["test_loss"] < 1.5
    before, after = load_run(out, at="trained"), load_run(out, at="end")
    tables = [one.parameter for one in before.bimt.wiring.attachments if not one.is_bias and one.charged]
    assert tables
    for name in tables:
        assert torch.equal(before.bimt.parameters[name] != 0, after.bimt.parameters[name] != 0)


def test_the_next_token_is_what_is_kept_if_that_was_asked(models, text, tmp_path):
    out = tmp_path / "run"
    eliminated(models["gpt2"], text, out, "lm", loss_factor=1.0)
    rows = load_run(out).elimination
    assert rows[-1]["weights"] < rows[0]["weights"] and rows[-1]["loss"] <= rows[0]["loss"]
    assert rows[0]["test_loss"] == pytest.approx(rows[0]["test_bits_per_byte"] * 0.6931471805599453, rel=1e-5)


def test_any_point_is_opened_and_exported(models, text, tmp_path, capsys):
    out = tmp_path / "run"
    eliminated(models["llama"], text, out, max_loss=0.5)
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["export", str(out), "--format", "huggingface", "--at", "trained", "--out", str(tmp_path / "first")])
    assert ended.value.code == 0 and capsys.readouterr().out.endswith(f"{tmp_path / 'first'}\n")
    run = load_run(out, at="trained")
    x = run.held_out.inputs
    with torch.no_grad():
        assert torch.allclose(plain(tmp_path / "first")(x).logits, plain(models["llama"])(x).logits, atol=1e-6)
        few = load_run(out, at=run.elimination[1]["weights"])
        assert not torch.allclose(few.model(x), run.model(x), atol=1e-3)
    with pytest.raises(SystemExit) as ended:
        main(["export", str(out), "--format", "huggingface"])
    assert ended.value.code == 2 and "needs --out" in capsys.readouterr().err


def test_an_export_removes_nobodys_files(models, text, tmp_path, capsys, monkeypatch):
    out, full = tmp_path / "run", tmp_path / "full"
    train_run(config(models["llama"], text, eliminate=False), out, draw=False)
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    asked = ["export", str(out), "--format", "huggingface", "--at", "trained", "--out"]
    for folder in (full, tmp_path, out):
        with pytest.raises(SystemExit) as ended:
            main([*asked, str(folder)])
        assert ended.value.code == 2 and f"{folder} is not empty" in capsys.readouterr().err
    assert (full / "thesis.txt").read_text() == "years of work" and load_run(out).summary
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    with pytest.raises(SystemExit) as ended:
        main([*asked, "."])
    assert ended.value.code == 0 and plain(tmp_path / "new")


def test_a_stopped_elimination_goes_on_to_the_same_bits(models, text, tmp_path):
    import os
    import signal

    from bimt_tf.runs.watcher import SilentWatcher

    class Stopping(SilentWatcher):
        def round(self, row):
            if row["round"] == 1:
                os.kill(os.getpid(), signal.SIGTERM)

    asked = config(models["gpt2"], text, elimination={"max_loss": 0.5}, eliminate=True)
    train_run(asked, tmp_path / "whole", draw=False)
    with pytest.raises(Interrupted, match="after round 1 of the elimination"):
        train_run(asked, tmp_path / "half", draw=False, watcher=Stopping())
    assert not (tmp_path / "half" / "huggingface").exists()
    resume_run(tmp_path / "half", draw=False)
    whole, half = (load_run(tmp_path / name) for name in ("whole", "half"))
    assert [row["weights"] for row in whole.elimination] == [row["weights"] for row in half.elimination]
    for name, value in whole.bimt.parameters.items():
        assert torch.equal(value, half.bimt.parameters[name])


def test_a_run_is_eliminated_later_and_its_budget_is_a_divergence(models, text, tmp_path):
    out = tmp_path / "run"
    train_run(config(models["gpt2"], text, steps=16, lr=0.01, eliminate=False), out, draw=False)
    before = plain(out / "huggingface")
    summary = eliminate_run(out, EliminationConfig(fit_examples=64), draw=False)
    assert summary["elimination"]["max_loss"] == finetuning.DIVERGENCE
    assert summary["elimination"]["largest_loss"] == finetuning.DIVERGENCE
    after = plain(out / "huggingface")
    assert any(not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)) or (
        summary["elimination"]["rounds"] == 0
    )


def test_budgets_that_cannot_be_are_refused_before_anything_is_written(models, text, tmp_path):
    out = tmp_path / "run"
    for budget in ({"neurons": 3}, {"whole_neurons": "first"}, {"stay_near": True}):
        with pytest.raises(InputError, match=f"by minibatches, which do not know {next(iter(budget))}"):
            eliminated(models["gpt2"], text, out, **budget)
    assert not out.exists()
    train_run(config(models["gpt2"], text, eliminate=False), out, draw=False)
    with pytest.raises(InputError, match="do not know neurons"):
        eliminate_run(out, EliminationConfig(neurons=3))
    with pytest.raises(InputError, match="loss_factor multiplies the training loss, which is .*: give max_loss"):
        eliminate_run(out, EliminationConfig(loss_factor=1.5))
    assert not (out / "elimination").exists()
    assert load_run(out).summary["total_weights"] == load_run(out).summary["nonzero_weights"]


def test_only_a_pretrained_model_may_go_without_a_step():
    with pytest.raises(InputError, match="steps must be above 0, found 0"):
        make("lm", overrides={"training": {"steps": 0}})


def test_the_curvature_of_a_divergence_is_that_of_its_second_derivative():
    generator = torch.Generator().manual_seed(0)
    outputs, wanted = torch.randn(2, 3, 2, 5, dtype=torch.float64, generator=generator)
    target = wanted.log_softmax(-1)
    found = Divergence(lambda o, t: (o, t))
    by_hand = (target.exp() * (target - outputs.log_softmax(-1))).sum(-1).mean()
    assert float(found.loss(outputs, target)) == pytest.approx(float(by_hand))
    assert found.units(outputs, target) == 6
    rows = torch.autograd.functional.jacobian(
        lambda o: found.rows(o, target, found.factors(outputs, target)).flatten(), outputs
    ).flatten(1)
    exact = torch.autograd.functional.hessian(lambda o: found.loss(o, target), outputs).reshape(30, 30)
    assert torch.allclose(2 * rows.mT @ rows / 6, exact, atol=1e-12)
    scalar = Scalar(found.loss)
    other = torch.autograd.functional.jacobian(
        lambda o: scalar.rows(o, target, scalar.factors(outputs, target)).flatten(), outputs
    ).flatten(1)
    assert torch.allclose(rows.mT @ rows / 6, other.mT @ other / 3, atol=1e-10)


def test_no_teacher_is_asked_for_the_curvature():
    def teacher(outputs, targets):
        raise AssertionError("asked")

    outputs = torch.randn(2, 3, 4)
    found = Divergence(teacher)
    assert found.rows(outputs, outputs, found.factors(outputs, outputs)).shape == (2, 12)
    assert found.units(outputs, outputs) == 6
