"""Placement from many starts: the wiring of trained networks after swap(starts=N), beside random starts.

    python -m benchmarks.starts DIR [DIR ...]               run directories; nothing in them is changed
    python -m benchmarks.starts DIR --random 1000 --json FILE

Wiring is the connection cost of the weights without what they pay for the layer gap, which no layout changes: sum of
scale * |w| * A |dx|. "random" is the same search from so many uniformly drawn layouts, the best of them kept.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from bimt_tf import BIMT, Layout, load_run
from bimt_tf.core.placement import Placement
from bimt_tf.core.search import search
from bimt_tf.core.threads import few_threads

STARTS = (1, 8, 32, 100)


def beyond_gaps(bimt: BIMT, placement: Placement) -> float:
    """The connection cost that a layout changes, for norm l1: all but the layer gaps."""
    gaps = sum(float(m.sum()) for (p, q), m in placement.strength.items() if p < q) * bimt.geometry.layer_gap
    slots = {name: bimt.layout.of(name) for name in bimt.layout}
    return placement.cost(slots) - placement.constant - gaps


def measure(directory: Path, random: int) -> dict[str, float]:
    """Column -> wiring of one run, and the seconds that each search took."""
    bimt = load_run(directory).bimt
    present, placement = bimt.layout, bimt.placement()
    row = {"present": beyond_gaps(bimt, placement)}
    for starts in STARTS:
        bimt.layout = present
        begin = time.perf_counter()
        report = bimt.swap(starts=starts)
        row[f"{starts} seconds"] = time.perf_counter() - begin
        row[f"starts={starts}"] = beyond_gaps(bimt, placement)
        print(f"    starts={starts}: {report!r}")
    generator = torch.Generator().manual_seed(0)
    begin = time.perf_counter()
    best = float("inf")
    with few_threads(bimt.wiring.total_weights):
        for drawn in range(1, random + 1):
            bimt.layout = search(placement, Layout.random(bimt.wiring, generator))[0]
            best = min(best, beyond_gaps(bimt, placement))
            if drawn in (32, 100, random):
                row[f"random {drawn}"] = best
    row["random seconds"] = time.perf_counter() - begin
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--random", type=int, default=1000, help="random starts to compare with")
    parser.add_argument("--json", metavar="FILE", help="also write the rows here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for directory in options.runs:
        print(directory.name)
        rows[directory.name] = measure(directory, options.random)
    columns = [name for name in next(iter(rows.values())) if "seconds" not in name]
    seconds = [f"{starts} seconds" for starts in STARTS] + ["random seconds"]
    print(f"\n| run | {' | '.join(columns)} | ms, in this order |\n|{'---|' * (len(columns) + 2)}")
    for name, row in rows.items():
        took = " / ".join(f"{row[column] * 1e3:.0f}" for column in seconds)
        print(f"| {name} | {' | '.join(f'{row[column]:.4f}' for column in columns)} | {took} |")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
