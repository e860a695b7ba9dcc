"""Three ways to press a language model whose residual stream is (or was) normalised, side by side (docs/norms.md).

    python -m benchmarks.norms                     a minute a row on one thread
    python -m benchmarks.norms --steps 5000 --d-model 64 --seeds 3

- removed: the model has no norm, as the paper's; weights pay as they are.
- as-is: RMSNorm stays; weights pay as they are.
- effective: RMSNorm stays; weights behind it pay times its gain, and the stream's scale is pinned.

Lambda means something else in each, so that each is run over factors on the preset's schedule: compare rows of
about equally many nonzero weights. "stream" is the final size (RMS) of the residual stream over the initial one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import torch

from bimt_tf.analysis.wiring_length import wiring_length
from bimt_tf.config.reading import make
from bimt_tf.training.setup import set_up
from bimt_tf.training.trainer import Trainer

CHOICES = {
    "removed": ("none", "as-is"),
    "as-is": ("rms", "as-is"),
    "effective": ("rms", "effective"),
}


class Row(NamedTuple):
    """One training: held-out bits a character, nonzero weights of all, mean wire, size of the stream over the first."""

    bits: float
    nonzero: int
    weights: int
    length: float
    stream: float


def measure(choice: str, method: str, factor: float, seed: int, options: argparse.Namespace) -> Row:
    """Train one model."""
    normalization, norms = CHOICES[choice]
    usual = make("lm").training.lam
    training = {
        "steps": options.steps, "norms": norms, "lam": tuple((start, factor * lam) for start, lam in usual),
        "log_every": options.steps, "checkpoint_every": options.steps, "threads": 1,
    }  # fmt: skip
    model = {"normalization": normalization, "d_model": options.d_model, "n_layers": options.layers}
    data = {"context": options.context, "max_text": options.max_text}
    config = make("lm", method=method, seed=seed, overrides={"training": training, "model": model, "data": data})
    trainer = set_up(config)
    before = _stream(trainer)
    trainer.run()
    connections = [trainer.bimt.parameters[c.parameter] for c in trainer.bimt.wiring.connections]
    return Row(
        bits=trainer.evaluate()["bits_per_character"],
        nonzero=sum(int(w.count_nonzero()) for w in connections),
        weights=sum(w.numel() for w in connections),
        length=wiring_length(trainer.bimt).mean,
        stream=_stream(trainer) / before,
    )


def _stream(trainer: Trainer) -> float:
    """Root mean square of the residual stream before the last norm, on held-out text."""
    model = trainer.model
    last = f"blocks.{len(model.blocks) - 1}.hook_resid_post"  # type: ignore[arg-type]
    with torch.no_grad():
        _, cache = model.run_with_cache(trainer.held_out.inputs[:8])  # type: ignore[operator]
    return float(cache[last].square().mean().sqrt())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print one Markdown row a training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000)
    parser.add_argument("--d-model", type=int, default=32)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--max-text", type=int, default=300_000, help="characters of the standard library")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--factors", default="0.3,1,3", help="factors on lambda")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    print("| choice | method | lambda x | seed | bits/character | nonzero weights | mean wire | stream |")
    print("|---|---|---|---|---|---|---|---|")
    factors = [float(part) for part in options.factors.split(",")]
    runs = [(choice, "vanilla", 0.0) for choice in ("removed", "as-is")]
    runs += [(choice, "bimt", factor) for choice in CHOICES for factor in factors]
    for choice, method, factor in runs:
        for seed in range(options.seeds):
            row = measure(choice, method, factor, seed, options)
            print(
                f"| {choice} | {method} | {factor:g} | {seed} | {row.bits:.3f} | {row.nonzero:,} of {row.weights:,} | "
                f"{row.length:.3f} | {row.stream:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
