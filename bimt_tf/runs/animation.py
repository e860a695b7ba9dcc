"""The animation of a run as a file: GIF by Pillow, MP4 by ffmpeg, through Matplotlib's writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from bimt_tf.errors import InputError, require_at_most, require_positive, unknown
from bimt_tf.figures.animation import NetworkAnimation
from bimt_tf.figures.style import INK, MUTED, STYLE, WIRE_NEGATIVE, WIRE_POSITIVE
from bimt_tf.figures.tween import Frame
from bimt_tf.runs.atomic import require_path, write_atomically
from bimt_tf.runs.evolution import Snapshot, require_snapshots
from bimt_tf.runs.figure_files import FORMATS
from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMS", "animate", "form_of_animation", "frames_of"]

FORMS = (".gif", ".mp4")
HOLD_FIRST, HOLD_LAST = 0.5, 1.5  # seconds that the first and the last picture stand
MOST_FPS, MOST_DPI, MOST_SECONDS = 50, 600, 600
"""Browsers show no GIF of more pictures a second at its pace."""
MOST_PIXELS = 2_000_000_000
"""Of all pictures together; a GIF's are held in memory, a byte each."""
COLOURS = (WIRE_POSITIVE, WIRE_NEGATIVE, INK, MUTED)
SHADES = (1.0, 0.7, 0.45, 0.25, 0.1)
"""A GIF has these colours, mixed with so much white, and white."""
EVERY = 10**9  # wires one by one, however many


def form_of_animation(path: Path) -> str:
    """The ending of the file's name: one of FORMS.

    Raises:
        InputError: for another ending, or for an MP4 where there is no ffmpeg.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise unknown("format of an animation", path.suffix or path.name, (*FORMS, *(f".{name}" for name in FORMATS)))
    if form == ".mp4" and not FFMpegWriter.isAvailable():
        raise InputError(f"{path} needs the program ffmpeg, which is not found: install it, or give a name in .gif")
    return form


def frames_of(snapshots: Sequence[Snapshot]) -> list[Frame]:
    """The scenes of snapshots, every wire by itself."""
    return [Frame(one.scene(most_wires=EVERY), one.step, one.phase, one.loss) for one in snapshots]


def animate(
    run: OpenedRun,
    path: Path,
    *,
    fps: int = 10,
    dpi: int = 80,
    seconds: float = 9.0,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Path:
    """Write the animation of how a run's network came to be.

    Args:
        run: with two snapshots or more.
        path: a file in .gif or .mp4; one that is there is replaced.
        fps: pictures a second.
        dpi: pixels an inch.
        seconds: how long it takes, the first and the last picture standing for 2 of them included.
        progress: called with (pictures drawn, of how many).

    Raises:
        InputError: for another ending, no ffmpeg, no folder to write into, a run without snapshots, or a number that
            cannot be.
    """
    form = form_of_animation(path)
    for name, value, most in (("fps", fps, MOST_FPS), ("dpi", dpi, MOST_DPI), ("seconds", seconds, MOST_SECONDS)):
        require_positive(name, value)
        require_at_most(name, value, most)
    if not require_path(path.absolute()).parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}")
    snapshots = require_snapshots(run.snapshots)
    moving = max(2, round((seconds - HOLD_FIRST - HOLD_LAST) * fps))
    config = run.config
    title = f"{config.task} · {config.method} · seed {config.seed}"
    shown = NetworkAnimation(frames_of(snapshots), moving, title=title, labels=run.task.labels(config.data))
    order = [0] * round(HOLD_FIRST * fps) + list(range(moving)) + [moving - 1] * round(HOLD_LAST * fps)
    wide, high = (round(inches * dpi) for inches in shown.figure.get_size_inches())
    if len(order) * wide * high > MOST_PIXELS:
        raise InputError(
            f"{len(order):,} pictures of {wide:,} x {high:,} pixels are too many for one file: take less of fps, dpi "
            "or seconds"
        )
    with TemporaryDirectory(prefix="bimt-") as folder, rc_context(STYLE):
        file = Path(folder) / f"animation{form}"
        writer = _writer(form, fps)
        last = -1
        with writer.saving(shown.figure, str(file), dpi):
            for number, picture in enumerate(order):
                if picture != last:
                    shown.draw(picture)
                last = picture
                writer.grab_frame()
                progress(number + 1, len(order))
        write_atomically(path, file.read_bytes())
    return path


class _SmallGif(PillowWriter):
    """Pillow's writer with one palette for all pictures, without dither, so that what stands still takes no room."""

    def setup(self, fig: Figure, outfile: Any, dpi: float | None = None) -> None:
        """Begin; as Matplotlib's."""
        super().setup(fig, outfile, dpi)
        self._pictures: list[Image] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:
        """Keep the figure as it is now, in the palette's colours."""
        from PIL import Image
        from PIL.Image import Dither

        canvas = FigureCanvasAgg(self.fig)
        self.fig.dpi = self.dpi
        canvas.draw()
        whole = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        self._pictures.append(whole.quantize(palette=_palette(), dither=Dither.NONE))

    def finish(self) -> None:
        """Write the pictures, each as what changed since the one before."""
        first, *others = self._pictures
        time = round(1000 / self.fps)
        first.save(self.outfile, save_all=True, append_images=others, duration=time, loop=0, optimize=False)


@lru_cache(maxsize=1)
def _palette() -> Image:
    """White, and the animation's colours mixed with it."""
    from PIL import Image

    found = Image.new("P", (1, 1))
    colours = [np.ones(3)]
    for name in COLOURS:
        colours += [1 - share * (1 - np.array(to_rgb(name))) for share in SHADES]
    found.putpalette((np.array(colours) * 255).round().astype(np.uint8).tobytes())
    return found


def _writer(form: str, fps: int) -> AbstractMovieWriter:
    if form == ".gif":
        return _SmallGif(fps=fps)
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p", "-crf", "20"]
    settings: dict[str, Any] = {"codec": "h264", "extra_args": even}
    return FFMpegWriter(fps=fps, **settings)
