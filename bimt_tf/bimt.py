"""BIMT: a model, its wiring, a geometry and a layout, and what training does with them (paper, Section 2).

bimt = BIMT(model, Geometry(width=2.0, layer_gap=0.5), reduction="mean")
loss = task_loss + lam * bimt.cost()      # or, after backward: bimt.step_(optimizer, lam)
bimt.swap()                               # now and then: neurons move, weights stay
bimt.bake_()                              # at the end: neurons into slot order; outputs compared
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from bimt_tf.adapters.families import homes, wire
from bimt_tf.adapters.guard import Guard
from bimt_tf.adapters.wrappers import unwrapped
from bimt_tf.core import cost
from bimt_tf.core.bake import bake_
from bimt_tf.core.baked_orders import BakedOrders
from bimt_tf.core.charged import ChargedWeights
from bimt_tf.core.checked_bake import checked_bake_
from bimt_tf.core.coefficient import Reduction
from bimt_tf.core.cost import Charged
from bimt_tf.core.geometry import Geometry
from bimt_tf.core.layout import Layout
from bimt_tf.core.optimizer_state import Optimizers, optimizers_of, require_eps, require_holds_each
from bimt_tf.core.placement import Placement, in_place_of
from bimt_tf.core.review import review
from bimt_tf.core.search import SearchMethod, SwapReport, search
from bimt_tf.core.threads import few_threads
from bimt_tf.core.wiring import Wiring
from bimt_tf.core.zeros import Zeros
from bimt_tf.errors import InputError, require_kind, require_non_negative

__all__ = ["BIMT"]


class BIMT:
    """Brain-Inspired Modular Training of ``model``: connection cost, swaps, baking.

    Holds no weights, registers nothing on the model and leaves global state alone; only :attr:`layout` may be assigned.

    Args:
        model: any module that ``wire`` knows, or that ``wiring`` describes; inside a wrapper, the model is meant.
        geometry: width A, layer gap y_star, norm and shapes; by default A = 2, y_star = 0.5, L1.
        wiring: the model's wiring; ``wire(model)`` unless given.
        reduction: "mean" over each linear layer (the notebooks' transformers) or "sum" (Eq. 3).
        layout: where the neurons start; by default each in the slot of its own number.

    Raises:
        InputError: when the wiring, the layout or the reduction does not fit the model, or two parameters lie on the
            same memory and their axes differ.
    """

    def __init__(
        self,
        model: nn.Module,
        geometry: Geometry | None = None,
        wiring: Wiring | None = None,
        reduction: Reduction = "mean",
        layout: Layout | None = None,
    ) -> None:
        given = (("model", model, nn.Module), ("geometry", geometry, Geometry), ("wiring", wiring, Wiring))
        for name, value, kind in given:
            if value is not None or name == "model":
                require_kind(name, value, kind)
        self._model = model = unwrapped(model)
        self._reduction, self._homes = reduction, homes(model)  # homes once, as walking a model takes its time
        wiring = wiring if wiring is not None else wire(model)
        wiring.check(self.parameters)
        self._guard = Guard(model, wiring)
        self._charged = ChargedWeights(self.wiring, geometry if geometry is not None else Geometry(), reduction)
        self.layout = layout if layout is not None else Layout.identity(self.wiring)
        self._baked = BakedOrders()

    @property
    def model(self) -> nn.Module:
        """The module that is trained; it holds the weights."""
        return self._model

    @property
    def wiring(self) -> Wiring:
        """The model's populations, and which parameter joins which of them."""
        return self._guard.wiring

    @property
    def geometry(self) -> Geometry:
        """Where the slots are, and how long a wire between two of them is."""
        return self._charged.geometry

    @property
    def reduction(self) -> Reduction:
        """Whether the cost sums over the weights of a linear layer, or takes their mean."""
        return self._reduction

    @property
    def layout(self) -> Layout:
        """Which slot each neuron occupies. Neurons are moved by assigning another layout.

        Raises:
            InputError: on assigning what is no layout of the wiring.
        """
        return self._layout

    @layout.setter
    def layout(self, layout: Layout) -> None:
        if not isinstance(layout, Layout):
            raise InputError(f"bimt.layout must be a Layout, found a {type(layout).__name__}; Layout(slots) makes one")
        layout.check(self.wiring)
        self._layout = layout

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        """The model's parameters by name, each once."""
        return {name: getattr(module, own) for name, (module, own) in self._homes.items()}

    @property
    def charged(self) -> dict[str, nn.Parameter]:
        """The parameters that the cost charges and training may change, by name."""
        parameters = self.parameters
        return {name: parameters[name] for name in self._charged.scales if parameters[name].requires_grad}

    @property
    def places(self) -> dict[str, Float[Tensor, "neurons dims"]]:
        """Every neuron's coordinates (lengths): those of the slot it occupies. float64, CPU."""
        return self.layout.places(self._charged.coordinates)

    def coefficients(self, width: float | None = None) -> dict[str, Tensor]:
        """Charged parameter -> what each of its entries pays per unit of |w|; a tensor of the parameter's shape.

        Args:
            width: A in the place of ``geometry.width`` (a length); 0 gives the coefficients of a plain L1 penalty.

        Raises:
            InputError: for a width that is negative or not finite.
        """
        return self._charged.coefficients(self.layout, self.parameters, width)

    def cost(self) -> Float[Tensor, ""]:
        """The connection cost (Eqs. 3 and 4), differentiable in the weights."""
        return cost.total(self._weights())

    def add_cost_grad_(self, lam: float) -> None:
        """Add the gradient of ``lam * cost()`` to every ``.grad`` in place, without autograd; after backward.

        Raises:
            InputError: for a lambda that is negative or not finite.
        """
        cost.add_gradient_(self._weights(), lam, self._charged.bundles)

    def shrink_(self, lam: float, optimizer: Optimizers) -> None:
        """The proximal step of ``lam * cost()`` after ``optimizer.step()``: exact zeros (cost.py).

        Raises:
            InputError: for a lambda that is negative or not finite, or a charged parameter in none of the optimizers.
        """
        cost.shrink_(self._weights(), lam, optimizer, self._charged.bundles)

    def step_(self, optimizer: torch.optim.Optimizer, lam: float, *, keep_zeros: bool = False) -> None:
        """``optimizer.step()``, then :meth:`shrink_`; ``keep_zeros``: zeros stay, whatever momentum and decay say.

        Raises:
            InputError: as :meth:`shrink_`; no step is taken then.
        """
        require_non_negative("lam", lam)
        require_holds_each(self.charged.values(), optimizers_of(optimizer))
        require_eps(optimizers_of(optimizer))
        zeros = Zeros(self.charged if keep_zeros else {})
        optimizer.step()
        self.shrink_(lam, optimizer)
        zeros.keep_(self.parameters)

    def placement(self, weights: Mapping[str, Tensor] | None = None, *, scored: bool = True) -> Placement:
        """The placement problem of the present weights, for searches and measurements.

        Args:
            weights: parameter -> a tensor of its shape, read in the place of the parameter's own values (effective
                weights, for example); parameters that are not named are read from the model.
            scored: whether the neurons' importance (Eq. 5) is needed too; the exact search from one start does without.

        Raises:
            InputError: for a name or a shape that is not the model's, or weights that are not finite.
        """
        read = self.parameters if weights is None else in_place_of(self.parameters, weights)
        return Placement.of(self._charged.plan(self.wiring), read, scored)

    def swap(
        self,
        method: SearchMethod = "assignment",
        top_k: int = 30,
        *,
        starts: int = 1,
        generator: torch.Generator | None = None,
        weights: Mapping[str, Tensor] | None = None,
    ) -> SwapReport:
        """Move neurons to shorten the wiring (Section 2.2); no weight changes and the cost never rises.

        The search of a small model runs on one thread of BLAS and torch, which is quickest (core/threads.py).

        Args:
            method: "assignment" (exact per population, swept to a fixed point) or "greedy" (the paper's Step 3).
            top_k: the paper's k, for "greedy".
            starts: how many layouts the search begins at: 1 is the present one alone, more also reach what no
                neuron's move alone does, as whole modules that change sides (core/starts.py). The best is kept.
            generator: draws what is random in the starts; one of its own with seed 0 unless given.
            weights: what the search sees in the place of parameters, as :meth:`placement` takes it; the costs of the
                report are then theirs.

        Raises:
            InputError: for an unknown method, a bad ``top_k``, ``starts`` or ``generator``, weights that do not fit or
                are not finite, or a model that is no longer the one that was wired (pruned, tied, wrapped).
        """
        self._guard.require_same()
        with few_threads(self.wiring.total_weights):
            placement = self.placement(weights, scored=method != "assignment" or starts != 1)
            self._layout, report = search(placement, self.layout, method, top_k, starts=starts, generator=generator)
        return report

    def bake_(
        self,
        optimizer: Optimizers | None = None,
        *,
        check: object = None,
        tolerance: float | None = None,
    ) -> dict[str, Int64[Tensor, "slots"]]:
        """Move neurons physically into slot order where that leaves the model's function unchanged.

        Inputs, outputs and other populations without that symmetry keep their slots in the layout, and so do those
        that a buffer, a left-out parameter or a strange layer may stand on (``wiring.unbaked`` says what and why;
        docs/safety.md). Outputs on a batch are compared before and after; if one moves further than rounding does,
        parameters, buffers, gradients, optimizer state and layout are put back as they were, in every bit.

        Args:
            optimizer: one or several, to be given if training goes on: their states move too.
            check: the batch: a tensor, a tuple of the model's arguments or a mapping of named ones. True makes one by
                the model's config, False compares nothing. By default True where that can be
                done and the model takes it.
            tolerance: how much of its largest value an output may move; by default its dtype's (core/outputs.py).

        Returns:
            Baked population -> the order applied: new position -> old neuron.

        Raises:
            InputError: when an optimizer holds none of the parameters, or a state that cannot be moved (factored,
                preconditioning); when the model is no longer the one that was wired; when an output moved; when
                ``check=True`` cannot make a batch, or a forward hook is in the model and there is nothing to check.
        """
        if tolerance is not None:
            require_non_negative("tolerance", tolerance)
        optimizers, held = optimizers_of(optimizer), self._guard.tensors()
        self._guard.wiring = wiring = review(self.wiring, held)
        named: dict[str, Tensor] = {one.name: one.tensor for one in reversed(held)}
        named |= self.parameters
        known = self._guard.reference(check)
        if known is None:
            self.layout, orders = bake_(wiring, self.layout, named, optimizers)
        else:
            self.layout, orders = checked_bake_(self.model, *known, wiring, self.layout, named, optimizers, tolerance)
        self._baked.add(orders)
        return orders

    def apply_order(self, tensor: Tensor, population: str, axis: int = -1, *, inverse: bool = False) -> Tensor:
        """A tensor of one's own as :meth:`bake_` has moved the neurons so far: averaged weights, a steering vector.

        Args:
            tensor: its ``axis`` holds a number for each neuron of ``population``, in the order they had at first.
            population: as ``bimt.wiring.populations`` names it.
            axis: which dimension.
            inverse: from the present order back to the first one.

        Raises:
            InputError: for an unknown population, or an axis of another length.
        """
        return self._baked.applied(self.wiring, tensor, population, axis, inverse=inverse)

    def state_dict(self) -> dict[str, Tensor]:
        """The layout as tensors: ``slots.<population>`` -> int64 [neurons]. Weights are the model's own."""
        return self.layout.state()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state_dict` gave.

        Raises:
            InputError: for the state of another model, or one that is no layout; nothing has changed then.
        """
        self.layout = Layout.of_state(state)

    def __repr__(self) -> str:
        populations, weights = self.wiring.populations, self.wiring.total_weights
        counts = f"{len(populations)} populations, {sum(p.size for p in populations.values()):,} neurons"
        kind, reduction = type(self.model).__name__, self.reduction
        return f"BIMT({kind}, {counts}, {weights:,} weights, {self.geometry!r}, {reduction=})"

    def _weights(self) -> Iterator[Charged]:
        """(parameter, coefficients) of everything charged."""
        return self._charged.pairs(self.layout, self._guard.apart(self.parameters))
