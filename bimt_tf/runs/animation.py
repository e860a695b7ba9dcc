"""The animation of a run as a file: GIF by Pillow, MP4 by ffmpeg, through Matplotlib's writers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter

from bimt_tf.errors import InputError, require_positive, unknown
from bimt_tf.figures.animation import NetworkAnimation
from bimt_tf.figures.style import STYLE
from bimt_tf.figures.tween import Frame
from bimt_tf.runs.atomic import write_atomically
from bimt_tf.runs.evolution import Snapshot, require_snapshots
from bimt_tf.runs.opened_run import OpenedRun

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FORMS", "animate", "form_of_animation", "frames_of"]

FORMS = (".gif", ".mp4")
HOLD_FIRST, HOLD_LAST = 0.5, 1.5  # seconds that the first and the last picture stand
COLOURS = 48  # of a GIF: ink, greys and two colours of wires, each with its paler shades
EVERY = 10**9  # wires one by one, however many


def form_of_animation(path: Path) -> str:
    """ ".gif" or ".mp4", by the file's name.

    Raises:
        InputError: for another ending, or for an MP4 where there is no ffmpeg.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise unknown("format of an animation", path.suffix or path.name, FORMS)
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
    fps: int = 15,
    dpi: int = 100,
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
        InputError: for another ending, no ffmpeg, a run without snapshots, or a number that cannot be.
    """
    form = form_of_animation(path)
    for name, value in (("fps", fps), ("dpi", dpi), ("seconds", seconds)):
        require_positive(name, value)
    snapshots = require_snapshots(run.snapshots, run.path)
    moving = max(2, round((seconds - HOLD_FIRST - HOLD_LAST) * fps))
    config = run.config
    title = f"{config.task} · {config.method} · seed {config.seed}"
    shown = NetworkAnimation(frames_of(snapshots), moving, title=title, labels=run.task.labels(config.data))
    order = [0] * round(HOLD_FIRST * fps) + list(range(moving)) + [moving - 1] * round(HOLD_LAST * fps)
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

    def finish(self) -> None:
        """Write the pictures, each as what changed since the one before."""
        from PIL.Image import Dither, Quantize

        frames: list[Image] = [frame.convert("RGB") for frame in self._frames]
        palette = frames[len(frames) // 2].quantize(COLOURS, Quantize.MEDIANCUT)
        small = [frame.quantize(palette=palette, dither=Dither.NONE) for frame in frames]
        times = [round(1000 / self.fps)] * len(small)
        small[0].save(self.outfile, save_all=True, append_images=small[1:], duration=times, loop=0, optimize=False)


def _writer(form: str, fps: int) -> AbstractMovieWriter:
    if form == ".gif":
        return _SmallGif(fps=fps)
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2:color=white", "-pix_fmt", "yuv420p", "-crf", "20"]
    settings: dict[str, Any] = {"codec": "h264", "extra_args": even}
    return FFMpegWriter(fps=fps, **settings)
