"""A fine-tuned model as plain transformers loads it: a file of its run, and any point of its elimination apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bimt_tf.adapters.hugging_face import plain_model
from bimt_tf.errors import InputError
from bimt_tf.models.pretrained import quiet, tokenizer
from bimt_tf.runs.atomic import replacing_directory
from bimt_tf.runs.trained import Trained

__all__ = ["PLAIN", "save_plain"]

PLAIN = "huggingface"


def save_plain(trained: Trained, folder: Path) -> Path:
    """Write a model, and the tokenizer it came with, into ``folder``, which appears whole; gives the folder.

    Neurons stay in their own order, as in the run's model.safetensors; its layout.json says where they stand.

    Raises:
        InputError: for a model that is none of Hugging Face's.
        CannotWrite: if it cannot be written.
    """
    if not trained.task.pretrained:
        raise InputError(
            f"transformers has no model for the task {trained.task.name}: graphml, gexf and json are there for it"
        )
    model: Any = plain_model(trained.model)
    words = tokenizer(trained.config.data.model)
    with replacing_directory(folder) as unfinished, quiet():
        for part in (model, words) if words is not None else (model,):
            part.save_pretrained(unfinished)
    return folder
