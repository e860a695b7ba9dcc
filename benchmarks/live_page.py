"""The live network of pages beside PyTorch, and how long it takes, as a Markdown table (docs/live-page.md).

    python -m benchmarks.live_page RUN [RUN ...]        run directories
    python -m benchmarks.live_page --dense              an untrained in-context transformer of the default size

Each page is opened in headless Chromium and used as a reader uses it. Its numbers are compared with the same model in
float64: every neuron that its table shows, for stored example 7, and some knock-outs of every row with ``ablate``.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from playwright.sync_api import Page, sync_playwright
from torch import Tensor

from bimt_tf import BIMT, RegressionTransformer, load_run
from bimt_tf.analysis.ablate import ablate
from bimt_tf.config.reading import make
from bimt_tf.runs.page.live import live_part
from bimt_tf.runs.page.network import network_part
from bimt_tf.runs.trained import Trained
from bimt_tf.tasks.registry import task
from bimt_tf.viewer.content import PageContent
from bimt_tf.viewer.page import page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
EXAMPLE = 7
A_ROW = 3  # knock-outs of each row
MOVES = """() => {
  const slider = document.querySelector("#live input[type=range]");
  if (!slider) return [];
  return Array.from({length: 60}, (_, i) => {
    const start = performance.now();
    slider.value = Number(slider.min) + (slider.max - slider.min) * i / 60;
    slider.dispatchEvent(new Event("input"));
    document.body.getBoundingClientRect();
    return performance.now() - start;
  });
}"""
TABLE = """() => Array.from(document.querySelectorAll("#live .live-tall tbody tr"), (line) =>
  [line.querySelector("button").textContent,
   Array.from(line.querySelectorAll("td"), (cell) => Number(cell.dataset.value))])"""
KNOCK = """(name) => {
  const buttons = () => Array.from(document.querySelectorAll("#live button"));
  const named = (text) => buttons().find((one) => one.textContent.startsWith(text));
  named(name).click();
  const start = performance.now();
  named("Knock out ").click();
  document.body.getBoundingClientRect();
  const took = performance.now() - start;
  const loss = Number(document.querySelector("#live .live-knocked li").dataset.loss);
  named("Restore ").click();
  return [took, loss];
}"""


class Measured(NamedTuple):
    """Milliseconds (medians), and the largest differences from PyTorch: of a value, and of a loss by its own size."""

    move: float | None  # None without a slider
    knock: float
    value: float
    loss: float


def main() -> None:
    """Print a table, one row a network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--dense", action="store_true")
    asked = parser.parse_args()
    networks: dict[str, Trained] = {str(path): load_run(path) for path in asked.runs}
    if asked.dense:
        networks["untrained"] = _dense()
    print("| network | weights | KB | a slider moves, ms | a knock-out, ms | values differ by | losses by |")
    print("|---|---|---|---|---|---|---|")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"]).new_page()
        for name, trained in networks.items():
            part = live_part(trained)
            text = page(PageContent(name, [], network_part(trained), live=part))  # type: ignore[arg-type]
            path = Path(folder, "page.html")
            path.write_text(text, encoding="utf-8")
            opened.goto(path.as_uri())
            found = _measured(opened, trained, part)
            times = " | ".join("–" if one is None else f"{one:.1f}" for one in found[:2])
            differences = " | ".join(f"{one:.0e}" for one in found[2:])
            print(
                f"| {name} | {trained.nonzero_weights:,} | {len(text) / 1e3:.0f} | {times} | {differences} |",
                flush=True,
            )


def _dense() -> Trained:
    config = make("in-context")
    model = RegressionTransformer(seed=0)
    return Trained(config, model, BIMT(model), task=task("in-context"))


def _measured(opened: Page, trained: Trained, part: dict[str, Any]) -> Measured:
    n = part["examples"]["shape"][0]
    model = trained.model.double()
    inputs, targets = (one.double() if one.is_floating_point() else one for one in trained.held_out[:2])
    inputs, targets = inputs[:n], targets[:n]
    moves = sorted(opened.evaluate(MOVES))
    opened.locator("#live-example").fill(str(EXAMPLE))
    opened.locator("#live-example").press("Enter")
    with torch.no_grad():
        outputs, cache = model.run_with_cache(inputs)  # type: ignore[operator]
    knocks, values, losses = [], [0.0], [0.0]
    for name, row in part["rows"].items():
        opened.locator("#live-row").select_option(name)
        shown = opened.evaluate(TABLE)
        seen: Tensor = cache[row["hook"]] if row["hook"] else inputs if name == "input" else outputs
        seen = seen.flatten(-2) if seen.ndim == 4 else seen
        seen = (seen if row["token"] is None else seen[:, row["token"]])[EXAMPLE].reshape(-1, row["size"])
        for neuron, found in shown:
            wanted = seen[:, int(neuron.rpartition(":")[2])]
            values.append(float((torch.tensor(found, dtype=torch.float64) - wanted).abs().max()))
        for neuron, _ in shown[:A_ROW] if row["hook"] else ():
            took, loss = opened.evaluate(KNOCK, neuron)
            knocks.append(took)
            at = {} if row["token"] is None else {"position": row["token"]}
            metric = lambda found: trained.task.metrics(trained.config.data, found, targets)["loss"]  # noqa: E731
            after = ablate(model, {row["hook"]: [int(neuron.rpartition(":")[2])]}, inputs, metric, **at).after
            losses.append(abs(loss - after) / abs(after))
    return Measured(
        moves[len(moves) // 2] if moves else None, sorted(knocks)[len(knocks) // 2], max(values), max(losses)
    )


if __name__ == "__main__":
    main()
