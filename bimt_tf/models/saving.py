"""A model in one safetensors file, weights and sizes together, and back; nothing is pickled.

For models of this package (RegressionTransformer, MLP, TokenMLP), compact ones too. A run's directory has its own files
(docs/run-directory.md).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from bimt_tf.errors import InputError, require_known
from bimt_tf.models.mlp import MLP
from bimt_tf.models.token_mlp import TokenMLP
from bimt_tf.models.transformer import RegressionTransformer

__all__ = ["load_model", "save_model"]

CLASSES: dict[str, type[Any]] = {kind.__name__: kind for kind in (RegressionTransformer, MLP, TokenMLP)}
NOT_GIVEN = (
    "attn_only", "final_rms", "device", "use_attn_result", "use_attn_in", "use_split_qkv_input", "use_hook_mlp_in",
)  # fmt: skip
"""Fields of a ``cfg`` that no constructor takes."""


def save_model(model: RegressionTransformer | MLP | TokenMLP, path: str | Path) -> None:
    """Write weights, sizes and the kind of model into one file.

    Raises:
        InputError: for another model, or a path that cannot be written.
    """
    if type(model).__name__ not in CLASSES or not isinstance(model, tuple(CLASSES.values())):
        raise InputError(f"save_model writes {', '.join(CLASSES)}, found a {type(model).__name__}")
    sizes = {name: value for name, value in dataclasses.asdict(model.cfg).items() if name not in NOT_GIVEN}
    sizes["dtype"] = str(sizes["dtype"]).removeprefix("torch.")
    weights = {name: value.detach().contiguous().cpu() for name, value in model.state_dict().items()}
    try:
        save_file(weights, path, metadata={"kind": type(model).__name__, "cfg": json.dumps(sizes)})
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write {path}: {error}") from error


def load_model(path: str | Path, device: torch.device | str | None = None) -> RegressionTransformer | MLP | TokenMLP:
    """The model that :func:`save_model` wrote, in evaluation mode.

    Raises:
        InputError: for a file that is none of these, or a device that is not there.
    """
    try:
        with safe_open(path, framework="pt") as file:
            heads = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no dict)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} cannot be read as a model: {error}") from error
    require_known(f"kind of model in {path}", heads.get("kind", "none"), tuple(CLASSES))
    sizes = json.loads(heads["cfg"])
    dtype = getattr(torch, sizes.pop("dtype"))
    model = CLASSES[heads["kind"]](**sizes, dtype=dtype, device=device)
    for name, parameter in list(model.named_parameters()):
        if name not in weights:
            raise InputError(f"{path} has no weights for {name}")
        home, _, own = name.rpartition(".")
        # A compact model's heads may be narrower than its cfg, which names the widest.
        setattr(model.get_submodule(home), own, nn.Parameter(weights[name].to(parameter)))
    return model.eval()
