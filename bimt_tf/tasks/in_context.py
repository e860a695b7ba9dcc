"""In-context linear regression (paper, Section 3.4 and Appendix F.2): read w off examples, apply it to a new x.

One example is a sequence of n solved pairs and a query: [0, x1], [y1, 0], ..., [0, x] with y = w . x, causal; what
is predicted is feature 0 (y) at the x tokens. The first x token cannot be predicted (w is not yet seen), so the
reported loss is the last token's alone. With several outputs w is a matrix, y = w x, and y the first features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from bimt_tf.errors import InputError, require_known, require_whole
from bimt_tf.models.activation_names import ACT_FNS, NORMALIZATION_TYPES
from bimt_tf.tasks.base import Counterfactual, Data, Fitted, Probe, Split, Task
from bimt_tf.tasks.checks import require_range, require_split, require_transformer_sizes
from bimt_tf.tasks.kinds import AS_PUBLISHED, partners_of, split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bimt_tf.models.transformer import RegressionTransformer

__all__ = ["IN_CONTEXT", "IN_CONTEXT_SINGULAR", "InContextTask", "InContextOptions", "TransformerOptions"]


@dataclass(frozen=True)
class InContextOptions:
    """The data of in-context regression."""

    dim: int = 1
    """features of x (the paper's d)"""
    examples: int = 1
    """solved examples before the query (the paper's n)"""
    outputs: int = 1
    """features of y, each with a w of its own (the paper has one)"""
    samples: int = 10_000
    """examples, training and test together"""
    train_share: float = 0.8
    """share of the examples that is trained on"""
    x_low: float = 1.0
    """x is uniform between x_low and x_high"""
    x_high: float = 3.0
    """x is uniform between x_low and x_high"""
    w_low: float = -1.0
    """w is uniform between w_low and w_high"""
    w_high: float = 1.0
    """w is uniform between w_low and w_high"""
    read: str = "all"
    """x tokens the training loss reads: all, or last (the reported one)"""

    def __post_init__(self) -> None:
        for name in ("dim", "examples", "outputs", "samples"):
            require_whole(name, getattr(self, name))
        require_range("x", self.x_low, self.x_high)
        require_range("w", self.w_low, self.w_high)
        if self.read not in ("all", "last"):
            raise InputError(f"read must be 'all' or 'last', found {self.read!r}")
        require_split(self.samples, self.train_share)

    def names(self, quantity: str) -> list[str]:
        """What the numbers of "w", "x" or "y" are called: numbered by output, then by feature, where there are several.

        An index that is always 1 is left out: of two outputs and three features w_1_1 ... w_2_3, of one output w_1 ...
        w_3, of one of each w. y of solved example k: ``names(f"y{k}")``.
        """
        sizes = {"w": (self.outputs, self.dim), "x": (1, self.dim), "y": (self.outputs, 1)}[quantity[0]]
        counted = [range(1, size + 1) if size > 1 else [None] for size in sizes]
        places = [[n for n in place if n is not None] for place in product(*counted)]
        return ["_".join([quantity, *map(str, place)]) for place in places]


@dataclass(frozen=True)
class TransformerOptions:
    """The sizes of a RegressionTransformer; inputs and outputs follow from the data."""

    d_model: int = 32
    """width of the residual stream"""
    n_layers: int = 2
    """transformer blocks"""
    n_heads: int = 1
    """attention heads of a block"""
    d_head: int | None = None
    """neurons of a head; d_model // n_heads unless given"""
    d_mlp: int | None = None
    """hidden neurons of a block's MLP; 4 d_model unless given"""
    act_fn: str = "gelu_new"
    """activation: gelu_new, relu, silu or identity"""
    normalization_type: Literal["none", "LN", "LNPre", "RMS", "RMSPre"] = "none"
    """norm of the residual stream: none (the paper), LayerNorm or RMSNorm, Pre without gain and bias (docs/norms.md)"""
    positional_embedding_type: Literal["none", "standard"] = "none"
    """positions of tokens: none (the paper), or standard, a trained vector each"""

    def __post_init__(self) -> None:
        require_transformer_sizes(self.n_layers, self.n_heads, self.d_model, self.d_head, self.d_mlp)
        require_known("act_fn", self.act_fn, ACT_FNS)
        require_known("normalization_type", self.normalization_type, ("none", *NORMALIZATION_TYPES))
        require_known("positional_embedding_type", self.positional_embedding_type, ("none", "standard"))


@dataclass(frozen=True)
class InContextTask(Task):
    """In-context regression with one choice of ranges."""

    Options: type[InContextOptions] = InContextOptions
    Model: type[TransformerOptions] = TransformerOptions

    def data(self, options: InContextOptions, seed: int, dtype: torch.dtype) -> Split:
        """Draw ``options.samples`` sequences [samples, 2n + 1, m + d] and split them.

        m outputs of d features; targets [samples, n + 1], with several outputs [samples, n + 1, m].
        """
        import torch

        generator = torch.Generator().manual_seed(seed)
        n, d, m = options.examples, options.dim, options.outputs

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.rand(*shape, generator=generator, dtype=torch.float64) * (high - low) + low

        w = uniform(options.w_low, options.w_high, options.samples, m, d)
        x = uniform(options.x_low, options.x_high, options.samples, n + 1, d)
        y = torch.einsum("smd,snd->snm", w, x)
        inputs = torch.zeros(options.samples, 2 * n + 1, m + d, dtype=torch.float64)
        inputs[:, 0::2, m:] = x
        inputs[:, 1::2, :m] = y[:, :-1]
        tokens = {"": -1} | {str(i + 1): i for i in range(n)}  # the query, then the solved examples
        columns = [(options.names("w"), w.flatten(1))]
        columns += [(options.names(f"y{k}"), y[:, i]) for k, i in tokens.items()]
        if d == 1:
            columns += [(options.names(f"x{k}"), x[:, i]) for k, i in tokens.items()]
        quantities = {name: values[:, i] for names, values in columns for i, name in enumerate(names)}
        return split(inputs, y if m > 1 else y[:, :, 0], quantities, options.train_share, dtype)

    def model(
        self, model: TransformerOptions, options: InContextOptions, seed: int, dtype: torch.dtype
    ) -> RegressionTransformer:
        """The untrained transformer; as many features out as in, of which the first, y, are read."""
        from bimt_tf.models.transformer import RegressionTransformer

        return RegressionTransformer(
            d_in=options.outputs + options.dim,
            d_out=options.outputs + options.dim,
            d_model=model.d_model,
            n_layers=model.n_layers,
            n_heads=model.n_heads,
            d_head=model.d_head,
            d_mlp=model.d_mlp,
            n_ctx=2 * options.examples + 1,
            act_fn=model.act_fn,
            seed=seed,
            dtype=dtype,
            normalization_type=None if model.normalization_type == "none" else model.normalization_type,
            positional_embedding_type=(
                None if model.positional_embedding_type == "none" else model.positional_embedding_type
            ),
        )

    def loss(self, options: InContextOptions, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error of y over the x tokens, or at the last one."""
        predicted = _predicted(options, outputs)
        if options.read == "last":
            return (predicted[:, -1] - targets[:, -1]).square().mean()
        return (predicted - targets).square().mean()

    def fitted(self, options: InContextOptions) -> Fitted:
        """Errors of y over the x tokens, or at the last one."""
        first = -1 if options.read == "last" else 0
        return Fitted(
            "squared", lambda outputs, targets: (_predicted(options, outputs) - targets)[:, first:].flatten(1)
        )

    def metrics(self, options: InContextOptions, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """``loss``: mean squared error of y at the last token; ``loss_all``: over all x tokens."""
        errors = (_predicted(options, outputs) - targets).square()
        return {"loss": float(errors[:, -1].mean()), "loss_all": float(errors.mean())}

    def reported(self, options: InContextOptions, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """True and predicted y at the last token, of several outputs end to end."""
        return targets[:, -1].flatten(), _predicted(options, outputs)[:, -1].flatten()

    def labels(self, options: InContextOptions) -> Mapping[str, list[str]]:
        """Y and x on the way in, y on the way out; the other outputs have no meaning and no name."""
        xs, ys = options.names("x"), options.names("y")
        return {"input": [*ys, *xs], "output": [*ys, *("–" for _ in xs)]}

    def changeable(self, options: InContextOptions) -> tuple[str, ...]:
        """The weights; of one solved example of one feature also its x and y, and of one feature the query."""
        weights = tuple(options.names("w"))
        if options.dim > 1:
            return weights
        return (*weights, "x", "x1", *options.names("y1")) if options.examples == 1 else (*weights, "x")

    def counterfactual(
        self, options: InContextOptions, examples: Data, quantity: str, generator: torch.Generator
    ) -> Counterfactual:
        """One quantity of B in the place of A's.

        Another w changes its y everywhere; another x, x1 or y1 leaves all other numbers: x1 and y1 imply another w.
        Pairs whose w would be one that no example has, outside of w_low to w_high, are left out.
        """
        import torch

        require_known(f"quantity of {self.name} to change", quantity, self.changeable(options))
        inputs = examples.inputs
        other = partners_of(len(inputs), generator).to(inputs.device)
        partners, changed, m = inputs[other], inputs.clone(), options.outputs
        names = options.names("w")
        w = torch.stack([examples.quantities[name] for name in names], dim=1).to(inputs)
        if quantity in names:
            w[:, names.index(quantity)] = w[other, names.index(quantity)]
        w = w.view(len(inputs), m, options.dim)
        if quantity in names:
            changed[:, 1::2, :m] = torch.einsum("nmd,ntd->ntm", w, inputs[:, 0:-1:2, m:])
        else:
            places = {"x": (-1, m), "x1": (0, m)} | {name: (1, i) for i, name in enumerate(options.names("y1"))}
            token, feature = places[quantity]
            changed[:, token, feature] = partners[:, token, feature]
            w = w if quantity == "x" else (changed[:, 1, :m] / changed[:, 0, m:])[:, :, None]
        known = ((w >= options.w_low) & (w <= options.w_high)).flatten(1).all(1)
        if not known.any():
            raise InputError(
                f"no pair of {len(inputs)} examples has a w from w_low to w_high when {quantity} is changed"
            )
        targets = torch.einsum("nmd,ntd->ntm", w, changed[:, 0::2, m:])
        targets = targets if m > 1 else targets[:, :, 0]
        return Counterfactual(*(part[known] for part in (inputs, partners, changed, targets)))

    def probes(self, options: InContextOptions) -> tuple[Probe, ...]:
        """The first w in Res2 at the last y token, where all solved examples are known, and at the query."""
        target = options.names("w")[0]
        hook = "blocks.0.hook_resid_post"
        return (Probe(hook, target, 2 * options.examples - 1), Probe(hook, target, 2 * options.examples))


def _predicted(options: InContextOptions, outputs: Tensor) -> Tensor:
    """Y at the x tokens, of the shape of the targets."""
    return outputs[:, 0::2, 0] if options.outputs == 1 else outputs[:, 0::2, : options.outputs]


_Preset = dict[str, dict[str, Any]]
_PAPER: _Preset = {
    "data": {"read": "all"},
    "training": {
        **AS_PUBLISHED,
        "steps": 40_000,
        "lam": ((0.0, 0.001), (0.25, 0.01), (0.5, 0.1), (0.75, 0.3)),
    },
}
_NOTEBOOK: _Preset = {
    "data": {"read": "all"},
    "training": {
        **_PAPER["training"],
        "lam": ((0.0, 0.001), (0.25, 0.01), (0.75, 0.1)),
        "swap_every": 1_000_000,
        "top_k": 20,
    },
}
_BEST: _Preset = {
    "data": {"read": "last"},
    "training": {"steps": 7_000, "finish": 0.15, "eliminate": True},
    "elimination": {"max_loss": 2e-6, "fit_examples": 1_000},
}
_SINGULAR = {"x_low": -1.0, "x_high": 1.0, "w_low": 1.0, "w_high": 3.0}


def _singular(preset: _Preset) -> _Preset:
    return {**preset, "data": {**preset["data"], **_SINGULAR}}


IN_CONTEXT = InContextTask(
    "in-context",
    "in-context linear regression, x away from 0 (paper, Section 3.4)",
    {"best": _BEST, "paper": _PAPER, "notebook": _NOTEBOOK},
)
IN_CONTEXT_SINGULAR = InContextTask(
    "in-context-singular",
    "in-context linear regression, x around 0 (paper, Appendix F.2)",
    {"best": _singular(_BEST), "paper": _singular(_PAPER), "notebook": _singular(_NOTEBOOK)},
)
