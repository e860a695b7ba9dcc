"""Formulas to be found by an MLP (paper, Section 3.1 and Figure 2): products, and the symbolic tasks (a), (b), (c).

Inputs are uniform between -1 and 1; outputs are the formula's columns. There are 100 training and 100 test examples, as
in the notebooks; they do not determine the function, so that an elimination costs Q or held-out loss there, and
``best`` has none. ``circuit`` has more examples, and one (docs/elimination.md). ``modular`` ends with short wires
instead of few weights, by a larger width: length is then nearly all that is paid for.

Where the paper and the notebooks are silent, these presets say: float64 as in the other notebooks; A = 2, y_star = 0.1,
k = 30 in the text's; and Figure 2 trains as the symbolic tasks do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bimt_tf.errors import require_known, require_whole
from bimt_tf.tasks.base import Counterfactual, Data, Split
from bimt_tf.tasks.checks import require_range, require_split
from bimt_tf.tasks.kinds import AS_PUBLISHED, MLPOptions, Regression, partners_of, split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bimt_tf.models.mlp import MLP

__all__ = ["FORMULAS", "FormulaOptions", "FormulaTask"]


@dataclass(frozen=True)
class FormulaOptions:
    """The data of a formula."""

    samples: int = 200
    """examples, training and test together"""
    train_share: float = 0.5
    """share of the examples that is trained on"""
    x_low: float = -1.0
    """x is uniform between x_low and x_high"""
    x_high: float = 1.0
    """x is uniform between x_low and x_high"""

    def __post_init__(self) -> None:
        require_whole("samples", self.samples)
        require_split(self.samples, self.train_share)
        require_range("x", self.x_low, self.x_high)


@dataclass(frozen=True)
class FormulaTask(Regression):
    """Numbers computed from others: ``columns`` maps [n, inputs] to one [n] for each of ``outputs``."""

    Options: type[FormulaOptions] = FormulaOptions
    Model: type[MLPOptions] = MLPOptions
    inputs: int = field(kw_only=True)
    outputs: tuple[str, ...] = field(kw_only=True)
    columns: Callable[[Tensor], tuple[Tensor, ...]] = field(kw_only=True)

    def data(self, options: FormulaOptions, seed: int, dtype: torch.dtype) -> Split:
        """Draw ``options.samples`` inputs and compute their outputs; both are the quantities too."""
        import torch

        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(options.samples, self.inputs, generator=generator, dtype=torch.float64)
        x = x * (options.x_high - options.x_low) + options.x_low
        columns = self.columns(x)
        quantities = {f"x{i + 1}": x[:, i] for i in range(self.inputs)} | {
            f"y{i + 1}": column for i, column in enumerate(columns)
        }
        return split(x, torch.stack(columns, dim=1), quantities, options.train_share, dtype)

    def model(self, model: MLPOptions, options: FormulaOptions, seed: int, dtype: torch.dtype) -> MLP:
        """The untrained MLP."""
        from bimt_tf.models.mlp import MLP

        return MLP([self.inputs, *model.hidden, len(self.outputs)], model.act_fn, seed, dtype=dtype)

    def changeable(self, options: FormulaOptions) -> tuple[str, ...]:
        """Each variable."""
        return tuple(f"x{i + 1}" for i in range(self.inputs))

    def counterfactual(
        self, options: FormulaOptions, examples: Data, quantity: str, generator: torch.Generator
    ) -> Counterfactual:
        """One variable of B in the place of A's; the formula says the outputs."""
        import torch

        require_known(f"quantity of {self.name} to change", quantity, self.changeable(options))
        partners = examples.inputs[partners_of(len(examples.inputs), generator).to(examples.inputs.device)]
        changed = examples.inputs.clone()
        column = int(quantity[1:]) - 1
        changed[:, column] = partners[:, column]
        return Counterfactual(examples.inputs, partners, changed, torch.stack(self.columns(changed), dim=1))

    def labels(self, options: FormulaOptions) -> Mapping[str, list[str]]:
        """The variables and the formulas."""
        return {"input": [f"x{i + 1}" for i in range(self.inputs)], "output": list(self.outputs)}


def _products(x: Tensor) -> tuple[Tensor, ...]:
    first, second = x[:, 0] * x[:, 3], x[:, 1] * x[:, 2]
    return first + second, first - second


def _independent(x: Tensor) -> tuple[Tensor, ...]:
    return x[:, 1] ** 2 + (math.pi * x[:, 3]).sin(), (x[:, 0] + x[:, 2]) ** 3


def _shared(x: Tensor) -> tuple[Tensor, ...]:
    one, two, three = (x**2).cumsum(dim=1).unbind(dim=1)
    return one, two, three


def _composed(x: Tensor) -> tuple[Tensor, ...]:
    return (((x[:, 0] - x[:, 1]) ** 2 + (x[:, 2] - x[:, 3]) ** 2).sqrt(),)


_Preset = dict[str, dict[str, Any]]
_Schedule = tuple[tuple[float, float], ...]
_RISE_AND_FALL = ((0.0, 0.001), (0.25, 0.01), (0.75, 0.001))
_MILD = ((0.0, 0.001), (0.25, 0.003))


