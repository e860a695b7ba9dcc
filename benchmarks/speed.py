"""How fast BIMT is, side by side with the paper's algorithm and with training without BIMT: prints one table.

    python -m benchmarks.speed                    everything; the naive relocations run in full (some minutes)
    python -m benchmarks.speed --quick            naive relocations sampled and extrapolated, the training run left out
    python -m benchmarks.speed --only swap step   some sections; --json FILE keeps every number

The two sides of a ratio take turns in one process, so that another load on the machine falls on both; medians are
given, and as spread the quartiles of the turns' ratios. Seconds are CPU seconds of the process, on one thread, but for
whole commands, which are timed by the wall. Nothing here fails for being slow.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.naive import Distances, naive_cost, naive_relocation, naive_step
from benchmarks.plain import PlainTransformer
from benchmarks.trainer_step import METHODS, Method, trainer_step
from bimt_tf import BIMT, Geometry, Layout, RegressionTransformer

WIDTH, LAYER_GAP, TOP_K = 2.0, 0.5, 30
STEPS, SWAP_EVERY = 40_000, 200
LAM, LEARNING_RATE, BATCH = 1e-2, 1e-3, 64


class Row(NamedTuple):
    """A line of the table; ``target`` is None where the row is for information."""

    what: str
    measured: float
    unit: str
    target: str | None
    met: bool | None
    note: str


class Timing(NamedTuple):
    """CPU seconds a call of each side, by turn."""

    seconds: dict[str, list[float]]

    def median(self, side: str) -> float:
        """The median turn."""
        return statistics.median(self.seconds[side])

    def ratio(self, side: str, other: str) -> tuple[float, str]:
        """Median over median, and the quartiles of the turns' own ratios."""
        turns = [a / b for a, b in zip(self.seconds[side], self.seconds[other], strict=True)]
        low, _, high = statistics.quantiles(turns, n=4) if len(turns) > 1 else (turns[0],) * 3
        return self.median(side) / self.median(other), f"quartiles {low:.2f}-{high:.2f}"


def take_turns(sides: dict[str, Callable[[], object]], turns: int, calls: int) -> Timing:
    """Time the sides one after the other, ``calls`` calls a turn; the order reverses every turn."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        for _ in range(max(3, calls // 2)):
            side()
    for turn in range(turns):
        for name in list(sides)[:: 1 if turn % 2 == 0 else -1]:
            start = time.process_time()
            for _ in range(calls):
                sides[name]()
            seconds[name].append((time.process_time() - start) / calls)
    return Timing(seconds)


# The model and its data


def model(n_heads: int = 1, dtype: torch.dtype = torch.float32) -> RegressionTransformer:
    """The in-context model of the paper."""
    return RegressionTransformer(2, 2, 32, 2, n_heads, 128, 3, act_fn="gelu_new", seed=0, dtype=dtype)


def geometry() -> Geometry:
    """A = 2, y_star = 0.5, L1."""
    return Geometry(WIDTH, LAYER_GAP)


def batch(generator: torch.Generator, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """In-context regression: tokens [0, x1], [y1, 0], [0, x]; the targets of tokens 0 and 2 are y1 and y."""
    w, x1, x = (2 * torch.rand(BATCH, 1, generator=generator, dtype=dtype) + low for low in (-1, 1, 1))
    tokens = torch.zeros(BATCH, 3, 2, dtype=dtype)
    tokens[:, 0, 1], tokens[:, 1, 0], tokens[:, 2, 1] = x1[:, 0], (w * x1)[:, 0], x[:, 0]
    return tokens, torch.cat([w * x1, w * x], dim=1)


def squared_error(outputs: Tensor, target: Tensor) -> Tensor:
    """The task's loss, of the model's outputs."""
    return (outputs[:, [0, 2], 0] - target).square().mean()


def mse(net: nn.Module, tokens: Tensor, target: Tensor) -> Tensor:
    """The task's loss."""
    return squared_error(net(tokens), target)


