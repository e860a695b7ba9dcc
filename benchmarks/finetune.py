"""Train a small GPT-2 and a small Llama on Python's standard library, then fine-tune each with BIMT (docs/finetune.md).

    python -m benchmarks.finetune                   some minutes a model on one thread
    python -m benchmarks.finetune --steps 3000 --width 64 --keep DIR

Both are byte models made from their configs; nothing is downloaded. The first training is ``bimt finetune --method
vanilla --objective lm`` from random weights, and its result, a directory of plain transformers, is what is fine-tuned.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bimt_tf.config.reading import make
from bimt_tf.runs.execute import train_run

BYTES = 256


def untrained(kind: str, width: int, layers: int, context: int, path: Path, seed: int = 0) -> Path:
    """A directory with a randomly initialised model."""
    import transformers

    heads = max(width // 16, 1)
    configs: dict[str, Any] = {
        "gpt2": lambda: transformers.GPT2Config(
            vocab_size=BYTES, n_positions=context, n_embd=width, n_layer=layers, n_head=heads
        ),
        "llama": lambda: transformers.LlamaConfig(
            vocab_size=BYTES, max_position_embeddings=context, hidden_size=width, num_hidden_layers=layers,
            num_attention_heads=heads, num_key_value_heads=max(heads // 2, 1), intermediate_size=3 * width,
        ),
    }  # fmt: skip
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.AutoModelForCausalLM.from_config(configs[kind]()).save_pretrained(path)
    return path


def run(model: Path, out: Path, method: str, objective: str, options: argparse.Namespace, factor: float = 1.0) -> Any:
    """One training; gives its summary."""
    usual = make("finetune", overrides={"data": {"model": str(model)}}).training
    training: dict[str, Any] = {
        "steps": options.steps, "log_every": options.steps, "checkpoint_every": options.steps,
        "lam": tuple((start, factor * lam) for start, lam in usual.lam),
    }  # fmt: skip
    if objective == "lm":
        training |= {"lr": 2e-3, "finish_lr": 2e-3, "batch_size": 16}
    data = {"model": str(model), "objective": objective, "context": options.context, "max_text": options.max_text}
    config = make("finetune", method=method, seed=options.seed, overrides={"data": data, "training": training})
    return train_run(config, out, overwrite=True, draw=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one Markdown row a training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0, help="of first weights and batches")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--max-text", type=int, default=300_000, help="bytes of the standard library")
    parser.add_argument("--factors", default="1,3", help="factors on lambda")
    parser.add_argument("--keep", type=Path, help="where the runs go [a temporary directory]")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    print("| model | training | bits/byte | KL from the original (nats) | nonzero weights | mean wire |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        for kind in ("gpt2", "llama"):
            start = untrained(
                kind, options.width, options.layers, options.context, folder / kind / "untrained", options.seed
            )
            trained = folder / kind / "trained"
            show(kind, "from scratch", run(start, trained, "vanilla", "lm", options), divergence=False)
            for factor in map(float, options.factors.split(",")):
                for method in ("l1", "bimt"):
                    out = folder / kind / f"{method}-{factor:g}"
                    summary = run(trained / "huggingface", out, method, "kl", options, factor)
                    show(kind, f"{method}, lambda x {factor:g}", summary, divergence=True)


def show(kind: str, training: str, summary: Any, divergence: bool) -> None:
    """Print a row."""
    distance = f"{summary['test_loss']:.4f}" if divergence else ""
    weights = f"{summary['nonzero_weights']:,} of {summary['total_weights']:,}"
    bits, wire = summary["test_bits_per_byte"], summary["wiring_length"]
    print(f"| {kind} | {training} | {bits:.3f} | {distance} | {weights} | {wire:.3f} |", flush=True)


if __name__ == "__main__":
    main()
