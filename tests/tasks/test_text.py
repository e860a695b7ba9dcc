"""Text as tokens: what is read, how it is cut into windows, and what is said of a text that cannot be used."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
import torch

from bimt_tf.errors import InputError
from bimt_tf.tasks.text import STDLIB, as_text, corpus, spaced, windows


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "text.txt"

    def write(content: bytes) -> str:
        path.write_bytes(content)
        corpus.cache_clear()
        return str(path)

    return write


def test_characters_and_bytes_spell_the_text(file):
    text = "Añ€😀\n\ta a"
    found = corpus(file(text.encode()), "characters", 0)
    assert found.unit == "character" and len(found.names) == len(set(text))
    assert [found.names[i] for i in found.tokens] == [
        "A", r"\xf1", r"\u20ac", r"\U0001f600", r"\n", r"\t", "a", "space", "a",
    ]  # fmt: skip
    read = corpus(file(text.encode()), "bytes", 0)
    assert bytes(read.tokens.tolist()) == text.encode() and len(read.names) == 256 and read.unit == "byte"


@pytest.mark.parametrize("most", [1, 2, 3, 4, 5, 8, 9, 100])
def test_a_limit_counts_characters_and_splits_none(file, most):
    text = "Añ€😀bcd€"
    assert as_text(file(text.encode()), most) == text[:most]
    assert corpus(file(text.encode()), "bytes", most).tokens.tolist() == list(text.encode()[:most])


def test_the_standard_library_is_read_by_name_where_it_lies():
    folder = Path(sysconfig.get_paths()["stdlib"])
    names = sorted(path.name for path in folder.glob("*.py"))
    whole = "".join((folder / name).read_bytes().decode() for name in names[:5])
    assert as_text(STDLIB, len(whole) - 3) == whole[:-3]
    assert names[0] == "__future__.py" and as_text(STDLIB, 50) in (folder / names[0]).read_text()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"abc\xff" + b"d" * 50, r"is not UTF-8 \(byte 0xff at 3\).*bytes"),
        (b"ab\xe2\x82", "not UTF-8"),
    ],
)
def test_a_text_that_cannot_be_read_is_named(file, content, says):
    with pytest.raises(InputError, match=f"the text .*text.txt {says}" if "is " in says else says):
        corpus(file(content), "characters", 0)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read the text .*nothing.*No such file.*python-stdlib"):
        corpus(str(tmp_path / "nothing"), "bytes", 0)
    with pytest.raises(InputError, match="cannot read the text.*directory"):
        corpus(str(tmp_path), "bytes", 0)


def test_windows_are_views_and_the_tail_is_held_out(file):
    found = corpus(file(bytes(range(100))), "bytes", 0)
    train, test = windows(found, "text", context=5, train_share=0.7, held_out=3)
    assert train.shape == (65, 6) and train.untyped_storage().data_ptr() == found.tokens.untyped_storage().data_ptr()
    assert torch.equal(train, torch.arange(65)[:, None] + torch.arange(6))
    assert test.tolist() == [[begin + i for i in range(6)] for begin in (70, 80, 90)]  # of 70, 75, ..., 90
    assert spaced(3, 10).tolist() == [0, 1, 2]


@pytest.mark.parametrize(("share", "part"), [(0.6, "held-out tail has 4"), (0.05, "training part has 0")])
def test_a_context_longer_than_the_text_is_refused(file, share, part):
    found = corpus(file(b"0123456789"), "bytes", 0)
    with pytest.raises(InputError, match=f"too short for a context of 5: its {part} bytes.*--context"):
        windows(found, "text", context=5, train_share=share, held_out=3)
