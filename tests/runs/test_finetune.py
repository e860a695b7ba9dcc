"""Fine-tuning: a pretrained model is trained on a text and given back to plain transformers; bad input is named."""

from __future__ import annotations

import json
import logging
import shutil
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import pretrained
from bimt_tf.runs.execute import Interrupted, resume_run, train_run
from bimt_tf.runs.load import load_run
from bimt_tf.tasks import finetune as finetuning
from bimt_tf.tasks.finetune import FinetuneOptions
from bimt_tf.tasks.registry import task
from bimt_tf.training.setup import set_up

TEXT = b"the cat sat on the mat; the dog sat on the cat. " * 12
KINDS = ("gpt2", "llama")


def build(kind: str, vocabulary: int = 256):
    if kind == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=vocabulary, n_positions=16, n_embd=8, n_layer=1, n_head=2))
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary, max_position_embeddings=16, hidden_size=8, num_hidden_layers=1,
            num_attention_heads=2, num_key_value_heads=1, intermediate_size=12,
        )
    )  # fmt: skip


def save(model, path):
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save_pretrained(path)
    finally:
        logging.disable(logging.NOTSET)
    return str(path)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Kind -> directory that save_pretrained wrote."""
    folder = tmp_path_factory.mktemp("models")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return {kind: save(build(kind), folder / kind) for kind in KINDS}


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "cat.txt"
    path.write_bytes(TEXT)
    return str(path)


@pytest.fixture(autouse=True)
def forget():
    """Directories of one name may hold another model in the next test."""
    for kept in (finetuning._original, finetuning._sizes, finetuning._read):
        kept.cache_clear()


def config(model, text, method="bimt", training=None, **data):
    short = {"steps": 16, "batch_size": 4, "log_every": 8, "checkpoint_every": 8, "swap_every": 4, "lr": 0.01}
    return make("finetune", method=method, overrides={
        "data": {"model": model, "text": text, "context": 8, "test_windows": 4, **data},
        "training": {**short, **(training or {})},
    })  # fmt: skip


def plain_logits(directory, x, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(x).logits


@pytest.mark.parametrize("kind", KINDS)
def test_plain_transformers_load_what_was_trained(models, text, tmp_path, kind):
    summary = train_run(config(models[kind], text), tmp_path / "run", draw=False)
    assert summary["nonzero_weights"] < summary["total_weights"] and "test_bits_per_byte" in summary
    trainer = load_run(tmp_path / "run")
    assert trainer.evaluate()["loss"] == summary["test_loss"]
    x = trainer.held_out.inputs
    with torch.no_grad():
        wanted = trainer.model(x)
    found = plain_logits(tmp_path / "run" / "huggingface", x)
    assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert (found - plain_logits(models[kind], x)).abs().max() > 1e-3  # it has learned something
    written = json.loads((tmp_path / "run" / "huggingface" / "config.json").read_text())
    assert written["model_type"] == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_divergence_is_from_the_model_as_it_was(models, text, kind):
    found, options = task("finetune"), FinetuneOptions(model=models[kind], text=text, context=8, test_windows=4)
    data = found.data(options, 0, torch.float64)
    model = pretrained(models[kind], torch.float64)
    with torch.no_grad():
        same = model(data.test.inputs)
    assert found.metrics(options, same, data.test.targets)["loss"] == pytest.approx(0, abs=1e-7)
    other = same + torch.randn(same.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = same.softmax(-1), other.softmax(-1)
    by_hand = (p * (p / q).log()).sum(-1).mean()
    assert float(found.loss(options, other, data.test.targets)) == pytest.approx(float(by_hand), rel=1e-6)
    assert torch.equal(data.test.inputs, data.test.targets[:, :-1])
    language = FinetuneOptions(model=models[kind], text=text, context=8, objective="lm")
    nll = -q.log().gather(-1, data.test.targets[:, 1:, None]).mean()
    assert float(found.loss(language, other, data.test.targets)) == pytest.approx(float(nll), rel=1e-6)
    metrics = found.metrics(options, other, data.test.targets)
    assert metrics["bits_per_byte"] == pytest.approx(float(nll) / 0.6931471805599453, rel=1e-6)


def test_the_pretrained_model_is_left_as_it_is(models, text):
    trainer = set_up(config(models["gpt2"], text, "vanilla", objective="lm"))
    first = trainer.evaluate()["loss"]
    x = trainer.held_out.inputs
    before = plain_logits(models["gpt2"], x)
    trainer.run()
    assert trainer.evaluate()["loss"] < first
    assert torch.equal(plain_logits(models["gpt2"], x), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_run_goes_on_bit_for_bit_and_is_given_back(models, text, tmp_path, kind, monkeypatch):
    train_run(config(models[kind], text), tmp_path / "whole", draw=False)

    class Stopping:
        step = 0

        def start(self, *given): ...

        def record(self, record): ...

        def stage(self, text): ...

        def tick(self, step):
            import os
            import signal

            if step == 9:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="stopped at step .* goes on"):
        train_run(config(models[kind], text), tmp_path / "half", draw=False, watcher=Stopping())
    assert not (tmp_path / "half" / "huggingface").exists()
    resume_run(tmp_path / "half", draw=False)
    x = torch.arange(8)[None]
    whole, half = (plain_logits(tmp_path / name / "huggingface", x) for name in ("whole", "half"))
    assert torch.equal(whole, half)


def test_a_tokenizer_beside_the_model_is_used_and_kept(text, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"[UNK]": 0, **{word: i for i, word in enumerate(sorted(set(TEXT.decode().split())), start=1)}}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    directory = save(build("gpt2", vocabulary=20), tmp_path / "model")
    PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]").save_pretrained(directory)
    options = FinetuneOptions(model=directory, text=text, context=8)
    found = task("finetune")
    data = found.data(options, 0, torch.float32)
    names = found.classes(options)
    assert " ".join(names[i] for i in data.train.inputs[0]) == " ".join(TEXT.decode().split()[:8])
    assert len(names) == 20 and found.unit(options) == "token"
    summary = train_run(config(directory, text), tmp_path / "run", draw=False)
    assert "test_bits_per_token" in summary and (tmp_path / "run" / "huggingface" / "tokenizer.json").exists()
    save(build("gpt2", vocabulary=5), tmp_path / "small")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tmp_path / "model" / file, tmp_path / "small")
    with pytest.raises(InputError, match=r"gives token \d+, but the model's vocabulary is 5"):
        found.data(FinetuneOptions(model=str(tmp_path / "small"), text=text, context=8), 0, torch.float32)


def test_models_that_cannot_be_used_are_named(models, text, tmp_path):
    found = task("finetune")

    def refused(directory, says, **data):
        options = FinetuneOptions(model=str(directory), text=text, **{"context": 8, **data})
        with pytest.raises(InputError, match=says) as error:
            found.data(options, 0, torch.float32)
            found.model(None, options, 0, torch.float32)
        assert "\n" not in str(error.value)

    refused(save(build("gpt2", vocabulary=99), tmp_path / "odd"), "no tokenizer and a vocabulary of 99.*needs 256")
    refused(models["llama"], "context is 17, but .* reads 16 tokens at most", context=17)
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "holds no config.json")
    damaged = tmp_path / "damaged"
    shutil.copytree(models["gpt2"], damaged)
    (damaged / "model.safetensors").write_bytes(b"nothing")
    refused(damaged, "cannot load the model")
    (damaged / "config.json").write_text("{")
    refused(damaged, "cannot load the model")
    with pytest.raises(InputError, match="finetune needs --model"):
        make("finetune")


def test_the_command_says_where_the_model_is(models, text, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["finetune", "--model", models["gpt2"], "--text", text, "--steps", "4", "--context", "8"]
    words += ["--test-windows", "2", "--batch-size", "2", "--log-every", "2", "--out", str(out)]
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert ended.value.code == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1] == f"results: {out}" and f"for transformers: {out / 'huggingface'}" in lines
    assert {"curves.png", "confusion.png", "network.png"} <= {p.name for p in (out / "figures").iterdir()}
