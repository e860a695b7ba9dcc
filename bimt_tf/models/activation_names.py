"""The names of activations and norms, without torch, so that settings can be judged before anything is built."""

from __future__ import annotations

__all__ = ["ACT_FNS", "NORMALIZATION_TYPES", "TOKEN_ACT_FNS"]

ACT_FNS = ("gelu_new", "relu", "silu", "identity")
"""Of an MLP, a TokenMLP and a RegressionTransformer."""

TOKEN_ACT_FNS = ("gelu_new", "gelu", "relu", "silu")
"""Of a transformer on tokens, whose blocks are TransformerLens's."""

NORMALIZATION_TYPES = ("LN", "LNPre", "RMS", "RMSPre")
"""Of a RegressionTransformer, which may also have none; TransformerLens's names."""
