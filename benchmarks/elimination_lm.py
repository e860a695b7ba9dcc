r"""What thinning leaves of a language model of a million weights: the table of docs/elimination-large.md.

    bimt train lm --method vanilla --d-model 144 --n-layers 4 --context 64 --batch-size 16 --steps 2000 --seed 100 \
        --out runs/lm-100
    python -m benchmarks.elimination_lm runs/lm-100 [--weights 100000 | --loss-factor 1.0] [--seconds 600]

A line a round: weights, losses on training examples (a sample), on validation examples, which may take a round back,
and on held-out ones, which play no part in any choice; seconds of the processor and of the clock, and the process's
peak memory. Validation examples are those that the run split off before its first step; where it split none off, the
text behind the characters that it was cut from, which was never trained on either. The run is not changed on disk.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from bimt_tf import eliminate, load_run
from bimt_tf.runs.finished_run import FinishedRun
from bimt_tf.tasks.text import as_text, corpus, windows
from bimt_tf.training.elimination.rounds import Round, put_

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
BEHIND = 150_000  # characters
HELD_OUT = 512  # windows


def main() -> None:
    """Thin the run's model and print every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--loss-factor", type=float)
    budget.add_argument("--weights", type=int)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--examples", type=int, default=128, help="examples that losses are measured on")
    given = parser.parse_args()
    run, began = load_run(given.run), time.monotonic()
    thinned, held_out, validation = load_run(given.run).bimt, _held_out(run), _validation(run)

    def show(one: Round) -> None:
        put_(run.bimt, one.state)
        peak = UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{one.what:9} {one.weights:9,} weights  train {one.loss:.4f}  validation {one.validation_loss:.4f}  "
            f"held out {_loss(run, held_out):.4f}, of the run's windows {run.evaluate('test')['loss']:.4f}  "
            f"{time.process_time():5.0f} s CPU {one.seconds:5.0f} s  peak {peak / 1e6:,.0f} MB",
            flush=True,
        )

    def over() -> bool:
        return time.monotonic() - began > given.seconds

    done = eliminate(
        thinned,
        run.examples("train")[:2],
        "cross_entropy",
        loss_factor=None if given.weights else given.loss_factor or 1.0,
        weights=given.weights,
        validation=validation,
        examples=given.examples,
        on_round=show,
        stop=over,
    )
    print(f"{'ended' if done.ended else 'stopped'}; losses are means over {done.examples} of {done.of} examples")


def _validation(run: FinishedRun) -> tuple[Tensor, Tensor]:
    """Windows that were never trained on, in the run's own characters; others are left out."""
    if run.validation is not None:
        return run.validation.inputs, run.validation.targets
    options = run.config.data
    seen = as_text(options.text, options.max_text)
    number = {character: i for i, character in enumerate(sorted(set(seen)))}
    behind = as_text(options.text, options.max_text + BEHIND)[options.max_text :]
    tokens = torch.tensor([number[character] for character in behind if character in number])
    cut = tokens.unfold(0, options.context + 1, options.context)
    return cut[:, :-1], cut[:, 1:]


def _held_out(run: FinishedRun) -> Tensor:
    """More windows of the run's held-out tail than it measures itself."""
    options = run.config.data
    text = corpus(options.text, options.tokens, options.max_text)
    return windows(text, options.text, options.context, options.train_share, HELD_OUT)[1]


@torch.no_grad()
def _loss(run: FinishedRun, cut: Tensor) -> float:
    """The mean cross entropy of windows, in nats."""
    total = 0.0
    for part in cut.split(16):
        logits = run.model(part[:, :-1])
        total += len(part) * float(torch.nn.functional.cross_entropy(logits.flatten(0, -2), part[:, 1:].flatten()))
    return total / len(cut)


if __name__ == "__main__":
    main()
