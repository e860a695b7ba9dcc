"""What is asked of a network when its formula is read: its examples, names, outputs and budget, checked."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.analysis.formula_error import Budget, Judge, Sample
from bimt_tf.analysis.formula_functions import ACTIVATIONS
from bimt_tf.analysis.formula_network import layer_widths
from bimt_tf.analysis.formula_polynomial import Array, Polynomial, constant, variable
from bimt_tf.errors import InputError, names_of, require_kind, require_positive

__all__ = ["Question", "Wanted", "ask", "is_name"]

LARGEST = 1e150  # outputs whose squares are numbers
DRAWN = 2_000  # new examples of an MLP, at least
R2 = 0.9999  # of the budget, unless one is given
OWN_NAMES = re.compile(r"(?:[rmqkvzh]\d+_\d+|s\d+_\d+|a\d+_\d+)\w*")  # what definitions are called
WORDS = ("np", "math", "formula", "softmax")  # of the source that python() gives


class Wanted(NamedTuple):
    """What the user names: see :func:`bimt_tf.analysis.formula.formula`."""

    names: Sequence[str] | None = None
    outputs: Sequence[int] | None = None
    output_names: Sequence[str] | None = None
    position: int | None = None
    r2: float | None = None
    max_error: float | None = None


class Question(NamedTuple):
    """The network in float64, what its inputs are called, what is wanted of it, and by what it is judged.

    ``values``: each input's variable, or its number where it never varies; tokens one after the other. ``shape``: of
    one example. ``fixed``: name -> number of the inputs that never vary.
    """

    model: nn.Module
    values: tuple[Polynomial, ...]
    shape: tuple[int, ...]
    fixed: dict[str, float]
    outputs: tuple[tuple[int, str], ...]
    position: int | None
    judge: Judge
    targets: Array | None


def ask(
    model: nn.Module,
    inputs: Float[Tensor, "n ..."],
    fit_inputs: Float[Tensor, "fitted ..."],
    targets: Float[Tensor, "n outputs"] | None,
    wanted: Wanted,
) -> Question:
    """Check what is asked of a network that computes in float64 on the CPU.

    Raises:
        InputError: for examples, names, outputs, a position or a budget that cannot be.
    """
    d_in, d_out, n_ctx = layer_widths(model)
    inputs, fit_inputs = (examples.detach().to("cpu", torch.float64) for examples in (inputs, fit_inputs))
    for examples in (inputs, fit_inputs):
        fits = examples.ndim == 2 if n_ctx is None else examples.ndim == 3 and examples.shape[1] <= n_ctx
        if not fits or examples.shape[-1] != d_in or len(examples) == 0 or examples.shape[1:] != inputs.shape[1:]:
            shape = f"[n, {d_in}]" if n_ctx is None else f"[n, pos <= {n_ctx}, {d_in}]"
            raise InputError(f"inputs must be {shape}, found {list(examples.shape)}")
        if not examples.isfinite().all():
            raise InputError("inputs hold NaN or infinite numbers")
    position = _position(wanted.position, None if n_ctx is None else inputs.shape[1])
    outputs = _outputs(d_out, wanted)
    names = _names(inputs, wanted.names)
    values, fixed = _values(torch.cat([inputs, fit_inputs]), names)
    held_out, fit = (
        Sample(_columns(examples, names, fixed), computed(model, examples, outputs, position))
        for examples in (inputs, fit_inputs)
    )
    if position is None:
        fit = _with_drawn(model, fit, values, outputs)
    clash = {*names} & {name for _, name in outputs}
    if clash:
        raise InputError(f"an output must not be called as an input is, found {sorted(clash)}")
    return Question(
        model, values, tuple(inputs.shape[1:]), fixed, outputs, position,
        Judge(fit, held_out, _budget(wanted.r2, wanted.max_error)), _targets(targets, len(inputs), len(outputs)),
    )  # fmt: skip


def _with_drawn(
    model: nn.Module, fit: Sample, values: Sequence[Polynomial], outputs: Sequence[tuple[int, str]]
) -> Sample:
    """An MLP's examples and new ones, each input's values in another order, so that few examples do not decide.

    A transformer's inputs belong together (y1 is w x1), so that its own examples have to do.
    """
    if not fit.inputs:
        return fit
    n = len(fit.network)
    times = math.ceil(DRAWN / n)
    generator = np.random.default_rng(0)
    inputs = {
        name: np.concatenate([column, generator.permutation(np.tile(column, times))])
        for name, column in fit.inputs.items()
    }
    columns = [np.broadcast_to(np.asarray(value.value(inputs)), (n * (times + 1),)) for value in values]
    examples = torch.from_numpy(np.stack(columns, axis=1).copy())
    return Sample(inputs, computed(model, examples, outputs, None))


def computed(model: nn.Module, examples: Tensor, outputs: Sequence[tuple[int, str]], position: int | None) -> Array:
    """What the network makes of examples, [n, outputs].

    Raises:
        InputError: if it is NaN, or so large that its squares, which R2 is made of, are infinite.
    """
    with torch.no_grad():
        found: Tensor = model(examples)
    read = found if position is None else found[:, position]
    made = np.asarray(read[:, [number for number, _ in outputs]].numpy(), dtype=np.float64)
    if not (np.abs(made) < LARGEST).all():
        raise InputError(
            f"the network's outputs must be finite and below {LARGEST:g}, so that R2 has a value: scale the inputs"
        )
    return made


def _budget(r2: float | None, max_error: float | None) -> Budget:
    if r2 is not None and max_error is not None:
        raise InputError(f"give one budget, r2 or max_error, found r2={r2!r} and max_error={max_error!r}")
    if max_error is not None:
        require_positive("max_error", max_error)
        return Budget(None, float(max_error))
    wanted = R2 if r2 is None else r2
    require_positive("r2", wanted)
    if wanted >= 1:
        raise InputError(f"r2 must be below 1, found {wanted!r}; what is exact is the formula's first step")
    return Budget(float(wanted), None)


def _position(position: int | None, n_tokens: int | None) -> int | None:
    if n_tokens is None:
        if position is not None:
            raise InputError(f"an MLP has no positions: position must be None, found {position!r}")
        return None
    if position is None:
        return n_tokens - 1
    if isinstance(position, bool) or not isinstance(position, int) or not -n_tokens <= position < n_tokens:
        raise InputError(f"position must be from 0 to {n_tokens - 1} (or -{n_tokens} to -1), found {position!r}")
    return position % n_tokens


def _outputs(d_out: int, wanted: Wanted) -> tuple[tuple[int, str], ...]:
    numbers = list(range(d_out)) if wanted.outputs is None else list(wanted.outputs)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < d_out:
            raise InputError(f"outputs must be numbers from 0 to {d_out - 1}, found {number!r}")
    names = [f"y{number}" for number in numbers]
    if wanted.output_names is not None:
        names = list(names_of("output_names", wanted.output_names))
    if len(names) != len(numbers) or len(set(names)) != len(names) or not names:
        raise InputError(f"output_names must be {len(numbers)} different names, one an output, found {names}")
    for name in names:
        if OWN_NAMES.fullmatch(name):
            raise InputError(f"an output must not be called as neurons are, found {name!r}")
    return tuple(zip(numbers, names, strict=True))


def is_name(name: str) -> bool:
    """Whether an input can be called so: a Python variable, and nothing that formulas call otherwise."""
    own = OWN_NAMES.fullmatch(name) is not None or name in WORDS or name in ACTIVATIONS
    return name.isidentifier() and not keyword.iskeyword(name) and not own


def _names(inputs: Tensor, names: Sequence[str] | None) -> list[str]:
    shape = inputs.shape[1:]
    if names is None:
        usual = [f"x{i}" for i in range(shape[0])] if len(shape) == 1 else []
        return usual or [f"x{token}_{feature}" for token in range(shape[0]) for feature in range(shape[1])]
    found = list(names_of("names", names))
    if len(found) != math.prod(shape) or len(set(found)) != len(found):
        raise InputError(f"names must be {math.prod(shape)} different names, one an input, found {found}")
    for name in found:
        if not is_name(name):
            raise InputError(f"names must be as Python's variables, and not as neurons are called, found {name!r}")
    return found


def _values(examples: Tensor, names: Sequence[str]) -> tuple[tuple[Polynomial, ...], dict[str, float]]:
    """Variables, or numbers where an input never varies; and these numbers by name."""
    flat = examples.flatten(1)
    still = (flat == flat[0]).all(0).tolist() if len(flat) > 1 else [False] * flat.shape[1]
    fixed = {name: float(flat[0, at]) for at, (name, stays) in enumerate(zip(names, still, strict=True)) if stays}
    return tuple(constant(fixed[name]) if name in fixed else variable(name) for name in names), fixed


def _columns(examples: Tensor, names: Sequence[str], fixed: dict[str, float]) -> dict[str, Array]:
    flat = examples.flatten(1).numpy()
    return {name: flat[:, at].copy() for at, name in enumerate(names) if name not in fixed}


def _targets(targets: Tensor | None, n: int, n_outputs: int) -> Array | None:
    if targets is None:
        return None
    require_kind("targets", targets, Tensor)
    if tuple(targets.shape) != (n, n_outputs):
        raise InputError(f"targets must be [{n}, {n_outputs}], found {list(targets.shape)}")
    return np.asarray(targets.detach().cpu().to(torch.float64).numpy())
