"""Every tensor of a model's module tree, under every name that it has: parameters, buffers, plain attributes.

``named_parameters()`` gives a tied weight once and a module that stands at two places once; what is right for training
hides what a reordering must know. Here each (name, module, tensor) is listed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from types import FunctionType, MethodType, ModuleType
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Held", "Kind", "held", "is_plumbing", "paths"]

Kind = Literal["parameter", "buffer", "attribute"]
DEEPEST = 4
"""How many containers deep the tensors of an attribute are looked for; of an object of one's own, its attributes."""

_HOLDS_NONE = (str, bytes, int, float, complex, type, FunctionType, MethodType, ModuleType)
_LIBRARIES = ("torch.", "transformers.", "transformer_lens.", "builtins", "numpy", "collections")
_OF_TORCH = set(vars(nn.Module()))  # what every module holds: its tables of parameters, hooks and so on


_PLUMBING = ("transformer_lens.model_bridge.", "transformers.utils.output_capturing")


def is_plumbing(function: object) -> bool:
    """Whether a hook or forward function is one of those by which a bridge itself captures and passes on activations.

    A user's hook is none of them: HookPoints are in another file.
    """
    return str(getattr(function, "__module__", "")).startswith(_PLUMBING)


class Held(NamedTuple):
    """A tensor that ``module`` holds as ``own``; ``name`` is the path to it, one of several if it is shared."""

    name: str
    module: nn.Module
    own: str
    tensor: Tensor
    kind: Kind


def paths(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """(path, module) of every place of the tree: a module that stands at two places comes twice."""
    stack: list[tuple[str, nn.Module, tuple[nn.Module, ...]]] = [("", model, ())]
    while stack:
        path, module, above = stack.pop()
        yield path, module
        children = [(own, child) for own, child in module._modules.items() if child is not None]
        for own, child in reversed(children):
            if not any(child is one for one in (*above, module)):  # a tree that holds itself has no end
                stack.append((f"{path}.{own}" if path else own, child, (*above, module)))


def held(
    places: Iterable[tuple[str, nn.Module]], attributes: bool = True, inside: Iterable[nn.Module] = ()
) -> Iterator[Held]:
    """The tensors of the modules at these places.

    Args:
        places: path -> module.
        attributes: those that are neither parameter nor buffer too: in plain attributes, in containers and objects
            that attributes hold, and in modules that stand in such a container and so in no tree.
        inside: modules of the tree besides these, to which an attribute may refer.
    """
    places = list(places)
    known = {id(module) for module in (*inside, *(module for _, module in places))}
    for path, module in places:
        dot = f"{path}." if path else ""
        for own, parameter in module._parameters.items():
            if parameter is not None:
                yield Held(f"{dot}{own}", module, own, parameter, "parameter")
        for own, buffer in module._buffers.items():
            if buffer is not None:
                yield Held(f"{dot}{own}", module, own, buffer, "buffer")
        if attributes:
            for own, value in vars(module).items():
                if own not in _OF_TORCH:
                    for name, tensor in _tensors(own, value, known, DEEPEST):
                        yield Held(f"{dot}{name}", module, name, tensor, "attribute")


def _tensors(name: str, value: object, known: set[int], depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors (and arrays of NumPy) that an attribute is or holds, down to so many levels."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf" and value.size:
            yield name, torch.as_tensor(value if value.flags.writeable else value.copy())
    elif depth == 0 or isinstance(value, _HOLDS_NONE):
        return
    elif isinstance(value, nn.Module):
        for one in held(paths(value)) if id(value) not in known else ():
            if id(one.module) not in known:
                yield f"{name}.{one.name}", one.tensor
    elif isinstance(value, (list, tuple, set, frozenset, deque)):
        for i, one in enumerate(value):
            yield from _tensors(f"{name}[{i}]", one, known, depth - 1)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from _tensors(f"{name}[{key!r}]", one, known, depth - 1)
    elif depth == DEEPEST and not type(value).__module__.startswith(_LIBRARIES):
        for own, one in vars(value).items() if hasattr(value, "__dict__") else ():
            yield from _tensors(f"{name}.{own}", one, known, depth - 1)
