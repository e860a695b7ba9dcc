"""How fast BIMT is on the MLP tasks, side by side with the paper's algorithm and with training without BIMT.

    python -m benchmarks.mlp            one table: swap() beside one naive relocation, and training steps
    python -m benchmarks.mlp --quick    naive relocations sampled and extrapolated

Sizes are those of the symbolic tasks (4-20-20-2, full batch of 100) and of MNIST in small (64-100-100-10, batch 100).
The sides take turns in one process; medians of CPU seconds. The naive step is in float64 as in the notebooks.
"""

from __future__ import annotations

import argparse
import copy
import functools
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.naive import naive_relocation, naive_step
from benchmarks.speed import LAM, LEARNING_RATE, TOP_K, Row, line, step_row, take_turns
from benchmarks.trainer_step import METHODS, Method, trainer_step
from bimt_tf import BIMT, MLP, Geometry, Layout

WIDTH, LAYER_GAP = 2.0, 0.5


class Case(NamedTuple):
    """Layer sizes and examples a step."""

    name: str
    sizes: list[int]
    batch: int


CASES = (Case("4-20-20-2", [4, 20, 20, 2], 100), Case("64-100-100-10", [64, 100, 100, 10], 100))


def net(case: Case, dtype: torch.dtype = torch.float32) -> MLP:
    """The untrained network, its neurons in a random order."""
    made = MLP(case.sizes, "silu", seed=0, dtype=dtype)
    BIMT(made, layout=Layout.random(BIMT(made).wiring, torch.Generator().manual_seed(0))).bake_()
    return made


def batch(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Inputs and targets of one fixed batch."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(case.batch, case.sizes[0], generator=generator, dtype=dtype)
    return x, torch.randn(case.batch, case.sizes[-1], generator=generator, dtype=dtype)


def squared_error(outputs: Tensor, target: Tensor) -> Tensor:
    """The mean squared error."""
    return (outputs - target).square().mean()


def swaps(case: Case, quick: bool) -> Iterator[Row]:
    """swap() of all populations to a fixed point beside one naive relocation from the same start."""
    bimt = BIMT(net(case, torch.float64), Geometry(WIDTH, LAYER_GAP))
    start = bimt.layout

    def swap() -> object:
        bimt.layout = start
        return bimt.swap()

    early = take_turns({"swap": swap}, 15, 3)
    relocated = copy.deepcopy(bimt.model)
    begin = time.process_time()
    naive = naive_relocation(relocated, TOP_K, WIDTH, LAYER_GAP, limit=300 if quick else None)
    seconds = (time.process_time() - begin) * naive.total / naive.measured
    late = take_turns({"swap": swap}, 15, 3)
    mine = statistics.median(early.seconds["swap"] + late.seconds["swap"])
    bimt.layout = start
    report = bimt.swap()
    note = f"naive {seconds:.2f} s ({naive.total:,} candidate exchanges), swap {mine * 1e3:.2f} ms"
    yield Row(f"naive relocation / swap(), {case.name}", seconds / mine, "x", None, None, note)
    ratio = report.cost_after / naive.cost_after
    yield Row(f"cost after swap() / after naive, {case.name}", ratio, "", "<= 1", ratio <= 1, "")


def trainers_step(case: Case, method: Method, compiled: bool) -> Callable[[], float]:
    """A step as ``bimt train`` takes it."""
    bimt = BIMT(net(case), Geometry(WIDTH, LAYER_GAP))
    return trainer_step(bimt, squared_error, batch(case), method, lam=LAM, lr=LEARNING_RATE, compiled=compiled)


def plain_naive_step(case: Case) -> Callable[[], object]:
    """The notebooks' step."""
    model = net(case, torch.float64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    x, target = batch(case, torch.float64)
    return functools.partial(
        naive_step, model, optimizer, lambda: squared_error(model(x), target), LAM, WIDTH, LAYER_GAP
    )


def steps(case: Case, quick: bool) -> Iterator[Row]:
    """The trainer's step with the penalty beside the same without, and the naive step beside both."""
    turns, calls = (7, 30) if quick else (21, 50)
    for compiled in (False, True):
        how = f"{case.name}, {'compiled' if compiled else 'eager'}"
        methods = tuple(METHODS)
        sides: dict[str, Callable[[], object]] = {m: trainers_step(case, m, compiled) for m in methods}
        sides["naive step"] = plain_naive_step(case)
        timing = take_turns(sides, turns, calls)
        for method in methods[1:]:
            yield step_row(timing, method, "without", how, 1.05)
        yield step_row(timing, "naive step", "gradient", how, None)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sample the naive relocations")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # every side compiles a model of its own
    print("| what | measured | target | met | how |\n|---|---|---|---|---|")
    for case in CASES:
        for row in (*swaps(case, options.quick), *steps(case, options.quick)):
            print(line(row), flush=True)


if __name__ == "__main__":
    main()
