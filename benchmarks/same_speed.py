"""Does a tree of this project train as fast as another? Steps of both in turn, in one process each, as ratios.

    python -m benchmarks.same_speed OLD_TREE NEW_TREE [--pairs 40] [--steps 300]

Each tree trains in-context regression (BIMT, default settings, uncompiled) in a process of its own; the two take
turns with ``steps`` steps each, so that both meet the same disturbances. Printed are the median ratio new / old of the
time of a step, and a 95% interval of that median by bootstrap over the pairs.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
from pathlib import Path

WORKER = """
import pathlib, sys, time, torch
torch.set_num_threads(1)
if pathlib.Path("bimt_tf", "training").exists():  # the tree is the working directory
    from bimt_tf.config.reading import make
    from bimt_tf.training.setup import set_up
else:
    from bimt_tf.train.config import make
    from bimt_tf.train.trainer import Trainer as set_up
training = {"steps": 10_000_000, "compile": "no", "log_every": 200, "checkpoint_every": 10_000_000}
trainer = set_up(make("in-context", overrides={"training": training}))
for line in sys.stdin:
    end = trainer.step + int(line)
    begun = time.perf_counter()
    trainer.run(stop=lambda: trainer.step >= end)
    print((time.perf_counter() - begun) / int(line), flush=True)
"""


class Tree:
    """A process that trains with one tree and tells the seconds of a step."""

    def __init__(self, path: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(path.absolute())}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            env=environment,
            cwd=path,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def seconds(self, steps: int) -> float:
        """Seconds of a step, mean over ``steps``."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())


def interval(ratios: list[float], draws: int = 10_000) -> tuple[float, float]:
    """The 95% interval of the median by bootstrap."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def main() -> None:
    """Time both trees in turn and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--steps", type=int, default=300)
    given = parser.parse_args()
    trees = [Tree(given.old), Tree(given.new)]
    for tree in trees:  # warm up
        tree.seconds(given.steps)
    times: list[list[float]] = []
    for pair in range(given.pairs):
        order = (0, 1) if pair % 2 == 0 else (1, 0)
        taken = {i: trees[i].seconds(given.steps) for i in order}
        times.append([taken[0], taken[1]])
    ratios = [new / old for old, new in times]
    low, high = interval(ratios)
    old, new = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    print(f"step: old {old:.3f} ms, new {new:.3f} ms (medians of {given.pairs} turns of {given.steps} steps)")
    print(f"new / old: {statistics.median(ratios):.3f}, 95% interval of the median {low:.3f} to {high:.3f}")
    for tree in trees:
        tree.process.kill()


if __name__ == "__main__":
    main()
