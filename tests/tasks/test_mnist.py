"""MNIST: reading its files, what is said of bad ones, and its networks in three dimensions."""

from __future__ import annotations

import gzip
import logging
import struct
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mnist_files import TEST, TRAIN, arrays, idx, name_of, write_idx
from PIL import Image

from bimt_tf.cli.main import main
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.tasks.mnist import MNISTOptions
from bimt_tf.tasks.mnist_data import Images, read_directory, read_hub
from bimt_tf.tasks.registry import task
from bimt_tf.training.setup import set_up
from bimt_tf.training.trainer import Trainer

MNIST = task("mnist")
IMAGES, LABELS = name_of("x_train"), name_of("y_train")


def require_same(found: tuple[Images, Images]) -> None:
    expected = arrays()
    for part, images in zip(("train", "test"), found, strict=True):
        np.testing.assert_array_equal(images.images, expected[f"x_{part}"])
        np.testing.assert_array_equal(images.classes, expected[f"y_{part}"])
        assert (images.images.dtype, images.classes.dtype) == (np.uint8, np.int64)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("mark", ["-", "."])
def test_idx_files_of_every_spelling(mark, packed, tmp_path):
    require_same(read_directory(write_idx(tmp_path, mark, packed)))


def test_spellings_may_be_mixed_and_gzip_is_known_by_its_content(tmp_path):
    for key, array in arrays().items():
        name = name_of(key, "-" if key.startswith("x") else ".")
        (tmp_path / name).write_bytes(gzip.compress(idx(array)) if key.endswith("train") else idx(array))
    (tmp_path / name_of("x_test")).rename(tmp_path / (name_of("x_test") + ".gz"))  # unpacked, and still so called
    (tmp_path / name_of("x_test", ".")).mkdir()  # one archive of MNIST unpacks to files inside folders of their name
    require_same(read_directory(tmp_path))


def test_the_usual_name_goes_first(tmp_path):
    write_idx(tmp_path)
    for key in arrays():
        (tmp_path / f"{name_of(key, '.')}.gz").write_bytes(b"another")
    require_same(read_directory(tmp_path))


def test_npz_where_the_idx_files_are_not_all_there(tmp_path):
    np.savez_compressed(
        tmp_path / "mnist.npz", **{k: v.astype(">i8") if k[0] == "y" else v for k, v in arrays().items()}
    )
    require_same(read_directory(tmp_path))
    (tmp_path / IMAGES).write_bytes(b"left over")
    require_same(read_directory(tmp_path))


def refused(tmp_path, *says: str) -> None:
    with pytest.raises(InputError) as caught:
        read_directory(tmp_path)
    assert "\n" not in str(caught.value)
    for words in says:
        assert words in str(caught.value)


def test_a_directory_that_is_none(tmp_path):
    refused(tmp_path / "none", f"data_dir {tmp_path / 'none'}: there is no such directory")
    (tmp_path / "mnist.npz").write_bytes(b"")
    refused(tmp_path / "mnist.npz", "it is a file: give the directory")


def test_missing_files_are_named_and_what_was_found(tmp_path):
    refused(
        tmp_path, IMAGES, LABELS, "t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (", "mnist.npz", "it holds nothing"
    )
    write_idx(tmp_path)
    (tmp_path / LABELS).unlink()
    (tmp_path / "t10k-labels-idx1-ubyte").rename(tmp_path / "labels")
    refused(tmp_path, "lacks train-labels-idx1-ubyte, t10k-labels-idx1-ubyte (plain", "it holds labels, t10k-images-")
    for i in range(9):
        (tmp_path / f"a{i}").touch()
    refused(tmp_path, "it holds a0, a1, a2, a3, a4, a5, a6, a7, ...")


GOOD = arrays()["x_train"]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (idx(GOOD)[:1000], f"is truncated: expected {16 + GOOD.size} bytes, found 1000"),
        (idx(GOOD)[:7], "is truncated: expected 16 bytes, found 7"),
        (idx(GOOD)[:3], "is truncated: expected 4 bytes, found 3"),
        (b"", "is truncated: expected 4 bytes, found 0"),
        (struct.pack(">4I", 2051, 2**32 - 1, 28, 28) + bytes(99), "expected 3367254359296 bytes, found 115"),
        (idx(GOOD) + b"0", f"is longer than the {16 + GOOD.size} bytes that its header promises"),
        (idx(arrays()["y_train"]), "magic number 2049 (labels), expected 2051 (images)"),
        (b"PK\3\4" + idx(GOOD), "magic number 1347093252, expected 2051 (images)"),
        (idx(GOOD[:, :27]), "items of 27 x 28 bytes, expected 28 x 28"),
        (idx(GOOD[:-1]), "39 images, but "),
        (idx(GOOD[:0]), "0 images, but "),
    ],
)  # fmt: skip
def test_bad_images(content, says, packed, tmp_path):
    write_idx(tmp_path)
    (tmp_path / IMAGES).write_bytes(gzip.compress(content) if packed else content)
    refused(tmp_path, str(tmp_path / IMAGES), says)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (idx(GOOD), "magic number 2051 (images), expected 2049 (labels)"),
        (idx(np.full(TRAIN, 10, np.uint8)), "must be from 0 to 9, found 10"),
        (idx(arrays()["y_test"]), f"{TRAIN} images, but"),
        (idx(arrays()["y_train"])[:-1], f"expected {8 + TRAIN} bytes, found {7 + TRAIN}"),
    ],
)
def test_bad_labels(content, says, tmp_path):
    write_idx(tmp_path)
    (tmp_path / LABELS).write_bytes(content)
    refused(tmp_path, str(tmp_path / LABELS), says)


