import os

import pytest

from bimt_tf.config.limits import require_runnable
from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS


def test_every_preset_runs_here():
    for name, task in TASKS.items():
        for preset in task.presets:
            require_runnable(make(name, preset))


def test_threads_are_compared_with_the_cores():
    most = 4 * os.cpu_count()
    require_runnable(make("two-moon", overrides={"training": {"threads": most}}))
    with pytest.raises(InputError, match=f"threads, on .* cores, must be at most {most}, found {most + 1}"):
        require_runnable(make("two-moon", overrides={"training": {"threads": most + 1}}))
