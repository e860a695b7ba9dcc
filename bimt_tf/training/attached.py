"""BIMT on the training loop of someone else: hooks on the optimizer do what the trainer's phases do (paper, Section 2).

    attached = attach(bimt, optimizer, steps=10_000, lam="0:0.001,0.5:0.01")
    for batch in data:                      # the loop stays as it is: gradients, clipping, accumulation, scaler
        loss(batch).backward()
        optimizer.step()                    # here weights shrink, neurons move, and from the finish on zeros stay zero
        optimizer.zero_grad()
    attached.remove()

The learning rate is the loop's own; in the finish phase it should fall to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakSet

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from bimt_tf.bimt import BIMT
from bimt_tf.config.schedules import Schedule, curve, require_schedule
from bimt_tf.core.optimizer_state import (
    Optimizers,
    optimizers_of,
    require_eps,
    require_holds_each,
    require_learning_rates,
)
from bimt_tf.core.search import SearchMethod
from bimt_tf.core.zeros import Zeros
from bimt_tf.errors import (
    InputError,
    require_at_most,
    require_kind,
    require_known,
    require_non_negative,
    require_whole,
)  # fmt: skip

__all__ = ["Attached", "LoopSettings", "attach"]


@dataclass(frozen=True)
class LoopSettings:
    """What :func:`attach` and the callbacks take, beside the model and how many steps there are.

    Args:
        lam: lambda, a number or a schedule over the pressed phase as configs spell it (docs/schedules.md).
        penalty: "proximal", a soft threshold after the optimizer's step (exact zeros), or "gradient", before it.
        swap_every: S, in steps; 0 for no swaps.
        finish: share of the steps that are the finish phase; 0 for none.
        cut: |w| up to which a charged weight is cut when the finish phase begins.
        swap_method, swap_starts: as :meth:`bimt_tf.BIMT.swap` takes them; starts for the swap that ends a phase.

    Raises:
        InputError: for a value out of range.
    """

    lam: float | Schedule
    penalty: Literal["proximal", "gradient"] = "proximal"
    swap_every: int = 200
    finish: float = 0.4
    cut: float = 1e-2
    swap_method: SearchMethod = "assignment"
    swap_starts: int = 1

    def __post_init__(self) -> None:
        require_schedule("lam", self.lam)
        require_known("penalty", self.penalty, ("proximal", "gradient"))
        require_known("swap_method", self.swap_method, ("assignment", "greedy"))
        require_whole("swap_every", self.swap_every, at_least=0)
        require_whole("swap_starts", self.swap_starts)
        require_non_negative("finish", self.finish)
        require_at_most("finish", self.finish, 1)
        require_non_negative("cut", self.cut)


class Attached:
    """What :func:`attach` gives: where the training stands, and the two calls that an optimizer's step is between.

    Raises:
        InputError: for a number of steps below 1, a model whose charged weights are all frozen, an optimizer that lacks
            one of them or whose eps is 0 in their dtype, or L-BFGS.

    Attributes:
        step: optimizer steps that were taken.
        steps: how many there will be.
        finish_step: the step (0-based) with which the finish phase begins.
    """

    def __init__(self, bimt: BIMT, optimizer: Optimizers, steps: int, settings: LoopSettings) -> None:
        require_kind("bimt", bimt, BIMT)
        require_whole("steps", steps)
        self._bimt, self._optimizers, self._settings = bimt, optimizers_of(optimizer), settings
        for one in self._optimizers:
            if any(kind.__name__ == "LBFGS" for kind in type(one).__mro__):
                raise InputError("L-BFGS evaluates the loss many times in a step: BIMT takes first-order optimizers")
        if not bimt.charged:
            raise InputError("every weight that the connection cost charges is frozen: model.requires_grad_(True)")
        require_holds_each(bimt.charged.values(), self._optimizers)
        require_eps(self._optimizers)
        if settings.penalty == "proximal":
            require_learning_rates(self._optimizers)
        self.step, self.steps = 0, steps
        self.finish_step = steps - round(steps * settings.finish)
        self._lam = curve(settings.lam)
        self._zeros: Zeros | None = None
        self._handles: list[RemovableHandle] = []

    @property
    def phase(self) -> Literal["pressed", "finish", "over"]:
        """The phase of the next step."""
        return "over" if self.step >= self.steps else "finish" if self.step >= self.finish_step else "pressed"

    @property
    def lam(self) -> float:
        """Lambda of the next step: its schedule over the pressed phase, 0 from the finish on."""
        return self._lam.at(self.step, self.finish_step) if self.phase == "pressed" else 0.0

    def before_step(self, scale: float = 1.0) -> None:
        """What belongs between the backward pass and the optimizer's step; ``scale``: what gradients are times."""
        if self._settings.penalty == "gradient" and self.lam:
            self._bimt.add_cost_grad_(self.lam * scale)

    def after_step(self) -> None:
        """What belongs behind the optimizer's step.

        Raises:
            InputError: when weights are not finite as neurons are to move.
        """
        if self.phase == "pressed":
            if self._settings.penalty == "proximal":
                self._bimt.shrink_(self.lam, self._optimizers)
            self.step += 1
            if self.step == self.finish_step:
                if self.finish_step < self.steps:
                    self._cut_()
                self._swap(self._settings.swap_starts)
            elif self._settings.swap_every and self.step % self._settings.swap_every == 0:
                self._swap(1)
            return
        if self._zeros is not None:
            self._zeros.keep_(self._bimt.parameters)
        self.step += 1
        if self.step == self.steps:
            self._swap(self._settings.swap_starts)

    def _swap(self, starts: int) -> None:
        if self._settings.swap_every:
            self._bimt.swap(self._settings.swap_method, starts=starts)

    @torch.no_grad()
    def _cut_(self) -> None:
        """Weights below the cut are zero for good, and so is what is zero now."""
        charged = self._bimt.charged
        for p in charged.values():
            p.mul_((p.abs() > self._settings.cut).to(p.dtype))
        self._zeros = Zeros(charged)

    def hook(self, before: bool = True) -> Attached:
        """Let the optimizers call :meth:`before_step` (if ``before``) and :meth:`after_step`.

        Raises:
            InputError: if the same model is attached to one of them already, which would charge it twice.
        """
        own = set(map(id, self._optimizers))
        for other in _HOOKED:
            shared = own & set(map(id, other._optimizers))
            if other._handles and shared and other._bimt.model is self._bimt.model:
                raise InputError("this model is attached to this optimizer already: call remove() on what that gave")
        if before:
            self._handles.append(self._optimizers[0].register_step_pre_hook(self._before))
        self._handles.append(self._optimizers[-1].register_step_post_hook(self._after))
        _HOOKED.add(self)
        return self

    def _before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._settings.penalty == "gradient" and (kwargs.get("closure") or any(map(callable, args[1:]))):
            raise InputError("optimizer.step(closure) makes the gradient itself: take penalty='proximal'")
        self.before_step(_told(optimizer, "grad_scale", 1.0))

    def _after(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not _told(optimizer, "found_inf", 0.0):
            self.after_step()

    def remove(self) -> None:
        """Take the hooks off; the optimizers are as they were."""
        while self._handles:
            self._handles.pop().remove()

    def state_dict(self) -> dict[str, Tensor]:
        """The step and the layout as tensors; weights and optimizers are the loop's own to keep."""
        return {"step": torch.tensor(self.step), **self._bimt.state_dict()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on where :meth:`state_dict` was taken; the model has its weights back already.

        Raises:
            InputError: for the state of another model, or one taken later than there are steps.
        """
        require_kind("state", state, dict)
        if "step" not in state:
            raise InputError(f"the state has no 'step': found {', '.join(map(str, state)) or 'nothing'}")
        step = (
            state["step"].item() if isinstance(state["step"], Tensor) and state["step"].numel() == 1 else state["step"]
        )
        require_whole("the state's step", step, at_least=0)
        if step > self.steps:
            raise InputError(
                f"the state was taken after {step:,} steps and there are {self.steps:,} here: give the steps of the "
                f"whole training, steps={step} or more"
            )
        self._bimt.load_state_dict({name: value for name, value in state.items() if name != "step"})
        self.step = int(step)
        self._zeros = None if self.phase == "pressed" else Zeros(self._bimt.charged)


_HOOKED: WeakSet[Attached] = WeakSet()
"""Those that have been hooked onto optimizers and are still there."""


def _told(optimizer: torch.optim.Optimizer, name: str, otherwise: float) -> float:
    """What a GradScaler has set on a fused optimizer, whose own step divides the gradients or leaves them out.

    It calls that step whether gradients overflowed or not, and so the hooks around it.
    """
    value = getattr(optimizer, name, None)
    return otherwise if value is None else float(value)


def attach(bimt: BIMT, optimizer: Optimizers, *, steps: int, **settings: Any) -> Attached:
    """Train with BIMT in a loop of one's own: the optimizer's steps do the rest, until :meth:`Attached.remove`.

    In the pressed phase each step is followed by the proximal step of lambda times the cost, or preceded by its
    gradient, and every ``swap_every`` steps neurons move. Where the finish phase begins, weights of at most ``cut``
    become zero; from there on lambda is 0 and zeros stay zero, whatever momentum and decay say.

    Args:
        bimt: the model with its wiring, geometry and layout.
        optimizer: one that holds every charged parameter, or several that do together and step in this order.
        steps: how many optimizer steps there will be.
        settings: the fields of :class:`LoopSettings`; ``lam`` is needed.

    Raises:
        InputError: for a value out of range, an optimizer that lacks a charged parameter, or L-BFGS, whose one step
            evaluates the loss many times.
        TypeError: for a setting that is not there.
    """
    return Attached(bimt, optimizer, steps, LoopSettings(**settings)).hook()
