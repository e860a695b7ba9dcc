"""A fine-tuned model as plain transformers loads it: a file of its run, and any point of its elimination apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bimt_tf.adapters.hugging_face import plain_model
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet, tokenizer
from bimt_tf.runs.atomic import replacing_directory, require_path
from bimt_tf.runs.trained import Trained

__all__ = ["PLAIN", "save_plain"]

PLAIN = "huggingface"


def save_plain(trained: Trained, folder: Path, *, replace: bool = False) -> Path:
    """Write a model, and the tokenizer it came with, into ``folder``, which appears whole; gives the folder.

    Neurons stay in their own order, as in the run's model.safetensors; its layout.json says where they stand.

    Args:
        trained: the model, of a run.
        folder: a new folder, or an empty one.
        replace: whether a folder that holds something is removed for it.

    Raises:
        InputError: for a model that is none of Hugging Face's, or a folder that may not be removed.
        CannotWrite: if it cannot be written.
    """
    if not trained.task.pretrained:
        raise InputError(
            f"transformers has no model for the task {trained.task.name}: graphml, gexf and json are there for it"
        )
    whole = Path(os.path.abspath(require_path(folder)))  # "." has no name, and links stay links
    if not replace and whole.is_dir() and any(whole.iterdir()):
        raise InputError(f"{folder} is not empty, and a model is written as a whole folder: give a new one")
    model: Any = plain_model(trained.model)
    words = tokenizer(trained.config.data.model)
    with replacing_directory(whole) as unfinished, quiet():
        for part in (model, words) if words is not None else (model,):
            part.save_pretrained(unfinished)
    return folder