def test_nothing_is_not_enough(tmp_path):
    write_idx(tmp_path)
    for name in (IMAGES, LABELS):
        (tmp_path / name).write_bytes(idx((GOOD if name == IMAGES else arrays()["y_train"])[:0]))
    refused(tmp_path, "no image")


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (lambda packed: packed[: len(packed) // 2], f"is truncated: expected {16 + GOOD.size} bytes, found "),
        (lambda packed: packed[:-6], "is truncated: its 31376 bytes are there, the checksum of gzip is not"),
        (lambda packed: packed[:-6] + bytes(6), "is damaged"),
        (lambda packed: packed[:5000] + b"\xff" * 50 + packed[5050:], "is damaged"),
    ],
)
def test_damaged_gzip(cut, says, tmp_path):
    write_idx(tmp_path, packed=True)
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(cut(path.read_bytes()))
    refused(tmp_path, str(path), says)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"y_test": None}, "lacks y_test; it holds x_train, y_train, x_test"),
        ({"x_train": GOOD.astype(object)}, "x_train of"),
        ({"x_train": GOOD.astype(object)}, "pickled objects are not read"),
        ({"x_train": GOOD.reshape(TRAIN, 784)}, "must be uint8 [images, 28, 28], found uint8 [40, 784]"),
        ({"x_train": GOOD / 255}, "must be uint8 [images, 28, 28], found float64 [40, 28, 28]"),
        ({"x_test": GOOD}, f"{TRAIN} images, but y_test of"),
        ({"y_train": np.eye(10)[arrays()["y_train"]]}, "must be whole numbers [images], found float64 [40, 10]"),
        ({"y_train": -np.ones(TRAIN, np.int64)}, "must be from 0 to 9, found -1"),
    ],
)
def test_bad_npz(changed, says, tmp_path):
    kept = {key: value for key, value in {**arrays(), **changed}.items() if value is not None}
    np.savez(tmp_path / "mnist.npz", **kept)
    refused(tmp_path, str(tmp_path / "mnist.npz"), says)


def test_npz_that_is_none_or_damaged(tmp_path):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays())
    whole = path.read_bytes()
    for content, says in (
        (b"", "is not an NPZ file, or is truncated"),
        (whole[: len(whole) // 2], "is not an NPZ file, or is truncated"),
        (whole[:2000] + bytes(500) + whole[2500:], "is damaged"),
    ):
        path.write_bytes(content)
        refused(tmp_path, str(path), says)


def hub(load):
    """A stand-in for the package datasets."""
    return SimpleNamespace(load_dataset=load)


def test_without_a_directory_the_images_are_fetched(monkeypatch):
    def load(name):
        assert name == "ylecun/mnist"
        return {
            part: {
                "image": [Image.fromarray(x) for x in arrays()[f"x_{part}"]],
                "label": arrays()[f"y_{part}"].tolist(),
            }
            for part in ("train", "test")
        }

    monkeypatch.setitem(sys.modules, "datasets", hub(load))
    require_same(read_hub())
    split = MNIST.data(MNISTOptions(data_dir=""), 0, torch.float32)
    assert [len(part.inputs) for part in split] == [TRAIN, TEST]


def test_what_to_do_where_nothing_can_be_fetched(monkeypatch, caplog):
    def fail(name):
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s")
        raise ConnectionError("no\nnetwork")

    monkeypatch.setitem(sys.modules, "datasets", hub(fail))
    level = logging.getLogger("huggingface_hub").level
    with pytest.raises(InputError, match=r"cannot fetch ylecun/mnist \(no network\); give --data-dir"):
        read_hub()
    assert logging.getLogger("huggingface_hub").level == level and not caplog.records
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"datasets, which is not installed: pip install .*, or give --data-dir"):
        read_hub()


def test_examples_are_the_images_in_order_or_drawn(mnist_dir):
    whole = MNIST.data(MNISTOptions(str(mnist_dir)), 0, torch.float64)
    for part, data in zip(("train", "test"), whole, strict=True):
        np.testing.assert_allclose(data.inputs.numpy(), arrays()[f"x_{part}"].reshape(-1, 784) / 255)
        assert data.targets.tolist() == arrays()[f"y_{part}"].tolist()
    drawn = MNIST.data(MNISTOptions(str(mnist_dir), train_samples=10, test_samples=5), 0, torch.float32)
    for some, every, n in zip(drawn, whole, (10, 5), strict=True):
        label_of = {tuple(x): int(y) for x, y in zip(every.inputs.float().tolist(), every.targets, strict=True)}
        assert len({tuple(x) for x in some.inputs.tolist()}) == n and some.inputs.dtype == torch.float32
        for x, y in zip(some.inputs.tolist(), some.targets.tolist(), strict=True):
            assert label_of[tuple(x)] == y


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"train_samples": TRAIN + 1}, "train_samples is 41, but there are 40 images"),
        ({"test_samples": 1000}, "test_samples is 1000, but there are 24 images"),
        ({"test_samples": -1}, "test_samples must be a whole number of at least 0"),
    ],
)
def test_too_many_images(given, says, mnist_dir):
    with pytest.raises(InputError, match=says):
        MNIST.data(MNISTOptions(str(mnist_dir), **given), 0, torch.float32)