def trained(n_heads: int, steps: int) -> RegressionTransformer:
    """A model on its way to sparsity: trained with the proximal step, lambda rising to 0.1, no swaps."""
    net = model(n_heads)
    bimt, generator = BIMT(net, geometry()), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    for step in range(steps):
        optimizer.zero_grad()
        mse(net, *batch(generator)).backward()
        optimizer.step()
        bimt.shrink_((0.001, 0.01, 0.1)[3 * step // steps], optimizer)
    return net.double()


# (a) swaps


def swaps(options: argparse.Namespace) -> Iterator[Row]:
    """swap() of all populations to a fixed point beside one naive relocation, same weights, same start."""
    cases: list[tuple[str, RegressionTransformer, Distances | None]] = [
        ("random weights", model(dtype=torch.float64), None),
        ("random weights, naive keeping its distances", model(dtype=torch.float64), {}),
        ("trained weights", trained(1, 500 if options.quick else 3000), None),
        ("random weights, 4 heads", model(4, torch.float64), None),
    ]
    for name, net, kept in cases:
        BIMT(net, layout=Layout.random(BIMT(net).wiring, torch.Generator().manual_seed(0))).bake_()  # a random start
        bimt = BIMT(net, geometry())
        start = bimt.layout

        def swap(bimt: BIMT = bimt, start: Layout = start) -> object:
            bimt.layout = start
            return bimt.swap()

        relocated = copy.deepcopy(net)
        limit = 300 if options.quick else None
        early = take_turns({"swap": swap}, 15, 3)
        begin = time.process_time()
        naive = naive_relocation(relocated, TOP_K, WIDTH, LAYER_GAP, kept, limit)
        naive_seconds = (time.process_time() - begin) * naive.total / naive.measured
        late = take_turns({"swap": swap}, 15, 3)
        swap_seconds = statistics.median(early.seconds["swap"] + late.seconds["swap"])
        bimt.layout = start
        report = bimt.swap()
        ratio = naive_seconds / swap_seconds
        note = (
            f"naive {naive_seconds:.2f} s (measured {naive.measured:,} of {naive.total:,} candidate exchanges"
            f"{', extrapolated' if limit else ''}), swap {swap_seconds * 1e3:.2f} ms"
        )
        target, met = (">= 5000", ratio >= 5000) if kept is None else (None, None)
        yield Row(f"naive relocation / swap(), {name}", ratio, "x", target, met, note)
        yield cost_row(name, net, bimt, report.cost_before, report.cost_after, relocated, naive.cost_after, bool(limit))


def cost_row(
    name: str,
    net: RegressionTransformer,
    bimt: BIMT,
    before: float,
    after: float,
    relocated: RegressionTransformer,
    naive_after: float,
    partial: bool,
) -> Row:
    """Where both ended, and how far the two programs' costs of the same situations are apart."""
    baked = copy.deepcopy(net)
    moved = BIMT(baked, geometry(), layout=bimt.layout)
    rest = moved.bake_() and moved.layout.slots  # inputs and outputs, which bake_ leaves in place, by hand
    with torch.no_grad():
        baked.embed.W_E.copy_(baked.embed.W_E[torch.argsort(rest["input"])])
        baked.unembed.W_U.copy_(baked.unembed.W_U[:, torch.argsort(rest["output"])])
        baked.unembed.b_U.copy_(baked.unembed.b_U[torch.argsort(rest["output"])])
        apart = {
            "start": naive_cost(net, WIDTH, LAYER_GAP).item() - before,
            "after swap()": naive_cost(baked, WIDTH, LAYER_GAP).item() - bimt.cost().item(),
            "after the naive relocation": naive_after - BIMT(relocated, geometry()).cost().item(),
        }
    differences = ", ".join(f"{situation} {difference:.0e}" for situation, difference in apart.items())
    note = f"start {before:.9f}, swap() {after:.9f}, naive {naive_after:.9f}{' (partial)' if partial else ''}; "
    note += f"naive_cost minus bimt.cost(): {differences}"
    return Row(f"cost after swap() / after naive, {name}", after / naive_after, "", "<= 1", after <= naive_after, note)


# (b) training steps


def library_step(net: nn.Module, method: Method, compiled: bool) -> Callable[[], None]:
    """A step of fused Adam on the model's parameters, with the connection cost through BIMT's public methods."""
    bimt = BIMT(net, geometry()) if method != "without" else None
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)
    data = batch(torch.Generator().manual_seed(0))
    eager = functools.partial(mse, net)
    forward = torch.compile(eager, fullgraph=True, dynamic=False) if compiled else eager

    def step() -> None:
        optimizer.zero_grad()
        forward(*data).backward()
        if bimt is not None and method == "gradient":
            bimt.add_cost_grad_(LAM)
        optimizer.step()
        if bimt is not None and method == "proximal":
            bimt.shrink_(LAM, optimizer)

    return step


def trainers_step(net: nn.Module, method: Method, compiled: bool) -> Callable[[], float]:
    """The same step as ``bimt train`` takes it."""
    data = batch(torch.Generator().manual_seed(0))
    return trainer_step(
        BIMT(net, geometry()), squared_error, data, method, lam=LAM, lr=LEARNING_RATE, compiled=compiled
    )


STEPPERS = {"BIMT's methods": library_step, "trainer": trainers_step}


def steps(options: argparse.Namespace) -> Iterator[Row]:
    """A BIMT step beside the same step without BIMT and beside plain nn.Linear layers."""
    turns, calls = (7, 30) if options.quick else (21, 50)
    methods = tuple(METHODS)
    for compiled in (False, True):
        how = "compiled" if compiled else "eager"
        sides: dict[str, Callable[[], object]] = {}
        for stepper, step in STEPPERS.items():
            for method in methods:
                sides[f"{stepper}, {method}"] = step(model(), method, compiled)
        sides["nn.Linear"] = library_step(PlainTransformer(model()), "without", compiled)
        timing = take_turns(sides, turns, calls)
        for stepper in STEPPERS:
            for method in methods[1:]:
                yield step_row(timing, f"{stepper}, {method}", f"{stepper}, without", how, 1.05)
            for method in methods:
                yield step_row(timing, f"{stepper}, {method}", "nn.Linear", how, 1.3 if compiled else None)


def step_row(timing: Timing, side: str, other: str, how: str, most: float | None) -> Row:
    """One side's step over another's; ``most`` is the target."""
    ratio, spread = timing.ratio(side, other)
    note = f"{timing.median(side) * 1e3:.3f} / {timing.median(other) * 1e3:.3f} ms, {spread}"
    target, met = (None, None) if most is None else (f"<= {most}", ratio <= most)
    return Row(f"step of {side} / {other}, {how}", ratio, "x", target, met, note)


# (c) the whole run


def program(options: argparse.Namespace) -> Iterator[Row]:
    """The naive program's time for the run, from its step and its relocation, beside ``bimt train in-context``."""
    net = model(dtype=torch.float64)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    data = batch(torch.Generator().manual_seed(0), torch.float64)
    loss = functools.partial(mse, net, *data)
    timing = take_turns({"step": lambda: naive_step(net, optimizer, loss, LAM, WIDTH, LAYER_GAP)}, 15, 20)
    begin = time.process_time()
    relocation = naive_relocation(net, TOP_K, WIDTH, LAYER_GAP, limit=300 if options.quick else None)
    relocation_seconds = (time.process_time() - begin) * relocation.total / relocation.measured
    seconds = timing.median("step") * STEPS + relocation_seconds * STEPS / SWAP_EVERY
    note = (
        f"{STEPS:,} steps of {timing.median('step') * 1e3:.2f} ms and {STEPS // SWAP_EVERY} relocations of "
        f"{relocation_seconds:.1f} s (measured {relocation.measured:,} of {relocation.total:,} candidate exchanges)"
    )
    yield Row("naive program, estimate", seconds, "s", None, None, note)
    run = options.run_seconds if options.run_seconds or options.quick else train()
    if run is None:
        yield Row("bimt train in-context", float("nan"), "s", "<= 180", None, "not measured")
        return
    yield Row("bimt train in-context", run, "s", "<= 180", run <= 180, "wall time, imports and compiling included")
    yield Row("naive program / bimt train in-context", seconds / run, "x", ">= 60", seconds / run >= 60, "")


def train() -> float | None:
    """Wall seconds of the command, or None (and the command's own words) if it failed."""
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "run")
        command = [sys.executable, "-m", "bimt_tf.cli.main", "train", "in-context", "--out", out, "--seed", "0"]
        begin = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"`bimt train in-context` failed with {done.returncode}: {done.stderr.strip()[-500:]}", file=sys.stderr
            )
            return None
        return time.perf_counter() - begin


SECTIONS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {"swap": swaps, "step": steps, "program": program}


def line(row: Row) -> str:
    """One line of the Markdown table."""
    met = {True: "yes", False: "no", None: ""}[row.met]
    digits = 0 if abs(row.measured) >= 100 else 4 if not row.unit else 2
    return f"| {row.what} | {row.measured:,.{digits}f} {row.unit} | {row.target or ''} | {met} | {row.note} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="sample the naive relocations; leave the training run out")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--run-seconds", type=float, help="seconds of `bimt train in-context`, if measured elsewhere")
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 64  # every side compiles a model of its own
    machine = f"{platform.machine()}, {os.cpu_count()} cores; torch {torch.__version__}, 1 thread"
    print(f"{machine} (the training run: its own default); in-context model, batch {BATCH}\n")
    print("| what | measured | target | met | how |\n|---|---|---|---|---|")
    rows = []
    for name in options.only:
        for row in SECTIONS[name](options):
            print(line(row), flush=True)
            rows.append(row._asdict())
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": machine, "rows": rows}, file, indent=2)


if __name__ == "__main__":
    main()
