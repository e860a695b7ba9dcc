"""Transformers of images and spectrograms behind TransformerLens's bridge: ViT, DeiT, AST.

Patches enter by a convolution, whose output channels are the residual stream's neurons; its kernel and the channels of
the image have no coordinates. A token for the class, one for distillation and the positions hang on the same stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import nn

from bimt_tf.core.axes import ANY

__all__ = ["known", "parts"]

_CLASSES = (
    "ViTForImageClassification",
    "ViTModel",
    "DeiTForImageClassification",
    "DeiTModel",
    "ASTForAudioClassification",
)
_TOKENS = re.compile(r"embed\.(cls_token|distillation_token|mask_token|position_embeddings)$")
_PATCHES = re.compile(r"(.*\.)?embeddings\.patch_embeddings\.projection\.(weight|bias)$")


def known(model: Any) -> bool:
    """Whether a bridge wraps one of these, whose positions are added to the patches."""
    return type(model.original_model).__name__ in _CLASSES


def parts(
    model: Any, at: Mapping[str, tuple[nn.Module, str]], first: str, last: str
) -> tuple[dict[str, str], list[str]]:
    """The axes of what lies before the first block and behind the last one, and the names that rely on no order.

    Args:
        model: the TransformerBridge.
        at: parameter -> the module that holds it, and under what name.
        first, last: the stages of the residual stream before and behind the blocks.
    """
    table: dict[str, str] = {}
    if not known(model):
        return table, []
    for name, (module, own) in at.items():
        dims = getattr(module, own).ndim
        if _TOKENS.match(name):
            table[name] = f"{ANY} {ANY} {first}"
        elif _PATCHES.match(name) and isinstance(module, nn.Conv2d) and module.groups == 1:
            table[name] = " ".join([first, *[ANY] * (dims - 1)])
        elif re.fullmatch(r"classifier_ln\.(weight|bias)", name):
            table[name] = last
        elif name == "pooler.weight":  # its outputs are the model's
            table[name] = f"{ANY} {last}"
    return table, ["pooler.bias"]
