"""What becomes of a random network that is trained, swapped, baked and trained on, beside one that is only trained.

    two steps, half of a third -> swap, random layout, bake_ -> the other half, two more steps

Every number must be the other network's up to rounding; or bake_ (or the wiring) refuses, and every bit is as it was.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from random_nets import F64, HEADS, Case, Net, draw
from torch import Tensor

from bimt_tf import BIMT, Layout, Wiring
from bimt_tf.errors import InputError


class Wrong(AssertionError):
    """A model that was moved wrongly, or a refusal that left something changed."""


class Own(torch.optim.Optimizer):
    """An optimizer of one's own: one step per parameter, from its gradient and its state."""

    def __init__(self, params: Any, lr: float = 1e-2) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:
        """Every parameter with a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(self.update(p, self.state[p]), alpha=group["lr"])

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        """What is subtracted, times the learning rate."""
        raise NotImplementedError


class Lion(Own):
    """Sign of an interpolated momentum (Chen et al. 2023)."""

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        m = state.setdefault("exp_avg", torch.zeros_like(p))
        found = (0.9 * m + 0.1 * p.grad).sign()
        m.mul_(0.99).add_(p.grad, alpha=0.01)
        return found


class Muon(Own):
    """Orthogonalised momentum by five Newton-Schulz steps, in the parameter's own precision (Jordan et al. 2024)."""

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        m = state.setdefault("momentum_buffer", torch.zeros_like(p)).mul_(0.95).add_(p.grad)
        if p.ndim != 2:
            return m
        x = m / (m.norm() + 1e-7)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
        return x


