r"""What thinning leaves of a language model of a million weights: the table of docs/elimination-large.md.

    bimt train lm --method vanilla --d-model 144 --n-layers 4 --context 64 --batch-size 16 --steps 2000 --seed 100 \
        --out runs/lm-100
    python -m benchmarks.elimination_lm runs/lm-100 [--loss-factor 1.0] [--seconds 600]

A line a round: weights, losses on training examples (a sample) and on held-out ones, which play no part in any choice,
seconds, and the process's peak memory. The run is not changed on disk.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import torch

from bimt_tf import eliminate, load_run
from bimt_tf.training.elimination.rounds import Round, put_

UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def main() -> None:
    """Thin the run's model and print every round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--loss-factor", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--examples", type=int, default=128, help="training examples that the loss is measured on")
    given = parser.parse_args()
    run, began = load_run(given.run), time.monotonic()
    thinned = load_run(given.run).bimt

    def show(one: Round) -> None:
        put_(run.bimt, one.state)
        with torch.no_grad():
            held_out = run.evaluate("test")["loss"]
        peak = UNIT * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(
            f"{one.what:9} {one.weights:9,} weights  train {one.loss:.4f}  held out {held_out:.4f}  "
            f"{one.seconds:5.0f} s  peak {peak / 1e6:,.0f} MB",
            flush=True,
        )

    def over() -> bool:
        return time.monotonic() - began > given.seconds

    done = eliminate(
        thinned,
        run.examples("train"),
        "cross_entropy",
        loss_factor=given.loss_factor,
        examples=given.examples,
        on_round=show,
        stop=over,
    )
    print(f"{'stopped' if over() else 'ended'}; losses are means over {done.examples} of {done.of} examples")


if __name__ == "__main__":
    main()
