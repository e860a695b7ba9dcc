"""Which tensors of an optimizer's state belong to which entries of its parameters, told by their shapes.

    the parameter's shape           moments of Adam and its family, momentum of SGD, Lion and Muon, z of schedule-free
    length 1 along some dimensions  the factored second moments of torch.optim.Adafactor
    one dimension less              rows and columns of other Adafactors (``exp_avg_sq_row``, ``exp_avg_sq_col``)
    one dimension, all entries      the same, flattened (Prodigy)
    all parameters end to end       the history of L-BFGS

Whatever else is kept for a parameter that moves is refused by its name, and so is what preconditions rows and columns
(Shampoo, SOAP, Kron): for a square weight its matrices have the weight's own shape and do not stand on its entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bimt_tf.core.population import Wired
from bimt_tf.errors import InputError

__all__ = [
    "Optimizers",
    "optimizers_of",
    "require_eps",
    "require_holds",
    "require_holds_each",
    "require_learning_rates",
    "states",
]

Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer]
"""One optimizer, or several that share a model's parameters among them."""

State = tuple[str, Wired, Tensor]
_MATRICES = re.compile(
    r"precond|kron|eigen|project|basis|covar|gram|rotat|sketch|whiten|^(GG|Q|L|R)(\W|_|$)", re.IGNORECASE
)
_OF_MATRICES = re.compile(r"shampoo|soap|kron|psgd|kfac|galore", re.IGNORECASE)


def optimizers_of(given: object) -> tuple[torch.optim.Optimizer, ...]:
    """None, one optimizer or several, as a tuple; of a wrapper (accelerate's, Lightning's) the one inside.

    Raises:
        InputError: for anything else.
    """
    if given is None:
        return ()
    several = given if isinstance(given, (list, tuple)) else (given,)
    for one in several:
        if not isinstance(getattr(one, "state", None), Mapping) or not hasattr(one, "param_groups"):
            raise InputError(f"optimizer must be a torch.optim.Optimizer or several, found a {type(one).__name__}")
    return tuple(_inside(one) for one in several)


