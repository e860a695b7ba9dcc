"""``bimt show DIR``: what one run is and what came of it: a small view of its network, and the numbers of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import AsJson, At, Directory, at_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["show"]

LARGEST = 30_000_000  # bytes of the weights of a network that is drawn unasked


def show(
    directory: Directory,
    /,
    *,
    at: At = "shown",
    network: Annotated[
        bool | None,
        Parameter(show_default=False, help="draw the network in characters, for which its model is built [if small]"),
    ] = None,
    json: AsJson = False,
) -> None:
    """Show the run in DIRECTORY: its network in characters, its state and main settings, and its summary.json."""
    from bimt_tf.cli.console.reports import print_json, print_run
    from bimt_tf.runs.directory import RunDirectory
    from bimt_tf.runs.point_summary import summary_at
    from bimt_tf.runs.state import state_of

    run = RunDirectory.open(directory)
    config, summary = run.config, summary_at(run, run.elimination.number_of(at_of(at)))
    heads = {name: getattr(config, name) for name in ("task", "preset", "method", "seed")}
    state = state_of(run.path, config.training.steps).text
    shown = {"path": str(directory), "state": state, **heads, "steps": config.training.steps}
    if json:
        return print_json({**shown, "summary": summary})
    if network or (network is None and _is_small(run.path)):
        _draw(run.path, at)
    print_run(shown, summary)


def _is_small(run: Path) -> bool:
    """Whether a run has trained weights, not so many that building their model takes long."""
    weights = run / "model.safetensors"
    return weights.is_file() and weights.stat().st_size <= LARGEST


def _draw(path: Path, at: str) -> None:
    """The network of a run in characters, or a line that says why there is none."""
    from rich.console import Console

    from bimt_tf.cli.console.links import writes
    from bimt_tf.cli.console.text_network import ASCII, UNICODE, network_lines
    from bimt_tf.errors import InputError
    from bimt_tf.runs.load import load_run
    from bimt_tf.scene.scene import scene_of

    console = Console(highlight=False, markup=False)
    try:
        run = load_run(path, at=at_of(at))
        scene = scene_of(run.bimt, run.threshold)
    except InputError as error:
        return console.print(f"the network is not drawn: {error}", soft_wrap=True)
    signs = UNICODE if writes(console, "".join(map("".join, UNICODE))) else ASCII
    for line in network_lines(scene, console.width, signs, run.task.labels(run.config.data)):
        console.print(line, no_wrap=True, overflow="crop")
    console.print()
