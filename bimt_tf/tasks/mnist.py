"""MNIST (paper, Section 3.5): handwritten digits of 28 x 28 pixels, by MLPs of two, three or four layers.

``--hidden 100``, ``100,100`` or ``100,100,100``: hidden layers on 10 x 10 grids, whatever their number. The images are
read from ``--data-dir`` or fetched (mnist_data.py). What the paper leaves open is said in images.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bimt_tf.errors import InputError, require_whole
from bimt_tf.tasks.base import Data, Split
from bimt_tf.tasks.images import BEST, NOTEBOOK, PAPER, DigitImages
from bimt_tf.tasks.kinds import shuffled

if TYPE_CHECKING:
    import torch

    from bimt_tf.tasks.mnist_data import Images

__all__ = ["MNIST", "MNISTOptions", "MNISTTask"]

PIXELS, BRIGHTEST = 784, 255


@dataclass(frozen=True)
class MNISTOptions:
    """The data of MNIST."""

    data_dir: str | None = None
    """directory with MNIST's four IDX files (plain or .gz) or mnist.npz [fetched by Hugging Face datasets]"""
    train_samples: int = 0
    """images to train on, drawn at random; 0 for all 60,000"""
    test_samples: int = 0
    """images to test on, drawn at random; 0 for all 10,000"""

    def __post_init__(self) -> None:
        require_whole("train_samples", self.train_samples, at_least=0)
        require_whole("test_samples", self.test_samples, at_least=0)


@dataclass(frozen=True)
class MNISTTask(DigitImages):
    """One of ten digits from 28 x 28 pixels."""

    Options: type[MNISTOptions] = MNISTOptions

    def data(self, options: MNISTOptions, seed: int, dtype: torch.dtype) -> Split:
        """The images [n, 784], pixels from 0 to 1, in MNIST's own two parts; the seed draws from them.

        Raises:
            InputError: if they are not found, damaged or fewer than wanted.
        """
        from bimt_tf.tasks.mnist_data import read_directory, read_hub

        found = read_directory(Path(options.data_dir).expanduser()) if options.data_dir else read_hub()
        wanted = {"train_samples": options.train_samples, "test_samples": options.test_samples}
        return Split(*(_drawn(p, *w, seed, dtype) for p, w in zip(found, wanted.items(), strict=True)))


def _drawn(part: Images, option: str, count: int, seed: int, dtype: torch.dtype) -> Data:
    """``count`` images of a part, all for 0, as numbers."""
    import torch

    images, classes = torch.from_numpy(part.images).flatten(1), torch.from_numpy(part.classes)
    if count > len(images):
        raise InputError(f"{option} is {count}, but there are {len(images)} images")
    if count:
        chosen = shuffled(len(images), seed)[:count]
        images, classes = images[chosen], classes[chosen]
    return Data(images.to(dtype).div_(BRIGHTEST), classes, {})


MNIST = MNISTTask(
    "mnist",
    "handwritten digits of 28 x 28 pixels, neurons in three dimensions (paper, Section 3.5)",
    {"best": BEST, "paper": PAPER, "notebook": NOTEBOOK},  # digits stand for MNIST in choosing BEST
    pixels=PIXELS,
)
