"""What bake_ takes at GPT-2-small's size, comparison included: seconds, and memory beside the model's.

    python -m benchmarks.bake [--runs 3]

GPT-2 with random weights behind a TransformerBridge, 124 million parameters; nothing is downloaded. Every run is a
process of its own that puts the neurons on random slots and bakes. Peak memory is what Linux counts (VmHWM), reset
before ``bake_`` begins; so what the model itself needs, and what building it needed, is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpt2 import Row, bridge, line, shuffled
from bimt_tf import BIMT

SECONDS, SHARE = 10.0, 0.5


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="bake in this process and print numbers (used by the rest)")
    given = parser.parse_args()
    if given.once:
        print(*once())
        return
    command = [sys.executable, "-m", "benchmarks.bake", "--once"]
    done = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(given.runs)]
    runs = [[float(number) for number in one.stdout.split()[-4:]] for one in done]
    count, size, seconds, more = (statistics.median(column) for column in zip(*runs, strict=True))
    spread = f"{min(run[2] for run in runs):.1f} to {max(run[2] for run in runs):.1f}"
    print("| | measured | wanted | |\n|---|---|---|---|")
    what = f"`bake_` of {count / 1e6:.0f} M parameters, comparison included"
    print(line(Row(what, f"{seconds:.1f} s (median of {given.runs}; {spread})", f"{SECONDS:.0f} s", seconds < SECONDS)))
    told = f"{more:.0f} MiB (the model: {size:.0f} MiB)"
    print(line(Row("peak memory beyond the model's own", told, f"{SHARE:.0%} of it", more < SHARE * size)))


def once() -> tuple[int, float, float, float]:
    """(parameters, MiB that they take, seconds of ``bake_``, MiB at its peak beyond what was held before)."""
    model = bridge()
    bimt = shuffled(model)
    own = {p.untyped_storage().data_ptr(): p.untyped_storage().nbytes() for p in model.parameters()}
    count = sum(own.values()) // 4  # parts of a fused projection are views of it
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start = time.perf_counter()
    bake(bimt)
    return count, sum(own.values()) / 2**20, time.perf_counter() - start, memory("VmHWM") - before


def bake(bimt: BIMT) -> None:
    """Bake, with the outputs compared on a batch made from the model's config."""
    orders = bimt.bake_(check=True)
    if all(torch.equal(order, torch.arange(len(order))) for order in orders.values()):
        raise RuntimeError("bake_ moved nothing: its time says nothing")


def memory(field: str) -> float:
    """A figure of this process in MiB, as Linux counts it."""
    found = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith(f"{field}:"))
    return int(found.split()[1]) / 2**10


if __name__ == "__main__":
    main()
