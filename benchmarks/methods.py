"""The paper's comparison on one task: methods x seeds, mean and spread, as a Markdown table.

    python -m benchmarks.methods [--task in-context] [--seeds 0 1 2 3 4] [--out runs/methods] [-- OPTIONS OF bimt train]

Runs what is missing with ``bimt train``, two at a time, and resumes what was interrupted; a finished run is not
done again. Prints one row a method from the runs' summary.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

METHODS = ("vanilla", "l1", "l1-local", "l1-swap", "bimt")
COLUMNS = {
    "test loss": ("test_loss", "{:.1e}"),
    "active weights": ("active_weights", "{:.0f}"),
    "Q shared": ("modularity_shared", "{:.3f}"),
    "Q unrolled": ("modularity_unrolled", "{:.3f}"),
    "mean wiring length": ("wiring_length", "{:.3f}"),
    "best pair R2 for w": ("best_pair_r2", "{:.4f}"),
    "seconds": ("seconds", "{:.0f}"),
}


def run(out: Path, task: str, method: str, seed: int, options: list[str]) -> dict:
    """The summary of one run, made now if it is not there."""
    path = out / f"{method}-seed{seed}"
    if not (path / "summary.json").exists():
        if (path / "config.yaml").exists():
            words = ["resume", str(path)]
        else:
            words = ["train", task, "--method", method, "--seed", str(seed), "--out", str(path), *options]
        with (out / f"{path.name}.log").open("w") as log:
            done = subprocess.run([sys.executable, "-m", "bimt_tf.cli", *words], stdout=log, stderr=log, check=False)
        if done.returncode:
            sys.exit(f"{path.name} ended with {done.returncode}; see {log.name}")
        print(f"{path.name} done", file=sys.stderr, flush=True)
    return json.loads((path / "summary.json").read_text())


def cell(form: str, values: list[float]) -> str:
    """Mean and standard deviation."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{form.format(statistics.mean(values))} ± {form.format(spread)}"


def main() -> None:
    """Run, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="in-context")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("options", nargs="*", help="options of bimt train, after --")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    wanted = [(method, seed) for seed in given.seeds for method in given.methods]
    with ThreadPoolExecutor(given.jobs) as pool:
        found = pool.map(lambda pair: run(given.out, given.task, *pair, given.options), wanted)
        summaries = dict(zip(wanted, found, strict=True))
    print(f"| method | {' | '.join(COLUMNS)} |")
    print("|" + "---|" * (1 + len(COLUMNS)))
    for method in given.methods:
        rows = [summaries[method, seed] for seed in given.seeds]
        cells = [cell(form, [row[key] for row in rows]) for key, form in COLUMNS.values()]
        print(f"| {method} | {' | '.join(cells)} |")
    print(f"\n{len(given.seeds)} seeds; mean ± standard deviation.")


if __name__ == "__main__":
    main()
