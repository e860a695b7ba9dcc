"""A run without an intervention: its metric, and what the hooks saw that an intervention will write at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Size, Tensor, nn

from bimt_tf.analysis.activations import flat_neurons, run_hooked
from bimt_tf.analysis.finite import finite_number
from bimt_tf.analysis.written import Positions, entries_at, in_place, writing
from bimt_tf.errors import InputError

__all__ = ["Seen", "clean_run", "number_of", "seen_at"]


class Seen(NamedTuple):
    """What a hook saw: ``flat`` [batch, *pos, neurons], and the shape of the activation itself."""

    hook: str
    flat: Tensor
    shape: Size

    @property
    def heads(self) -> int:
        """How many heads the hook shows; raises InputError for one without heads."""
        if len(self.shape) != 4:
            raise InputError(
                f"hook {self.hook!r} has no heads: its activation is {list(self.shape)}; "
                "hook_q, hook_k, hook_v and hook_z of an attention have them"
            )
        return self.shape[2]

    def neurons_of(self, heads: Iterable[int]) -> list[int]:
        """The neurons of some heads, head by head; raises InputError for a head that is not there."""
        found: list[int] = []
        for head in heads:
            if not 0 <= head < self.heads:
                raise InputError(f"hook {self.hook!r} has heads 0 to {self.heads - 1}, found {head}")
            found += range(head * self.shape[3], (head + 1) * self.shape[3])
        return found

    def edit(self, neurons: Sequence[int], value: str, position: Positions, seed: int) -> Callable[[Tensor], Tensor]:
        """What :func:`run_hooked` calls to ablate neurons here; ``value`` and ``seed`` as ``ablate`` takes them."""
        entries = entries_at(self.hook, self.flat.shape[1:], neurons, position)
        return writing(self.hook, entries, in_place(value, self.flat, seed))


def seen_at(model: nn.Module, hooks: Iterable[str], inputs: Tensor) -> tuple[Any, dict[str, Seen]]:
    """The model's output, and what each hook saw, in the order of ``hooks``.

    Raises:
        InputError: as :func:`run_hooked`, or for activations that are no neurons, NaN or infinite.
    """
    found: dict[str, Seen] = {}

    def save(hook: str, activation: Tensor) -> None:
        found[hook] = Seen(hook, flat_neurons(hook, activation).detach().clone(), activation.shape)

    names = list(dict.fromkeys(hooks))
    output = run_hooked(model, inputs, {hook: partial(save, hook) for hook in names})
    for hook in names:
        if not found[hook].flat.isfinite().all():
            raise InputError(f"hook {hook!r} has NaN or infinite activations on these inputs")
    return output, {hook: found[hook] for hook in names}


def clean_run(
    model: nn.Module, hooks: Iterable[str], inputs: Tensor, metric: Callable[[Any], float]
) -> tuple[float, dict[str, Seen]]:
    """The metric without ablation, and what each hook saw.

    Raises:
        InputError: as :func:`seen_at`, or for a metric that is not a finite number.
    """
    output, found = seen_at(model, hooks, inputs)
    return number_of(metric, output, "without ablation"), found


def number_of(metric: Callable[[Any], float], output: Any, when: str) -> float:
    """The metric of an output; ``when`` is for the error that says that it is not a finite number."""
    with torch.no_grad():
        return finite_number(metric(output), "metric", when)
