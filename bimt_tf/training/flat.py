"""All parameters as views of one vector, so that the optimizer and the penalty take a handful of operations a step.

Names (the wiring's), shapes, hooks and ``state_dict`` stay as they are: only the storage is shared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bimt_tf.adapters.families import parameters
from bimt_tf.errors import InputError

__all__ = ["FlatParameters", "overwrite_", "trainable"]


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of a model that require a gradient, by the wiring's names."""
    return {name: p for name, p in parameters(model).items() if p.requires_grad}


def overwrite_(named: Mapping[str, nn.Parameter], values: Mapping[str, Tensor], what: str) -> None:
    """Overwrite parameters by values of the same names and shapes.

    Raises:
        InputError: if names or shapes differ; ``what`` says where the values come from.
    """
    shapes = {name: list(p.shape) for name, p in named.items()}
    found = {name: list(value.shape) for name, value in values.items()}
    for name in {**shapes, **found}:
        if shapes.get(name) != found.get(name):
            raise InputError(
                f"{what} is of another model: {name} is {found.get(name)} in it, {shapes.get(name)} by the config"
            )
    for name, p in named.items():
        p.data.copy_(values[name])


class FlatParameters:
    """``vector`` [entries] holds every trainable parameter of ``model`` end to end; each parameter is a view of it.

    ``named`` are these parameters by name. One that requires no gradient stays as and where it is.

    Raises:
        InputError: if no parameter requires a gradient, or those that do differ in number type or device.
    """

    def __init__(self, model: nn.Module) -> None:
        self.named = trainable(model)
        if not self.named:
            raise InputError("the model has no parameter that requires a gradient: there is nothing to train")
        kinds = sorted({f"{str(p.dtype).removeprefix('torch.')} on {p.device}" for p in self.named.values()})
        if len(kinds) > 1:
            raise InputError(f"the parameters must be of one number type on one device, found {', '.join(kinds)}")
        self.vector = nn.Parameter(self.concatenate(self.named))
        self.vector.grad = torch.zeros_like(self.vector)
        for parameter, view in zip(self.named.values(), self.split(self.vector.data), strict=True):
            parameter.data = view

    def concatenate(self, tensors: Mapping[str, Tensor]) -> Float[Tensor, " entries"]:
        """Tensors by parameter name -> one vector; zeros where a parameter is not named."""
        zero = torch.zeros((), dtype=torch.get_default_dtype())
        parts = [
            (tensors[name].detach() if name in tensors else zero.to(p).expand(p.shape)).reshape(-1)
            for name, p in self.named.items()
        ]
        return torch.cat(parts)

    def split(self, vector: Float[Tensor, " entries"]) -> list[Tensor]:
        """One vector -> views of the parameters' shapes, in their order."""
        sizes = [p.numel() for p in self.named.values()]
        return [part.view(p.shape) for part, p in zip(vector.split(sizes), self.named.values(), strict=True)]

    def set_grad_(self, gradients: Sequence[Tensor | None]) -> None:
        """Write gradients, in the parameters' order, into the vector's; a parameter without one has zero."""
        filled = [torch.zeros_like(p) if g is None else g for g, p in zip(gradients, self.named.values(), strict=True)]
        assert self.vector.grad is not None
        torch.cat([g.reshape(-1) for g in filled], out=self.vector.grad)

    def state(self) -> dict[str, Tensor]:
        """Copies of the parameters on the CPU, by name."""
        return {name: p.detach().cpu().clone() for name, p in self.named.items()}

    def release_(self) -> None:
        """Give every parameter storage of its own again, as an ordinary model's has."""
        for parameter in self.named.values():
            parameter.data = parameter.data.clone()

    def load_(self, state: Mapping[str, Tensor], what: str) -> None:
        """Overwrite the parameters by :meth:`state`'s.

        Raises:
            InputError: if they are not of these names and shapes; ``what`` says where they come from.
        """
        overwrite_(self.named, state, what)