def _inside(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """What accelerate and Lightning wrap and have as ``.optimizer``: hooks of its steps are called there alone."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = inner
    return optimizer


def _divided(optimizer: torch.optim.Optimizer) -> bool:
    """Whether its state is divided among processes (ZeroRedundancyOptimizer); this process's part is ``.optim``'s."""
    return any(kind.__name__ == "ZeroRedundancyOptimizer" for kind in type(optimizer).__mro__)


def require_eps(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Raise InputError where an optimizer of torch divides by sqrt(v) + eps in float16 and its eps is 0 there.

    An entry whose gradient is 0 then becomes 0/0; a fused step, which divides in float32, leaves the float16 range.
    """
    for one in optimizers:
        halves = [group for group in one.param_groups if any(p.dtype == torch.float16 for p in group["params"])]
        if not any(kind.__module__.startswith("torch.optim.") for kind in type(one).__mro__[:-2] if halves):
            continue
        for group in halves:
            eps = group.get("eps")
            if isinstance(eps, float) and not torch.tensor(eps).half():
                raise InputError(
                    f"eps={eps:g} of {type(one).__name__} is 0 in float16, the dtype of its parameters, and "
                    "steps divide by it: take eps=1e-4, or float32 weights under torch.autocast"
                )


def require_holds(optimizer: torch.optim.Optimizer, parameters: Mapping[str, Tensor]) -> None:
    """Raise InputError unless the optimizer holds one of the parameters."""
    own = {id(p) for p in parameters.values()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        kind = type(optimizer).__name__
        raise InputError(f"the optimizer ({kind}) holds none of the model's parameters: its state cannot be moved")


def require_holds_each(parameters: Iterable[Tensor], optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Raise InputError unless each parameter is in one of the optimizers."""
    held = {id(p) for one in optimizers for group in one.param_groups for p in group["params"]}
    if missing := sum(id(p) not in held for p in parameters):
        raise InputError(f"{missing} of the parameters that the connection cost charges are in none of the optimizers")


def require_learning_rates(optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Raise InputError unless each group has a learning rate and its state is at hand: the proximal step needs both."""
    for one in optimizers:
        if _divided(one):
            raise InputError(
                f"{type(one).__name__} divides its second moments among the processes, and the proximal step goes by "
                "them: add the cost's gradient instead (penalty='gradient', or add_cost_grad_ before the step)"
            )
        for group in one.param_groups:
            if not isinstance(group.get("lr"), (float, int, Tensor)):
                raise InputError(
                    f"{type(one).__name__} has lr={group.get('lr')}, and the proximal step goes by the learning rate: "
                    "give it one (of Adafactor with relative_step=False), or add the cost's gradient instead"
                )


def states(optimizer: torch.optim.Optimizer, wired: Mapping[int, Wired]) -> Iterator[State]:
    """(name, the axes, a view of the state with these axes) of all that moves with the parameters.

    Args:
        optimizer: its state is read, not changed.
        wired: id of a parameter -> how its axes are wired, for the parameters that move.

    Raises:
        InputError: for a tensor of a state that belongs to no entries that could be told; it is named.
    """
    if _divided(optimizer):
        raise InputError(
            f"{type(optimizer).__name__} divides its state among the processes: give each process its own part, "
            "bake_(optimizer.optim)"
        )
    held = [p for group in optimizer.param_groups for p in group["params"]]
    total = sum(p.numel() for p in held)
    kind = type(optimizer).__name__
    flat = any(c.__name__ == "LBFGS" for c in type(optimizer).__mro__)
    _require_no_others(optimizer, held)
    for parameter, state in optimizer.state.items():
        for key, tensor in _tensors(state):
            said = f"state {key!r} of {kind}"
            if flat:
                yield from _end_to_end(said, tensor, held, wired, total)
            elif not isinstance(parameter, Tensor) and tensor.numel() > 1:
                raise InputError(f"{said} belongs to none of its parameters: it is not known how to move it")
            elif id(parameter) in wired and tensor.numel() > 1:
                one = wired[id(parameter)]
                yield f"{said} for {one.parameter!r}", one, _view(said, key, tensor, one)


def _require_no_others(optimizer: torch.optim.Optimizer, held: list[Tensor]) -> None:
    """Raise InputError for a tensor that is kept outside of the state, in the optimizer itself or in a group of it."""
    own = {id(p) for p in held}
    apart = {key: value for key, value in vars(optimizer).items() if key not in ("state", "param_groups")}
    for i, group in enumerate(optimizer.param_groups):
        apart |= {f"param_groups[{i}].{key}": value for key, value in group.items() if key != "params"}
    for name, tensor in _tensors(apart):
        if tensor.numel() > 1 and id(tensor) not in own:
            raise InputError(
                f"{name!r} of {type(optimizer).__name__} is a tensor {list(tensor.shape)} outside of its state: it is "
                "not known how to move it; keep it in optimizer.state[parameter], or bake without the optimizer"
            )


def _tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state, however deep, under their keys."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, Mapping):
        for key, value in state.items():
            yield from _tensors(value, f"{name}.{key}" if name else str(key))
    elif isinstance(state, (list, tuple)):
        for i, value in enumerate(state):
            yield from _tensors(value, f"{name}[{i}]")


def _view(said: str, key: str, tensor: Tensor, wired: Wired) -> Tensor:
    """The tensor with the parameter's dimensions, each of full length or of length 1."""
    shape, given = wired.shape, tuple(tensor.shape)
    if _MATRICES.search(key) or _OF_MATRICES.search(said):
        given = (-1,)  # of no shape that says where it stands
    if len(given) == len(shape) and all(n in (1, full) for n, full in zip(given, shape, strict=True)):
        return tensor
    if len(given) == 1 and given[0] == wired.numel and tensor.is_contiguous():
        return tensor.view(shape)
    if len(shape) > 1 and len(given) == len(shape) - 1:
        fits = [given == shape[:-1], given == (*shape[:-2], shape[-1])]  # rows, columns
        if all(fits):  # a square: the key says which
            fits = [word in key.lower() for word in ("row", "col")]
        if fits[0] != fits[1]:
            return tensor.unsqueeze(-1 if fits[0] else -2)
    raise InputError(
        f"{said} for {wired.parameter!r} is {list(tensor.shape)} and the parameter {list(shape)}: it is not known how "
        "to move it; bake before the first step, or when training is done without the optimizer"
    )


def _end_to_end(
    said: str, tensor: Tensor, held: list[Tensor], wired: Mapping[int, Wired], total: int
) -> Iterator[State]:
    """The parts of a vector that holds all parameters end to end; numbers alone (a step, a scale) do not move."""
    if tensor.numel() <= 1:
        return
    if tensor.ndim != 1 or tensor.numel() != total or not tensor.is_contiguous():
        raise InputError(f"{said} is {list(tensor.shape)} for {total} entries: it is not known how to move it")
    at = 0
    for parameter in held:
        if id(parameter) in wired:
            one = wired[id(parameter)]
            yield f"{said} for {one.parameter!r}", one, tensor[at : at + one.numel].view(one.shape)
        at += parameter.numel()
