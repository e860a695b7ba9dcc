"""Whether the network uses a neuron as the sign that it looks like: mirror it, and the product's sign must turn.

A one-dimensional representation is +1 or -1 on each element, and that of a product is the product of its factors'.
Mirrored about its mean, v becomes 2 mean - v, a neuron that holds it says the opposite of one factor: every product
must then have the wrong sign. Mirrored in both factors, every product must be right again, which no neuron passes whose
values merely matter. The same is done to every other neuron: that is the control.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bimt_tf.analysis.activations import run_hooked
from bimt_tf.errors import InputError

__all__ = ["Mirror", "mirror"]


class Mirror(NamedTuple):
    """What mirroring one neuron does; every number is a share of the ``examples``.

    ``turned``: products whose sign is wrong with the neuron mirrored in the first factor; ``right``: products that
    are right with it mirrored in both; ``turned_before``, ``right_before``: the same of the network as it is;
    ``others``: the largest ``turned`` of the other neurons, None where there are none.
    """

    irrep: str
    neuron: int
    turned: float
    right: float
    turned_before: float
    right_before: float
    others: float | None
    examples: int

    def __repr__(self) -> str:
        return (
            f"Mirror({self.irrep}, neuron {self.neuron}: {self.turned:.1%} of the products turn, mirrored in both "
            f"factors {self.right:.1%} are right)"
        )


def mirror(
    model: nn.Module,
    hook: str,
    neurons: Sequence[int],
    means: Sequence[float],
    inputs: Int[Tensor, "batch tokens"],
    products: Int[Tensor, " batch"],
    signs: Float[np.ndarray, " n"],
    predict: Callable[[Tensor], Int[Tensor, " batch"]],
    *,
    irrep: str = "sign",
) -> Mirror:
    """Mirror ``neurons[0]`` in one factor and in both, and each other neuron in one.

    Args:
        model: with hooks; its first two tokens are the factors.
        hook: of the embedding [batch, tokens, neurons].
        neurons: the one in question first, then those of the control.
        means: of these neurons over the elements.
        inputs: examples.
        products: the number of their true product.
        signs: +1 or -1 of each element.
        predict: the network's output -> the number of the product that it says.
        irrep: what the representation is called.

    Raises:
        InputError: for signs other than +1 and -1, as many means as neurons missing, or no neuron.
    """
    if not neurons or len(neurons) != len(means):
        raise InputError(f"neurons and means must be equally many, at least one, found {len(neurons)} and {len(means)}")
    if not np.allclose(np.abs(signs), 1):
        raise InputError("signs must be +1 or -1 for every element")
    of_element = torch.as_tensor(np.sign(signs), device=products.device)

    def said(neuron: int, mean: float, factors: Sequence[int]) -> Tensor:
        def turn(activation: Tensor) -> Tensor:
            held = activation.clone()
            held[:, list(factors), neuron] = 2 * mean - held[:, list(factors), neuron]
            return held

        return predict(run_hooked(model, inputs, {hook: turn}))

    def turned(answers: Tensor) -> float:
        return float((of_element[answers] != of_element[products]).double().mean())

    def right(answers: Tensor) -> float:
        return float((answers == products).double().mean())

    pairs = list(zip(neurons, means, strict=True))
    before, once, twice = said(*pairs[0], ()), said(*pairs[0], (0,)), said(*pairs[0], (0, 1))
    others = [turned(said(neuron, mean, (0,))) for neuron, mean in pairs[1:]]
    return Mirror(
        irrep, neurons[0], turned(once), right(twice), turned(before), right(before), max(others, default=None),
        len(inputs),
    )  # fmt: skip
