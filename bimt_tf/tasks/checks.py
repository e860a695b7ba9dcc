"""Checks that the options of tasks make of their fields; every error names the field and what was found."""

from __future__ import annotations

import math

from bimt_tf.errors import InputError, require_whole

__all__ = ["require_range", "require_share", "require_split", "require_transformer_sizes"]


def require_range(name: str, low: float, high: float) -> None:
    """Raise InputError unless the fields ``name_low`` and ``name_high`` are finite and in this order."""
    for field, value in ((f"{name}_low", low), (f"{name}_high", high)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{field} must be a finite number, found {value!r}")
    if not low < high:
        raise InputError(f"{name}_low must be below {name}_high, found {low!r} and {high!r}")


def require_share(name: str, value: float) -> None:
    """Raise InputError unless ``value`` is above 0 and below 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} must be between 0 and 1, found {value!r}")


def require_split(samples: int, train_share: float) -> None:
    """Raise InputError unless training and held-out part both get an example."""
    require_share("train_share", train_share)
    if not 1 <= round(samples * train_share) < samples:
        raise InputError(f"{samples} samples leave none to train on or none to test on")


def require_transformer_sizes(n_layers: int, n_heads: int, d_model: int, d_head: int | None, d_mlp: int | None) -> None:
    """Raise InputError unless all are whole numbers of at least 1; ``d_head`` and ``d_mlp`` may follow from others."""
    for name, value in (("n_layers", n_layers), ("n_heads", n_heads), ("d_model", d_model)):
        require_whole(name, value)
    for name, chosen in (("d_head", d_head), ("d_mlp", d_mlp)):
        if chosen is not None:
            require_whole(name, chosen)
