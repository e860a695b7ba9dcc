"""Pretrained language models behind TransformerLens's bridge, from the Hugging Face hub or a local directory."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bimt_tf.errors import InputError

__all__ = ["pretrained", "quiet", "sizes", "tokenizer"]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")


def pretrained(name: str, dtype: torch.dtype) -> nn.Module:
    """The bridge around a causal language model, in evaluation mode (no dropout), on the CPU.

    Args:
        name: a directory that ``save_pretrained`` wrote, or a name on the hub.
        dtype: of the weights.

    Raises:
        InputError: if there is no such model, weights are missing or damaged, or TransformerLens does not know it.
    """
    from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
    from transformers import AutoModelForCausalLM

    path = _directory(name)
    _require_config(path)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                str(path or name), dtype=dtype, attn_implementation="eager", output_loading_info=True
            )
    except Exception as error:  # transformers fails in many ways
        raise InputError(f"cannot load the model {name!r}{_looked(path)}: {_first_line(error)}") from error
    model, found = loaded
    if lost := sorted(found["missing_keys"]):
        raise InputError(f"the model {name!r} lacks {len(lost)} of its weights, {lost[0]!r} among them")
    try:
        with quiet():
            bridge: nn.Module = build_bridge_from_module(
                model.eval(), type(model).__name__, hf_config=model.config, model_name=name
            )
    except Exception as error:  # an architecture without an adapter fails in many ways
        raise InputError(f"TransformerLens has no bridge for a {type(model).__name__}: {_first_line(error)}") from error
    return bridge


def sizes(name: str) -> tuple[int, int]:
    """(vocabulary, longest context) of a model, by its config; without reading weights.

    Raises:
        InputError: if there is no such model, or its config does not say.
    """
    from transformers import AutoConfig

    path = _directory(name)
    _require_config(path)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(path or name))
    except Exception as error:  # transformers fails in many ways
        raise InputError(f"cannot load the model {name!r}{_looked(path)}: {_first_line(error)}") from error
    vocabulary = getattr(config, "vocab_size", None)
    if not isinstance(vocabulary, int):
        raise InputError(f"{name!r} is a {type(config).__name__}, which has no vocabulary: give a language model")
    longest = getattr(config, "max_position_embeddings", None)
    return vocabulary, longest if isinstance(longest, int) else sys.maxsize


def tokenizer(name: str) -> Any:
    """The tokenizer of a model, or None if its directory holds none.

    Raises:
        InputError: if there is one that cannot be read.
    """
    path = _directory(name)
    if path is not None and not any((path / file).is_file() for file in TOKENIZER_FILES):
        return None
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(str(path or name))
    except Exception as error:  # transformers fails in many ways
        raise InputError(f"cannot read the tokenizer of {name!r}: {_first_line(error)}") from error


def _directory(name: str) -> Path | None:
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def _require_config(path: Path | None) -> None:
    if path is not None and not (path / "config.json").is_file():
        raise InputError(f"{path} holds no config.json: give a directory that save_pretrained wrote")


def _looked(path: Path | None) -> str:
    return "" if path is not None else " (no directory of this name is here, so it was looked for on the hub)"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings, logs and progress bars of loading and saving, and without touching the random state."""
    from transformers.utils import logging as notices

    before, bars = logging.root.manager.disable, notices.is_progress_bar_enabled()
    logging.disable(logging.WARNING)
    notices.disable_progress_bar()
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        if bars:
            notices.enable_progress_bar()
