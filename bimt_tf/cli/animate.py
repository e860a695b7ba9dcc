"""``bimt animate DIR``: the network as it grows, as a GIF or an MP4."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bimt_tf.cli.arguments import At, Directory, at_of

__all__ = ["animate"]


def animate(
    directory: Directory,
    /,
    *,
    out: Annotated[
        Path | None, Parameter(help="a file in .gif or .mp4, which needs ffmpeg [DIRECTORY/figures/evolution.gif]")
    ] = None,
    seconds: Annotated[float, Parameter(help="how long it takes")] = 9.0,
    fps: Annotated[int, Parameter(help="pictures a second")] = 15,
    dpi: Annotated[int, Parameter(help="pixels an inch")] = 100,
    at: At = "shown",
) -> None:
    """Animate how the network in DIRECTORY came to be: its snapshots while it was trained, then its elimination."""
    from bimt_tf.cli.console.kept import print_kept, progress_bar
    from bimt_tf.runs.animation import animate as write
    from bimt_tf.runs.animation import form_of_animation
    from bimt_tf.runs.load import load_run

    if out is not None:
        form_of_animation(out)  # before anything is read
    run = load_run(directory, at=at_of(at))
    if out is None:
        out = directory / "figures" / "evolution.gif"
        if directory.is_dir():
            out.parent.mkdir(exist_ok=True)
    with progress_bar("drawing pictures") as progress:
        write(run, out, fps=fps, dpi=dpi, seconds=seconds, progress=progress)
    print_kept(None, out)