def _presets(
    hidden: tuple[int, ...],
    published: _Schedule,
    best: _Preset,
    circuit: _Preset | None = None,
    modular: _Preset | None = None,
) -> dict[str, _Preset]:
    """The presets of a formula: its published schedule, and the settings of ours, with what all formulas share.

    ``circuit`` says how ``best`` differs where the examples determine the function and an elimination ends it; a
    formula of the notebooks has one. ``modular`` says how it differs where the elimination ends with short wires.
    """
    model = {"hidden": hidden}
    training: dict[str, Any] = {"steps": 20_000, "batch_size": 0, "lr": 2e-3, "reduction": "sum"}
    plain: dict[str, Any] = {**training, "lam": published, **AS_PUBLISHED}
    presets: dict[str, _Preset] = {
        "best": {
            "model": model,
            "geometry": {"layer_gap": 0.1, **best["geometry"]},
            "training": {**training, **_POLISHED, "penalty": "subgradient", **best["training"]},
        },
        "paper": {"model": model, "geometry": {"width": 2.0, "layer_gap": 0.1}, "training": plain},
    }
    if circuit is not None:
        presets["circuit"] = {
            **presets["best"],
            **circuit,
            "training": {**presets["best"]["training"], "polish": 0.0, "eliminate": True, **circuit["training"]},
        }
        if modular is not None:
            presets["modular"] = {
                **presets["circuit"],
                "geometry": {"layer_gap": 0.1, **modular["geometry"]},
                "training": {**presets["circuit"]["training"], **modular["training"]},
                "elimination": {"short_wires": True, **modular["elimination"]},
            }
        presets["notebook"] = {
            "model": model,
            "geometry": {"width": 1.0, "layer_gap": 0.1},
            "training": {**plain, "top_k": 5, "bias_free": 0.75},
        }
    return presets


_POLISHED = {"dtype": "float64", "polish": 0.15, "polish_pull": 1e-5}
_WIDE = {"width": 6.0}
_PRESSED = {"lam": ((0.0, 0.001), (0.25, 0.01), (0.75, 0.002))}
_BEST_PRODUCTS: _Preset = {"geometry": {"width": 2.0}, "training": {**_PRESSED, "polish_pull": 1e-6}}
_BEST: _Preset = {"geometry": _WIDE, "training": _PRESSED}
_BEST_SHARED: _Preset = {
    "geometry": {"width": 3.0},
    "training": {"lam": ((0.0, 0.0007), (0.25, 0.007), (0.75, 0.0007)), "polish_pull": 4e-6},
}
_BEST_COMPOSED: _Preset = {
    "geometry": {"width": 4.0},
    "training": {"lam": ((0.0, 0.0001), (0.25, 0.00015)), "finish": 0.5, "polish_pull": 1e-6},
}

_CIRCUIT: _Preset = {"data": {"samples": 1_000}, "training": {}, "elimination": {"max_loss": 4e-4}}
_CIRCUIT_SHARED: _Preset = {
    "data": {"samples": 1_000},
    "training": {"steps": 17_000},
    "elimination": {"max_loss": 1e-5, "whole_neurons": "last"},
}
_CIRCUIT_COMPOSED: _Preset = {
    "data": {"samples": 2_000},
    "training": {"steps": 10_000},
    "elimination": {"max_loss": 1e-5},
}

_MODULAR: _Preset = {
    "geometry": {"width": "linear:0:6,1:6,1:30"},
    "training": {},
    "elimination": {"max_loss": 4e-4},
}
_MODULAR_SHARED: _Preset = {
    "geometry": {"width": 10.0},
    "training": {"lam": ((0.0, 0.0003), (0.25, 0.003), (0.75, 0.0003))},
    "elimination": {"max_loss": 7.5e-7},
}

FORMULAS = (
    FormulaTask(
        "products",
        "x1 x4 + x2 x3 and x1 x4 - x2 x3 (paper, Figure 2)",
        _presets((20, 20), _RISE_AND_FALL, _BEST_PRODUCTS),
        inputs=4,
        outputs=("x1x4+x2x3", "x1x4−x2x3"),
        columns=_products,
    ),
    FormulaTask(
        "symbolic-a",
        "independent formulas, x2^2 + sin(pi x4) and (x1 + x3)^3 (paper, Section 3.1)",
        _presets((20, 20), _RISE_AND_FALL, _BEST, _CIRCUIT, _MODULAR),
        inputs=4,
        outputs=("x2²+sin πx4", "(x1+x3)³"),
        columns=_independent,
    ),
    FormulaTask(
        "symbolic-b",
        "formulas that share features, x1^2, x1^2 + x2^2, x1^2 + x2^2 + x3^2 (paper, Section 3.1)",
        _presets((20, 20), _RISE_AND_FALL, _BEST_SHARED, _CIRCUIT_SHARED, _MODULAR_SHARED),
        inputs=3,
        outputs=("x1²", "x1²+x2²", "x1²+x2²+x3²"),
        columns=_shared,
    ),
    FormulaTask(
        "symbolic-c",
        "a formula of formulas, sqrt((x1 - x2)^2 + (x3 - x4)^2) (paper, Section 3.1)",
        _presets((20, 20, 20, 20), _MILD, _BEST_COMPOSED, _CIRCUIT_COMPOSED),
        inputs=4,
        outputs=("distance",),
        columns=_composed,
    ),
)