class Listed(Own):
    """Keeps its moments in a list of its own, as optimizers written by hand do: it must be refused."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.moments = [torch.zeros_like(p) for group in self.param_groups for p in group["params"]]
        self.number = {id(p): i for i, p in enumerate(p for group in self.param_groups for p in group["params"])}

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        return self.moments[self.number[id(p)]].mul_(0.9).add_(p.grad)


class Masked(Own):
    """Keeps a mask of each parameter in its group: it must be refused."""

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        generator = torch.Generator().manual_seed(0)
        for group in self.param_groups:
            group["masks"] = [torch.rand(p.shape, generator=generator) < 0.5 for p in group["params"]]

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        group = self.param_groups[0]
        return p.grad * group["masks"][next(i for i, q in enumerate(group["params"]) if q is p)]


class Square(Own):
    """Keeps a matrix of rows, of a square weight's own shape (Shampoo's kind): it must be refused."""

    def update(self, p: Tensor, state: dict[str, Any]) -> Tensor:
        if p.ndim != 2:
            return p.grad
        rows = state.setdefault("preconditioner", torch.eye(len(p), dtype=p.dtype))
        rows.add_(p.grad @ p.grad.T)
        return torch.linalg.solve(rows, p.grad)


def _adafactor(params: list[Tensor]) -> torch.optim.Optimizer:
    from transformers.optimization import Adafactor

    return Adafactor(params, lr=1e-2, relative_step=False, scale_parameter=False)


def _muon_beside_adamw(params: list[Tensor]) -> list[torch.optim.Optimizer]:
    two = [p for p in params if p.ndim == 2]
    return [Muon(two), torch.optim.AdamW([p for p in params if p.ndim != 2] or two[:1], lr=1e-2)]


def _schedule_free(params: list[Tensor]) -> torch.optim.Optimizer:
    try:
        from schedulefree import AdamWScheduleFree
    except ImportError:  # an extra of nobody: tried where it is installed
        return torch.optim.Adam(params, lr=1e-2)
    found = AdamWScheduleFree(params, lr=1e-2)
    found.train()
    return found


OPTIMIZERS: dict[str, Callable[[list[Tensor]], Any]] = {
    "Adam": lambda ps: torch.optim.Adam(ps, lr=1e-2),
    "AdamW": lambda ps: torch.optim.AdamW(ps, lr=1e-2, amsgrad=True),
    "SGD": lambda ps: torch.optim.SGD(ps, lr=1e-2, momentum=0.9),
    "RMSprop": lambda ps: torch.optim.RMSprop(ps, lr=1e-2, centered=True, momentum=0.5),
    "Adagrad": lambda ps: torch.optim.Adagrad(ps, lr=1e-2),
    "NAdam": lambda ps: torch.optim.NAdam(ps, lr=1e-2),
    "RAdam": lambda ps: torch.optim.RAdam(ps, lr=1e-2),
    "Adadelta": lambda ps: torch.optim.Adadelta(ps),
    "Rprop": lambda ps: torch.optim.Rprop(ps, lr=1e-3),
    "ASGD": lambda ps: torch.optim.ASGD(ps, lr=1e-2),
    "Adamax": lambda ps: torch.optim.Adamax(ps, lr=1e-2),
    "Adafactor": lambda ps: torch.optim.Adafactor(ps, lr=1e-2),
    "transformers' Adafactor": _adafactor,
    "LBFGS": lambda ps: torch.optim.LBFGS(ps, lr=0.1, max_iter=2),
    "Lion": Lion,
    "Muon beside AdamW": _muon_beside_adamw,
    "schedule-free": _schedule_free,
    "moments in a list": Listed,
    "masks in a group": Masked,
    "preconditioner": Square,
}
REFUSALS: list[str] = []
"""What was said, in this process."""

NEVER = ("moments in a list", "masks in a group", "preconditioner")


class Task(NamedTuple):
    """A network, how it is trained (by no optimizer: not at all), and how it is baked."""

    case: Case
    optimizer: str
    check: bool
    swap: bool
    training: bool = True
    """Whether batch norms and spectral norms are in training mode."""


def draw_task(rng: random.Random) -> Task:
    """A random task."""
    optimizer = rng.choice([*OPTIMIZERS])
    return Task(draw(rng), optimizer, rng.random() < 0.3, rng.random() < 0.5, rng.random() < 0.7)


class Training:
    """A network with its optimizers, and what its losses were."""

    def __init__(self, task: Task) -> None:
        self.net = Net(task.case).train(task.training)
        parameters = [p for p in self.net.parameters() if p.requires_grad]
        made = OPTIMIZERS[task.optimizer](parameters) if task.optimizer else []
        self.optimizers: list[torch.optim.Optimizer] = made if isinstance(made, list) else [made]
        self.halves = task.optimizer != "LBFGS"
        self.losses: list[float] = []

    def backward(self, step: int) -> Tensor:
        """Add the gradient of one batch."""
        x = batch(step)
        loss = (self.net(x) - x.sin()).square().mean()
        loss.backward()
        return loss.detach()

    def zero_grad(self) -> None:
        """Forget gradients."""
        self.net.zero_grad(set_to_none=True)

    def step(self, step: int) -> None:
        """One step, from no gradient."""

        def closure() -> Tensor:
            self.zero_grad()
            return self.backward(step)

        if self.halves:
            self.losses.append(closure().item())
            for optimizer in self.optimizers:
                optimizer.step()
        else:
            self.losses.append(self.optimizers[0].step(closure).item())

    def first(self) -> None:
        """Two steps, and the first half of a third; nothing without an optimizer."""
        if not self.optimizers:
            return
        self.step(0)
        self.step(1)
        self.zero_grad()
        if self.halves:
            self.backward(2)

    def rest(self) -> None:
        """The second half, and two steps more."""
        if not self.optimizers:
            return
        if self.halves:
            self.losses.append(self.backward(3).item())
            for optimizer in self.optimizers:
                optimizer.step()
        self.step(4)
        self.step(5)

    def answers(self) -> Tensor:
        """The outputs in eval mode."""
        with torch.no_grad():
            modes = [(module, module.training) for module in self.net.modules()]
            found = self.net.eval()(batch(9))
            for module, mode in modes:
                module.training = mode
        return found

    def bits(self) -> list[Tensor]:
        """All numbers that a refusal must leave alone."""
        found = [t.detach() for _, t in sorted(self.net.state_dict(keep_vars=True).items())]
        found += [p.grad for p in self.net.parameters() if p.grad is not None]
        for optimizer in self.optimizers:
            found += [t for t in _tensors(list(optimizer.state.values())) if isinstance(t, Tensor)]
        return [t.clone() for t in found]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from (t for one in value.values() for t in _tensors(one))
    elif isinstance(value, (list, tuple)):
        yield from (t for one in value for t in _tensors(one))


def batch(step: int) -> Tensor:
    """Six examples."""
    return torch.randn(6, 5, dtype=F64, generator=torch.Generator().manual_seed(step))


def outcome(task: Task) -> str:
    """ "refused", or how much was moved. What torch itself does not train is moved without an optimizer.

    Raises:
        Wrong: where what was moved does not go on as what was not, or a refusal changed something.
    """
    untouched, moved = Training(task), Training(task)
    try:
        untouched.first()
    except Exception:  # whatever an optimizer says of weights that lie on each other
        return outcome(task._replace(optimizer=""))
    moved.first()
    before, layout = moved.bits(), None
    answers = moved.answers()
    try:
        net = moved.net
        sizes = dict.fromkeys(net.heads.values(), HEADS)
        wiring = Wiring.from_table(net.table, net, heads=net.heads, sizes=sizes, left_out=net.left_out)
        bimt = BIMT(net, wiring=wiring)
        bimt.layout = Layout.random(bimt.wiring, torch.Generator().manual_seed(task.case.seed))
        if task.swap:
            bimt.swap()
        layout = bimt.layout
        orders = bimt.bake_(moved.optimizers, check=batch(9) if task.check else False)
    except InputError as error:
        same = all(torch.equal(a, b) for a, b in zip(before, moved.bits(), strict=True))
        if len(str(error)) > 600 or not same or (layout is not None and bimt.layout is not layout):
            raise Wrong(f"a refusal changed something, or is long: {error}") from error
        REFUSALS.append(str(error))
        return "refused"
    close = 1e-4 if task.case.single else 1e-7
    _require_alike("outputs after bake_", answers, moved.answers(), close)
    try:
        untouched.rest()
    except Exception:
        return outcome(task._replace(optimizer=""))
    moved.rest()
    alike = [torch.tensor(one.losses, dtype=F64) for one in (untouched, moved)]
    _require_alike("losses", *alike, close)
    _require_alike("outputs after training", untouched.answers(), moved.answers(), 100 * close)
    count = sum(not torch.equal(order, torch.arange(len(order))) for order in orders.values())
    if count and task.optimizer in NEVER:
        raise Wrong(f"a {task.optimizer} was not refused")
    return "all moved" if count == len(bimt.wiring.populations) else "some moved" if count else "all held"


def _require_alike(what: str, there: Tensor, here: Tensor, close: float) -> None:
    size = float(there.nan_to_num().abs().max()) if there.numel() else 0.0
    if not torch.allclose(there, here, rtol=close, atol=close * max(size, 1.0), equal_nan=True):
        raise Wrong(f"{what} differ by {float((there - here).abs().max()):.2g} of {size:.2g}")
