"""What elimination leaves of trained runs: the table of docs/elimination.md.

    bimt train in-context --steps 10000 --seed 100 --out runs/in-context-100
    python -m benchmarks.elimination runs/in-context-100 [--max-loss 1e-5] [--neurons]

Each run is opened with its weights as trained and its training examples; a line is printed for every fifth round and
for the last, with losses on training and held-out examples, and the seconds since the elimination began. Held-out
examples play no part in any choice. Runs are not changed on disk.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

from torch import Tensor

from bimt_tf import connection_graph, eliminate, load_run, modularity
from bimt_tf.runs.finished_run import FinishedRun
from bimt_tf.training.elimination.rounds import Round, put_

SHOWN = 5  # every so many rounds


def residuals(outputs: Tensor, targets: Tensor) -> Tensor:
    """Outputs minus targets; of in-context regression, y at the last token, which alone is read."""
    if outputs.ndim == 3:
        return (outputs[:, -1, 0] - targets[:, -1])[:, None]
    return (outputs - targets).flatten(1)


def show(run: FinishedRun, one: Round) -> None:
    """Print a round: its weights and neurons, losses, modularity and time."""
    put_(run.bimt, one.state)
    held_out = run.evaluate("test")["loss"]
    q = modularity(connection_graph(run.bimt, residual="shared"))
    hidden = {name: n for name, n in one.neurons.items() if name not in ("input", "output")}
    print(
        f"{one.what:9} {one.weights:6,} weights  train {one.loss:.1e}  held out {held_out:.1e}  Q {q:.3f}  "
        f"{one.seconds:5.0f} s  {hidden}"
    )


def main() -> None:
    """Eliminate from every run and print its path."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--max-loss", type=float, default=1e-5)
    parser.add_argument("--neurons", action="store_true")
    given = parser.parse_args()
    for path in given.runs:
        run = load_run(path)
        done = eliminate(
            copy.deepcopy(run.bimt),
            run.examples("train"),
            residuals,
            max_loss=given.max_loss,
            whole_neurons=given.neurons,
        )
        print(f"{path}: {len(done.path)} rounds, {done.examples} of {done.of} examples")
        for number, one in enumerate(done.path):
            if number % SHOWN == 0 or number == len(done.path) - 1:
                show(run, one)


if __name__ == "__main__":
    main()
