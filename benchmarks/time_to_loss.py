"""From nothing to the loss that the naive program ends with: its time beside ours. Prints one table.

    python -m benchmarks.time_to_loss [--seeds 100 101 102] [--quick]

The naive program is the paper's: 40,000 steps whose loss holds the connection cost (float64, benchmarks/naive.py),
and the paper's relocation, k = 30, every 200 steps. It would take most of an hour, so

- what it *ends with* is found by the trainer with the same arithmetic (the cost's subgradient, the greedy search, no
  finish phase, the notebooks' lambda), which tests hold to the naive step and relocation; in float32, compiled;
- its *time* is extrapolated from naive steps and relocations measured here, before and after each of our runs.

Our side is `bimt train in-context` as it is, its default preset: training, then elimination, which is stopped at the
first round whose held-out loss is at most the naive program's (this choice of an end is the benchmark's alone). It is
timed from the config to that round, compiling and the evaluations included, imports left out. Beside each loss stand
the weights that are left (of the naive program: above 1e-2 on a path from input to output). Seconds are CPU seconds, of
this process and of the compilers that it starts; the wall time of ours stands behind them.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import time
from typing import NamedTuple

import torch
import torch._inductor.config

from benchmarks.naive import naive_relocation, naive_step
from benchmarks.speed import (
    LAM,
    LAYER_GAP,
    LEARNING_RATE,
    STEPS,
    SWAP_EVERY,
    TOP_K,
    WIDTH,
    batch,
    model,
    mse,
    take_turns,
)  # fmt: skip
from bimt_tf.config.reading import make
from bimt_tf.config.settings import Config
from bimt_tf.training.eliminate import eliminate
from bimt_tf.training.elimination.rounds import Round, put_
from bimt_tf.training.elimination.task_loss import task_loss
from bimt_tf.training.setup import set_up

NAIVE = {
    "steps": STEPS, "swap_every": SWAP_EVERY, "swap_method": "greedy", "top_k": TOP_K, "penalty": "subgradient",
    "lam": [[0.0, 0.001], [0.25, 0.01], [0.75, 0.1]], "finish": 0.0, "compile": "yes", "log_every": STEPS,
    "checkpoint_every": STEPS,
}  # fmt: skip


class End(NamedTuple):
    """Of a run: held-out loss, weights that count, and the seconds of training, by CPU and by the wall."""

    loss: float
    active: int
    seconds: float
    wall: float


def trained(config: Config) -> End:
    """Train to the end and say where it is."""
    begin, wall = _cpu(), time.perf_counter()
    trainer = set_up(config)
    trainer.run()
    seconds, wall = _cpu() - begin, time.perf_counter() - wall
    return End(trainer.evaluate()["loss"], trainer.active(), seconds, wall)


def reached(seed: int, wanted: float) -> End:
    """Train by the default preset and eliminate until the held-out loss is at most ``wanted``, or to the end."""
    config = make("in-context", method="bimt", seed=seed)
    asked = set_up(config)  # its weights are each round's, to ask for the held-out loss
    begin, wall = _cpu(), time.perf_counter()
    trainer = set_up(config)
    trainer.run()
    ends = [End(trainer.evaluate()["loss"], trainer.active(), _cpu() - begin, time.perf_counter() - wall)]

    def measure(one: Round) -> None:
        put_(asked.bimt, one.state)
        ends.append(End(asked.evaluate()["loss"], one.weights, _cpu() - begin, time.perf_counter() - wall))

    if ends[-1].loss > wanted:
        eliminate(
            trainer.bimt,
            trainer.data.train[:2],
            task_loss(trainer.task, config.data),
            max_loss=config.elimination.max_loss,
            examples=config.elimination.fit_examples,
            on_round=measure,
            stop=lambda: ends[-1].loss <= wanted,
        )
    return ends[-1]


def _cpu() -> float:
    """CPU seconds so far, of this process and of those that it has waited for."""
    return sum(os.times()[:4])


class NaiveTime(NamedTuple):
    """Seconds of a naive step and of a naive relocation."""

    step: float
    relocation: float

    @property
    def program(self) -> float:
        """Seconds of all steps and relocations."""
        return self.step * STEPS + self.relocation * STEPS / SWAP_EVERY


def naive_time(candidates: int) -> NaiveTime:
    """Measured now: 100 steps, and so many candidate exchanges of a relocation."""
    net = model(dtype=torch.float64)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    loss = functools.partial(mse, net, *batch(torch.Generator().manual_seed(0), torch.float64))
    step = take_turns({"step": lambda: naive_step(net, optimizer, loss, LAM, WIDTH, LAYER_GAP)}, 10, 10).median("step")
    begin = time.process_time()
    relocation = naive_relocation(net, TOP_K, WIDTH, LAYER_GAP, limit=candidates)
    return NaiveTime(step, (time.process_time() - begin) * relocation.total / relocation.measured)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100, 101, 102])
    parser.add_argument("--naive-loss", type=float, help="the loss to reach, in the place of finding it")
    parser.add_argument("--quick", action="store_true", help="measure fewer naive candidate exchanges")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch._inductor.config.compile_threads = 1  # compilers that this process waits for, so that their time is known
    candidates = 300 if given.quick else 2000
    print(
        "| seed | naive ends at (weights) | ours (weights) | naive, s (a step, a relocation) | ours, s (wall) | ratio |"
    )
    print("|---|---|---|---|---|---|")
    ratios = []
    for seed in given.seeds:
        naive = End(given.naive_loss, 0, 0.0, 0.0)
        if given.naive_loss is None:
            naive = trained(make("in-context", method="bimt", seed=seed, overrides={"training": NAIVE}))
        before = naive_time(candidates)
        ours = reached(seed, naive.loss)
        after = naive_time(candidates)
        program = (before.program + after.program) / 2
        ends = ours.loss <= naive.loss
        ratios += [program / ours.seconds] if ends else []
        ratio = f"{program / ours.seconds:,.0f}" if ends else "loss not reached"
        measured = ", ".join(f"{t.step * 1e3:.1f} ms and {t.relocation:.1f} s" for t in (before, after))
        print(
            f"| {seed} | {naive.loss:.2g} ({naive.active}) | {ours.loss:.2g} ({ours.active}) "
            f"| {program:,.0f} ({measured}) | {ours.seconds:.1f} ({ours.wall:.1f}) | {ratio} |",
            flush=True,
        )
    if ratios:
        print(
            f"\nmedian of the {len(ratios)} of {len(given.seeds)} seeds that reach it: {statistics.median(ratios):.0f}"
        )


if __name__ == "__main__":
    main()
