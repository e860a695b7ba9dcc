"""Whether a model is still the one that was wired: its modules, tensors, shared memory, hooks and forward functions.

BIMT looks at a model once, and again before it swaps or bakes. Between the two a model may be trained, loaded, cast and
moved to a device, and its parameters may be replaced by others of their shapes. It may not be pruned, tied, wrapped,
given a parametrization or a LoRA hook: then the wiring is another model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from torch import nn

from bimt_tf.core.model_tree import Held, is_plumbing
from bimt_tf.core.review import COMPUTES
from bimt_tf.core.sharing import shared
from bimt_tf.errors import InputError

__all__ = ["Seen", "Snapshot", "gradient_hooks", "require_same", "snapshot", "strange_hooks"]

_ONLY_READ = ("wandb.",)
"""Whose gradient hooks write down what they see and change nothing."""


class Snapshot(NamedTuple):
    """What must stay. ``tensors``: name -> (module, kind, shape); ``ties``: two names on the same memory.

    ``code``: path -> (module, its class, its own forward if it has one); ``hooks``: path -> those of the forward pass.
    Modules and functions are held by reference, so that a copy of it goes with a copy of the model.
    """

    tensors: dict[str, tuple[nn.Module, str, tuple[int, ...]]]
    ties: dict[tuple[str, str], tuple[int, ...] | None]
    code: dict[str, tuple[nn.Module, type, Any]]
    hooks: dict[str, tuple[Any, ...]]


class Seen:
    """A module tree as it stood when it was examined: each module's class, forward, children and tensors' memory.

    What stands as it did then needs no second examination: names, shapes, memory and modules are all that
    :func:`require_same` compares, hooks apart. To look is eight times as fast as to examine
    (docs/speed.md).
    """

    def __init__(self, model: nn.Module) -> None:
        self._stood = [(module, _standing(module)) for module in model.modules()]

    def stands(self) -> bool:
        """Whether nothing has changed; False where that cannot be told."""
        return all(stood is not None and stood == _standing(module) for module, stood in self._stood)


def _standing(module: nn.Module) -> tuple[object, ...] | None:
    """What of a module is compared; None for a tensor without an address, or one that lies strangely."""
    own = module.__dict__
    found: list[object] = [type(module), own.get("forward")]
    if own["_modules"]:
        found.extend(own["_modules"].items())
    for tensors in (own["_parameters"], own["_buffers"]):
        for name, tensor in tensors.items():
            if tensor is None:
                found.append(name)
                continue
            try:
                at = tensor.data_ptr()
            except (RuntimeError, NotImplementedError):
                return None
            found.append((name, type(tensor), at, tensor.shape, tensor.stride(), tensor.dtype, tensor.device))
        found.append(None)  # a parameter that became a buffer is another thing
    return tuple(found)


def snapshot(
    places: Iterable[tuple[str, nn.Module]], tensors: Sequence[Held], left_out: Iterable[str] = ()
) -> Snapshot:
    """How a model is now.

    Args:
        places: path -> module.
        tensors: what they hold (core/model_tree.py); plain attributes come and go and are not looked at.
        left_out: parameters whose memory does not matter here: a fused tensor is torn from its parts by a cast.
    """
    names = set(left_out)
    lasting = [one for one in tensors if one.kind != "attribute"]
    weights = [one for one in lasting if one.kind == "parameter" and one.name not in names]
    code, hooks = {}, {}
    for path, module in places:
        code[path] = (module, type(module), vars(module).get("forward"))
        if found := _hooks(module):
            hooks[path] = found
    return Snapshot(
        {one.name: (one.module, one.kind, tuple(one.tensor.shape)) for one in lasting},
        {(a.name, b.name): dims for a, b, dims in shared(weights)},
        code,
        hooks,
    )


def _hooks(module: nn.Module) -> tuple[Any, ...]:
    """Those of the forward pass, but for a bridge's own, which it sets up in its first forward pass."""
    found = (*module._forward_pre_hooks.values(), *module._forward_hooks.values())
    return tuple(hook for hook in found if not is_plumbing(hook))


def require_same(before: Snapshot, now: Snapshot, whole: bool) -> None:
    """Raise InputError if the model is another one; it says what changed and how to wire it anew.

    Args:
        before: when it was wired.
        now: at present.
        whole: hooks too. They matter where weights move: a hook may hold weights in the old order.
    """
    found = _differences(before, now, whole)
    if found:
        more = f" (and {len(found) - 2} more)" if len(found) > 2 else ""
        raise InputError(
            f"the model changed after BIMT(): {'; '.join(found[:2])}{more}. Undo it, or wire the model as it is "
            "now: BIMT(model, bimt.geometry, wiring, layout=bimt.layout), wiring=wire(model) or Wiring.from_table(..)"
        )


def _differences(before: Snapshot, now: Snapshot, whole: bool) -> list[str]:
    found = []
    for name, (holder, sort, shape) in before.tensors.items():
        if name not in now.tensors:
            found.append(f"{sort} {name!r} is gone")
            continue
        holder_, sort_, shape_ = now.tensors[name]
        if sort_ != sort:
            found.append(f"{name!r} was a {sort} and is a {sort_}")
        elif shape_ != shape and sort == "parameter":
            found.append(f"{name!r} had shape {list(shape)} and has {list(shape_)}")
        elif holder_ is not holder:
            found.append(f"{name!r} is in another module")
    found += [f"{sort} {name!r} is new" for name, (_, sort, _) in now.tensors.items() if name not in before.tensors]
    found += [f"{a!r} and {b!r} share memory now" for a, b in now.ties if (a, b) not in before.ties]
    found += [f"{a!r} and {b!r} no longer share memory" for a, b in before.ties if (a, b) not in now.ties]
    for path, (module, kind, forward) in before.code.items():
        at = now.code.get(path)
        if at is None or at[0] is not module:
            found.append(f"module {path!r} was replaced")
        elif at[1] is not kind:
            found.append(f"module {path!r} became a {at[1].__name__}")
        elif at[2] is not forward and at[2] != forward:
            found.append(f"the forward function of {path!r} was replaced")
    if whole:
        for path in {**before.hooks, **now.hooks}:
            if before.hooks.get(path, ()) != now.hooks.get(path, ()):
                found.append(f"other forward hooks stand on {path!r}")
    return found


def strange_hooks(now: Snapshot) -> list[str]:
    """The paths of modules with forward hooks that are not known to leave the order of neurons alone."""
    return [path for path, hooks in now.hooks.items() if not all(isinstance(hook, COMPUTES) for hook in hooks)]


def gradient_hooks(places: Iterable[tuple[str, nn.Module]], tensors: Iterable[Held]) -> Iterator[str]:
    """Names of parameters and modules whose hooks see or change gradients: a mask in them keeps the old order.

    No comparison of outputs shows that, as they only act in training.
    """
    for path, module in places:
        found = (*module._backward_hooks.values(), *module._backward_pre_hooks.values())
        if any(not is_plumbing(hook) for hook in found):
            yield path
    for one in tensors:
        if one.kind == "parameter" and one.tensor.is_leaf:
            hooks = (getattr(one.tensor, name, None) for name in ("_backward_hooks", "_post_accumulate_grad_hooks"))
            functions = [hook for own in hooks if own for hook in own.values()]
            if any(not str(getattr(hook, "__module__", "")).startswith(_ONLY_READ) for hook in functions):
                yield one.name
