"""Groups (paper, Section 3.3): the product of two elements, for addition modulo 59 and the permutations of four things.

An example is a pair of elements (tokens), its class their product. All pairs are cut at random, 80% to train on. The
paper and the notebooks do not say how long they train; here 20,000 steps of the full batch, lambda's phases at 25% and
75%. Their connection cost is a mean over each layer, the embedding table a layer of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import require_known, require_whole
from bimt_tf.models.activation_names import ACT_FNS
from bimt_tf.tasks.base import Counterfactual, Data, Probe, Split
from bimt_tf.tasks.checks import require_split
from bimt_tf.tasks.kinds import AS_PUBLISHED, Classification, partners_of, shuffled, split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bimt_tf.models.token_mlp import TokenMLP

__all__ = [
    "MODULAR_ADDITION", "S4", "GroupTask", "ModularAdditionOptions", "S4Options", "TokenMLPOptions",
    "permutation_table",
]  # fmt: skip


@dataclass(frozen=True)
class TokenMLPOptions:
    """The sizes of a TokenMLP; tokens and outputs follow from the data."""

    d_embed: int = 32
    """neurons of the embedding, which both tokens share"""
    hidden: tuple[int, ...] = (50, 50)
    """neurons of each hidden layer, e.g. 20,20"""
    act_fn: str = "silu"
    """activation: gelu_new, relu, silu or identity"""

    def __post_init__(self) -> None:
        for name, sizes in (("d_embed", (self.d_embed,)), ("hidden", self.hidden)):
            for neurons in sizes:
                require_whole(name, neurons)
        require_known("act_fn", self.act_fn, ACT_FNS)


@dataclass(frozen=True)
class ModularAdditionOptions:
    """The data of modular addition."""

    modulus: int = 59
    """numbers are added modulo this (the paper's p)"""
    train_share: float = 0.8
    """share of the examples that is trained on"""

    def __post_init__(self) -> None:
        require_whole("modulus", self.modulus, at_least=2)
        require_split(self.modulus**2, self.train_share)


@dataclass(frozen=True)
class S4Options:
    """The data of the permutation group."""

    train_share: float = 0.8
    """share of the examples that is trained on"""

    def __post_init__(self) -> None:
        require_split(24**2, self.train_share)


@dataclass(frozen=True)
class GroupTask(Classification):
    """The product of two elements of a finite group."""

    Model: type[TokenMLPOptions] = TokenMLPOptions

    @abstractmethod
    def table(self, options: Any) -> Tensor:
        """The product of each two elements, [elements, elements] of element numbers."""

    @abstractmethod
    def elements(self, options: Any) -> list[str]:
        """What the elements are called."""

    def action(self, options: Any) -> Sequence[Sequence[int]] | None:
        """Where each element sends each point [elements, points], of a group of permutations; None unless overridden.

        It names the representations (sign, standard) that :mod:`bimt_tf.analysis.group_representations` finds.
        """
        return None

    def features(self, options: Any) -> Mapping[str, Tensor]:
        """Name -> a number of each element [elements], which becomes quantities NAME_1, NAME_2 and NAME."""
        return {}

    def data(self, options: Any, seed: int, dtype: torch.dtype) -> Split:
        """All pairs of elements [elements^2, 2] in a random order, with their products."""
        import torch

        table = self.table(options)
        pairs = torch.cartesian_prod(torch.arange(len(table)), torch.arange(len(table)))
        pairs = pairs[shuffled(len(pairs), seed)]
        products = table[pairs[:, 0], pairs[:, 1]]
        quantities: dict[str, Tensor] = {}
        for name, values in self.features(options).items():
            quantities |= {f"{name}_1": values[pairs[:, 0]], f"{name}_2": values[pairs[:, 1]], name: values[products]}
        return split(pairs, products, quantities, options.train_share, dtype)

    def model(self, model: TokenMLPOptions, options: Any, seed: int, dtype: torch.dtype) -> TokenMLP:
        """The untrained network: two tokens through one embedding, a logit an element out."""
        from bimt_tf.models.token_mlp import TokenMLP

        n = len(self.elements(options))
        return TokenMLP(n, model.d_embed, 2, [*model.hidden, n], model.act_fn, seed, dtype=dtype)

    def changeable(self, options: Any) -> tuple[str, ...]:
        """Each token."""
        return ("token_1", "token_2")

    def counterfactual(self, options: Any, examples: Data, quantity: str, generator: torch.Generator) -> Counterfactual:
        """One token of B in the place of A's; the table says the product."""
        require_known(f"quantity of {self.name} to change", quantity, self.changeable(options))
        partners = examples.inputs[partners_of(len(examples.inputs), generator).to(examples.inputs.device)]
        changed = examples.inputs.clone()
        column = int(quantity[-1]) - 1
        changed[:, column] = partners[:, column]
        table = self.table(options).to(changed.device)
        return Counterfactual(examples.inputs, partners, changed, table[changed[:, 0], changed[:, 1]])

    def labels(self, options: Any) -> Mapping[str, list[str]]:
        """The elements, on the way out."""
        return {"output": self.elements(options)}


@dataclass(frozen=True)
class ModularAdditionTask(GroupTask):
    """(a + b) mod p."""

    Options: type[ModularAdditionOptions] = ModularAdditionOptions

    def table(self, options: ModularAdditionOptions) -> Tensor:
        """Sums modulo p."""
        import torch

        numbers = torch.arange(options.modulus)
        return (numbers[:, None] + numbers) % options.modulus

    def elements(self, options: ModularAdditionOptions) -> list[str]:
        """The numbers."""
        return [str(i) for i in range(options.modulus)]

    def features(self, options: ModularAdditionOptions) -> Mapping[str, Tensor]:
        """The number itself."""
        import torch

        return {"number": torch.arange(options.modulus)}


def permutation_table() -> tuple[list[tuple[int, ...]], list[int], list[list[int]]]:
    """The permutations of 0..3 (the 12 even ones first), their signs, and the number of each composition.

    Permutation a sends i to a[i]; a times b is "first b, then a".
    """
    signs = {a: (-1) ** sum(a[i] > a[j] for i in range(4) for j in range(i + 1, 4)) for a in permutations(range(4))}
    elements = sorted(signs, key=lambda a: (-signs[a], a))
    number = {a: i for i, a in enumerate(elements)}
    table = [[number[tuple(a[b[i]] for i in range(4))] for b in elements] for a in elements]
    return elements, [signs[a] for a in elements], table


@dataclass(frozen=True)
class S4Task(GroupTask):
    """The composition of two permutations of four things."""

    Options: type[S4Options] = S4Options

    def table(self, options: S4Options) -> Tensor:
        """Compositions."""
        import torch

        return torch.tensor(permutation_table()[2])

    def elements(self, options: S4Options) -> list[str]:
        """Where each permutation sends 1, 2, 3 and 4."""
        return ["".join(str(i + 1) for i in a) for a in permutation_table()[0]]

    def action(self, options: S4Options) -> list[tuple[int, ...]]:
        """The permutations."""
        return permutation_table()[0]

    def features(self, options: S4Options) -> Mapping[str, Tensor]:
        """The sign."""
        import torch

        return {"sign": torch.tensor(permutation_table()[1])}

    def probes(self, options: S4Options) -> tuple[Probe, ...]:
        """The sign of the first permutation in its embedding."""
        return (Probe("hook_embed", "sign_1", 0),)


_TRAINING: dict[str, Any] = {"steps": 20_000, "batch_size": 0}
_PLAIN: dict[str, Any] = {**_TRAINING, **AS_PUBLISHED}
_RISE_AND_FALL = ((0.0, 0.1), (0.25, 1.0), (0.75, 0.1))
_CONSTANT = ((0.0, 1.0),)
_BEST: dict[str, Any] = {
    **_TRAINING,
    "lr": 2e-3,
    "lam": ((0.0, 0.1), (0.25, 1.0)),
    "penalty": "subgradient",
    "finish": 0.15,
    "finish_lr": 1e-3,
    "cut": 0.05,
}

_UNDERSTOOD_FIRST: dict[str, Any] = {
    "geometry": {"width": "linear:0:0,0.264:0,0.632:8,1:8", "layer_gap": 0.28},
    "training": {
        "steps": 33_000,
        "batch_size": 0,
        "lr": "log:0:5e-3,0.064:5e-3,0.08:3e-4,0.08:4e-2,0.54:3e-2,0.77:1e-2,1:5e-4",
        "betas": (0.9, 0.99),
        "fresh_moments": (0.08, 1.0),
        "weight_decay": "linear:0:1,0.08:1,0.08:0.1,0.356:0.1,0.724:0,1:0",
        "lam": "log:0:0,0.08:1e-3,0.264:3e-2,0.77:4,1:4",
        "penalty": "subgradient",
        "swap_every": 100,
        "finish": 0.025,
        "finish_lr": 2e-3,
        "finish_lam": 0.3,
        "cut": 0.02,
    },
}
"""Grokking by weight decay in the first 8% of the steps; then cost and length come in slowly under a hot Adam, whose
rate anneals the sparse structure (docs/schedules.md)."""

MODULAR_ADDITION = ModularAdditionTask(
    "modular-addition",
    "addition modulo 59 from two embedded tokens (paper, Section 3.3)",
    {
        "best": {"geometry": {"width": 8.0}, "training": {**_BEST, "steps": 16_000, "batch_size": 512}},
        "paper": {"training": {**_PLAIN, "lr": 1e-3, "lam": _RISE_AND_FALL}},
    },
)
S4 = S4Task(
    "s4",
    "composition of permutations of four things from two embedded tokens (paper, Section 3.3)",
    {
        "best": _UNDERSTOOD_FIRST,
        "paper": {"training": {**_PLAIN, "lr": 2e-3, "lam": _RISE_AND_FALL}},
        "notebook": {"geometry": {"width": 1.0}, "training": {**_PLAIN, "lr": 2e-3, "lam": _CONSTANT}},
    },
)
