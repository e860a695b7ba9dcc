import dataclasses

import pytest

from bimt_tf.config.differences import differences
from bimt_tf.config.reading import make
from bimt_tf.config.resumable import RESUMABLE, require_resumable
from bimt_tf.errors import InputError

STORED = make("two-moon", overrides={"training": {"steps": 100}})


def edited(**training):
    return dataclasses.replace(STORED, training=dataclasses.replace(STORED.training, **training))


def test_differences_are_named_with_both_values():
    other = make("two-moon", overrides={"training": {"steps": 50}, "model": {"hidden": (3,)}})
    assert [tuple(one) for one in differences(STORED, other)] == [
        ("model.hidden", (20, 20), (3,)),
        ("training.steps", 100, 50),
    ]
    assert list(differences(STORED, STORED)) == []
    assert [tuple(one) for one in differences({"a": {"b": 1}}, {"a": {"c": 2}})] == [("a.b", 1, None), ("a.c", None, 2)]


def test_a_resume_may_change_what_numbers_do_not_hang_on():
    free = edited(device="cuda", threads=2, log_every=7, checkpoint_every=9, snapshots=False)
    require_resumable(STORED, free)
    names = ("device", "threads", "log_every", "checkpoint_every", "snapshots")
    assert {f"training.{name}" for name in names} == RESUMABLE


@pytest.mark.parametrize(
    "change", [{"steps": 200}, {"lr": 0.5}, {"dtype": "float64"}, {"compile": "no"}, {"active": 0.5}]
)
def test_a_resume_may_change_nothing_else(change):
    (name,) = change
    with pytest.raises(InputError, match=rf"training\.{name} is .*bimt train two-moon --init-from DIR") as caught:
        require_resumable(STORED, edited(**change))
    assert "\n" not in str(caught.value)


def test_the_seed_and_the_task_belong_to_a_run():
    with pytest.raises(InputError, match="seed is 3 now"):
        require_resumable(STORED, dataclasses.replace(STORED, seed=3))
