"""How much memory a run will need, estimated before anything of its size is made.

Examples and model are made on torch's meta device, where tensors have shapes and no numbers. The estimate is rough, and
meant to refuse what is far beyond the machine in one line, not to tell what just fits.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from bimt_tf.adapters.families import FAMILIES, parameters
from bimt_tf.config.methods import METHODS
from bimt_tf.config.settings import Config
from bimt_tf.core.population import Connection
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError
from bimt_tf.tasks.base import Data, Split, Task
from bimt_tf.training.device import dtype_of

__all__ = ["available_bytes", "data_bytes", "model_bytes", "require_memory_for_data", "require_memory_for_model"]

GROWTH: Mapping[str, tuple[int, int]] = {
    "samples": (1, 1_000), "modulus": (2, 100), "examples": (1, 50), "dim": (1, 50),
}  # fmt: skip
"""Field of a task's data -> the power of it with which the size of the examples grows, and the value up to which they
are drawn; from there their size is extrapolated."""

DATA_COPIES = 3  # examples as drawn in float64, as cut, and one on the way
PARAMETER_COPIES = 8  # weights, gradients twice, two moments, what each pays, and the step's intermediate values
ACTIVATION_COPIES = 3  # kept for the backward pass, its own gradient, and one on the way
FEW_LAYERS = 3  # a deeper model is not built, its size is extrapolated
CGROUP = Path("/sys/fs/cgroup/memory.max")


class _Sizes(NamedTuple):
    """Of a model: numbers in its parameters; values per token that its layers put out; attention scores per pair of
    tokens; numbers that a search for a layout holds in float64.
    """

    parameters: float
    activations: float
    scores: float
    search: float


def require_memory_for_data(config: Config, task: Task) -> None:
    """Raise InputError if the examples will not fit into memory; tasks that read theirs from files are not asked."""
    try:
        needed = data_bytes(config, task)
    except OverflowError:
        needed = float("inf")
    _require("drawing these examples", needed, available_bytes("cpu"), "take fewer or smaller examples")


def require_memory_for_model(config: Config, task: Task, data: Split) -> None:
    """Raise InputError if the model and its training on batches of ``data`` will not fit into memory."""
    if task.pretrained:  # it is in a file already, and reading that says what is wrong
        return
    device = config.training.device
    try:
        needed = model_bytes(config, task, data.train)
    except OverflowError:
        needed = float("inf")
    _require("training this model", needed, available_bytes(device), "take a smaller model or smaller batches")


def data_bytes(config: Config, task: Task) -> float:
    """Bytes that drawing the examples takes; 0 if the task does not say how many it draws.

    Raises:
        OverflowError: if the shapes are beyond what a tensor can have.
    """
    options: dict[str, Any] = {field: getattr(config.data, field, None) for field in GROWTH}
    given = {field: value for field, value in options.items() if isinstance(value, int)}
    if not given:
        return 0.0
    few = {field: min(value, GROWTH[field][1]) for field, value in given.items()}
    try:
        with torch.device("meta"):
            drawn = task.data(replace(config.data, **few), config.seed, dtype_of(config))
    except Exception as error:  # a task of one's own may need numbers, or refuse so few examples
        _raise_overflow(error)
        return 0.0
    growth = math.prod((value / few[field]) ** GROWTH[field][0] for field, value in given.items())
    return DATA_COPIES * sum(_bytes_of(part) for part in drawn) * growth


def model_bytes(config: Config, task: Task, examples: Data) -> float:
    """Bytes that training the task's model on batches of ``examples`` takes; 0 if that cannot be told.

    Raises:
        OverflowError: if the shapes are beyond what a tensor can have.
    """
    layers = getattr(config.model, "n_layers", 0)
    try:
        if isinstance(layers, int) and layers > FEW_LAYERS:
            less, more = (_sizes(config, task, n) for n in (FEW_LAYERS - 1, FEW_LAYERS))
            sizes = _Sizes(*(b + (b - a) * (layers - FEW_LAYERS) for a, b in zip(less, more, strict=True)))
        else:
            sizes = _sizes(config, task)
    except InputError:  # of the user's values, which building the model reports
        return 0.0
    except Exception as error:
        _raise_overflow(error)
        return 0.0
    batch = config.training.batch_size or len(examples.inputs)
    tokens = examples.inputs.shape[1] if examples.inputs.ndim > 1 else 1
    is_sequence = examples.inputs.ndim > 2 or not examples.inputs.is_floating_point()
    per_example = sizes.activations * (tokens if is_sequence else 1) + sizes.scores * tokens**2
    item = dtype_of(config).itemsize
    training = item * (PARAMETER_COPIES * sizes.parameters + ACTIVATION_COPIES * batch * per_example)
    return training + (8 * sizes.search if METHODS[config.method].swaps else 0)


def available_bytes(device: str) -> float | None:
    """Memory of a device: all of a GPU's; of the machine's what the container may use. None where it is not told."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[1])
    try:
        physical = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # not on Windows: nothing is refused there
        return None
    try:
        return min(physical, float(CGROUP.read_text()))
    except (OSError, ValueError):  # no such limit, or "max"
        return physical


def _sizes(config: Config, task: Task, layers: int | None = None) -> _Sizes:
    options: Any = config.model if layers is None else replace(config.model, n_layers=layers)
    with torch.device("meta"):
        model = task.model(options, config.data, config.seed, dtype_of(config))
    numbers = float(sum(p.numel() for p in parameters(model).values()))
    wiring = _wiring(model)
    if wiring is None:
        return _Sizes(numbers, 0.0, 0.0, 0.0)
    populations = wiring.populations
    activations, pairs = 0.0, 0.0
    for wired in wiring.wired:
        if isinstance(wired, Connection):
            source, target = (populations[stage.population].size for stage in wired.stages)
            activations += wired.numel / source
            pairs += 2.0 * source * target
    scores = sum(p.heads for name, p in populations.items() if name.endswith("qk"))
    largest = max((p.size for p in populations.values() if p.movable), default=0)
    return _Sizes(numbers, activations, 2.0 * scores, pairs + 2.0 * largest**2)


def _wiring(model: nn.Module) -> Wiring | None:
    """The wiring of a model on the meta device, if a family knows it."""
    family = next((f for f in FAMILIES if f.matches(model)), None)
    return None if family is None else family.wiring(model)


def _bytes_of(data: Data) -> float:
    return float(sum(t.numel() * t.element_size() for t in (data.inputs, data.targets, *data.quantities.values())))


def _raise_overflow(error: Exception) -> None:
    """Turn torch's several errors for a shape beyond its whole numbers into OverflowError; others pass."""
    if isinstance(error, (OverflowError, MemoryError)) or "overflow" in str(error).lower():
        raise OverflowError(str(error)) from error


def _require(what: str, needed: float, available: float | None, advice: str) -> None:
    if available is not None and needed > available:
        amount = f"about {_spell(needed)}" if needed < 1e21 else "more memory than any machine has"
        raise InputError(f"{what} needs {amount}, and {_spell(available)} of memory is there: {advice}")


def _spell(count: float) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min(int(math.log10(max(count, 1)) // 3), len(units) - 1)
    return f"{count / 1000**power:.3g} {units[power]}"
