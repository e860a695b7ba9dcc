"""MNIST from where it lies: the four IDX files or mnist.npz in a directory, or Hugging Face ``datasets``.

Whatever its source, what is given has one form, checked here: images of 28 x 28 bytes, a class from 0 to 9 for each.
"""

from __future__ import annotations

import logging
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bimt_tf.errors import InputError
from bimt_tf.tasks.idx import read_idx

__all__ = ["HUB", "SIDE", "Images", "read_directory", "read_hub"]

SIDE, CLASSES = 28, 10
HUB = "ylecun/mnist"
NPZ = "mnist.npz"
PARTS = ("train", "test")
IDX_NAMES = {"train": "train", "test": "t10k"}
SHOWN = 8  # names of a directory that a message lists


class Images(NamedTuple):
    """Images, uint8 [n, 28, 28], and what each shows, int64 [n]."""

    images: np.ndarray
    classes: np.ndarray


def read_directory(path: Path) -> tuple[Images, Images]:
    """Training and test images from a directory: the four IDX files if all are there, else mnist.npz.

    Raises:
        InputError: for a directory or a file that is missing, damaged, or holds something else.
    """
    if not path.is_dir():
        found = "it is a file: give the directory that it lies in" if path.exists() else "there is no such directory"
        raise InputError(f"data_dir {path}: {found}")
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise InputError(f"cannot read data_dir {path}: {error.strerror}") from error
    files = {entry.name: entry for entry in entries if entry.is_file()}
    wanted = {(part, kind): _spellings(part, kind) for part in PARTS for kind in ("images", "labels")}
    found_idx = {key: files[name] for key, names in wanted.items() for name in reversed(names) if name in files}
    if len(found_idx) == len(wanted):
        train, test = (_read_idx(found_idx[part, "images"], found_idx[part, "labels"]) for part in PARTS)
    elif NPZ in files:
        train, test = _read_npz(files[NPZ])
    else:
        missing = ", ".join(names[0] for key, names in wanted.items() if key not in found_idx)
        holds = ", ".join(entry.name for entry in entries[:SHOWN]) + (", ..." if len(entries) > SHOWN else "")
        raise InputError(
            f"data_dir {path} lacks {missing} (plain or .gz; '.idx' for '-idx' will do, and so will {NPZ} in the place "
            f"of all four); it holds {holds or 'nothing'}"
        )
    return train, test


def read_hub() -> tuple[Images, Images]:
    """Training and test images through Hugging Face ``datasets``, which keeps what it has fetched.

    Raises:
        InputError: if ``datasets`` is not installed or cannot fetch them.
    """
    remedy = "give --data-dir, a directory with MNIST's four IDX files or mnist.npz"
    try:
        import datasets  # type: ignore[import-untyped]
    except ImportError as error:
        what = "MNIST is fetched by the package datasets, which is not installed"
        raise InputError(f"{what}: pip install 'bimt_tf[mnist]', or {remedy}") from error
    try:
        with _without_warnings("huggingface_hub"):  # of every one of its retries
            fetched = datasets.load_dataset(HUB)
    except Exception as error:  # what goes wrong in a network has many types, none of them promised
        text = " ".join(str(error).split())
        raise InputError(f"cannot fetch {HUB} ({text or type(error).__name__}); {remedy}") from error
    train, test = (
        _checked(
            np.stack([np.asarray(image) for image in fetched[part]["image"]]),
            np.asarray(list(fetched[part]["label"])),
            f"the images of {HUB}, {part}",
            f"the labels of {HUB}, {part}",
        )
        for part in PARTS
    )
    return train, test


def _spellings(part: str, kind: str) -> list[str]:
    """The names an IDX file goes by, the usual one first."""
    dims = {"images": 3, "labels": 1}[kind]
    names = [f"{IDX_NAMES[part]}-{kind}{mark}idx{dims}-ubyte" for mark in "-."]
    return names + [f"{name}.gz" for name in names]


def _read_idx(images: Path, labels: Path) -> Images:
    return _checked(read_idx(images, (SIDE, SIDE)), read_idx(labels, ()), str(images), str(labels))


def _read_npz(path: Path) -> tuple[Images, Images]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not an NPZ file, or is truncated")
    keys = [f"{kind}_{part}" for part in PARTS for kind in "xy"]
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.load(path, allow_pickle=False) as npz:
            if missing := [key for key in keys if key not in npz.files]:
                raise InputError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(npz.files) or 'nothing'}")
            for key in keys:
                try:
                    arrays[key] = npz[key]
                except ValueError as error:
                    raise InputError(
                        f"{key} of {path} is no plain array of numbers (pickled objects are not read): {error}"
                    ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    train, test = (
        _checked(arrays[f"x_{part}"], arrays[f"y_{part}"], f"x_{part} of {path}", f"y_{part} of {path}")
        for part in PARTS
    )
    return train, test


def _checked(images: np.ndarray, classes: np.ndarray, of_images: str, of_classes: str) -> Images:
    """Images as this module gives them; ``of_images`` and ``of_classes`` name them in errors."""
    if not isinstance(images, np.ndarray) or images.shape[1:] != (SIDE, SIDE) or images.dtype != np.uint8:
        raise InputError(f"{of_images} must be uint8 [images, {SIDE}, {SIDE}], found {_form(images)}")
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or not np.issubdtype(classes.dtype, np.integer):
        raise InputError(f"{of_classes} must be whole numbers [images], found {_form(classes)}")
    if len(images) != len(classes):
        raise InputError(f"{of_images}: {len(images)} images, but {of_classes}: {len(classes)} labels")
    if len(images) == 0:
        raise InputError(f"{of_images}: no image")
    wrong = classes[(classes < 0) | (classes >= CLASSES)]
    if len(wrong):
        raise InputError(f"{of_classes} must be from 0 to {CLASSES - 1}, found {wrong[0]}")
    return Images(images, classes.astype(np.int64))


def _form(value: object) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


@contextmanager
def _without_warnings(name: str) -> Iterator[None]:
    """Let a package log errors only for a while."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
