"""Do two trees of this project train the same bits? Short seeded runs with both, final weights and layouts compared.

    python -m benchmarks.same_bits OLD_TREE NEW_TREE [--out DIR] [--only NAME ...]

Runs (1,000 steps each): in-context with 1 and 4 heads, symbolic-a, two-moon, s4, digits, modular-addition-transformer
and lm; one run is interrupted and resumed, one is compiled. Nothing is measured or drawn: only weights and layouts
count. A run that is there already in DIR is not made again, so the old tree's are made once and serve many
comparisons on the same machine; another machine, or other versions of the
libraries, may round otherwise, so never compare runs of two machines. Exit code 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STEPS = 1_000
RUNS: dict[str, list[str]] = {
    "in-context": ["in-context"],
    "in-context-4-heads": ["in-context", "--n-heads", "4"],
    "in-context-resumed": ["in-context", "--seed", "1", "--checkpoint-every", "100"],
    "in-context-compiled": ["in-context", "--compile", "yes"],
    "symbolic-a": ["symbolic-a"],
    "two-moon": ["two-moon"],
    "s4": ["s4"],
    "digits": ["digits"],
    "modular-addition-transformer": ["modular-addition-transformer"],
    "lm": ["lm", "--max-text", "200000"],
}
RESUMED = "in-context-resumed"
STOP_AFTER = 300  # steps after which the run that is resumed is interrupted
MAIN = (
    "import importlib.util as u\n"
    "name = 'bimt_tf.cli.main' if u.find_spec('bimt_tf.cli').submodule_search_locations else 'bimt_tf.cli'\n"
    "__import__('importlib').import_module(name).main()"
)


def command(tree: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start ``bimt`` of a tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", MAIN, *words], env=environment, cwd=tree, **pipes)


def finish(process: subprocess.Popen[bytes], what: str, *codes: int) -> None:
    """Wait for a command, and stop everything if it ends with another code."""
    _, said = process.communicate()
    if process.returncode not in codes:
        sys.exit(f"{what} ended with {process.returncode}: {said.decode()[-1000:]}")


def train(tree: Path, out: Path, name: str) -> None:
    """Make one run with a tree, unless it is there."""
    path = out / name
    if trained(path):
        return
    words = ["train", *RUNS[name], "--steps", str(STEPS), "--out", str(path), "--overwrite", "--log-every", "100"]
    if "--compile" not in words:
        words += ["--compile", "no"]
    process = command(tree, *words)
    if name == RESUMED:
        while process.poll() is None and last_step(path) < STOP_AFTER:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        finish(process, f"{name} with {tree}", 130)
        process = command(tree, "resume", str(path))
    while process.poll() is None and not trained(path):
        time.sleep(0.1)
    process.kill()  # what comes after is measuring and drawing
    if not trained(path):
        finish(process, f"{name} with {tree}", 0)


def trained(path: Path) -> bool:
    """Whether a run has written its weights and then its layout."""
    return (path / "layout.json").exists()


def last_step(path: Path) -> int:
    """The last logged step of a run."""
    try:
        lines = (path / "metrics.jsonl").read_text().splitlines()
        return int(json.loads(lines[-1])["step"])
    except (OSError, ValueError, IndexError):
        return 0


def same(one: Path, other: Path) -> list[str]:
    """What differs between two runs."""
    differing = []
    if (one / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes():
        differing.append("weights")
    layouts = [json.loads((run / "layout.json").read_text())["slots"] for run in (one, other)]
    if layouts[0] != layouts[1]:
        differing.append("layout")
    return differing


def main() -> None:
    """Train with both trees and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--out", type=Path, help="where the runs go [a temporary directory]")
    parser.add_argument("--only", nargs="*", default=list(RUNS), choices=list(RUNS))
    given = parser.parse_args()
    out = (given.out or Path(tempfile.mkdtemp())).absolute()
    failed = 0
    for name in given.only:
        for which, tree in (("old", given.old), ("new", given.new)):
            train(tree.absolute(), out / which, name)
        differing = same(out / "old" / name, out / "new" / name)
        failed += bool(differing)
        print(f"{name}: {'DIFFERENT ' + ' and '.join(differing) if differing else 'same bits'}", flush=True)
    print(f"{len(given.only) - failed} of {len(given.only)} runs with the same weights and layouts")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
