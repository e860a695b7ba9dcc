"""``bimt animate DIR``: the network as it grows, as a GIF or an MP4; or at some steps side by side, as a figure."""

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
        Path | None,
        Parameter(
            help="a file in .gif, or in .mp4, which needs ffmpeg; or in .png, .pdf or .svg: some steps side by side "
            "[DIRECTORY/figures/evolution.gif]"
        ),
    ] = None,
    seconds: Annotated[float, Parameter(help="how long it takes")] = 9.0,
    fps: Annotated[int, Parameter(help="pictures a second")] = 10,
    dpi: Annotated[int, Parameter(help="pixels an inch")] = 80,
    at: At = "shown",
) -> None:
    """Animate how the network in DIRECTORY came to be: its snapshots while it was trained, then its elimination."""
    from bimt_tf.cli.console.kept import print_kept, progress_bar
    from bimt_tf.runs.animation import animate as write
    from bimt_tf.runs.animation import form_of_animation
    from bimt_tf.runs.figure_files import FORMATS, write_figure
    from bimt_tf.runs.load import load_run

    strip = out is not None and out.suffix.lower().removeprefix(".") in FORMATS
    if out is not None and not strip:
        form_of_animation(out)  # before anything is read
    run = load_run(directory, at=at_of(at))
    if out is not None and strip:
        write_figure(run.figure("evolution"), out, out.suffix.lower().removeprefix("."))
        print_kept(None, out)
        return
    if out is None:
        out = directory / "figures" / "evolution.gif"
        if directory.is_dir():
            out.parent.mkdir(exist_ok=True)
    with progress_bar("drawing pictures") as progress:
        write(run, out, fps=fps, dpi=dpi, seconds=seconds, progress=progress)
    print_kept(None, out)
