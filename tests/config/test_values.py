from typing import Literal

import pytest

from bimt_tf.config.schedules import Schedule
from bimt_tf.config.values import checked, read_word, spelled
from bimt_tf.errors import InputError


@pytest.mark.parametrize(
    ("kind", "word", "value"),
    [
        (int, "12", 12),
        (float, "1e-3", 1e-3),
        (int | None, "7", 7),
        (tuple[int, ...], "20, 30", (20, 30)),
        (tuple[str, ...], "", ()),
        (tuple[str, ...], "input,output", ("input", "output")),
        (dict[str, str], "hidden*=grid,output=ring", {"hidden*": "grid", "output": "ring"}),
        (Schedule, "0.5", ((0.0, 0.5),)),
        (Schedule, "0:0.001,0.5:0.1", ((0.0, 0.001), (0.5, 0.1))),
        (Literal["a", "b"], "b", "b"),
        (bool, "false", False),
    ],
)
def test_words_are_read_and_spelled_back(kind, word, value):
    assert read_word(kind, word, "--x") == value
    if kind != Literal["a", "b"]:
        assert read_word(kind, spelled(value), "--x") == value


@pytest.mark.parametrize(
    ("kind", "word", "expected"),
    [
        (tuple[int, ...], "20,,20", "--x has an empty item in its list, found '20,,20'"),
        (tuple[int, ...], "20,", "--x has an empty item"),
        (tuple[str, ...], ",", "--x has an empty item"),
        (tuple[int, ...], "20,x", "--x must be a valid integer, found 'x'"),
        (tuple[int, ...], "1e30", "--x must be a valid integer"),
        (tuple[int, ...], "9223372036854775808", r"--x must be below 2\*\*63"),
        (dict[str, str], "output", "NAME=VALUE pairs such as output=ring"),
        (dict[str, str], "output=", "NAME=VALUE"),
        (dict[str, str], "a=b,,c=d", "empty item"),
        (dict[str, str], "a=b,a=c", "names 'a' twice"),
        (Schedule, "0:1,,0.5:2", "START:VALUE pairs"),
        (Schedule, "0:1:2", "START:VALUE pairs"),
        (Literal["grid", "ring"], "rng", "did you mean 'ring'"),
        (Literal["grid", "ring"] | None, "rng", "did you mean 'ring'"),
    ],
)
def test_bad_words_are_named(kind, word, expected):
    with pytest.raises(InputError, match=expected) as caught:
        read_word(kind, word, "--x")
    assert "\n" not in str(caught.value)


def test_a_kind_that_no_config_can_hold_is_named():
    class Strange:
        pass

    with pytest.raises(InputError, match="data.x is annotated .*Strange.*, which a config cannot hold"):
        checked(Strange, 3, "data.x")


def test_whole_numbers_pass_for_floats_and_lists_for_tuples():
    assert checked(float, 1, "x") == 1.0 and isinstance(checked(float, 1, "x"), float)
    assert checked(tuple[tuple[float, float], ...], [[0, 1]], "x") == ((0.0, 1.0),)