def trainer_of(name, preset, hidden, mnist_dir) -> Trainer:
    data = {"data": {"data_dir": str(mnist_dir)}, "training": {"batch_size": 8}} if name == "mnist" else {}
    return set_up(make(name, preset, overrides={"model": {"hidden": hidden}, **data}))


@pytest.mark.parametrize("preset", MNIST.presets)
@pytest.mark.parametrize(("name", "side"), [("mnist", 28), ("digits", 8)])
@pytest.mark.parametrize("hidden", [(100,), (100, 100), (100, 100, 100)])
def test_any_number_of_hidden_layers_lies_in_three_dimensions(name, side, preset, hidden, mnist_dir):
    bimt = trainer_of(name, preset, hidden, mnist_dir).bimt
    inner = [f"hidden{i}" for i in range(len(hidden))]
    assert set(bimt.wiring.populations) == {"input", *inner, "output"}
    for population, n in (("input", side), *((h, 10) for h in inner)):
        x, y = ({round(float(v), 9) for v in places} for places in bimt.places[population].T)
        assert x == y == {round(2 * (i + 0.5) / n, 9) for i in range(n)}
    radius = (bimt.places["output"] - 1).norm(dim=1)
    torch.testing.assert_close(radius, torch.ones(10, dtype=torch.float64))
    assert not bimt.wiring.populations["input"].movable and bimt.wiring.populations["output"].movable
    pays = {name: c.unique().numel() for name, c in bimt.coefficients().items() if name.endswith("weight")}
    last = f"layers.{len(hidden)}.weight"
    assert (pays.pop(last) == 1) is (preset == "notebook")
    assert all(n > 1 for n in pays.values())


def test_presets_differ_where_the_paper_and_its_notebook_do():
    paper, notebook = (make("mnist", preset) for preset in ("paper", "notebook"))
    assert paper.training.lam == ((0.0, 0.001), (0.25, 0.01), (0.5, 0.1), (0.75, 0.3))
    assert notebook.training.lam == ((0.0, 0.01), (0.25, 0.1), (0.5, 1.0))
    assert (paper.training.swap_every, notebook.training.swap_every) == (200, 500)
    assert (paper.geometry.distance_free, notebook.geometry.distance_free) == ((), ("output",))
    for config in (paper, notebook):
        assert (config.training.top_k, config.training.batch_size, config.training.lr) == (30, 100, 1e-3)
        assert (config.geometry.width, config.geometry.layer_gap, config.training.fixed) == (2.0, 0.5, ("input",))
        assert config.training.reduction == "mean" and config.model.hidden == (100, 100)


def bimt(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


def test_from_the_command_line(mnist_dir, tmp_path, capsys):
    out = tmp_path / "run"
    given = ["--hidden", "4,4,4", "--steps", 12, "--batch-size", 8, "--train-samples", 20, "--data-dir", mnist_dir]
    assert bimt("train", "mnist", *given, "--out", out) == 0
    assert (out / "summary.json").exists() and (out / "figures" / "confusion.png").exists()
    capsys.readouterr()
    assert bimt("train", "mnist", *given[:-1], tmp_path / "none", "--out", tmp_path / "other") == 2
    assert capsys.readouterr().err == f"bimt: data_dir {tmp_path / 'none'}: there is no such directory\n"
    assert bimt("train", "mnist", *given, "--distance-free", "outptu", "--out", tmp_path / "other") == 2
    assert "did you mean 'output'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
