"""Watches a wired model: whether it is still the one that was wired, and what its outputs are before weights move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from bimt_tf.adapters import bridge
from bimt_tf.adapters.batches import batch_for
from bimt_tf.adapters.families import places, tensors
from bimt_tf.adapters.wrappers import require_whole_weights
from bimt_tf.core.changes import Seen, Snapshot, gradient_hooks, require_same, snapshot, strange_hooks
from bimt_tf.core.checked_bake import reference
from bimt_tf.core.model_tree import Held
from bimt_tf.core.review import is_free, review
from bimt_tf.core.sharing import overlap
from bimt_tf.core.wiring import Wiring
from bimt_tf.errors import InputError

__all__ = ["Guard", "Reference"]


class Reference(NamedTuple):
    """A batch, and the model's outputs on it."""

    batch: object
    outputs: dict[str, Tensor]


class Guard:
    """``wiring`` is the model's with every population held that something unnamed may stand on (core/review.py).

    Args:
        model: as it is wired.
        wiring: its wiring.

    Raises:
        InputError: for two parameters on the same memory whose axes differ.
    """

    def __init__(self, model: nn.Module, wiring: Wiring) -> None:
        held = tensors(model)
        self._model, self._left_out = model, wiring.left_out
        self.wiring = review(wiring, held)
        self._charged = [one.parameter for one in self.wiring.wired if getattr(one, "charged", True)]
        self._at: list[int] = []
        self._seen: Seen | None = None
        self._wired = snapshot(places(model), held, wiring.left_out)

    def require_same(self) -> None:
        """Raise InputError if the model is no longer the one that was wired, but for hooks, which no swap can harm.

        What was found to be the same is looked at quickly the next time (a bridge, which has more than its tree, not).
        """
        if self._seen is not None and self._seen.stands():
            return
        require_whole_weights(self._model)
        require_same(self._wired, self._now(tensors(self._model, attributes=False)), whole=False)
        self._seen = None if bridge.matches(self._model) else Seen(self._model)

    def tensors(self) -> list[Held]:
        """The model's tensors at present, under every name.

        Raises:
            InputError: if the model, or a forward hook in it, is not what was wired; it says what changed. For a hook
                on a gradient, which may hold a mask in the present order.
        """
        require_whole_weights(self._model)
        held = tensors(self._model)
        require_same(self._wired, self._now(held), whole=True)
        for name in gradient_hooks(places(self._model), held):
            if not is_free(name, self.wiring):
                raise InputError(
                    f"a gradient hook on {name!r} may hold numbers in the order of neurons, and no output shows that: "
                    "remove it before bake_ and register it for the new order, or wire with "
                    f"order_free=[{name!r}] if it holds none"
                )
        return held

    def apart(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parameters, once it is sure that none lies on another's memory since the model was wired.

        What is tied is charged once, which only a wiring made afterwards knows. Memory is compared only when it has
        moved since the last call, so that a training step pays for reading addresses alone.

        Raises:
            InputError: if two do; it names them. For weights that were split over devices since.
        """
        charged = [parameters[name] for name in self._charged]
        try:
            at = [p.data_ptr() for p in charged]
        except RuntimeError:  # inside a transform of torch.func, whose tensors have no address
            return parameters
        if at != self._at:
            require_whole_weights(self._model)
            if overlap(charged):
                self.require_same()
            self._at = at
        return parameters

    def reference(self, check: object) -> Reference | None:
        """A batch and the outputs on it, to compare with later ones; None to compare nothing.

        Args:
            check: the batch, or True to make one, False for none, None to make one if that can be done.

        Raises:
            InputError: for a batch that the model does not take, where none can be made and one was asked for, or where
                there is none and a forward hook stands in the model.
        """
        if check is not None and not isinstance(check, bool):
            return Reference(check, reference(self._model, check))
        batch = None if check is False else batch_for(self._model)
        if batch is None and check is True:
            raise InputError(f"no batch can be made for a {type(self._model).__name__}: give one, bake_(check=batch)")
        if batch is not None:
            try:
                return Reference(batch, reference(self._model, batch))
            except InputError:
                if check is True:
                    raise
        if check is None and (hooks := strange_hooks(self._now(tensors(self._model)))):
            raise InputError(
                f"a forward hook on {hooks[0]!r} may rely on the order of neurons, and no batch can be made to see "
                "that: bake_(check=batch) compares the outputs on yours, bake_(check=False) compares nothing"
            )
        return None

    def _now(self, held: list[Held]) -> Snapshot:
        return snapshot(places(self._model), held, self._left_out)
