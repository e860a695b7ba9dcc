"""Every tensor of a model's module tree, under every name that it has: parameters, buffers, plain attributes.

``named_parameters()`` gives a tied weight once and a module that stands at two places once; what is right for training
hides what a reordering must know. Here each (name, module, tensor) is listed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from torch import Tensor, nn

__all__ = ["Held", "Kind", "held", "is_plumbing", "paths"]

Kind = Literal["parameter", "buffer", "attribute"]
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


def held(places: Iterable[tuple[str, nn.Module]], attributes: bool = True) -> Iterator[Held]:
    """The tensors of the modules at these places; ``attributes``: those that are neither parameter nor buffer too."""
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
                    for name, tensor in _tensors(own, value):
                        yield Held(f"{dot}{name}", module, name, tensor, "attribute")


def _tensors(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    """The tensor that an attribute is, or those that a list, tuple or dict holds."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, one in enumerate(value):
            if isinstance(one, Tensor):
                yield f"{name}[{i}]", one
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, Tensor):
                yield f"{name}[{key!r}]", one
