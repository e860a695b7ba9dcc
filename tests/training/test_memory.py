"""Sizes beyond the machine are refused in one line before anything of that size is made."""

import pytest
import torch

from bimt_tf.config.reading import make
from bimt_tf.errors import InputError
from bimt_tf.tasks.registry import TASKS
from bimt_tf.tasks.registry import task as find_task
from bimt_tf.training import memory
from bimt_tf.training.device import dtype_of
from bimt_tf.training.setup import require_batch, set_up


@pytest.mark.parametrize(("task", "section", "field", "value"), [
    ("in-context", "model", "d_mlp", 100_000_000),
    ("in-context", "model", "n_layers", 10**8), ("in-context", "model", "d_model", 10**7),
    ("in-context", "data", "samples", 10**12),
    ("in-context", "data", "examples", 10**9), ("in-context", "data", "dim", 10**8),
    ("modular-addition", "data", "modulus", 10**9), ("two-moon", "data", "samples", 10**13),
    ("symbolic-a", "model", "hidden", [10**7, 10**7]), ("modular-addition-transformer", "model", "d_model", 10**7),
])  # fmt: skip
def test_what_is_far_too_large_is_refused(task, section, field, value):
    config = make(task, overrides={section: {field: value}})
    with pytest.raises(InputError, match="needs (about|more memory than).* of memory is there"):
        set_up(config)


def test_a_batch_larger_than_the_training_examples_is_refused():
    with pytest.raises(InputError, match="batch_size 9000 is larger than the 8000 training examples"):
        set_up(make("in-context", overrides={"training": {"batch_size": 9_000}}))
    require_batch(8_000, 8_000)


@pytest.mark.parametrize("task", [name for name in TASKS if name not in ("mnist", "lm")])
def test_the_estimates_are_of_the_right_size(task):
    config, found = make(task), find_task(task)
    data = found.data(config.data, 0, dtype_of(config))
    held = sum(t.numel() * t.element_size() for part in data for t in (part.inputs, part.targets))
    estimated = memory.data_bytes(config, found)
    assert estimated == 0 and "s4" in task or task == "digits" or held <= estimated <= 20 * held
    model = found.model(config.model, config.data, 0, dtype_of(config))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    assert 6 * weights < memory.model_bytes(config, found, data.train) < 300 * weights


def test_a_deep_model_is_extrapolated_and_not_built(monkeypatch):
    config, found = make("in-context", overrides={"model": {"n_layers": 7}}), find_task("in-context")
    examples = found.data(config.data, 0, torch.float32).train
    extrapolated = memory.model_bytes(config, found, examples)
    monkeypatch.setattr(memory, "FEW_LAYERS", 100)
    assert extrapolated == pytest.approx(memory.model_bytes(config, found, examples), rel=1e-9)


def test_the_search_for_a_layout_counts(monkeypatch):
    found = find_task("symbolic-a")
    sizes = {"model": {"hidden": [3_000]}}
    data = found.data(make("symbolic-a").data, 0, torch.float32).train
    swaps, still = (
        memory.model_bytes(make("symbolic-a", method=m, overrides=sizes), found, data) for m in ("bimt", "l1")
    )
    assert swaps - still > 8 * 3_000**2


def test_nothing_is_refused_where_memory_is_not_told(monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", lambda name: (_ for _ in ()).throw(ValueError(name)))
    assert memory.available_bytes("cpu") is None
    memory._require("this", float("inf"), None, "less")


def test_a_containers_limit_counts(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "CGROUP", limit)
    machine = memory.available_bytes("cpu")
    limit.write_text("max\n")
    assert memory.available_bytes("cpu") == machine
    limit.write_text("1000\n")
    assert memory.available_bytes("cpu") == 1000
