"""Every field of every task's options refuses NaN, infinity and negative numbers, and says which field it is."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from bimt_tf.errors import InputError
from bimt_tf.tasks.finetune import FinetuneOptions
from bimt_tf.tasks.registry import TASKS

MAY_BE_NEGATIVE = {"x_low", "x_high", "w_low", "w_high"}


def number_fields():
    """(options, field) of each field of a task's data and model that holds a number or numbers."""
    made = [t.Options() for t in TASKS.values()] + [t.Model() for t in TASKS.values()] + [FinetuneOptions(model="gpt2")]
    unique = {type(options).__name__: options for options in made}
    for options in unique.values():
        for field in fields(options):
            value = getattr(options, field.name)
            if isinstance(value, (int, float, tuple)) or "int" in str(field.type):
                yield pytest.param(options, field.name, id=f"{type(options).__name__}.{field.name}")


FIELDS = list(number_fields())


def test_the_fields_are_found():
    assert len(FIELDS) > 40


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), True, "3"], ids=str)
@pytest.mark.parametrize(("options", "name"), FIELDS)
def test_a_number_that_cannot_be_is_named(options, name, bad):
    value = (bad,) if isinstance(getattr(options, name), tuple) else bad
    with pytest.raises(InputError, match=name) as caught:
        replace(options, **{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "name"), [one for one in FIELDS if one.values[1] not in MAY_BE_NEGATIVE])
def test_a_negative_number_is_named(options, name):
    with pytest.raises(InputError, match=name):
        replace(options, **{name: (-1,) if isinstance(getattr(options, name), tuple) else -1})


@pytest.mark.parametrize("name", TASKS)
def test_presets_and_options_have_docs(name):
    """Each preset's options can be made, and each field has its sentence, which is the help of the command line."""
    from bimt_tf.config.fields import sentences
    from bimt_tf.config.reading import make

    task = TASKS[name]
    assert task.summary and list(task.presets)
    for preset in task.presets:
        make(name, preset)
    for cls in (task.Options, task.Model):
        assert cls.__doc__ and set(sentences(cls)) >= {field.name for field in fields(cls)}
