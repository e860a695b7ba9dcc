"""What BIMT costs at GPT-2-small's size: memory, the cost's gradient, and a swap of everything. Prints one table.

    python -m benchmarks.gpt2                        everything (some minutes)
    python -m benchmarks.gpt2 --only swap widths     some sections

GPT-2 with random weights behind a TransformerBridge, 124 million parameters, 8 x 128 tokens; nothing is downloaded. The
two sides of a ratio take turns in one process. Peak memory is what the system counted for a process of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import nn

from benchmarks.architectures import seeded
from benchmarks.speed import take_turns
from bimt_tf import BIMT, MLP, Layout, wire
from bimt_tf.core.linear_assignment import assign, lower_bound

BATCH, TOKENS, TURNS, LAM = 8, 128, 3, 1e-3
WIDTHS, WIDEST = (512, 768, 1024), 3072
SECTIONS = ("gradient", "memory", "swap", "widths")
LOADS = ("training", "with the gradient", "with the gradient and a swap")


class Row(NamedTuple):
    """A line of the table; ``met`` is None where nothing is wanted."""

    what: str
    measured: str
    wanted: str = ""
    met: bool | None = None


def bridge() -> nn.Module:
    """GPT-2-small with random weights."""
    import transformers
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

    with seeded():
        config = transformers.GPT2Config(attn_implementation="eager")
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        found: nn.Module = build_bridge_from_module(model, "GPT2LMHeadModel", hf_config=config)
    return found


def step(model: nn.Module) -> Callable[[], None]:
    """Forward and backward on one batch; gradients are kept, as an optimizer with ``set_to_none=False`` does."""
    tokens = torch.randint(0, 50_257, (BATCH, TOKENS + 1), generator=torch.Generator().manual_seed(0))

    def forward_backward() -> None:
        logits: Any = model(tokens[:, :-1])
        nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()

    return forward_backward


def shuffled(model: nn.Module) -> BIMT:
    """BIMT on a random layout."""
    bimt = BIMT(model)
    bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(0))
    return bimt


def gradient() -> Iterator[Row]:
    """The share of a training step that ``add_cost_grad_`` takes."""
    model = bridge()
    bimt, forward_backward = shuffled(model), step(model)
    forward_backward()
    timing = take_turns({"step": forward_backward, "gradient": lambda: bimt.add_cost_grad_(LAM)}, TURNS, 1)
    ratio, spread = timing.ratio("gradient", "step")
    weights = sum(p.numel() for name, p in bimt.parameters.items() if name not in bimt.wiring.left_out)
    yield Row(f"forward + backward, {BATCH} x {TOKENS} tokens, {weights / 1e6:.0f} M", f"{timing.median('step'):.1f} s")
    yield Row(
        "`add_cost_grad_` / forward + backward",
        f"{ratio:.2%} ({timing.median('gradient'):.2f} s; {spread})",
        "2%",
        ratio <= 0.02,
    )


def peak(load: str) -> float:
    """Peak resident memory (MiB) of a process that takes two steps under one of LOADS."""
    command = [sys.executable, "-m", "benchmarks.gpt2", "--peak-of", load]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def work(load: str) -> None:
    """What :func:`peak` runs."""
    model = bridge()
    bimt = None if load == LOADS[0] else shuffled(model)
    forward_backward = step(model)
    for _ in range(2):
        forward_backward()
        if bimt is not None:
            bimt.add_cost_grad_(LAM)
    if load == LOADS[2]:
        assert bimt is not None
        bimt.swap()
    unit = 1 if sys.platform == "darwin" else 1024
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20)


def memory() -> Iterator[Row]:
    """Peak memory beside training alone."""
    found = {load: peak(load) for load in LOADS}
    alone = found[LOADS[0]]
    yield Row("peak memory of two training steps", f"{alone:.0f} MiB")
    for load in LOADS[1:]:
        ratio = found[load] / alone
        yield Row(f"{load} / training alone", f"{ratio:.3f} ({found[load]:.0f} MiB)", "1.10", ratio <= 1.1)


def swap() -> Iterator[Row]:
    """A swap of everything from a random layout, and what another one, which takes minutes, still finds."""
    bimt = shuffled(bridge())
    start = time.perf_counter()
    first = bimt.swap()
    seconds = time.perf_counter() - start
    after = bimt.swap()
    yield Row(
        f"`swap()` of everything ({first.moved:,} neurons moved, {first.sweeps} sweeps)",
        f"{seconds:.1f} s",
        "20 s",
        seconds <= 20,
    )
    gap = first.cost_after / after.cost_after - 1
    yield Row(
        "cost after it / cost after one more, which is allowed more sweeps",
        f"1 + {gap:.1e} (the random layout: 1 + {first.cost_before / after.cost_after - 1:.1e})",
        "1.01",
        gap <= 0.01,
    )


def table(width: int, sparse: bool) -> np.ndarray:
    """The placement cost of a hidden layer with random neighbours; ``sparse``: 5% of its weights, heavy-tailed."""
    model = MLP([width // 4, width, width // 4], seed=0)
    generator = torch.Generator().manual_seed(width)
    if sparse:
        with torch.no_grad():
            for layer in model.layers:
                layer.weight.pow_(3).mul_(torch.rand(layer.weight.shape, generator=generator) < 0.05)
    layout = Layout.random(wire(model), generator)
    bimt = BIMT(model, layout=layout)
    return bimt.placement().table("hidden0", {name: own.numpy() for name, own in layout.slots.items()})


def widths() -> Iterator[Row]:
    """The search for one population beside SciPy's, and beside a lower bound where SciPy's takes too long."""
    for sparse in (False, True):
        kind = "5% heavy-tailed weights" if sparse else "random weights"
        for width in (*WIDTHS, WIDEST):
            cost = table(width, sparse)
            rows = np.arange(width)
            start = cost[rows, np.random.default_rng(0).permutation(width)].sum()
            seconds, found = timed(lambda cost=cost: cost[np.arange(len(cost)), assign(cost)].sum())
            if width == WIDEST:
                seconds_there, there, what = 0.0, lower_bound(cost), "lower bound"
            else:
                seconds_there, there = timed(lambda c=cost: c[np.arange(len(c)), linear_sum_assignment(c)[1]].sum())
                what = "SciPy's optimum"
            gap = found / there - 1
            beside = f", SciPy {seconds_there:.2f} s" if seconds_there else ""
            share = (found - there) / (start - there)
            yield Row(
                f"{width} wide, {kind}: cost / {what}",
                f"1 + {max(gap, 0.0):.0e} ({share:.1e} of the gain; {seconds:.2f} s{beside})",
                "1.01",
                gap <= 0.01,
            )


def timed(call: Callable[[], float]) -> tuple[float, float]:
    """(median seconds of three calls, what it returned)."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), float(found)


def line(row: Row) -> str:
    """A line of Markdown."""
    met = "" if row.met is None else "yes" if row.met else "**no**"
    return f"| {row.what} | {row.measured} | {row.wanted} | {met} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--peak-of", choices=LOADS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.update(TRANSFORMERS_OFFLINE="1", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
    if options.peak_of:
        work(options.peak_of)
        return
    print("| what | measured | wanted | met |\n|---|---|---|---|")
    sections = {"gradient": gradient, "memory": memory, "swap": swap, "widths": widths}
    for name in options.only:
        for row in sections[name]():
            print(line(row), flush=True)


if __name__ == "__main__":
    main()
