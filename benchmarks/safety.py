"""Whether BIMT ever corrupts a model in silence: random networks, sharing, buffers, parametrizations and optimizers.

    python -m benchmarks.safety --cases 1000 [--first 0]

Every case trains two equal networks, moves the neurons of one (swap, a random layout, bake_) and goes on: right is what
goes on as the other does, or is refused and unchanged in every bit (tests/random_nets.py, tests/random_training.py).
Prints how many of each, and every wrong one with its seed.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from random_training import Wrong, draw_task, outcome  # noqa: E402


def main() -> int:
    """Run, print, and return 1 if a case was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found: Counter[str] = Counter()
    by_optimizer: dict[str, Counter[str]] = {}
    for seed in range(given.first, given.first + given.cases):
        task = draw_task(random.Random(seed))
        try:
            what = outcome(task)
        except Wrong as error:
            what = "wrong"
            print(f"seed {seed}: {error}\n    {task}")
        found[what] += 1
        by_optimizer.setdefault(task.optimizer, Counter())[what] += 1
    for name, counts in sorted(by_optimizer.items()):
        print(f"{name}: {dict(counts)}")
    print(f"{given.cases} cases: {dict(found)}")
    right = sum(found[what] for what in ("all moved", "some moved", "all held"))
    print(f"right {right}, refused {found['refused']}, wrong {found['wrong']}")
    return int(found["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
