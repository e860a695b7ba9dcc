"""Small files of the forms MNIST comes in, written from the format's description."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np

TRAIN, TEST = 40, 24


def arrays() -> dict[str, np.ndarray]:
    """Random images and labels, under the names they have in mnist.npz."""
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", TRAIN), ("test", TEST)):
        made[f"x_{part}"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        made[f"y_{part}"] = rng.permutation(np.arange(n, dtype=np.uint8) % 10)
    return made


def idx(array: np.ndarray) -> bytes:
    """An array of bytes as an IDX file."""
    return struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape) + array.tobytes()


def name_of(key: str, mark: str = "-") -> str:
    """The name of the IDX file that holds an array of mnist.npz."""
    kind, part = key.split("_")
    which = {"train": "train", "test": "t10k"}[part]
    return f"{which}-{'images' if kind == 'x' else 'labels'}{mark}idx{3 if kind == 'x' else 1}-ubyte"


def write_idx(directory: Path, mark: str = "-", packed: bool = False) -> Path:
    """The four files; returns the directory."""
    for key, array in arrays().items():
        path = directory / (name_of(key, mark) + (".gz" if packed else ""))
        path.write_bytes(gzip.compress(idx(array)) if packed else idx(array))
    return directory
