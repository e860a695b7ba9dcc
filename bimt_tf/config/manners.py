"""Which manners of an elimination go together: asked of a config, and of a call without one. No torch at import."""

from __future__ import annotations

from bimt_tf.errors import InputError

__all__ = ["require_compatible"]


def require_compatible(
    *, whole_neurons: str, stay_near: bool, short_wires: bool, press: bool, weights: bool, neurons: bool
) -> None:
    """Raise InputError for manners of an elimination that exclude each other; ``weights``, ``neurons``: its budget."""
    alone = {"short_wires": short_wires, "press": press}
    others = {"whole_neurons": whole_neurons != "no", "stay_near": stay_near, **alone, "neurons": neurons}
    for name in (name for name, asked in alone.items() if asked):
        for other in (other for other, asked in others.items() if asked and other != name):
            raise InputError(f"{name} takes out single weights in a manner of its own: give it without {other}")
    if short_wires and weights:
        raise InputError("short_wires spends a loss on short wires: give max_loss or loss_factor as the budget")
